"""Scores of a depth map against ground truth.

Every metric takes ``depth_m`` and ``truth_m``, arrays of one shape in metres, and a bool ``mask``
of that shape, the pixels that count, where the truth is positive; without a mask all count. Ranges
and crops are the caller's: they are part of the mask (``core.protocols``). An empty mask scores
NaN. No pixel is left out for its depth: one NaN makes a mean NaN, and a depth of 0 makes logarithms
and inverses infinite. Clamp before (``core.evaluation.DepthRange.clamped``), as papers do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Depths: TypeAlias = NDArray[np.floating]
Mask: TypeAlias = NDArray[np.bool_]
_DELTA = 1.25
_PER_KM = 1000.0


@dataclass(frozen=True)
class Scores:
    """What one depth map scores; less is better but for the three deltas.

    Attributes:
        abs_rel: mean of |depth - truth| / truth, no unit.
        sq_rel: mean of (depth - truth)² / truth, metres.
        rmse: root of the mean squared error, metres.
        rmse_log: root of the mean squared error of ln depth, no unit.
        silog: 100 times the standard deviation of the error of ln depth, no unit.
        mae: mean absolute error, metres.
        irmse: root of the mean squared error of 1 / depth, 1 / kilometres.
        imae: mean absolute error of 1 / depth, 1 / kilometres.
        log10: mean absolute error of log10 depth, no unit.
        delta1: share of pixels within a factor of 1.25 of the truth, 0 to 1; more is better.
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
    """Return all scores over one mask."""
    depth, truth = _counted(depth_m, truth_m, mask)
    return Scores(
        abs_rel(depth, truth),
        sq_rel(depth, truth),
        rmse(depth, truth),
        rmse_log(depth, truth),
        silog(depth, truth),
        mae(depth, truth),
        irmse(depth, truth),
        imae(depth, truth),
        log10(depth, truth),
        delta1(depth, truth),
        delta2(depth, truth),
        delta3(depth, truth),
        int(depth.size),
    )


def abs_rel(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the mean of |depth - truth| / truth (Eigen et al. 2014, arXiv 1406.2283)."""
    depth, truth = _counted(depth_m, truth_m, mask)
    return _mean(np.abs(depth - truth) / truth)


def sq_rel(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the mean of (depth - truth)² / truth, metres (Eigen et al. 2014).

    Others divide by truth², so say which when comparing.
    """
    depth, truth = _counted(depth_m, truth_m, mask)
    return _mean((depth - truth) ** 2 / truth)


def rmse(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the root of the mean of (depth - truth)², metres (Eigen et al. 2014)."""
    depth, truth = _counted(depth_m, truth_m, mask)
    return _root(_mean((depth - truth) ** 2))


def rmse_log(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the root of the mean of (ln depth - ln truth)² (Eigen et al. 2014)."""
    return _root(_mean(_log_error(*_counted(depth_m, truth_m, mask)) ** 2))


def silog(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return 100 · sqrt(mean(e²) - mean(e)²), e = ln depth - ln truth, which no scale changes.

    The scale-invariant error of Eigen et al. 2014 (eq. 1 to 3, λ = 1), as KITTI's depth prediction
    server counts it, in log(m) · 100, and as BTS (arXiv 1907.10326) does: the root, times 100.
    """
    error = _log_error(*_counted(depth_m, truth_m, mask))
    with np.errstate(invalid="ignore"):  # infinite less infinite
        # About its mean, so that rounding makes no root of a negative number.
        return 100.0 * _root(_mean((error - _mean(error)) ** 2))


def mae(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the mean of |depth - truth|, metres (KITTI depth completion has millimetres)."""
    depth, truth = _counted(depth_m, truth_m, mask)
    return _mean(np.abs(depth - truth))


def irmse(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the root of the mean of (1 / depth - 1 / truth)², 1 / km (KITTI depth completion)."""
    return _root(_mean(_inverse_error(*_counted(depth_m, truth_m, mask)) ** 2))


def imae(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the mean of |1 / depth - 1 / truth|, 1 / km (KITTI depth completion)."""
    return _mean(np.abs(_inverse_error(*_counted(depth_m, truth_m, mask))))


def log10(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the mean of |log10 depth - log10 truth| (Saxena et al. 2009, Make3D)."""
    error = _log_error(*_counted(depth_m, truth_m, mask))
    return _mean(np.abs(error)) / float(np.log(10.0))


def delta1(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the share of max(depth / truth, truth / depth) < 1.25 (Eigen et al. 2014).

    Depth that is NaN, zero or negative is outside, not left out.
    """
    return _share_within(_DELTA, *_counted(depth_m, truth_m, mask))


def delta2(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the share of max(depth / truth, truth / depth) < 1.25², as ``delta1``."""
    return _share_within(_DELTA**2, *_counted(depth_m, truth_m, mask))


def delta3(depth_m: Depths, truth_m: Depths, mask: Mask | None = None) -> float:
    """Return the share of max(depth / truth, truth / depth) < 1.25³, as ``delta1``."""
    return _share_within(_DELTA**3, *_counted(depth_m, truth_m, mask))


def _counted(
    depth_m: Depths, truth_m: Depths, mask: Mask | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return depth and truth of the pixels that count, float64 (pixels,)."""
    if mask is not None:
        depth_m, truth_m = depth_m[mask], truth_m[mask]
    depth, truth = (np.ravel(one).astype(np.float64, copy=False) for one in (depth_m, truth_m))
    return depth, truth


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _root(mean_square: float) -> float:
    return float(np.sqrt(mean_square))


def _log_error(depth: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(depth) - np.log(truth), np.float64)


def _inverse_error(depth: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(_PER_KM / depth - _PER_KM / truth, np.float64)


def _share_within(factor: float, depth: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return _mean((depth < factor * truth) & (truth < factor * depth))
