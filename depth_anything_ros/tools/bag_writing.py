"""Write rosbag2 in MCAP, in files each of which stands or falls as a whole."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from depth_anything_ros.core.depth import ESTIMATES
from depth_anything_ros.core.depth_files import millimetres
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import atomically, claim_folder, read_document, write_atomically
from depth_anything_ros.core.message_layout import (
    camera_layout,
    cloud_kind,
    cloud_layout,
    image_layout,
)
from depth_anything_ros.pipeline.answer import Answer
from depth_anything_ros.tools.bag_reading import CAMERA_INFO, IMAGE, Bag

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos

# What steadiers remember, by the topic of their pictures.
Maps = Mapping[str, Mapping[str, NDArray[Any]]]
CLOUD = "sensor_msgs/msg/PointCloud2"
# Read by all distributions from Humble on; Humble refuses the next one.
_VERSION: Literal[8] = 8
_INFORMATION = "rosbag2_bagfile_information"
# Of a type that neither the bag nor this package knows: readers take it for unknown.
_NO_HASH = "RIHS01_" + "0" * 64


@dataclass(frozen=True)
class AnswerStyle:
    """How answers become messages.

    Attributes:
        encoding: of depth in metres, 32FC1 or 16UC1.
        points: whether clouds are written.
    """

    encoding: str = "32FC1"
    points: bool = True

    def topics(self, kind: str) -> dict[str, str]:
        """Return the names of what is written of a kind of estimates, and their types."""
        image = f"{ESTIMATES[kind].name}/image_rect"  # type: ignore[index]
        cloud = {"points": CLOUD} if self.points and kind == "metric" else {}
        return {image: IMAGE, "depth/camera_info": CAMERA_INFO, **cloud}


class AnswerMessages:
    """Make messages of answers, of the types of rosbags.

    Args:
        style: how.
    """

    def __init__(self, style: AnswerStyle) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._style = style
        # These types are the same in all distributions.
        self.types = get_typestore(Stores.ROS2_HUMBLE)
        self._kinds = self.types.types

    def of(self, header: Any, answer: Answer) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        """Return messages by the names of their topics.

        Args:
            header: of the image.
            answer: to it.
        """
        estimate = answer.estimate
        if estimate is not None:
            yield f"{estimate.name}/image_rect", self._depth(header, answer)
        camera = dict.fromkeys(("height", "width"), 0) | camera_layout(answer.camera, answer.size)
        yield "depth/camera_info", self._camera_info(header, camera)
        cloud = answer.cloud() if self._style.points else None
        if cloud is not None:
            kind = cloud_kind(cloud.points.shape[2])
            fields, points = cloud_layout(cloud.points, kind, cloud.is_dense)
            make = self._kinds["sensor_msgs/msg/PointField"]
            yield (
                "points",
                self._kinds[CLOUD](
                    header=header,
                    fields=[make(**point) for point in points],
                    is_bigendian=False,
                    data=_bytes(cloud.points),
                    **fields,
                ),
            )

    def _depth(self, header: Any, answer: Answer) -> Any:  # noqa: ANN401
        assert answer.estimate is not None
        values: NDArray[Any] = answer.estimate.values
        encoding = self._style.encoding if answer.estimate.metric is not None else "32FC1"
        if encoding == "16UC1":
            values = millimetres(answer.estimate.values)
        fields = image_layout(values, encoding)
        return self._kinds[IMAGE](header=header, is_bigendian=0, data=_bytes(values), **fields)

    def _camera_info(self, header: Any, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401
        roi = self._kinds["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        matrices = {"d": (), "k": (0.0,) * 9, "r": (0.0,) * 9, "p": (0.0,) * 12} | dict(fields)
        arrays = {name: np.array(matrices.pop(name), np.float64) for name in "dkrp"}
        blank: dict[str, Any] = {"distortion_model": "", "binning_x": 0, "binning_y": 0, "roi": roi}
        return self._kinds[CAMERA_INFO](header=header, **blank | matrices | arrays)

    def qos(self) -> Qos:
        """Return the quality of service that the nodes publish with."""
        from rosbags.interfaces import (
            Qos,
            QosDurability,
            QosHistory,
            QosLiveliness,
            QosReliability,
            QosTime,
        )

        never = QosTime(9223372036, 854775807)
        return Qos(
            QosHistory.KEEP_LAST,
            2,
            QosReliability.RELIABLE,
            QosDurability.VOLATILE,
            never,
            never,
            QosLiveliness.AUTOMATIC,
            never,
            False,
        )


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


class BagFile:
    """One file of a bag that is written.

    Args:
        folder: to write it in; nothing else is there.
        original: the bag that is read, of which all topics are taken over; None takes none.
        types: of the topics that are new, by name.
        messages: makes the messages of these.
        note: what the bag says of how it was made.
    """

    def __init__(
        self,
        folder: Path,
        original: Bag | None,
        types: Mapping[str, str],
        messages: AnswerMessages,
        note: Mapping[str, str],
    ) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._messages = messages
        self._writer = Writer(folder, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        for key, value in note.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        self._copies: dict[int, Connection] = {}
        for connection in original.connections if original is not None else ():
            self._copies[id(connection)] = self._copy(original, connection)  # type: ignore[arg-type]
        self._new = {
            topic: self._writer.add_connection(
                topic, kind, typestore=messages.types, offered_qos_profiles=[messages.qos()]
            )
            for topic, kind in types.items()
        }

    def _copy(self, bag: Bag, connection: Connection) -> Connection:
        """Add a topic as it was recorded: its type's definition and its publishers' QoS."""
        for known in self._copies.values():
            same = (known.topic, known.msgtype, known.ext)
            if same == (connection.topic, connection.msgtype, connection.ext):
                return known
        definition, digest = _definition(bag, connection)
        return self._writer.add_connection(
            connection.topic,
            connection.msgtype,
            msgdef=definition,
            rihs01=digest,
            serialization_format=connection.ext.serialization_format,  # type: ignore[union-attr]
            offered_qos_profiles=connection.ext.offered_qos_profiles,  # type: ignore[union-attr]
        )

    def copy(self, connection: Connection, time_ns: int, data: bytes) -> None:
        """Write a message of the original as it is."""
        self._writer.write(self._copies[id(connection)], time_ns, data)

    def add(self, topic: str, time_ns: int, message: Any) -> None:  # noqa: ANN401 - of rosbags
        """Write a message of a new topic."""
        connection = self._new[topic]
        data = self._messages.types.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, time_ns, data)

    def __enter__(self) -> BagFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)


def _definition(bag: Bag, connection: Connection) -> tuple[str, str]:
    """Return a type's definition and hash; of a type that nobody knows, none."""
    text, digest, kind = connection.msgdef.data, connection.digest, connection.msgtype
    if kind in bag.types.fielddefs:
        text = text or bag.types.generate_msgdef(kind, ros_version=2)[0]
        digest = digest or bag.types.hash_rihs01(kind)
    return text, digest or _NO_HASH


