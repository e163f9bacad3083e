"""Tell from a prediction and its anchors whether the anchors lie at the wrong pixels.

A wrong rotation between sensor and camera moves all projected points alike. The scale and shift
still fit somehow, so their residuals alone do not tell it from a poor prediction; that they would
fit much better elsewhere does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.anchors import Anchors

Floats = NDArray[np.float64]

# Moves that are tried: so many degrees in eight directions.
_ANGLES_DEG = (1.0, 2.0, 3.0)
_DIRECTIONS = 8
# Fewer points fit anything.
_FEWEST = 60
# More tell nothing more.
_MOST = 500
# Points behind an edge are off by any amount; each counts no more than this.
_MOST_WRONG = 0.5
# A residual below this share of the depth leaves nothing to complain of.
_GOOD_RESIDUAL = 0.01
# The residual of the best of 24 moves is smaller by chance, and with a poor prediction down to 0.78
# of what it is (real streets and tiny); that of a good one falls to below 0.5 at 2 degrees.
_BETTER = 0.65


@dataclass(frozen=True)
class Misalignment:
    """The move of all anchors that makes a line fit much better.

    Attributes:
        right_px: to larger columns.
        down_px: to larger rows.
        angle_deg: the same as an angle at the camera.
        residual: mean of |depth / depth by the line - 1|, each at most 0.5, where the anchors are.
        residual_moved: the same where they would be.
    """

    right_px: float
    down_px: float
    angle_deg: float
    residual: float
    residual_moved: float


def find_misalignment(
    inverse: NDArray[np.float32], anchors: Anchors, focal_px: float
) -> Misalignment | None:
    """Return the best move of the anchors; None where they are well where they are.

    A move that a scene cannot tell, such as up and down on a plain ground, is never found: there
    it does no harm.

    Args:
        inverse: float32 (height, width), a disparity, or the inverse of a depth; NaN unknown.
        anchors: of the same grid.
        focal_px: of its camera.
    """
    chosen = slice(None, None, -(-len(anchors) // _MOST) or 1)
    moves = _moves(focal_px)
    columns = np.rint(anchors.columns[chosen] + moves[:, :1]).astype(np.intp)
    rows = np.rint(anchors.rows[chosen] + moves[:, 1:2]).astype(np.intp)
    depth_m = anchors.depth_m[chosen].astype(np.float64)
    height, width = inverse.shape
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    x = inverse[rows, columns].astype(np.float64)
    seen = inside & np.isfinite(x)
    # The same points for all moves: those that leave the picture may be the worst ones.
    common = seen.all(axis=0)
    if np.count_nonzero(common) < _FEWEST:
        return None
    residuals = _residuals(x[:, common], depth_m[common])
    best = int(np.argmin(residuals))
    if residuals[0] < _GOOD_RESIDUAL or residuals[best] > _BETTER * residuals[0]:
        return None
    right, down, angle = (float(v) for v in moves[best])
    return Misalignment(right, down, angle, float(residuals[0]), float(residuals[best]))


def _moves(focal_px: float) -> Floats:
    """Return (right, down, degrees) of all moves to try, the first of which is none."""
    around = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    rows = [np.zeros((1, 3))]
    for angle in _ANGLES_DEG:
        length = focal_px * np.tan(np.radians(angle))
        rows.append(
            np.stack((length * np.cos(around), length * np.sin(around), 0 * around + angle), 1)
        )
    return np.concatenate(rows)


def _residuals(x: Floats, depth_m: Floats) -> Floats:
    """Return the residual of each row of x, (k, n), as ``Misalignment`` has it, with depth (n,).

    The line of each row is by least absolute residuals of depth · (s · x + t) = 1, which is the
    relative error of the inverse depth, by reweighted least squares.
    """
    a, weights = x * depth_m, np.ones_like(x)
    b = np.broadcast_to(depth_m, x.shape)
    for _ in range(8):
        aa, ab, bb, a1, b1 = (
            np.einsum("ij,ij,ij->i", weights, left, right)
            for left, right in ((a, a), (a, b), (b, b), (a, np.ones_like(a)), (b, np.ones_like(a)))
        )
        determinant = np.maximum(aa * bb - ab**2, 1e-12 * aa * bb + 1e-300)
        scale, shift = (a1 * bb - b1 * ab) / determinant, (b1 * aa - a1 * ab) / determinant
        errors = np.abs(scale[:, None] * a + shift[:, None] * b - 1)
        weights = 1 / np.maximum(errors, 1e-3)
    return np.asarray(np.minimum(errors, _MOST_WRONG).mean(axis=1), np.float64)
