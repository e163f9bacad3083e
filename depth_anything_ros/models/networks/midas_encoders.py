"""The encoders of MiDaS: timm's networks, tapped where MiDaS taps them.

Each answers four feature maps (LeViT three) from fine to coarse, which ``midas`` decodes. Names and
taps are those of midas/backbones of isl-org/MiDaS, whose weights were trained with timm 0.6.12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.networks.dpt import Reassemble
from depth_anything_ros.models.zoo.card import ModelCard

import timm  # isort: skip


def create(card: ModelCard, **arguments: Any) -> Any:  # noqa: ANN401 - timm's own types
    """Build a card's encoder with timm, without its classifier."""
    return timm.create_model(
        card.timm_id, pretrained=False, num_classes=0, **arguments, **dict(card.timm_overrides)
    )


class Readout(nn.Module):
    """Mix the class token into every other token (``project`` of Ranftl et al. 2021, eq. 6)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix (batch, 1 + patches, width) to (batch, patches, width)."""
        patches = tokens[:, 1:]
        both = torch.cat((patches, tokens[:, :1].expand_as(patches)), dim=-1)
        return functional.gelu(self.project(both))


class Vit(nn.Module):
    """A vision transformer whose taps become maps of 1/4, 1/8, 1/16 and 1/32 of the picture.

    timm's network is ``vit``. Its last norm is left out: MiDaS taps what comes before.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.vit = create(card, img_size=card.trained_size)
        self.vit.norm = self.vit.fc_norm = nn.Identity()
        self.readout = nn.ModuleList(Readout(card.width) for _ in card.tapped_layers)
        self.reassemble = Reassemble(card.width, card.out_channels)
        self.tapped_layers: Sequence[int] = card.tapped_layers

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, height, width), both sides multiples of 32."""
        maps: list[Tensor] = self.reassemble(self._tapped(self.vit.patch_embed.proj(image)))
        return maps

    def _tapped(self, patches: Tensor) -> list[Tensor]:
        """Run the transformer on (batch, width, rows, columns), to maps of its taps."""
        rows, columns = patches.shape[-2:]
        class_token = self.vit.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((class_token, patches.flatten(2).transpose(1, 2)), dim=1)
        taps = self._taps(tokens, rows, columns)
        readouts = self.readout[-len(taps) :]
        return [
            readout(tap).transpose(1, 2).unflatten(2, (rows, columns))
            for readout, tap in zip(readouts, taps, strict=True)
        ]

    def _taps(self, tokens: Tensor, rows: int, columns: int) -> list[Tensor]:
        tokens = tokens + resample_position_embedding(self.vit.pos_embed, rows, columns)
        taps = []
        for index, block in enumerate(self.vit.blocks):
            tokens = block(tokens)
            if index in self.tapped_layers:
                taps.append(tokens)
        return taps


def resample_position_embedding(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """Resample a position embedding to another grid, bilinearly, as MiDaS does.

    ``_resize_pos_embed`` in midas/backbones/vit.py.

    The first is the class token's; then come those of the patches, row by row.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    grid = embedding[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    grid = functional.interpolate(grid, (rows, columns), mode="bilinear", align_corners=False)
    return torch.cat((embedding[:, :1], grid.flatten(2).transpose(1, 2)), dim=1)


class HybridVit(Vit):
    """A vision transformer on a residual network, whose stages are the two finer maps.

    ``tapped_layers`` are two stages and two blocks; the maps of the stages are taken as they are.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        for index in (0, 1):
            self.readout[index] = nn.Identity()
            self.reassemble.project[index] = self.reassemble.resample[index] = nn.Identity()
        self.tapped_stages, self.tapped_layers = card.tapped_layers[:2], card.tapped_layers[2:]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, height, width), both sides multiples of 32."""
        found, stages = self.vit.patch_embed.backbone.forward_intermediates(
            image,
            indices=[1 + stage for stage in self.tapped_stages],  # 0 is the stem
        )
        maps: list[Tensor] = self.reassemble(
            [*stages, *self._tapped(self.vit.patch_embed.proj(found))]
        )
        return maps


class Beit(Vit):
    """BEiT, whose attention has a bias by relative position in each block (arXiv:2106.08254)."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        for block in self.vit.blocks:
            # What forward computes for the grid at hand; for 512 x 512 they would take 200 MB.
            block.attn.k_bias = block.attn.relative_position_index = None
        self.side = card.trained_size // card.option("patch")

    def _taps(self, tokens: Tensor, rows: int, columns: int) -> list[Tensor]:
        taps = []
        for index, block in enumerate(self.vit.blocks):
            table = block.attn.relative_position_bias_table
            bias = relative_position_bias(table, self.side, rows, columns)
            attended = _attend(block.attn, block.norm1(tokens), bias)
            tokens = tokens + block.gamma_1 * attended
            tokens = tokens + block.gamma_2 * block.mlp(block.norm2(tokens))
            if index in self.tapped_layers:
                taps.append(tokens)
        return taps


