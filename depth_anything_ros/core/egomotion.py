"""How a camera moved, by where the points of its picture were in the picture before."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 4
# Of a normal residual's length in two dimensions, sigma is 0.85 of the median (Rayleigh).
_SIGMA_OF_MEDIAN = 0.85
# A point within so many sigma goes with the motion.
_WITHIN = 3.0
# Of the normal matrix: what no point tells of stays as it was.
_RIDGE = 1e-6


class Egomotion(NamedTuple):
    """A rigid motion and how well it explains what was seen.

    Attributes:
        T_before_now: float64 (4, 4), takes points of the present optical frame to the one before;
            its translation is in the unit of the depth.
        residual: median distance of the points from where it puts them, at Z = 1.
        inliers: share of the points that go with it.
    """

    T_before_now: Floats
    residual: float
    inliers: float


def egomotion(
    rays: Floats,
    inverse: Floats,
    before: Floats,
    least: float,
    start: Floats | None = None,
    turns_only: bool = False,
) -> Egomotion:
    """Fit the motion of a camera to points whose depth is known and whose places were tracked.

    The reprojection error is minimised by Gauss-Newton steps with Cauchy's weights, so that what
    moves by itself has little say. The derivatives are the motion field of Longuet-Higgins and
    Prazdny 1980 ("The interpretation of a moving retinal image", eq. 2.9).

    Args:
        rays: (n, 2), x and y of the present points at Z = 1.
        inverse: (n,), 1 / Z of these, 0 infinitely far.
        before: (n, 2), where the same points were seen, at Z = 1.
        least: the error that tracking has at least, at Z = 1.
        start: T_before_now to begin from; none where None.
        turns_only: whether the translation stays as it is.
    """
    T = np.eye(4) if start is None else start.copy()
    present = np.column_stack((rays, np.ones(len(rays))))
    for _ in range(_STEPS):
        there = present @ T[:3, :3].T + inverse[:, None] * T[:3, 3]
        seen, error, distance = _errors(there, before)
        sigma = max(_SIGMA_OF_MEDIAN * float(np.median(distance)), least)
        weights = 1 / (1 + (distance / sigma) ** 2)
        field = _motion_field(seen, inverse / there[:, 2])
        if turns_only:
            field = field[..., 3:]
        flat = field.reshape(-1, field.shape[-1])
        weighted = flat * np.repeat(weights, 2)[:, None]
        normal = weighted.T @ flat
        normal += np.diag(_RIDGE * np.diagonal(normal) + 1e-12)
        step = np.linalg.solve(normal, weighted.T @ error.ravel())
        T = _moved(T, np.concatenate((np.zeros(6 - len(step)), step)))
        if np.abs(step).max() < 1e-6:
            break
    there = present @ T[:3, :3].T + inverse[:, None] * T[:3, 3]
    distance = _errors(there, before)[2]
    residual = float(np.median(distance))
    limit = _WITHIN * max(_SIGMA_OF_MEDIAN * residual, least)
    return Egomotion(T, residual, float(np.mean(distance < limit)))


def _errors(there: Floats, before: Floats) -> tuple[Floats, Floats, Floats]:
    """Return where points (n, 3) are seen, how far off that is, and the lengths of the latter."""
    np.maximum(there[:, 2], 1e-3, out=there[:, 2])
    seen = there[:, :2] / there[:, 2:]
    error = before - seen
    return seen, error, np.hypot(error[:, 0], error[:, 1])


def _motion_field(seen: Floats, inverse: Floats) -> Floats:
    """Return how points at (x, y) move by a translation and a rotation, (n, 2, 6)."""
    x, y = seen.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    right = (inverse, zero, -x * inverse, -x * y, one + x * x, -y)
    down = (zero, inverse, -y * inverse, -one - y * y, x * y, x)
    return np.stack((np.stack(right, 1), np.stack(down, 1)), 1)


def _moved(T: Floats, step: Floats) -> Floats:
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(step[3:])[0]
    turn[:3, 3] = step[:3]
    return np.asarray(turn @ T, np.float64)
