"""How images, cameras and clouds lie in messages, by the names of sensor_msgs' fields.

Whoever makes the messages, of rclpy or of a bag, sets these fields; data and header are theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera

# Numbers of a PointField's datatype.
_POINT_FIELDS = {np.dtype(np.uint16): 4, np.dtype(np.float32): 7}


def image_layout(values: NDArray[Any], encoding: str) -> dict[str, Any]:
    """Return the fields of an Image of an array (height, width[, channels])."""
    height, width = values.shape[:2]
    step = values.nbytes // height
    return {"height": height, "width": width, "encoding": encoding, "step": step}


def camera_layout(camera: Camera | None, size: tuple[int, int]) -> dict[str, Any]:
    """Return the fields of a CameraInfo; without a camera, those of an uncalibrated one.

    Args:
        camera: of the image, ROI and binning folded in.
        size: (width, height) of the image.
    """
    fields: dict[str, Any] = {"width": size[0], "height": size[1]}
    if camera is not None:
        fields["distortion_model"] = camera.distortion_model
        fields |= {name.lower(): getattr(camera, name) for name in ("D", "K", "R", "P")}
    return fields


def cloud_kind(columns: int) -> np.dtype[np.void]:
    """Return the kind of points (height, width, columns): x, y, z and, of four columns, rgb."""
    return floats_kind(("x", "y", "z", "rgb")[:columns])


def floats_kind(names: tuple[str, ...]) -> np.dtype[np.void]:
    """Return the kind of a record of float32."""
    return np.dtype([(name, np.float32) for name in names])


def cloud_layout(
    values: NDArray[Any], kind: np.dtype[np.void], is_dense: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the fields of a PointCloud2, and those of each of its PointFields.

    Args:
        values: (height, width, …), each of whose points has the bytes of a kind.
        kind: of floats and 16-bit integers.
        is_dense: whether no point lacks a number.
    """
    height, width = values.shape[:2]
    size = kind.itemsize
    fields = {"height": height, "width": width, "point_step": size, "row_step": size * width}
    points = [
        {"name": name, "offset": offset, "datatype": _POINT_FIELDS[field], "count": 1}
        for name, (field, offset, *_) in (kind.fields or {}).items()
    ]
    return {**fields, "is_dense": is_dense}, points
