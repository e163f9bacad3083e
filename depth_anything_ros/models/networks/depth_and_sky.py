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

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.networks.dpt import ResidualUnit, convolve_in_float32
from depth_anything_ros.models.networks.efficientnet import EfficientNetLite
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard

from timm.models.vision_transformer import Block  # isort: skip

# Natural logarithm of the least and the largest depth: 2.5 mm and 8 km at the canonical focal
# length, far outside of what a camera is used for. Beyond, exp would under- or overflow.
LOG_DEPTH_RANGE = (-6.0, 9.0)
# What an untrained network answers: depth about a room's (300 px see 6 m as 160 px see 3.2 m),
# hardly any sky, and a disparity whose ReLU is open.
_FIRST_DEPTH = 6.0
_FIRST_SKY_LOGIT = -3.0
_FIRST_DISPARITY = 1.0
_MAPS = 3  # depth, sky and disparity
# Of what the network sees, 0 to 1, and the means that are brought to it: night stays dark.
_MEAN_LIGHT, _EVENED = 0.45, (0.15, 1.0)
_OCTAVES = 4  # of the waves that say where in the picture a place is


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

    def forward(self, maps: Sequence[Tensor], context: Tensor) -> Tensor:
        """Decode maps of (batch, channels, rows, columns), 0 or more at the end.

        Args:
            maps: from fine to coarse.
            context: added to the coarsest, (batch, features, rows, columns).
        """
        refined = self.refine[-1](self.level[-1](maps[-1]) + context)
        for index in reversed(range(len(maps) - 1)):
            # A 1 x 1 convolution and a bilinear resize commute; in this order it costs less.
            coarser = self.narrow(refined) if index == 0 else refined
            refined = self.refine[index](self.level[index](maps[index]) + enlarge(coarser))
        return functional.relu(refined)


def enlarge(maps: Tensor) -> Tensor:
    """Double rows and columns of (batch, channels, rows, columns) bilinearly."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear")


class Context(nn.Module):
    """What the whole picture says of each place in its coarsest map, by a small transformer.

    Convolutions see a part of a large picture only, and depth hangs on all of it: on where the
    ground is, and what kind of place this is. It begins with hardly any say.

    Args:
        channels: of the map that comes in.
        features: of the map that goes out.
        width: of the transformer, a multiple of 32.
        blocks: of it.
    """

    def __init__(self, channels: int, features: int, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 1)
        self.place = nn.Linear(4 * _OCTAVES, width)
        self.blocks = nn.Sequential(
            *(Block(width, width // 32, mlp_ratio=3.0, qkv_bias=True) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, features)
        nn.init.trunc_normal_(self.leave.weight, std=0.002)
        nn.init.zeros_(self.leave.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (batch, features, rows, columns) of (batch, channels, rows, columns)."""
        rows, columns = maps.shape[-2:]
        tokens = self.enter(maps).flatten(2).transpose(1, 2)
        tokens = tokens + self.place(_places(rows, columns, tokens))
        said: Tensor = self.leave(self.norm(self.blocks(tokens)))
        return said.transpose(1, 2).reshape(len(maps), -1, rows, columns)


def evenly_exposed(image: Tensor) -> Tensor:
    """Give pictures one mean brightness, so that depth does not go with the camera's exposure.

    A factor of gamma-coded values is one of the light, up to what was clipped.

    Args:
        image: (batch, 3, height, width), RGB, -1 is black and 1 white.

    Returns:
        float32, likewise; bright parts may be above 1.
    """
    light = 0.5 + 0.5 * image.float()
    mean = light.mean((1, 2, 3), keepdim=True)
    return 2.0 * light * (_MEAN_LIGHT / mean.clamp(*_EVENED)) - 1.0


def _places(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return (rows · columns, 4 · octaves): waves over the height and the width of the picture.

    As Vaswani et al. 2017 (arXiv:1706.03762, section 3.5), with the picture's sides as units.
    """
    waves = []
    for count, shape in ((rows, (-1, 1)), (columns, (1, -1))):
        middle = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count
        for octave in range(_OCTAVES):
            for wave in (torch.sin, torch.cos):
                values = wave(math.pi * 2**octave * middle).view(shape)
                waves.append(values.expand(rows, columns).flatten())
    return torch.stack(waves, 1)


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
        self.context = Context(
            self.encoder.channels[-1],
            card.features,
            card.option("context_width"),
            card.option("context_blocks"),
        )
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
        maps = self.encoder(evenly_exposed(image))
        hidden = self.decoder(maps, self.context(maps[-1]))
        coarse = convolve_in_float32(self.answer, hidden)
        detail = functional.pixel_shuffle(convolve_in_float32(self.detail, hidden), 2)
        log_depth, sky_logit, disparity = (enlarge(coarse) + detail).unbind(1)
        depth = log_depth.clamp(*LOG_DEPTH_RANGE).exp()
        return NetworkOutput(depth, sky_logit.sigmoid(), disparity.relu(), sky_logit)
