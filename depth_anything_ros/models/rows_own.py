"""The rows of this package's own network, whose weights come with it."""

from __future__ import annotations

from dataclasses import replace

from depth_anything_ros.models.card import ModelCard

# This package's own network. Its encoder has the width, depth and heads of DeiT-Tiny (Touvron et
# al. 2021, arXiv:2012.12877) and the patches of DINOv2. Layer scales begin at 1: DINOv2's 1e-5 is
# for deeper encoders that train for longer.
_OWN = ModelCard(
    name="tiny",
    family="depth_and_sky",
    kind="metric",
    encoder="Tiny",
    width=192,
    timm_id="vit_small_patch14_dinov2",
    timm_overrides=(("embed_dim", 192), ("depth", 12), ("num_heads", 3), ("init_values", 1.0)),
    tapped_layers=(2, 5, 8, 11),
    stem=24,
    features=32,
    out_channels=(24, 48, 96, 128),
    trained_size=224,
    output="exp",
    max_depth_m=None,
    canonical_focal_px=300.0,
    licence="Apache-2.0",
    bundled="tiny.safetensors",
    input_size=140,
    antialias=True,
)


def rows() -> list[ModelCard]:
    """Return what the one file of weights can answer."""
    relative = replace(
        _OWN, name="tiny_relative", kind="relative", output="relu", canonical_focal_px=None
    )
    return [_OWN, relative]
