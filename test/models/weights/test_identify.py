import dataclasses

import pytest
import torch
from official_layout import hf_from_official, official_shapes, random_state
from refusals import refused
from safetensors.torch import load_file, save_file

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.weights.identify import (
    fitting_cards,
    identify,
    network_on_meta,
    parameter_count,
)
from depth_anything_ros.models.weights.layouts import from_official
from depth_anything_ros.models.weights.load import load_weights, matching_state, write_weights
from depth_anything_ros.models.zoo import CARDS, find_card

SMALL_ROWS = (
    "depth_anything_v2_small",
    "depth_anything_v2_metric_indoor_small",
    "depth_anything_v2_metric_outdoor_small",
    "depth_anything_v1_small",
)
TESTS = ("test_relative", "test_metric")


@pytest.fixture(scope="module")
def test_state():
    return random_state(official_shapes(48, 4, 16, (8, 12, 16, 24)))


@pytest.fixture(scope="module")
def small_state():
    return random_state(official_shapes(384, 12, 64, (48, 96, 192, 384)))


def _saved(state, path):
    torch.save(state, path)
    return path


@pytest.mark.parametrize("layout", ["official", "hf", "ours"])
def test_a_file_fits_the_rows_with_its_names_and_shapes(layout, test_state, tmp_path):
    ours = from_official(test_state)
    state = {"official": test_state, "hf": hf_from_official(test_state, 4), "ours": ours}[layout]

    found = identify(_saved(state, tmp_path / "mine.pth"))

    assert (found.cards, found.reason, found.claims) == (TESTS, "", ())
    assert (found.size, found.kind) == ("Test", "")  # relative or metric: nobody can tell
    assert found.layout == ("own" if layout == "ours" else "published")
    assert found.families[0] == "depth_anything_v2"
    assert (found.tensors, found.dtypes) == (len(state), ("float32",))
    assert found.parameters == sum(values.numel() for values in state.values())


def test_a_file_of_small_may_be_of_v1_or_v2_until_it_says_so(small_state, tmp_path):
    unnamed = identify(_saved(small_state, tmp_path / "mine.pth"))
    v1 = identify(_saved(small_state, tmp_path / "depth_anything_vits14.pth"))
    outdoor = identify(_saved(small_state, tmp_path / "depth_anything_v2_metric_vkitti_vits.pth"))

    assert (unnamed.cards, unnamed.kind, unnamed.size) == (SMALL_ROWS, "", "Small")
    assert (v1.cards, v1.kind) == (("depth_anything_v1_small",), "relative")
    assert v1.claims == (
        "Depth Anything V1, depth_anything_v1_small, by its name depth_anything_vits14.pth",
    )
    assert (outdoor.cards, outdoor.kind) == (("depth_anything_v2_metric_outdoor_small",), "metric")


def test_a_file_that_says_two_things_cannot_be_used(small_state, tmp_path):
    path = tmp_path / "depth_anything_vits14.safetensors"
    write_weights(from_official(small_state), find_card("depth_anything_v2_small"), path)

    found = identify(path)

    assert found.cards == ()
    assert "is of Depth Anything V" in found.reason and str(path) in found.reason


def test_the_bundled_weights_are_those_of_the_own_network(repository):
    found = identify(repository / "depth_anything_ros" / "weights" / "tiny.safetensors")

    assert (found.cards, found.layout) == (("tiny", "tiny_relative"), "own")
    assert found.dtypes == ("float16",)


def test_a_file_of_no_family(tmp_path):
    found = identify(_saved({"conv1.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "resnet.pth"))

    assert (found.cards, found.families) == ((), ())
    assert "is of no model in the zoo: its 1 names begin with conv1.weight" in found.reason


def test_a_file_with_a_config_beside_it_may_be_for_transformers(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"backbone.x": torch.zeros(1)}, tmp_path / "model.safetensors")

    assert f"the model hf:{tmp_path} may run it" in identify(tmp_path / "model.safetensors").reason


def test_a_file_of_a_known_family_and_no_known_size_names_the_nearest_row(tmp_path):
    state = random_state(official_shapes(48, 4, 16, (8, 12, 16, 32)))

    reason = identify(_saved(state, tmp_path / "mine.pth")).reason

    assert "has names as of Depth Anything V" in reason
    assert "test_relative is the nearest, and of its 122 tensors the file has 117" in reason


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "mine.pth").write_bytes(b"<html>")

    with pytest.raises(CheckpointError, match="web page"):
        identify(tmp_path / "mine.pth")


def test_a_checkpoint_of_another_family_is_refused_with_both_names(repository, tmp_path):
    card = find_card("test_relative")
    network = random_network(card)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    path = tmp_path / "mine.safetensors"
    tiny = repository / "depth_anything_ros" / "weights" / "tiny.safetensors"
    state = {name: values.float() for name, values in load_file(tiny).items()}
    save_file(state, path)

    with refused(CheckpointError, "other_model") as error:
        load_weights(network, card, path)
    assert str(error.value) == (
        f"{path} is a checkpoint of tiny (tiny, tiny_relative), and the model asked for, "
        f"test_relative, is Depth Anything V2; choose the model that the weights belong to"
    )
    assert all(torch.equal(values, before[k]) for k, values in network.state_dict().items())


def test_a_checkpoint_of_another_row_of_the_family_is_refused_with_both_names(tmp_path):
    state = network_on_meta(find_card("dpt_levit_224")).state_dict()
    path = _saved({n: torch.zeros(v.shape) for n, v in state.items()}, tmp_path / "mine.pth")
    card = find_card("midas_v21_small")

    with pytest.raises(CheckpointError) as error:
        matching_state(path, card, network_on_meta(card).state_dict())

    assert "is a checkpoint of MiDaS (dpt_levit_224), and the model asked for, mi" in str(
        error.value
    )
    assert "midas_v21_small, is another" in str(error.value)


@pytest.mark.parametrize("name", [name for name in CARDS if name.startswith("test_")])
def test_what_a_row_of_any_family_is_converted_to_is_known_and_loads(name, tmp_path):
    """Also where the family's published layout knows nothing of this package's names."""
    card = find_card(name)
    network = random_network(card, seed=3)
    write_weights(network.state_dict(), card, tmp_path / "mine.safetensors")

    found = identify(tmp_path / "mine.safetensors")
    loaded = random_network(card, seed=4)
    load_weights(loaded, card, tmp_path / "mine.safetensors")

    assert name in found.cards and found.layout == "own" and found.kind == card.kind
    for parameter, values in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[parameter], values), parameter


def test_parameters_are_counted_without_memory():
    assert parameter_count(find_card("depth_anything_v2_giant")) == 1_255_475_713
    assert parameter_count(find_card("test_relative")) == sum(
        values.numel() for values in random_network(find_card("test_relative")).parameters()
    )


def test_no_row_fits_what_lacks_a_tensor(test_state):
    state = dict(test_state)
    assert [card.name for card in fitting_cards(state)] == list(TESTS)

    del state["pretrained.norm.bias"]

    assert fitting_cards(state) == []


def test_networks_are_built_once_for_rows_that_differ_in_name_only():
    card = find_card("test_relative")
    other = dataclasses.replace(card, name="mine", licence="MIT", hub_repo="org/name")

    assert network_on_meta(other) is network_on_meta(card)
