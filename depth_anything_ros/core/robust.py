"""Fit the line y = scale · x + shift to points of which some are wrong.

All take x and y, float64 (n,), finite. A constant x, which determines no slope, gets scale 0 and
the level of y. A negative slope is returned as it is: what it means is the caller's to say. All
but ``ransac`` are closed or iterate from the same start; ``ransac`` is the same for one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A residual within three of the standard deviations that the median tells is an inlier.
INLIER_SIGMAS = 3.0
# The median of |z| of a normal z is 0.6745.
_SIGMA_OF_MEDIAN = 1.4826
# Residuals that are only rounding, relative to |y|: float32 predictions carry 1e-7.
_ROUNDING = 1e-6
# 95 % as efficient as least squares on normal noise (Huber 1981).
_HUBER_SIGMAS = 1.345
# The share of the points that the trimmed fit keeps (MiDaS trims 20 %).
_KEPT = 0.8
# With half of the points wrong, 256 pairs hold 64 right ones; 500 points tell the best one.
_HYPOTHESES = 256
_SCORED = 500
# Below the half, so that half of the points may be wrong, and a few more by chance.
_QUANTILE = 0.4
# A falling line has to be this much better than a rising one to be believed.
_FALLING = 0.75
# Of an error of log y: beyond a factor of e it counts as that.
_CUT = 1.0
_REFINEMENTS, _LEAST_ERROR = 4, 0.01
_NORMAL = NormalDist()


@dataclass(frozen=True, eq=False)
class Line:
    """A line and how well the points determine it.

    Attributes:
        scale: slope.
        shift: value at x = 0.
        inliers: bool (n,), the points that the line was fitted to.
        covariance: float64 (2, 2) of (scale, shift), NaN where the points do not tell.
    """

    scale: float
    shift: float
    inliers: Bools
    covariance: Floats

    @property
    def count(self) -> int:
        """Number of inliers."""
        return int(np.count_nonzero(self.inliers))

    def at(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return scale · x + shift in the type of x, of any shape."""
        return line_at(x, self.scale, self.shift)


def line_at(x: NDArray[np.floating], scale: float, shift: float) -> NDArray[np.floating]:
    """Return scale · x + shift in the type of x, of any shape."""
    kind = x.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):  # of a line through points that are no line
        return np.asarray(x * kind(scale) + kind(shift))


def least_squares(x: Floats, y: Floats, inliers: Bools | None = None) -> Line:
    """Fit by least squares to all points or the given ones (MiDaS, arXiv 1907.01341, eq. 4)."""
    if inliers is None:
        inliers = np.ones(x.size, bool)
    x, y = x[inliers], y[inliers]
    centre, spread = _spread(x)
    level = float(y.mean()) if y.size else float("nan")
    scale = float((x - centre) @ y / spread) if spread else 0.0
    residual = y - level - scale * (x - centre)
    freedom = x.size - 2
    variance = float(residual @ residual) / freedom if freedom > 0 and spread else float("nan")
    covariance = _covariance(centre, variance / (spread or 1.0), variance / max(x.size, 1))
    return Line(scale, level - scale * centre, inliers, covariance)


def median_mad(x: Floats, y: Floats) -> Line:
    """Match the medians and the mean absolute deviations (MiDaS, arXiv 1907.01341, eq. 5 and 6).

    The paper's deviations have no sign. Here the quadrant correlation (Blomqvist 1950) gives it,
    so that a prediction that swaps near and far is seen. A few percent of gross outliers leave the
    medians alone but not the deviations.

    The covariance is of first order in the noise e: scale moves by mean(sign(x - median) · e) /
    deviation. The median of y moves by the sqrt of the number of points which the noise can carry
    across it, that is sigma · scale / (sqrt(pi) · n · density of x).
    """
    middle, level = float(np.median(x)), float(np.median(y))
    deviation = float(np.mean(np.abs(x - middle)))
    if not _spread(x)[1]:
        return least_squares(x, y)
    quadrants = float(np.sign(x - middle) @ np.sign(y - level))
    scale = float(np.mean(np.abs(y - level))) / deviation * (-1 if quadrants < 0 else 1)
    shift = level - scale * middle
    residual = y - scale * x - shift
    inliers = np.abs(residual) <= INLIER_SIGMAS * _sigma(residual, y)
    variance = _variance(residual[inliers])
    low, high = np.quantile(x, (0.4, 0.6))
    crossing = sqrt(variance / pi) * abs(scale) * float(high - low) / 0.2
    var_scale = variance / (x.size * deviation**2)
    covariance = _covariance(middle, var_scale, max(pi / 2 * variance, crossing) / x.size)
    return Line(scale, shift, inliers, covariance)


