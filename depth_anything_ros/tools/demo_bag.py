"""What the demo's bags hold, as pictures, answers and ground truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap, Estimate
from depth_anything_ros.core.errors import CameraError, DepthAnythingError
from depth_anything_ros.core.recording import Calibration, load_calibration, load_depth
from depth_anything_ros.core.rectification import Rectifier
from depth_anything_ros.tools.demo_nodes import NAMESPACE

# Topics of which every message is kept; of the others, only the last.
ANCHORED = "anchored/depth/image_rect"
# The topics of answers, of which a model has one.
ANSWERS: dict[str, type[DepthMap | DisparityMap | AffineDepthMap]] = {
    "depth/image_rect": DepthMap,
    "disparity/image_rect": DisparityMap,
    "affine_depth/image_rect": AffineDepthMap,
}
KEPT = (
    "image",
    *ANSWERS,
    "ground_truth/depth",
    "lidar/points",
    ANCHORED,
    "/diagnostics",
)


@dataclass
class Recorded:
    """The messages of one topic.

    Attributes:
        stamps: header stamps, ns.
        times: when the recorder received them, ns since the epoch.
        frame_ids: those that occurred.
        last: the newest message.
        by_stamp: all messages, of the topics KEPT.
    """

    stamps: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    frame_ids: set[str] = field(default_factory=set)
    last: Any = None
    by_stamp: dict[int, Any] = field(default_factory=dict)


def read_bag(path: Path) -> dict[str, Recorded]:
    """Read a bag into its topics, by name without the demo's namespace.

    Raises:
        DepthAnythingError: where it has no picture or no answer.
    """
    types = get_typestore(Stores.ROS2_JAZZY)
    topics: dict[str, Recorded] = {}
    with Reader(path) as reader:
        for connection, time_ns, data in reader.messages():
            message: Any = types.deserialize_cdr(data, connection.msgtype)
            name = connection.topic.removeprefix(f"{NAMESPACE}/")
            topic = topics.setdefault(name, Recorded())
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            topic.stamps.append(stamp)
            topic.times.append(time_ns)
            topic.frame_ids.add(message.header.frame_id)
            topic.last = message
            if name in KEPT:
                topic.by_stamp[stamp] = message
    if "image" not in topics or "depth/camera_info" not in topics:
        raise DepthAnythingError(
            f"the bag {path} lacks the picture or its answer; it has {sorted(topics)} "
            f"(logs in {path.parents[1] / 'log'})"
        )
    return topics


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: what was seen, what was answered, what is true, all on one grid.

    Attributes:
        rgb: uint8 (height, width, 3).
        result: of depth_node.
        camera: None where it is not known.
        truth: None where there is none.
        anchored: of scale_anchor_node; None where it did not run or had no fit.
    """

    rgb: NDArray[np.uint8]
    result: Estimate
    camera: Camera | None
    truth: DepthMap | None
    anchored: DepthMap | None = None


def answer_name(topics: dict[str, Recorded]) -> str:
    """Return the topic of the answers."""
    return next((name for name in ANSWERS if name in topics), "depth/image_rect")


def frames(topics: dict[str, Recorded], folder: Path) -> list[Frame]:
    """Return what there is to score: each picture with a truth of its own, else the last one.

    Args:
        topics: of a bag.
        folder: with the calibration and the depth picture of the picture that was played.
    """
    camera = _camera(topics["depth/camera_info"].last)
    answers, truths = topics[answer_name(topics)], topics.get("ground_truth/depth")
    stamps = [s for s in answers.stamps if s in topics["image"].by_stamp]
    if truths is None:
        return [_played_frame(topics, folder, camera, stamps[-1])]
    return [
        Frame(
            _rgb(topics["image"].by_stamp[stamp]),
            _result(topics, camera, stamp),
            camera,
            DepthMap(floats(truths.by_stamp[stamp]), camera),
            _anchored(topics, camera, stamp),
        )
        for stamp in stamps
        if stamp in truths.by_stamp
    ]


