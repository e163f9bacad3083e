"""Engines in a process of their own: no socket to the network, nothing raw, no litter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import importlib.util, logging, sys, time
from pathlib import Path

from no_network import forbid_network

problem = forbid_network()
if problem:
    sys.exit(f"SKIP {problem}")
logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])  # as the nodes' own

import numpy as np
from depth_anything_ros.engines import choice, export, onnx_library
from depth_anything_ros.models.estimator import DepthEstimator

has = lambda *names: all(importlib.util.find_spec(name) for name in names)
estimator = DepthEstimator("test_relative", "random", "cpu", "fp32")
size, began = (56, 84), time.monotonic()
choice.make("torch", "bf16", estimator, "cpu").warm_up([size])
if has("onnxruntime", "onnxscript"):
    onnx_library.onnxruntime_library()
    began = time.monotonic()
    choice.make("onnxruntime", "fp32", estimator, "cpu").warm_up([size])
    export.export_onnx(estimator, Path("half.onnx"), export.Target(size, True, "fp16"))
if has("openvino"):
    choice.make("openvino", "auto", estimator, "cpu").warm_up([size])
if has("openvino", "nncf"):
    from depth_anything_ros.engines.openvino_engine import OpenVinoEngine

    pictures = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 255)]
    OpenVinoEngine(estimator, "int8", "cpu", pictures).warm_up([size])
export.export_program(estimator, Path("network.pt2"), export.Target(size))
time.sleep(max(0, 10 - (time.monotonic() - began)))  # telemetry of ONNX Runtime waits for 9 s
"""


@pytest.mark.slow
def test_engines_make_no_socket_print_nothing_and_leave_only_the_cache(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    left_out = ("DEPTH_ANYTHING_CACHE", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "PYTHONWARNINGS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    path = os.pathsep.join((str(Path(__file__).parent), environment.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, "PYTHONPATH": path, "HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if done.stderr.startswith("SKIP"):
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # -31: it made a socket
    engines = {"onnx": "onnxscript", "openvino": "openvino"}
    kept = {name for name, package in engines.items() if importlib.util.find_spec(package)}
    found = {str(path.relative_to(home)) for path in home.glob("*/*/*")}
    assert found == {f".cache/depth_anything_ros/{name}" for name in kept}
    assert [path.name for path in home.iterdir()] == ([".cache"] if kept else [])


def test_the_filter_ends_a_process_that_makes_such_a_socket():
    program = """
import socket, subprocess, sys
from no_network import forbid_network
problem = forbid_network()
socket.socket(socket.AF_UNIX).close()
if problem:
    sys.exit(f"SKIP {problem}")
child = "import socket; socket.socket(socket.AF_INET6)"  # what is started is under it too
print(subprocess.run([sys.executable, "-c", child]).returncode, flush=True)
socket.getaddrinfo("example.invalid", 80)
"""
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.stderr.startswith("SKIP"):
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout, done.stderr) == (-31, "-31\n", "")
