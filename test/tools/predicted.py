"""Pictures for ``depth_anything predict``, the trees that it writes, and runs that are ended."""

import signal
import subprocess
import sys
import time

import cv2
import numpy as np

# The smallest network input that is sharp enough to differ from picture to picture.
SMALL = ("--engine", "torch", "--precision", "fp32", "--input-size", "64")


def write_scene(path, seed=0, size=(96, 64)):
    """A picture of smooth noise, (width, height); of the suffix's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    return path


def tree(folder):
    """All files below a folder, hidden ones too, and their bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def command_line(*words):
    return [sys.executable, "-m", "depth_anything_ros", "predict", *map(str, words)]


def interrupted(words, is_time):
    """Run predict, and send Ctrl-C as soon as it is time; return its status and words."""
    with subprocess.Popen(
        command_line(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while process.poll() is None and not is_time():
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[0]
    return process.returncode, said
