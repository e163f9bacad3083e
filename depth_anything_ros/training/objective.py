"""What a network is asked for: from its answer and a batch to named, weighted losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.training import losses
from depth_anything_ros.training.recipe import Losses
from depth_anything_ros.training.samples import Batch

_METRIC = ("log_l1", "scale_invariant_log", "log_gradient")
_DISPARITY = ("ssi", "gradient")
# 1 / depth of a network's own answer must stay finite.
_NEAREST_M = 1e-3


class BatchAnswer(NamedTuple):
    """What a network of any family answered, each float32 (B, H, W), or None where it has none.

    Attributes:
        depth: metres along Z, at the canonical focal length where the card has one.
        disparity: unit-less.
        sky_logit: of which the sigmoid is the probability of sky.
    """

    depth: Tensor | None
    disparity: Tensor | None
    sky_logit: Tensor | None


def read_answer(card: ModelCard, output: Tensor | NetworkOutput) -> BatchAnswer:
    """Sort a network's output by what it means."""
    found = NetworkOutput.of(output, card.kind)
    depth = None if card.kind == "relative" else found.depth
    disparity = found.disparity
    if disparity is None and depth is not None:
        disparity = depth.clamp(min=_NEAREST_M).reciprocal()
    return BatchAnswer(depth, disparity, found.sky_logit)


def normalise(image: Tensor, card: ModelCard) -> Tensor:
    """Bring RGB in 0-1 (B, 3, H, W) to the mean and deviation that the card asks for."""
    mean = image.new_tensor(card.mean).view(1, 3, 1, 1)
    std = image.new_tensor(card.std).view(1, 3, 1, 1)
    return (image - mean) / std


def canonical_depth(card: ModelCard, depth_m: Tensor, focal_px: Tensor) -> tuple[Tensor, Tensor]:
    """Bring ground truth to the scale of a metric network's answer.

    The network cannot see the focal length, so that a focal-scaled one answers the depth of a
    camera of canonical_focal_px: depth · canonical_focal_px / focal (Metric3D, arXiv:2307.10984,
    eq. 2; Depth Anything 3 has 300 px).

    Args:
        card: of the network.
        depth_m: (B, H, W), metres; NaN unknown, +Inf sky.
        focal_px: (B,), mean of fx and fy; NaN unknown.

    Returns:
        Target (B, H, W) and bool mask of where it is known and within the network's range.
    """
    mask = depth_m.isfinite() & (depth_m > 0)
    if card.max_depth_m is not None:
        mask = mask & (depth_m < card.max_depth_m)
    if card.canonical_focal_px is None:
        return depth_m, mask
    focal = focal_px[:, None, None]
    return depth_m * (card.canonical_focal_px / focal), mask & (focal > 0)


def disparity_target(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return what disparity should be, up to scale and shift, and where that is known.

    A picture with any known depth has 1 / depth, 0 in the sky; one without, its pseudo-label.
    """
    known = ~batch.depth_m.isnan() & (batch.depth_m > 0)
    has_depth = known.flatten(1).any(1)[:, None, None]
    target = torch.where(has_depth, batch.depth_m.reciprocal(), batch.disparity)
    return target, torch.where(has_depth, known, batch.disparity.isfinite())


class Objective:
    """The losses of a recipe for one model.

    Args:
        card: of the model.
        recipe: weights of the losses.
        regions: whether batches may hold CutMix: the disparity is then aligned in each region by
            itself (Depth Anything, arXiv:2401.10891, eq. 5; its eq. 6 weighs regions by area, here
            each counts as a picture).
        teacher: the frozen encoder of feature_alignment, on the network's device.

    Attributes:
        names: of the losses that are computed.

    Raises:
        RecipeError: where a loss needs what the model does not answer.
    """

    def __init__(
        self,
        card: ModelCard,
        recipe: Losses,
        regions: bool = False,
        teacher: nn.Module | None = None,
    ) -> None:
        self.card, self.recipe, self.regions, self.teacher = card, recipe, regions, teacher
        self.weights = {name: weight for name, weight in recipe.weights().items() if weight}
        self.names = tuple(self.weights)
        has_sky = card.family == "depth_and_sky"
        for name in self.names:
            if name in _METRIC and card.kind != "metric":
                raise RecipeError(
                    f"losses.{name} is for metric depth, and {card.name} is {card.kind}; use "
                    f"losses.ssi and losses.gradient"
                )
            if name == "sky" and not has_sky:
                raise RecipeError(f"losses.sky: {card.name} does not answer where the sky is")

    def __call__(self, network: nn.Module, batch: Batch, dtype: torch.dtype) -> dict[str, Tensor]:
        """Run the network on a batch, in a dtype, and return the losses by name, unweighted."""
        image = normalise(batch.image, self.card)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            output = network(image)
            features = self._features(image) if self.teacher is not None else {}
        return {**self.losses(read_answer(self.card, output), batch), **features}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum."""
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def losses(self, answer: BatchAnswer, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of an answer by name, unweighted."""
        terms: dict[str, Tensor] = {}
        if answer.depth is not None:
            terms |= self._metric(answer.depth, batch)
        if answer.disparity is not None:
            terms |= self._disparity(answer.disparity, batch)
        if answer.sky_logit is not None and "sky" in self.weights:
            known = ~batch.depth_m.isnan()
            terms["sky"] = losses.sky_loss(answer.sky_logit, batch.depth_m.isinf(), known)
        return terms

    def _metric(self, depth: Tensor, batch: Batch) -> dict[str, Tensor]:
        functions = {
            "log_l1": losses.log_l1_loss,
            "scale_invariant_log": losses.scale_invariant_log_loss,
            "log_gradient": losses.log_gradient_loss,
        }
        wanted = [name for name in _METRIC if name in self.weights]
        if not wanted:
            return {}
        target, mask = canonical_depth(self.card, batch.depth_m, batch.focal_px)
        return {name: functions[name](depth, target, mask) for name in wanted}

    def _disparity(self, disparity: Tensor, batch: Batch) -> dict[str, Tensor]:
        if not any(name in self.weights for name in _DISPARITY):
            return {}
        target, mask = disparity_target(batch)
        if self.regions:
            disparity, target = disparity.repeat(2, 1, 1), target.repeat(2, 1, 1)
            mask = torch.cat((mask & ~batch.region, mask & batch.region))
        ssi, gradient = losses.affine_invariant_terms(
            disparity, target, mask, discard=self.recipe.discard
        )
        terms = {"ssi": ssi, "gradient": gradient}
        return {name: value for name, value in terms.items() if name in self.weights}

    def watch(self, network: nn.Module) -> None:
        """Keep what the network's encoder gives out, for feature_alignment."""
        if self.teacher is not None:
            encoder = network.get_submodule("encoder")
            encoder.register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: object, maps: list[Tensor]) -> None:
        self._student = maps[-1]

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        assert self.teacher is not None
        with torch.no_grad():
            teacher = self.teacher(image)[-1]
        return {"feature_alignment": losses.feature_alignment_loss(self._student, teacher)}


def metric_depth(card: ModelCard, answer: BatchAnswer, focal_px: Tensor) -> Tensor | None:
    """Return metres along Z (B, H, W); None of a relative model.

    Args:
        card: of the model.
        answer: of its network.
        focal_px: (B,), mean of fx and fy at the processed size.
    """
    if answer.depth is None or card.canonical_focal_px is None:
        return answer.depth
    return answer.depth * (focal_px[:, None, None] / card.canonical_focal_px)
