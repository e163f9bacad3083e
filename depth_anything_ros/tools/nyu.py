"""NYU Depth V2, the labelled pictures: nyu_depth_v2_labeled.mat and its splits.mat."""

from __future__ import annotations

import importlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.core.files import MOST_BYTES, read_file
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.tools.evaluation import LabelledImage

# Of the colour camera, by the toolbox of the data set (camera_params.m). The pictures of the file
# are free of lens distortion, and the depth is registered to them.
_WIDTH, _HEIGHT = 640, 480
_K = (518.857901, 0.0, 325.582449, 0.0, 519.469611, 253.736166, 0.0, 0.0, 1.0)
# What the papers score on, by BTS' extraction: as measured. "depths" has the holes filled in.
TRUTH = "rawDepths"
_TEST = "testNdxs"
# What loadmat and int let through of a broken file.
_PARSE_ERRORS = (ValueError, TypeError, KeyError, NotImplementedError, OSError, zlib.error)


@dataclass(frozen=True, eq=False)
class NyuLabelled:
    """Pictures of the labelled file; they are read when asked for.

    Attributes:
        path: of the .mat file, HDF5 inside (MATLAB 7.3).
        numbers: of the pictures, from 1, as the data set counts.
    """

    path: Path
    numbers: tuple[int, ...]

    def pictures(self) -> Iterator[LabelledImage]:
        """Read the pictures, one after the other, each in the group of its kind of room."""
        with _opened(self.path) as file:
            for number in self.numbers:
                rgb = np.ascontiguousarray(file["images"][number - 1].T, np.uint8)
                depth = np.ascontiguousarray(file[TRUTH][number - 1].T, np.float32)
                depth[depth <= 0] = np.nan
                height, width = depth.shape
                camera = Camera(_WIDTH, _HEIGHT, _K).scaled(width, height)
                kind = _kind(file, number)
                yield LabelledImage(f"{number:04d}", kind, rgb, camera, DepthMap(depth, camera))


def nyu_labelled(path: Path, split: Path | None = None) -> NyuLabelled:
    """Open the labelled file and choose its pictures.

    Args:
        path: of nyu_depth_v2_labeled.mat.
        split: splits.mat of the data set, whose 654 test pictures are taken, or a text file with
            numbers from 1, one a line. Without it, all pictures.

    Raises:
        DepthAnythingError: where h5py is not installed.
        SourceError: where a file cannot be used, or the split has a number that the file lacks.
    """
    with _opened(path) as file:
        missing = [name for name in ("images", TRUTH, "sceneTypes") if name not in file]
        if missing:
            raise SourceError(
                f"{path} lacks {', '.join(missing)}; expected nyu_depth_v2_labeled.mat"
            )
        count = len(file["images"])
    numbers = tuple(range(1, count + 1)) if split is None else _numbers(split)
    outside = [number for number in numbers if not 1 <= number <= count]
    if outside or not numbers:
        raise SourceError(
            f"{split} names picture {outside[0] if outside else 'none'}; {path} has 1 to {count}"
        )
    return NyuLabelled(path, numbers)


def _library(name: str) -> Any:  # noqa: ANN401 - neither h5py nor scipy.io has types
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DepthAnythingError(
            f"NYU Depth V2 needs what is not installed ({error}); run: {how_to_install('datasets')}"
        ) from error


def _opened(path: Path) -> Any:  # noqa: ANN401 - h5py has no types
    library = _library("h5py")
    try:
        return library.File(path, "r")
    except OSError as error:
        reason = " ".join(str(error).split())  # HDF5 tells it in several lines
        raise SourceError(f"cannot read {path} as a MATLAB 7.3 file (HDF5): {reason}") from error


def _kind(file: Any, number: int) -> str:  # noqa: ANN401 - h5py has no types
    """Return the kind of room, which the file has as one reference a picture to its letters."""
    letters = np.asarray(file[file["sceneTypes"][0, number - 1]]).ravel()
    return "".join(chr(letter) for letter in letters)


def _numbers(split: Path) -> tuple[int, ...]:
    data = read_file(split, "the split", most=MOST_BYTES)
    library = _library("scipy.io")
    try:
        if split.suffix != ".mat":
            return tuple(int(word) for word in data.decode().split())
        arrays = library.loadmat(io.BytesIO(data))
    except (*_PARSE_ERRORS, library.matlab.MatReadError) as error:
        raise SourceError(
            f"cannot read the split {split}: {error}; expected splits.mat, or numbers, one a line"
        ) from error
    if _TEST not in arrays:
        names = ", ".join(name for name in arrays if not name.startswith("__"))
        raise SourceError(f"{split} has {names or 'nothing'}; expected {_TEST}")
    return tuple(int(number) for number in arrays[_TEST].ravel())
