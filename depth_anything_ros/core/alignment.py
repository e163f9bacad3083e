"""Fit what one picture cannot know: the scale and the shift of a relative prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import DepthAnythingError


@dataclass(frozen=True)
class ScaleShift:
    """The line target ≈ scale · prediction + shift, and how many pixels it was fitted to."""

    scale: float
    shift: float
    count: int


def fit_scale_shift(
    prediction: NDArray[np.floating], target: NDArray[np.floating], mask: NDArray[np.bool_]
) -> ScaleShift:
    """Fit scale and shift by least squares (MiDaS, arXiv 1907.01341, eq. 4).

    Args:
        prediction: (height, width), for example a disparity, unit-less.
        target: (height, width) in the same space, for example 1 / depth in 1 / metres.
        mask: bool (height, width), the pixels to fit.

    Raises:
        DepthAnythingError: where fewer than two pixels or only one value of the prediction are
            left, so that no line is determined.
    """
    x = prediction[mask].astype(np.float64)
    y = target[mask].astype(np.float64)
    spread = float(np.ptp(x)) if x.size else 0.0
    if x.size < 2 or not spread > 1e-9 * max(1.0, float(np.abs(x).max())):
        raise DepthAnythingError(
            f"scale and shift cannot be fitted to {x.size} pixels with a spread of {spread:g}: "
            "at least two pixels with different predictions are needed",
            reason="degenerate_fit",
        )
    centred = x - x.mean()
    scale = float(centred @ (y - y.mean()) / (centred @ centred))
    return ScaleShift(scale, float(y.mean() - scale * x.mean()), int(x.size))


def depth_from_disparity(disparity: DisparityMap, fit: ScaleShift, max_m: float) -> DepthMap:
    """Return 1 / (s · disparity + t) in metres; NaN stays NaN.

    Depth beyond max_m, and where the fit gives no positive inverse depth, is clamped to max_m,
    as papers do for scores.
    """
    inverse = fit.scale * disparity.disparity.astype(np.float64) + fit.shift
    depth = 1.0 / np.maximum(inverse, 1.0 / max_m)
    return DepthMap(depth.astype(np.float32), disparity.camera)