def _anchored(topics: dict[str, Recorded], camera: Camera | None, stamp: int) -> DepthMap | None:
    found = topics[ANCHORED].by_stamp.get(stamp) if ANCHORED in topics else None
    return None if found is None else DepthMap(floats(found), camera)


def _played_frame(
    topics: dict[str, Recorded], folder: Path, camera: Camera | None, stamp: int
) -> Frame:
    rgb, result = _rgb(topics["image"].by_stamp[stamp]), _result(topics, camera, stamp)
    file = next(iter(sorted(folder.glob("calib*"))), None)
    if file is None:
        return Frame(rgb, result, camera, None)
    calibration = load_calibration(file)
    height, width = rgb.shape[:2]
    source = calibration.camera
    if source is not None and source.fits(width, height):
        source = source.scaled(width, height)
    truth = _truth(folder, calibration, width, height)
    if source is not None and source.is_distorted and camera is not None:
        rectifier = Rectifier(source)
        rgb = rectifier.rectify(rgb)
        truth = rectifier.rectify_depth(truth) if truth is not None else None
    return Frame(rgb, result, camera, truth)


def _truth(folder: Path, calibration: Calibration, width: int, height: int) -> DepthMap | None:
    """Read the depth picture at the picture's size; None where there is none of its aspect."""
    path = folder / (calibration.depth_file or "")
    if calibration.depth_scale_m is None or not path.is_file():
        return None
    depth = load_depth(path, calibration.depth_scale_m).depth_m
    if not same_aspect((depth.shape[1], depth.shape[0]), (width, height)):
        return None
    # Nearest neighbour: depth is not to be mixed across edges.
    resized = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    return DepthMap(np.asarray(resized, np.float32))


def _rgb(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - rosbags' Image
    picture = message.data.reshape(message.height, message.width, 3)
    return np.ascontiguousarray(picture if message.encoding == "rgb8" else picture[..., ::-1])


def floats(message: Any) -> NDArray[np.float32]:  # noqa: ANN401 - rosbags' Image
    """Return the values (height, width) of an Image in 32FC1."""
    values = message.data.view(np.float32).reshape(message.height, message.width)
    return np.asarray(values.copy(), np.float32)


def _camera(info: Any) -> Camera | None:  # noqa: ANN401 - rosbags' CameraInfo
    try:
        return Camera.from_info(info)
    except CameraError as error:
        if error.reason == "uncalibrated":
            return None
        raise


def _result(topics: dict[str, Recorded], camera: Camera | None, stamp: int) -> Estimate:
    name = answer_name(topics)
    return ANSWERS[name](floats(topics[name].by_stamp[stamp]), camera)


def lidar_sweeps(topics: dict[str, Recorded]) -> list[tuple[NDArray[np.float32], DepthMap, Camera]]:
    """Return points (n, 3), true depth and camera of each sweep of the time of a picture."""
    sweeps, truths = topics.get("lidar/points"), topics.get("ground_truth/depth")
    camera = _camera(topics["depth/camera_info"].last)
    if sweeps is None or truths is None or camera is None:
        return []
    return [
        (_points(sweep), DepthMap(floats(truths.by_stamp[stamp]), camera), camera)
        for stamp, sweep in sweeps.by_stamp.items()
        if stamp in truths.by_stamp
    ]


def _points(message: Any) -> NDArray[np.float32]:  # noqa: ANN401 - rosbags' PointCloud2
    """Return x, y, z, the first fields, of the points (n, 3)."""
    rows = message.data.reshape(-1, message.point_step)[:, :12]
    return np.ascontiguousarray(rows).view(np.float32)


def T_camera_lidar(folder: Path) -> NDArray[np.float64]:  # noqa: N802 - the field's name
    """Read where the robot's LiDAR is in its optical frame: ROS 2 from PyPI has no /tf_static."""
    described = json.loads((folder / "robot.json").read_text())
    return np.array(described["T_camera_lidar"], np.float64).reshape(4, 4)