def _attend(attention: Any, tokens: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401 - timm's type
    """Attend with a bias of (heads, tokens, tokens). Queries and values have biases, keys none."""
    zeros = torch.zeros_like(attention.q_bias)
    shift = torch.cat((attention.q_bias, zeros, attention.v_bias))
    stacked = functional.linear(tokens, attention.qkv.weight, shift)
    query, key, value = stacked.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    mask = bias[None].to(query.dtype)
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    projected: Tensor = attention.proj(found.transpose(1, 2).flatten(2))
    return projected


def relative_position_bias(table: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """Look up what attention between two tokens adds, for any grid of patches.

    The table of offsets between patches is resampled bilinearly to the grid's, as
    ``_get_rel_pos_bias`` in midas/backbones/beit.py does.

    Args:
        table: ((2 * side - 1)² + 3, heads): of each offset, row by row; then from the class token
            to a patch, from a patch to the class token, and from the class token to itself.
        side: of the grid that the table was trained on, in patches.
        rows: patches from top to bottom.
        columns: patches from left to right.

    Returns:
        (heads, 1 + rows * columns, 1 + rows * columns), of query and key.
    """
    heads, span = table.shape[1], 2 * side - 1
    offsets = table[:-3].T.reshape(1, heads, span, span)
    size = (2 * rows - 1, 2 * columns - 1)
    offsets = functional.interpolate(offsets, size, mode="bilinear", align_corners=False)[0]
    # Entry (i, j) is of query - key = (i - rows + 1, j - columns + 1). Read backwards, a window of
    # the grid's size is one query's row over all keys, and the windows' places are the queries.
    windows = offsets.flip(1, 2).unfold(1, rows, 1).unfold(2, columns, 1).flip(1, 2)
    patches = windows.reshape(heads, rows * columns, rows * columns)
    bias = functional.pad(patches, (1, 0, 1, 0))
    bias[:, 0, :], bias[:, :, 0], bias[:, 0, 0] = table[-3, :, None], table[-2, :, None], table[-1]
    return bias


class FixedGrid(nn.Module):
    """An encoder for squares of one size: its attention has a bias for each place on the grid.

    Attributes:
        thin: arguments that make a much smaller network with the same tables of places.
    """

    thin: tuple[tuple[str, Any], ...] = ()

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card

    def check(self, image: Tensor) -> None:
        """Refuse what is not the square of the trained size.

        Raises:
            ModelError: (``input_size``).
        """
        side = self.card.trained_size
        height, width = image.shape[-2:]
        if (height, width) != (side, side):
            raise ModelError(
                f"{self.card.name} takes {side}x{side} pixels only, got {width}x{height}; leave "
                f"the input size at 0, or at {side}",
                reason="input_size",
            )

    @torch.no_grad()
    def fill_constants(self) -> None:
        """Fill the buffers that no checkpoint holds, after ``to_empty``.

        They are tables of places on the grid, which a thin network has as well, and the biases
        of keys, which are 0. timm fills them when it builds a network, in ways that change.
        """
        card = replace(self.card, timm_overrides=(*self.card.timm_overrides, *self.thin))
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            values = dict(type(self)(card).named_buffers())
        held = self.state_dict()
        for name, buffer in self.named_buffers():
            if name.endswith("k_bias"):
                buffer.zero_()
            elif name not in held:
                buffer.copy_(values[name])


class SwinV2(FixedGrid):
    """Swin Transformer V2 (arXiv:2111.09883), whose four stages are the maps.

    timm's network is ``swin``; its last norm is left out.
    """

    thin = (("embed_dim", 1), ("num_heads", (1, 2, 4, 8)))

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self.swin = create(card, img_size=card.trained_size)
        self.swin.norm = nn.Identity()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, side, side)."""
        self.check(image)
        maps: list[Tensor] = self.swin.forward_intermediates(image, intermediates_only=True)
        return maps


class Levit(FixedGrid):
    """LeViT (arXiv:2104.01136), whose three stages are tapped after a block of each.

    timm's network is ``levit``; blocks of the last stage that come after its tap are left out.
    """

    thin = (("embed_dim", (8, 8, 8)), ("key_dim", 1), ("num_heads", (1, 1, 1)))

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self.levit = create(card, img_size=card.trained_size)
        self.tapped_layers = card.tapped_layers[: len(self.levit.stages)]
        last = self.levit.stages[-1]
        last.blocks = last.blocks[: self.tapped_layers[-1] + 1]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, side, side)."""
        self.check(image)
        tokens = self.levit.stem(image).flatten(2).transpose(1, 2)
        maps = []
        for stage, tap in zip(self.levit.stages, self.tapped_layers, strict=True):
            tokens = stage.downsample(tokens)
            for index, block in enumerate(stage.blocks):
                tokens = block(tokens)
                if index == tap:
                    side = math.isqrt(tokens.shape[1])
                    maps.append(tokens.transpose(1, 2).unflatten(2, (side, side)))
        return maps


class TappedEfficientNet(nn.Module):
    """EfficientNet-Lite, whose maps come after four of its stages.

    timm's network is ``efficientnet``; what it has after the last tap is left out.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.efficientnet = create(card)
        self.efficientnet.conv_head = self.efficientnet.bn2 = nn.Identity()
        self.tapped_layers = card.tapped_layers

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, height, width), both sides multiples of 32."""
        maps: list[Tensor] = self.efficientnet.forward_intermediates(
            image,
            indices=[1 + stage for stage in self.tapped_layers],  # 0 is the stem
            extra_blocks=True,  # all stages count
            intermediates_only=True,
        )
        return maps


ENCODERS: dict[str, type[nn.Module]] = {
    "vit": Vit,
    "hybrid": HybridVit,
    "beit": Beit,
    "swin": SwinV2,
    "levit": Levit,
    "efficientnet": TappedEfficientNet,
}
