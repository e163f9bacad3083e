"""Fit what one picture cannot know: the scale and the shift of a relative prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core import robust
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.monotone import along, monotone_spline
from depth_anything_ros.core.robust import Bools, Floats, Line, line_at

Method = Literal[
    "least_squares",
    "median_mad",
    "trimmed",
    "huber",
    "ransac",
    "log_ransac",
    "scale_only",
    "spline",
]
Used = Literal[Method, "held_shift", "none"]
Space = Literal["disparity", "depth", "log_depth"]

METHODS: tuple[Method, ...] = get_args(Method)
SPACES: tuple[Space, ...] = get_args(Space)

# A line through two points has nothing that says how wrong it is.
MIN_POINTS = 3
# A standard deviation of the prediction below 6e-5 of its size is rounding of float32.
MAX_CONDITION = 1e9
# A wall's points differ by the noise of the sensor (2 cm at 5 m) more than by depth.
MIN_SPREAD = 0.005
# Scale must differ from 0 by this many of its standard deviations.
MIN_SIGMAS = 2.0
# A simpler model is refuted where the nearest 40 % of the points are this much farther off.
_NEAREST, _MUCH = 0.4, 1.25

_LINES: dict[str, Callable[[Floats, Floats], Line]] = {
    "least_squares": robust.least_squares,
    "median_mad": robust.median_mad,
    "trimmed": robust.trimmed,
    "huber": robust.huber,
}


@dataclass(frozen=True, eq=False)
class Fit:
    """How a prediction becomes metres, and how sure that is.

    The line is 1 / depth = s · p + t in ``disparity``, depth = s · p + t in ``depth``, and
    log depth = s · log p + t in ``log_depth``; what follows is in these units.

    Attributes:
        asked: the method that was asked for.
        used: the one that answers: ``asked`` or, where the points do not determine it, a simpler
            one. ``ransac`` stands in for a spline.
        space: where prediction and target are on one line.
        scale: s; NaN where used is ``none``. Of the least-squares line, where used is ``spline``.
        shift: t, likewise.
        covariance: float64 (2, 2) of (scale, shift), NaN where unknown: the shift that is held or
            zero, and everything with too few points.
        inliers: bool (n,), n being the size of the prediction, in its order: the points that the
            answer rests on. False where masked or without a value.
        residuals: float64 (n,), target - fitted; NaN where masked or without a value.
        condition: condition number of the normal matrix of (p / rms p, 1) over the inliers: 1 where
            the mean of p is 0, about 4 (rms / standard deviation)² where p hardly varies, and inf
            of a constant. The size of p does not matter; what it is measured from does, as that
            decides how far scale and shift hang together.
        knots: float64 (k, 2), p (or log p) and its value, both rising; only of a spline.
        reason: why a simpler method answered, or should where ``used`` is ``asked``: the points
            leave the scale open. Else empty.
    """

    asked: Method
    used: Used
    space: Space
    scale: float
    shift: float
    covariance: Floats
    inliers: Bools
    residuals: Floats
    condition: float
    knots: Floats | None = None
    reason: str = ""

    @property
    def count(self) -> int:
        """Number of inliers."""
        return int(np.count_nonzero(self.inliers))

    @property
    def ok(self) -> bool:
        """True where there is a fit."""
        return self.used != "none"

    def apply(self, prediction: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return depth in metres, float32 in the shape of the prediction.

        NaN stays NaN. An inverse depth of 0 or below is +Inf, beyond range, if the shift was
        measured: one that was assumed to be 0 does not tell, so that it is NaN then. Depth that
        is not positive, and the logarithm of what is not positive, are NaN. All is NaN without a
        fit.
        """
        if not self.ok:
            return np.full(prediction.shape, np.nan, np.float32)
        values = self._values(np.asarray(prediction, np.float32))
        if self.space == "disparity" and self.used == "scale_only":
            values = np.where(values > 0, values, np.float32(np.nan))
        return metres(values, self.space)

    def _values(self, prediction: NDArray[np.floating]) -> NDArray[np.floating]:
        if self.space == "log_depth":
            prediction = _log(prediction)
        if self.knots is not None:
            return along(prediction, self.knots, self.scale)
        return line_at(prediction, self.scale, self.shift)


