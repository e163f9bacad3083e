"""Read rosbag2 without ROS: which cameras it has, their CameraInfo, its frames, its ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera_lookup import CameraLookup, Match, frame_name
from depth_anything_ros.core.errors import (
    CameraError,
    DepthAnythingError,
    ParameterError,
    SourceError,
    first_line,
    quoted,
)
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.core.range_messages import (
    cloud_points,
    landmark_points,
    range_points,
    scan_points,
)
from depth_anything_ros.core.transforms import Transforms

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, TF = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
# What makes points (n, 3) of a message in its frame; of a depth image, its camera is needed.
RANGES: dict[str, Callable[[Any], NDArray[np.floating]] | None] = {
    "sensor_msgs/msg/PointCloud2": cloud_points,
    "sensor_msgs/msg/PointCloud": landmark_points,
    "sensor_msgs/msg/LaserScan": scan_points,
    "sensor_msgs/msg/Range": range_points,
    IMAGE: None,
}
# Older bags say not of what they are: the types of the distribution that writes such ones.
_UNSAID = "humble"
# The first names are those that drivers and image_proc use for the pictures of a camera.
_USUAL = ("image_raw", "image", "image_color", "image_rect_color", "image_rect", "image_mono")
_DEPTH_WORDS = ("depth", "disparity", "confidence", "mask", "label", "infra")
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1", "16SC1", "32FC2")
# A header begins with the stamp, behind the four bytes of the encapsulation.
_STAMP_BYTES = slice(4, 12)
_BACK_NS = 1_000_000_000


def rosbags_missing(error: ImportError) -> ParameterError:
    """Say that rosbags is not installed."""
    return ParameterError(f"bags are read by rosbags, which is missing: {how_to_install('bag')}")


@dataclass(frozen=True)
class CameraTopics:
    """A camera of a bag.

    Attributes:
        image: topic of its Image or CompressedImage.
        info: topic of its CameraInfo; None where there is none.
    """

    image: str
    info: str | None

    @property
    def namespace(self) -> str:
        """What its topics begin with, without a slash at the end; "" is the root."""
        return self.image.removesuffix("/compressed").rpartition("/")[0]

    @property
    def is_rectified(self) -> bool:
        """Say whether its pictures come rectified, by the convention of image_proc."""
        base = self.image.removesuffix("/compressed").rpartition("/")[2]
        return base.startswith("image_rect")


class Bag:
    """A rosbag2 that is open for reading: sqlite3 or MCAP, compressed or not.

    Args:
        path: a folder with metadata.yaml, or a .mcap or .db3 file.

    Attributes:
        path: as given.
        connections: of all topics.

    Raises:
        SourceError: where it cannot be read.
        ParameterError: where rosbags is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.rosbag2 import Reader
        except ImportError as error:
            raise rosbags_missing(error) from error
        self.path = path
        if path.suffix == ".bag":
            raise SourceError(
                f"{path} is a bag of ROS 1; convert it: rosbags-convert --src {path} --dst FOLDER"
            )
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # of whatever a broken file makes of rosbags
            raise self._unreadable(error) from error
        self.connections: list[Connection] = list(self._reader.connections)

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError(
            f"cannot read the bag {self.path}: {first_line(error)}; expected a folder with "
            "metadata.yaml, or a .mcap or .db3 file (ros2 bag reindex mends one that was cut off)"
        )

    @cached_property
    def types(self) -> Typestore:
        """The types of its messages: as it defines them itself, or those of its distribution."""
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        said = (self._reader.ros_distro or _UNSAID).upper()
        names = {store.name.removeprefix("ROS2_"): store for store in Stores}
        store = get_typestore(names.get(said, Stores.ROS2_JAZZY))
        for connection in self.connections:
            text = connection.msgdef.data
            if connection.msgdef.format.name == "MSG":
                found = get_types_from_msg(text, connection.msgtype)
            elif connection.msgdef.format.name == "IDL":
                parts = text.split("=" * 80 + "\n") if text.startswith("=" * 80) else ["\n" + text]
                found = {}
                for part in filter(None, parts):
                    found |= get_types_from_idl(part.partition("\n")[2])
            else:
                continue
            for name in found:
                store.fielddefs.pop(name, None)
            store.register(found)
        return store

    def of_topic(self, topic: str) -> list[Connection]:
        """Return the connections of a topic; there are several where publishers differ."""
        return [one for one in self.connections if one.topic == topic]

    def type_of(self, topic: str) -> str:
        """Return the type of a topic.

        Raises:
            ParameterError: where the bag has no such topic.
        """
        found = self.of_topic(topic)
        if not found:
            topics = ", ".join(sorted({one.topic for one in self.connections})) or "no topics"
            raise ParameterError(
                f"the bag {self.path} has no topic {quoted(topic)}; it has {topics}"
            )
        return found[0].msgtype

    def messages(
        self, topics: Sequence[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Read messages as they lie in the bag.

        Args:
            topics: of which; all where None.
            start: the time of recording, ns, from which on.
            stop: the time of recording, ns, before which.

        Raises:
            SourceError: where it cannot be read.
        """
        wanted = self.connections
        if topics is not None:
            wanted = [one for one in wanted if one.topic in topics]
            if not wanted:
                return
        try:
            yield from self._reader.messages(wanted, start, stop)
        except Exception as error:  # as above
            raise self._unreadable(error) from error

    def read(self, connection: Connection, data: bytes) -> Any:  # noqa: ANN401 - of rosbags
        """Return a message as an object with the fields of its type.

        Raises:
            SourceError: where the bytes are of another type.
        """
        try:
            return self.types.deserialize_cdr(data, connection.msgtype)
        except Exception as error:  # as above
            raise SourceError(
                f"a message of {connection.topic} is no {connection.msgtype}: {first_line(error)}"
            ) from error

    def first(self, topic: str) -> Any:  # noqa: ANN401 - of rosbags
        """Return the first message of a topic; None where it has none."""
        for connection, _, data in self.messages([topic]):
            return self.read(connection, data)
        return None


def stamp_of(header: Any) -> int:  # noqa: ANN401 - of rosbags
    """Return the stamp of a header, ns."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


# Cameras -------------------------------------------------------------------------------------


def find_cameras(bag: Bag, images: Sequence[str], infos: Sequence[str]) -> list[CameraTopics]:
    """Find the cameras of a bag: those that are named, or each CameraInfo with its pictures.

    Args:
        bag: open.
        images: topics of pictures; where there are none, they are found.
        infos: topics of CameraInfo in the order of images; where there are none, they are found.

    Raises:
        ParameterError: on a topic that is not there or of another type; where there is no camera.
    """
    _check_types(bag, images, (IMAGE, COMPRESSED))
    _check_types(bag, infos, (CAMERA_INFO,))
    if infos and len(infos) != len(images):
        raise ParameterError(
            f"{len(infos)} times --camera-info and {len(images)} times --image: give one for each, "
            "in the same order, or none"
        )
    if images:
        if infos:
            return [CameraTopics(*pair) for pair in zip(images, infos, strict=True)]
        return [CameraTopics(image, _info_beside(bag, image)) for image in images]
    found = [_pictures_of(bag, one.topic) for one in bag.connections if one.msgtype == CAMERA_INFO]
    cameras = sorted({camera.image: camera for camera in found if camera is not None}.items())
    if not cameras:
        pictures = sorted({c.topic for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)})
        raise ParameterError(
            f"no Image beside a CameraInfo in {bag.path}: name a topic with --image "
            f"(of pictures it has {', '.join(pictures) or 'none'})"
        )
    return [camera for _, camera in cameras]


def _check_types(bag: Bag, topics: Sequence[str], expected: tuple[str, ...]) -> None:
    for topic in topics:
        if bag.type_of(topic) not in expected:
            raise ParameterError(
                f"{topic} is {bag.type_of(topic)}; expected {' or '.join(expected)}"
            )


def _info_beside(bag: Bag, image: str) -> str | None:
    """Find the CameraInfo of a picture: in its namespace, or of its frame_id."""
    topics = sorted({one.topic for one in bag.connections if one.msgtype == CAMERA_INFO})
    namespace = CameraTopics(image, None).namespace
    if f"{namespace}/camera_info" in topics:
        return f"{namespace}/camera_info"
    picture = bag.first(image)
    for topic in topics if picture is not None else ():
        info = bag.first(topic)
        if info is not None and _same_frame(info, picture):
            return topic
    return None


def _same_frame(one: Any, other: Any) -> bool:  # noqa: ANN401 - messages with headers
    return frame_name(one.header.frame_id) == frame_name(other.header.frame_id)


def _pictures_of(bag: Bag, info: str) -> CameraTopics | None:
    """Find the pictures of a CameraInfo: beside it, or else of its frame_id."""
    pictures = {c.topic: c for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)}
    namespace = info.rpartition("/")[0]
    beside = [t for t in pictures if CameraTopics(t, None).namespace == namespace]
    for topic in sorted(beside, key=_preference):
        picture = bag.first(topic)
        if picture is not None and not _is_depth(topic, picture):
            return CameraTopics(topic, info)
    said = None if beside else bag.first(info)
    for topic in sorted(pictures, key=_preference) if said is not None else ():
        picture = bag.first(topic)
        if picture is None or _is_depth(topic, picture) or not _same_frame(said, picture):
            continue
        if _info_beside(bag, topic) == info:  # and it has none of its own
            return CameraTopics(topic, info)
    return None


