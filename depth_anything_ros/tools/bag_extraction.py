"""``depth_anything bag --extract``: folders of pictures and sparse depth, to train and evaluate."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.anchors import AnchorOptions, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth_files import png_bytes
from depth_anything_ros.core.errors import DepthAnythingError, SourceError, first_line
from depth_anything_ros.core.files import claim_folder, write_atomically
from depth_anything_ros.core.recording import camera_fields, load_calibration
from depth_anything_ros.pipeline.image import ImageRectifier, RectifiedImage
from depth_anything_ros.tools.bag_pictures import BagPicture, PictureReader, PointFinder
from depth_anything_ros.tools.bag_reading import (
    IMAGE,
    Bag,
    CameraTopics,
    Contents,
    look_through,
    stamp_of,
)
from depth_anything_ros.tools.options import check_least
from depth_anything_ros.tools.progress import Progress, say

# As of KITTI's depth pictures: up to 256 m in steps of 4 mm.
DEPTH_SCALE_M = 1 / 256
_MOST_STEPS = 65535


@dataclass(frozen=True)
class Extraction:
    """What is taken out of a bag.

    Attributes:
        lidar: topics of ranges.
        max_offset: s, that their stamps may differ by from a picture's.
        rectify: as of ``DepthOptions``.
        every: every so many of the pictures that have ranges.
    """

    lidar: Sequence[str]
    max_offset: float = 0.05
    rectify: str = "auto"
    every: int = 1


def run_extraction(bag: Bag, cameras: Sequence[CameraTopics], options: argparse.Namespace) -> int:
    """Write the folders of the verb; return the exit status."""
    check_least("--every", options.every)
    extraction = Extraction(options.lidar, options.max_offset, options.rectify, options.every)
    skipped = extract(bag, cameras, options.extract, extraction)
    return 1 if skipped else 0


def extract(
    bag: Bag, cameras: Sequence[CameraTopics], folder: Path, extraction: Extraction
) -> Counter[str]:
    """Write a folder that training and evaluation read; of several cameras, a folder each in it.

    In it are ``calib.json``, the camera of all its pictures; ``image_STAMP.png``; and, where there
    are ranges, ``image_STAMP_depth.png``, 16 bits, metres = value · depth_scale_m of calib.json.
    What is there already is left as it is.

    Args:
        bag: open.
        cameras: of it.
        folder: to write.
        extraction: what is taken.

    Returns:
        How many pictures were left out for what is wrong with them, by reason.

    Raises:
        SourceError: where the bag cannot be read or the folder cannot be written.
    """
    say(f"looking through {bag.path}")
    contents = look_through(bag, cameras, with_frames=bool(extraction.lidar))
    folders = [folder / _name(camera) for camera in cameras] if len(cameras) > 1 else [folder]
    total: Counter[str] = Counter()
    for camera, path in zip(cameras, folders, strict=True):
        writer = _FolderWriter(bag, camera, contents, path, extraction)
        writer.write()
        say(*writer.summary())
        total += writer.faults
    return total


def _name(camera: CameraTopics) -> str:
    return camera.namespace.strip("/").replace("/", "_") or "camera"


@dataclass(eq=False)
class _FolderWriter:
    """The pictures of one camera."""

    bag: Bag
    topics: CameraTopics
    contents: Contents
    folder: Path
    extraction: Extraction
    faults: Counter[str] = field(default_factory=Counter)
    apart: int = 0
    written: int = 0

    def __post_init__(self) -> None:
        asked = self.extraction
        self._reader = PictureReader(self.bag, self.contents, asked.rectify)
        self._rectifier = ImageRectifier()
        self._points = PointFinder(
            self.bag, asked.lidar, self.contents.transforms, None, asked.max_offset
        )
        kinds = {self.bag.type_of(topic) for topic in asked.lidar}
        # A depth camera that is registered sees what the picture sees.
        hiding = 0.0 if kinds == {IMAGE} else AnchorOptions.occlusion_ratio
        self._kept = AnchorOptions(
            max_m=DEPTH_SCALE_M * _MOST_STEPS, occlusion_ratio=hiding, cell_px=1, max_count=10**9
        )
        calibration = self.folder / "calib.json"
        self._camera = load_calibration(calibration).camera if calibration.is_file() else None
        self._found = 0

    def write(self) -> None:
        """Write all of them."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"cannot write {self.folder}: {error.strerror}") from error
        made_of = {"bag": str(self.bag.path.resolve()), "camera": self.topics.image}
        made_of |= vars(self.extraction)
        claim_folder(self.folder / "extracted.json", made_of, "pictures")
        count = sum(c.msgcount for c in self.bag.of_topic(self.topics.image))
        with Progress(count, "pictures") as progress:
            for connection, _, data in self.bag.messages([self.topics.image]):
                try:
                    self._write_one(self.bag.read(connection, data))
                except DepthAnythingError as error:
                    if isinstance(error, SourceError):
                        raise
                    self._leave_out(error)
                progress.add(1)

    def _leave_out(self, error: DepthAnythingError) -> None:
        if error.reason == "no_ranges":  # a camera is faster than its LiDAR
            self.apart += 1
            return
        self.faults[error.reason] += 1
        self._reader.say_once(self.topics.image, error.reason, f"left out: {first_line(error)}")

    def _write_one(self, message: Any) -> None:  # noqa: ANN401 - of rosbags
        stamp_ns = stamp_of(message.header)
        name = f"image_{stamp_ns:019d}"
        self._points.check_ranges(stamp_ns)
        self._found += 1
        if (self._found - 1) % self.extraction.every:
            return
        if (self.folder / f"{name}.png").is_file():  # which is written last
            self.written += 1
            return
        picture = self._reader.read(self.topics, message)
        if picture.camera is None:
            raise picture.problem or DepthAnythingError("it has no CameraInfo", "no_camera_info")
        image = self._rectifier.rectified(
            picture.rgb, picture.camera, self.extraction.rectify, self.topics.is_rectified
        )
        assert image.camera is not None
        depth = self._depth(picture, image)
        self._keep_camera(image.camera)
        if depth is not None:
            self._save(f"{name}_depth.png", depth)
        self._save(f"{name}.png", image.rgb)
        self.written += 1

    def _depth(self, picture: BagPicture, image: RectifiedImage) -> NDArray[np.uint16] | None:
        """Return the ranges on the grid of an image in steps, 0 unknown; None without a LiDAR."""
        if not self.extraction.lidar:
            return None
        assert image.camera is not None
        points, problem = self._points.points(picture, image.camera)
        anchors = select_anchors(points, image.camera, None, self._kept)
        if not len(anchors):
            raise problem or DepthAnythingError("no point is in view", "no_ranges")
        steps = np.zeros(image.rgb.shape[:2], np.uint16)
        steps[anchors.indices] = np.rint(anchors.depth_m / DEPTH_SCALE_M)
        if image.valid is not None:
            steps[~image.valid] = 0
        return steps

    def _keep_camera(self, camera: Camera) -> None:
        """Write the camera of all pictures; leave out those of another, after a zoom, say."""
        if self._camera is None:
            self._camera = camera
            fields = {**camera_fields(camera), "depth_scale_m": DEPTH_SCALE_M}
            text = json.dumps(fields, indent=1)
            write_atomically(self.folder / "calib.json", text.encode(), SourceError)
        elif camera != self._camera:
            raise DepthAnythingError("its camera is not that of the first", "camera_changed")

    def _save(self, name: str, values: NDArray[Any]) -> None:
        write_atomically(self.folder / name, png_bytes(values), SourceError)

    def summary(self) -> list[str]:
        """Say what was done."""
        lines = [f"{self.written} pictures in {self.folder}"]
        if self.apart:
            lines.append(f"{self.apart} have no ranges of their time (--max-offset)")
        lines += [f"{count} left out: {why}" for why, count in sorted(self.faults.items())]
        return lines
