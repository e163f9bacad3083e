"""The rows of Depth Anything V2 and V1: encoders × what their decoders were trained to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from depth_anything_ros.models.zoo.card import Activation, Four, Kind, ModelCard
from depth_anything_ros.models.zoo.dinov2_encoders import (
    BASE,
    GIANT,
    LARGE,
    SMALL,
    Encoder,
    tiny_encoder,
)
from depth_anything_ros.models.zoo.family import MODELS, Family

FAMILY = "depth_anything_v2"
FAMILY_V1 = "depth_anything_v1"
_FREE, _NOT_COMMERCIAL = "Apache-2.0", "CC-BY-NC-4.0"


@dataclass(frozen=True)
class _Training:
    """What a decoder was trained to answer, and where such weights are published."""

    name: str  # between the family and the encoder in a zoo name
    repo: str  # between Depth-Anything-V2 and the encoder in a hub repository's name
    kind: Kind
    output: Activation
    max_depth_m: float | None


@dataclass(frozen=True)
class _Size:
    """An encoder, the layers that V2 taps, and the licence of the weights."""

    encoder: Encoder
    code: str  # in the official file names; "" where there are none
    tapped_layers: Four
    licence: str


# run.py and depth_anything_v2/dpt.py of DepthAnything/Depth-Anything-V2. Licences: its README. "We
# release Small under Apache-2.0, Base, Large and Giant under CC-BY-NC-4.0". Giant was announced,
# and has not been released.
_RELEASED = (
    _Size(SMALL, "vits", (2, 5, 8, 11), _FREE),
    _Size(BASE, "vitb", (2, 5, 8, 11), _NOT_COMMERCIAL),
    _Size(LARGE, "vitl", (4, 11, 17, 23), _NOT_COMMERCIAL),
)
_GIANT = _Size(GIANT, "vitg", (9, 19, 29, 39), _NOT_COMMERCIAL)
_TEST = _Size(tiny_encoder(4), "", (0, 1, 2, 3), _FREE)

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
_RELATIVE = _Training("", "", "relative", "relu", None)
_INDOOR = _Training("metric_indoor_", "Metric-Hypersim-", "metric", "sigmoid", 20.0)
_OUTDOOR = _Training("metric_outdoor_", "Metric-VKITTI-", "metric", "sigmoid", 80.0)


def _card(size: _Size, training: _Training, name: str = "") -> ModelCard:
    label = size.encoder.encoder
    repo = f"depth-anything/Depth-Anything-V2-{training.repo}{label}"
    file = f"{FAMILY}_{training.repo.lower().replace('-', '_')}{size.code}.pth" if size.code else ""
    return ModelCard(
        name=name or f"{FAMILY}_{training.name}{label.lower()}",
        family=FAMILY,
        kind=training.kind,
        tapped_layers=size.tapped_layers,
        output=training.output,
        max_depth_m=training.max_depth_m,
        licence=size.licence,
        hub_repo=repo if size in _RELEASED else "",
        hub_file=file,
        sha256=_SHA256.get(file, ""),
        **size.encoder.facts,
    )


def _v1(size: _Size) -> ModelCard:
    """Return the row of V1: V2's network, but for the layers that the decoder taps.

    The last four: ``get_intermediate_layers(x, 4)`` in depth_anything/dpt.py of
    LiheYoung/Depth-Anything. Names, shapes and preprocessing (run.py) are those of V2, and all
    sizes are under the repository's Apache-2.0.
    """
    last = size.tapped_layers[-1]
    return replace(
        _card(size, _RELATIVE, f"{FAMILY_V1}_{size.encoder.encoder.lower()}"),
        family=FAMILY_V1,
        tapped_layers=(last - 3, last - 2, last - 1, last),
        licence=_FREE,
        hub_repo=f"LiheYoung/depth_anything_{size.code}14",
        hub_file="pytorch_model.bin",
        sha256="",
    )


def families() -> list[Family]:
    """Return both families, of one network: only their rows tap other layers."""
    names = (
        "pretrained.* and depth_head.*, or backbone.* and neck.*, or encoder.vit.* and decoder.*"
    )
    network, layout = f"{MODELS}.networks.depth_anything_v2:DepthAnythingV2", "layouts:to_ours"
    return [
        Family(name, title, network, f"{MODELS}.weights.{layout}", f"{names}decoder.*")
        for name, title in ((FAMILY_V1, "Depth Anything V1"), (FAMILY, "Depth Anything V2"))
    ]


def rows() -> list[ModelCard]:
    """Return the rows of both families, and two tiny ones of V2's kind for tests."""
    return [
        *(_card(size, _RELATIVE) for size in (*_RELEASED, _GIANT)),
        *(_card(size, training) for training in (_INDOOR, _OUTDOOR) for size in _RELEASED),
        *(_v1(size) for size in _RELEASED),
        _card(_TEST, _RELATIVE, "test_relative"),
        _card(_TEST, _INDOOR, "test_metric"),
    ]
