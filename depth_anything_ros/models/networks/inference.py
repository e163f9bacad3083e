"""Networks as they run: folded, and in float32 where 16 bits would spoil them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Foldable(Protocol):
    """A layer with parameters that are apart for its training only."""

    def folded(self) -> nn.Module:
        """Return what answers the same with them made one."""
        ...


class InFloat32(nn.Module):
    """Layers that compute in float32 whatever the rest does; engines look for them.

    Args:
        layers: of maps, (batch, channels, rows, columns).
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, maps: Tensor) -> Tensor:
        """Answer in float32."""
        with torch.autocast(maps.device.type, enabled=False):
            answer: Tensor = self.layers(maps.float())
        return answer


def for_inference(network: nn.Module, float32: Sequence[str]) -> nn.Module:
    """Fold a network in place, and keep some of its layers in float32.

    Args:
        network: with its weights.
        float32: names of modules that need it; see ``Family.float32``.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, Foldable):
            network.set_submodule(name, module.folded())
    for name in float32:
        network.set_submodule(name, InFloat32(network.get_submodule(name)))
    return network
