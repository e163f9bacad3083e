"""Scores of a depth map against ground truth.

Ranges and crops are the caller's: they are part of the mask (``core.protocols``). No pixel is left
out for its depth: one NaN makes a mean NaN, and a depth of 0 makes logarithms and inverses
infinite. Clamp before (``core.evaluation.DepthRange.clamped``), as papers do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Depths: TypeAlias = NDArray[np.floating]
Mask: TypeAlias = NDArray[np.bool_]
_FACTORS = (1.25, 1.25**2, 1.25**3)
_PER_KM = 1000.0


@dataclass(frozen=True)
class Scores:
    """What one depth map scores; less is better but for the three deltas.

    As in Eigen et al. 2014 (arXiv 1406.2283), but for those that name another source.

    Attributes:
        abs_rel: mean of |depth - truth| / truth, no unit.
        sq_rel: mean of (depth - truth)² / truth, metres. Others divide by truth²: say which when
            comparing.
        rmse: root of the mean squared error, metres.
        rmse_log: root of the mean squared error of ln depth, no unit.
        silog: 100 times the standard deviation of the error of ln depth, which no scale changes
            (eq. 1 to 3 with λ = 1, as KITTI's depth prediction server and BTS, arXiv 1907.10326,
            count it), no unit.
        mae: mean absolute error, metres (KITTI depth completion has millimetres).
        irmse: root of the mean squared error of 1 / depth, 1 / kilometres (KITTI depth completion).
        imae: mean absolute error of 1 / depth, 1 / kilometres (likewise).
        log10: mean absolute error of log10 depth, no unit (Saxena et al. 2009, Make3D).
        delta1: share of pixels within a factor of 1.25 of the truth, 0 to 1; more is better. Depth
            that is NaN, zero or negative is outside, not left out.
        delta2: the same within 1.25².
        delta3: the same within 1.25³.
        pixels: number that counted; 0 where all others are NaN.
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    silog: float
    mae: float
    irmse: float
    imae: float
    log10: float
    delta1: float
    delta2: float
    delta3: float
    pixels: int


# The columns of a report, in its order.
METRICS = tuple(field.name for field in fields(Scores) if field.name != "pixels")


def score(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> Scores:
    """Return all scores.

    Args:
        depth_m: of any shape, metres.
        truth_m: of the same shape, metres, positive where it counts.
        mask: bool of the same shape, the pixels that count; all where None.
    """
    if mask is not None:
        depth_m, truth_m = depth_m[mask], truth_m[mask]
    depth, truth = (np.ravel(one).astype(np.float64, copy=False) for one in (depth_m, truth_m))
    error = depth - truth
    with np.errstate(divide="ignore", invalid="ignore"):
        ln = np.log(depth) - np.log(truth)
        # About its mean, so that rounding makes no root of a negative number.
        spread = ln - _mean(ln)
        per_km = _PER_KM / depth - _PER_KM / truth
    within = [_mean((depth < most * truth) & (truth < most * depth)) for most in _FACTORS]
    return Scores(
        _mean(np.abs(error) / truth),
        _mean(error**2 / truth),
        _root_mean_square(error),
        _root_mean_square(ln),
        100.0 * _root_mean_square(spread),
        _mean(np.abs(error)),
        _root_mean_square(per_km),
        _mean(np.abs(per_km)),
        _mean(np.abs(ln)) / float(np.log(10.0)),
        within[0],
        within[1],
        within[2],
        int(depth.size),
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(_mean(values**2)))