def fit_scale_shift(
    prediction: NDArray[np.floating],
    target_m: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    method: Method = "least_squares",
    space: Space = "disparity",
    held_shift: float | None = None,
    seed: int = 0,
) -> Fit:
    """Fit scale and shift of a prediction to depth in metres.

    Residuals are of the space, with one weight each, as in the papers: in disparity those of far
    points are small, so that near points decide. Those of ``log_ransac`` are of log depth in every
    space, so that near and far count alike.

    Points that determine no line are answered by the next simpler model: the scale with the held
    shift, then the scale alone, then none. They are: fewer than three, predictions or depths that
    are all one value, a scale that is negative, or less than twice its standard deviation. The
    scale alone is with shift 0; in log depth it is depth's factor exp(shift), with scale 1.

    Args:
        prediction: any shape; unit-less disparity in ``disparity``, depth in the other two.
        target_m: the same shape, depth in metres; what is not positive and finite is left out.
        mask: bool, the same shape, the points to fit; all where None.
        method: ``least_squares``, ``median_mad``, ``trimmed`` (20 %), ``huber``, ``ransac``,
            ``log_ransac``, ``scale_only``, or ``spline`` (10 knots, rising), see ``core.robust``
            and ``core.monotone``.
        space: ``disparity``, ``depth``, or ``log_depth``, where the two are on one line.
        held_shift: the shift of an earlier fit in the same space, None where there was none.
        seed: of the pairs that RANSAC tries.

    Raises:
        ParameterError: an unknown method or space, or shapes that differ.
    """
    _check(prediction, target_m, mask, method, space)
    usable, x, y = _points(prediction, target_m, mask, space)
    used, line, knots, reason = _ladder(x, y, method, space, held_shift, seed)
    inliers, residuals = np.zeros(usable.size, bool), np.full(usable.size, np.nan)
    if line is None:
        line = Line(float("nan"), float("nan"), np.zeros(x.size, bool), np.full((2, 2), np.nan))
    inliers[usable] = line.inliers
    residuals[usable] = y - (line.at(x) if knots is None else along(x, knots, line.scale))
    numbers = (line.scale, line.shift, line.covariance)
    condition = _condition(x[line.inliers])
    return Fit(method, used, space, *numbers, inliers, residuals, condition, knots, reason)


