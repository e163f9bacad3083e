from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from depth_anything_ros.core.errors import CheckpointError, ModelError, RecipeError
from depth_anything_ros.models.networks.build import random_network, untrained_network
from depth_anything_ros.models.weights.find import BUNDLED
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.beginnings import initial_network, teacher_encoder
from depth_anything_ros.training.recipe import Losses, Recipe, Source, Teacher

CARD = find_card("test_metric")
RECIPE = Recipe(model="test_metric", sources=(Source(),), losses=Losses(log_l1=1), seed=3)
ALIGNED = replace(
    RECIPE,
    losses=Losses(log_l1=1, feature_alignment=1),
    teacher=Teacher("test_relative", "random"),
)


def same(one, other):
    values = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in values)


def test_a_network_begins_with_the_seed_of_its_recipe():
    assert same(initial_network(RECIPE, CARD), untrained_network(CARD, 3))
    assert not same(initial_network(replace(RECIPE, seed=4), CARD), untrained_network(CARD, 3))


def test_a_network_begins_with_given_weights(tmp_path):
    trained = random_network(CARD, 7)
    path = tmp_path / "w.safetensors"
    save_file(trained.state_dict(), path, metadata={"model": "test_metric"})
    assert same(initial_network(replace(RECIPE, init=str(path)), CARD), trained)
    with pytest.raises(CheckpointError, match="metric up to 20 m by its metadata"):
        initial_network(replace(RECIPE, init=str(path)), find_card("test_relative"))


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        initial_network(replace(RECIPE, init=str(tmp_path / "absent.safetensors")), CARD)
    with pytest.raises(CheckpointError, match="no weights were released for test_metric"):
        initial_network(replace(RECIPE, init="bundled"), CARD)


def test_bundled_weights_are_those_of_the_package():
    recipe, card = replace(RECIPE, model="tiny", init="bundled"), find_card("tiny")
    if not (BUNDLED / card.bundled).is_file():
        pytest.skip("this checkout has no trained weights")
    assert not same(initial_network(recipe, card), untrained_network(card, 3))


def test_there_is_no_teacher_without_its_loss():
    assert teacher_encoder(replace(ALIGNED, losses=Losses(log_l1=1)), CARD) is None


def test_a_teacher_is_frozen():
    encoder = teacher_encoder(ALIGNED, CARD)
    assert encoder is not None and not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    features = encoder(torch.rand(1, 3, 28, 42))[-1]
    assert features.shape == (1, CARD.width, 2, 3) and not features.requires_grad


def test_a_teacher_has_the_weights_that_the_recipe_names(tmp_path):
    trained = random_network(find_card("test_relative"), 7)
    path = tmp_path / "w.safetensors"
    save_file(trained.state_dict(), path)
    encoder = teacher_encoder(replace(ALIGNED, teacher=Teacher("test_relative", str(path))), CARD)
    assert encoder is not None and same(encoder, trained.get_submodule("encoder"))


def test_a_teacher_of_another_width_or_name():
    for model, width in (("tiny", 352), ("depth_anything_v2_small", 384)):
        with pytest.raises(
            RecipeError, match=f"teacher.model {model} is {width} wide and test_metric 48"
        ):
            teacher_encoder(replace(ALIGNED, teacher=Teacher(model, "random")), CARD)
    with pytest.raises(ModelError, match="no model 'smal'"):
        teacher_encoder(replace(ALIGNED, teacher=Teacher("smal", "random")), CARD)
