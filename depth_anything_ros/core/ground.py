"""The ground in a picture: the plane that a robot stands on, found in depth or in disparity.

A plane n · P = -h (n its unit normal, upwards; h the height of the camera above it; both of the
optical frame) is linear in inverse depth: 1 / depth = -(n / h) · ray for the ray (x, y, 1) of a
pixel (Labayrade et al. 2002, "v-disparity", for one picture row). So is disparity up to scale and
shift, which is why one search serves both. A wrong scale moves h alone: with the true height of
the camera, the ground is a measured length in every picture that shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Space, fit_scale_shift
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import check_ranges

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Why there is no ground, in the order in which it is looked at.
Reason = Literal["", "unseen", "no_plane", "tilted", "holes", "uneven", "narrow"]
# A camera that is level: y of the optical frame points down.
LEVEL_UP = (0.0, -1.0, 0.0)
# Pixels that are looked at: enough for a plane, few enough for a millisecond.
_SAMPLES = 2500
_HYPOTHESES = 256
_FIRST_LOOK = 400  # samples by which hypotheses are compared
_FINALISTS = 4
_ROUNDS = 4  # of fitting to what the fit before agrees with; of finalists, the first two
_SIGMAS = 2.5
# Rays this close to the horizon see ground too far away to tell it from a wall.
_BELOW_HORIZON = np.sin(np.radians(3.0))
# What lies below a plane denies that it is the ground, and weighs more than what stands on it.
_WEIGHT_OF_HOLES = 2.0


@dataclass(frozen=True)
class GroundLimits:
    """What counts as ground.

    Attributes:
        max_tilt_deg: between its normal and gravity; more is a slope, a stair or a wall.
        tolerance: relative error of the depth of what belongs to it, at most.
        min_share: of what is seen below the horizon, at least so much belongs to it.
        max_holes: share of what is seen within its outline that may lie below it.
        max_unevenness: standard deviation of the relative error of depth on it.
        min_stretch: farthest over nearest depth on it (95th and 5th percentile).

    Raises:
        ParameterError: where one is out of its range.
    """

    max_tilt_deg: float = 8.0
    tolerance: float = 0.1
    min_share: float = 0.12
    max_holes: float = 0.1
    max_unevenness: float = 0.06
    min_stretch: float = 1.25

    def __post_init__(self) -> None:
        ranges = {
            "max_tilt_deg": 0 < self.max_tilt_deg < 45,
            "tolerance": 0 < self.tolerance < 0.5,
            "min_share": 0 < self.min_share < 1,
            "max_holes": 0 <= self.max_holes < 1,
            "max_unevenness": self.max_unevenness > 0,
            "min_stretch": self.min_stretch >= 1,
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground of one picture, or why there is none.

    Attributes:
        reason: empty where there is one; ``unseen``: hardly anything is seen below the horizon;
            ``no_plane``: too little of it is on one plane; ``tilted``: the plane is no floor;
            ``holes``: much lies below it, as around a table and down a stair; ``uneven``: what is
            on it is not flat; ``narrow``: it is too short a stretch to say where it goes.
        normal: float64 (3,), unit, upwards, in the optical frame.
        height: of the camera above it, in the unit of depth: metres of a depth map.
        confidence: 0 to 1; 0 where there is none.
        share: of what is seen below the horizon that belongs to it.
        tilt_deg: between the normal and gravity.
        unevenness: standard deviation of the relative error of depth on it.
        rays: float64 (N, 3), the rays of the pixels that belong to it, at Z = 1.
        pixels: rows and columns of these.
    """

    reason: Reason
    normal: Floats = field(default_factory=lambda: np.array(LEVEL_UP))
    height: float = float("nan")
    confidence: float = 0.0
    share: float = 0.0
    tilt_deg: float = float("nan")
    unevenness: float = float("nan")
    rays: Floats = field(default_factory=lambda: np.empty((0, 3)))
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]] = field(
        default_factory=lambda: (np.empty(0, np.intp), np.empty(0, np.intp))
    )

    @property
    def ok(self) -> bool:
        """Whether there is one."""
        return not self.reason

    def leaning(self, up: Floats, share: float) -> Ground:
        """Return the plane through the same points that leans by a share of what was seen.

        Args:
            up: float64 (3,), unit, against gravity.
            share: 0 is level, 1 is as it was seen.
        """
        normal = share * self.normal + (1 - share) * up
        normal /= np.linalg.norm(normal)
        ratio = (self.rays @ normal) / (self.rays @ self.normal)
        return replace(self, normal=normal, height=self.height * float(np.median(ratio)))

    def points(self, height_m: float) -> Floats:
        """Return where its pixels are, (N, 3), metres, if the camera is so far above it."""
        return self.rays * (height_m / -(self.rays @ self.normal))[:, None]


