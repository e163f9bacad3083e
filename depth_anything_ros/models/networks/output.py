"""What every network answers, and how that becomes a map of the size of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Kind
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.networks.dpt import resize
from depth_anything_ros.models.zoo.card import ModelCard

NOT_SKY_BELOW = 0.3
# Parts that an engine is judged by; the others follow from the same features.
COMPARED = ("depth", "disparity")
# Takes the least difference of two float32 near that beyond 1.
_STEEP = 1e9


class DepthWithSky(NamedTuple):
    """Depth of a network that knows the sky, each float32 (batch, height, width).

    Attributes:
        depth: along Z, more than 0: metres at the canonical focal length, or affine depth.
        sky: 0 to 1; below 0.3 is not sky.
    """

    depth: Tensor
    sky: Tensor


class NetworkOutput(NamedTuple):
    """What a network answers, each float32 (batch, height, width); None of what it does not.

    Attributes:
        depth: along Z: metres, where the card has a canonical focal length at that; or affine.
        sky: 0 to 1; below 0.3 is not sky.
        disparity: inverse depth up to scale and shift.
        sky_logit: of which sky is the sigmoid; losses want it.
        field_of_view_deg: (batch,), the horizontal one that it sees in the image.
    """

    depth: Tensor | None = None
    sky: Tensor | None = None
    disparity: Tensor | None = None
    sky_logit: Tensor | None = None
    field_of_view_deg: Tensor | None = None

    @classmethod
    def of(cls, answer: AnyOutput, kind: Kind) -> NetworkOutput:
        """Name an answer of one tensor by what its card's kind says; any other is itself."""
        if not isinstance(answer, Tensor):
            return answer
        return cls(disparity=answer) if kind == "relative" else cls(depth=answer)

    @classmethod
    def named(cls, names: Sequence[str], parts: Sequence[Tensor]) -> NetworkOutput:
        """Put an answer together again, of its ``names`` and ``parts``."""
        return cls(**dict(zip(names, parts, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what it answers."""
        return tuple(name for name, part in self._asdict().items() if part is not None)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors of what it answers, in the order of the names."""
        return tuple(part for part in self if part is not None)

    def row(self, index: int) -> NetworkOutput:
        """Return one image's part of a batch, as a batch of one."""
        return NetworkOutput(*(part if part is None else part[index : index + 1] for part in self))

    def where_compared(self, name: str) -> Tensor | None:
        """Return the mask of what a part means something in: depth does where no sky is."""
        if name != "depth" or self.sky is None:
            return None
        mask = self.sky < NOT_SKY_BELOW
        return mask if bool(mask.any()) else None


# What networks answer: one that knows one map answers the tensor of it alone.
AnyOutput = Tensor | NetworkOutput


def at_image(
    answer: NetworkOutput,
    card: ModelCard,
    kind: Kind,
    camera: Camera | None,
    height: int,
    width: int,
    align_corners: bool = True,
) -> Tensor:
    """Bring the answer about one image to a size; the sky, where it is known, becomes +Inf.

    Args:
        answer: with a batch of one.
        card: of the model.
        kind: of this answer.
        camera: of the image, if known; depth at a canonical focal length is scaled by it.
        height: of the map, in pixels.
        width: of the map, in pixels.
        align_corners: as of ``dpt.resize``.

    Returns:
        float32 (height, width).
    """
    depth = answer.disparity if kind == "relative" else answer.depth
    assert depth is not None, f"{card.name} answers {answer.names}, not what is {kind}"
    ratio = 1.0
    if card.canonical_focal_px is not None and camera is not None:
        ratio = _focal_px(camera, depth) / card.canonical_focal_px
    if kind == "relative" or answer.sky is None:
        depth = depth if ratio == 1 else depth * ratio
        return resize(depth[:, None], height, width, align_corners)[0, 0]
    return beyond_sky(DepthWithSky(depth, answer.sky), ratio, height, width, align_corners)[0]


def _focal_px(camera: Camera, image: Tensor) -> float:
    """Return mean(fx, fy) of the image as the network sees it.

    ``apply_metric_scaling`` in src/depth_anything_3/utils/alignment.py of
    ByteDance-Seed/Depth-Anything-3.
    """
    processed = camera.scaled(image.shape[-1], image.shape[-2])
    return (processed.K[0] + processed.K[4]) / 2


def beyond_sky(
    answer: DepthWithSky,
    focal_ratio: float,
    height: int,
    width: int,
    align_corners: bool = True,
) -> Tensor:
    """Scale depth, at the size of the image; the sky becomes +Inf.

    Depth is resized without what the network answers in the sky, which means nothing and would
    bend the edges of roofs and trees; the sky is resized apart, and then cut at 0.3
    (``compute_sky_mask`` in src/depth_anything_3/utils/alignment.py).

    Args:
        answer: of (batch, h, w).
        focal_ratio: mean(fx, fy) of the camera scaled to w x h, over the canonical focal length;
            1 for depth that is not scaled by it.
        height: of the map.
        width: of the map.
        align_corners: as of ``dpt.resize``.

    Returns:
        float32 (batch, height, width): depth along Z, +Inf where sky is 0.3 or more.
    """
    not_sky, depth = answer.sky < NOT_SKY_BELOW, focal_ratio * answer.depth
    if bool(not_sky.all()):
        return resize(depth[:, None], height, width, align_corners)[:, 0]
    # Apart, for of several channels together torch takes twice the time.
    parts = (depth * not_sky, not_sky.float(), answer.sky)
    depth, weight, sky = (
        resize(part[:, None], height, width, align_corners)[:, 0] for part in parts
    )
    # 1 below 0.3 and 0 from there on, in a quarter of the time that a comparison takes. 1 / 0 makes
    # the +Inf.
    seen = (NOT_SKY_BELOW - sky).mul_(_STEEP).clamp_(0, 1)
    return depth.add_(1 - seen).div_(seen.mul_(weight))


@dataclass(frozen=True)
class Exportable:
    """What other programs can run of a network.

    Attributes:
        network: the part that answers single images.
        any_size: whether a graph of it can leave the size of the image free.
        most_images: that a graph of it takes at a time.
    """

    network: nn.Module
    any_size: bool = True
    most_images: int = 64


def no_prompt(prompt_m: NDArray[np.float32], card: ModelCard, device: torch.device) -> Tensor:
    """Refuse a LiDAR's depth, which most networks take none of.

    Raises:
        ModelError: (``prompt``).
    """
    raise ModelError(
        f"{card.name} takes no prompt of depth; leave prompt_m out, or use a model of Prompt Depth "
        f"Anything, as hf:depth-anything/prompt-depth-anything-vits-hf",
        reason="prompt",
    )
