import dataclasses
import re

import pytest
from refusals import refused

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.zoo import CARDS, card_names, find_card
from depth_anything_ros.models.zoo.families import family_of

V2 = [card for card in CARDS.values() if card.family == "depth_anything_v2"]
V1 = [card for card in CARDS.values() if card.family == "depth_anything_v1"]


def test_the_zoo_has_its_own_models_and_every_released_checkpoint_of_depth_anything():
    families = ("depth_and_sky", "depth_anything_v2", "depth_anything_v1")

    assert [name for name in card_names() if find_card(name).family in families] == [
        "tiny",
        "tiny_relative",
        "depth_anything_v2_small",
        "depth_anything_v2_base",
        "depth_anything_v2_large",
        "depth_anything_v2_giant",
        "depth_anything_v2_metric_indoor_small",
        "depth_anything_v2_metric_indoor_base",
        "depth_anything_v2_metric_indoor_large",
        "depth_anything_v2_metric_outdoor_small",
        "depth_anything_v2_metric_outdoor_base",
        "depth_anything_v2_metric_outdoor_large",
        "depth_anything_v1_small",
        "depth_anything_v1_base",
        "depth_anything_v1_large",
    ]


def test_test_models_are_listed_only_if_asked_for():
    hidden = set(card_names(tests=True)) - set(card_names())

    assert hidden >= {"test_relative", "test_metric"}
    assert all(name.startswith("test_") and find_card(name).is_test for name in hidden)


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_only_a_metric_card_has_a_maximum_depth_or_a_canonical_focal_length(card):
    if card.kind != "metric":
        assert card.max_depth_m is None and not card.focal_scaled
    assert (card.output == "sigmoid") <= (card.max_depth_m is not None)
    assert (card.canonical_focal_px is not None) == card.focal_scaled


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_every_card_is_of_a_known_family_and_says_its_licence(card):
    assert family_of(card).title
    assert card.licence
    assert re.fullmatch(r"[\w.-]+", card.name)
    assert re.fullmatch(r"|[0-9a-f]{64}", card.sha256)


def test_the_own_models_differ_in_their_answer_only_and_share_one_file():
    tiny, relative = find_card("tiny"), find_card("tiny_relative")

    assert relative == dataclasses.replace(
        tiny, name="tiny_relative", kind="relative", output="relu", canonical_focal_px=None
    )
    assert (tiny.bundled, tiny.licence, tiny.canonical_focal_px) == (
        "tiny.safetensors",
        "Apache-2.0",
        300,
    )


def test_maximum_depths_belong_to_their_training_sets():
    for card in V2:
        expected = None if card.kind == "relative" else 80.0 if "outdoor" in card.name else 20.0
        assert card.max_depth_m == expected


@pytest.mark.parametrize("card", V2, ids=lambda card: card.name)
def test_only_small_and_smaller_of_v2_may_be_used_commercially(card):
    assert card.commercial == (card.encoder in ("Small", "Test"))
    assert card.licence == ("Apache-2.0" if card.commercial else "CC-BY-NC-4.0")


@pytest.mark.parametrize(
    ("card", "layers"),
    list(zip(V1, [(8, 9, 10, 11), (8, 9, 10, 11), (20, 21, 22, 23)], strict=True)),
    ids=lambda value: getattr(value, "name", ""),
)
def test_v1_is_v2_but_for_its_layers_its_licence_and_its_files(card, layers):
    code = {"Small": "vits14", "Base": "vitb14", "Large": "vitl14"}[card.encoder]

    assert card == dataclasses.replace(
        find_card(card.name.replace("_v1_", "_v2_")),
        name=card.name,
        family="depth_anything_v1",
        tapped_layers=layers,
        licence="Apache-2.0",
        hub_repo=f"LiheYoung/depth_anything_{code}",
        hub_file="pytorch_model.bin",
        sha256="",
    )
    assert card.commercial


def test_hub_names_are_the_official_ones():
    places = {name: (find_card(name).hub_repo, find_card(name).hub_file) for name in card_names()}

    assert places["depth_anything_v2_large"] == (
        "depth-anything/Depth-Anything-V2-Large",
        "depth_anything_v2_vitl.pth",
    )
    assert places["depth_anything_v2_metric_indoor_small"] == (
        "depth-anything/Depth-Anything-V2-Metric-Hypersim-Small",
        "depth_anything_v2_metric_hypersim_vits.pth",
    )
    assert places["depth_anything_v2_metric_outdoor_base"] == (
        "depth-anything/Depth-Anything-V2-Metric-VKITTI-Base",
        "depth_anything_v2_metric_vkitti_vitb.pth",
    )
    assert places["depth_anything_v2_giant"] == ("", "depth_anything_v2_vitg.pth")


def test_every_released_file_of_v2_has_a_hash_of_its_own():
    released = [card for card in V2 if card.hub_repo]
    hashes = {card.sha256 for card in released}

    assert len(hashes) == len(released) == 9
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in hashes)


def test_cards_can_be_keys():
    assert len({card: card.name for card in CARDS.values()}) == len(CARDS)


def test_an_unknown_name_gets_the_nearest_ones():
    with refused(ModelError, "unknown_model", r"no model 'depth_anything_v2_smal'.*_v2_small"):
        find_card("depth_anything_v2_smal")


def test_a_name_near_to_none_gets_the_command_that_lists_them():
    with pytest.raises(ModelError, match=r"no model 'yolo'; .*depth_anything models lists them"):
        find_card("yolo")
