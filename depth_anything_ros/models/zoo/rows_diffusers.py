"""Marigold (Ke et al. 2024 and 2025, arXiv:2312.02145 and arXiv:2505.09358) of ``diffusers``."""

from __future__ import annotations

from importlib.util import find_spec

from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.family import MODELS, Family

FAMILY = "marigold"
# Of a pipeline that diffusers saved: what says that it is one, its largest file, and the others.
INDEX_FILE = "model_index.json"
UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
_BESIDE = (
    INDEX_FILE,
    "unet/config.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
)


def marigold_card(
    name: str, hub_repo: str, licence: str, kind: Kind, steps: int, input_size: int
) -> ModelCard:
    """Return the card of a pipeline.

    Args:
        name: of the model.
        hub_repo: "" of a folder on this machine.
        licence: as of ModelCard.
        kind: affine_depth, or relative for disparity.
        steps: of the diffusion.
        input_size: in pixels, that the longer side becomes.
    """
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=kind,
        encoder="Stable Diffusion 2",
        licence=licence,
        hub_repo=hub_repo,
        hub_file=UNET_FILE,
        options=(("steps", steps), ("beside", _BESIDE)),
        input_size=input_size,
        fit="longer",
        multiple=1,
        interpolation="linear",
        antialias=True,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def families() -> list[Family]:
    """Return the family."""
    network = f"{MODELS}.networks.marigold"
    return [
        Family(
            FAMILY,
            "Marigold",
            f"{network}:Marigold",
            f"{MODELS}.weights.layouts:no_layout",
            "those of diffusers",
            prepare=f"{network}:prepare",
            finish=f"{MODELS}.networks.packaged:at_image",
            export="",
            float32=("vae.decoder.conv_out",),
            fill=f"{network}:fill",
        )
    ]


def rows() -> list[ModelCard]:
    """Return the row, where the library is installed; its licence is that of the hub's page."""
    if find_spec("diffusers") is None:
        return []
    repo, licence = "prs-eth/marigold-depth-v1-1", "OpenRAIL++-M"
    return [marigold_card("marigold_depth_v1_1", repo, licence, "affine_depth", 4, 768)]
