import copy
import itertools
import math

import pytest
import torch
from torch import nn

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.models.networks.build import untrained_network
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.optimiser import (
    Optimisers,
    averaged_weights,
    freeze,
    parameter_groups,
    rate_share,
)
from depth_anything_ros.training.recipe import Optimiser

LAYERED = Optimiser(lr=0.01, encoder_lr_scale=0.1, layer_decay=0.5, weight_decay=0.05)


@pytest.fixture(scope="module")
def network():
    return untrained_network(find_card("test_metric"))


@pytest.fixture(scope="module")
def convolutional():
    return untrained_network(find_card("tiny"))


@pytest.fixture
def to_freeze(convolutional):
    yield convolutional
    convolutional.requires_grad_(True)


def frozen_of(network):
    return {name for name, p in network.named_parameters() if not p.requires_grad}


def by_name(network, groups):
    """Return (rate relative to lr, weight decay) of each parameter."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {
        names[parameter]: (group["scale"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


def test_each_parameter_is_in_one_group(network):
    groups = parameter_groups(network, LAYERED)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed)) == len(list(network.parameters()))
    assert len({(g["scale"], g["weight_decay"]) for g in groups}) == len(groups)
    assert all(group["lr"] == 0.01 * group["scale"] for group in groups)


@pytest.mark.parametrize(
    ("name", "scale", "decay"),
    [
        # Of four blocks the last has the encoder's rate, each before it half of the next.
        ("encoder.vit.blocks.3.attn.qkv.weight", 0.1, 0.05),
        ("encoder.vit.blocks.2.mlp.fc1.weight", 0.05, 0.05),
        ("encoder.vit.blocks.0.attn.proj.weight", 0.0125, 0.05),
        ("encoder.vit.patch_embed.proj.weight", 0.00625, 0.05),
        ("encoder.vit.pos_embed", 0.00625, 0.0),
        ("encoder.vit.cls_token", 0.00625, 0.0),
        ("encoder.vit.blocks.0.norm1.weight", 0.0125, 0.0),
        ("encoder.vit.blocks.3.ls1.gamma", 0.1, 0.0),
        ("encoder.vit.blocks.3.attn.qkv.bias", 0.1, 0.0),
        ("encoder.vit.norm.weight", 0.1, 0.0),
    ],
)
def test_rate_and_decay_of_a_parameter(network, name, scale, decay):
    found = by_name(network, parameter_groups(network, LAYERED))[name]
    assert found == (pytest.approx(scale, rel=1e-12), decay)


def test_the_decoder_has_the_whole_rate(network):
    found = by_name(network, parameter_groups(network, LAYERED))
    decoder = {name: pair for name, pair in found.items() if not name.startswith("encoder.")}
    matrices = {n for n, p in network.named_parameters() if p.ndim > 1 and n in decoder}
    assert matrices and len(matrices) < len(decoder)
    assert decoder == {name: (1.0, 0.05 if name in matrices else 0.0) for name in decoder}


@pytest.mark.parametrize(
    ("name", "scale", "decay"),
    [
        # Of seven stages the last has the encoder's rate, each before it half of the next.
        ("encoder.lite.blocks.6.0.conv_pwl.weight", 0.1, 0.05),
        ("encoder.lite.blocks.4.2.conv_dw.weight", 0.025, 0.05),
        ("encoder.lite.blocks.6.0.conv_pwl.scale", 0.1, 0.0),
        ("encoder.lite.conv_stem.weight", 0.1 * 0.5**7, 0.05),
        ("decoder.level.0.weight", 1.0, 0.05),
    ],
)
def test_stages_of_a_convolutional_encoder_are_its_layers(convolutional, name, scale, decay):
    found = by_name(convolutional, parameter_groups(convolutional, LAYERED))[name]
    assert found == (pytest.approx(scale, rel=1e-12), decay)


def test_depthwise_convolutions_may_stay_as_they_are_but_for_their_biases(to_freeze):
    freeze(to_freeze, Optimiser(depthwise=False))
    frozen = frozen_of(to_freeze)
    assert "encoder.lite.blocks.0.0.conv_dw.weight" in frozen
    assert all(name.endswith(("conv_dw.weight", "conv_dw.scale")) for name in frozen)
    assert len(frozen) == 2 * 21  # one in each of the blocks


def test_what_the_recipe_names_stays_as_it_is(to_freeze):
    beginnings = ("encoder.lite.conv_stem", "encoder.lite.blocks.0.")
    freeze(to_freeze, Optimiser(frozen=beginnings))
    expected = {n for n, _ in to_freeze.named_parameters() if n.startswith(beginnings)}
    assert frozen_of(to_freeze) == expected and len(expected) > 2


@pytest.mark.parametrize(
    ("frozen", "problem"),
    [
        (("encoder.vit",), "begins with 'encoder.vit'; they begin with encoder, .*decoder"),
        (("",), r"frozen is \[''\], which leaves nothing to train"),
        (("encoder.", "context", "decoder", "detail", "answer"), "nothing to train"),
    ],
)
def test_what_cannot_be_frozen_is_said(to_freeze, frozen, problem):
    with pytest.raises(RecipeError, match=problem):
        freeze(to_freeze, Optimiser(frozen=frozen))


def test_without_layer_decay_there_are_two_groups(network):
    groups = parameter_groups(network, Optimiser(weight_decay=0.1))
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 0.1]
    assert {group["scale"] for group in groups} == {1.0}


def test_what_is_frozen_is_left_out():
    network = untrained_network(find_card("test_metric"))
    network.get_submodule("encoder").requires_grad_(False)
    names = by_name(network, parameter_groups(network, LAYERED))
    assert names and not any(name.startswith("encoder.") for name in names)


def test_the_schedule():
    settings = Optimiser(warmup_steps=10, min_lr_share=0.1)
    shares = [rate_share(step, 111, settings) for step in range(111)]
    assert shares[:11] == pytest.approx([*(0.1 * (n + 1) for n in range(10)), 1.0])
    assert shares[60] == pytest.approx(0.55)  # half way from 1 to 0.1
    assert shares[35] == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)  # a quarter
    assert shares[110] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(shares[10:]))


@pytest.mark.parametrize("warmup", [0, 1, 4, 5, 50])
def test_the_schedule_of_a_run_shorter_than_its_warm_up(warmup):
    shares = [rate_share(step, 5, Optimiser(warmup_steps=warmup)) for step in range(5)]
    assert all(0 < share <= 1 for share in shares)
    assert rate_share(0, 1, Optimiser(warmup_steps=warmup)) > 0


def test_a_rate_is_set_by_the_scale_of_the_group(network):
    optimiser = Optimisers(network, LAYERED)
    optimiser.set_rate(0.5)
    scales = {group["scale"]: group["lr"] for group in optimiser.param_groups}
    assert scales == {scale: 0.5 * scale for scale in scales} and len(scales) == 6


def test_one_step_of_adamw():
    """The first step of Adam is lr · sign of the gradient; decay is lr · decay · weight."""
    line = nn.Linear(2, 1)
    nn.init.constant_(line.weight, 1.0)
    nn.init.constant_(line.bias, 1.0)
    optimiser = Optimisers(line, Optimiser(lr=0.1, weight_decay=0.5))
    line(torch.tensor([[3.0, -4.0]])).sum().backward()
    optimiser.step(torch.zeros(()))
    torch.testing.assert_close(line.weight.data, torch.tensor([[0.85, 1.05]]))
    torch.testing.assert_close(line.bias.data, torch.tensor([0.9]))


needs_muon = pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on"
)
MUON = Optimiser(matrices="muon", lr=0.01, layer_decay=0.5, weight_decay=0.0)


@needs_muon
def test_muon_steps_the_matrices_of_the_blocks_and_adamw_the_rest(network):
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, MUON)
    stepped = {names[id(p)] for g in groups if g["is_matrices"] for p in g["params"]}
    assert len(stepped) == 4 * 4  # qkv, proj, fc1 and fc2 of four blocks
    assert all(".blocks." in name and name.endswith(".weight") for name in stepped)
    optimiser = Optimisers(network, MUON)
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(names)


@needs_muon
def test_a_step_of_muon_is_orthogonal_and_of_the_size_of_one_of_adamw():
    """0.2 · sqrt(longer side) · lr times a matrix whose singular values are about 1."""
    network = untrained_network(find_card("test_metric"))
    weight = network.encoder.vit.blocks[3].mlp.fc1.weight
    before = weight.detach().clone()
    optimiser = Optimisers(network, MUON)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimiser.step(torch.zeros(()))
    scale = 0.01 * 0.2 * math.sqrt(max(weight.shape))
    strength = torch.linalg.svdvals((before - weight.detach()) / scale)
    assert 0.6 < strength.min() <= strength.max() < 1.3
    assert all(parameter.grad is None for parameter in network.parameters())


@needs_muon
def test_a_bad_step_changes_nothing_and_a_state_goes_on():
    network = untrained_network(find_card("test_metric"))
    optimiser = Optimisers(network, MUON)

    def step(optimiser, seed, bad=0.0):
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            parameter.grad += math.nan if bad else 0.0
        optimiser.step(torch.tensor(bad))
        return [p.detach().clone() for p in network.parameters()]

    first = step(optimiser, 1)
    unchanged = step(optimiser, 2, bad=1.0)
    assert all(torch.equal(a, b) for a, b in zip(first, unchanged, strict=True))
    state = copy.deepcopy(optimiser.state_dict())
    expected = step(optimiser, 3)
    for parameter, values in zip(network.parameters(), first, strict=True):
        parameter.data.copy_(values)
    again = Optimisers(network, MUON)
    again.load_state_dict(state)
    for found, wanted in zip(step(again, 3), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_average_is_exact():
    line = nn.Linear(1, 1, bias=False)
    nn.init.constant_(line.weight, 1.0)
    average, expected = averaged_weights(line, 0.5), 1.0
    decays = (0.0, 1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5)
    for count, decay in enumerate(decays, 1):
        value = float(count * count)
        nn.init.constant_(line.weight, value)
        average.update(line, count)
        expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
