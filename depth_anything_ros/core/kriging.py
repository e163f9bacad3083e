"""Spread the residuals at a few points over a picture: kriging on a bilateral lattice.

The log residual r = log(true / fitted depth) is taken for a Gaussian process over (x, y, q), the
place in the picture and the logarithm of the fitted depth (Rasmussen and Williams, Gaussian
Processes for Machine Learning, eq. 2.23): near in the picture but across a depth edge is far, as
on the bilateral grid (Chen et al. 2007; Barron and Poole, arXiv 1511.03296). Its mean is 0, so
that where no point is near the global fit stands. On a lattice the kernel is a Kronecker product
(Wilson and Nickisch, KISS-GP, arXiv 1503.01057), so that the equations are solved by conjugate
gradients with products of small matrices, whatever the number of points.

Gross outliers are told by two-fold cross-validation: each point is judged by the field of the
other half, as one of a mixture of a narrow and a wide normal distribution and, for the outliers,
a uniform one (expectation-maximisation; Fraley and Raftery, JASA 97, 2002, section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Standard deviation of r before any point is known.
AMPLITUDE = 0.3
# Of LiDAR and pixel grid together: no point is known better than to 1 %.
_NOISE = 0.01
# Errors within one cell go together: more points than this make it no surer.
_CELL_COUNT = 1.0
_LEAST_WEIGHT = 1e-3
# Steps of the conjugate gradients: of stiff fields, of fine ones, each from where the last one
# ended, and of the field of all sites.
_STIFF_STEPS, _FINE_STEPS, _LAST_STEPS = 12, (24, 24), 40
# Of expectation-maximisation, after each field.
_EM_STEPS = 5
_WIDE, _WIDE_SHARE = 2.0, 0.05
_OUTLIER_SHARE = (0.005, 0.7)
# Residuals beyond this are gross at first, and count as little as this.
_GROSS, _GROSS_WEIGHT = 1.0, 0.01
_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class Resolution:
    """Cells of a lattice and how far its kernel reaches.

    Attributes:
        columns: over the width of the picture.
        rows: over its height.
        step: of q, in log depth.
        reach: length of exp(-|d| / reach) in the picture, a part of its width.
        reach_q: the same in log depth.
        common: part of each axis' kernel that does not fall off.
    """

    columns: int
    rows: int
    step: float
    reach: float
    reach_q: float
    common: float


# From coarse to fine: a stiff field bends to no group of outliers.
_STIFF = (
    Resolution(12, 9, 0.24, 0.5, 1.2, 0.5),
    Resolution(12, 9, 0.24, 0.25, 0.6, 0.3),
)
_FINE = Resolution(24, 18, 0.12, 0.15, 0.4, 0.3)
_MAX_LEVELS = 16


@dataclass(frozen=True, eq=False)
class Sites:
    """Where the field was measured.

    Attributes:
        x: float32 (n,), columns as a part of the width, 0 to 1.
        y: float32 (n,), rows as a part of the width too, 0 to ``aspect``.
        q: float32 (n,), logarithm of the fitted depth.
        residual: float32 (n,), log(true / fitted depth).
        spread: float32 (n,), how uncertain a residual is beside the others, 1 or more.
        outlier_range: width of the range of log depth in which an outlier may lie.
        aspect: height / width of the picture.
    """

    x: Array
    y: Array
    q: Array
    residual: Array
    spread: Array
    outlier_range: float
    aspect: float


@dataclass(frozen=True, eq=False)
class Field:
    """The field on its lattice, (levels of q, rows, columns), float32.

    Attributes:
        residual: the expected log(true / fitted depth), 0 where no site is near.
        support: how much the sites near count, a number of sites.
        error: root mean square of the residuals left at the sites near, each judged by others.
        low: q of the first level.
        step: of q from level to level.
    """

    residual: Array
    support: Array
    error: Array
    low: float
    step: float

    @property
    def high(self) -> float:
        """Q of the last level."""
        return self.low + self.step * (len(self.residual) - 1)

    def fading(self, q: Array) -> Array:
        """Return what is left of the support at q: all on the lattice, less and less off it."""
        off = np.maximum(np.maximum(q - np.float32(self.high), np.float32(self.low) - q), 0)
        return np.asarray(np.exp(off * np.float32(-1 / _FINE.reach_q)), np.float32)


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Kernel matrices of the axes, and the cell of each site."""

    shape: tuple[int, int, int]
    low: float
    step: float
    cells: NDArray[np.intp]
    kernels: tuple[Array, Array, Array]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, eq=False)