def _preference(topic: str) -> tuple[int, bool, str]:
    """Sort the usual names first, and of one picture the one that was not compressed."""
    base = topic.removesuffix("/compressed").rpartition("/")[2]
    rank = _USUAL.index(base) if base in _USUAL else len(_USUAL)
    return rank, topic.endswith("/compressed"), topic


def _is_depth(topic: str, picture: Any) -> bool:  # noqa: ANN401 - of rosbags
    """Say whether a topic is of depth or of something else that is no picture."""
    said = str(getattr(picture, "encoding", "") or getattr(picture, "format", ""))
    is_depth = said in _DEPTH_ENCODINGS or "compressedDepth" in said
    namespace, _, base = topic.removesuffix("/compressed").rpartition("/")
    # depth/image_color is depth_node's, for people to look at.
    named = namespace.rpartition("/")[2] in _DEPTH_WORDS or any(w in base for w in _DEPTH_WORDS)
    return is_depth or said.startswith(("16UC1", "32FC1")) or named


# What is read ahead ----------------------------------------------------------------------------


@dataclass
class CameraInfos:
    """The CameraInfo of one topic: each time that it says something else than before.

    Attributes:
        stamps: ns, rising.
        lookups: what answers from that stamp on.
    """

    stamps: list[int] = field(default_factory=list)
    lookups: list[CameraLookup] = field(default_factory=list)
    _said: bytes = b""

    def add(self, message: Any, data: bytes) -> None:  # noqa: ANN401 - of rosbags
        """Take a message and its bytes."""
        said = data[: _STAMP_BYTES.start] + data[_STAMP_BYTES.stop :]
        if said != self._said:
            self._said = said
            self.stamps.append(max(stamp_of(message.header), *self.stamps[-1:], 0))
            self.lookups.append(CameraLookup())
            self.lookups[-1].update(message)

    def match(self, header: Any, width: int, height: int, is_rectified: bool) -> Match:  # noqa: ANN401
        """Return the camera of a picture, as ``CameraLookup.match`` does.

        Raises:
            CameraError: where there is none.
        """
        if not self.stamps:
            raise CameraError("the bag has no CameraInfo of it", reason="no_camera_info")
        lookup = self.lookups[max(bisect_right(self.stamps, stamp_of(header)) - 1, 0)]
        return lookup.match(header.frame_id, width, height, True, is_rectified)


