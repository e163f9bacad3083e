"""What torch.export would bake into a graph, written such that batch and size stay free.

For the time of an export, a few functions of the networks are replaced by others that compute the
same (to rounding) from symbolic sizes: ``interpolate`` takes a scale for a constant, and
``linspace`` its ends; and timm's padding rounds quotients, which makes terms that grow without end.
OpenVINO needs it for fixed sizes too: it leaves out a resampling whose scale is 37.1 / 37 (1 % of
the answer's range with Depth Anything V2 at 518 pixels).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.models.networks import depth_anything_3, dinov2

from timm.layers import padding  # isort: skip

# Of torch's bicubic interpolation (Keys 1981, doi:10.1109/TASSP.1981.1163711).
_CUBIC = -0.75
# torch exports one network at a time: two threads in it disturb each other.
exporting = threading.RLock()


def _cubic_kernel(distance: Tensor) -> Tensor:
    away = distance.abs()
    near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away * away + 1
    far = ((_CUBIC * away - 5 * _CUBIC) * away + 8 * _CUBIC) * away - 4 * _CUBIC
    return torch.where(away <= 1, near, torch.where(away < 2, far, torch.zeros_like(away)))


def _cubic_matrix(count: int, side: int, offset: Tensor) -> Tensor:
    """Return (count, side) weights that resample side places by the scale (count + offset) / side.

    What torch's bicubic interpolation does in one dimension: places beyond the ends are the ends.
    """
    places = (torch.arange(count, device=offset.device) + 0.5) * (side / (count + offset)) - 0.5
    taps = torch.arange(-2, side + 2, device=offset.device)
    ends = functional.one_hot(taps.clamp(0, side - 1), side).float()
    return _cubic_kernel(places[:, None] - taps) @ ends


def interpolate_position_embedding(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """Resample as ``dinov2.interpolate_position_embedding`` does, by matrix products.

    On the embedding's own grid the scale is 1 and the matrices are identities.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    last = [torch.arange(count, device=embedding.device)[-1] for count in (rows, columns)]
    is_own = (last[0] == side - 1) & (last[1] == side - 1)
    offset = torch.where(is_own, 0.0, dinov2._GRID_OFFSET)
    grid = embedding[0, 1:].float().unflatten(0, (side, side)).permute(2, 0, 1)
    vertical, horizontal = (_cubic_matrix(count, side, offset) for count in (rows, columns))
    resampled = vertical @ grid @ horizontal.T
    patches = resampled.flatten(1).T[None].to(embedding.dtype)
    return torch.cat((embedding[:, :1], patches), dim=1)


def add_position(maps: Tensor, aspect: float) -> Tensor:
    """Add what ``depth_anything_3.add_position`` does."""
    waves = maps.shape[1] // 4
    frequency = depth_anything_3._LONGEST_WAVE ** -(torch.arange(waves, device=maps.device) / waves)
    diagonal = torch.sqrt(torch.scalar_tensor(aspect, device=maps.device) ** 2 + 1)
    halves = []
    for span, axis in ((aspect / diagonal, -1), (1 / diagonal, -2)):
        count = maps.shape[axis]
        places = span * ((2 * torch.arange(count, device=maps.device) - (count - 1)) / count)
        phase = frequency[:, None] * places
        wave = depth_anything_3._POSITION_STRENGTH * torch.cat((phase.sin(), phase.cos()))
        halves.append(wave[:, None, :] if axis == -1 else wave[:, :, None])
    left, right = maps.chunk(2, dim=1)
    return torch.cat((left + halves[0], right + halves[1]), dim=1)


def _same_padding(side: int, kernel_size: int, stride: int, dilation: int) -> int:
    """Return the padding of timm's ``get_same_padding`` for a side that the stride divides."""
    return max((kernel_size - 1) * dilation + 1 - stride, 0)


_REPLACED = (
    (dinov2, "interpolate_position_embedding", interpolate_position_embedding),
    (depth_anything_3, "add_position", add_position),
    (padding, "get_same_padding", _same_padding),
)


@contextmanager
def traceable() -> Iterator[None]:
    """Make the networks traceable with symbolic sizes until the context ends.

    Networks that run in other threads meanwhile answer the same to rounding.
    """
    with exporting:
        before = [(module, name, getattr(module, name)) for module, name, _ in _REPLACED]
        for module, name, replacement in _REPLACED:
            setattr(module, name, replacement)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)