def trimmed(x: Floats, y: Floats) -> Line:
    """Fit by least squares to the 80 % with the least residuals, iterated until they stay.

    The loss of MiDaS's trimmed alignment (arXiv 1907.01341, sec. 5), found from least squares by
    the concentration steps of Rousseeuw and Van Driessen 2006: each lowers it. More than 20 % of
    gross outliers, or such that turn the first line over, are too many for it.
    """
    kept = ceil(_KEPT * x.size)
    line = least_squares(x, y)
    for _ in range(50):
        residual = np.abs(y - line.at(x))
        inliers = np.zeros(x.size, bool)
        inliers[np.argpartition(residual, kept - 1)[:kept]] = True
        if np.array_equal(inliers, line.inliers):
            break
        line = least_squares(x, y, inliers)
    return _widened(line, kept / x.size)


def huber(x: Floats, y: Floats) -> Line:
    """Minimise Huber's loss by reweighted least squares, with the scale of the noise by the MAD.

    Huber 1981, ch. 7: weights min(1, 1.345 sigma / |r|), sigma = 1.4826 · median |r|; the
    covariance is mean(psi²) / mean(psi')² · (XᵀX)⁻¹. Points of any y pull with a bounded force,
    those far out in x do not. The inliers are those within three sigma.
    """
    line = least_squares(x, y)
    middle, spread = _spread(x)
    if not spread:
        return line
    residual = y - line.at(x)
    for _ in range(30):
        sigma = _sigma(residual, y)
        weights = _HUBER_SIGMAS * sigma / np.maximum(np.abs(residual), _HUBER_SIGMAS * sigma)
        total = weights.sum()
        centre, level = float(weights @ x / total), float(weights @ y / total)
        away = x - centre
        scale = float((weights * away) @ y / ((weights * away) @ away))
        last, residual = residual, y - level - scale * away
        if np.abs(last - residual).max() < 1e-4 * sigma:
            break
    sigma = _sigma(residual, y)
    inliers = np.abs(residual) <= INLIER_SIGMAS * sigma
    bounded = np.clip(residual, -_HUBER_SIGMAS * sigma, _HUBER_SIGMAS * sigma)
    steady = max(float(np.mean(bounded == residual)), 0.1)
    variance = float(bounded @ bounded) / max(x.size - 2, 1) / steady**2
    covariance = _covariance(middle, variance / spread, variance / x.size)
    return Line(scale, level - scale * centre, inliers, covariance)


def ransac(x: Floats, y: Floats, seed: int = 0) -> Line:
    """Find the rising line that most points agree with, and fit it to them by least squares.

    As the alignment of Prompt Depth Anything (its issue 19) and of Depth Anything 3 (arXiv
    2511.10647, eq. 8): lines through pairs of points, scale > 0, a threshold by the MAD of the
    residuals. Their thresholds come from all points; here the first is of the best line by the
    least 40 % quantile (Rousseeuw 1984), so that it is not wide where half of them are wrong.
    Lines are then compared by truncated squares (MSAC, Torr and Zisserman 2000), and the best one
    is fitted to its inliers, with the threshold from their MAD. Survives half of the points wrong.

    Args:
        x: float64 (n,).
        y: float64 (n,).
        seed: of the pairs, and of the 500 points that compare the lines where there are more.
    """
    middle = float(np.mean(x))
    scored, target, scales, levels = _hypotheses(x - middle, y, seed)
    if not scales.size:
        return least_squares(x, y)
    best, threshold = _compare(scales, levels, scored, target)
    residual = y - levels[best] - scales[best] * (x - middle)
    line = least_squares(x, y, np.abs(residual) <= threshold)
    for _ in range(2):
        residual = np.abs(y - line.at(x))
        inliers = residual <= inlier_threshold(residual[line.inliers], y)
        line = least_squares(x, y, inliers)
    return _widened(line, 2 * _NORMAL.cdf(INLIER_SIGMAS) - 1)


