"""Attention on CPUs that multiply bfloat16 but have no tiles for it (AVX-512 BF16 without AMX).

There, torch's fused attention is no faster in bfloat16 than in float32, and products of blocks
are: 24 ms instead of 37 for 1,814 tokens with six heads of 64, on two cores of a Zen 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from depth_anything_ros.models.device import cpu_has_bf16, cpu_has_tiles

# Scores that are held at once, of all heads: what the caches of a few cores have room for.
_SCORES = 3_000_000
# Yet no fewer rows of them, for each block reads all keys and values.
_ROWS = 128
# Smaller inputs have too few tokens: to look at each call of torch takes 2 ms, of tiny's 22.
_PIXELS = 80_000


def faster_attention(batch: Tensor, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return what a network is best called in for an input, (batch, 3, height, width).

    Args:
        batch: the input.
        dtype: that the network computes in, under autocast.
    """
    is_large = batch.shape[-2] * batch.shape[-1] >= _PIXELS
    suits = is_large and batch.device.type == "cpu" and dtype == torch.bfloat16
    return BlockAttention() if suits and _cpu_is_such() else nullcontext()


def _cpu_is_such() -> bool:
    return cpu_has_bf16() and not cpu_has_tiles()


class BlockAttention(TorchFunctionMode):
    """Compute plain attention of whatever runs within by `attend_in_blocks`, in bfloat16."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - of any function
        """Call a function of torch, or what stands for it."""
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and _is_plain(*args, **kwargs):
            query, key, value = (tensor.to(torch.bfloat16) for tensor in args)
            return attend_in_blocks(query, key, value, kwargs.get("scale"))
        return func(*args, **kwargs)


def _is_plain(*parts: Tensor, **options: Any) -> bool:  # noqa: ANN401
    """Say whether nothing but queries, keys, values and a scale is given, as many heads of each."""
    alike = len(parts) == 3 and len({part.shape[:-2] for part in parts}) == 1
    masked = options.pop("attn_mask", None) is not None
    options.pop("scale", None)
    return alike and not masked and not any(options.values())


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None = None
) -> Tensor:
    """Return softmax(scale Q K^T) V, a few rows of scores at a time.

    Args:
        query: (..., queries, size).
        key: (..., keys, size).
        value: (..., keys, size of values).
        scale: 1 / sqrt(size) where it is not given.

    Returns:
        (..., queries, size of values), of the type of the query. Scores are rounded to it.
    """
    rows, size = query.shape[-2:]
    scaled = query * (size**-0.5 if scale is None else scale)
    scaled, key, value = (part.flatten(0, -3).contiguous() for part in (scaled, key, value))
    heads, count = key.shape[:2]
    turned = key.transpose(1, 2)
    step = min(rows, max(_ROWS, _SCORES // (heads * count)))
    kept = torch.empty(heads * step * count, dtype=query.dtype)  # new memory costs more to fill
    mixed = torch.empty(heads, rows, value.shape[-1], dtype=query.dtype)
    for some, found in zip(scaled.split(step, 1), mixed.split(step, 1), strict=True):
        shape = (*some.shape[:2], count)
        scores = torch.bmm(some, turned, out=kept[: math.prod(shape)].view(shape))
        torch.softmax(scores, -1, out=scores)
        found.copy_(torch.bmm(scores, value))
    return mixed.view(*query.shape[:-1], -1)
