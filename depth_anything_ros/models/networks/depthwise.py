"""Depthwise convolutions whose gradients are fast in bfloat16 on a CPU.

oneDNN 3.x has no vectorised kernel for the gradient of their weights in bfloat16, nor for that of
their input where there is a stride: on AVX-512 the gradients of float32 take a fifth of the time,
with the casts. Where a CPU has no bfloat16, torch would also sum in it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.models.device import cpu_has_bf16


def depthwise_convolution(
    maps: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    """Convolve each of (batch, channels, rows, columns) with (channels, 1, k, k) of its own."""
    is_trained = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if is_trained and bias is not None and _in_bfloat16(maps):
        made: Tensor = _Depthwise.apply(  # type: ignore[no-untyped-call]
            maps.bfloat16(), weight, bias, stride, padding
        )
        return made
    groups = weight.shape[0]
    return functional.conv2d(maps, weight, bias, stride, padding, groups=groups)


def _in_bfloat16(maps: Tensor) -> bool:
    if maps.device.type != "cpu":
        return False
    autocast = torch.is_autocast_enabled("cpu")
    return (torch.get_autocast_dtype("cpu") if autocast else maps.dtype) is torch.bfloat16


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch names no type for it
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        padding: int,
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        halves = (weight.bfloat16(), bias.bfloat16())
        return functional.conv2d(maps, *halves, stride, padding, groups=weight.shape[0])

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        *gradients: Tensor,
    ) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        (gradient,) = gradients
        precise = gradient.float()
        of_maps = of_weight = None
        geometry = (ctx.stride, ctx.padding)
        if ctx.needs_input_grad[0] and ctx.stride == 1 and cpu_has_bf16():
            of_maps = _gradients(gradient, maps, weight.bfloat16(), *geometry, 0)
        elif ctx.needs_input_grad[0]:
            of_maps = _gradients(precise, maps.float(), weight, *geometry, 0)
        if ctx.needs_input_grad[1]:
            of_weight = _gradients(precise, maps.float(), weight, *geometry, 1)
        return of_maps, of_weight, precise.sum((0, 2, 3)), None, None


def _gradients(
    gradient: Tensor, maps: Tensor, weight: Tensor, stride: int, padding: int, of: int
) -> Tensor:
    """Return the gradient of the maps (0) or of the weight (1)."""
    channels = weight.shape[0]
    geometry = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], channels)
    wanted = [of == 0, of == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, maps, weight, [channels], *geometry, wanted
    )[of]
    return found
