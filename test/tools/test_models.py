import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from depth_anything_ros.models.zoo import CARDS, card_names
from depth_anything_ros.tools.models import gives


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """As on a machine that has fetched nothing."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "torch")
    yield
    torch.hub.set_dir(before)


def test_the_table_has_every_model_and_fits_100_columns(command):
    lines = command.says("models").splitlines()

    rows = [line.split()[0] for line in lines if line.split() and line.split()[0] in CARDS]
    assert [name for name in rows if name != "tiny"] == [n for n in card_names() if n != "tiny"]
    assert max(len(line) for line in lines) <= 100
    assert re.search(
        r"^tiny +metres\*, sky +5\.9 M  Apache-2\.0 +yes +yes$", "\n".join(lines), re.M
    )
    assert re.search(
        r"^depth_anything_v2_giant +disparity +1\.26 B  CC-BY-NC-4\.0 +NO +-$",
        "\n".join(lines),
        re.M,
    )


def test_json_has_the_facts_of_every_model(command):
    in_json = {row["name"]: row for row in json.loads(command.says("models", "--json"))}

    assert list(in_json) == card_names()
    small = in_json["depth_anything_v2_small"]
    assert small["parameters"] == 24_710_849
    assert (small["gives"], small["commercial"], small["weights"]) == ("disparity", True, None)
    assert small["places"] == ["depth-anything/Depth-Anything-V2-Small:depth_anything_v2_vits.pth"]
    assert Path(in_json["tiny"]["weights"]).is_file()
    assert in_json["depth_anything_v2_giant"]["places"] == []
    assert in_json["depth_anything_v1_large"]["commercial"]
    unknown = [name for name, row in in_json.items() if row["parameters"] is None]
    assert unknown == ["marigold_depth_v1_1"]  # its file says it
    assert all((row["parameters"] or 1) > 0 for row in in_json.values())
    assert small == json.loads(command.says("models", "depth_anything_v2_small", "--json"))


def test_the_table_says_whether_weights_are_here(command, tmp_path):
    assert re.search(r"dpt_levit_224 .* no$", command.says("models"), re.M)

    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "checkpoints" / "dpt_levit_224.pt").touch()

    assert re.search(r"dpt_levit_224 .* yes$", command.says("models"), re.M)


def test_one_card_in_lines(command):
    lines = command.says("models", "depth_anything_v2_metric_indoor_base").splitlines()

    assert lines[0] == "depth_anything_v2_metric_indoor_base"
    facts = dict(line.strip().split(maxsplit=1) for line in lines[1:])
    assert facts["gives"] == "metres to 20 m (along the optical axis)"
    assert facts["licence"] == "CC-BY-NC-4.0, NO COMMERCIAL USE"
    assert facts["sha256"].startswith("9dc9e274")
    assert facts["input"] == "the shorter side 518 px, multiples of 14, cubic"
    assert max(len(line) for line in lines) <= 120


def test_the_card_of_a_model_that_needs_the_focal_length_says_so(command):
    assert re.search(r"needs +the camera's focal length", command.says("models", "tiny"))
    assert "needs" not in command.says("models", "tiny_relative")


def test_what_a_model_gives_in_words():
    said = {name: gives(CARDS[name]) for name in CARDS}

    assert said["tiny_relative"] == "disparity"
    assert said["depth_anything_v2_metric_outdoor_small"] == "metres to 80 m"
    assert said["da3_mono_large"] == "affine depth, sky"
    assert said["da3_metric_large"] == "metres*, sky"
    assert said["da3_small"] == "affine depth, poses"


def test_a_wrong_name_costs_one_line_with_near_ones(command):
    said = command.refuses("models", "depth_anything_v1_smal")
    assert "no model 'depth_anything_v1_smal'; did you mean depth_anything_v1_small" in said


def test_the_document_has_the_tables_of_this_zoo(command, repository):
    """Mend it with: depth_anything models --markdown."""
    document = (repository / "doc" / "models.md").read_text()

    assert command.says("models", "--markdown").strip() in document
