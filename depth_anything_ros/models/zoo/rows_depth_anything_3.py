"""The rows of Depth Anything 3: single view, any view, and both nested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from depth_anything_ros.models.zoo.card import Four, Kind, ModelCard

FAMILY = "depth_anything_3"
_CANONICAL_FOCAL_PX = 300.0  # apply_metric_scaling in utils/alignment.py
_FREE, _NOT_COMMERCIAL = "Apache-2.0", "CC-BY-NC-4.0"


@dataclass(frozen=True)
class _Encoder:
    """An encoder with the decoder widths that belong to it."""

    label: str
    width: int
    timm_id: str
    features: int
    out_channels: Four
    overrides: tuple[tuple[str, Any], ...] = ()


# Sizes, layers and options: src/depth_anything_3/configs of ByteDance-Seed/Depth-Anything-3.
_SMALL = _Encoder("Small", 384, "vit_small_patch14_dinov2", 64, (48, 96, 192, 384))
_BASE = _Encoder("Base", 768, "vit_base_patch14_dinov2", 128, (96, 192, 384, 768))
_LARGE = _Encoder("Large", 1024, "vit_large_patch14_dinov2", 256, (256, 512, 1024, 1024))
_GIANT = _Encoder("Giant", 1536, "vit_giant_patch14_dinov2", 256, (256, 512, 1024, 1024))
_TEST = _Encoder(
    "Test",
    48,
    "vit_small_patch14_dinov2",
    16,
    (8, 12, 16, 24),
    (("embed_dim", 48), ("depth", 8), ("num_heads", 2)),
)


def _card(
    name: str,
    encoder: _Encoder,
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
        encoder=encoder.label,
        width=encoder.width,
        timm_id=encoder.timm_id,
        timm_overrides=encoder.overrides,
        tapped_layers=tapped_layers,
        features=encoder.features,
        out_channels=encoder.out_channels,
        output="exp",
        max_depth_m=None,
        canonical_focal_px=_CANONICAL_FOCAL_PX if kind == "metric" else None,
        licence=licence,
        hub_repo=f"depth-anything/{hub_repo}" if hub_repo else "",
        hub_file="model.safetensors" if hub_repo else "",
        any_view=dict(options)["network"] != "single_view",
        options=options,
        input_size=504,
        fit="longer",
        interpolation="area",
    )


def _single_view(
    name: str, encoder: _Encoder, kind: Kind, layers: Four, repo: str = ""
) -> ModelCard:
    return _card(name, encoder, kind, layers, (("network", "single_view"),), repo)


def _any_view(
    name: str, encoder: _Encoder, layers: Four, start: int, repo: str = "", licence: str = _FREE
) -> ModelCard:
    options = (("network", "any_view"), ("alternate_from", start))
    return _card(name, encoder, "affine_depth", layers, options, repo, licence)


def _nested(name: str, any_view: ModelCard, metric: ModelCard, hub_repo: str = "") -> ModelCard:
    return replace(
        any_view,
        name=name,
        kind="metric",
        canonical_focal_px=metric.canonical_focal_px,
        hub_repo=hub_repo,
        options=(
            ("network", "nested"),
            ("alternate_from", any_view.option("alternate_from")),
            ("metric", metric),
        ),
    )


def rows() -> list[ModelCard]:
    """Return the rows of this family, and three tiny ones of its kinds for tests.

    Licences are those of the project's README. Of Large, Giant and Nested the retrained ``-1.1``
    weights: the first ones (the same names without it) are deprecated there for a training bug;
    they load by their path or hub id.
    """
    ends: Four = (4, 11, 17, 23)
    metric = _single_view("da3_metric_large", _LARGE, "metric", ends, "DA3METRIC-LARGE")
    giant = _any_view("da3_giant", _GIANT, (19, 27, 33, 39), 13, "DA3-GIANT-1.1", _NOT_COMMERCIAL)
    test_any = _any_view("test_da3_any", _TEST, (3, 5, 6, 7), 2)
    test_metric = _single_view("test_da3_metric", _TEST, "metric", (1, 3, 5, 7))
    return [
        metric,
        _single_view("da3_mono_large", _LARGE, "affine_depth", ends, "DA3MONO-LARGE"),
        _any_view("da3_small", _SMALL, (5, 7, 9, 11), 4, "DA3-SMALL"),
        _any_view("da3_base", _BASE, (5, 7, 9, 11), 4, "DA3-BASE"),
        _any_view("da3_large", _LARGE, (11, 15, 19, 23), 8, "DA3-LARGE-1.1", _NOT_COMMERCIAL),
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
