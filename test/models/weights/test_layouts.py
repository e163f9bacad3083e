import math

import pytest
import torch
from official_layout import hf_from_official, official_shapes, random_state

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.networks.depth_anything_v2 import DepthAnythingV2
from depth_anything_ros.models.weights.layouts import from_hf, from_official, to_ours
from depth_anything_ros.models.zoo import find_card

SIZES = {
    "small": (384, 12, 64, (48, 96, 192, 384)),
    "base": (768, 12, 128, (96, 192, 384, 768)),
    "large": (1024, 24, 256, (256, 512, 1024, 1024)),
    "giant": (1536, 40, 384, (1536, 1536, 1536, 1536)),
}
TINY = (48, 4, 16, (8, 12, 16, 24))


def _meta(shapes):
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("size", SIZES)
def test_official_names_and_shapes_are_ours(size):
    with torch.device("meta"):
        expected = DepthAnythingV2(find_card(f"depth_anything_v2_{size}")).state_dict()

    found = from_official(_meta(official_shapes(*SIZES[size], swiglu=size == "giant")))

    assert {name: values.shape for name, values in found.items()} == {
        name: values.shape for name, values in expected.items()
    }


def test_names_are_those_of_the_published_files():
    names = official_shapes(*SIZES["small"])

    assert {
        "pretrained.mask_token",
        "pretrained.blocks.0.ls1.gamma",
        "pretrained.blocks.11.attn.qkv.bias",
        "depth_head.projects.3.bias",
        "depth_head.resize_layers.3.weight",
        "depth_head.scratch.layer4_rn.weight",
        "depth_head.scratch.refinenet1.resConfUnit1.conv1.weight",
        "depth_head.scratch.refinenet4.resConfUnit1.conv2.bias",
        "depth_head.scratch.output_conv2.2.weight",
    } <= set(names)
    assert "depth_head.resize_layers.2.weight" not in names
    assert "depth_head.scratch.layer1_rn.bias" not in names
    assert len(names) == 239
    assert len(official_shapes(*SIZES["large"])) == 407


def test_sizes_of_the_published_files_leave_room_for_nothing_else():
    """The files of Small and Base hold as many tensors, so what is not weights is as long."""
    published = {"small": 99_218_434, "base": 389_961_218}

    overhead = {
        size: length - 4 * sum(map(math.prod, official_shapes(*SIZES[size]).values()))
        for size, length in published.items()
    }

    assert overhead["small"] == overhead["base"] == 78_078


def test_unused_weights_are_left_out():
    ours = from_official(random_state(official_shapes(*TINY)))

    assert not [name for name in ours if "mask_token" in name or "fusion.3.skip" in name]
    assert len(ours) == len(official_shapes(*TINY)) - 5


def test_hf_and_official_layouts_give_the_same_weights():
    official = random_state(official_shapes(*TINY))

    found = from_hf(hf_from_official(official, depth=4))

    expected = from_official(official)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert torch.equal(found[name], values), name


def test_our_own_layout_is_taken_as_it_is():
    state = random_network(find_card("test_relative")).state_dict()

    assert to_ours(state) == state


def test_layouts_are_recognised_by_their_names():
    official = random_state(official_shapes(*TINY))

    assert set(to_ours(official)) == set(to_ours(hf_from_official(official, depth=4)))
    assert to_ours({"conv.weight": torch.zeros(1)}) is None
    assert to_ours({"pretrained.norm.weight": torch.zeros(1)}) is None


def test_unknown_names_are_kept_to_be_reported():
    state = {"pretrained.norm.weight": torch.zeros(1), "depth_head.new.weight": torch.zeros(1)}

    assert set(from_official(state)) == {"encoder.vit.norm.weight", "depth_head.new.weight"}


def test_an_incomplete_query_key_value_is_not_stacked():
    state = hf_from_official(random_state(official_shapes(*TINY)), depth=4)
    del state["backbone.encoder.layer.2.attention.attention.key.bias"]

    found = from_hf(state)

    assert "encoder.vit.blocks.2.attn.qkv.bias" not in found
    assert "encoder.vit.blocks.2.attention.attention.query.bias" in found