def log_ransac(x: Floats, y: Floats, is_log: bool = False, seed: int = 0) -> Line:
    """Find the rising line with the least truncated absolute error of log y.

    An error counts as a part of y, near and far alike, and one by a factor of e or more counts as
    that: with a bound so wide even a poor prediction is told from points that are anywhere, which
    a bound by the MAD in disparity, as of ``ransac``, takes for a level line of far points. The
    lines are those of ``ransac``; the best one is then taken to the minimum by Gauss-Newton steps
    on reweighted squares (Holland and Welsch 1977). Survives half of the points wrong.

    The covariance is that of a least absolute fit to normal noise of log y: pi / 2 that of least
    squares.

    Args:
        x: float64 (n,).
        y: float64 (n,), positive unless is_log.
        is_log: y is a logarithm already, and so is the line's value.
        seed: as of ``ransac``.
    """
    floor = float("-inf") if is_log else float(y.min()) / np.e
    middle = float(np.mean(x))
    away = x - middle
    scored, target, scales, levels = _hypotheses(away, y, seed)
    if not scales.size:
        return least_squares(x, y)
    # In single precision, as in _compare.
    values = np.multiply.outer(scales.astype(np.float32), scored.astype(np.float32))
    values += levels.astype(np.float32)[:, None]
    loss = np.minimum(np.abs(_log_error(values, target, floor, is_log)), _CUT).sum(axis=1)
    loss[scales <= 0] /= _FALLING
    best = int(np.argmin(loss))
    start = float(scales[best]), float(levels[best])
    scale, level, error = _refined(*start, away, y, floor, is_log)
    size = np.abs(error)
    sigma = max(_SIGMA_OF_MEDIAN * float(np.median(size[size < _CUT])), _ROUNDING)
    inliers = size <= min(INLIER_SIGMAS * sigma * _few(x.size), _CUT)
    change = np.array([[1.0, 0.0], [-middle, 1.0]])
    covariance = np.full((2, 2), np.nan)
    if x.size > 2:
        normal = _normal_matrix(
            inliers.astype(np.float64), away, level + scale * away, floor, is_log
        )
        if np.linalg.det(normal) > 1e-12 * normal[0, 0] * normal[1, 1]:
            covariance = pi / 2 * sigma**2 * change @ np.linalg.inv(normal) @ change.T
    return Line(scale, level - scale * middle, inliers, covariance)


def _log_error(
    values: NDArray[np.floating], y: Floats, floor: float, is_log: bool
) -> NDArray[np.floating]:
    """Return log(values / y); what is below the floor counts as there."""
    if is_log:
        return np.asarray(values - y.astype(values.dtype))
    values = np.maximum(values, values.dtype.type(floor))
    return np.asarray(np.log(values) - np.log(y).astype(values.dtype))


