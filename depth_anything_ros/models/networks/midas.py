"""MiDaS v2.1 to v3.1: an encoder, and the RefineNet decoder that DPT took over from it.

Ranftl et al. 2020 (arXiv:1907.01341), 2021 (arXiv:2103.13413) and Birkl et al. 2023
(arXiv:2307.14460); midas/dpt_depth.py, midas/midas_net_custom.py and midas/blocks.py of
isl-org/MiDaS. What the rows of this family have in ``ModelCard.options``:

- ``encoder``: one of ``midas_encoders.ENCODERS``;
- ``head``: channels that the head takes, and of the map that its last convolution reads. Where
  they are fewer than ``features``, two transposed convolutions come before it, which enlarge;
- ``expand``: whether each coarser level has twice the channels of the one above it;
- ``aligned``: whether the head's resize has aligned corners; the decoder's has them always;
- ``patch``: pixels a side of what a token of the encoder stands for;
- ``release``: the address of the official file, where the hub's is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks.dpt import Fusion, convolve_in_float32, fuse, resize
from depth_anything_ros.models.networks.midas_encoders import ENCODERS, Beit, FixedGrid
from depth_anything_ros.models.networks.output import Exportable
from depth_anything_ros.models.zoo.card import ModelCard


class Midas(nn.Module):
    """The network of one model card, with the initial values of its layers."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.encoder = ENCODERS[card.option("encoder")](card)
        self.decoder = MidasDecoder(card)

    def forward(self, image: Tensor) -> Tensor:
        """Predict disparity, 0 or more, from (batch, 3, height, width), multiples of 32.

        Raises:
            ModelError: (``input_size``) where the encoder takes one size only, and it is another.
        """
        disparity: Tensor = self.decoder(self.encoder(image), image.shape[-2], image.shape[-1])
        return disparity

    def to_empty(self, *, device: torch.device | str | int | None, recurse: bool = True) -> Midas:
        """Allocate memory as any module does, and fill what depends on no weights."""
        super().to_empty(device=device, recurse=recurse)
        if isinstance(self.encoder, FixedGrid):
            self.encoder.fill_constants()
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        return self


def exportable(network: Midas) -> Exportable:
    """Say whether a graph can be of any size: not where attention has tables of places on one."""
    return Exportable(network, any_size=not isinstance(network.encoder, (Beit, FixedGrid)))


class MidasDecoder(nn.Module):
    """Feature maps from fine to coarse, each of half the size, to one disparity a pixel."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        channels = [c for c in card.out_channels if c]
        growth = 2 if card.option("expand") else 1
        features = [card.features * growth**level for level in range(len(channels))]
        self.level = nn.ModuleList(
            nn.Conv2d(c, f, 3, padding=1, bias=False)
            for c, f in zip(channels, features, strict=True)
        )
        last = len(features) - 1
        self.fusion = nn.ModuleList(
            Fusion(f, has_skip=level < last) for level, f in enumerate(features)
        )
        for level, (finer, coarser) in enumerate(pairwise(features), start=1):
            self.fusion[level].project = nn.Conv2d(coarser, finer, 1)
        taken, hidden = card.option("head")
        self.enlarge = _enlarge(card.features, taken) if taken < card.features else None
        self.head1 = nn.Conv2d(taken, taken // 2, 3, padding=1)
        self.head2 = nn.Conv2d(taken // 2, hidden, 3, padding=1)
        self.head3 = nn.Conv2d(hidden, 1, 1)
        self.aligned: bool = card.option("aligned")

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Decode maps from fine to coarse to float32 (batch, height, width), 0 or more."""
        levels = [conv(found) for conv, found in zip(self.level, maps, strict=True)]
        fused = fuse(self.fusion, levels)
        if self.enlarge is not None:
            fused = self.enlarge(fused)
        fused = self.head1(fused)
        fused = resize(fused, height, width, self.aligned)
        hidden = functional.relu(self.head2(fused))
        return convolve_in_float32(self.head3, hidden)[:, 0].relu()


def _enlarge(channels: int, least: int) -> nn.Sequential:
    """Double the size until so few channels are left (``stem_b4_transpose`` for LeViT)."""
    layers: list[nn.Module] = []
    while channels > least:
        layers += [
            nn.ConvTranspose2d(
                channels, channels // 2, 3, stride=2, padding=1, output_padding=1, bias=False
            ),
            nn.BatchNorm2d(channels // 2),
            nn.Hardswish(),
        ]
        channels //= 2
    return nn.Sequential(*layers)
