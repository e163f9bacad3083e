"""From a picture to the network's input, as the official code does, but on the device."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.models.device import to_device
from depth_anything_ros.models.zoo.card import Channels, FitSide, Interpolation, ModelCard

# A strip of 7 x 900 would become 518 x 66,600 pixels, or 176,000 tokens that all attend to each
# other. The longest pictures in use, equirectangular and stitched panoramas, stay below 5.
MAX_ASPECT = 8.0
# torch's names of the kernels; area is cubic where a side grows.
_MODES = {"linear": "bilinear", "cubic": "bicubic", "area": "bicubic"}


def network_size(
    width: int, height: int, input_size: int, multiple: int, fit: FitSide = "shorter"
) -> tuple[int, int]:
    """Compute the size that a picture is resized to.

    The side that ``fit`` names becomes input_size, and the aspect is kept, both as nearly as
    multiples allow. ``shorter``: neither side is below input_size; ``longer``: neither is above
    it; ``nearest``: the side whose scale is nearer to 1; ``square``: both sides, and the aspect is
    not kept; ``area``: the shorter side of a 4:3 picture, and any other gets as many pixels as
    that one, so that what is wide is not enlarged beyond what the network was trained on. The
    first three are ``lower_bound``, ``upper_bound`` and ``minimal`` of ``Resize`` in
    midas/transforms.py of isl-org/MiDaS, which depth_anything_v2/util/transform.py of
    DepthAnything/Depth-Anything-V2 has as well.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        input_size: of the side that fit names, in pixels.
        multiple: of which both sides are multiples, and at least one.
        fit: see above.

    Returns:
        Width and height in pixels.

    Raises:
        ImageError: (``aspect``) on a picture that is longer than 8 times its shorter side.
    """
    check_aspect(width, height)
    scales = (input_size / width, input_size / height)
    if fit == "area":
        scales = (input_size * math.sqrt(4 / 3 / (width * height)),) * 2
    if fit == "square":
        lengths = (float(input_size), float(input_size))
    else:
        scale = _scale(scales, fit)
        lengths = (scale * width, scale * height)
    new_width, new_height = (_fit(length, input_size, multiple, fit) for length in lengths)
    return new_width, new_height


def check_aspect(width: int, height: int) -> None:
    """Refuse what is longer than 8 times its shorter side.

    Raises:
        ImageError: (``aspect``).
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"picture is {width}x{height}; the longer side may be at most {MAX_ASPECT:g} times "
            f"the shorter: crop it, or pad it",
            reason="aspect",
        )


