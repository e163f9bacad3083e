"""Where each pixel of a picture was in the picture before, by its depth and the camera's motion."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

# Of the depth: what comes nearer than this to the camera's plane is beside the picture anyway.
_LEAST_RATIO = 0.02


class LookBack(NamedTuple):
    """Where pixels were, in a form that ``cv2.remap`` takes.

    Attributes:
        columns: float32 (rows, columns), of the picture before.
        rows: likewise.
        ratio: depth before / depth now.
    """

    columns: Map
    rows: Map
    ratio: Map

    @classmethod
    def empty(cls, height: int, width: int) -> LookBack:
        """Return memory for one."""
        return cls(*(np.empty((height, width), np.float32) for _ in range(3)))

    def fetch(
        self, source: Map, out: Map | None = None, how: int = cv2.INTER_LINEAR, beyond: float = 0.0
    ) -> Map:
        """Return the values that pixels had.

        Args:
            source: float32, a map of the picture before.
            out: is overwritten and returned; new memory where None.
            how: of OpenCV's interpolations.
            beyond: what the source is outside of the picture.
        """
        edge = cv2.BORDER_CONSTANT
        found = cv2.remap(source, self.columns, self.rows, how, out, edge, beyond)
        return np.asarray(found, np.float32)


def look_back(
    inverse: Map,
    T_before_now: NDArray[np.float64],
    K: NDArray[np.float64],
    columns: Map,
    rows: Map,
    out: LookBack,
) -> LookBack:
    """Find where pixels of known depth were: K (R p + t / Z), p being their rays at Z = 1.

    Args:
        inverse: float32 (h, w), 1 / Z in the unit of the motion; 0 infinitely far.
        T_before_now: float64 (4, 4), takes points of the present camera to the one before.
        K: float64 (3, 3), of both pictures, a pinhole.
        columns: float32 (w,), of the pixels.
        rows: float32 (h,).
        out: float32 (h, w) each, is overwritten and returned.
    """
    H = K @ T_before_now[:3, :3] @ np.linalg.inv(K)
    k = K @ T_before_now[:3, 3]
    for i, plane in enumerate(out):
        along = (H[i, 0] * columns + H[i, 2]).astype(np.float32)
        down = (H[i, 1] * rows).astype(np.float32)
        np.add(along[None], down[:, None], out=plane)
        if k[i]:
            cv2.scaleAdd(inverse, float(k[i]), plane, plane)
    # With both ends, clip takes a third of the time of maximum.
    np.clip(out.ratio, np.float32(_LEAST_RATIO), np.float32(np.inf), out=out.ratio)
    np.divide(out.columns, out.ratio, out=out.columns)
    np.divide(out.rows, out.ratio, out=out.rows)
    return out
