"""A robot that drives along a path, and where its sensors are meanwhile.

Frames are REP 105's: ``world`` and ``base_link`` (on the ground, x forward, y left, z up). A
matrix T_a_b takes points from frame b to frame a.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.sim.scene import Vector, rotation_of

# Two points that are nearer than this on the ground are one.
_SAME_M = 1e-6
# REP 103: an optical frame is x right, y down, z forward; columns are its axes in x forward.
_BODY_FROM_OPTICAL = np.array(
    ((0.0, 0.0, 1.0, 0.0), (-1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
)


def mount(
    x: float = 0.0,
    y: float = 0.0,
    z: float = 0.0,
    roll: float = 0.0,
    pitch: float = 0.0,
    yaw: float = 0.0,
) -> NDArray[np.float64]:
    """Return the pose of a sensor on its carrier, as float64 (4, 4).

    Args:
        x: forward, in metres.
        y: to the left.
        z: up.
        roll: about the carrier's x, in radians; first (URDF's rpy).
        pitch: then about its y; with a positive one it looks down.
        yaw: then about its z.
    """
    pose = np.eye(4)
    pose[:3, :3] = rotation_of(yaw, pitch, roll)
    pose[:3, 3] = x, y, z
    return pose


def camera_mount(*args: float, **kwargs: float) -> NDArray[np.float64]:
    """Return the pose of the optical frame of a camera that is mounted so, see ``mount``."""
    return np.asarray(mount(*args, **kwargs) @ _BODY_FROM_OPTICAL, np.float64)


@dataclass(frozen=True)
class _Leg:
    """A stretch with one speed and one yaw rate: a line, an arc or a turn on the spot."""

    x: float
    y: float
    z: float
    yaw: float
    duration_s: float
    speed: float = 0.0
    yaw_rate: float = 0.0
    climb: float = 0.0

    def pose(self, t: float) -> NDArray[np.float64]:
        turned = self.yaw_rate * t
        # A chord of an arc: its length is 2 r sin(turned / 2), along the mean heading.
        chord = self.speed * t * float(np.sinc(turned / 2 / math.pi))
        heading = self.yaw + turned / 2
        return mount(
            self.x + chord * math.cos(heading),
            self.y + chord * math.sin(heading),
            self.z + self.climb * t,
            yaw=self.yaw + turned,
        )


@dataclass(frozen=True, eq=False)
class Drive:
    """A robot that drives a polyline for ever, level, its x axis along the way.

    Where the last point is the first, it drives round and round; else it turns on the spot at
    each end and drives back. Corners are rounded by arcs that stay within half of the shorter
    side; where that would need more than ``turn_radps``, it stops and turns on the spot. Between
    such turns its speed over the ground is constant. Position and heading are continuous.

    Attributes:
        points: (x, y, z) in the world, in metres; z is the ground (``Scene.path``).
        speed_mps: over the ground.
        radius_m: of a rounded corner, at most.
        turn_radps: yaw rate of a turn on the spot, and the limit of all others.
        T_base_camera: float64 (4, 4), pose of the camera's optical frame.
        T_base_lidar: float64 (4, 4).
        period_s: after this it is where it began.

    Raises:
        ParameterError: on fewer than two different points, or a speed, radius or rate that is
            not positive.
    """

    points: Sequence[Vector]
    speed_mps: float = 0.5
    radius_m: float = 0.5
    turn_radps: float = 0.8
    T_base_camera: NDArray[np.float64] = field(default_factory=lambda: camera_mount(0.1, z=0.5))
    T_base_lidar: NDArray[np.float64] = field(default_factory=lambda: mount(z=0.7))
    period_s: float = field(init=False)
    _legs: tuple[_Leg, ...] = field(init=False, repr=False)
    _ends_s: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("speed_mps", "radius_m", "turn_radps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ParameterError(f"{name} of a drive must be positive, got {value}")
        legs = tuple(_legs(_loop(self.points), self.speed_mps, self.radius_m, self.turn_radps))
        object.__setattr__(self, "_legs", legs)
        object.__setattr__(self, "_ends_s", np.cumsum([leg.duration_s for leg in legs]))
        object.__setattr__(self, "period_s", float(self._ends_s[-1]))

    def T_world_base(self, t: float) -> NDArray[np.float64]:  # noqa: N802 - the field's name
        """Return the robot's pose at a time in seconds, as float64 (4, 4)."""
        t %= self.period_s
        index = min(bisect_right(self._ends_s, t), len(self._legs) - 1)
        leg = self._legs[index]
        return leg.pose(t - (self._ends_s[index] - leg.duration_s))

    def T_world_camera(self, t: float) -> NDArray[np.float64]:  # noqa: N802
        """Return the pose of the camera's optical frame at a time in seconds."""
        return np.asarray(self.T_world_base(t) @ self.T_base_camera, np.float64)

    def T_world_lidar(self, t: float) -> NDArray[np.float64]:  # noqa: N802
        """Return the LiDAR's pose at a time in seconds."""
        return np.asarray(self.T_world_base(t) @ self.T_base_lidar, np.float64)


