"""Engines of this package beside the depth-estimation pipeline of ``transformers``.

What ``depth_anything benchmark model`` measures, and in turn with it the pipeline, with the same
random weights, image and size of the network's input. Both resize, normalise, run the network and
resize to the image; the pipeline makes a grey picture of it besides, as it always does.

    python benchmark/transformers_pipeline.py --output model.json
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import fromarray

from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.networks.build import randomise
from depth_anything_ros.models.networks.transformers_library import transformers_library
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.rows_depth_anything import FAMILY, FAMILY_V1
from depth_anything_ros.tools import model_benchmark
from depth_anything_ros.tools.model_benchmark import ModelBenchmark, ModelRow, ModelSetting
from depth_anything_ros.tools.parsers import add_model_benchmark

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
        picture = fromarray(rgb)

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


def measure(setting: ModelSetting) -> list[ModelRow]:
    """Load the pipeline and every engine, let them take turns, and return the lines."""
    card = find_card(setting.model)
    if not knows(card):
        raise SystemExit(f"transformers has no network of {card.name}")
    rival = random_rival(card)
    with tempfile.TemporaryDirectory() as folder:
        bench = ModelBenchmark(setting, str(rival.save(Path(folder))))
        for name, attention in ATTENTIONS.items():
            bench.add(name, partial(_load, rival, card, setting, bench.rgb, attention))
        bench.add_engines()
        return bench.rows(NAME)


def _load(
    rival: Rival, card: ModelCard, setting: ModelSetting, rgb: NDArray[np.uint8], attention: str
) -> tuple[Callable[[], NDArray[np.float32]], str]:
    run = rival.ready(setting.input_size or card.input_size, setting.device, rgb, attention)
    return run, f"{rival.description}, attention {attention}"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model_benchmark(parser)
    parser.set_defaults(models="depth_anything_v2_small,depth_anything_v2_base", choose=False)
    return model_benchmark.run(parser.parse_args(words), measure, NAME)


if __name__ == "__main__":
    raise SystemExit(main())
