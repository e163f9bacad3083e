"""Ctrl-C, once and doubled, amid the imports of every executable and while a node is made."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros import interrupts

PACKAGE = "depth_anything_ros"
NODES = ("depth_node", "scale_anchor_node", "obstacles_node", "player_node", "sim_node")
# What a process has mapped where it is amid the first imports; and where a node is being made.
IMPORTING, MAKING, LOADING = "_multiarray_umath", "librmw_fastrtps_cpp", "libtorch_cpu"
DOUBLED = (0.0, 0.02)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "one.png"
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    return path


def interrupted(module, mapped, gap_s, arguments=()):
    """Start a program, send Ctrl-C twice once a library is mapped; return status and words."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and mapped not in maps.read_text():
            time.sleep(0.002)
        assert process.poll() is None, process.stdout.read()
        process.send_signal(signal.SIGINT)
        time.sleep(gap_s)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[0]
    return process.returncode, said


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("mapped", [IMPORTING, MAKING])
def test_a_node_ends_quietly(name, mapped, source):
    arguments = ["--ros-args", "-p", f"source:={source}"] if name == "player_node" else []
    for gap_s in DOUBLED if mapped == MAKING else DOUBLED[1:]:
        status, said = interrupted(f"{PACKAGE}.nodes.{name}", mapped, gap_s, arguments)
        assert (status, "Traceback" in said, "KeyboardInterrupt" in said) == (0, False, False), said


def test_every_executable_is_known_by_its_name(repository):
    declared = set(re.findall(r'f"(\w+) = \{NAME\}', (repository / "setup.py").read_text()))
    assert set(NODES) < declared and declared <= {*interrupts.NODES, interrupts.COMMAND}


@pytest.mark.parametrize("mapped", [IMPORTING, LOADING])
def test_the_command_ends_quietly(mapped):
    arguments = ["benchmark", "model", "--model", "tiny"]
    status, said = interrupted(PACKAGE, mapped, 0.02, arguments)
    assert (status, "Traceback" in said, "KeyboardInterrupt" in said) == (130, False, False), said


@pytest.mark.parametrize(
    ("given", "asked", "name"),
    [
        (["/opt/bin/depth_node", "--ros-args"], [], "depth_node"),
        (["/opt/bin/depth_anything", "models"], [], "depth_anything"),
        (["-m"], ["python3", "-m", "depth_anything_ros", "models"], "depth_anything"),
        (["-m"], ["python3", "-m", "depth_anything_ros.nodes.sim_node"], "sim_node"),
        (["-m"], ["python3", "-X", "dev", "-m", "pytest", "depth_node"], ""),
        (["-m"], ["python3", "-m"], ""),
        (["-c"], ["python3", "-c", "import depth_anything_ros"], ""),
        ([""], ["python3"], ""),
        ([], ["python3"], ""),
    ],
)
def test_only_an_executable_of_this_package_answers_signals(monkeypatch, given, asked, name):
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(sys, "orig_argv", asked)
    assert interrupts.program() == name
