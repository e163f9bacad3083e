"""Pictures side by side, each under its caption, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import printable

CAPTION_HEIGHT = 56


def tile(rgb: NDArray[np.uint8], title: str, note: str, width: int = 560) -> NDArray[np.uint8]:
    """Set a picture under two lines of text.

    Args:
        rgb: uint8 (height, width, 3).
        title: first line.
        note: second line, smaller.
        width: that the picture is resized to, pixels.

    Returns:
        uint8 (CAPTION_HEIGHT + height, width, 3).
    """
    height = round(rgb.shape[0] * width / rgb.shape[1])
    picture = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    caption = np.full((CAPTION_HEIGHT, width, 3), 24, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    title, note = printable(title), printable(note)  # of a name of other bytes, OpenCV dies
    cv2.putText(caption, title, (10, 22), font, 0.62, (255, 255, 255), 1, cv2.LINE_AA)
    cv2.putText(caption, note, (10, 46), font, 0.48, (190, 190, 190), 1, cv2.LINE_AA)
    return np.asarray(cv2.vconcat([caption, picture]), np.uint8)


def row(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Set tiles of one height side by side."""
    return np.asarray(cv2.hconcat(list(tiles)), np.uint8)


def spread(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Draw each known value larger, the largest on top; for sparse points that would vanish.

    Args:
        values: float32 (height, width), NaN unknown.
        radius: of the squares, pixels; 0 changes nothing.
    """
    if radius < 1:
        return values
    unknown = np.finfo(np.float32).min  # what cv2.dilate takes for the outside, too
    filled = np.where(np.isnan(values), unknown, values)
    size = 2 * radius + 1
    grown = cv2.dilate(filled, np.ones((size, size), np.uint8))
    return np.where(grown == unknown, np.nan, grown).astype(np.float32)
