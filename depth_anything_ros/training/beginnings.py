"""The networks that a recipe begins with: the one to train, and a frozen teacher."""

from __future__ import annotations

from torch import nn

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.models.networks.build import random_network, untrained_network
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.training.encoder_init import load_imagenet
from depth_anything_ros.training.recipe import BUNDLED, Recipe


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
