"""Marigold through its own pipeline of the library ``diffusers`` (the extra ``diffusers``)."""

from __future__ import annotations

import importlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.errors import CheckpointError, ModelError, one_line, quoted
from depth_anything_ros.core.files import MOST_BYTES, read_file
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.device import to_device
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before diffusers
from depth_anything_ros.models.networks.preprocess import check_array, check_aspect, resized
from depth_anything_ros.models.networks.transformers_library import quiet, transformers_library
from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.rows_diffusers import INDEX_FILE, marigold_card

_log = logging.getLogger(__name__)

# Of the noise that each image begins with, always the same: so are the answers.
SEED = 0
_PIPELINES = ("MarigoldDepthPipeline", "MarigoldPipeline")  # the second is the first's old name
_KINDS: dict[str, Kind] = {"depth": "affine_depth", "disparity": "relative"}
# What pipelines say that were saved before they said it.
_USUAL_STEPS, _USUAL_SIZE = 10, 768


def card_of_folder(name: str, folder: Path, hub_repo: str, licence: str) -> ModelCard:
    """Make the card of a pipeline that diffusers saved, from its model_index.json.

    Raises:
        ModelError: ``not_a_depth_model``; ``config`` where it is malformed.
    """
    path = folder / INDEX_FILE
    try:
        written = dict(json.loads(read_file(path, "the description", ModelError, MOST_BYTES)))
        kind = _KINDS[written.get("prediction_type") or "depth"]
        steps = int(written.get("default_denoising_steps") or _USUAL_STEPS)
        size = int(written.get("default_processing_resolution") or _USUAL_SIZE)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ModelError(
            f"{path} does not describe a pipeline of Marigold: {one_line(error)}", reason="config"
        ) from error
    made = written.get("_class_name")
    if made not in _PIPELINES:
        raise ModelError(
            f"{path} is of {quoted(str(made))}, which is no depth model; known: {_PIPELINES[0]}",
            reason="not_a_depth_model",
        )
    card = marigold_card(name, hub_repo, licence, kind, steps, size)
    return replace(card, options=(*card.options, ("folder", str(folder))))


def prepare(
    rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
) -> Tensor:
    """Resize an image as the pipeline does, its longer side to input_size, and scale it to 0-1.

    Raises:
        ImageError: ``shape`` or ``aspect``.
    """
    check_array(rgb)
    height, width = rgb.shape[:2]
    check_aspect(width, height)
    rows, columns = (side * input_size // max(height, width) for side in (height, width))
    image = to_device(torch.from_numpy(rgb.copy()), device).permute(2, 0, 1)[None].float() / 255
    return resized(image, rows, columns, card.interpolation, card.antialias)


class Marigold(nn.Module):
    """The pipeline's networks, which ``fill`` brings; the empty prompt is encoded once."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.pipeline: Any = None

    def load(self, folder: Path) -> None:
        """Load a folder that diffusers saved; no code that comes with it is run."""
        library = _library()
        with quiet(), quiet(library):
            self.pipeline = library.MarigoldDepthPipeline.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
        self.pipeline.set_progress_bar_config(disable=True)
        tokens = self.pipeline.tokenizer("", padding="do_not_pad", return_tensors="pt").input_ids
        with torch.no_grad():
            self.pipeline.empty_text_embedding = self.pipeline.text_encoder.float()(tokens)[0]
        self.pipeline.text_encoder = None  # a third of the memory
        self.unet: nn.Module = self.pipeline.unet.float()
        self.vae: nn.Module = self.pipeline.vae.float()

    def forward(self, image: Tensor) -> Tensor:
        """Answer (batch, h, w) in 0-1 of images in 0-1, each by noise of its own, the same."""
        return torch.cat([self._answer(one) for one in image.clamp(0, 1).split(1)])

    def _answer(self, image: Tensor) -> Tensor:
        found = self.pipeline(
            image,
            num_inference_steps=self.card.option("steps"),
            processing_resolution=0,  # it is resized
            match_input_resolution=False,
            generator=torch.Generator().manual_seed(SEED),
            output_type="pt",
        )
        values: Tensor = found.prediction[:, 0].float()
        return values


def _library() -> Any:  # noqa: ANN401 - a module, of many versions
    transformers_library()
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise ModelError(
            f"Marigold needs the library diffusers ({error}); run: {how_to_install('diffusers')}",
            reason="no_diffusers",
        ) from error


def fill(network: nn.Module, file: Path, card: ModelCard) -> None:
    """Load the pipeline whose UNet's file of weights is given.

    Raises:
        ModelError: (``no_diffusers``) where the library is not installed.
        CheckpointError: (``damaged``) where diffusers cannot load it.
    """
    assert isinstance(network, Marigold)
    folder = file.parents[1]
    try:
        network.load(folder)
    except ModelError:
        raise
    except Exception as error:  # of what files hold, diffusers raises errors of any class
        raise CheckpointError(
            f"diffusers cannot load {card.name} from {folder} ({type(error).__name__}: "
            f"{one_line(error, 300)}); give a folder that save_pretrained of its pipeline wrote",
            reason="damaged",
        ) from error
    _log.info("loaded %s from %s", card.name, folder)
