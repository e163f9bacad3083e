"""AdamW, or Muon beside it, a rate for each layer, its schedule, and averaged weights."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import RecipeError, quoted
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.training.recipe import Optimiser

from timm.utils.model_ema import ModelEmaV3  # isort: skip

# The blocks of a vision transformer, and the stages of EfficientNet.
_BLOCK = re.compile(r"^encoder\.(?:vit|lite)\.blocks\.(\d+)\.")
_EMBEDDINGS = ("pos_embed", "cls_token", "mask_token", "reg_token")


def layer_scale(name: str, depth: int, settings: Optimiser) -> float:
    """Return the rate of a parameter relative to ``lr``.

    The decoder has 1; block i of the encoder's depth has encoder_lr_scale · layer_decay^(depth - 1
    - i), and what comes before the blocks one power more than the first (as BEiT,
    arXiv:2106.08254, appendix H).
    """
    if not name.startswith("encoder."):
        return 1.0
    block = _BLOCK.match(name)
    if block:
        below = depth - 1 - int(block[1])
    else:
        below = 0 if name.startswith("encoder.vit.norm") else depth
    return settings.encoder_lr_scale * settings.layer_decay**below


def freeze(network: nn.Module, settings: Optimiser) -> None:
    """Leave as it is what ``frozen`` names, and depthwise convolutions where they are to stay.

    Of the latter, biases are trained all the same.

    Raises:
        RecipeError: where a beginning is that of no parameter, or nothing is left to train.
    """
    if not settings.depthwise:
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
                for name, parameter in module.named_parameters(recurse=False):
                    parameter.requires_grad_(name == "bias")
    parameters = dict(network.named_parameters())
    for beginning in settings.frozen:
        found = [parameter for name, parameter in parameters.items() if name.startswith(beginning)]
        if not found:
            parts = ", ".join(dict(network.named_children()))
            raise RecipeError(
                f"optimiser.frozen: no parameter's name begins with {quoted(beginning)}; they "
                f"begin with {parts}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise RecipeError(
            f"optimiser.frozen is {quoted(list(settings.frozen))}, which leaves nothing to train"
        )


def parameter_groups(network: nn.Module, settings: Optimiser) -> list[dict[str, Any]]:
    """Sort the parameters that are trained into groups of one optimiser, one rate and one decay.

    Weight decay does not pull on norms, biases, gains and embeddings.

    Returns:
        Groups for an optimiser, each with ``scale``, its rate relative to ``lr``, and
        ``is_matrices``, whether Muon is to step them.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    depth = 1 + max((int(m[1]) for name, _ in named if (m := _BLOCK.match(name))), default=-1)
    groups: dict[tuple[float, float, bool], list[Tensor]] = defaultdict(list)
    for name, parameter in named:
        decays = parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in _EMBEDDINGS
        by_muon = settings.matrices == "muon" and parameter.ndim == 2 and bool(_BLOCK.match(name))
        decay = settings.weight_decay if decays else 0.0
        groups[layer_scale(name, depth, settings), decay, by_muon].append(parameter)
    return [
        {
            "params": parameters,
            "scale": scale,
            "weight_decay": decay,
            "lr": settings.lr * scale,
            "is_matrices": by_muon,
        }
        for (scale, decay, by_muon), parameters in groups.items()
    ]


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
        self._muon = [_muon(matrices, settings)] if matrices else []
        self._all: list[torch.optim.Optimizer] = [self._adamw, *self._muon]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parameters."""
        return [group for one in self._all for group in one.param_groups]

    def set_rate(self, lr: float) -> None:
        """Give each group its rate, lr times its scale."""
        for group in self.param_groups:
            group["lr"] = lr * group["scale"]

    def step(self, bad: Tensor) -> None:
        """Step all parameters and drop the gradients; change nothing where bad, a flag, is 1."""
        # A fused step with found_inf set changes nothing: what torch's GradScaler is built on.
        self._adamw.found_inf = bad  # type: ignore[attr-defined]
        self._adamw.step()
        for muon in self._muon:
            if not bool(bad):  # Muon has no such flag, so that here the device is waited for
                muon.step()
        for one in self._all:
            one.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states, AdamW's first."""
        return [one.state_dict() for one in self._all]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Take states over."""
        for one, state in zip(self._all, states, strict=True):
            one.load_state_dict(state)


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


def averaged_weights(network: nn.Module, decay: float) -> ModelEmaV3:
    """Return an exponential moving average of a network's parameters, beside it on its device.

    Update n (from 1, given to ``update``) has the decay min(decay, (n - 1) / (n + 8)): the first
    one takes the parameters as they are, and the random start is soon forgotten.
    """
    return ModelEmaV3(
        network, decay, use_warmup=True, warmup_gamma=9, warmup_power=1, exclude_buffers=True
    )
