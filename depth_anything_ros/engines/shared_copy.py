"""Copies of networks that share the weights."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn


def shared_copy(network: nn.Module, on_cpu: bool = False) -> nn.Module:
    """Copy the modules of a network but not its tensors.

    An export or a rounding may put others into the copy, while the network itself runs in another
    thread.

    Args:
        network: stays as it is and where it is.
        on_cpu: whether tensors on another device are copied to the CPU.
    """
    tensors = (*network.parameters(), *network.buffers())
    shared: dict[int, Any] = {
        id(tensor): _on_cpu(tensor) if on_cpu else tensor for tensor in tensors
    }
    copied: nn.Module = copy.deepcopy(network, shared)
    return copied


def _on_cpu(tensor: Tensor) -> Tensor:
    moved = tensor.detach().cpu()
    # Not Module.cpu(), which would move the parameters that both have.
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved
