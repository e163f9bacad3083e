"""Depth for a canonical focal length, sky and disparity, all from one convolutional decoder.

The layout of DA3METRIC (Depth Anything 3, arXiv:2511.10647): depth is answered as if the focal
length were 300 px, so metres = mean(fx, fy) of the processed picture × depth / 300; and a sky
below 0.3 means *not* sky (``compute_sky_mask`` in src/depth_anything_3/utils/alignment.py of
ByteDance-Seed/Depth-Anything-3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks.dpt import ResidualUnit, convolve_in_float32, resize
from depth_anything_ros.models.networks.efficientnet import EfficientNetLite
from depth_anything_ros.models.zoo.card import ModelCard

NOT_SKY_BELOW = 0.3
# Takes the least difference of two float32 near that beyond 1.
_STEEP = 1e9
# Natural logarithm of the least and the largest depth: 2.5 mm and 8 km at the canonical focal
# length, far outside of what a camera is used for. Beyond, exp would under- or overflow.
LOG_DEPTH_RANGE = (-6.0, 9.0)
# What an untrained network answers: depth about a room's (300 px see 6 m as 160 px see 3.2 m),
# hardly any sky, and a disparity whose ReLU is open.
_FIRST_DEPTH = 6.0
_FIRST_SKY_LOGIT = -3.0
_FIRST_DISPARITY = 1.0
_MAPS = 3  # depth, sky and disparity


class DepthWithSky(NamedTuple):
    """Depth of a network that knows the sky, each float32 (batch, height, width).

    Attributes:
        depth: along Z, more than 0: metres at the canonical focal length, or affine depth.
        sky: 0 to 1; below 0.3 is not sky.
    """

    depth: Tensor
    sky: Tensor


class Prediction(NamedTuple):
    """What the network answers, each float32 (batch, height, width).

    Attributes:
        depth: metres along Z at the canonical focal length, more than 0.
        sky: 0 to 1; below 0.3 is not sky.
        disparity: inverse depth up to scale and shift; 0 or more.
        sky_logit: of which sky is the sigmoid; losses want it.
    """

    depth: Tensor
    sky: Tensor
    disparity: Tensor
    sky_logit: Tensor

    @property
    def with_sky(self) -> DepthWithSky:
        """Depth and sky alone."""
        return DepthWithSky(self.depth, self.sky)


class Decoder(nn.Module):
    """Five maps from fine to coarse, each of half the size, to one at half the picture's size.

    As of a feature pyramid (Lin et al. 2017, arXiv:1612.03144): from the coarsest map on, each is
    refined, enlarged, and added to the next finer one.

    Args:
        channels: of the maps that come in.
        features: of the decoder.
        finest: of its last level, where most of the pixels are.
    """

    def __init__(self, channels: Sequence[int], features: int, finest: int) -> None:
        super().__init__()
        widths = (finest, *(features for _ in channels[1:]))
        self.level = nn.ModuleList(
            nn.Conv2d(taken, width, 1) for taken, width in zip(channels, widths, strict=True)
        )
        self.refine = nn.ModuleList(ResidualUnit(width) for width in widths)
        self.narrow = nn.Conv2d(features, finest, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode maps of (batch, channels, rows, columns), 0 or more at the end."""
        refined: Tensor | None = None
        for index in reversed(range(len(maps))):
            level = self.level[index](maps[index])
            if refined is not None:
                # A 1 x 1 convolution and a bilinear resize commute; in this order it costs less.
                coarser = self.narrow(refined) if index == 0 else refined
                level = level + enlarge(coarser)
            refined = self.refine[index](level)
        assert refined is not None
        return functional.relu(refined)


def enlarge(maps: Tensor) -> Tensor:
    """Double rows and columns of (batch, channels, rows, columns) bilinearly."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear")


class DepthAndSky(nn.Module):
    """The network of one model card, with the initial values to train it from.

    The answer is made at half the size of the picture and enlarged bilinearly; ``detail`` adds to
    it what its four pixels differ in (a sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158),
    so that edges can be as sharp as the picture.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(card.timm_id)
        finest: int = card.option("finest")
        self.decoder = Decoder(self.encoder.channels, card.features, finest)
        self.detail = nn.Conv2d(finest, 4 * _MAPS, 1)
        self.answer = nn.Conv2d(finest, _MAPS, 1)
        nn.init.trunc_normal_(self.answer.weight, std=0.02)
        nn.init.zeros_(self.detail.weight)
        self.reset_first_answer()

    @torch.no_grad()
    def reset_first_answer(self) -> None:
        """Set the last biases to what an untrained network should answer."""
        bias, detail = self.answer.bias, self.detail.bias
        assert bias is not None and detail is not None  # nn.Conv2d's default
        bias[0] = math.log(_FIRST_DEPTH)
        bias[1] = _FIRST_SKY_LOGIT
        bias[2] = _FIRST_DISPARITY
        detail.zero_()

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised pictures.

        Args:
            image: (batch, 3, height, width), both sides multiples of 32.
        """
        hidden = self.decoder(self.encoder(image))
        coarse = convolve_in_float32(self.answer, hidden)
        detail = functional.pixel_shuffle(convolve_in_float32(self.detail, hidden), 2)
        log_depth, sky_logit, disparity = (enlarge(coarse) + detail).unbind(1)
        depth = log_depth.clamp(*LOG_DEPTH_RANGE).exp()
        return Prediction(depth, sky_logit.sigmoid(), disparity.relu(), sky_logit)


def beyond_sky(
    prediction: DepthWithSky | Prediction,
    focal_ratio: float,
    height: int,
    width: int,
    align_corners: bool = True,
) -> Tensor:
    """Scale depth, at the size of the picture; the sky becomes +Inf.

    Depth is resized without what the network answers in the sky, which means nothing and would
    bend the edges of roofs and trees; the sky is resized apart, and then cut at 0.3.

    Args:
        prediction: of (batch, h, w).
        focal_ratio: mean(fx, fy) of the camera scaled to w x h, over the canonical focal length;
            1 for depth that is not scaled by it.
        height: of the answer.
        width: of the answer.
        align_corners: as of ``dpt.resize``.

    Returns:
        float32 (batch, height, width): depth along Z, +Inf where sky is 0.3 or more.
    """
    not_sky, depth = prediction.sky < NOT_SKY_BELOW, focal_ratio * prediction.depth
    if bool(not_sky.all()):
        return resize(depth[:, None], height, width, align_corners)[:, 0]
    # Apart, for of several channels together torch takes twice the time.
    parts = (depth * not_sky, not_sky.float(), prediction.sky)
    depth, weight, sky = (
        resize(part[:, None], height, width, align_corners)[:, 0] for part in parts
    )
    # 1 below 0.3 and 0 from there on, in a quarter of the time that a comparison takes. 1 / 0 makes
    # the +Inf.
    seen = (NOT_SKY_BELOW - sky).mul_(_STEEP).clamp_(0, 1)
    return depth.add_(1 - seen).div_(seen.mul_(weight))
