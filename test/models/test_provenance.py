import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.provenance import check_claims
from depth_anything_ros.models.zoo import CARDS, find_card

RELATIVE = find_card("depth_anything_v2_small")
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
    "name", ["depth_anything_vits14.pth", "depth_anything_metric_depth_indoor.pt"]
)
def test_weights_of_v1_are_refused_by_name(name):
    assert "is of Depth Anything V1 by its name" in _refusal(Path(name), RELATIVE)


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

    assert "trained on layers (8, 9, 10, 11)" in message
    assert "taps (2, 5, 8, 11)" in message
    assert "Depth Anything V1" in message


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
    assert "is of depth_and_sky by its metadata, and depth_anything_v2_small is of" in message


def test_metadata_that_name_a_card_say_its_kind_as_well(tmp_path):
    path = _stored(tmp_path / "mine.safetensors", model=INDOOR.name)

    check_claims(path, INDOOR)

    assert "is metric up to 20 m by its metadata" in _refusal(path, OUTDOOR)
    assert "is of depth_anything_v2 by its metadata" in _refusal(path, TINY)


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

    assert "is of depth_anything_v2 by its name" in message


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "bert"}', "\xff"])
def test_other_files_named_config_say_nothing(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))

    check_claims(tmp_path / "model.safetensors", INDOOR)
