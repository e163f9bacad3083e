"""How sharp a depth map is where one thing ends in front of another.

The scale-invariant boundary F1 of Depth Pro (arXiv 2410.02073, its metrics for boundaries): two
neighbouring pixels are a boundary where one is farther by more than a factor t, of four kinds by
the side of the farther one (right, left, below, above). Precision and recall compare them by pixel
and kind; F1 is averaged over ten factors, that is, 5 to 25 % farther, weighted by the factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ImageError

# As its evaluation code has them.
FACTORS = tuple(float(t) for t in np.linspace(1.05, 1.25, 10))


@dataclass(frozen=True)
class BoundaryScores:
    """Precision, recall and F1 of boundaries, 0 to 1, more is better; NaN without any boundary.

    Attributes:
        precision: share of the map's boundaries that the truth has too, mean over the factors.
        recall: share of the truth's boundaries that the map has too, mean over the factors.
        f1: their harmonic mean at each factor, mean over the factors.
        boundaries: number of pixel pairs that are a boundary of the truth at the least factor.
    """

    precision: float
    recall: float
    f1: float
    boundaries: int


def boundary_scores(
    depth_m: NDArray[np.floating],
    truth_m: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    factors: tuple[float, ...] = FACTORS,
) -> BoundaryScores:
    """Score the boundaries of a depth map; only ratios of depth matter, so it needs no alignment.

    Where all four kinds occur at all factors, as in any photograph, this is what Depth Pro's code
    gives; a kind or factor that the truth has nowhere is left out here, and scores 0 there.

    Args:
        depth_m: (height, width), positive; +Inf is behind everything, and NaN is no boundary.
        truth_m: (height, width), dense: between scattered points there are no neighbours.
        mask: bool (height, width), the pixels that count; without it, those of known truth.
        factors: by how much farther the one must be, above 1.

    Raises:
        ImageError: where the two are not of one shape (height, width).
    """
    if depth_m.ndim != 2 or depth_m.shape != truth_m.shape:
        raise ImageError(
            f"boundaries are compared on one grid (height, width), got depth of shape "
            f"{depth_m.shape} and truth of shape {truth_m.shape}"
        )
    known = (truth_m > 0) if mask is None else mask & (truth_m > 0)
    near_depth, near_truth = _nearness(depth_m, depth_m > 0), _nearness(truth_m, known)
    rows = [_at(near_depth, near_truth, known, factor) for factor in factors]
    weighted = np.array([(factor, *row) for factor, row in zip(factors, rows, strict=True)])
    there = ~np.isnan(weighted[:, 3])
    count = sum(int(np.count_nonzero(kind)) for kind in _boundaries(near_truth, min(factors)))
    if not there.any():
        return BoundaryScores(float("nan"), float("nan"), float("nan"), count)
    precision, recall, f1 = np.average(weighted[there, 1:], 0, weighted[there, 0])
    return BoundaryScores(float(precision), float(recall), float(f1), count)


def boundary_contrast(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], factor: float = FACTORS[-1]
) -> float:
    """Return how much of the true steps of ln depth a map has between the same two pixels.

    Unlike F1 it has no threshold for the map, so that it tells blurred edges from more blurred
    ones, and noise, which is as often against a step as along it, changes it not.

    Args:
        depth_m: (height, width), positive.
        truth_m: (height, width), dense.
        factor: by how much farther the one of two neighbours must be in truth.

    Returns:
        Sum of the map's steps, along the true ones, over the sum of those: 1 for the truth and
        near 0 for a map without edges; NaN without any boundary.
    """
    steps, true_steps = 0.0, 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log, true_log = np.log(depth_m), np.log(truth_m)
        for axis in (0, 1):
            step, true_step = np.diff(log, axis=axis), np.diff(true_log, axis=axis)
            counted = np.isfinite(step) & np.isfinite(true_step)
            counted &= np.abs(true_step) > np.log(factor)
            steps += float((np.sign(true_step) * step)[counted].sum())
            true_steps += float(np.abs(true_step)[counted].sum())
    return steps / true_steps if true_steps else float("nan")


def _nearness(depth_m: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return 1 / depth, NaN where it is not known, so that all comparisons there are False."""
    nearness = np.full(depth_m.shape, np.nan)
    np.divide(1.0, depth_m, out=nearness, where=known)
    return nearness


def _boundaries(nearness: NDArray[np.float64], factor: float) -> list[NDArray[np.bool_]]:
    """Return the pixels whose neighbour is farther: to the right, left, below and above."""
    left, right = nearness[:, :-1], nearness[:, 1:]
    upper, lower = nearness[:-1], nearness[1:]
    pairs = ((left, right), (right, left), (upper, lower), (lower, upper))
    return [near > factor * far for near, far in pairs]


def _at(
    depth: NDArray[np.float64], truth: NDArray[np.float64], known: NDArray[np.bool_], factor: float
) -> tuple[float, float, float]:
    """Return precision, recall and F1 at one factor, each a mean over the kinds that occur."""
    sides = known[:, :-1] & known[:, 1:], known[:-1] & known[1:]
    precisions, recalls = [], []
    kinds = zip(_boundaries(depth, factor), _boundaries(truth, factor), strict=True)
    for index, (found, wanted) in enumerate(kinds):
        both = int(np.count_nonzero(found & wanted))
        found_count = int(np.count_nonzero(found & sides[index // 2]))
        wanted_count = int(np.count_nonzero(wanted))
        if found_count:
            precisions.append(both / found_count)
        if wanted_count:
            recalls.append(both / wanted_count)
    if not recalls:
        return (float("nan"),) * 3
    precision = float(np.mean(precisions)) if precisions else 0.0
    recall = float(np.mean(recalls))
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0
