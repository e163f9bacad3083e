"""Depth for thin networks, as compressed_depth_image_transport has it (image_transport_plugins).

The data of its CompressedImage are 12 bytes of its ConfigHeader (an integer, 0 for inverse depth,
and the two numbers A and B, little-endian) and a PNG of 16 bits. Of 32FC1, the PNG holds
⌊A / depth + B⌋ with A = q · (q + 1) and B = 1 - A / max, so that the farthest depth is step 1 and a
step at the depth q is 1 m; 0 is what is unknown, or not below max. Of 16UC1, it is the picture
itself, without what is beyond max. Its subscribers make metres again: A / (step - B).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.depth_files import MM, MOST_STEPS, millimetres, png_bytes
from depth_anything_ros.core.options import parameter

_INVERSE_DEPTH = 0
_HEADER = struct.Struct("<iff")


@dataclass(frozen=True)
class CompressedDepthOptions:
    """How compressedDepth is written: depth_max, depth_quantization and png_level there."""

    max_m: float = parameter(10.0, "Farther depth is unknown in it.", unit="m", low=1.0, high=100.0)
    quantization_m: float = parameter(
        100.0,
        "Depth at which its steps are 1 m; at half of it they are 0.25 m, and so on. More is finer "
        "and larger; nearer than the square of this over 65536 nothing is told apart.",
        unit="m",
        low=1.0,
        high=150.0,
    )
    png_level: int = parameter(
        3, "How hard PNG tries: 9 is the smallest and slowest.", low=0, high=9
    )


def compressed_depth(
    depth: DepthMap, encoding: str, options: CompressedDepthOptions
) -> tuple[str, bytes]:
    """Return the format and the data of the CompressedImage of a depth map.

    Args:
        depth: NaN unknown, +Inf beyond range.
        encoding: 32FC1 or 16UC1, of the image that a subscriber gets of it.
        options: how it is written.
    """
    if encoding == "16UC1":
        a = b = np.float32(0)
        steps = millimetres(depth.depth_m)
        steps[steps > min(round(options.max_m / MM), MOST_STEPS)] = 0
    else:
        a, b, steps = _inverse(depth.depth_m, options)
    header = _HEADER.pack(_INVERSE_DEPTH, a, b)
    return f"{encoding}; compressedDepth png", header + png_bytes(steps, options.png_level)


def _inverse(
    depth_m: NDArray[np.float32], options: CompressedDepthOptions
) -> tuple[np.float32, np.float32, NDArray[np.uint16]]:
    """Return A, B and the steps, in float32 as there, but no overflow of what is very near."""
    q, most, one = np.float32(options.quantization_m), np.float32(options.max_m), np.float32(1)
    a = q * (q + one)
    b = one - a / most
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = np.minimum(a / depth_m + b, np.float32(MOST_STEPS))
        return a, b, np.where(depth_m < most, steps, np.float32(0)).astype(np.uint16)
