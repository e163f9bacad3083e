"""From a LiDAR's sparse depth to the dense low-resolution depth that prompts a network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ImageError

# Shorter and longer side of the prompts that Prompt Depth Anything was trained with: depth of an
# iPhone's LiDAR, 256x192 (arXiv:2412.14015, section 3.3).
PROMPT_SIDES = (192, 256)


def dense_prompt(prompt_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make a prompt without gaps, of at most 256x192, or 192x256 for a portrait.

    A larger map is cut into that many cells, each of which takes its nearest depth: of the points
    that a LiDAR beside the camera puts into one cell, the farther ones are hidden. Cells without
    depth then take that of the cell nearest to them. A map with all of its depth known, and of no
    more than that size, stays as it is.

    Args:
        prompt_m: float32 (height, width), metres along Z, over exactly the field of view of the
            picture but of any size. 0, negative, NaN and Inf are unknown.

    Returns:
        float32 (rows, columns), metres, positive, and never all the same.

    Raises:
        ImageError: (``prompt``) on another shape or type, or where no depth is known.
    """
    if prompt_m.ndim != 2 or prompt_m.dtype != np.float32 or 0 in prompt_m.shape:
        raise ImageError(
            f"prompt_m must be a float32 array of shape (height, width), "
            f"got {prompt_m.dtype} of shape {prompt_m.shape}",
            reason="prompt",
        )
    known = np.isfinite(prompt_m) & (prompt_m > 0)
    if not known.any():
        raise ImageError(
            f"none of the {prompt_m.size} values of prompt_m is a depth (finite, above 0 m); "
            f"check that the LiDAR sees what the camera sees, or infer without a prompt",
            reason="prompt",
        )
    filled = _fill(_nearest_of_cells(prompt_m, known))
    if filled.min() == filled.max():
        # The network scales the prompt to 0-1 by its extremes; transformers does this as well.
        filled[0, 0] += max(np.float32(1e-6), 2 * np.spacing(filled[0, 0]))
    return filled


def _nearest_of_cells(
    depth_m: NDArray[np.float32], known: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the least known depth of each cell, +Inf where there is none."""
    height, width = depth_m.shape
    limits = PROMPT_SIDES if width >= height else PROMPT_SIDES[::-1]
    rows, columns = min(height, limits[0]), min(width, limits[1])
    cells = np.full((rows, columns), np.inf, np.float32)
    v, u = np.nonzero(known)
    np.minimum.at(cells, (v * rows // height, u * columns // width), depth_m[known])
    return cells


def _fill(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each cell of +Inf the value of the nearest other one (k nearest neighbours, k = 1)."""
    empty = np.isinf(cells)
    if not empty.any():
        return cells
    _, labels = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(labels.max() + 1, np.float32)
    values[labels[~empty]] = cells[~empty]
    filled: NDArray[np.float32] = values[labels]
    return filled
