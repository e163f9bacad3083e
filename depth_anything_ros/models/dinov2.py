"""The DINOv2 encoder: timm's vision transformer with DINOv2's own position embedding."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.card import ModelCard

import timm  # isort: skip

# Added to the grid before dividing, so that rounding never loses a patch
# (facebookresearch/dino#8). It shifts every sample a little, and the weights were tuned with it.
_GRID_OFFSET = 0.1
# Pixels a side of what one place on the map of a stem stands for (see ModelCard.stem).
STEM_STRIDE = 2


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


def sine_position_embedding(side: int, width: int) -> Tensor:
    """Return the fixed embedding that a network which is trained from scratch starts from.

    Half of the channels for the row and half for the column, each as sines and cosines of
    wavelengths up to 10,000 patches (Vaswani et al. 2017, 3.5; in two dimensions as in masked
    autoencoders, arXiv 2111.06377, A.1). It is smooth, so every grid of patches that it is
    resampled to says the same; from noise, each grid would have to be learnt by itself.

    Args:
        side: patches a side.
        width: channels; a multiple of 4.

    Returns:
        (1, 1 + side * side, width): 0 for the class token, then the patches'.
    """
    frequency = 10_000.0 ** -torch.linspace(0, 1, width // 4 + 1)[:-1]
    phase = torch.arange(side)[:, None] * frequency
    wave = torch.cat((phase.sin(), phase.cos()), 1)
    rows = wave[:, None].expand(side, side, -1)
    columns = wave[None].expand(side, side, -1)
    patches = torch.cat((rows, columns), -1).flatten(0, 1)
    return torch.cat((torch.zeros(1, width), patches))[None]


@torch.no_grad()
def imitate_trained_attention(vit: Any) -> None:  # noqa: ANN401 - timm's own type
    """Give attention the initial weights that trained vision transformers turn out to have.

    Queries and keys such that a token attends to itself and its like, values and projection such
    that their product is near -I: from there, a transformer learns from few pictures much as a
    convolutional network does. Trockman and Kolter 2023, "Mimetic Initialization of
    Self-Attention Layers", arXiv 2305.09828, section 4: W_q W_k^T = 0.7 Z + 0.7 I and
    W_v W_proj = 0.4 Z - 0.4 I with Z random. It wants `sine_position_embedding`.
    """
    for block in vit.blocks:
        attention = block.attn
        width, size = attention.proj.weight.shape[0], attention.head_dim
        queries, keys, values = attention.qkv.weight.view(3, width, width)
        for head in range(attention.num_heads):
            rows = slice(head * size, (head + 1) * size)
            left, right = _factors(0.7, 0.7, width)
            queries[rows], keys[rows] = left[:, :size].T, right[:size]
        left, right = _factors(0.4, -0.4, width)
        values.copy_(left.T)
        attention.proj.weight.copy_(right.T)
        attention.qkv.bias.zero_()
        attention.proj.bias.zero_()


def _factors(random: float, identity: float, width: int) -> tuple[Tensor, Tensor]:
    """Split random · Z + identity · I into two factors of one norm, largest parts first."""
    noise = torch.randn(width, width) / math.sqrt(width)
    left, strength, right = torch.linalg.svd(random * noise + identity * torch.eye(width))
    root = strength.sqrt()
    return left * root, root[:, None] * right


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
        stride = STEM_STRIDE if card.stem else 1
        self.vit: Any = timm.create_model(  # a VisionTransformer; its fields are all optional
            card.timm_id,
            pretrained=False,
            num_classes=0,
            img_size=card.trained_size // stride,
            patch_size=card.multiple // stride,
            in_chans=card.stem or 3,
            dynamic_img_size=True,
            **dict(card.timm_overrides),
        )
        self.tapped_layers = card.tapped_layers
        self.patch_size = card.multiple // stride
        self._cache = _EmbeddingCache()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode pictures.

        Args:
            image: (batch, 3, height, width), normalised, both sides multiples of the patch size; or
                the map of a stem, (batch, card.stem, height, width) at half of that size.

        Returns:
            Four feature maps of (batch, width of a token, rows, columns), after the last norm.
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
