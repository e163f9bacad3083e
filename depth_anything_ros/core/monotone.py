"""Bend a line into a rising curve, for predictions that are not quite affine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.robust import (
    Floats,
    Line,
    inlier_threshold,
    least_squares,
)

KNOTS = 10
# As mono_depth_rescaler, whose curve this resembles: below, a line is all that points tell.
MIN_POINTS = 13
_POINTS_A_KNOT = 5
# Of a bend at a knot, in points: as much as a tenth of those near to it.
_STIFFNESS = 0.1
# Points off the line by this many of its thresholds may be on the curve.
_FIRST = 2.0


@dataclass(frozen=True, eq=False)
class Curve:
    """A rising, piecewise linear curve.

    Attributes:
        line: the least-squares line of the same inliers.
        knots: float64 (k, 2), x and y, both rising.
    """

    line: Line
    knots: Floats


def monotone_spline(x: Floats, y: Floats, line: Line) -> Curve | None:
    """Fit a rising piecewise linear curve to the points near a line.

    A penalised spline of degree 1 (Eilers and Marx 1996) of what the line leaves, with knots at
    quantiles of x, made to rise by isotonic regression of its knots (pool adjacent violators).
    Inliers are within three sigma by the MAD around the curve, three times over.

    Args:
        x: float64 (n,).
        y: float64 (n,).
        line: a robust one, rising.

    Returns:
        the curve of 10 knots, fewer where fewer than 50 points are near the line; None where
        fewer than 13 are, or where x has not three values to put a knot on.
    """
    residual = np.abs(y - line.at(x))
    inliers = residual <= _FIRST * inlier_threshold(residual[line.inliers], y)
    found = None
    for _ in range(3):
        if np.count_nonzero(inliers) < MIN_POINTS:
            return None
        base = least_squares(x, y, inliers)
        knots = _fitted_knots(x[inliers], y[inliers], base)
        if knots is None or base.scale <= 0:
            return None
        found = Curve(base, knots)
        residual = np.abs(y - along(x, knots, base.scale))
        inliers = residual <= inlier_threshold(residual[inliers], y)
    return found


def along(x: NDArray[np.floating], knots: Floats, slope: float) -> NDArray[np.floating]:
    """Return y of the curve, in the type and shape of x; NaN stays.

    Outside its knots the curve goes on with the slope of the line, and does not jump to it.
    """
    slopes = np.diff(knots[:, 1]) / np.diff(knots[:, 0])
    curve = np.full(x.shape, knots[0, 1], x.dtype)
    part = np.empty_like(x)
    bounds = np.concatenate(([-np.inf], knots[:, 0], [np.inf]))
    starts = np.concatenate((knots[:1, 0], knots[:, 0]))
    # Piece by piece over the whole picture: several times faster than np.interp, and float32.
    for low, high, start, steep in zip(
        bounds[:-1], bounds[1:], starts, (slope, *slopes, slope), strict=True
    ):
        np.clip(x, x.dtype.type(low), x.dtype.type(high), out=part)
        part -= x.dtype.type(start)
        part *= x.dtype.type(steep)
        curve += part
    return curve


def _fitted_knots(x: Floats, y: Floats, line: Line) -> Floats | None:
    count = int(np.clip(x.size // _POINTS_A_KNOT, 3, KNOTS))
    at = np.quantile(x, np.linspace(0.02, 0.98, count))
    at = at[np.append(True, np.diff(at) > 1e-6 * np.ptp(x))]
    if at.size < 3:
        return None
    cell = np.clip(np.searchsorted(at, x, "right") - 1, 0, at.size - 2)
    # Points outside count for the nearest knot: there the curve is parallel to the line.
    right = np.clip((x - at[cell]) / np.diff(at)[cell], 0, 1)
    left, residual = 1 - right, y - line.at(x)
    support = _of_knots(cell, left * left, right * right, at.size)
    pull = _of_knots(cell, left * residual, right * residual, at.size)
    shared = np.bincount(cell, left * right, at.size)[:-1]
    bends = np.diff(np.eye(at.size), 2, axis=0)
    normal = np.diag(support) + np.diag(shared, 1) + np.diag(shared, -1)
    normal += _STIFFNESS * x.size / at.size * bends.T @ bends
    values = line.at(at) + np.linalg.solve(normal, pull)
    return np.stack((at, _rising(values, support)), axis=1)


def _of_knots(cell: NDArray[np.intp], left: Floats, right: Floats, count: int) -> Floats:
    sums = np.bincount(cell, left, count) + np.bincount(cell + 1, right, count)
    return sums.astype(np.float64, copy=False)


def _rising(values: Floats, weights: Floats) -> Floats:
    """Return the nearest values that do not fall (pool adjacent violators, Ayer et al. 1955)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, more, members = pools.pop()
            mean = (mean * total + before * more) / (total + more)
            total, count = total + more, count + members
        pools.append((mean, total, count))
    means, _, counts = zip(*pools, strict=True)
    return np.repeat(np.array(means, np.float64), counts)
