"""What ``depth_anything predict`` reads: which files, where their answers go, and their cameras."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.exif import Exif, read_exif
from depth_anything_ros.core.files import read_file, user_path
from depth_anything_ros.core.frames import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from depth_anything_ros.core.orientation import upright, upright_camera
from depth_anything_ros.core.picture_files import decode_file

# Where nothing says what a camera sees, and the model gives metres: as `demo` takes it.
ASSUMED_HFOV_DEG = 60.0
LIST = "-"
_READ = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True)
class Input:
    """A file to answer.

    Attributes:
        path: of it.
        place: of its answers below the output, without a suffix.
        name: its own path below what all inputs have in common.
    """

    path: Path
    place: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(names: Sequence[str], output: Path, listed: Iterable[str] = ()) -> list[Input]:
    """Find the files of all inputs, each once, in the order of their paths in each input.

    The answers to a file lie as deep below the output as it lies below what all inputs have in
    common, so that no two have one name. Of folders and patterns, what lies in the output is left
    out.

    Args:
        names: files, folders, patterns of ``glob``, or ``-`` for those that are listed.
        output: folder of the answers.
        listed: a file a line.

    Raises:
        SourceError: on an input that is not there, that no file is in, or that is the output.
    """
    found: dict[Path, None] = {}
    bases = []
    for name in names:
        files, base = _listed(listed) if name == LIST else _files(name, _absolute(str(output)))
        found |= dict.fromkeys(files)
        bases.append(base)
    if not found:
        raise SourceError(
            f"no picture and no video in {', '.join(names)} (known are the suffixes "
            f"{', '.join((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES))})"
        )
    return list(_placed(list(found), Path(os.path.commonpath(bases))))


def _placed(files: Sequence[Path], base: Path) -> Iterator[Input]:
    places = [file.relative_to(base) for file in files]
    stems = Counter(place.with_suffix("") for place in places)
    for file, place in zip(files, places, strict=True):
        short = place.with_suffix("")
        yield Input(file, short if stems[short] == 1 else place, str(place))


def _listed(lines: Iterable[str]) -> tuple[list[Path], Path]:
    """Return the files of a list; one that is not there is found out when it is read."""
    names = [line.rstrip("\r\n") for line in lines]
    files = [_absolute(name) for name in names if name.strip()]
    if not files:
        raise SourceError("the list on stdin names no file; expected one a line")
    return files, Path(os.path.commonpath([file.parent for file in files]))


def _files(name: str, output: Path) -> tuple[list[Path], Path]:
    path = _absolute(name)
    if path.is_file():
        return [path], path.parent
    if path.is_dir():
        base, found = path, _below(path)
    elif glob.has_magic(name):
        base = Path(*_before_magic(path.parts))
        found = (Path(match) for match in glob.iglob(str(path), recursive=True))  # noqa: PTH207 - absolute
    else:
        raise SourceError(f"there is no {path}: expected a picture, a video, a folder or a pattern")
    if output == base:
        raise SourceError(
            f"the answers would lie among the pictures of {base}; give another output"
        )
    if base in output.parents:
        found = (file for file in found if output not in file.parents)
    return sorted(file for file in found if _is_known(file) and file.is_file()), base


def _absolute(name: str) -> Path:
    return Path(os.path.abspath(user_path(name)))  # noqa: PTH100 - Path keeps ".." in the middle


def _before_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are not followed."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _is_known(file: Path) -> bool:
    return file.suffix.lower() in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)


class ReadPicture(NamedTuple):
    """A picture that stands upright, uint8 (height, width, 3), RGB, and its camera."""

    rgb: NDArray[np.uint8]
    camera: Camera | None
    camera_from: str


@dataclass(frozen=True)
class CameraChoice:
    """What is known of the cameras. The first of these counts, and is said in the answers.

    Attributes:
        given: of all pictures, as stored.
        hfov_deg: of all pictures, as they stand upright; 0 where it is not given.
        assumed_hfov_deg: where a file does not say its focal length either; 0 assumes nothing.
    """

    given: Camera | None = None
    hfov_deg: float = 0.0
    assumed_hfov_deg: float = 0.0

    def of(self, width: int, height: int, exif: Exif) -> tuple[Camera | None, str]:
        """Return the camera of a picture as it stands upright, and what says so.

        Args:
            width: of the picture as stored, pixels.
            height: likewise.
            exif: of its file.

        Raises:
            SourceError: where the calibration is of another shape.
            CameraError: where it cannot be turned with its picture.
        """
        shown = (height, width) if exif.orientation >= 5 else (width, height)
        if self.given is not None:
            return self._calibrated(width, height, shown, exif.orientation), "calibration"
        if self.hfov_deg:
            return Camera.from_hfov(*shown, self.hfov_deg), "field of view"
        if exif.focal_35mm:
            return exif.camera(*shown), "EXIF"
        if self.assumed_hfov_deg:
            return Camera.from_hfov(*shown, self.assumed_hfov_deg), "assumed"
        return None, ""

    def _calibrated(
        self, width: int, height: int, shown: tuple[int, int], orientation: int
    ) -> Camera:
        given = self.given
        assert given is not None
        if given.fits(width, height):
            return upright_camera(given.scaled(width, height), orientation)
        if given.fits(*shown):
            return given.scaled(*shown)
        raise SourceError(
            f"it is {width}x{height} and the calibration is of {given.width}x{given.height}, "
            f"another shape"
        )


def read_input(path: Path, cameras: CameraChoice) -> ReadPicture:
    """Read a picture, turn it upright as its file says, and its camera with it.

    Raises:
        SourceError: where it cannot be read, or the calibration does not fit it.
        CameraError: where its camera cannot be turned.
    """
    data = read_file(path, "the picture")
    exif = read_exif(data)
    bgr = decode_file(path, _READ, data)
    camera, camera_from = cameras.of(bgr.shape[1], bgr.shape[0], exif)
    rgb = np.asarray(upright(bgr[..., ::-1], exif.orientation), np.uint8)
    return ReadPicture(rgb, camera, camera_from)
