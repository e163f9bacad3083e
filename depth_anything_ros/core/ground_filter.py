"""The ground over time: a Kalman filter over the planes of single pictures.

The state is the lean of the ground against gravity (two small angles) and the logarithm of the
camera's height in the depth's own metres, which walk at random. A plane that does not go with the
state is gated, several in a row restart it, and without planes the last one is held up to an age.
All is pure: keep the returned state and give it back with the next picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import check_ranges
from depth_anything_ros.core.ground import Ground, cross

Floats = NDArray[np.float64]
# Standard deviations of a plane whose confidence is 1: of its two angles (radians) and log height.
_MEASURED = np.array([0.01, 0.01, 0.02])


@dataclass(frozen=True)
class GroundFilterOptions:
    """How fast the ground may change, and whom to believe.

    Attributes:
        lean_drift: random walk of each angle after a second, radians / √s: the robot nods.
        height_drift: of the relative height, 1/√s: the scale of a network's metres wanders.
        gate: planes farther off than so many standard deviations are not believed.
        restart_after: but so many in a row are.
        max_age_s: the last plane is held for so long, seconds.

    Raises:
        ParameterError: where one is out of its range.
    """

    lean_drift: float = 0.05
    height_drift: float = 0.2
    gate: float = 4.0
    restart_after: int = 3
    max_age_s: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "lean_drift": self.lean_drift >= 0,
            "height_drift": self.height_drift >= 0,
            "gate": self.gate > 0,
            "restart_after": self.restart_after >= 1,
            "max_age_s": self.max_age_s >= 0,
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class GroundState:
    """What is known of the ground at one time.

    Attributes:
        values: float64 (3,), two angles and the logarithm of the height; NaN before the first.
        variances: float64 (3,).
        stamp_ns: of the newest picture.
        seen_ns: of the last plane that was believed; None where there is no plane, or none young
            enough.
        rejected: planes gated in a row.
    """

    values: Floats = field(default_factory=lambda: np.full(3, np.nan))
    variances: Floats = field(default_factory=lambda: np.full(3, np.inf))
    stamp_ns: int = 0
    seen_ns: int | None = None
    rejected: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a plane."""
        return self.seen_ns is not None

    def plane(self, up: Floats) -> tuple[Floats, float]:
        """Return the normal, float64 (3,), and the height, against what was ``up``."""
        right, ahead = _axes(up)
        normal = up + self.values[0] * right + self.values[1] * ahead
        return normal / np.linalg.norm(normal), float(np.exp(self.values[2]))


def follow(
    state: GroundState, ground: Ground, up: Floats, stamp_ns: int, options: GroundFilterOptions
) -> GroundState:
    """Go on to the next picture.

    Args:
        state: after the picture before; ``GroundState()`` at first, and after a jump of time.
        ground: of this picture.
        up: against gravity, unit, in the optical frame of this picture.
        stamp_ns: of this picture, nanoseconds.
        options: of the filter.
    """
    elapsed_s = max(stamp_ns - state.stamp_ns, 0) * 1e-9 if state.ok else 0.0
    drift = np.square((options.lean_drift, options.lean_drift, options.height_drift)) * elapsed_s
    state = replace(state, variances=state.variances + drift, stamp_ns=stamp_ns)
    if not ground.ok:
        return _held(state, options)
    right, ahead = _axes(up)
    lean = ground.normal / (ground.normal @ up)
    measured = np.array([lean @ right, lean @ ahead, np.log(ground.height)])
    noise = np.square(_MEASURED / max(ground.confidence, 0.05))
    if not state.ok:
        return GroundState(measured, noise, stamp_ns, stamp_ns)
    total = state.variances + noise
    if (np.square(measured - state.values) > options.gate**2 * total).any():
        rejected = state.rejected + 1
        if rejected >= options.restart_after:
            return GroundState(measured, noise, stamp_ns, stamp_ns)
        return replace(_held(state, options), rejected=rejected)
    gain = state.variances / total
    values = state.values + gain * (measured - state.values)
    return GroundState(values, (1 - gain) * state.variances, stamp_ns, stamp_ns)


def _held(state: GroundState, options: GroundFilterOptions) -> GroundState:
    """Let the last plane stand in, if it is young enough."""
    too_old = state.ok and state.stamp_ns - (state.seen_ns or 0) > options.max_age_s * 1e9
    return replace(state, seen_ns=None) if too_old else state


def _axes(up: Floats) -> tuple[Floats, Floats]:
    """Return two axes across ``up``, near to x and z of the optical frame."""
    right = cross(up, np.array((0.0, 0.0, 1.0)))
    if np.linalg.norm(right) < 1e-3:  # it looks straight down, or up
        right = cross(up, np.array((0.0, 1.0, 0.0)))
    right /= np.linalg.norm(right)
    return right, cross(right, up)