# All files together ----------------------------------------------------------------------------


def assemble(folders: Sequence[Path], output: Path, path: Path) -> None:
    """Make one bag of the files in folders, in their order; may be called again after a stop.

    Args:
        folders: of one file each, with its metadata.
        output: a folder beside them, where they are gathered.
        path: the bag, which is there once all is.
    """
    output.mkdir(exist_ok=True)
    parts = []
    for folder in folders:
        said = read_document(folder / "metadata.yaml", "the metadata")[_INFORMATION]
        parts.append(said)
        for name in said["relative_file_paths"]:
            if (folder / name).exists():
                (folder / name).replace(output / name)
    text = yaml.safe_dump({_INFORMATION: _together(parts)}, sort_keys=False)
    write_atomically(output / "metadata.yaml", text.encode(), SourceError)
    output.replace(path)


def _together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata of files that follow each other, of the same topics."""
    files = [one for part in parts for one in part["files"]]
    filled = [one for one in files if one["message_count"]]
    starts = [one["starting_time"]["nanoseconds_since_epoch"] for one in filled]
    ends = [
        start + one["duration"]["nanoseconds"] for start, one in zip(starts, filled, strict=True)
    ]
    topics = [dict(topic) for topic in parts[0]["topics_with_message_count"]]
    for place, topic in enumerate(topics):
        counts = [part["topics_with_message_count"][place]["message_count"] for part in parts]
        topic["message_count"] = sum(counts)
    return {
        **parts[0],
        "relative_file_paths": [one["path"] for one in files],
        "duration": {"nanoseconds": max(ends, default=0) - min(starts, default=0)},
        "starting_time": {"nanoseconds_since_epoch": min(starts, default=0)},
        "message_count": sum(one["message_count"] for one in files),
        "topics_with_message_count": topics,
        "files": files,
    }


class Parts:
    """The folder beside a bag where its files are made; what is done there stays done.

    Args:
        path: the bag that becomes of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(f".{path.name}.partial")

    def claim(self, made_of: Mapping[str, Any]) -> None:
        """Make the folder, or refuse one that was begun in another way.

        Raises:
            SourceError: where that is so, or it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"cannot write {self.folder}: {error.strerror}") from error
        claim_folder(self.folder / "made_of.json", made_of, "parts of a bag")

    def file(self, number: int) -> Path:
        """Return the folder of a file."""
        return self.folder / f"{self.path.name}_{number}"

    def done(self, number: int) -> dict[str, Any] | None:
        """Return what was noted of a file that is whole; None of another, which is removed."""
        note = self._note(number)
        if note.is_file():
            found: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
            return found
        shutil.rmtree(self.file(number), ignore_errors=True)
        return None

    def finish(self, number: int, facts: Mapping[str, Any]) -> None:
        """Note that a file is whole."""
        write_atomically(self._note(number), json.dumps(facts).encode(), SourceError)

    def keep(self, number: int, memory: Maps) -> None:
        """Keep what is remembered of pictures up to the end of a file, before that is noted."""
        maps = {f"{topic} {name}": m for topic, of in memory.items() for name, m in of.items()}
        with atomically(self._kept(number), SourceError) as partial, partial.open("wb") as file:
            np.savez(file, **maps)  # type: ignore[arg-type]  # of any names

    def kept(self, number: int) -> Maps:
        """Return what ``keep`` was given of a file; nothing where there is none."""
        memory: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
        if self._kept(number).is_file():
            with np.load(self._kept(number)) as maps:
                for key, values in maps.items():
                    topic, _, name = key.partition(" ")
                    memory[topic][name] = values
        return memory

    def drop(self, number: int) -> None:
        """Remove what was kept of a file, once that of the next is noted."""
        self._kept(number).unlink(missing_ok=True)

    def _kept(self, number: int) -> Path:
        return self.folder / f"{number}.npz"

    def _note(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    def assemble(self, count: int) -> None:
        """Make the bag of all files, and remove what was beside it."""
        folders = [self.file(number) for number in range(count)]
        assemble(folders, self.folder / "whole", self.path)
        shutil.rmtree(self.folder, ignore_errors=True)
