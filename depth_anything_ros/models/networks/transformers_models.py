"""Every depth model of the ``transformers`` library, through one adapter (the extra ``hf``).

``hf:<folder>`` and ``hf:<repo>`` name a model that transformers saved (see transformers_cards.py).
Its own image processor makes the network's input, and brings the answer to the picture's size.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth_prompt import dense_prompt
from depth_anything_ros.core.errors import CheckpointError, ImageError, ModelError
from depth_anything_ros.models.networks.preprocess import MAX_ASPECT
from depth_anything_ros.models.weights.identify import few
from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.transformers_cards import (
    CONFIG_FILE,
    DEPTH_PRO,
    FAMILY,
    PREFIX,
    PROMPTED,
    load_processor,
    malformed,
    processor_sides,
    read_config,
    read_facts,
    transformers_library,
)

_log = logging.getLogger(__name__)

_MIN_SIDE = 32  # of a picture: GLPN's encoder takes no less
# The first fusion block has nothing to add, so this half of it is never run, and some official
# files (Intel/dpt-large) lack it.
_NEVER_RUN = re.compile(r"\bfusion_stage\.layers\.0\.residual_layer1\.|\bmask_token$")


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

    Args:
        rgb: uint8 (height, width, 3).
        card: of the model.
        input_size: the lesser of the height and width in the processor's ``size``, whose ratio
            stays. GLPN and Depth Pro take none but the card's.
        device: of the network.

    Returns:
        float32 (1, 3, h, w) on the device.

    Raises:
        ImageError: ``shape``; ``size`` on a side below 32 pixels; ``aspect`` on a picture longer
            than 8 times its shorter side.
        ModelError: (``input_size``).
    """
    _check_picture(rgb)
    processor = load_processor(Path(card.option("folder")), card.option("model_type"))
    inputs = processor(
        images=np.require(rgb, requirements=["C", "W"]),
        input_data_format="channels_last",
        return_tensors="pt",
        **_size_option(processor, card, input_size),
    )
    image: Tensor = inputs["pixel_values"]
    return image.to(device, torch.float32)


def _check_picture(rgb: NDArray[np.uint8]) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(
            f"picture must be a uint8 array of shape (height, width, 3), "
            f"got {rgb.dtype} of shape {rgb.shape}",
            reason="shape",
        )
    shorter, longer = sorted(rgb.shape[:2])
    if shorter < _MIN_SIDE:
        raise ImageError(
            f"picture is {rgb.shape[1]}x{rgb.shape[0]}; each side must be {_MIN_SIDE} pixels or "
            f"more: enlarge it",
            reason="size",
        )
    if longer > MAX_ASPECT * shorter:
        raise ImageError(
            f"picture is {rgb.shape[1]}x{rgb.shape[0]}; the longer side may be at most "
            f"{MAX_ASPECT:g} times the shorter: crop it, or pad it",
            reason="aspect",
        )


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
    if card.family != FAMILY or card.option("model_type") != PROMPTED:
        raise ModelError(
            f"{card.name} takes no prompt of depth; leave prompt_m out, or use a model of "
            f"Prompt Depth Anything, as {PREFIX}depth-anything/prompt-depth-anything-vits-hf",
            reason="prompt",
        )
    return torch.from_numpy(dense_prompt(prompt_m))[None, None].to(device)


# The network


class ModelAnswer(NamedTuple):
    """What a model of transformers answers, before its processor brings it to the picture's size.

    Attributes:
        values: float32 (batch, h, w), as the library's ``predicted_depth``.
        field_of_view_deg: float32 (batch,), the horizontal one that Depth Pro estimates; (batch,
            0) from all others.
    """

    values: Tensor
    field_of_view_deg: Tensor


class TransformersDepth(nn.Module):
    """A depth model of transformers, made from the config.json in the card's folder.

    Raises:
        ModelError: (``config``) where transformers cannot make a model of it.
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.is_prompted = card.option("model_type") == PROMPTED
        folder = Path(card.option("folder"))
        config = read_config(folder)
        try:
            with torch.device("cpu"), _quiet():
                model = transformers_library().AutoModelForDepthEstimation.from_config(config)
        except Exception as error:  # as of a config
            raise malformed(folder / CONFIG_FILE, error) from error
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

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> ModelAnswer:
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
        values = found.predicted_depth.float()
        angles = getattr(found, "field_of_view", None)
        if angles is None:
            return ModelAnswer(values, values.new_empty(len(values), 0))
        return ModelAnswer(values, angles.float().reshape(len(values)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and reports off the console: what matters is raised here."""
    logs = transformers_library().utils.logging
    verbosity, has_bar = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity(logging.CRITICAL)
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if has_bar:
            logs.enable_progress_bar()