class Belief:
    """What is thought of the sites.

    Attributes:
        weight: float32 (n,), of each site in a field.
        trusted: float32 (n,), probability that a site is no outlier.
        outliers: their share.
        deviation: standard deviation of what a field leaves at the others.
    """

    weight: Array
    trusted: Array
    outliers: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Trial:
    """A cross-validation.

    Attributes:
        sites: that it is of.
        belief: in them.
        held: float32 (n,), each residual as the other half of the sites foretells it.
        lattice: of the two fields.
        halves: float32 (2, cells), their solutions.
    """

    sites: Sites
    belief: Belief
    held: Array
    lattice: _Lattice
    halves: Array


def doubted(sites: Sites) -> Belief:
    """Tell outliers from the other sites by stiff fields."""
    belief, fold = _first_belief(sites), _folds(sites)
    for resolution in _STIFF:
        lattice = _lattice(sites, resolution)
        start = np.zeros((2, lattice.size), np.float32)
        held, _ = _left_out(sites, belief, lattice, fold, _STIFF_STEPS, start)
        belief = _judged(sites, sites.residual - held, belief)
    return belief


def cross_validated(sites: Sites, belief: Belief) -> Trial:
    """Foretell each half of the sites from the other, on the finest lattice.

    Args:
        sites: what was measured.
        belief: of ``doubted``, of these sites or of their residuals before a trend was taken out.
    """
    lattice, fold = _lattice(sites, _FINE), _folds(sites)
    halves = np.zeros((2, lattice.size), np.float32)
    for steps in _FINE_STEPS:
        held, halves = _left_out(sites, belief, lattice, fold, steps, halves)
        belief = _judged(sites, sites.residual - held, belief)
    return Trial(sites, belief, held, lattice, halves)


def krige(trial: Trial) -> Field:
    """Return the field of log residuals that all sites tell, outliers left out.

    Its strength is what cross-validation bears out: 0 where half of the sites say nothing of the
    other half, 1 where they foretell it.
    """
    sites, belief, lattice = trial.sites, trial.belief, trial.lattice
    strength = _strength(sites, trial.held, belief)
    weight, mean = _binned(lattice.cells, lattice.size, belief.weight, sites)
    start = trial.halves.mean(axis=0, keepdims=True)
    # Part of what is left at the other half is for want of the own half.
    solved = _solve(lattice, weight, mean, _variance(belief) / 2, start, _LAST_STEPS)
    residual = strength * AMPLITUDE**2 * _times_kernel(lattice.kernels, solved, lattice.shape)
    error = sites.residual - strength * trial.held
    support, left = _nearby(sites, error, belief, lattice, _FINE)
    residual = residual.reshape(lattice.shape).astype(np.float32)
    return Field(residual, support, left, lattice.low, lattice.step)


def _folds(sites: Sites) -> NDArray[np.intp]:
    """Part the sites in two, evenly for every order they come in, the same on each call."""
    return ((np.arange(sites.residual.size) * _GOLDEN) % 1 < 0.5).astype(np.intp)


def _first_belief(sites: Sites) -> Belief:
    """Trust all sites but those off by more than a factor of e, as the global fit did.

    Far from the global fit is where a local correction is wanted most.
    """
    off = np.abs(sites.residual)
    weight = np.where(off < _GROSS, 1.0, _GROSS_WEIGHT) / sites.spread**2
    square = float(np.mean(np.minimum(off, _GROSS) ** 2))
    return Belief(weight.astype(np.float32), np.ones_like(off), 0.3, max(sqrt(square) / 2, _NOISE))


