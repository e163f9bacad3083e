import json
from pathlib import Path

import pytest
import torch
from refusals import refused
from safetensors.torch import save_file

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights import provenance
from depth_anything_ros.models.weights.provenance import check_claims
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import CARDS, find_card

RELATIVE = find_card("depth_anything_v2_small")
V1 = find_card("depth_anything_v1_small")
INDOOR = find_card("depth_anything_v2_metric_indoor_small")
OUTDOOR = find_card("depth_anything_v2_metric_outdoor_small")
LARGE = find_card("depth_anything_v2_large")
TINY, TWIN = find_card("tiny"), find_card("tiny_relative")
METRIC = {"depth_estimation_type": "metric"}


def _config(folder, **fields):
    """A config.json as transformers 4 and 5 write it, of the fields that matter."""
    backbone = {"hidden_size": 384, "out_indices": fields.pop("out_indices", [3, 6, 9, 12])}
    config = {"model_type": "depth_anything", "backbone_config": backbone, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "model.safetensors"


def _refusal(path, card):
    with refused(CheckpointError, "other_model") as error:
        check_claims(path, card)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("card", [c for c in CARDS.values() if c.hub_file], ids=lambda c: c.name)
def test_official_names_fit_their_own_card(card):
    check_claims(Path("/weights") / card.hub_file, card)


V1_SAID = "is of Depth Anything V1 (depth_anything_v1_small) by "
HUB = "hub/models--LiheYoung--"


@pytest.mark.parametrize(
    ("path", "card", "other", "words"),
    [
        ("depth_anything_vits14.pth", V1, RELATIVE, V1_SAID),
        ("depth_anything_vits14_finetuned.pth", V1, RELATIVE, V1_SAID),
        ("DEPTH_ANYTHING_VITS14.PTH", V1, RELATIVE, V1_SAID),
        ("depth_anything_vits14/pytorch_model.bin", V1, RELATIVE, V1_SAID),
        ("depth-anything-small-hf/model.safetensors", V1, RELATIVE, V1_SAID),
        (f"{HUB}depth_anything_vits14/snapshots/0/pytorch_model.bin", V1, RELATIVE, V1_SAID),
        (f"{HUB}depth_anything_vits14/blobs/0123", V1, RELATIVE, "since V1 taps other layers"),
        (f"{HUB}depth-anything-small-hf/a/b/model.safetensors", V1, RELATIVE, V1_SAID),
        (
            "hub/spaces--LiheYoung--Depth-Anything/a/b/depth_anything_vits14.pth",
            V1,
            RELATIVE,
            "and depth_anything_v2_small is of Depth Anything V2",
        ),
        ("depth_anything_v2_vits.pth", RELATIVE, V1, f"V2 ({RELATIVE.name}) by its name"),
        ("depth_anything_v2_vits.pth", RELATIVE, TINY, f"V2 ({RELATIVE.name}) by its name"),
        ("hub/models--depth-anything--Depth-Anything-V2-Small/blobs/0", RELATIVE, V1, "V2 (depth"),
        (
            "hub/models--depth-anything--Depth-Anything-V2-Small-hf/a/b/model.safetensors",
            RELATIVE,
            INDOOR,
            "is relative by its repository",
        ),
        (INDOOR.hub_file, INDOOR, RELATIVE, "is metric up to 20 m by its name"),
        (OUTDOOR.hub_file, OUTDOOR, INDOOR, "is metric up to 80 m by its name"),
        ("Depth-Anything-V2-Metric-Indoor-Small-hf/model.safetensors", INDOOR, OUTDOOR, "20 m by"),
        ("Depth-Anything-V2-Metric-VKITTI-Small/model.safetensors", OUTDOOR, INDOOR, "80 m by its"),
        ("depth_anything_metric_depth_indoor.pt", None, V1, "the metric head of ZoeDepth by its"),
        ("depth_anything_metric_depth_indoor.pt", None, INDOOR, "the metric head of ZoeDepth by"),
        # A file with a name of its own says nothing, whatever its folder is called.
        ("depth_anything_vits14/mine.pth", RELATIVE, None, ""),
        ("data/depth-anything-small.v", RELATIVE, None, ""),
        ("mine.pth", INDOOR, None, ""),
        ("depth_anything_v2_vits_finetuned_20m.pth", OUTDOOR, None, ""),
    ],
)
def test_names_and_folders_fit_the_cards_they_name_and_no_others(path, card, other, words):
    path = Path("/weights") / path
    if card is not None:
        check_claims(path, card)
    if other is not None:
        message = _refusal(path, other)
        assert words in message and f"and {other.name} is " in message


def _zip(path, stored_as):
    """A checkpoint that was saved under one name, and has another now."""
    torch.save({"weight": torch.zeros(1)}, path.parent / stored_as)
    (path.parent / stored_as).rename(path)
    return path


@pytest.mark.parametrize(
    ("stored_as", "words"),
    [
        ("depth_anything_vits14.pth", "V1 (depth_anything_v1_small) by the name depth_anything_v"),
        ("depth_anything_v2_metric_vkitti_vits.pth", "is metric up to 80 m by the name depth_any"),
    ],
)
def test_a_renamed_file_is_known_by_the_name_under_which_it_was_saved(stored_as, words, tmp_path):
    path = _zip(tmp_path / "mine.pth", stored_as)

    assert words in _refusal(path, RELATIVE)
    check_claims(path, V1 if "14" in stored_as else OUTDOOR)


def test_the_present_name_counts_more_than_that_under_which_a_file_was_saved(tmp_path):
    check_claims(_zip(tmp_path / RELATIVE.hub_file, "depth_anything_vits14.pth"), RELATIVE)


def test_a_renamed_file_is_known_by_its_hash(tmp_path, monkeypatch):
    path = _zip(tmp_path / "mine.pth", "latest.pth")
    check_claims(path, RELATIVE)

    monkeypatch.setitem(provenance.V1_FILES, sha256_of(path), V1.name)

    assert "V1 (depth_anything_v1_small) by its sha256" in _refusal(path, RELATIVE)
    check_claims(path, V1)


@pytest.mark.parametrize(
    ("fields", "card", "other", "words"),
    [
        ({"depth_estimation_type": "relative"}, RELATIVE, INDOOR, "is relative by "),
        ({"max_depth": 1}, RELATIVE, OUTDOOR, "is relative by "),  # what V1's files say, by default
        ({**METRIC, "max_depth": 20}, INDOOR, OUTDOOR, "is metric up to 20 m by "),
        ({**METRIC, "max_depth": 80}, OUTDOOR, RELATIVE, "is metric up to 80 m by "),
        ({"out_indices": [9, 10, 11, 12]}, V1, RELATIVE, "is of Depth Anything V1 by "),
        ({}, RELATIVE, V1, "is of Depth Anything V2 by "),
        ({"out_indices": [5, 12, 18, 24]}, LARGE, RELATIVE, "trained on layers (4, 11, 17, 23)"),
        ({"out_indices": [1, 2, 3, 12]}, None, RELATIVE, "small taps (2, 5, 8, 11)"),
    ],
)
def test_a_config_fits_the_card_it_describes(fields, card, other, words, tmp_path):
    path = _config(tmp_path, **fields)
    if card is not None:
        check_claims(path, card)

    message = _refusal(path, other)
    assert words in message and str(tmp_path / "config.json") in message


def _stored(path, **metadata):
    save_file({"weight": torch.zeros(1)}, path, metadata=metadata)
    return path


OWN = "by its metadata, and depth_anything_v2_small is of Depth Anything V2"


@pytest.mark.parametrize(
    ("metadata", "cards", "other", "words"),
    [
        ({"model": "tiny"}, [TINY, TWIN], RELATIVE, OWN),
        ({"model": "tiny_relative"}, [TINY, TWIN], RELATIVE, OWN),
        ({"model": "depth_and_sky"}, [TINY, TWIN], RELATIVE, OWN),
        ({"model": INDOOR.name}, [INDOOR], OUTDOOR, "is metric up to 20 m by its metadata"),
        ({"model": INDOOR.name}, [INDOOR], TINY, f"V2 ({INDOOR.name}) by its metadata"),
        ({}, [RELATIVE, TINY], None, ""),
        ({"format": "pt"}, [RELATIVE, TINY], None, ""),
        ({"model": "bert", "format": "pt"}, [RELATIVE, TINY], None, ""),
    ],
)
def test_metadata_fit_the_cards_they_name(metadata, cards, other, words, tmp_path):
    path = _stored(tmp_path / "mine.safetensors", **metadata)
    for card in cards:
        check_claims(path, card)
    if other is not None:
        assert words in _refusal(path, other)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\xff" * 100])
def test_a_file_without_readable_metadata_claims_nothing(content, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)

    check_claims(path, TINY)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "bert"}', "\xff"])
def test_other_files_named_config_say_nothing(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))

    check_claims(tmp_path / "model.safetensors", INDOOR)


def test_the_config_of_depth_anything_3_tells_mono_from_metric(tmp_path):
    """Their names and shapes are the same."""
    mono, metric = find_card("da3_mono_large"), find_card("da3_metric_large")
    path = _stored(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3mono-large"}))

    check_claims(path, mono)

    words = "is affine depth by .*da3_metric_large is metric"
    with refused(CheckpointError, "other_model", words):
        check_claims(path, metric)
