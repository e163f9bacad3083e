"""Every depth model of the ``transformers`` library, through one adapter (the extra ``hf``).

``hf:<folder>`` and ``hf:<repo>`` name a model that transformers saved (see
``weights.transformers_files``). Its own image processor makes the network's input, and brings the
answer to the picture's size.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Kind
from depth_anything_ros.core.depth_prompt import dense_prompt
from depth_anything_ros.core.errors import ImageError, ModelError
from depth_anything_ros.models.networks.output import NetworkOutput, no_prompt
from depth_anything_ros.models.networks.preprocess import check_array, check_aspect
from depth_anything_ros.models.networks.transformers_library import (
    DEPTH_PRO,
    PROMPTED,
    load_processor,
    malformed,
    processor_sides,
    quiet,
    read_config,
    transformers_library,
)
from depth_anything_ros.models.zoo.card import ModelCard

_MIN_SIDE = 32  # of a picture: GLPN's encoder takes no less


# Pictures in


def _size_option(
    processor: Any,  # noqa: ANN401
    card: ModelCard,
    input_size: int,
) -> dict[str, dict[str, int]]:
    """Return the processor's option for another input size than the card's."""
    if input_size == card.input_size:
        return {}
    sides = processor_sides(processor)
    if sides is None or card.option("model_type") == DEPTH_PRO:
        raise ModelError(
            f"{card.name} ({card.encoder}) takes no other input size, got {input_size}; use 0",
            reason="input_size",
        )
    height, width = (round(side * input_size / min(sides)) for side in sides)
    return {"size": {"height": height, "width": width}}


def prepare(
    rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
) -> Tensor:
    """Make the network's input of a picture with the model's own image processor.

    ``input_size`` is the lesser of the height and width in the processor's ``size``, whose ratio
    stays. GLPN and Depth Pro take none but the card's.

    Raises:
        ImageError: ``shape``; ``size`` on a side below 32 pixels; ``aspect`` on a picture longer
            than 8 times its shorter side.
        ModelError: (``input_size``).
    """
    check_array(rgb)
    height, width = rgb.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise ImageError(
            f"picture is {width}x{height}; each side must be {_MIN_SIDE} pixels or more: enlarge "
            f"it",
            reason="size",
        )
    check_aspect(width, height)
    processor = load_processor(Path(card.option("folder")), card.option("model_type"))
    inputs = processor(
        images=np.require(rgb, requirements=["C", "W"]),
        input_data_format="channels_last",
        return_tensors="pt",
        **_size_option(processor, card, input_size),
    )
    image: Tensor = inputs["pixel_values"]
    return image.to(device, torch.float32)


def prompt_input(prompt_m: NDArray[np.float32], card: ModelCard, device: torch.device) -> Tensor:
    """Make the network's second input of a LiDAR's depth.

    Args:
        prompt_m: as of ``core.depth_prompt.dense_prompt``.
        card: of the model.
        device: of the network.

    Returns:
        float32 (1, 1, rows, columns), metres.

    Raises:
        ModelError: (``prompt``) where the model takes none.
        ImageError: as ``dense_prompt``.
    """
    if card.option("model_type") != PROMPTED:
        return no_prompt(prompt_m, card, device)
    return torch.from_numpy(dense_prompt(prompt_m))[None, None].to(device)


# The network


class TransformersDepth(nn.Module):
    """A depth model of transformers, made from the config.json in the card's folder.

    Raises:
        ModelError: (``config``) where transformers cannot make a model of it.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.kind = card.kind
        self.is_prompted = card.option("model_type") == PROMPTED
        folder = Path(card.option("folder"))
        config = read_config(folder)
        try:
            with torch.device("cpu"), quiet():
                model = transformers_library().AutoModelForDepthEstimation.from_config(config)
        except Exception as error:  # as of a config
            raise malformed(folder / "config.json", error) from error
        self.model: nn.Module = model.float()

    def to_empty(self, *, device: Any, recurse: bool = True) -> TransformersDepth:  # noqa: ANN401
        """Move to a device, and keep the values: some are in no checkpoint."""
        return self.to(device)

    @torch.no_grad()
    def reset_first_answer(self) -> None:
        """Set the last layers of Depth Pro such that random weights see depth, through 60 deg."""
        model: Any = self.model
        if getattr(model, "fov_model", None) is None:
            return
        model.fov_model.head.layers[-1].bias.fill_(60.0)
        *_, last = (layer for layer in model.head.modules() if isinstance(layer, nn.Conv2d))
        last.weight.abs_()

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> NetworkOutput:
        """Run on normalised pictures.

        Args:
            image: (batch, 3, h, w) of ``prepare``.
            prompt: (batch, 1, rows, columns) in metres, of a prompted model; see ``prompt_input``.

        Raises:
            ModelError: (``input_size``) on a size that the model does not take.
        """
        prompts = {"prompt_depth": prompt} if self.is_prompted else {}
        try:
            found = self.model(pixel_values=image, **prompts)
        except ValueError as error:
            raise ModelError(
                f"{type(self.model).__name__} refuses an input of "
                f"{image.shape[-1]}x{image.shape[-2]}: {error}; use input size 0",
                reason="input_size",
            ) from error
        answer = NetworkOutput.of(found.predicted_depth.float(), self.kind)
        angles = getattr(found, "field_of_view", None)
        if angles is None:
            return answer
        return answer._replace(field_of_view_deg=angles.float().flatten())


# Answers out


def at_image(
    answer: NetworkOutput,
    card: ModelCard,
    kind: Kind,
    camera: Camera | None,
    height: int,
    width: int,
    align_corners: bool = True,
) -> Tensor:
    """Bring the answer about one image to its size, by the rules of the model's processor.

    That undoes what it did to the image: ZoeDepth's padding (its average with the answer to the
    mirrored image is left out: twice the time), Depth Pro's field of view. The focal length fx
    of a camera stands in for the latter, as ``f_px`` does in depth_pro.py of apple/ml-depth-pro:
    depth = fx / (width * inverse depth), in pixels of the image.

    Arguments are those of ``output.at_image``; align_corners is left aside, for the processor says
    how. NaN is where metres would not be positive (the resize overshoots).
    """
    values = answer.parts[0]
    angle = answer.field_of_view_deg
    if camera is not None and card.option("model_type") == DEPTH_PRO:
        degrees = 2 * math.degrees(math.atan(camera.width / (2 * camera.K[0])))
        angle = values.new_tensor([degrees])
    processor = load_processor(Path(card.option("folder")), card.option("model_type"))
    outputs = SimpleNamespace(predicted_depth=values, field_of_view=angle)
    # The sizes are ZoeDepth's source_sizes and all others' target_sizes, in one place.
    found: Tensor = processor.post_process_depth_estimation(outputs, [(height, width)])[0][
        "predicted_depth"
    ]
    found = found.reshape(height, width).float()
    return found.masked_fill(found <= 0, torch.nan) if kind == "metric" else found
