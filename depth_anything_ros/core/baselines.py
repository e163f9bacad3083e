"""What a score must be compared with: depth maps that know the ground truth but no picture.

A prediction that was aligned to the ground truth has two numbers per picture from it. The best
constant has one and the best plane has three, so a model that does not beat the plane has shown
nothing of the scene's shape but that the floor is below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import DepthAnythingError


def mean_depth(truth_m: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean of the true depth everywhere, float32 (height, width), metres.

    Args:
        truth_m: (height, width), metres, positive where the mask is True.
        mask: bool (height, width), the pixels that count.

    Raises:
        DepthAnythingError: (``degenerate_fit``) where the mask is empty; so do the others.
    """
    return np.full(truth_m.shape, np.mean(_known(truth_m, mask)), np.float32)


def best_constant(truth_m: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the one depth with the least squares in disparity, float32 (height, width), metres.

    The constant disparity nearest to all 1 / truth is their mean, so this is the harmonic mean of
    the depth: what aligning a prediction without any shape gives (MiDaS, arXiv 1907.01341, eq. 4,
    with scale 0). It is not the constant with the least AbsRel.
    """
    return np.full(truth_m.shape, 1 / np.mean(1 / _known(truth_m, mask)), np.float32)


def best_plane(
    truth_m: NDArray[np.floating], mask: NDArray[np.bool_], max_m: float
) -> NDArray[np.float32]:
    """Return 1 / (a·u + b·v + c), fitted to 1 / truth by least squares, metres.

    A plane in space is a plane in disparity (by u, v without lens distortion), so this is the best
    wall or floor.

    Args:
        truth_m: (height, width), metres, positive where the mask is True.
        mask: bool (height, width), the pixels that count.
        max_m: depth where the plane is farther, and beyond its horizon, where disparity is
            negative. Give the one that the aligned prediction is clamped to: the larger it is,
            the more a horizon in the picture costs.

    Returns:
        float32 (height, width), in (0, max_m].
    """
    inverse = 1 / _known(truth_m, mask)
    height, width = truth_m.shape
    # Centred and of the picture's size, so that the fit is well conditioned.
    u = (np.arange(width) + 0.5) / width - 0.5
    v = (np.arange(height) + 0.5) / height - 0.5
    rows, columns = np.nonzero(mask)
    terms = np.stack((u[columns], v[rows], np.ones(rows.size)), axis=1)
    # By singular values: pixels on one line, or only one, get the flattest plane through them.
    (a, b, c), *_ = np.linalg.lstsq(terms, inverse, rcond=None)
    plane = a * u[None, :] + b * v[:, None] + c
    return np.asarray(1 / np.maximum(plane, 1 / max_m), np.float32)


def _known(truth_m: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    truth = truth_m[mask].astype(np.float64)
    if not truth.size:
        raise DepthAnythingError(
            "no baseline without ground truth: the mask is empty", reason="degenerate_fit"
        )
    return truth
