"""DINOv2's encoders, and the widths of the decoders that Depth Anything puts on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from depth_anything_ros.models.zoo.card import Four


@dataclass(frozen=True)
class Encoder:
    """An encoder with the decoder widths that belong to it; fields as of ModelCard."""

    encoder: str
    width: int
    timm_id: str
    features: int
    out_channels: Four
    timm_overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """Return the fields for a ModelCard."""
        return dict(vars(self))


# run.py and depth_anything_v2/dpt.py of DepthAnything/Depth-Anything-V2, and
# src/depth_anything_3/configs of ByteDance-Seed/Depth-Anything-3, but for the decoder of Giant.
SMALL = Encoder("Small", 384, "vit_small_patch14_dinov2", 64, (48, 96, 192, 384))
BASE = Encoder("Base", 768, "vit_base_patch14_dinov2", 128, (96, 192, 384, 768))
LARGE = Encoder("Large", 1024, "vit_large_patch14_dinov2", 256, (256, 512, 1024, 1024))
GIANT = Encoder("Giant", 1536, "vit_giant_patch14_dinov2", 384, (1536, 1536, 1536, 1536))


def tiny_encoder(depth: int) -> Encoder:
    """Return one for tests, of so many blocks."""
    size = (("embed_dim", 48), ("depth", depth), ("num_heads", 2))
    return Encoder("Test", 48, SMALL.timm_id, 16, (8, 12, 16, 24), size)