@dataclass(frozen=True)
class Contents:
    """What has to be known of a bag before its pictures are answered.

    Attributes:
        times: of recording of each picture, ns, rising.
        infos: by topic.
        transforms: of /tf and /tf_static.
    """

    times: list[int]
    infos: dict[str, CameraInfos]
    transforms: Transforms


def look_through(bag: Bag, cameras: Sequence[CameraTopics], with_frames: bool) -> Contents:
    """Read a bag once for what is known of its cameras and, where asked, of its frames."""
    images = {camera.image for camera in cameras}
    infos = {camera.info: CameraInfos() for camera in cameras if camera.info is not None}
    frames = {c.topic for c in bag.connections if c.msgtype == TF} if with_frames else set()
    times, transforms = [], Transforms()
    for connection, time_ns, data in bag.messages([*images, *infos, *frames]):
        topic = connection.topic
        if topic in images:
            times.append(time_ns)
        elif topic in infos:
            infos[topic].add(bag.read(connection, data), data)
        else:
            _add_frames(transforms, bag.read(connection, data), topic.endswith("tf_static"))
    return Contents(sorted(times), infos, transforms)


def _add_frames(transforms: Transforms, message: Any, is_static: bool) -> None:  # noqa: ANN401
    for one in message.transforms:
        t, q = one.transform.translation, one.transform.rotation
        if any((q.x, q.y, q.z, q.w)):
            transforms.add(
                one.header.frame_id,
                one.child_frame_id,
                stamp_of(one.header),
                (t.x, t.y, t.z),
                (q.x, q.y, q.z, q.w),
                is_static,
            )