def metres(values: NDArray[np.floating], space: Space) -> NDArray[np.float32]:
    """Return the depth of values of a space, float32 of the same shape, see ``Fit.apply``.

    The array may be overwritten.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if space == "disparity":
            np.reciprocal(np.maximum(values, 0, out=values), out=values)
        elif space == "log_depth":
            np.exp(values, out=values)
        depth = values.astype(np.float32, copy=False)
        depth[depth <= 0] = np.nan
    return depth


_Answer = tuple[Used, Line | None, Floats | None, str]


def _ladder(
    x: Floats, y: Floats, method: Method, space: Space, held_shift: float | None, seed: int
) -> _Answer:
    """Return the first model that the points determine, and why those before it are not."""
    reasons: list[str] = []
    opened: Line | None = None
    if method != "scale_only":
        used, line, knots, reason = _line(x, y, method, space, seed)
        if line is not None and (used != method or not reason):
            return used, line, knots, reason
        reasons.append(reason)
        opened = line
        if held_shift is not None:
            line = robust.slope_only(x, y, held_shift)
            if line is not None and line.scale > 0 and not _refuted(line, opened, x, y):
                return "held_shift", line, None, reason
            reasons.append(f"no positive scale goes with the held shift {held_shift:g}")
    line = robust.shift_only(x, y) if space == "log_depth" else robust.slope_only(x, y)
    if line is not None and line.scale > 0 and not _refuted(line, opened, x, y):
        return "scale_only", line, None, "; ".join(reasons)
    if opened is not None:
        return method, opened, None, reasons[0]
    reasons.append("no positive scale goes with shift 0" if x.size else "no points")
    return "none", None, None, "; ".join(dict.fromkeys(reasons))


def _refuted(simpler: Line, opened: Line | None, x: Floats, y: Floats) -> bool:
    """Say whether the points are much nearer to a line whose scale they leave open."""
    if opened is None:
        return False
    off, near = (np.quantile(np.abs(y - line.at(x)), _NEAREST) for line in (simpler, opened))
    return bool(off > _MUCH * near)


def _line(x: Floats, y: Floats, method: Method, space: Space, seed: int) -> _Answer:
    """Return a line or a spline, or else None and why."""
    if reason := _flaw(x, y, space):
        return method, None, None, reason
    if method == "log_ransac":
        line = robust.log_ransac(x, y, space == "log_depth", seed)
    else:
        line = _LINES[method](x, y) if method in _LINES else robust.ransac(x, y, seed)
    if reason := _flaw(x[line.inliers], y[line.inliers], space):
        return method, None, None, reason
    if line.scale <= 0:
        return method, None, None, f"the scale is not positive: {line.scale:.3g}"
    deviation = sqrt(line.covariance[0, 0])
    if line.scale < MIN_SIGMAS * deviation:
        reason = f"the points leave the scale open: {line.scale:.3g} +- {deviation:.2g}"
        return method, line, None, reason
    if method != "spline":
        return method, line, None, ""
    curve = monotone_spline(x, y, line)
    if curve is None:
        return "ransac", line, None, f"{line.count} inliers are too few or too alike for a spline"
    return method, curve.line, curve.knots, ""


def _flaw(x: Floats, y: Floats, space: Space) -> str:
    """Say why points determine no line; nothing where they may."""
    if x.size < MIN_POINTS:
        return f"{x.size} points, a line needs {MIN_POINTS}" if x.size else "no points"
    if _condition(x) > MAX_CONDITION:
        return f"the prediction is one value, {x.mean():g}, at all {x.size} points"
    spread = float(y.std()) / (1.0 if space == "log_depth" else abs(float(y.mean())))
    if spread < MIN_SPREAD:
        return f"all {x.size} points are at one depth, within {100 * spread:.2g} %"
    return ""


def _condition(x: Floats) -> float:
    """Return (1 + m) / (1 - m) with m = |mean| / rms, without the cancellation in 1 - m."""
    if not x.size:
        return float("inf")
    mean, variance = abs(float(x.mean())), float(x.var())
    square = mean**2 + variance
    if variance <= 1e-18 * square:
        return float("inf")
    return (sqrt(square) + mean) ** 2 / variance


def _points(
    prediction: NDArray[np.floating],
    target_m: NDArray[np.floating],
    mask: NDArray[np.bool_] | None,
    space: Space,
) -> tuple[Bools, Floats, Floats]:
    """Return bool (n,), which points have a value, and these in the space, float64 (m,)."""
    x, y = np.ravel(prediction), np.ravel(target_m)
    usable = np.isfinite(x) & np.isfinite(y) & (y > 0)
    if mask is not None:
        usable &= np.ravel(mask)
    if space == "log_depth":
        usable &= x > 0
    x, y = x[usable].astype(np.float64), y[usable].astype(np.float64)
    if space == "log_depth":
        return usable, np.log(x), np.log(y)
    return usable, x, 1 / y if space == "disparity" else y


def _log(values: NDArray[np.floating]) -> NDArray[np.floating]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(values))


def _check(
    prediction: NDArray[np.floating],
    target_m: NDArray[np.floating],
    mask: NDArray[np.bool_] | None,
    method: str,
    space: str,
) -> None:
    if method not in METHODS:
        raise ParameterError(
            f"unknown method {method!r} of the alignment: expected one of {', '.join(METHODS)}"
        )
    if space not in SPACES:
        raise ParameterError(
            f"unknown space {space!r} of the alignment: expected one of {', '.join(SPACES)}"
        )
    shapes = [values.shape for values in (prediction, target_m, mask) if values is not None]
    if len(set(shapes)) > 1:
        raise ParameterError(
            f"prediction, target_m and mask must be of one shape, got {', '.join(map(str, shapes))}"
        )
