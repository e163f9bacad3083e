"""The rows of Depth Anything 3: single view, any view, and both nested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from depth_anything_ros.models.zoo.card import Four, Kind, ModelCard
from depth_anything_ros.models.zoo.dinov2_encoders import (
    BASE,
    GIANT,
    LARGE,
    SMALL,
    Encoder,
    tiny_encoder,
)
from depth_anything_ros.models.zoo.family import MODELS, Family

FAMILY = "depth_anything_3"
_CANONICAL_FOCAL_PX = 300.0  # apply_metric_scaling in utils/alignment.py
_FREE, _NOT_COMMERCIAL = "Apache-2.0", "CC-BY-NC-4.0"
# Layers and options: src/depth_anything_3/configs of ByteDance-Seed/Depth-Anything-3.
_GIANT = replace(GIANT, features=256, out_channels=(256, 512, 1024, 1024))
_TEST = tiny_encoder(8)


def _card(
    name: str,
    encoder: Encoder,
    kind: Kind,
    tapped_layers: Four,
    options: tuple[tuple[str, Any], ...],
    hub_repo: str = "",
    licence: str = _FREE,
) -> ModelCard:
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=kind,
        tapped_layers=tapped_layers,
        output="exp",
        canonical_focal_px=_CANONICAL_FOCAL_PX if kind == "metric" else None,
        licence=licence,
        hub_repo=f"depth-anything/{hub_repo}" if hub_repo else "",
        hub_file="model.safetensors" if hub_repo else "",
        any_view=dict(options)["network"] != "single_view",
        knows_sky=dict(options)["network"] != "any_view",
        options=options,
        input_size=504,
        fit="longer",
        interpolation="area",
        **encoder.facts,
    )


def _single_view(
    name: str, encoder: Encoder, kind: Kind, layers: Four, repo: str = ""
) -> ModelCard:
    return _card(name, encoder, kind, layers, (("network", "single_view"),), repo)


def _any_view(
    name: str, encoder: Encoder, layers: Four, start: int, repo: str = "", licence: str = _FREE
) -> ModelCard:
    options = (("network", "any_view"), ("alternate_from", start))
    return _card(name, encoder, "affine_depth", layers, options, repo, licence)


def _nested(name: str, any_view: ModelCard, metric: ModelCard, hub_repo: str = "") -> ModelCard:
    return replace(
        any_view,
        name=name,
        kind="metric",
        knows_sky=True,
        canonical_focal_px=metric.canonical_focal_px,
        hub_repo=hub_repo,
        options=(
            ("network", "nested"),
            ("alternate_from", any_view.option("alternate_from")),
            ("metric", metric),
        ),
    )


def families() -> list[Family]:
    """Return the family."""
    return [
        Family(
            FAMILY,
            "Depth Anything 3",
            f"{MODELS}.networks.depth_anything_3:network",
            f"{MODELS}.weights.da3_layout:to_ours",
            "model.backbone.* and model.head.*, or encoder.vit.* and decoder.*",
            prepare=f"{MODELS}.networks.depth_anything_3:prepare",
            export=f"{MODELS}.networks.depth_anything_3:exportable",
        )
    ]


def rows() -> list[ModelCard]:
    """Return the rows of this family, and three tiny ones of its kinds for tests.

    Licences are those of the project's README. Of Large, Giant and Nested the retrained ``-1.1``
    weights: the first ones (the same names without it) are deprecated there for a training bug;
    they load by their path or hub id.
    """
    ends: Four = (4, 11, 17, 23)
    metric = _single_view("da3_metric_large", LARGE, "metric", ends, "DA3METRIC-LARGE")
    giant = _any_view("da3_giant", _GIANT, (19, 27, 33, 39), 13, "DA3-GIANT-1.1", _NOT_COMMERCIAL)
    test_any = _any_view("test_da3_any", _TEST, (3, 5, 6, 7), 2)
    test_metric = _single_view("test_da3_metric", _TEST, "metric", (1, 3, 5, 7))
    return [
        metric,
        _single_view("da3_mono_large", LARGE, "affine_depth", ends, "DA3MONO-LARGE"),
        _any_view("da3_small", SMALL, (5, 7, 9, 11), 4, "DA3-SMALL"),
        _any_view("da3_base", BASE, (5, 7, 9, 11), 4, "DA3-BASE"),
        _any_view("da3_large", LARGE, (11, 15, 19, 23), 8, "DA3-LARGE-1.1", _NOT_COMMERCIAL),
        giant,
        _nested(
            "da3_nested_giant_large",
            giant,
            metric,
            "depth-anything/DA3NESTED-GIANT-LARGE-1.1",
        ),
        test_any,
        test_metric,
        _nested("test_da3_nested", test_any, test_metric),
    ]
