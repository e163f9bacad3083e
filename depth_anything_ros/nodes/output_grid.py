"""The grid of pixels that is published, where it is coarser than the picture."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


class Network(Protocol):
    """What knows the size of a network's input, as a DepthEstimator does."""

    def network_size(self, width: int, height: int) -> Size:
        """Return the (width, height) that pictures of a size are resized to."""
        ...


def output_size(asked: str, picture: Size, network: Network) -> Size | None:
    """Return the (width, height) to publish; None where that is the picture's.

    Args:
        asked: ``image``, ``network``, or the length of the shorter side in pixels; the longer side
            keeps the aspect, but for rounding.
        picture: (width, height) in pixels. No grid is finer.
        network: asked only where its size is wanted.
    """
    width, height = picture
    if asked == "image":
        return None
    if asked == "network":
        size = network.network_size(width, height)
    else:
        scale = int(asked) / min(width, height)
        size = (round(scale * width), round(scale * height))
    is_coarser = size != picture and size[0] <= width and size[1] <= height
    return size if is_coarser else None


def halved(rgb: NDArray[np.uint8], *least: Size) -> NDArray[np.uint8]:
    """Halve a picture as often as both sides are even and stay at least twice those of all sizes.

    Means of 2×2 pixels: that takes a hundredth of the time of what follows on a large picture, and
    a network whose input is still half as large sees hardly another picture.

    Args:
        rgb: uint8 (height, width, 3).
        least: (width, height) each of which has to fit in twice.
    """
    height, width = rgb.shape[:2]
    least_width, least_height = (4 * max(sides) for sides in zip(*least, strict=True))
    while width % 2 == height % 2 == 0 and width >= least_width and height >= least_height:
        width, height = width // 2, height // 2
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return rgb
