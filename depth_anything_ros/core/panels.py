"""Images side by side, each under its caption, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.errors import printable

CAPTION_HEIGHT = 56
TILE_WIDTH = 480
LARGEST_ERROR = 0.5  # of the true depth
ERROR_RANGE = f"0 to {LARGEST_ERROR:.0%} of the true depth"
_PERCENTILES = (2, 98)


class Tile(NamedTuple):
    """An image, uint8 (height, width, 3), RGB, and the two lines of text above it."""

    rgb: NDArray[np.uint8]
    title: str
    note: str


def row_of(tiles: Sequence[Tile], width: int = TILE_WIDTH) -> NDArray[np.uint8]:
    """Set images of one aspect side by side, each resized to a width, under its caption."""
    return np.asarray(cv2.hconcat([_drawn(tile, width) for tile in tiles]), np.uint8)


def _drawn(tile: Tile, width: int) -> NDArray[np.uint8]:
    height = round(tile.rgb.shape[0] * width / tile.rgb.shape[1])
    image = cv2.resize(tile.rgb, (width, height), interpolation=cv2.INTER_AREA)
    caption = np.full((CAPTION_HEIGHT, width, 3), 24, np.uint8)
    for text, y, size, grey in ((tile.title, 22, 0.62, 255), (tile.note, 46, 0.48, 190)):
        text = printable(text)  # of a name of other bytes, OpenCV dies
        place, font = (10, y), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(caption, text, place, font, size, (grey, grey, grey), 1, cv2.LINE_AA)
    return np.asarray(cv2.vconcat([caption, image]), np.uint8)


def beside(rgb: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Set a picture and its depth in colours side by side, at the size of the latter.

    Args:
        rgb: uint8 (height, width, 3) of any size.
        painted: uint8 (height, width, 3).
    """
    size = (painted.shape[1], painted.shape[0])
    if rgb.shape != painted.shape:
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.hconcat([rgb, painted]), np.uint8)


def stacked(rows: Sequence[NDArray[np.uint8]], gap: int = 0) -> NDArray[np.uint8]:
    """Set rows one below the other, ``gap`` pixels apart; shorter ones end in black."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, gap), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )


def color_limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return where the colours of values begin and end: their 2nd and 98th percentile."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, _PERCENTILES) if known.size else (0.0, 1.0)
    return float(low), float(high)


def painted_error(
    depth_m: NDArray[np.float32],
    truth_m: NDArray[np.float32],
    mask: NDArray[np.bool_],
    radius: int = 0,
) -> NDArray[np.uint8]:
    """Paint |depth - truth| / truth where the mask is set, in the colours of ``ERROR_RANGE``.

    Args:
        depth_m: float32 (height, width), metres; NaN is painted as unknown, +Inf as an error.
        truth_m: the same of the truth.
        mask: where both count.
        radius: as of ``spread``.
    """
    error = np.full(truth_m.shape, np.nan, np.float32)
    error[mask] = np.abs(depth_m[mask] - truth_m[mask]) / truth_m[mask]
    shown = np.minimum(error, LARGEST_ERROR)
    return colorize(spread(shown, radius), "viridis", (0.0, LARGEST_ERROR))


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
