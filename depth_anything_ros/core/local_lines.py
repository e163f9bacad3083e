"""Lines from fitted to true inverse depth that vary over the picture, LWLR on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 12, 16
# Of the Gaussian window, a part of the picture's width.
_BANDWIDTH = 0.12
# The line 1 / true = 1 / fitted counts as much as this many anchors.
_PRIOR = 3.0
# Inverse depth is weighted as if depth ended here, or the far anchors would decide alone.
_FAR_M = 50.0


@dataclass(frozen=True, eq=False)
class LocalLines:
    """Lines on a grid over the picture: true = (1 + slope) · fitted + shift, of inverse depth.

    Attributes:
        slope: float32 (rows, columns).
        shift: float32 (rows, columns), 1 / metres.
    """

    slope: NDArray[np.float32]
    shift: NDArray[np.float32]

    def apply(self, inverse: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the lines' inverse depth, float32 (height, width), of the fitted one."""
        height, width = inverse.shape
        corrected = inverse * cv2.resize(1 + self.slope, (width, height))
        corrected += cv2.resize(self.shift, (width, height))
        return corrected


def fit_local_lines(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    aspect: float,
    fitted: NDArray[np.floating],
    true: NDArray[np.floating],
    weight: NDArray[np.floating],
) -> LocalLines:
    """Fit locally weighted lines, with a ridge that pulls them to the global fit.

    Locally weighted linear regression (BoostingDepth, arXiv 2202.01470; the coarse stage of Prior
    Depth Anything, arXiv 2505.10565), with a ridge that pulls to 0 where anchors are few.

    Args:
        x: (n,), columns of the anchors as a part of the picture's width.
        y: (n,), rows as a part of the width too.
        aspect: height / width of the picture.
        fitted: (n,), their fitted inverse depth, 1 / metres.
        true: (n,), their true inverse depth.
        weight: (n,), 0 to 1, how far each is believed.
    """
    # Relative errors count, as those of log depth do.
    weight = weight / np.maximum(true, 1 / _FAR_M) ** 2
    total = float(weight.sum())
    if total <= 0:
        nothing = np.zeros((_ROWS, _COLUMNS), np.float32)
        return LocalLines(nothing, nothing)
    window_y = _window((np.arange(_ROWS) + 0.5) / _ROWS * aspect, y)
    window_x = _window((np.arange(_COLUMNS) + 0.5) / _COLUMNS, x).T

    def near(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray((window_y * (weight * values)) @ window_x, np.float64)

    mean, ridge = float(weight @ true) / total, _PRIOR * total / weight.size
    left = true - fitted
    xx, x_, one = near(fitted**2) + ridge * mean**2, near(fitted), near(np.ones_like(left)) + ridge
    xr, r = near(fitted * left), near(left)
    determinant = xx * one - x_ * x_
    slope, shift = (xr * one - x_ * r) / determinant, (xx * r - x_ * xr) / determinant
    return LocalLines(slope.astype(np.float32), shift.astype(np.float32))


def _window(at: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    # float32 where it takes time; the sums are float64, or determinants would be rounding.
    steps = (at.astype(np.float32)[:, None] - points.astype(np.float32)) / np.float32(_BANDWIDTH)
    return np.asarray(np.exp(-0.5 * steps * steps), np.float64)
