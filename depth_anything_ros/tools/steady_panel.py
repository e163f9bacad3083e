"""Pictures of depth over time, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.panels import Tile, color_limits, row_of

_DOWN = "time goes down"


def over_time(images: Sequence[NDArray[np.uint8]], share: float) -> NDArray[np.uint8]:
    """Return one row of each image below that of the image before, at the images' size.

    What stands still is a line downwards, and what flickers a stripe across.

    Args:
        images: uint8 (height, width, 3), all of one size.
        share: how far down that row is, from 0 to 1.
    """
    height, width = images[0].shape[:2]
    row = min(round(share * height), height - 1)
    strip = np.stack([image[row] for image in images])
    size = (width, height)
    return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def time_row(
    name: str,
    images: tuple[Sequence[NDArray[np.uint8]], Sequence[Estimate], Sequence[Estimate]],
    shown: int,
    share: float,
    notes: tuple[str, str],
    width: int,
) -> NDArray[np.uint8]:
    """Set a picture, its answer and the steadied one side by side, and a row of each over time.

    Args:
        name: of the sequence.
        images: uint8 (height, width, 3) of each time, its answer, and that steadied.
        shown: index of the picture that is shown whole.
        share: how far down the row is that is shown over time, from 0 to 1.
        notes: to the answers, and to the steadied ones.
        width: of a tile, in pixels.
    """
    rgb, plain, steadied = images
    limits = color_limits(np.stack([estimate.nearness() for estimate in plain]))
    painted = [
        [colorize(estimate.nearness(), "turbo", limits) for estimate in estimates]
        for estimates in (plain, steadied)
    ]
    columns = [(rgb, name, f"picture {shown + 1} of {len(rgb)}")]
    titles = zip(painted, ("plain", "steadied"), notes, strict=True)
    columns += [(of, title, note) for of, title, note in titles]
    whole = [Tile(_marked(of[shown], share), title, note) for of, title, note in columns]
    strips = [Tile(over_time(of, share), f"{title}: one row", _DOWN) for of, title, _ in columns]
    return row_of([*whole, *strips], width)


def _marked(image: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Draw the row that is shown over time at both sides."""
    marked = np.array(image)
    height, width = image.shape[:2]
    row, length = min(round(share * height), height - 1), max(width // 20, 2)
    marked[row, :length] = marked[row, -length:] = 255
    return marked