def check_array(rgb: NDArray[np.uint8]) -> None:
    """Refuse what is no array of colours.

    Raises:
        ImageError: (``shape``).
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ImageError(
            f"picture must be a uint8 array of shape (height, width, 3), "
            f"got {rgb.dtype} of shape {rgb.shape}",
            reason="shape",
        )


def _scale(scales: tuple[float, float], fit: FitSide) -> float:
    """Choose between the scales that make the width and the height the input size."""
    if fit == "longer":
        return min(scales)
    if fit == "nearest":
        of_width, of_height = scales
        return of_width if abs(1 - of_width) < abs(1 - of_height) else of_height
    return max(scales)


def _fit(length: float, bound: int, multiple: int, fit: FitSide) -> int:
    """Round to the nearest multiple (halves to even, as NumPy does), or to one within the bound."""
    nearest = round(length / multiple) * multiple
    if fit == "shorter" and nearest < bound:
        nearest = -int(-length // multiple) * multiple
    if fit == "longer" and nearest > bound:
        nearest = int(length // multiple) * multiple
    return max(nearest, multiple)


# Rows of a resampled picture that are computed together, from those old ones that they see.
_BAND_ROWS = 8


def _area_weights(old: int, new: int) -> Tensor:
    """Return (new, old) weights that take old pixels in a row to the means over new wider ones."""
    edges = torch.arange(new + 1, dtype=torch.float64) * old / new
    pixels = torch.arange(old, dtype=torch.float64)
    right = torch.minimum(edges[1:, None], pixels + 1)
    overlap = (right - torch.maximum(edges[:-1, None], pixels)).clamp_min(0)
    return (overlap * (new / old)).float()


@lru_cache(maxsize=16)
def _bands(old: int, new: int, device: torch.device) -> list[tuple[slice, Tensor]]:
    """Return the weights of INTER_AREA, band by band.

    Returns:
        For each band of new pixels the old ones that it sees, and weights (new, old) for those.
    """
    bands = []
    for band in _area_weights(old, new).split(_BAND_ROWS):
        (seen,) = band.any(0).nonzero(as_tuple=True)
        of = slice(int(seen[0]), int(seen[-1]) + 1)
        bands.append((of, band[:, of].contiguous().to(device)))
    return bands


def _area(picture: Tensor, height: int, width: int) -> Tensor:
    """Shrink (1, channels, h, w) to the means over what each new pixel covers, as matrices."""
    channels, rows, columns = picture.shape[1:]
    flat = picture[0].permute(1, 2, 0).reshape(rows, columns * channels)
    # Bytes become floats band by band: all of a large picture would not stay in the cache.
    found = torch.cat([w @ flat[of].float() for of, w in _bands(rows, height, picture.device)])
    flat = found.view(height, columns, channels).permute(1, 0, 2).reshape(columns, -1)
    found = torch.cat([w @ flat[of] for of, w in _bands(columns, width, picture.device)])
    return found.view(width, height, channels).permute(2, 1, 0)[None]


def resized(
    picture: Tensor, height: int, width: int, interpolation: Interpolation, antialias: bool = False
) -> Tensor:
    """Resize a picture by a named kernel; as it is where it fits.

    ``cubic`` is OpenCV's INTER_CUBIC (a = -0.75, not clipped), or with antialiasing torch's and
    Pillow's (a = -0.5); ``linear`` is INTER_LINEAR. ``area`` is INTER_AREA: the mean over what
    each new pixel covers, parts of pixels by their area; and cubic where either side grows, which
    INTER_AREA is not made for.

    Args:
        picture: float (1, channels, h, w), of any range; or bytes, which a filter that shrinks
            leaves as bytes on a CPU, as Pillow does: in a quarter of the time.
        height: of the result, in pixels.
        width: of the result, in pixels.
        interpolation: the kernel.
        antialias: whether cubic and linear filter what they shrink.

    Returns:
        float (1, channels, height, width), or bytes.
    """
    rows, columns = picture.shape[-2:]
    if (rows, columns) == (height, width):
        return picture
    shrinks = height <= rows and width <= columns
    if shrinks and interpolation == "area":
        return _area(picture, height, width)
    if not (shrinks and antialias and picture.device.type == "cpu"):
        picture = picture.float()
    return functional.interpolate(
        picture,
        (height, width),
        mode=_MODES[interpolation],
        align_corners=False,
        antialias=antialias,
    )


@lru_cache(maxsize=8)
def normalisation(mean: Channels, std: Channels, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and shift of (1, 3, 1, 1) that take 0-255 to the network's values."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return scale.view(1, 3, 1, 1), shift.view(1, 3, 1, 1)


def preprocess(
    rgb: NDArray[np.uint8],
    card: ModelCard,
    input_size: int,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Resize a picture and normalise it.

    The size is ``network_size`` by the card's ``fit``, and the kernel that of ``resized`` by its
    ``interpolation`` and ``antialias``. Bytes go to the device before they become floats; see
    there for what stays in bytes.

    Args:
        rgb: uint8 (height, width, 3).
        card: of the model.
        input_size: in pixels, of the side of the network's input that the card's fit names.
        device: that the result, float32 (1, 3, new height, new width), is on.
        size: new width and new height, in the place of ``network_size``.

    Raises:
        ImageError: as ``check_array`` and ``network_size``.
    """
    check_array(rgb)
    height, width = rgb.shape[:2]
    new_width, new_height = size or network_size(width, height, input_size, card.multiple, card.fit)
    picture = to_device(torch.from_numpy(_writable(rgb)), device)
    picture = picture.permute(2, 0, 1)[None]
    picture = resized(picture, new_height, new_width, card.interpolation, card.antialias)
    scale, shift = normalisation(card.mean, card.std, device)
    return torch.addcmul(shift, picture.float(), scale)


def _writable(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy what torch cannot share: read-only arrays and negative strides."""
    shareable = rgb.flags.writeable and min(rgb.strides) >= 0
    return rgb if shareable else rgb.copy()