def _refined(
    scale: float, level: float, away: Floats, y: Floats, floor: float, is_log: bool
) -> tuple[float, float, Floats]:
    """Lower the truncated absolute error as long as it falls; return scale, level and errors."""
    values = level + scale * away
    error = np.asarray(_log_error(values, y, floor, is_log), np.float64)
    for _ in range(_REFINEMENTS):
        size = np.abs(error)
        weight = (size < _CUT) / np.maximum(size, _LEAST_ERROR)
        normal = _normal_matrix(weight, away, values, floor, is_log)
        if np.linalg.det(normal) <= 1e-12 * normal[0, 0] * normal[1, 1]:
            break
        pull = weight * error / (1.0 if is_log else np.maximum(values, floor))
        step = np.linalg.solve(normal, (pull @ away, pull.sum()))
        values = level - step[1] + (scale - step[0]) * away
        changed = np.asarray(_log_error(values, y, floor, is_log), np.float64)
        if np.minimum(np.abs(changed), _CUT).sum() >= np.minimum(size, _CUT).sum():
            break
        scale, level, error = scale - float(step[0]), level - float(step[1]), changed
    return scale, level, error


def _normal_matrix(
    weight: Floats, away: Floats, values: Floats, floor: float, is_log: bool
) -> Floats:
    """Return that of (scale, level) for errors of log y, float64 (2, 2)."""
    weight = weight if is_log else weight / np.maximum(values, floor) ** 2
    cross = float(weight @ away)
    return np.array([[float(weight @ away**2), cross], [cross, float(weight.sum())]])


def slope_only(x: Floats, y: Floats, shift: float = 0.0) -> Line | None:
    """Fit the scale alone, with the shift held, by least absolute residuals.

    That is the median of (y - shift) / x, weighted by |x| (Laplace). Half of the points may be
    wrong. None where every x is 0. The covariance has no shift: it is NaN.
    """
    used = x != 0
    if not used.any():
        return None
    ratios, weights = (y[used] - shift) / x[used], np.abs(x[used])
    order = np.argsort(ratios)
    sums = np.cumsum(weights[order])
    scale = float(ratios[order[np.searchsorted(sums, sums[-1] / 2)]])
    residual = y - scale * x - shift
    return _one_number(scale, shift, residual, y, float(x @ x), 0)


def shift_only(x: Floats, y: Floats) -> Line | None:
    """Fit the shift alone, with scale 1, as the median of y - x; None without points."""
    if not x.size:
        return None
    shift = float(np.median(y - x))
    return _one_number(1.0, shift, y - x - shift, y, float(x.size), 1)


def _one_number(
    scale: float, shift: float, residual: Floats, y: Floats, weight: float, fitted: int
) -> Line:
    """Return the line of a weighted median; pi / 2 is what a median's variance is above a mean's.

    Args:
        scale: slope.
        shift: value at x = 0.
        residual: float64 (n,).
        y: float64 (n,).
        weight: the information of the number: variance of the noise / variance of a mean.
        fitted: 0 where the number is the scale, 1 the shift.
    """
    sigma = _sigma(residual, y)
    covariance = np.full((2, 2), np.nan)
    if residual.size >= 3:
        covariance[fitted, fitted] = pi / 2 * sigma**2 / weight
    return Line(scale, shift, np.abs(residual) <= INLIER_SIGMAS * sigma, covariance)


