"""Pictures with what is known about their depth: one sample, a batch, and folders of them."""

from __future__ import annotations

import json
import logging
import math
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.errors import SourceError, one_line
from depth_anything_ros.core.files import atomically, user_path, write_atomically
from depth_anything_ros.core.frames import PICTURE_SUFFIXES, read_picture
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.core.recording import (
    Calibration,
    camera_fields,
    load_calibration,
    load_depth,
    load_lidar,
)

_log = logging.getLogger(__name__)

# For all pictures of a folder that have no camera file of their own.
_COMMON_CALIBRATIONS = ("calib.json", "calib.yaml", "calib.yml")
_LABEL_SUFFIXES = ("_depth.npy", "_depth.png", "_lidar.bin", "_disparity.npy")
_LARGEST_FLOAT16 = 6e4
# What numpy lets through on a file that is not its own, or whose header is made up.
_ARRAY_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and its labels, on one grid.

    Attributes:
        rgb: uint8 (height, width, 3).
        depth_m: float32 (height, width), metres along Z; NaN unknown, +Inf sky; None if there is
            no metric label at all.
        disparity: float32 (height, width), unit-less, up to scale and shift; NaN unknown; None
            if there is no pseudo-label.
        focal_px: mean of fx and fy of this grid, in pixels; NaN where it is not known.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None = None
    disparity: NDArray[np.float32] | None = None
    focal_px: float = math.nan


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one size as tensors.

    Attributes:
        image: float32 (B, 3, H, W), RGB in 0-1, not normalised.
        depth_m: float32 (B, H, W), metres along Z; NaN unknown, +Inf sky.
        disparity: float32 (B, H, W), unit-less; NaN where there is no pseudo-label.
        focal_px: float32 (B,), mean of fx and fy; NaN unknown.
        region: bool (B, H, W), True where CutMix pasted another picture: a loss that aligns scale
            and shift does so in each region by itself (Depth Anything V1, arXiv 2401.10891, eq. 5).
    """

    image: Tensor
    depth_m: Tensor
    disparity: Tensor
    focal_px: Tensor
    region: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return this batch on a device; the copies of pinned memory run in the background."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return Batch(**moved)

    def pinned(self) -> Batch:
        """Return this batch in page-locked memory, for fast copies to CUDA."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


class SampleSource(Protocol):
    """Anything that samples are drawn from, by index."""

    @property
    def count(self) -> int:
        """Number of samples; 0 means that there is no end."""

    def get(self, index: int) -> Sample:
        """Return a sample; the same one for the same index. May be called from many threads."""

    def draw(self, rng: np.random.Generator, drawn: int) -> int:
        """Return the index of the next sample of a run that has drawn so many already."""


class FolderSource:
    """Samples from the files of one folder.

    For a picture ``NAME.png`` (or .jpg, ...) the labels are, each where it exists:
    ``NAME_depth.npy``: float32 metres along Z, NaN unknown, +Inf sky;
    ``NAME_depth.png``: 16 bit, metres = value × depth_scale_m of the camera file, 0 unknown;
    ``NAME_lidar.bin``: float32 x, y, z, intensity, projected with T_camera_lidar of the camera
    file;
    ``NAME_disparity.npy``: a teacher's pseudo-label, float16 or float32.
    The camera file is ``NAME.json``, or else one ``calib.json`` or ``calib.yaml`` for all, with
    the fields of ``core.recording.load_calibration``. The picture stays as the lens made it:
    depth along Z is known in that grid too.

    Args:
        folder: with the files.

    Raises:
        SourceError: where the folder has no such picture.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = user_path(folder)
        pictures = picture_paths(self.folder)
        names = {path.name for path in self.folder.iterdir()}
        self.pictures = [
            p for p in pictures if any(p.stem + suffix in names for suffix in _LABEL_SUFFIXES)
        ]
        left_out = len(pictures) - len(self.pictures)
        if not self.pictures:
            raise SourceError(
                f"none of the {len(pictures)} pictures of {self.folder} has a label; expected "
                f"beside NAME.png one of {', '.join('NAME' + s for s in _LABEL_SUFFIXES)} (see "
                f"depth_anything pseudo-label for pictures without depth)"
            )
        if left_out:
            _log.warning("%s: %d pictures have no label and are left out", self.folder, left_out)

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def draw(self, rng: np.random.Generator, drawn: int) -> int:
        """Return any index."""
        return int(rng.integers(self.count))

    def get(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            SourceError: where a file is missing, malformed, or of another shape.
        """
        path = self.pictures[index]
        rgb = np.ascontiguousarray(read_picture(path)[..., ::-1])
        height, width = rgb.shape[:2]
        calibration = find_calibration(path)
        camera = camera_of_picture(path, calibration, width, height)
        disparity = _read_disparity(path)
        depth = _read_depth(path, calibration, camera)
        return Sample(
            rgb,
            None if depth is None else _on_grid(depth, width, height, path),
            None if disparity is None else _on_grid(disparity, width, height, path),
            focal_of(camera),
        )