def _lattice(sites: Sites, resolution: Resolution) -> _Lattice:
    low, high = float(sites.q.min()) - 0.05, float(sites.q.max()) + 0.05
    levels = min(max(ceil((high - low) / resolution.step) + 1, 3), _MAX_LEVELS)
    step = (high - low) / (levels - 1)
    rows, columns = resolution.rows, resolution.columns
    level = np.rint((sites.q - low) / step).astype(np.intp)
    row = np.minimum((sites.y * (rows / sites.aspect)).astype(np.intp), rows - 1)
    column = np.minimum((sites.x * columns).astype(np.intp), columns - 1)
    cells = (level * rows + row) * columns + column
    return _Lattice(
        (levels, rows, columns), low, step, cells, _kernels(resolution, levels, step, sites.aspect)
    )


def _kernels(
    resolution: Resolution, levels: int, step: float, aspect: float, common: float | None = None
) -> tuple[Array, Array, Array]:
    """Return the kernel of levels, rows and columns: exp(-|d| / reach) and a common part."""
    part = resolution.common if common is None else common
    axes = (
        np.arange(levels) * (step / resolution.reach_q),
        np.arange(resolution.rows) * (aspect / resolution.rows / resolution.reach),
        np.arange(resolution.columns) * (1 / resolution.columns / resolution.reach),
    )
    z, y, x = (
        (part + (1 - part) * np.exp(-np.abs(a[:, None] - a))).astype(np.float32) for a in axes
    )
    return z, y, x


def _times_kernel(
    kernels: tuple[Array, Array, Array], values: Array, shape: tuple[int, int, int]
) -> Array:
    """Return kernel · values, float32 (batch, cells), without the kernel's amplitude."""
    levels, rows, columns = shape
    z, y, x = kernels
    batch = values.shape[0]
    planes = np.matmul(np.matmul(y, values.reshape(batch, levels, rows, columns)), x)
    field = np.matmul(z, planes.reshape(batch, levels, -1))
    return np.asarray(field.reshape(batch, -1), np.float32)


def _binned(
    cells: NDArray[np.intp], size: int, weight: Array, sites: Sites, batch: int = 1
) -> tuple[Array, Array]:
    """Return weight and mean residual of each cell, float32 (batch, size)."""
    total = np.bincount(cells, weight, batch * size).astype(np.float32)
    mean = np.bincount(cells, weight * sites.residual, batch * size).astype(np.float32)
    mean /= np.maximum(total, _LEAST_WEIGHT)
    return total.reshape(batch, size), mean.reshape(batch, size)


def _left_out(
    sites: Sites,
    belief: Belief,
    lattice: _Lattice,
    fold: NDArray[np.intp],
    steps: int,
    start: Array,
) -> tuple[Array, Array]:
    """Return each residual as the other half of the sites has it, and both halves' solutions."""
    size = lattice.size
    others = lattice.cells + (1 - fold) * size
    weight, mean = _binned(others, size, belief.weight, sites, batch=2)
    solved = _solve(lattice, weight, mean, _variance(belief), start, steps)
    field = AMPLITUDE**2 * _times_kernel(lattice.kernels, solved, lattice.shape)
    return field.ravel()[lattice.cells + fold * size], solved


def _variance(belief: Belief) -> float:
    return max(belief.deviation, _NOISE) ** 2


