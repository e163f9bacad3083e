"""The rows of Depth Anything V2 and V1: encoders × what their decoders were trained to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from depth_anything_ros.models.zoo.card import Four, Kind, ModelCard, Output

FAMILY = "depth_anything_v2"
FAMILY_V1 = "depth_anything_v1"


@dataclass(frozen=True)
class _Encoder:
    """An encoder with the decoder widths that belong to it, and the licence of its weights."""

    label: str
    code: str  # in the official file names
    width: int
    timm_id: str
    tapped_layers: Four
    features: int
    out_channels: Four
    licence: str
    overrides: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class _Output:
    """What the decoder was trained to answer, and where such weights are published."""

    name: str  # between the family and the encoder in a zoo name
    repo: str  # between Depth-Anything-V2 and the encoder in a hub repository's name
    kind: Kind
    output: Output
    max_depth_m: float | None


# Widths and tapped layers: run.py and depth_anything_v2/dpt.py of DepthAnything/Depth-Anything-V2.
# Licences: its README. "We release Small under Apache-2.0, Base, Large and Giant under
# CC-BY-NC-4.0". Giant was announced, and has not been released.
_SMALL, _BASE, _LARGE, _GIANT = _RELEASED = (
    _Encoder(
        "Small",
        "vits",
        384,
        "vit_small_patch14_dinov2",
        (2, 5, 8, 11),
        64,
        (48, 96, 192, 384),
        "Apache-2.0",
    ),
    _Encoder(
        "Base",
        "vitb",
        768,
        "vit_base_patch14_dinov2",
        (2, 5, 8, 11),
        128,
        (96, 192, 384, 768),
        "CC-BY-NC-4.0",
    ),
    _Encoder(
        "Large",
        "vitl",
        1024,
        "vit_large_patch14_dinov2",
        (4, 11, 17, 23),
        256,
        (256, 512, 1024, 1024),
        "CC-BY-NC-4.0",
    ),
    _Encoder(
        "Giant",
        "vitg",
        1536,
        "vit_giant_patch14_dinov2",
        (9, 19, 29, 39),
        384,
        (1536, 1536, 1536, 1536),
        "CC-BY-NC-4.0",
    ),
)
_TEST = _Encoder(
    "Test",
    "",
    48,
    "vit_small_patch14_dinov2",
    (0, 1, 2, 3),
    16,
    (8, 12, 16, 24),
    "Apache-2.0",
    (("embed_dim", 48), ("depth", 4), ("num_heads", 2)),
)

# sha256 of the official files. No machine of this project has downloaded them: each hash stands,
# the same, in at least two public code bases that are independent of each other.
_SHA256 = {
    "depth_anything_v2_vits.pth": (
        "715fade13be8f229f8a70cc02066f656f2423a59effd0579197bbf57860e1378"
    ),
    "depth_anything_v2_vitb.pth": (
        "0d2b7002e62d39d655571c371333340bd88f67ab95050c03591555aa05645328"
    ),
    "depth_anything_v2_vitl.pth": (
        "a7ea19fa0ed99244e67b624c72b8580b7e9553043245905be58796a608eb9345"
    ),
    "depth_anything_v2_metric_hypersim_vits.pth": (
        "b782898d8a3e8be1f639de33837ed85e9b4b73e40f8f5e5cd99067588d722545"
    ),
    "depth_anything_v2_metric_hypersim_vitb.pth": (
        "9dc9e274c5eff55c6daf27b660c0ced0eca4e8593a6da90cdcb04d2b4d3f3fa2"
    ),
    "depth_anything_v2_metric_hypersim_vitl.pth": (
        "6f82ff2bc543ac02ddff4aa31fa363676a8305dd3ccf04e80e2af115a044cb6d"
    ),
    "depth_anything_v2_metric_vkitti_vits.pth": (
        "9203e538d35255c90dda4b7fedb47ff33fe725497bcca3b1e53b3a65ee63f0cb"
    ),
    "depth_anything_v2_metric_vkitti_vitb.pth": (
        "4dad67a7cc10b462bca48e6b8569c762b8eb3c1adada170a3851a6d3ba37bb3e"
    ),
    "depth_anything_v2_metric_vkitti_vitl.pth": (
        "239b1054a369e66da2576e9a118d6d7c12d90dc8ebe609579a9a09cd8e05fe38"
    ),
}

# The same for files of V1's first release, in the folder checkpoints of the hub space
# LiheYoung/Depth-Anything: by it such a file is recognised whatever it is called. That of Small
# stands in one public code base only, and none is known of the files in the rows' hub_repo.
V1_FILES = {
    "64ae214ae4e27424b644c49464c0aa243016f6f753d95097c8eb9ad0b9cb2d9b": "depth_anything_v1_base",
    "6c6a383e33e51c5fdfbf31e7ebcda943973a9e6a1cbef1564afe58d7f2e8fe63": "depth_anything_v1_large",
}

# Maximum depths: metric_depth/README.md of the same repository.
_RELATIVE = _Output("", "", "relative", "relu", None)
_INDOOR = _Output("metric_indoor_", "Metric-Hypersim-", "metric", "sigmoid", 20.0)
_OUTDOOR = _Output("metric_outdoor_", "Metric-VKITTI-", "metric", "sigmoid", 80.0)


def _card(encoder: _Encoder, output: _Output, name: str) -> ModelCard:
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=output.kind,
        encoder=encoder.label,
        width=encoder.width,
        timm_id=encoder.timm_id,
        timm_overrides=encoder.overrides,
        tapped_layers=encoder.tapped_layers,
        features=encoder.features,
        out_channels=encoder.out_channels,
        output=output.output,
        max_depth_m=output.max_depth_m,
        licence=encoder.licence,
        hub_repo=_hub_repo(encoder, output),
        hub_file=_hub_file(encoder, output),
        sha256=_SHA256.get(_hub_file(encoder, output), ""),
    )


def _hub_repo(encoder: _Encoder, output: _Output) -> str:
    if encoder in (_GIANT, _TEST):
        return ""
    return f"depth-anything/Depth-Anything-V2-{output.repo}{encoder.label}"


def _hub_file(encoder: _Encoder, output: _Output) -> str:
    if not encoder.code:
        return ""
    return f"{FAMILY}_{output.repo.lower().replace('-', '_')}{encoder.code}.pth"


def _v1(encoder: _Encoder) -> ModelCard:
    """Return the row of V1: V2's network, but for the layers that the decoder taps.

    The last four: ``get_intermediate_layers(x, 4)`` in depth_anything/dpt.py of
    LiheYoung/Depth-Anything. Names, shapes and preprocessing (run.py) are those of V2, and all
    sizes are under the repository's Apache-2.0.
    """
    last = encoder.tapped_layers[-1]
    return replace(
        _card(encoder, _RELATIVE, f"{FAMILY_V1}_{encoder.label.lower()}"),
        family=FAMILY_V1,
        tapped_layers=(last - 3, last - 2, last - 1, last),
        licence="Apache-2.0",
        hub_repo=f"LiheYoung/depth_anything_{encoder.code}14",
        hub_file="pytorch_model.bin",
        sha256="",
    )


def rows() -> list[ModelCard]:
    """Return the rows of both families, and two tiny ones of V2's kind for tests."""
    found = [_card(e, _RELATIVE, f"{FAMILY}_{e.label.lower()}") for e in _RELEASED]
    for output in (_INDOOR, _OUTDOOR):
        for e in (_SMALL, _BASE, _LARGE):
            found.append(_card(e, output, f"{FAMILY}_{output.name}{e.label.lower()}"))
    found += [_v1(e) for e in (_SMALL, _BASE, _LARGE)]
    found.append(_card(_TEST, _RELATIVE, "test_relative"))
    found.append(_card(_TEST, _INDOOR, "test_metric"))
    return found