def _hypotheses(away: Floats, y: Floats, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the points that compare lines, sorted, and lines through pairs of them.

    Returns:
        x and y of the points, float64 (at most 500,), and scales and levels at x = 0 of the lines,
        float64 (at most 256,): none where x is constant.
    """
    rng = np.random.default_rng(seed)
    count = away.size
    chosen = rng.choice(count, _SCORED, replace=False) if count > _SCORED else np.arange(count)
    chosen = chosen[np.argsort(away[chosen], kind="stable")]
    x, y = away[chosen], y[chosen]
    low, high = _pairs(chosen.size, rng)
    run = x[high] - x[low]
    usable = run > 1e-9 * np.ptp(away)
    low, high, run = low[usable], high[usable], run[usable]
    scales = (y[high] - y[low]) / run
    return x, y, scales, y[low] - scales * x[low]


def _pairs(count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose points of sorted x for a line each: all pairs, or as many as are scored.

    Half of them are one each of the outer thirds, which noise turns least; the others are any two,
    for where one of the thirds is wrong as a whole.
    """
    if count * (count - 1) // 2 <= _HYPOTHESES:
        low, high = np.triu_indices(count, 1)
        return low, high
    third, half = count // 3, _HYPOTHESES // 2
    outer = rng.integers(0, third, (2, half)) + np.array([[0], [count - third]])
    anywhere = np.sort(rng.integers(0, count, (2, half)), axis=0)
    low, high = np.concatenate((outer, anywhere), axis=1)
    return low, high


def _compare(scales: Floats, levels: Floats, x: Floats, y: Floats) -> tuple[int, float]:
    """Return the index of the best line and the threshold of its inliers."""
    # In single precision, which is twice as fast and finer than the threshold can be.
    residuals = np.multiply.outer(scales.astype(np.float32), x.astype(np.float32))
    residuals += levels.astype(np.float32)[:, None]
    np.abs(np.subtract(residuals, y.astype(np.float32), out=residuals), out=residuals)
    # Two points of each line have no residual.
    kept = 2 + ceil(_QUANTILE * (x.size - 2))
    quantiles = np.partition(residuals, kept - 1, axis=1)[:, kept - 1]
    rising = scales > 0
    quantile = float(quantiles[rising].min() if rising.any() else quantiles.min())
    sigma = quantile / _NORMAL.inv_cdf((1 + (kept - 0.5) / x.size) / 2)
    threshold = max(INLIER_SIGMAS * sigma * _few(x.size), _rounding(y))
    truncated = np.minimum(residuals, threshold, out=residuals)
    loss = np.einsum("ij,ij->i", truncated, truncated)
    loss[~rising] /= _FALLING
    return int(np.argmin(loss)), threshold


def inlier_threshold(residual: Floats, y: Floats) -> float:
    """Return three standard deviations by the median of the given |residuals| of a line in y."""
    sigma = _SIGMA_OF_MEDIAN * float(np.median(residual)) * _few(residual.size)
    return max(INLIER_SIGMAS * sigma, _rounding(y))


def _rounding(y: Floats) -> float:
    return max(_ROUNDING * float(np.mean(np.abs(y))), float(np.finfo(np.float64).tiny))


def _few(count: int) -> float:
    """Return by how much few residuals of a line look too small (Rousseeuw and Leroy 1987)."""
    return 1 + 5 / max(count - 2, 1)


def _widened(line: Line, share: float) -> Line:
    """Undo what leaving out the largest residuals does to a covariance, for normal noise.

    The kept share has a variance that is smaller by k = 1 - 2 c phi(c) / share, and a fit to it is
    less sure by 1 / k (least trimmed squares; Rousseeuw and Leroy 1987, ch. 4).
    """
    if share >= 1:
        return line
    cut = _NORMAL.inv_cdf((1 + share) / 2)
    smaller = 1 - 2 * cut * _NORMAL.pdf(cut) / share
    return Line(line.scale, line.shift, line.inliers, line.covariance / smaller**2)


def _covariance(centre: float, var_scale: float, var_level: float) -> Floats:
    """Return that of (scale, level - scale · centre), where scale and level are independent."""
    cross = -centre * var_scale
    return np.array([[var_scale, cross], [cross, var_level + centre**2 * var_scale]])


def _spread(x: Floats) -> tuple[float, float]:
    """Return the mean and the sum of squares around it, 0 where that is only rounding."""
    if not x.size:
        return 0.0, 0.0
    centre = float(x.mean())
    away = x - centre
    spread = float(away @ away)
    return centre, spread if spread > x.size * (1e-9 * float(np.abs(x).max())) ** 2 else 0.0


def _sigma(residual: Floats, y: Floats) -> float:
    """Return the standard deviation of the noise by the median, never below rounding."""
    sigma = _SIGMA_OF_MEDIAN * float(np.median(np.abs(residual)))
    return max(sigma, _rounding(y))


def _variance(residual: Floats) -> float:
    freedom = residual.size - 2
    return float(residual @ residual) / freedom if freedom > 0 else float("nan")
