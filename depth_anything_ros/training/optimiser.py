"""AdamW, or Muon beside it, a rate for each layer, its schedule, and the averaged weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.training.recipe import Optimiser

# The blocks of a vision transformer, and the stages of EfficientNet.
_BLOCK = re.compile(r"^encoder\.(?:vit|lite)\.blocks\.(\d+)\.")
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


def freeze_depthwise(network: nn.Module) -> None:
    """Leave depthwise convolutions as they are, but for their biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            for name, parameter in module.named_parameters(recurse=False):
                parameter.requires_grad_(name == "bias")


def parameter_groups(network: nn.Module, settings: Optimiser) -> list[dict[str, Any]]:
    """Sort the parameters that are trained into groups of one optimiser, one rate and one decay.

    Returns:
        Groups for an optimiser, each with ``scale``, its rate relative to ``lr``, and
        ``is_matrices``, whether Muon is to step them.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    depth = 1 + max((int(m[1]) for name, _ in named if (m := _BLOCK.match(name))), default=-1)
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, parameter in named:
        scale = layer_scale(name, depth, settings)
        decay = settings.weight_decay if decays(name, parameter) else 0.0
        by_muon = settings.matrices == "muon" and parameter.ndim == 2 and bool(_BLOCK.match(name))
        group = groups.setdefault(
            (scale, decay, by_muon),
            {
                "params": [],
                "scale": scale,
                "weight_decay": decay,
                "lr": settings.lr * scale,
                "is_matrices": by_muon,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


class Optimisers:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101), and Muon for matrices where it is asked for.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) makes the step of a matrix
    orthogonal; scaled to the size of AdamW's steps (Liu et al., arXiv:2502.16982, section 2.2) it
    takes their rate and decay.

    Args:
        network: to train.
        settings: of the recipe.

    Raises:
        RecipeError: where this torch has no Muon.
    """

    def __init__(self, network: nn.Module, settings: Optimiser) -> None:
        groups = parameter_groups(network, settings)
        matrices = [group for group in groups if group["is_matrices"]]
        others = [group for group in groups if not group["is_matrices"]]
        beta1, beta2 = settings.betas
        self._adamw = torch.optim.AdamW(others, lr=settings.lr, betas=(beta1, beta2), fused=True)
        self._muon = _muon(matrices, settings) if matrices else None

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parameters."""
        more = self._muon.param_groups if self._muon else []
        return [*self._adamw.param_groups, *more]

    def set_rate(self, lr: float) -> None:
        """Give each group its rate, lr times its scale."""
        for group in self.param_groups:
            group["lr"] = lr * group["scale"]

    def step(self, bad: Tensor) -> None:
        """Step all parameters and drop the gradients; change nothing where bad, a flag, is 1."""
        # A fused step with found_inf set changes nothing: what torch's GradScaler is built on.
        self._adamw.found_inf = bad  # type: ignore[attr-defined]
        self._adamw.step()
        self._adamw.zero_grad()
        if self._muon is not None:
            if not bool(bad):  # Muon has no such flag, so that here the device is waited for
                self._muon.step()
            self._muon.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states, AdamW's first."""
        return [one.state_dict() for one in (self._adamw, self._muon) if one is not None]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Take states over."""
        self._adamw.load_state_dict(states[0])
        if self._muon is not None:
            self._muon.load_state_dict(states[1])


def _muon(groups: list[dict[str, Any]], settings: Optimiser) -> torch.optim.Optimizer:
    if not hasattr(torch.optim, "Muon"):
        raise RecipeError(
            f"optimiser.matrices is muon, which torch has from 2.9 on, and this is "
            f"{torch.__version__}: upgrade torch, or set optimiser.matrices=adamw"
        )
    muon: torch.optim.Optimizer = torch.optim.Muon(
        groups, lr=settings.lr, adjust_lr_fn="match_rms_adamw"
    )
    return muon


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