def no_layout(state: Mapping[str, Tensor]) -> None:
    """Answer None: which names a file has is known to transformers, see ``fill``."""


def fill(network: nn.Module, state: Mapping[str, Tensor], file: Path, card: ModelCard) -> None:
    """Put a published state dict into a network, under the names of any version of transformers.

    The network gives up its memory first, so it is empty where this raises.

    Args:
        network: of the card.
        state: name to tensor.
        file: where they are from, for messages.
        card: of the model.

    Raises:
        CheckpointError: ``other_model`` where the config.json beside the file says so,
            ``missing_keys`` or ``wrong_shapes``.
    """
    assert isinstance(network, TransformersDepth)
    _check_neighbour(file, card)
    kind, config = type(network.model), network.model.config
    network.model.to("meta")
    with _quiet():
        model, found = kind.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict=dict(state),
            torch_dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = [name for name in sorted(found["missing_keys"]) if not _NEVER_RUN.search(name)]
    for reason, what, names in (
        ("wrong_shapes", "other shapes of", sorted(map(str, found["mismatched_keys"]))),
        ("missing_keys", "none of", missing),
    ):
        if names:
            raise CheckpointError(
                f"{file} does not fit {card.name} ({kind.__name__}): it has {what} {len(names)} "
                f"of {len(model.state_dict())} tensors: {few(names)}",
                reason=reason,
            )
    if found["unexpected_keys"]:
        names = sorted(found["unexpected_keys"])
        _log.info("%s holds %d tensors that are not used, as %s", file, len(names), few(names[:1]))
    network.model = model.float()
    _log.info("loaded %d tensors of %s from %s", len(state), card.name, file)


def _check_neighbour(file: Path, card: ModelCard) -> None:
    """Refuse weights with a config.json beside them of another type, kind or maximum depth."""
    folder = file.parent
    if not (folder / CONFIG_FILE).is_file() or folder.resolve() == Path(card.option("folder")):
        return
    wanted = (card.option("model_type"), card.kind, card.max_depth_m)
    said = read_facts(folder)
    if said != wanted:
        raise CheckpointError(
            f"{file} is of {_words(*said)} by its {CONFIG_FILE}, and {card.name} is of "
            f"{_words(*wanted)}; choose the model that the weights belong to",
            reason="other_model",
        )


def _words(model_type: str, kind: str, max_depth_m: float | None) -> str:
    limit = f" up to {max_depth_m:g} m" if max_depth_m is not None else ""
    return f"{model_type} ({kind}{limit})"


# Answers out


def to_picture(
    answer: ModelAnswer, card: ModelCard, kind: Kind, camera: Camera | None, height: int, width: int
) -> Tensor:
    """Bring the answer about one picture to its size, by the rules of the model's processor.

    That undoes what it did to the picture: ZoeDepth's padding (its average with the answer to the
    mirrored picture is left out: twice the time), Depth Pro's field of view. The focal length fx
    of a camera stands in for the latter, as ``f_px`` does in depth_pro.py of apple/ml-depth-pro:
    depth = fx / (width * inverse depth), in pixels of the picture.

    Args:
        answer: with a batch of one.
        card: of the model.
        kind: of this answer.
        camera: of the picture, if known.
        height: of the picture, in pixels.
        width: of the picture, in pixels.

    Returns:
        float32 (height, width); NaN where metres would not be positive (the resize overshoots).
    """
    angle: Tensor | None = answer.field_of_view_deg if answer.field_of_view_deg.numel() else None
    if camera is not None and card.option("model_type") == DEPTH_PRO:
        degrees = 2 * math.degrees(math.atan(camera.width / (2 * camera.K[0])))
        angle = answer.values.new_tensor([degrees])
    processor = load_processor(Path(card.option("folder")), card.option("model_type"))
    outputs = SimpleNamespace(predicted_depth=answer.values, field_of_view=angle)
    # The sizes are ZoeDepth's source_sizes and all others' target_sizes, in one place.
    found: Tensor = processor.post_process_depth_estimation(outputs, [(height, width)])[0][
        "predicted_depth"
    ]
    found = found.reshape(height, width).float()
    return found.masked_fill(found <= 0, torch.nan) if kind == "metric" else found
