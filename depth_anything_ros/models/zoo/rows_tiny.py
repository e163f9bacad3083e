"""The rows of this package's own network, whose weights come with it."""

from __future__ import annotations

from dataclasses import replace

from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import MODELS, Family

# This package's own network: the encoder of EfficientNet-Lite2 (Tan and Le 2019, arXiv:1905.11946)
# with a light decoder and, over its coarsest map, a small transformer. RGB comes in -1 to 1, as its
# ImageNet weights were trained with.
_OWN = ModelCard(
    name="tiny",
    family="depth_and_sky",
    kind="metric",
    encoder="Tiny",
    timm_id="tf_efficientnet_lite2",
    tapped_layers=(1, 2, 4, 6),
    features=64,
    out_channels=(24, 48, 120, 352),
    options=(("finest", 32), ("context_width", 192), ("context_blocks", 3)),
    trained_size=256,
    output="exp",
    knows_sky=True,
    canonical_focal_px=300.0,
    licence="Apache-2.0",
    bundled="tiny.safetensors",
    input_size=256,
    fit="area",
    multiple=32,
    antialias=True,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def families() -> list[Family]:
    """Return the family of this package's own network."""
    return [
        Family(
            "depth_and_sky",
            "tiny",
            f"{MODELS}.networks.depth_and_sky:DepthAndSky",
            f"{MODELS}.weights.layouts:own_names",
            "encoder.lite.* and decoder.*",
            # In bfloat16 its answer moves by up to 5 % of its range on the gate's patterns, and
            # by 1.3 to 1.8 % with these in float32.
            float32=(
                "encoder.lite.conv_stem",
                "encoder.lite.blocks.0",
                "encoder.lite.blocks.1",
                "encoder.lite.blocks.2.0",
                "encoder.lite.blocks.2.1",
                "encoder.lite.blocks.3",
            ),
        )
    ]


def rows() -> list[ModelCard]:
    """Return what the one file of weights can answer."""
    relative = replace(
        _OWN, name="tiny_relative", kind="relative", output="relu", canonical_focal_px=None
    )
    return [_OWN, relative]
