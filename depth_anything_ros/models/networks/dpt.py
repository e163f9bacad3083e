"""The DPT decoder: four feature maps of a vision transformer to one map (Ranftl et al. 2021).

https://arxiv.org/abs/2103.13413, section 3 and supplementary A; the variant of Depth Anything,
with no class token, no batch norm, and bilinear resizing with aligned corners throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.zoo.card import Activation, Four

HEAD_CHANNELS = 32  # of the map that the last convolution reads


def resize(maps: Tensor, height: int, width: int, align_corners: bool = True) -> Tensor:
    """Resize (batch, channels, h, w) bilinearly; as is where it fits.

    With aligned corners, as the official code does, the middles of the outermost pixels fall on
    each other; without, the borders do.
    """
    if maps.shape[-2:] == (height, width):
        return maps
    return functional.interpolate(
        maps, (height, width), mode="bilinear", align_corners=align_corners
    )


class Reassemble(nn.Module):
    """Tokens on one grid of patches to a pyramid of 4, 2, 1 and 1/2 times that grid."""

    def __init__(self, width: int, channels: Four) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        self.resample = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Reassemble four maps of (batch, width, rows, columns)."""
        layers = zip(self.project, self.resample, maps, strict=True)
        return [resample(project(tokens)) for project, resample, tokens in layers]


class ResidualUnit(nn.Module):
    """Two 3 x 3 convolutions, each after a ReLU, added to their input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Refine (batch, features, height, width)."""
        hidden = self.conv1(functional.relu(maps))
        refined: Tensor = self.conv2(functional.relu(hidden)) + maps
        return refined


class Fusion(nn.Module):
    """Add the skip connection of a level to what came from below, refine, and enlarge.

    The lowest level has nothing below it, so it has no unit for a skip connection. Official
    checkpoints hold weights for that unit all the same; nothing ever ran them.
    """

    def __init__(self, features: int, has_skip: bool) -> None:
        super().__init__()
        self.skip = ResidualUnit(features) if has_skip else None
        self.refine = ResidualUnit(features)
        self.project = nn.Conv2d(features, features, 1)

    def forward(self, maps: Tensor, skip: Tensor | None, height: int, width: int) -> Tensor:
        """Fuse (batch, features, h, w) with a skip of the same shape, to (.., height, width)."""
        if self.skip is not None and skip is not None:
            maps = maps + self.skip(skip)
        # The official code enlarges, then projects. A 1 x 1 convolution and a bilinear resize
        # (whose weights sum to 1) commute, and in this order it costs a quarter.
        return resize(self.project(self.refine(maps)), height, width)


class Pyramid(nn.Module):
    """Four token maps to four levels of ``features`` channels, which ``fuse`` makes one map of.

    Args:
        width: channels of the maps that come in.
        features: channels of the fusion blocks.
        out_channels: channels of the four levels of the pyramid.
    """

    def __init__(self, width: int, features: int, out_channels: Four) -> None:
        super().__init__()
        self.reassemble = Reassemble(width, out_channels)
        self.level = nn.ModuleList(
            nn.Conv2d(c, features, 3, padding=1, bias=False) for c in out_channels
        )

    def levels(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Reassemble four maps of (batch, width, rows, columns)."""
        return [conv(m) for conv, m in zip(self.level, self.reassemble(maps), strict=True)]


def fusions(features: int) -> nn.ModuleList:
    """Make the fusion blocks of four levels, finest first."""
    return nn.ModuleList(Fusion(features, has_skip=i < 3) for i in range(4))


def fuse(blocks: nn.ModuleList, levels: Sequence[Tensor]) -> Tensor:
    """Fuse levels, coarsest first, to a map of twice the size of the finest."""
    rows, columns = levels[0].shape[-2:]
    sizes = [(2 * rows, 2 * columns), *((m.shape[-2], m.shape[-1]) for m in levels[:-1])]
    fused = levels[-1]
    for block, level, size in reversed(list(zip(blocks, levels, sizes, strict=True))):
        fused = block(fused, level, *size)
    return fused


class DptDecoder(Pyramid):
    """Four feature maps to one value a pixel.

    Args:
        width, features, out_channels: as of Pyramid.
        output: ``relu``, or ``sigmoid`` for a share of the maximum depth.
        patch_size: pixels a side of what one token stands for.
    """

    def __init__(
        self, width: int, features: int, out_channels: Four, output: Activation, patch_size: int
    ) -> None:
        super().__init__(width, features, out_channels)
        self.fusion = fusions(features)
        self.head1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.head2 = nn.Conv2d(features // 2, HEAD_CHANNELS, 3, padding=1)
        self.head3 = nn.Conv2d(HEAD_CHANNELS, 1, 1)
        self.output = output
        self.patch_size = patch_size

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode four of (batch, width, rows, columns) to a value a pixel, 0 or more."""
        rows, columns = maps[0].shape[-2:]
        fused = self.head1(fuse(self.fusion, self.levels(maps)))
        fused = resize(fused, rows * self.patch_size, columns * self.patch_size)
        hidden = functional.relu(self.head2(fused))
        values = convolve_in_float32(self.head3, hidden)[:, 0]
        return values.relu() if self.output == "relu" else values.sigmoid()


def convolve_in_float32(last: nn.Conv2d, hidden: Tensor) -> Tensor:
    """Apply a last convolution in float32 whatever came before.

    A 16-bit value near 10 m has steps of 6 cm (bfloat16) or 8 mm (float16): they would be seen as
    terraces in the cloud. Whatever turns the result into depth must stay in float32 too.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        values: Tensor = last(hidden.float())
    return values
