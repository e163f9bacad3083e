"""From a picture to the network's input, as the official code does, but on the device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.models.card import Channels, ModelCard

# A strip of 7 x 900 would become 518 x 66,600 pixels, or 176,000 tokens that all attend to each
# other. The longest pictures in use, equirectangular and stitched panoramas, stay below 5.
MAX_ASPECT = 8.0


def network_size(width: int, height: int, input_size: int, multiple: int) -> tuple[int, int]:
    """Compute the size that a picture is resized to.

    The shorter side becomes input_size and the aspect is kept, both as nearly as multiples allow,
    and neither side is below input_size. From ``Resize`` with ``lower_bound`` in
    depth_anything_v2/util/transform.py of DepthAnything/Depth-Anything-V2.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        input_size: the least of both sides, in pixels.
        multiple: of which both sides are multiples.

    Returns:
        Width and height in pixels.

    Raises:
        ImageError: (``aspect``) on a picture that is longer than 8 times its shorter side.
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"picture is {width}x{height}; the longer side may be at most {MAX_ASPECT:g} times "
            f"the shorter: crop it, or pad it",
            reason="aspect",
        )
    scale = max(input_size / width, input_size / height)
    new_width, new_height = (_fit(scale * side, input_size, multiple) for side in (width, height))
    return new_width, new_height


def _fit(length: float, least: int, multiple: int) -> int:
    """Round to the nearest multiple (halves to even, as NumPy does), or up where that is less."""
    nearest = round(length / multiple) * multiple
    return nearest if nearest >= least else -int(-length // multiple) * multiple


@lru_cache(maxsize=8)
def _normalisation(mean: Channels, std: Channels, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and shift of (1, 3, 1, 1) that take 0-255 to the network's values."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return scale.view(1, 3, 1, 1), shift.view(1, 3, 1, 1)


def preprocess(
    rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
) -> Tensor:
    """Resize a picture and normalise it.

    The resize is bicubic (a = -0.75) with no antialiasing and no clipping: OpenCV's INTER_CUBIC,
    which Depth Anything's weights were trained with; or antialiased (a = -0.5), where the card
    says so. Bytes go to the device before they become floats.

    Args:
        rgb: uint8 (height, width, 3).
        card: of the model, for its multiple, mean and std.
        input_size: length in pixels of the shorter side of the network's input.
        device: of the network.

    Returns:
        float32 (1, 3, new height, new width) on the device.

    Raises:
        ImageError: (``shape``) on anything but uint8 (height, width, 3), and as network_size.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ImageError(
            f"picture must be a uint8 array of shape (height, width, 3), "
            f"got {rgb.dtype} of shape {rgb.shape}",
            reason="shape",
        )
    height, width = rgb.shape[:2]
    new_width, new_height = network_size(width, height, input_size, card.multiple)
    picture = torch.from_numpy(_writable(rgb)).to(device).permute(2, 0, 1)[None].float()
    if (new_width, new_height) != (width, height):
        picture = functional.interpolate(
            picture,
            (new_height, new_width),
            mode="bicubic",
            align_corners=False,
            antialias=card.antialias,
        )
    scale, shift = _normalisation(card.mean, card.std, device)
    return torch.addcmul(shift, picture, scale)


def _writable(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy what torch cannot share: read-only arrays and negative strides."""
    shareable = rgb.flags.writeable and min(rgb.strides) >= 0
    return rgb if shareable else rgb.copy()
