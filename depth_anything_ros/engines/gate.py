"""Whether an engine answers what the network does in float32: the gate before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.models.networks.output import COMPARED, NetworkOutput

# Limits of what an engine's answer may differ by, as shares of the range of the float32 answer.
# bfloat16 keeps 8 bits, so that a sound network in it was seen to differ by 0.04 to 0.9 % in the
# mean (Small, tiny and DA3 in torch and OpenVINO); what overflows, or is quantised badly, differs
# by tens of percent.
MOST_MEAN = 0.02
# At a pixel of an edge, depth may move towards that of the other side. 0.3 to 1.9 % were seen.
MOST_ANYWHERE = 0.2
# An answer that is nearly the same everywhere (random weights, a wall) has no range to speak of:
# then this share of its size counts.
_LEAST_RANGE = 0.05
# In a picture: side in pixels, and how far their grey values are apart.
_TILES = ((160, 120.0), (37, 80.0), (8, 40.0), (1, 16.0))


@dataclass(frozen=True)
class Difference:
    """How far an engine's answer is from float32's.

    Attributes:
        mean: of the absolute difference, as a share of the range of the float32 answer.
        largest: of it.
        non_finite: values that are NaN or Inf.
    """

    mean: float
    largest: float
    non_finite: int

    @property
    def problem(self) -> str:
        """Why the engine must not be used; "" where it may."""
        if self.non_finite:
            return f"it answers {self.non_finite} values as NaN or Inf"
        if self.mean > MOST_MEAN:
            return f"it differs from fp32 by {self.mean:.1%} in the mean (limit {MOST_MEAN:.0%})"
        if self.largest > MOST_ANYWHERE:
            return f"it differs from fp32 by up to {self.largest:.0%} (limit {MOST_ANYWHERE:.0%})"
        return ""

    def __str__(self) -> str:
        return f"{self.mean:.2%} from fp32 in the mean, {self.largest:.1%} at most"


def pictures(count: int, height: int = 480, width: int = 640) -> list[NDArray[np.uint8]]:
    """Make pictures with what a camera's have: a gradient, edges far and near, fine texture.

    Args:
        count: of them, each another one, the same at every call.
        height: in pixels.
        width: in pixels.

    Returns:
        uint8 (height, width, 3) each.
    """
    return [_picture(np.random.default_rng(seed), height, width) for seed in range(count)]


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    values = np.linspace(40, 160, height, dtype=np.float32)[:, None, None]
    for side, contrast in _TILES:
        tiles = random.random((-(-height // side), -(-width // side), 3), np.float32)
        tiles = tiles.repeat(side, 0).repeat(side, 1)[:height, :width]
        values = values + contrast * (tiles - 0.5)
    return values.clip(0, 255).astype(np.uint8)


def compare(found: Sequence[NetworkOutput], exact: Sequence[NetworkOutput]) -> Difference:
    """Compare what an engine answers with what the network does in float32.

    Args:
        found: of the engine, for one picture each.
        exact: of the network in float32, for the same pictures.

    Returns:
        The worst of all pictures and parts that mean depth.
    """
    worst = Difference(0.0, 0.0, 0)
    for one, other in zip(found, exact, strict=True):
        for name, part, truth in zip(other.names, one.parts, other.parts, strict=True):
            bad = part.numel() - int(part.isfinite().sum())
            mean = largest = 0.0
            if name in COMPARED and not bad:
                mean, largest = _difference(part, truth, other.where_compared(name))
            worst = Difference(
                max(worst.mean, mean), max(worst.largest, largest), worst.non_finite + bad
            )
    return worst


def _difference(found: Tensor, exact: Tensor, where: Tensor | None) -> tuple[float, float]:
    """Return the mean and the largest absolute difference, as shares of the range of the exact."""
    found, exact = found.float().cpu(), exact.cpu()
    if where is not None:
        found, exact = found[where.cpu()], exact[where.cpu()]
    difference = (found - exact).abs()
    low, high = torch.aminmax(exact)
    scale = max(float(high - low), _LEAST_RANGE * float(exact.abs().max()), 1e-30)
    return float(difference.mean()) / scale, float(difference.max()) / scale
