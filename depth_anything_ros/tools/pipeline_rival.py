"""The depth-estimation pipeline of ``transformers``: what others would use instead."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.networks.build import randomise
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.rows_depth_anything import FAMILY, FAMILY_V1
from depth_anything_ros.models.zoo.transformers_cards import transformers_library

NAME = "transformers pipeline"
# How transformers computes attention by itself, and layer by layer, as the models' own code does.
ATTENTIONS = {NAME: "sdpa", f"{NAME}, eager attention": "eager"}
_HEAD_CHANNELS = 64
# Blocks of DINOv2's encoder, by channels.
_DEPTHS = {384: 12, 768: 12, 1024: 24}
# Of the layers' gains, as in `networks.randomise`, which knows them by another name.
_LAYER_SCALE = 0.1


def knows(card: ModelCard) -> bool:
    """Say whether transformers has the network of a model."""
    return card.family in (FAMILY, FAMILY_V1) and card.width in _DEPTHS


def why_not(card: ModelCard) -> str:
    """Say why a model has no rival."""
    if not knows(card):
        return "transformers has no such network"
    return f"transformers is not installed: {how_to_install('hf')}"


class Rival:
    """A network of transformers with random weights, and its pipeline.

    Attributes:
        description: what it is.
    """

    def __init__(self, network: Any, card: ModelCard) -> None:  # noqa: ANN401 - of transformers
        self._network, self._card = network, card
        version = transformers_library().__version__
        self.description = f"transformers {version}, float32, not compiled, random weights"

    def save(self, folder: Path) -> Path:
        """Write the weights; return the file."""
        self._network.save_pretrained(folder)
        return folder / "model.safetensors"

    def ready(
        self, input_size: int, device: str, rgb: NDArray[np.uint8], attention: str
    ) -> Callable[[], NDArray[np.float32]]:
        """Return what estimates the picture, as the pipeline's users call it.

        Args:
            input_size: of the network, in pixels.
            device: as of DepthEstimator.
            rgb: uint8 (height, width, 3).
            attention: of ``ATTENTIONS``.
        """
        card, network = self._card, self._network
        processor = transformers_library().DPTImageProcessor(
            size={"height": input_size, "width": input_size},
            keep_aspect_ratio=True,
            ensure_multiple_of=card.multiple,
            resample=3,  # bicubic, of PIL, as the preprocessor_config.json of -hf repos
            image_mean=list(card.mean),
            image_std=list(card.std),
        )
        pipeline = transformers_library().pipeline(
            "depth-estimation",
            model=network,
            image_processor=processor,
            device=choose_device(device),
        )
        picture = importlib.import_module("PIL.Image").fromarray(rgb)  # transformers has it

        def estimate() -> NDArray[np.float32]:
            network.backbone.set_attn_implementation(attention)  # one network serves both
            values: NDArray[np.float32] = pipeline(picture)["predicted_depth"].cpu().numpy()
            return values

        return estimate


def random_rival(card: ModelCard) -> Rival:
    """Build the network of transformers that a card describes, with random weights.

    Raises:
        ModelError: (``no_transformers``) where it is not installed.
    """
    library = transformers_library()
    backbone = library.Dinov2Config(
        image_size=card.trained_size,
        patch_size=card.multiple,
        hidden_size=card.width,
        num_hidden_layers=_DEPTHS[card.width],
        num_attention_heads=card.width // _HEAD_CHANNELS,
        out_indices=[layer + 1 for layer in card.tapped_layers],  # 0 is the patch embedding
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = library.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=card.width,
        neck_hidden_sizes=list(card.out_channels),
        fusion_hidden_size=card.features,
        depth_estimation_type=card.kind,
        max_depth=int(card.max_depth_m or 1),
    )
    network = library.DepthAnythingForDepthEstimation(config).eval()
    randomise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.endswith("lambda1"):
                values.fill_(_LAYER_SCALE)
    return Rival(network, card)
