"""From the messages of a bag to pictures with their cameras, and the points of their time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, DepthAnythingError
from depth_anything_ros.core.image_decoding import ImageDecoder
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.core.range_messages import sparse_depth_points
from depth_anything_ros.core.transforms import Transforms
from depth_anything_ros.pipeline.anchor import NO_POINTS
from depth_anything_ros.pipeline.image import takes_as_rectified
from depth_anything_ros.tools.bag_reading import (
    Bag,
    CameraTopics,
    Contents,
    Ranges,
    RangeStream,
    no_ranges,
    stamp_of,
)
from depth_anything_ros.tools.progress import say


@dataclass(frozen=True, eq=False)
class BagPicture:
    """A picture of a bag.

    Attributes:
        topics: of its camera.
        header: of its message.
        rgb: uint8 (height, width, 3), as it was taken.
        camera: of exactly this picture; None where it is not known.
        problem: why it is not.
    """

    topics: CameraTopics
    header: Any
    rgb: NDArray[np.uint8]
    camera: Camera | None
    problem: CameraError | None = None

    @property
    def stamp_ns(self) -> int:
        """When it was taken."""
        return stamp_of(self.header)


class PictureReader:
    """Decode pictures and find their cameras; what is odd about them is said once.

    Args:
        bag: open.
        contents: of it.
        rectify: as of ``DepthOptions``.
    """

    def __init__(self, bag: Bag, contents: Contents, rectify: str) -> None:
        self._bag, self._contents, self._rectify = bag, contents, rectify
        self._decoders: dict[str, ImageDecoder] = defaultdict(ImageDecoder)
        self._said: set[tuple[str, str]] = set()

    def read(self, topics: CameraTopics, message: Any) -> BagPicture:  # noqa: ANN401 - of rosbags
        """Return the picture of a message.

        Raises:
            ImageError: where it cannot be decoded.
        """
        decoder = self._decoders[topics.image]
        rgb = decoder.decode(message)
        for cause, text in decoder.doubts.items():
            self.say_once(topics.image, cause, text)
        if topics.info is None:
            return BagPicture(topics, message.header, rgb, None)
        height, width = rgb.shape[:2]
        as_rectified = takes_as_rectified(self._rectify, topics.is_rectified)
        try:
            found = self._contents.infos[topics.info].match(
                message.header, width, height, as_rectified
            )
        except CameraError as error:
            self.say_once(topics.info, error.reason, str(error))
            return BagPicture(topics, message.header, rgb, None, error)
        for remark in found.remarks:
            self.say_once(topics.info, remark.cause, remark.text)
        return BagPicture(topics, message.header, rgb, found.camera)

    def say_once(self, topic: str, cause: str, text: str) -> None:
        """Say something of a topic, once for each cause."""
        if (topic, cause) not in self._said:
            self._said.add((topic, cause))
            say(f"{topic}: {text}")


class PointFinder:
    """Find the points that were measured at the time of a picture, in its frame.

    Args:
        bag: open.
        topics: of range sensors.
        transforms: of the bag.
        start: the time of recording of the first picture, ns; None is the bag's.
        within_s: no message is farther from its picture, by the stamps.
    """

    def __init__(
        self,
        bag: Bag,
        topics: Sequence[str],
        transforms: Transforms,
        start: int | None,
        within_s: float,
    ) -> None:
        self._streams = {topic: RangeStream(bag, topic, start, within_s) for topic in topics}
        self._transforms, self._within_s = transforms, within_s

    def check_ranges(self, stamp_ns: int) -> None:
        """Refuse a picture's stamp that no message is near to; without topics, any will do.

        Raises:
            DepthAnythingError: with the reason ``no_ranges``.
        """
        found = [stream.nearest(stamp_ns) for stream in self._streams.values()]
        if found and not any(found):
            raise no_ranges(" and of ".join(self._streams), self._within_s)

    def points(
        self, picture: BagPicture, camera: Camera
    ) -> tuple[NDArray[np.floating], DepthAnythingError | None]:
        """Return points (n, 3), metres in the frame of a camera, and what kept others out.

        Args:
            picture: as it was taken, its camera known.
            camera: of the picture as it was rectified, or of that as it was taken.
        """
        parts: list[NDArray[np.floating]] = [NO_POINTS]
        problem = None
        for topic, stream in self._streams.items():
            ranges = stream.nearest(picture.stamp_ns)
            try:
                if ranges is None:
                    raise no_ranges(topic, self._within_s)
                parts.append(self._in_camera(ranges, picture))
            except DepthAnythingError as error:
                problem = DepthAnythingError(f"{topic}: {error}", error.reason)
        points = np.concatenate(parts)
        turn = _turn(picture, camera)
        return points if turn is None else points @ turn.T, problem

    def _in_camera(self, ranges: Ranges, picture: BagPicture) -> NDArray[np.floating]:
        assert picture.camera is not None
        if ranges.points is None:
            return sparse_depth_points(ranges.message, picture.camera)
        frame = ranges.message.header.frame_id
        matrix = self._transforms.find(picture.header.frame_id, frame, picture.stamp_ns)
        return transformed(ranges.points, matrix)


def _turn(picture: BagPicture, camera: Camera) -> NDArray[np.float64] | None:
    """Return the rotation from the optical frame to that of a rectified camera, where it is one."""
    assert picture.camera is not None
    R = np.array(picture.camera.R).reshape(3, 3)
    as_taken = picture.camera.as_taken().scaled(camera.width, camera.height)
    is_turned = camera != as_taken and not np.array_equal(R, np.eye(3))
    return R if is_turned else None