# Ranges ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ranges:
    """One message of a range sensor.

    Attributes:
        topic: where it came.
        message: of one of the types RANGES.
        kind: its type.
    """

    topic: str
    message: Any
    kind: str

    @property
    def stamp_ns(self) -> int:
        """When it was measured."""
        return stamp_of(self.message.header)

    @cached_property
    def points(self) -> NDArray[np.floating] | None:
        """Points (n, 3) in its frame; None of a depth image, whose camera is not known here.

        Raises:
            DepthAnythingError: where they cannot be read.
        """
        read = RANGES[self.kind]
        return None if read is None else read(self.message)


class RangeStream:
    """Go through the messages of a range sensor as the pictures go on.

    Args:
        bag: open.
        topic: of one of the types RANGES.
        start: the time of recording, ns, at which the pictures begin; None is the bag's.
        within_s: no message is farther from its picture, by the stamps.
    """

    def __init__(self, bag: Bag, topic: str, start: int | None, within_s: float) -> None:
        self._bag, self._within_ns = bag, round(within_s * 1e9)
        back = self._within_ns + _BACK_NS
        self._coming = bag.messages([topic], None if start is None else start - back)
        self._kept: list[Ranges] = []
        self._newest_ns = -(1 << 63)

    def nearest(self, stamp_ns: int) -> Ranges | None:
        """Return the message whose stamp is nearest to a picture's; None where none is near."""
        oldest = stamp_ns - self._within_ns - _BACK_NS
        self._kept = [ranges for ranges in self._kept if ranges.stamp_ns >= oldest]
        while self._newest_ns < stamp_ns + self._within_ns:
            found = next(self._coming, None)
            if found is None:
                break
            connection, _, data = found
            ranges = Ranges(connection.topic, self._bag.read(connection, data), connection.msgtype)
            self._newest_ns = max(self._newest_ns, ranges.stamp_ns)
            if ranges.stamp_ns >= oldest:
                self._kept.append(ranges)
        near = min(self._kept, key=lambda one: abs(one.stamp_ns - stamp_ns), default=None)
        if near is None or abs(near.stamp_ns - stamp_ns) > self._within_ns:
            return None
        return near


def check_ranges_topics(bag: Bag, topics: Sequence[str]) -> None:
    """Refuse topics that are not there or do not measure ranges.

    Raises:
        ParameterError: naming the topic.
    """
    for topic in topics:
        if bag.type_of(topic) not in RANGES:
            raise ParameterError(
                f"{topic} is {bag.type_of(topic)}, which measures no ranges; expected "
                f"{', '.join(RANGES)}"
            )


def no_ranges(topic: str, within_s: float) -> DepthAnythingError:
    """Say that no message is near a picture."""
    return DepthAnythingError(
        f"no message of {topic} within {within_s:g} s of the picture: see --max-offset", "no_ranges"
    )
