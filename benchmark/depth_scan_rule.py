"""What depthimage_to_laserscan makes of a depth image and its CameraInfo.

Written anew from what the sources of 2.5.1 (ROS 2) do: ``DepthImageToLaserScan::convert`` and
``use_point``, on an image without distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class DepthScan(NamedTuple):
    """Ranges (REP 117) of one bearing a column, from the right of the picture to its left."""

    ranges: NDArray[np.float32]
    angle_min: float
    angle_increment: float

    def points(self) -> Floats:
        """Return the points (N, 3) of finite ranges: ahead, left, up of the camera."""
        bearings = self.angle_min + self.angle_increment * np.arange(len(self.ranges))
        flat = np.stack((np.cos(bearings), np.sin(bearings), np.zeros(len(bearings))), axis=1)
        seen = np.isfinite(self.ranges)
        return np.asarray(flat[seen] * self.ranges[seen, None])


@dataclass(frozen=True)
class DepthScanOptions:
    """The node's parameters, at its defaults."""

    scan_height: int = 1
    range_min: float = 0.45
    range_max: float = 10.0


def depth_scan(
    depth: NDArray[np.float32] | NDArray[np.uint16],
    P: Floats,
    options: DepthScanOptions | None = None,
) -> DepthScan:
    """Return the scan of a depth image.

    Args:
        depth: (height, width), float32 metres (32FC1) or uint16 millimetres (16UC1).
        P: 12 numbers, of its CameraInfo.
        options: the node's parameters.

    Raises:
        ValueError: where the rows of the scan are not in the picture, as the node says then.
    """
    o = options or DepthScanOptions()
    height, width = depth.shape
    fx, cx, cy = float(P[0]), float(np.float32(P[2])), float(P[6])
    half = o.scan_height / 2
    if half > cy or half > height - cy:
        raise ValueError(f"scan_height ({o.scan_height} pixels) is too large for the image height")
    first = int(cy - half)
    rows = depth[first : first + o.scan_height]
    tangent = (np.arange(width) - cx) / fx
    # As the message holds them.
    angle_min = float(np.float32(-np.arctan((width - 1 - P[2]) / fx)))
    increment = float(np.float32((np.arctan(P[2] / fx) - angle_min) / (width - 1)))
    metres = rows * (1e-3 if depth.dtype == np.uint16 else 1.0)
    with np.errstate(invalid="ignore"):
        ranges = np.where(np.isfinite(metres), metres * np.hypot(tangent, 1), metres)
    index = ((-np.arctan(tangent) - angle_min) / increment).astype(np.intp)
    return DepthScan(_nearest(ranges, index, width, o), angle_min, increment)


def _nearest(
    ranges: Floats, index: NDArray[np.intp], count: int, o: DepthScanOptions
) -> NDArray[np.float32]:
    """Return the nearest range within the limits in each bearing, else Inf where one was, or NaN.

    0 of 16UC1 is out of the limits, so that it is NaN, as NaN is.
    """
    found = np.full(count, np.inf, np.float32)
    columns = np.broadcast_to(index, ranges.shape)
    used = (ranges >= o.range_min) & (ranges <= o.range_max)
    np.minimum.at(found, columns[used], ranges[used].astype(np.float32))
    is_known = np.zeros(count, np.bool_)
    is_known[columns[used | np.isinf(ranges)]] = True
    found[~is_known] = np.nan
    return found
