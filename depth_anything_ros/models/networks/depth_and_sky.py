"""Depth for a canonical focal length, sky and disparity, all from one convolutional decoder.

The layout of DA3METRIC (Depth Anything 3, arXiv:2511.10647): depth is answered as if the focal
length were 300 px, so metres = mean(fx, fy) of the processed picture × depth / 300; and a sky
below 0.3 means *not* sky (``compute_sky_mask`` in src/depth_anything_3/utils/alignment.py of
ByteDance-Seed/Depth-Anything-3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks.dpt import ResidualUnit, convolve_in_float32
from depth_anything_ros.models.networks.efficientnet import EfficientNetLite
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard

# Natural logarithm of the least and the largest depth: 2.5 mm and 8 km at the canonical focal
# length, far outside of what a camera is used for. Beyond, exp would under- or overflow.
LOG_DEPTH_RANGE = (-6.0, 9.0)
# What an untrained network answers: depth about a room's (300 px see 6 m as 160 px see 3.2 m),
# hardly any sky, and a disparity whose ReLU is open.
_FIRST_DEPTH = 6.0
_FIRST_SKY_LOGIT = -3.0
_FIRST_DISPARITY = 1.0
_MAPS = 3  # depth, sky and disparity


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
        """Set the last biases to what an untrained network should answer, and quieten detail."""
        bias, detail = self.answer.bias, self.detail.bias
        assert bias is not None and detail is not None  # nn.Conv2d's default
        bias[0] = math.log(_FIRST_DEPTH)
        bias[1] = _FIRST_SKY_LOGIT
        bias[2] = _FIRST_DISPARITY
        detail.zero_()
        # With full weights its four pixels would be those of four pictures.
        self.detail.weight.mul_(0.02)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Predict from (batch, 3, height, width), both sides multiples of 32."""
        hidden = self.decoder(self.encoder(image))
        coarse = convolve_in_float32(self.answer, hidden)
        detail = functional.pixel_shuffle(convolve_in_float32(self.detail, hidden), 2)
        log_depth, sky_logit, disparity = (enlarge(coarse) + detail).unbind(1)
        depth = log_depth.clamp(*LOG_DEPTH_RANGE).exp()
        return NetworkOutput(depth, sky_logit.sigmoid(), disparity.relu(), sky_logit)