def picture_paths(folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES) -> list[Path]:
    """List the pictures of a folder by name, without those that are depth labels.

    Args:
        folder: of the pictures.
        suffixes: of their files, in small letters.

    Raises:
        SourceError: where there is none, or two pictures would share their labels.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; give the folder with the pictures")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes)
    found = [p for p in found if not p.stem.endswith("_depth")]
    if not found:
        raise SourceError(
            f"no picture in {folder}: expected files that end in {', '.join(suffixes)}"
        )
    for first, second in pairwise(found):
        if first.stem == second.stem:
            raise SourceError(f"{first} and {second} would share their labels; rename one of them")
    return found


def focal_of(camera: Camera | None) -> float:
    """Return the mean of fx and fy in pixels; NaN for an unknown camera."""
    return math.nan if camera is None else (camera.K[0] + camera.K[4]) / 2


def find_calibration(picture: Path) -> Calibration | None:
    """Read the camera file of a picture; None where it has none.

    Raises:
        SourceError, CameraError: on a file that cannot be used.
    """
    beside = (picture.with_suffix(".json"), *(picture.parent / n for n in _COMMON_CALIBRATIONS))
    return next((load_calibration(path) for path in beside if path.is_file()), None)


def camera_of_picture(
    path: Path, calibration: Calibration | None, width: int, height: int
) -> Camera | None:
    """Return the camera at the size of its picture; None where it is not known.

    Raises:
        SourceError: where the calibration is of a picture of another shape.
    """
    if calibration is None or calibration.camera is None:
        return None
    if not calibration.camera.fits(width, height):
        raise SourceError(
            f"{path} is {width}x{height} and its calibration is of "
            f"{calibration.width}x{calibration.height}, another shape; give the picture a camera "
            f"file {path.stem}.json of its own"
        )
    return calibration.camera.scaled(width, height)


def _read_disparity(picture: Path) -> NDArray[np.float32] | None:
    path = picture.with_name(picture.stem + "_disparity.npy")
    return _read_array(path) if path.is_file() else None


def _read_depth(
    picture: Path, calibration: Calibration | None, camera: Camera | None
) -> NDArray[np.float32] | None:
    array, image, lidar = (
        picture.with_name(picture.stem + suffix) for suffix in _LABEL_SUFFIXES[:3]
    )
    if array.is_file():
        depth = _read_array(array)
        depth[~(depth > 0)] = np.nan
        return depth
    if image.is_file():
        if calibration is None or calibration.depth_scale_m is None:
            raise SourceError(
                f"nothing says how long a step of {image} is; write depth_scale_m (0.001 for "
                f"millimetres) into {picture.stem}.json or calib.json beside it"
            )
        return load_depth(image, calibration.depth_scale_m).depth_m
    if not lidar.is_file():
        return None
    if camera is None or calibration is None or calibration.T_camera_lidar is None:
        raise SourceError(
            f"{lidar} cannot be projected; write K and T_camera_lidar (16 numbers, row-major) into "
            f"{picture.stem}.json or calib.json beside it"
        )
    return project_lidar(load_lidar(lidar), calibration.T_camera_lidar, camera)


def mapped_array(path: Path) -> NDArray[Any]:
    """Map a file that numpy.save wrote: a header that claims more than there is takes no memory.

    Raises:
        SourceError: where it is none.
    """
    try:
        if path.exists() and not path.is_file():
            raise SourceError(f"cannot read {path}: it is no file")
        return np.lib.format.open_memmap(path, mode="r")
    except _ARRAY_ERRORS as error:
        raise SourceError(
            f"cannot read {path}: {one_line(error)}; write it with numpy.save"
        ) from error


def _read_array(path: Path) -> NDArray[np.float32]:
    values = mapped_array(path)
    if values.ndim != 2 or values.dtype.kind != "f" or not values.size:
        raise SourceError(
            f"{path} holds {values.dtype} of shape {values.shape}; expected floats of shape "
            f"(height, width)"
        )
    with np.errstate(over="ignore"):  # of float64 beyond float32, which is Inf: sky
        return np.array(values, np.float32)


def _on_grid(
    values: NDArray[np.float32], width: int, height: int, picture: Path
) -> NDArray[np.float32]:
    """Bring a label to the grid of its picture: many depth sensors are coarser."""
    if values.shape == (height, width):
        return values
    if not same_aspect(values.shape[::-1], (width, height)):
        raise SourceError(
            f"{picture} is {width}x{height} and its label is {values.shape[1]}x{values.shape[0]}, "
            f"another shape; register the label to the picture"
        )
    return np.asarray(
        cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.float32
    )


def write_labels(
    folder: Path,
    name: str,
    depth_m: NDArray[np.float32] | None = None,
    disparity: NDArray[np.float32] | None = None,
    camera: Camera | None = None,
) -> None:
    """Write the labels of a picture as ``FolderSource`` reads them.

    Args:
        folder: exists.
        name: of the picture, with no suffix.
        depth_m: metres along Z; NaN unknown, +Inf sky.
        disparity: unit-less; stored as float16 where its range allows.
        camera: of this grid.
    """
    if camera is not None:
        text = json.dumps(camera_fields(camera), indent=1)
        write_atomically(folder / f"{name}.json", text.encode(), SourceError)
    if depth_m is not None:
        _save(folder / f"{name}_depth.npy", depth_m.astype(np.float32))
    if disparity is not None:
        finite = disparity[np.isfinite(disparity)]
        fits = finite.size == 0 or float(np.abs(finite).max()) < _LARGEST_FLOAT16
        _save(
            folder / f"{name}_disparity.npy", disparity.astype(np.float16 if fits else np.float32)
        )


def _save(path: Path, values: NDArray[Any]) -> None:
    with atomically(path, SourceError) as partial, partial.open("wb") as file:
        np.save(file, values)
        file.flush()
