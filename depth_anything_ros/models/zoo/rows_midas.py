"""The rows of MiDaS v2.1, v3.0 and v3.1: relative models that many robots know (MIT)."""

from __future__ import annotations

from typing import Any

from depth_anything_ros.models.zoo.card import Four, ModelCard
from depth_anything_ros.models.zoo.family import MODELS, Family

FAMILY = "midas"

# The licence of isl-org/MiDaS, which covers the weights that it releases.
_LICENCE = "MIT"
_RELEASES = "https://github.com/isl-org/MiDaS/releases/download"
_HALF = (0.5, 0.5, 0.5)
_DPT_HEAD = (256, 32)
_NO_TOKEN = 0  # the width where there is no class token to recognise a checkpoint's size by


def _options(
    encoder: str, release: str, head: tuple[int, int] = _DPT_HEAD, **others: object
) -> tuple[tuple[str, Any], ...]:
    """Return what ``midas`` names, with DPT's values where nothing else is said."""
    options = {"encoder": encoder, "head": head, "expand": False, "aligned": True, "patch": 16}
    return (*{**options, **others}.items(), ("release", f"{_RELEASES}/{release}"))


def _dpt(
    name: str,
    encoder: str,
    width: int,
    timm_id: str,
    tapped_layers: Four,
    out_channels: Four,
    size: int,
    options: tuple[tuple[str, Any], ...],
    hub_repo: str = "",
    square: bool = False,
) -> ModelCard:
    """Return the row of a DPT, whose pictures are resized ``minimal``ly or to a square."""
    return ModelCard(
        name=name,
        family=FAMILY,
        kind="relative",
        encoder=encoder,
        width=width,
        timm_id=timm_id,
        tapped_layers=tapped_layers,
        features=256,
        out_channels=out_channels,
        licence=_LICENCE,
        hub_repo=hub_repo,
        hub_file="model.safetensors" if hub_repo else "",
        trained_size=size,
        options=options,
        input_size=size,
        fit="square" if square else "nearest",
        multiple=32,
        mean=_HALF,
        std=_HALF,
    )


# The publisher states the first eight digits of these, in the names that the files of v2.1 and v3.0
# had at first (hubconf.py, with check_hash); all of them were written down by others who fetched
# the files under today's names. Of the other releases nobody states one.
_LARGE_SHA256 = "2f21e586477d90cb9624c7eef5df7891edca49a1c4795ee2cb631fd4daa6ca69"
_SMALL_SHA256 = "70d6b9c891758c67f974a6097fb0c608c7ee67fb81ac3e5588847d5596d56fca"
# Encoders, taps and channels: midas/dpt_depth.py and midas/blocks.py. Sizes, resizing and
# statistics: midas/model_loader.py. Swin takes the last block of each stage; LeViT's taps, which
# are counted there in one list of attentions and perceptrons, are blocks of its three stages, and
# there is no fourth map (-1 and 0).
_V30 = (
    _dpt(
        "dpt_large_384",
        "Large",
        1024,
        "vit_large_patch16_384",
        (5, 11, 17, 23),
        (256, 512, 1024, 1024),
        384,
        _options("vit", "v3/dpt_large_384.pt", release_sha256=_LARGE_SHA256),
        "Intel/dpt-large",
    ),
    _dpt(
        "dpt_hybrid_384",
        "Base",
        768,
        "vit_base_r50_s16_384",
        (0, 1, 8, 11),
        (256, 512, 768, 768),
        384,
        _options("hybrid", "v3/dpt_hybrid_384.pt"),
        "Intel/dpt-hybrid-midas",
    ),
)
_V31 = (
    *(
        _dpt(
            f"dpt_beit_large_{size}",
            "Large",
            1024,
            f"beit_large_patch16_{size}",
            (5, 11, 17, 23),
            (256, 512, 1024, 1024),
            size,
            _options("beit", f"v3_1/dpt_beit_large_{size}.pt"),
            f"Intel/dpt-beit-large-{size}",
        )
        for size in (512, 384)
    ),
    _dpt(
        "dpt_swin2_large_384",
        "Large",
        _NO_TOKEN,
        "swinv2_large_window12to24_192to384",
        (1, 1, 17, 1),
        (192, 384, 768, 1536),
        384,
        _options("swin", "v3_1/dpt_swin2_large_384.pt", patch=4),
        "Intel/dpt-swinv2-large-384",
        square=True,
    ),
    _dpt(
        "dpt_swin2_tiny_256",
        "Tiny",
        _NO_TOKEN,
        "swinv2_tiny_window16_256",
        (1, 1, 5, 1),
        (96, 192, 384, 768),
        256,
        _options("swin", "v3_1/dpt_swin2_tiny_256.pt", patch=4),
        "Intel/dpt-swinv2-tiny-256",
        square=True,
    ),
    _dpt(
        "dpt_levit_224",
        "LeViT",
        _NO_TOKEN,
        "levit_384",
        (1, 0, 0, -1),
        (384, 512, 768, 0),
        224,
        _options("levit", "v3_1/dpt_levit_224.pt", head=(64, 8)),
        square=True,
    ),
)
# ``small_transform`` in hubconf.py, and MidasNet_small in midas/midas_net_custom.py.
_V21_SMALL = ModelCard(
    name="midas_v21_small",
    family=FAMILY,
    kind="relative",
    encoder="Small",
    timm_id="tf_efficientnet_lite3",
    tapped_layers=(1, 2, 4, 6),
    features=64,
    out_channels=(32, 48, 136, 384),
    licence=_LICENCE,
    trained_size=256,
    options=_options(
        "efficientnet",
        "v2_1/midas_v21_small_256.pt",
        release_sha256=_SMALL_SHA256,
        head=(64, 32),
        expand=True,
        aligned=False,
        patch=32,
    ),
    input_size=256,
    fit="longer",
    multiple=32,
)


def families() -> list[Family]:
    """Return the family."""
    return [
        Family(
            FAMILY,
            "MiDaS",
            f"{MODELS}.networks.midas:Midas",
            f"{MODELS}.weights.midas_layout:to_ours",
            "pretrained.* and scratch.*, or neck.* and head.head.*",
            export=f"{MODELS}.networks.midas:exportable",
        )
    ]


def rows() -> list[ModelCard]:
    """Return the rows of this family, from the oldest."""
    return [_V21_SMALL, *_V30, *_V31]
