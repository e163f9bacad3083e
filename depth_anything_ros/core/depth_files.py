"""Estimates as files that others read: 16-bit PNG, float32 .npy and OpenEXR, and what each means.

A PNG alone does not say whether its steps are millimetres or nothing at all; ``sidecar`` does, in
a JSON that ``core.recording.load_calibration`` reads as well.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.core.recording import camera_fields

MOST_STEPS = 65535
MM = 0.001
# The channel of a file of OpenEXR: Z is depth in metres to all who read such files, and so nothing
# else has this name.
EXR_CHANNELS = {"metric": "Z", "relative": "disparity", "affine_depth": "affine_depth"}


@dataclass(frozen=True, eq=False)
class DepthPicture:
    """An estimate as a 16-bit picture; value = ``offset`` + ``scale`` · step.

    Attributes:
        steps: uint16 (height, width), 0 where nothing is known, or it is beyond range.
        scale: what one step is.
        offset: of the values.
    """

    steps: NDArray[np.uint16]
    scale: float
    offset: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate) -> DepthPicture:
        """Return metres in millimetres, anything else from 1 at its least to 65535 at its most."""
        if estimate.metric is not None:
            return cls(millimetres(estimate.metric.depth_m), MM)
        values = estimate.values
        known = np.isfinite(values)
        low, high = _limits(values[known])
        scale = (high - low) / (MOST_STEPS - 1) or 1.0
        offset = low - scale  # the least is step 1
        steps = np.zeros(values.shape, np.uint16)
        steps[known] = np.rint((values[known].astype(np.float64) - offset) / scale)
        return cls(steps, scale, offset)

    def png(self) -> bytes:
        """Return it as a file, lossless."""
        return png_bytes(self.steps)


def _limits(known: NDArray[np.float32]) -> tuple[float, float]:
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def millimetres(
    depth_m: NDArray[np.float32], out: NDArray[np.uint16] | None = None
) -> NDArray[np.uint16]:
    """Return depth in millimetres, rounded, as REP 118 has it in 16UC1.

    Args:
        depth_m: float32 (height, width). What is unknown, beyond range, or more than the 65.535 m
            that fit becomes 0.
        out: uint16 of the same shape, which is filled; new memory where None.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        steps = depth_m * np.float32(1000.0)
        steps += np.float32(0.5)
        steps[~((steps >= 0) & (steps < np.float32(MOST_STEPS + 1)))] = 0  # NaN is neither
    out = np.empty(steps.shape, np.uint16) if out is None else out
    np.copyto(out, steps, casting="unsafe")
    return out


def png_bytes(picture: NDArray[Any], level: int | None = None) -> bytes:
    """Return a picture, uint8 RGB or grey or uint16 grey, as a PNG.

    Args:
        picture: (height, width[, 3]).
        level: 0 to 9, of compression; OpenCV's default where None.
    """
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    how = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level]
    return cv2.imencode(".png", bgr, how)[1].tobytes()


def npy_bytes(estimate: Estimate) -> bytes:
    """Return the values as ``numpy.load`` reads them: float32, NaN unknown, +Inf beyond range."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(estimate.values, np.float32), allow_pickle=False)
    return file.getvalue()


def write_exr(path: Path, estimate: Estimate) -> None:
    """Write the values as OpenEXR, float32, in the channel of ``EXR_CHANNELS``.

    Raises:
        DepthAnythingError: where the package of the extra ``exr`` is not installed.
        OSError: where it cannot be written.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise DepthAnythingError(
            f"files of OpenEXR need a package of that name; run: {how_to_install('exr')}"
        ) from error
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    values = np.ascontiguousarray(estimate.values, np.float32)
    try:
        OpenEXR.File(header, {EXR_CHANNELS[estimate.kind]: values}).write(str(path))
    except RuntimeError as error:
        raise OSError(None, str(error), str(path)) from error


def sidecar(
    estimate: Estimate,
    camera: Camera | None,
    made_of: Mapping[str, Any],
    png: tuple[str, DepthPicture] | None = None,
) -> bytes:
    """Return the JSON that says what the files of an estimate mean.

    It is a calibration, too: its ``K`` and so on are those of exactly these pixels, and
    ``depth_file`` with ``depth_scale_m`` is there for metres alone.

    Args:
        estimate: whose kind and unit are said.
        camera: of its grid; null stands in the place of K where it is not known.
        made_of: plain values that are added, such as the model and the source.
        png: name and content of the 16-bit PNG beside the JSON, where there is one.
    """
    height, width = estimate.values.shape
    said: dict[str, Any] = {"kind": estimate.kind, "values": estimate.name}
    said |= {"unit": estimate.unit or None, "width": width, "height": height, "K": None}
    if camera is not None:
        said |= camera_fields(camera)
    if png is not None:
        name, picture = png
        means = {"value": "offset + scale * step", "zero": "unknown or beyond range"}
        said["png"] = {"file": name, "scale": picture.scale, "offset": picture.offset, **means}
        if estimate.metric is not None:
            said |= {"depth_file": name, "depth_scale_m": picture.scale}
    return (json.dumps(said | dict(made_of), indent=1) + "\n").encode()
