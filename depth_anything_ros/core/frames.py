"""Pictures from a file, a folder, a numbered sequence or a video, one after the other."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import is_utf8, user_path
from depth_anything_ros.core.picture_files import decode_file

_LOG = logging.getLogger(__name__)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_NUMBER = re.compile(r"%0?\d*d")


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A picture and its name.

    Attributes:
        bgr: uint8 (height, width, 3), in OpenCV's channel order.
        name: path of the file, with ``#index`` for a frame of a video.
    """

    bgr: NDArray[np.uint8]
    name: str


class FrameSource:
    """Read frames in order; each iteration starts from the first.

    Args:
        source: a picture, a folder of pictures (in name order), a numbered sequence such as
            ``frame_%06d.png``, or a video file.
        upright: as of ``read_picture``; of a video, by the rotation in its container.

    Raises:
        SourceError: where there is no such file, or no picture in it.
    """

    def __init__(self, source: str, upright: bool = False) -> None:
        path = user_path(source)
        self.upright = upright
        self.is_video = path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
        self.paths = [path] if self.is_video else _pictures(path)

    def __iter__(self) -> Iterator[DecodedFrame]:
        """Yield the frames; a picture that cannot be read is logged and left out."""
        count = 0
        for frame in self._video() if self.is_video else self._pictures():
            count += 1
            yield frame
        if not count:
            raise SourceError(
                f"no frame can be read from {self.paths[0]} ({len(self.paths)} files)"
            )

    def _pictures(self) -> Iterator[DecodedFrame]:
        for path in self.paths:
            try:
                yield DecodedFrame(read_picture(path, self.upright), str(path))
            except SourceError as error:
                _LOG.error("%s; left out", error)

    def _video(self) -> Iterator[DecodedFrame]:
        if not is_utf8(self.paths[0]):  # OpenCV would end the process
            raise SourceError(
                f"cannot read {self.paths[0]}: its name is no UTF-8, and OpenCV opens no such "
                f"video; rename it"
            )
        capture = cv2.VideoCapture(str(self.paths[0]))
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(self.upright))
        try:
            index = 0
            while True:
                read, bgr = capture.read()
                if not read:
                    return
                yield DecodedFrame(np.asarray(bgr, np.uint8), f"{self.paths[0]}#{index}")
                index += 1
        finally:
            capture.release()


def read_picture(path: Path, upright: bool = False) -> NDArray[np.uint8]:
    """Read a picture as uint8 (height, width, 3), BGR.

    A calibration, and depth or points beside a picture, are of the pixels as the sensor wrote
    them. So the file's orientation (EXIF) is left aside, unless nothing goes with the picture.

    Args:
        path: of a file.
        upright: turn and mirror it as its orientation says, for pictures that have no camera.

    Raises:
        SourceError: where that fails.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(decode_file(path, flags), np.uint8)


def _pictures(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        expected = f"a picture in the folder ({', '.join(PICTURE_SUFFIXES)})"
    elif _NUMBER.search(path.name):
        pattern = re.compile(
            r"(\d+)".join(re.escape(part) for part in _NUMBER.split(path.name, maxsplit=1))
        )
        folder = path.parent.iterdir() if path.parent.is_dir() else iter(())
        numbered = [(int(m[1]), p) for p in folder if (m := pattern.fullmatch(p.name))]
        found = [p for _, p in sorted(numbered)]
        expected = f"files numbered as {path.name}"
    else:
        found = [path] if path.is_file() else []
        expected = "a picture, a folder, a sequence such as frame_%06d.png, or a video"
    if not found:
        raise SourceError(f"nothing to play at {path}: expected {expected}")
    return found
