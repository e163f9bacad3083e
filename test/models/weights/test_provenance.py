import json
from pathlib import Path

import pytest
import torch
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
TINY = find_card("tiny")


def _config(folder, **fields):
    """A config.json as transformers 4 and 5 write it, of the fields that matter."""
    backbone = {"hidden_size": 384, "out_indices": fields.pop("out_indices", [3, 6, 9, 12])}
    config = {"model_type": "depth_anything", "backbone_config": backbone, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "model.safetensors"


def _refusal(path, card):
    with pytest.raises(CheckpointError) as error:
        check_claims(path, card)
    assert error.value.reason == "other_model"
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("card", [c for c in CARDS.values() if c.hub_file], ids=lambda c: c.name)
def test_official_names_fit_their_own_card(card):
    check_claims(Path("/weights") / card.hub_file, card)


@pytest.mark.parametrize(
    ("card", "other", "words"),
    [
        (RELATIVE, INDOOR, "is metric up to 20 m by its name"),
        (INDOOR, RELATIVE, "is relative by its name"),
        (INDOOR, OUTDOOR, "is metric up to 80 m by its name"),
        (OUTDOOR, INDOOR, "is metric up to 20 m by its name"),
    ],
    ids=["metric as relative", "relative as metric", "outdoor as indoor", "indoor as outdoor"],
)
def test_an_official_name_of_another_kind_is_refused(card, other, words):
    message = _refusal(Path("/weights") / other.hub_file, card)

    assert words in message
    assert f"and {card.name} is " in message


@pytest.mark.parametrize(
    "path",
    [
        "depth_anything_vits14.pth",
        "depth_anything_vits14_finetuned.pth",
        "DEPTH_ANYTHING_VITS14.PTH",
        "depth_anything_vits14/pytorch_model.bin",
        "depth-anything-small-hf/model.safetensors",
        "hub/models--LiheYoung--depth_anything_vits14/snapshots/0123/pytorch_model.bin",
        "hub/models--LiheYoung--depth_anything_vits14/blobs/0123",
        "hub/models--LiheYoung--depth-anything-small-hf/snapshots/0123/model.safetensors",
        "hub/spaces--LiheYoung--Depth-Anything/snapshots/0/checkpoints/depth_anything_vits14.pth",
    ],
)
def test_weights_of_v1_are_known_by_name_or_folder_and_refused_in_a_row_of_v2(path):
    check_claims(Path("/weights") / path, V1)

    message = _refusal(Path("/weights") / path, RELATIVE)

    assert "is of Depth Anything V1 (depth_anything_v1_small) by " in message
    assert "and depth_anything_v2_small is of Depth Anything V2" in message
    assert "the depth be wrong, since V1 taps other layers" in message


@pytest.mark.parametrize(
    ("path", "card"),
    [
        ("depth_anything_v2_vits.pth", RELATIVE),
        ("hub/models--depth-anything--Depth-Anything-V2-Small/blobs/0123", RELATIVE),
        ("hub/models--depth-anything--Depth-Anything-V2-Small-hf/a/b/model.safetensors", RELATIVE),
        ("Depth-Anything-V2-Metric-Indoor-Small-hf/model.safetensors", INDOOR),
        ("Depth-Anything-V2-Metric-VKITTI-Small/model.safetensors", OUTDOOR),
    ],
)
def test_weights_of_v2_are_known_by_name_or_folder_and_refused_elsewhere(path, card):
    check_claims(Path("/weights") / path, card)

    assert f"is of Depth Anything V2 ({card.name}) by " in _refusal(Path("/weights") / path, V1)
    for other in {RELATIVE, INDOOR, OUTDOOR} - {card}:
        assert "the weights would load" in _refusal(Path("/weights") / path, other)


def test_the_metric_models_of_v1_are_of_no_row():
    path = Path("depth_anything_metric_depth_indoor.pt")

    for card in (V1, INDOOR):
        assert "V1 with the metric head of ZoeDepth by its name" in _refusal(path, card)


@pytest.mark.parametrize("path", ["depth_anything_vits14/mine.pth", "data/depth-anything-small.v"])
def test_a_folder_says_nothing_of_a_file_with_a_name_of_its_own(path):
    check_claims(Path("/weights") / path, RELATIVE)


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


@pytest.mark.parametrize("name", ["mine.pth", "depth_anything_v2_vits_finetuned_20m.pth"])
def test_names_of_ones_own_claim_nothing(name):
    for card in (RELATIVE, INDOOR, OUTDOOR):
        check_claims(Path(name), card)


@pytest.mark.parametrize(
    ("fields", "card"),
    [
        ({"depth_estimation_type": "relative"}, RELATIVE),
        ({"max_depth": 1}, RELATIVE),  # V1's files, and the defaults, say no more
        ({"depth_estimation_type": "metric", "max_depth": 20}, INDOOR),
        ({"depth_estimation_type": "metric", "max_depth": 80}, OUTDOOR),
    ],
)
def test_a_config_fits_its_own_card_only(fields, card, tmp_path):
    path = _config(tmp_path, **fields)

    check_claims(path, card)

    for other in {RELATIVE, INDOOR, OUTDOOR} - {card}:
        assert str(tmp_path / "config.json") in _refusal(path, other)


def test_a_config_with_the_layers_of_v1_is_refused(tmp_path):
    message = _refusal(_config(tmp_path, out_indices=[9, 10, 11, 12]), RELATIVE)

    assert f"is of Depth Anything V1 by {tmp_path / 'config.json'}" in message
    check_claims(tmp_path / "model.safetensors", V1)


def test_a_config_with_the_layers_of_v2_is_refused_in_a_row_of_v1(tmp_path):
    assert "is of Depth Anything V2 by " in _refusal(_config(tmp_path), V1)


def test_a_config_with_layers_that_no_row_taps_is_refused(tmp_path):
    message = _refusal(_config(tmp_path, out_indices=[1, 2, 3, 12]), RELATIVE)

    assert "trained on layers (0, 1, 2, 11)" in message
    assert "depth_anything_v2_small taps (2, 5, 8, 11)" in message


def test_a_config_of_large_fits_large(tmp_path):
    check_claims(_config(tmp_path, out_indices=[5, 12, 18, 24]), LARGE)


def _stored(path, **metadata):
    save_file({"weight": torch.zeros(1)}, path, metadata=metadata)
    return path


@pytest.mark.parametrize("model", ["tiny", "tiny_relative", "depth_and_sky"])
def test_metadata_of_the_own_network_fit_its_cards_only(model, tmp_path):
    path = _stored(tmp_path / "mine.safetensors", model=model)

    check_claims(path, TINY)
    check_claims(path, find_card("tiny_relative"))

    message = _refusal(path, RELATIVE)
    assert "by its metadata, and depth_anything_v2_small is of Depth Anything V2" in message


def test_metadata_that_name_a_card_say_its_kind_as_well(tmp_path):
    path = _stored(tmp_path / "mine.safetensors", model=INDOOR.name)

    check_claims(path, INDOOR)

    assert "is metric up to 20 m by its metadata" in _refusal(path, OUTDOOR)
    assert (
        "is of Depth Anything V2 (depth_anything_v2_metric_indoor_small) by its metadata"
        in _refusal(path, TINY)
    )


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"model": "bert", "format": "pt"}])
def test_metadata_of_others_claim_nothing(metadata, tmp_path):
    for card in (RELATIVE, TINY):
        check_claims(_stored(tmp_path / "mine.safetensors", **metadata), card)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\xff" * 100])
def test_a_file_without_readable_metadata_claims_nothing(content, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)

    check_claims(path, TINY)


def test_official_names_are_of_no_own_network():
    message = _refusal(Path("/weights") / RELATIVE.hub_file, find_card("tiny_relative"))

    assert "is of Depth Anything V2 (depth_anything_v2_small) by its name" in message


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
    with pytest.raises(CheckpointError, match=words) as error:
        check_claims(path, metric)
    assert error.value.reason == "other_model"
