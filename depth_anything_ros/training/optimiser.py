"""AdamW with a rate for each layer, its schedule, and the average of the weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.training.recipe import Optimiser

_BLOCK = re.compile(r"^encoder\.vit\.blocks\.(\d+)\.")
_EMBEDDINGS = ("pos_embed", "cls_token", "mask_token", "reg_token")


def layer_scale(name: str, depth: int, settings: Optimiser) -> float:
    """Return the rate of a parameter relative to ``lr``.

    The decoder has 1; encoder block i has encoder_lr_scale · layer_decay^(depth - 1 - i), and what
    comes before the blocks one power more than the first (as BEiT, arXiv:2106.08254, appendix H).

    Args:
        name: of the parameter in the network.
        depth: blocks of the encoder.
        settings: of the recipe.
    """
    if not name.startswith("encoder."):
        return 1.0
    block = _BLOCK.match(name)
    if block:
        below = depth - 1 - int(block[1])
    else:
        below = 0 if name.startswith("encoder.vit.norm") else depth
    return settings.encoder_lr_scale * settings.layer_decay**below


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay pulls on a parameter: not on norms, biases, gains and embeddings."""
    return parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in _EMBEDDINGS


def parameter_groups(network: nn.Module, settings: Optimiser) -> list[dict[str, Any]]:
    """Sort the parameters that are trained into groups of one rate and one decay.

    Returns:
        Groups for an optimiser, each with ``scale``, its rate relative to ``lr``.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    depth = 1 + max((int(m[1]) for name, _ in named if (m := _BLOCK.match(name))), default=-1)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in named:
        scale = layer_scale(name, depth, settings)
        decay = settings.weight_decay if decays(name, parameter) else 0.0
        group = groups.setdefault(
            (scale, decay),
            {"params": [], "scale": scale, "weight_decay": decay, "lr": settings.lr * scale},
        )
        group["params"].append(parameter)
    return list(groups.values())


def make_optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """Build AdamW (Loshchilov & Hutter, arXiv:1711.05101) in its fused form."""
    beta1, beta2 = settings.betas
    return torch.optim.AdamW(
        parameter_groups(network, settings), lr=settings.lr, betas=(beta1, beta2), fused=True
    )


def rate_share(step: int, steps: int, settings: Optimiser) -> float:
    """Return the rate at a step (from 0) relative to its largest value.

    It rises linearly, (step + 1) / warmup_steps, then follows half a cosine down to min_lr_share
    at the last step (SGDR, arXiv:1608.03983, eq. 5, without restarts).
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    left = max(steps - 1 - settings.warmup_steps, 1)
    progress = min((step - settings.warmup_steps) / left, 1.0)
    low = settings.min_lr_share
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give each group its rate, lr times its scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["scale"]


class AveragedWeights:
    """An exponential moving average of a network's parameters, in float32 on their device.

    The decay at update n (from 0) is min(decay, (1 + n) / (10 + n)), so that the random start is
    soon forgotten (as ExponentialMovingAverage of TensorFlow).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._names = [name for name, _ in network.named_parameters()]
        self._live = [parameter.detach() for parameter in network.parameters()]
        self._mean = [values.clone() for values in self._live]
        self._decay = decay

    @torch.no_grad()
    def update(self, count: int) -> None:
        """Take in the parameters as they are now; count updates came before."""
        share = 1 - min(self._decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(self._mean, self._live, share)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages by parameter name; they are views, not copies."""
        return dict(zip(self._names, self._mean, strict=True))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take averages over."""
        for name, values in zip(self._names, self._mean, strict=True):
            values.copy_(state[name])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averages and the network's own values, in place."""
        for live, mean in zip(self._live, self._mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)


def clip_gradient(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale gradients down to a norm of at most limit (0: leave them); return the norm before.

    The norm stays on the device: reading it would wait for all that is queued there.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if limit:
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm
