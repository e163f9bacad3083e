"""Scores of a depth map against ground truth.

All take ``depth_m`` and ``truth_m`` (height, width) in metres, and a bool ``mask`` (height, width)
of the pixels that count, where the truth is positive. Ranges and crops are the caller's: they are
part of the mask. An empty mask scores NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DELTA = 1.25


@dataclass(frozen=True)
class Scores:
    """What one depth map scores.

    Attributes:
        abs_rel: mean of |depth - truth| / truth, no unit; less is better.
        delta1: share of pixels within a factor of 1.25 of the truth, 0 to 1; more is better.
        rmse: root of the mean squared error, metres; less is better.
        pixels: number that counted; 0 where the other three are NaN.
    """

    abs_rel: float
    delta1: float
    rmse: float
    pixels: int


def score(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> Scores:
    """Return all scores over one mask."""
    return Scores(
        abs_rel(depth_m, truth_m, mask),
        delta1(depth_m, truth_m, mask),
        rmse(depth_m, truth_m, mask),
        int(np.count_nonzero(mask)),
    )


def abs_rel(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float:
    """Return the mean of |depth - truth| / truth (Eigen et al. 2014, arXiv 1406.2283)."""
    depth, truth = _masked(depth_m, truth_m, mask)
    return float(np.mean(np.abs(depth - truth) / truth)) if depth.size else float("nan")


def delta1(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float:
    """Return the share of max(depth / truth, truth / depth) < 1.25 (Eigen et al. 2014).

    Depth that is NaN, zero or negative is outside, not left out.
    """
    depth, truth = _masked(depth_m, truth_m, mask)
    within = (depth < _DELTA * truth) & (truth < _DELTA * depth)
    return float(np.mean(within)) if depth.size else float("nan")


def rmse(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float:
    """Return the root of the mean of (depth - truth)², metres (Eigen et al. 2014)."""
    depth, truth = _masked(depth_m, truth_m, mask)
    return float(np.sqrt(np.mean((depth - truth) ** 2))) if depth.size else float("nan")


def _masked(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return depth_m[mask].astype(np.float64), truth_m[mask].astype(np.float64)