def _solve(
    lattice: _Lattice, weight: Array, mean: Array, variance: float, start: Array, steps: int
) -> Array:
    """Solve (K + noise) a = mean over the cells that have sites, by conjugate gradients.

    Args:
        lattice: of the kernel K.
        weight: float32 (batch, cells), of the sites in each cell; 0 leaves a cell out.
        mean: float32 (batch, cells), of their residuals.
        variance: of one site.
        start: float32 (batch, cells), of the conjugate gradients.
        steps: number of them; the fewer, the smoother.

    Returns:
        float32 (batch, cells), a; the field is AMPLITUDE² · kernel · a.
    """
    occupied = (weight > _LEAST_WEIGHT).astype(np.float32)
    power = np.float32(AMPLITUDE**2)
    noise = occupied * np.float32(variance) / np.clip(weight, _LEAST_WEIGHT, _CELL_COUNT)
    # Scaled on both sides, so that its diagonal is 1.
    scaling = occupied / np.sqrt(power + noise)
    outer, own = power * scaling, scaling * scaling * noise

    def times(values: Array) -> Array:
        product = _times_kernel(lattice.kernels, scaling * values, lattice.shape)
        product *= outer
        product += own * values
        return product

    solution = np.divide(start, scaling, out=np.zeros_like(start), where=occupied > 0)
    left = scaling * mean - times(solution)
    direction, dot = left.copy(), _dot(left, left)
    for _ in range(steps):
        product = times(direction)
        length = dot / np.maximum(_dot(direction, product), 1e-20)
        solution += length * direction
        product *= length
        left -= product
        last, dot = dot, _dot(left, left)
        direction *= dot / np.maximum(last, 1e-20)
        direction += left
    solution *= scaling
    return np.asarray(solution, np.float32)


def _dot(first: Array, second: Array) -> Array:
    """Return the product of each row with its like, float32 (batch, 1)."""
    return np.array([[one @ other] for one, other in zip(first, second, strict=True)], np.float32)


def _judged(sites: Sites, error: Array, belief: Belief) -> Belief:
    """Return weights and probabilities anew, given what is left of each residual."""
    outliers, deviation = belief.outliers, belief.deviation
    relative = (error / sites.spread) ** 2
    for _ in range(_EM_STEPS):
        narrow, wide = _densities(relative, deviation)
        density = (1 - outliers) * (narrow + wide) / sites.spread
        trusted = np.asarray(density / (density + outliers / sites.outlier_range), np.float32)
        share = narrow / (narrow + wide)
        weight = trusted * (share + (1 - share) / _WIDE**2)
        outliers = float(np.clip(1 - trusted.mean(), *_OUTLIER_SHARE))
        square = float(np.sum(weight * relative) / max(float(trusted.sum()), 1e-9))
        deviation = max(sqrt(square), _NOISE)
    scaled = np.asarray(weight / sites.spread**2, np.float32)
    return Belief(scaled, trusted, outliers, deviation)


def _densities(relative: Array, deviation: float) -> tuple[Array, Array]:
    """Return the densities of the narrow and the wide normal distribution, by their shares."""
    exponent = relative * np.float32(-0.5 / deviation**2)
    top = np.float32(1 / sqrt(2 * np.pi) / deviation)
    narrow = top * (1 - _WIDE_SHARE) * np.exp(np.maximum(exponent, -80))
    wide = top * _WIDE_SHARE / _WIDE * np.exp(np.maximum(exponent / _WIDE**2, -80))
    return narrow, wide


def _strength(sites: Sites, held: Array, belief: Belief) -> float:
    """Return the factor of the field, 0 to 1, that leaves the least at sites it did not see."""
    weight = belief.trusted / sites.spread**2
    square = float(np.sum(weight * held * held))
    if square < 1e-9:
        return 0.0
    return min(max(float(np.sum(weight * sites.residual * held)) / square, 0.0), 1.0)


def _nearby(
    sites: Sites, error: Array, belief: Belief, lattice: _Lattice, resolution: Resolution
) -> tuple[Array, Array]:
    """Return how many trusted sites are near each cell, and the root mean square of what is left.

    Without the common part of the kernel: far is far.
    """
    trusted = belief.trusted
    sums = [
        np.bincount(lattice.cells, values, lattice.size).astype(np.float32)
        for values in (trusted, trusted * error**2)
    ]
    levels = lattice.shape[0]
    kernels = _kernels(resolution, levels, lattice.step, sites.aspect, common=0.0)
    support, square = _times_kernel(kernels, np.stack(sums), lattice.shape)
    # As of one site more, with the deviation of all.
    known = (square + belief.deviation**2) / (support + 1)
    return support.reshape(lattice.shape), np.sqrt(known).reshape(lattice.shape)
