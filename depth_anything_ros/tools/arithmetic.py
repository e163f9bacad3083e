"""How much arithmetic a network takes, and how fast this machine multiplies matrices."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depth_anything_ros.models.device import PRECISIONS

_SIDE, _CUDA_SIDE = 1024, 8192
_ROUNDS = 15


@torch.inference_mode()
def gflop(network: nn.Module, size: tuple[int, int]) -> float:
    """Count products and sums of matrices and convolutions, 10⁹, for one picture.

    Args:
        network: that takes (1, 3, height, width) on its device.
        size: height and width, in pixels.
    """
    device = next(network.parameters()).device
    # Of fused attention nothing is counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size, device=device))
    return float(counter.get_total_flops()) / 1e9


def matrix_rates(device: str, precisions: Sequence[str]) -> dict[str, float]:
    """Measure how fast torch multiplies square matrices of ``matrix_side`` numbers.

    Args:
        device: as of torch.
        precisions: some of ``fp32``, ``bf16`` and ``fp16``; others are left out.

    Returns:
        GFLOP/s of the median run by precision.
    """
    return {name: _rate(device, PRECISIONS[name]) for name in precisions if name in PRECISIONS}


def matrix_side(device: str) -> int:
    """Return the side of matrices that keep a device busy: a GPU takes larger ones."""
    return _CUDA_SIDE if device.startswith("cuda") else _SIDE


@torch.inference_mode()
def _rate(device: str, dtype: torch.dtype) -> float:
    side = matrix_side(device)
    left = torch.ones(side, side, device=device, dtype=dtype)
    times = []
    for _ in range(_ROUNDS + 3):
        start = time.perf_counter()
        left @ left
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2e-9 * side**3 / sorted(times[3:])[_ROUNDS // 2]
