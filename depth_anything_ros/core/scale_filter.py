"""Scale and shift over time: a Kalman filter over the fits of single pictures.

The state is the line (s, t) of ``core.alignment``, which walks at random between pictures; each
fit measures it with the fit's covariance. A fit that does not go with the state is gated; several
in a row are a cut in the scene and restart it. Without fits the last line is held up to an age.
All is pure: keep the returned state and give it back with the next picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Fit, Space
from depth_anything_ros.core.errors import check_ranges

Matrix = NDArray[np.float64]
Status = Literal["anchored", "held", "degraded", "waiting"]


@dataclass(frozen=True)
class FilterOptions:
    """How fast scale and shift may change, and whom to believe.

    Attributes:
        drift: standard deviation of the random walk after one second, relative to the line's
            value; 1/√s.
        fit_error: standard deviation of what a fit's covariance does not know, as it takes its
            residuals for independent; relative to the line's value.
        unknown_error: standard deviation of a fit without a covariance, likewise relative.
        gate: probability with which a good fit passes; 0.99 is a chi-square of 9.21 of two numbers.
        restart_after: so many gated fits in a row restart from the last of them.
        max_age_s: the last fit that passed is held for so long, seconds.
        late_s: fits and pictures may come so much out of order, seconds; a clock that goes back
            farther has jumped.

    Raises:
        ParameterError: where one is out of its range.
    """

    drift: float = 0.1
    fit_error: float = 0.02
    unknown_error: float = 0.2
    gate: float = 0.99
    restart_after: int = 3
    max_age_s: float = 2.0
    late_s: float = 0.1

    def __post_init__(self) -> None:
        ranges = {
            "drift": self.drift >= 0,
            "fit_error": self.fit_error > 0,
            "unknown_error": self.unknown_error > 0,
            "gate": 0 < self.gate < 1,
            "restart_after": self.restart_after >= 1,
            "max_age_s": self.max_age_s >= 0,
            "late_s": self.late_s >= 0,
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class ScaleState:
    """What is known of scale and shift at one time.

    Attributes:
        status: ``anchored``: from a fit of this picture; ``degraded``: that fit was a simpler one
            than asked for, or was gated and the last line stands in; ``held``: no fit, the last
            line stands in; ``waiting``: there is no line, or none young enough: nothing may be
            published.
        reason: why it is not ``anchored``, or why it restarted; else empty.
        space: of the line.
        scale: s; NaN where waiting for the first fit.
        shift: t, likewise.
        covariance: float64 (2, 2) of (s, t).
        measured: which of s and t any fit since the start has measured; the other is a given.
        prediction_rms: root mean square of the prediction at the anchors, from the fits'
            covariances: of least squares it is sqrt(var t / var s). 1 where nothing says.
        stamp_ns: of the newest picture; None before the first.
        fitted_ns: of the last fit that passed.
        rejected: fits gated in a row.
    """

    status: Status = "waiting"
    reason: str = "no fit yet"
    space: Space = "disparity"
    scale: float = math.nan
    shift: float = math.nan
    covariance: Matrix = field(default_factory=lambda: np.full((2, 2), math.nan))
    measured: tuple[bool, bool] = (False, False)
    prediction_rms: float = 1.0
    stamp_ns: int | None = None
    fitted_ns: int | None = None
    rejected: int = 0

    @property
    def ok(self) -> bool:
        """Say whether scale and shift may be used."""
        return self.status != "waiting"

    @property
    def age_s(self) -> float:
        """Time from the last fit that passed to the newest picture, seconds; NaN without one."""
        if self.stamp_ns is None or self.fitted_ns is None:
            return math.nan
        return (self.stamp_ns - self.fitted_ns) * 1e-9

    def as_fit(self, last: Fit) -> Fit:
        """Return the last good fit with this line in place of its own."""
        return replace(
            last, scale=self.scale, shift=self.shift, covariance=self.covariance, knots=None
        )


def step(state: ScaleState, fit: Fit | None, stamp_ns: int, options: FilterOptions) -> ScaleState:
    """Go on to the next picture.

    Args:
        state: after the picture before; ``ScaleState()`` at first.
        fit: of this picture; None where it has no anchors.
        stamp_ns: of this picture, nanoseconds.
        options: of the filter.

    Returns:
        The state at this picture. A clock that goes back by more than ``late_s`` and a fit in
        another space forget what was before, too.
    """
    note = _why_forget(state, fit, stamp_ns, options)
    state = predict(ScaleState() if note else state, stamp_ns, options)
    if fit is None or not _is_usable(fit):
        why = "no anchors in this picture" if fit is None else fit.reason or "no usable fit"
        return _held(state, _joined(note, why), options)
    is_stale = math.isnan(state.age_s) or state.age_s > options.max_age_s
    # A line whose shift was a given has no say where the shift is measured.
    if is_stale or any(new > old for new, old in zip(_measured(fit), state.measured, strict=True)):
        return _started(state, fit, options, note)
    distance, limit = gate(state, fit, options)
    if distance <= limit:
        return update(state, fit, options)
    rejected = state.rejected + 1
    if rejected >= options.restart_after:
        reason = f"restarted: {rejected} fits in a row did not go with the line before"
        return _started(state, fit, options, reason)
    reason = f"the fit does not go with the line before (chi-square {distance:.3g} > {limit:.3g})"
    return replace(_held(state, reason, options), status="degraded", rejected=rejected)


def predict(state: ScaleState, stamp_ns: int, options: FilterOptions) -> ScaleState:
    """Let the state walk to a time: its covariance grows by drift² per second."""
    if state.stamp_ns is None or state.fitted_ns is None:
        return replace(state, stamp_ns=stamp_ns)
    elapsed_s = max(stamp_ns - state.stamp_ns, 0) * 1e-9
    grown = _relative(state, options.drift) * elapsed_s
    return replace(
        state,
        covariance=state.covariance + np.diag(np.where(state.measured, grown, 0.0)),
        stamp_ns=max(stamp_ns, state.stamp_ns),
    )


def gate(state: ScaleState, fit: Fit, options: FilterOptions) -> tuple[float, float]:
    """Return the squared Mahalanobis distance of a fit and its limit (Bar-Shalom et al. 2001).

    The limit is the chi-square quantile of what the fit measures: one number or two.
    """
    measured = _measured(fit)
    if all(measured):
        innovation = np.array([fit.scale - state.scale, fit.shift - state.shift])
        total = state.covariance + _noise(state, fit, options)
        distance = float(innovation @ np.linalg.solve(total, innovation))
        return distance, -2 * math.log1p(-options.gate)
    i = measured.index(True)
    variance = _given_other(state, i) + _noise(state, fit, options)[i, i]
    distance = (_one_number(state, fit, i) - (state.scale, state.shift)[i]) ** 2 / variance
    return float(distance), NormalDist().inv_cdf((1 + options.gate) / 2) ** 2


def update(state: ScaleState, fit: Fit, options: FilterOptions) -> ScaleState:
    """Take a fit in, whether it passes the gate or not.

    A fit of one number (scale alone, or with a held shift) leaves the other as it is: it is an
    update of the scale given the shift.
    """
    measured = _measured(fit)
    noise = _noise(state, fit, options)
    line = np.array([state.scale, state.shift])
    if all(measured):
        # Joseph's form, which stays positive definite.
        gain = np.linalg.solve(state.covariance + noise, state.covariance).T
        line = line + gain @ (np.array([fit.scale, fit.shift]) - line)
        rest = np.eye(2) - gain
        covariance = rest @ state.covariance @ rest.T + gain @ noise @ gain.T
    else:
        i = measured.index(True)
        before = _given_other(state, i)
        gain_i = before / (before + noise[i, i])
        line[i] += gain_i * (_one_number(state, fit, i) - line[i])
        covariance = state.covariance.copy()
        covariance[i, i] -= gain_i * before
    if line[0] <= 0:
        return _started(state, fit, options, "restarted: the line turned over")
    covariance = (covariance + covariance.T) / 2
    updated = replace(state, scale=float(line[0]), shift=float(line[1]), covariance=covariance)
    return _accepted(updated, fit, "")


def _why_forget(state: ScaleState, fit: Fit | None, stamp_ns: int, options: FilterOptions) -> str:
    """Say why nothing before this picture counts any more; nothing where it does."""
    if state.stamp_ns is None:
        return ""
    back_ns = state.stamp_ns - stamp_ns
    if back_ns > round(options.late_s * 1e9):
        return f"restarted: the clock went back by {back_ns * 1e-9:.3g} s"
    if fit is not None and fit.ok and fit.space != state.space and state.fitted_ns is not None:
        return f"restarted: fits in {fit.space} after {state.space}"
    return ""


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _is_usable(fit: Fit) -> bool:
    return fit.ok and math.isfinite(fit.scale) and math.isfinite(fit.shift) and fit.scale > 0


def _held(state: ScaleState, why: str, options: FilterOptions) -> ScaleState:
    """Let the last line stand in, if it is young enough."""
    if state.fitted_ns is None:
        return replace(state, status="waiting", reason=why)
    if state.age_s > options.max_age_s:
        old = f"the last fit is {state.age_s:.3g} s old, the limit is {options.max_age_s:g} s"
        return replace(state, status="waiting", reason=_joined(old, why))
    return replace(state, status="held", reason=why)


def _started(state: ScaleState, fit: Fit, options: FilterOptions, reason: str) -> ScaleState:
    """Begin from one fit."""
    measured = _measured(fit)
    fresh = replace(
        state,
        space=fit.space,
        scale=fit.scale,
        shift=fit.shift,
        measured=measured,
        prediction_rms=1.0,
    )
    fresh = replace(fresh, prediction_rms=_prediction_rms(fresh, fit))
    noise = np.where(np.outer(measured, measured), _noise(fresh, fit, options), 0.0)
    return _accepted(replace(fresh, covariance=noise), fit, reason)


def _accepted(state: ScaleState, fit: Fit, reason: str) -> ScaleState:
    why = f"{fit.used} in place of {fit.asked}: {fit.reason}"
    why = why if fit.used != fit.asked else fit.reason
    return replace(
        state,
        status="degraded" if why else "anchored",
        reason=_joined(reason, why),
        prediction_rms=_prediction_rms(state, fit),
        fitted_ns=state.stamp_ns,
        rejected=0,
    )


def _measured(fit: Fit) -> tuple[bool, bool]:
    """Say which of scale and shift the fit measures; at least one."""
    if fit.used not in ("scale_only", "held_shift") and bool(np.isfinite(fit.covariance).all()):
        return True, True
    # Scale alone is a factor of depth, and the logarithm makes it the shift.
    is_shift = fit.space == "log_depth" and fit.used == "scale_only"
    return not is_shift, is_shift


def _noise(state: ScaleState, fit: Fit, options: FilterOptions) -> Matrix:
    """Return the covariance of a measurement: the fit's, and what that does not know."""
    fitted = fit.covariance
    if not all(_measured(fit)):
        # Only its diagonal counts.
        unknown = _relative(state, options.unknown_error)
        variances = np.diagonal(fitted)
        fitted = np.diag(np.where(variances >= 0, variances, unknown))
    return np.asarray(fitted + np.diag(_relative(state, options.fit_error)), np.float64)


