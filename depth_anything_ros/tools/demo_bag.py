"""What the demo's bags hold, as images, answers and ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from depth_anything_ros.tools.node_process import NAMESPACE

ANCHORED = "anchored/depth/image_rect"
TRUTH = "ground_truth/depth"
SWEEPS = "lidar/points"
# The topics of answers, of which a model has one.
ANSWERS: dict[str, Callable[[NDArray[np.float32], Camera | None], Estimate]] = {
    f"{kind.name}/image_rect": kind for kind in (DepthMap, DisparityMap, AffineDepthMap)
}
# Of these topics every message is kept; of the others, only the last.
KEPT = ("image", *ANSWERS, TRUTH, SWEEPS, ANCHORED, "/diagnostics")


@dataclass
class RecordedTopic:
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


@dataclass(frozen=True, eq=False)
class AnsweredImage:
    """One image: what was seen, what was answered, what is true, all on one grid.

    Attributes:
        rgb: uint8 (height, width, 3).
        result: of depth_node.
        camera: None where it is not known.
        truth: None where there is none.
        anchored: of scale_anchor_node; None where it did not run or had no fit.
        stamp_ns: of the picture.
        number: how many pictures were recorded before it.
    """

    rgb: NDArray[np.uint8]
    result: Estimate
    camera: Camera | None
    truth: DepthMap | None
    anchored: DepthMap | None = None
    stamp_ns: int = 0
    number: int = 0


class DemoBag:
    """A bag of the demo.

    Args:
        path: of the bag.

    Attributes:
        topics: by name without the demo's namespace.
        answer: name of the answers' topic.
        camera: of the answers; None where it is not known.

    Raises:
        DepthAnythingError: where it has no image or no answer.
    """

    def __init__(self, path: Path) -> None:
        types = get_typestore(Stores.ROS2_JAZZY)
        self.topics: dict[str, RecordedTopic] = {}
        with Reader(path) as reader:
            for connection, time_ns, data in reader.messages():
                message: Any = types.deserialize_cdr(data, connection.msgtype)
                name = connection.topic.removeprefix(f"{NAMESPACE}/")
                topic = self.topics.setdefault(name, RecordedTopic())
                stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
                topic.stamps.append(stamp)
                topic.times.append(time_ns)
                topic.frame_ids.add(message.header.frame_id)
                topic.last = message
                if name in KEPT:
                    topic.by_stamp[stamp] = message
        if "image" not in self.topics or "depth/camera_info" not in self.topics:
            raise DepthAnythingError(
                f"the bag {path} lacks the picture or its answer; it has {sorted(self.topics)} "
                f"(logs in {path.parents[1] / 'log'})"
            )
        self.answer = next((name for name in ANSWERS if name in self.topics), "depth/image_rect")
        self.camera = _camera(self.topics["depth/camera_info"].last)

    def message(self, topic: str, stamp: int) -> Any:  # noqa: ANN401 - of rosbags
        """Return the message of a stamp, of the topics KEPT; None where there is none."""
        return self.topics[topic].by_stamp.get(stamp) if topic in self.topics else None

    def images(self, folder: Path) -> list[AnsweredImage]:
        """Return what there is to score: each image with a truth of its own, else the last one.

        Args:
            folder: with the calibration and the depth picture of the image that was played.
        """
        stamps = self.topics[self.answer].stamps
        stamps = [stamp for stamp in stamps if self.message("image", stamp) is not None]
        if TRUTH not in self.topics:
            return [self._played(folder, stamps[-1])]
        return [
            AnsweredImage(
                _rgb(self.message("image", stamp)),
                self._result(stamp),
                self.camera,
                self._depth(TRUTH, stamp),
                self._depth(ANCHORED, stamp),
                stamp,
                self.topics["image"].stamps.index(stamp),
            )
            for stamp in stamps
            if self.message(TRUTH, stamp) is not None
        ]

    def lidar_sweeps(self) -> list[tuple[NDArray[np.float32], DepthMap, Camera]]:
        """Return points (n, 3), true depth and camera of each sweep of the time of an image."""
        if self.camera is None or SWEEPS not in self.topics:
            return []
        found = []
        for stamp, sweep in self.topics[SWEEPS].by_stamp.items():
            truth = self._depth(TRUTH, stamp)
            if truth is not None:
                found.append((_points(sweep), truth, self.camera))
        return found

    def _result(self, stamp: int) -> Estimate:
        return ANSWERS[self.answer](floats(self.message(self.answer, stamp)), self.camera)

    def _depth(self, topic: str, stamp: int) -> DepthMap | None:
        message = self.message(topic, stamp)
        return None if message is None else DepthMap(floats(message), self.camera)

    def _played(self, folder: Path, stamp: int) -> AnsweredImage:
        rgb, result = _rgb(self.message("image", stamp)), self._result(stamp)
        file = next(iter(sorted(folder.glob("calib*"))), None)
        if file is None:
            return AnsweredImage(rgb, result, self.camera, None)
        calibration = load_calibration(file)
        height, width = rgb.shape[:2]
        source = calibration.camera
        if source is not None and source.fits(width, height):
            source = source.scaled(width, height)
        truth = _truth(folder, calibration, width, height)
        if source is not None and source.is_distorted and self.camera is not None:
            rectifier = Rectifier(source)
            rgb = rectifier.rectify(rgb)
            truth = rectifier.rectify_depth(truth) if truth is not None else None
        return AnsweredImage(rgb, result, self.camera, truth)


def _truth(folder: Path, calibration: Calibration, width: int, height: int) -> DepthMap | None:
    """Read the depth picture at the image's size; None where there is none of its aspect."""
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
    image = message.data.reshape(message.height, message.width, 3)
    return np.ascontiguousarray(image if message.encoding == "rgb8" else image[..., ::-1])


def floats(message: Any) -> NDArray[np.float32]:  # noqa: ANN401 - rosbags' Image
    """Return the values (height, width) of an Image in 32FC1."""
    values = message.data.view(np.float32).reshape(message.height, message.width)
    return np.asarray(values.copy(), np.float32)


def _points(message: Any) -> NDArray[np.float32]:  # noqa: ANN401 - rosbags' PointCloud2
    """Return x, y, z, the first fields, of the points (n, 3)."""
    rows = message.data.reshape(-1, message.point_step)[:, :12]
    return np.ascontiguousarray(rows).view(np.float32)


def _camera(info: Any) -> Camera | None:  # noqa: ANN401 - rosbags' CameraInfo
    try:
        return Camera.from_info(info)
    except CameraError as error:
        if error.reason == "uncalibrated":
            return None
        raise


def T_camera_lidar(folder: Path) -> NDArray[np.float64]:  # noqa: N802 - the field's name
    """Read where the robot's LiDAR is in its optical frame: ROS 2 from PyPI has no /tf_static."""
    return _matrices(folder, "T_camera_lidar").reshape(4, 4)


def T_world_camera(folder: Path) -> NDArray[np.float64]:  # noqa: N802
    """Read where the robot's camera was at each picture, (n, 4, 4): likewise, it has no /tf."""
    return _matrices(folder, "T_world_camera")


def _matrices(folder: Path, name: str) -> NDArray[np.float64]:
    described = json.loads((folder / "robot.json").read_text())
    return np.array(described[name], np.float64).reshape(-1, 4, 4)