class GroundFinder:
    """Find the ground in pictures of one camera; the rays are kept.

    Args:
        camera: of the pictures.
        up: against gravity, in the optical frame; any length.
        limits: what counts as ground.
    """

    def __init__(
        self,
        camera: Camera,
        up: NDArray[np.float64] | tuple[float, ...] = LEVEL_UP,
        limits: GroundLimits | None = None,
    ) -> None:
        self.camera = camera
        self.limits = limits or GroundLimits()
        self.up = np.asarray(up, np.float64) / np.linalg.norm(up)
        step = max(1, round(np.sqrt(camera.width * camera.height / (2 * _SAMPLES))))
        rows, columns = np.mgrid[step // 2 : camera.height : step, step // 2 : camera.width : step]
        rows, columns = rows.ravel(), columns.ravel()
        rays = camera.unproject(np.stack((columns, rows), axis=-1).astype(np.float64))
        length = np.linalg.norm(rays, axis=1)
        with np.errstate(invalid="ignore"):
            seen = np.isfinite(length) & (rays @ self.up < -_BELOW_HORIZON * length)
        self._rays, self._rows, self._columns = rays[seen], rows[seen], columns[seen]
        self._triples = _triples(len(self._rays))

    def find(self, estimate: Estimate, height_m: float = 0.0) -> Ground:
        """Return the ground of a depth map, or of a relative estimate.

        Args:
            estimate: of the camera's pixels.
            height_m: of the camera above the ground. A relative estimate needs it: its scale and
                shift are those with which it best shows a ground at this height. The height of a
                depth map's ground is in its own metres.
        """
        values = estimate.values[self._rows, self._columns]
        if estimate.metric is None:
            values = self._in_metres(values, estimate.space, height_m)
        depth = values.astype(np.float64)
        known = np.isfinite(depth) & (depth > 0)
        if known.sum() < 0.1 * _SAMPLES:
            return Ground("unseen")
        points = self._rays[known] * depth[known, None]
        found = self._search(points, self._triples % len(points))
        if found is None:
            return Ground("no_plane")
        ground = self._judged(found, points, np.flatnonzero(known))
        if estimate.metric is not None or not ground.ok:
            return ground
        if abs(ground.height / height_m - 1) > self.limits.tolerance:
            return replace(ground, reason="no_plane", confidence=0.0)
        # Its scale and shift were chosen for this plane; what is left of a tilt is their error.
        return replace(ground, normal=self.up, height=height_m)

    def _in_metres(
        self, values: NDArray[np.float32], space: Space, height_m: float
    ) -> NDArray[np.float32]:
        """Return the depth of relative values if what they show is a ground at this height."""
        expected = height_m / -(self._rays @ self.up)
        fit = fit_scale_shift(values, expected, None, "log_ransac", space)
        if fit.ok:  # closer, as what RANSAC counts in has room for the foot of a wall
            near = np.abs(fit.apply(values) / expected - 1) < self.limits.tolerance
            fit = fit_scale_shift(values, expected, near, "trimmed", space)
        return fit.apply(values) if fit.ok else np.full(values.shape, np.nan, np.float32)

    def _search(self, points: Floats, triples: NDArray[np.intp]) -> Floats | None:
        """Return w of the plane w · P = 1 that most points agree with; None of no plane."""
        corners = points[triples]
        usable = np.abs(np.linalg.det(corners)) > 1e-9 * np.prod(
            np.linalg.norm(corners, axis=2), axis=1
        )
        planes = np.linalg.solve(corners[usable], np.ones((usable.sum(), 3, 1)))[..., 0]
        upward = -planes @ self.up / np.linalg.norm(planes, axis=1)
        # Three points tell a normal badly; the final plane has to be nearer to gravity.
        planes = planes[upward > np.cos(np.radians(3 * self.limits.max_tilt_deg))]
        if not len(planes):
            return None
        first = points[:: max(1, len(points) // _FIRST_LOOK)]
        best = planes[np.argsort(self._votes(planes, first))[-_FINALISTS:]]
        fitted = np.array([self._fitted(plane, first, 2) for plane in best])
        winner = fitted[int(np.argmax(self._votes(fitted, points)))]
        return self._fitted(winner, points)

    def _votes(self, planes: Floats, points: Floats) -> Floats:
        """Return how many points are on each plane, less those below it."""
        error = planes @ points.T - 1  # depth over that of the plane, less 1
        votes = np.abs(error) < self.limits.tolerance
        holes = error > 2 * self.limits.tolerance
        return np.asarray(votes.sum(axis=1) - _WEIGHT_OF_HOLES * holes.sum(axis=1), np.float64)

    def _fitted(self, plane: Floats, points: Floats, rounds: int = _ROUNDS) -> Floats:
        """Fit a plane to the points that agree with it, closer each time."""
        limit = self.limits.tolerance
        for _ in range(rounds):
            error = points @ plane - 1
            near = np.abs(error) < limit
            if near.sum() < 3:
                break
            some = points[near]
            plane = np.asarray(np.linalg.solve(some.T @ some, some.sum(axis=0)), np.float64)
            sigma = 1.4826 * _median(np.abs(some @ plane - 1))
            limit = float(np.clip(_SIGMAS * sigma, 0.25 * limit, self.limits.tolerance))
        return plane

    def _judged(self, plane: Floats, points: Floats, index: NDArray[np.intp]) -> Ground:
        limits, error = self.limits, points @ plane - 1
        on = np.abs(error) < limits.tolerance
        height = 1 / float(np.linalg.norm(plane))
        normal = -plane * height
        tilt = float(np.degrees(np.arccos(np.clip(normal @ self.up, -1, 1))))
        share = float(on.mean())
        ground = Ground("no_plane", normal, height, 0.0, share, tilt)
        if share < limits.min_share:
            return ground
        uneven = float(1.4826 * np.median(np.abs(error[on] - np.median(error[on]))))
        # The foot of a wall is on the ground, too, as far as the tolerance goes.
        sure = np.abs(error) < max(_SIGMAS * uneven, 0.1 * limits.tolerance)
        low, high = np.percentile(points[on, 2], (5, 95))
        holes = self._holes(error, on, index)
        ground = replace(
            ground,
            unevenness=uneven,
            rays=self._rays[index[sure]],
            pixels=(self._rows[index[sure]], self._columns[index[sure]]),
        )
        faults: dict[Reason, bool] = {
            "tilted": tilt > limits.max_tilt_deg,
            "holes": holes > limits.max_holes,
            "uneven": uneven > limits.max_unevenness,
            "narrow": bool(high < limits.min_stretch * low),
        }
        for reason, is_so in faults.items():
            if is_so:
                return replace(ground, reason=reason)
        doubts = (
            tilt / limits.max_tilt_deg,
            holes / limits.max_holes if limits.max_holes else 0.0,
            uneven / limits.max_unevenness,
        )
        trust = np.prod([1 - doubt**2 for doubt in doubts]) * min(1.0, share / 0.4)
        return replace(ground, reason="", confidence=float(trust))

    def _holes(self, error: Floats, on: Bools, index: NDArray[np.intp]) -> float:
        """Return the share of what lies below, of all in the columns and rows of the plane."""
        columns = np.unique(self._columns[index[on]])
        within = np.isin(self._columns[index], columns)
        top = self._rows[index[on]].min()
        within &= self._rows[index] >= top
        below = within & (error > 2 * self.limits.tolerance)
        return float(below.sum() / max(1, (below | on).sum()))


def cross(a: Floats, b: Floats) -> Floats:
    """Return a × b of two vectors (3,), for which np.cross takes twenty times as long."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array((y * w - z * v, z * u - x * w, x * v - y * u))


def _median(values: Floats) -> float:
    """Return the upper median of some values, faster than np.median of few."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _triples(count: int) -> NDArray[np.intp]:
    """Return numbers of three points each, the same for the same count."""
    return np.random.default_rng(0).integers(0, max(count, 1), (_HYPOTHESES, 3), np.intp)