def _loop(points: Sequence[Vector]) -> NDArray[np.float64]:
    """Return the corners (n, 3) of the closed way: round, or there and back."""
    given = np.array(points, np.float64).reshape(-1, 3)
    kept = list(given[:1])
    for point in given[1:]:
        if math.dist(point[:2], kept[-1][:2]) > _SAME_M:
            kept.append(point)
    if len(kept) < 2 or not np.isfinite(given).all():
        raise ParameterError(
            f"a drive needs two or more different points (x, y, z), got {points!r}"
        )
    if math.dist(kept[0][:2], kept[-1][:2]) <= _SAME_M:
        return np.array(kept[:-1])
    return np.array(kept + kept[-2:0:-1])


def _legs(corners: NDArray[np.float64], speed: float, radius: float, rate: float) -> list[_Leg]:
    """Return lines and corners in turn, from where the first line leaves its corner."""
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    forward = sides / lengths[:, None]
    yaws = np.arctan2(sides[:, 1], sides[:, 0])
    turns = [_turn(float(yaws[i] - yaws[i - 1])) for i in range(len(corners))]
    cuts = [
        _cut(turn, min(lengths[i - 1], lengths[i]) / 2, radius, speed / rate)
        for i, turn in enumerate(turns)
    ]
    legs = []
    for i, corner in enumerate(corners):
        after = (i + 1) % len(corners)
        line = lengths[i] - cuts[i] - cuts[after]
        yaw, climb = float(yaws[i]), float(speed * forward[i, 2])
        if line > _SAME_M:
            x, y, z = corner + cuts[i] * forward[i]
            legs.append(_Leg(x, y, z, yaw, line / speed, speed, 0.0, climb))
        x, y, z = corners[after] - cuts[after] * forward[i]
        if cuts[after] > 0:
            tight = cuts[after] / math.tan(abs(turns[after]) / 2)
            duration = tight * abs(turns[after]) / speed
            climb = cuts[after] * float(forward[i, 2] + forward[after, 2]) / duration
            legs.append(_Leg(x, y, z, yaw, duration, speed, turns[after] / duration, climb))
        elif turns[after]:
            turn = turns[after]
            legs.append(_Leg(x, y, z, yaw, abs(turn) / rate, 0.0, math.copysign(rate, turn)))
    return legs


def _turn(angle: float) -> float:
    """Return the angle in (-π, π], half a turn always to the left, a trace of one as none."""
    turn = math.remainder(angle, 2 * math.pi)
    if abs(turn) < 1e-9:
        return 0.0
    return math.pi if abs(turn) > math.pi - 1e-9 else turn


def _cut(turn: float, room_m: float, radius_m: float, tightest_m: float) -> float:
    """Return how far before a corner its arc begins; 0 where the robot turns on the spot."""
    tangent = math.tan(abs(turn) / 2)
    cut = min(radius_m * tangent, room_m)
    return cut if tangent > 0 and cut / tangent >= tightest_m else 0.0