def _relative(state: ScaleState, deviation: float) -> Matrix:
    """Return the variances of (s, t) that each move the line's value by a relative deviation.

    The value is s · rms in disparity and in depth; an error of a logarithm is relative as it is.
    """
    value = 1.0 if state.space == "log_depth" else state.scale * state.prediction_rms
    return np.square(deviation * value * np.array([1 / state.prediction_rms, 1.0]))


def _prediction_rms(state: ScaleState, fit: Fit) -> float:
    """Return the fit's, where its covariance tells it (see ``ScaleState``); else the state's."""
    var_scale, var_shift = (float(v) for v in np.diagonal(fit.covariance))
    if all(_measured(fit)) and var_scale > 0 and var_shift > 0:
        return math.sqrt(var_shift / var_scale)
    return state.prediction_rms


def _given_other(state: ScaleState, i: int) -> float:
    """Return the variance of s (i = 0) or t (1) where the other is known."""
    variance, other = state.covariance[i, i], state.covariance[1 - i, 1 - i]
    return float(variance - state.covariance[0, 1] ** 2 / other) if other > 0 else float(variance)


def _one_number(state: ScaleState, fit: Fit, i: int) -> float:
    """Return what a fit of one number says of it, given the state's other number.

    A fit whose other number is not the state's (a shift of 0, say) is turned about the value of
    its line at the rms of the prediction, which is all that it measured.
    """
    if i == 0:
        return fit.scale + (fit.shift - state.shift) / state.prediction_rms
    return fit.shift + (fit.scale - state.scale) * state.prediction_rms
