"""Scores of a depth map against ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def abs_rel(
    depth_m: NDArray[np.floating], truth_m: NDArray[np.floating], mask: NDArray[np.bool_]
) -> float:
    """Return the mean of |depth - truth| / truth over the mask (Eigen et al. 2014); NaN if empty.

    Args:
        depth_m: (height, width), metres.
        truth_m: (height, width), metres, positive where the mask is True.
        mask: bool (height, width), the pixels that count.
    """
    depth, truth = depth_m[mask].astype(np.float64), truth_m[mask].astype(np.float64)
    return float(np.mean(np.abs(depth - truth) / truth)) if depth.size else float("nan")
