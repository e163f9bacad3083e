"""Pictures of depth for people to look at; nothing is measured in them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import Estimate

COLORMAPS = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "gray": None,
}
_PERCENTILES = (2.0, 98.0)


def nearness(result: Estimate) -> NDArray[np.float32]:
    """Return what is painted: the disparity itself, 1 / depth (0 at +Inf), or -affine depth.

    NaN is unknown.
    """
    return result.nearness()


def colorize(
    values: NDArray[np.float32],
    colormap: str = "inferno",
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Paint values, small dark and large bright, NaN black.

    Args:
        values: float32 (height, width).
        colormap: a key of ``COLORMAPS``.
        limits: the values of the first and last colour; the 2nd and 98th percentile where None.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    finite = np.isfinite(values)
    if limits is None:
        # Every fourth pixel in both directions is enough to choose colours by.
        sample = values[::4, ::4][finite[::4, ::4]]
        low, high = np.percentile(sample, _PERCENTILES) if sample.size else (0.0, 1.0)
        limits = (float(low), float(high))
    low, high = limits
    scale = 255.0 / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        level = np.clip((values - low) * scale, 0, 255)
    gray = np.where(finite, level, 0).astype(np.uint8)
    code = COLORMAPS[colormap]
    if code is None:
        rgb = cv2.merge((gray, gray, gray))
    else:
        rgb = cv2.cvtColor(cv2.applyColorMap(gray, code), cv2.COLOR_BGR2RGB)
    rgb[~finite] = 0
    return np.asarray(rgb, np.uint8)
