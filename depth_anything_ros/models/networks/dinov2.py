"""The DINOv2 encoder: timm's vision transformer with DINOv2's own position embedding."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.zoo.card import ModelCard

import timm  # isort: skip

# Added to the grid before dividing, so that rounding never loses a patch
# (facebookresearch/dino#8). It shifts every sample a little, and the weights were tuned with it.
_GRID_OFFSET = 0.1


def interpolate_position_embedding(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """Resample a position embedding to another grid of patches, exactly as DINOv2 does.

    Bicubic with no antialiasing, by the *scale* (rows + 0.1) / side rather than by the size. From
    ``interpolate_pos_encoding`` in depth_anything_v2/dinov2.py of DepthAnything/Depth-Anything-V2.

    Args:
        embedding: (1, 1 + side * side, channels): the class token's, then the patches'.
        rows: patches from top to bottom.
        columns: patches from left to right.

    Returns:
        (1, 1 + rows * columns, channels); the embedding itself where the grid is its own.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    if rows == columns == side:
        return embedding
    grid = embedding[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    scale = ((rows + _GRID_OFFSET) / side, (columns + _GRID_OFFSET) / side)
    resampled = functional.interpolate(grid, scale_factor=scale, mode="bicubic")
    patches = resampled.flatten(2).transpose(1, 2).to(embedding.dtype)
    return torch.cat((embedding[:, :1], patches), dim=1)


class _EmbeddingCache:
    """Resampled position embeddings of the last few grids, for inference.

    An entry holds the tensor it was made from, so that its memory, and with it the address in
    the key, is not taken by another tensor. An optimiser step and load_state_dict raise the
    version of the tensor; a move to another device changes its address.
    """

    _SIZE = 4

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, ...], tuple[Tensor, Tensor]] = OrderedDict()

    def get(self, embedding: Tensor, rows: int, columns: int) -> Tensor:
        key = (rows, columns, embedding.data_ptr(), embedding._version)
        entry = self._entries.get(key)
        if entry is None:
            resampled = interpolate_position_embedding(embedding.detach(), rows, columns)
            entry = self._entries[key] = (embedding.detach(), resampled)
            while len(self._entries) > self._SIZE:
                self._entries.popitem(last=False)
        return entry[1]


class DinoV2(nn.Module):
    """Tokens of four blocks of a DINOv2 vision transformer.

    Its parameters are those of timm's model, under ``vit.``.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.vit: Any = timm.create_model(  # a VisionTransformer; its fields are all optional
            card.timm_id,
            pretrained=False,
            num_classes=0,
            img_size=card.trained_size,
            patch_size=card.multiple,
            dynamic_img_size=True,
            **dict(card.timm_overrides),
        )
        self.tapped_layers = card.tapped_layers
        self.patch_size = card.multiple
        self._cache = _EmbeddingCache()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, height, width) to four of (batch, width of a token, rows, columns).

        The maps are taken after the last norm; both sides are multiples of the patch size.
        """
        vit = self.vit
        rows, columns = image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size
        patches = vit.patch_embed(image).flatten(1, 2)
        class_token: Tensor = vit.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((class_token, patches), dim=1) + self._position_embedding(rows, columns)
        maps = []
        for index, block in enumerate(vit.blocks[: max(self.tapped_layers) + 1]):
            tokens = block(tokens)
            if index in self.tapped_layers:
                kept = vit.norm(tokens)[:, 1:]
                maps.append(kept.transpose(1, 2).unflatten(2, (rows, columns)))
        return maps

    def _position_embedding(self, rows: int, columns: int) -> Tensor:
        embedding: Tensor = self.vit.pos_embed
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return interpolate_position_embedding(embedding, rows, columns)
        return self._cache.get(embedding, rows, columns)
