"""The verb weights."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from file_server import serve_files
from official_layout import official_shapes, random_state
from safetensors import safe_open

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import find_card

CONTENT = b"not weights, but a file with a hash"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A file with the official names and shapes of Small, of random numbers."""
    path = tmp_path_factory.mktemp("official") / "mine.pth"
    torch.save(random_state(official_shapes(384, 12, 64, (48, 96, 192, 384))), path)
    return path


@pytest.fixture
def test_file(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(random_state(official_shapes(48, 4, 16, (8, 12, 16, 24))), path)
    return path


# fetch

# In a process of its own, since huggingface_hub reads its environment at import.
FETCH = """
import sys
from depth_anything_ros.tools.command import main

for words in (["depth_anything_v1_small"], ["depth_anything_v1_small", "--output", sys.argv[1]],
              ["depth_anything_v2_small"]):
    print("status", main(["weights", "fetch", *words]), flush=True)
"""


def test_fetch_fills_the_cache_once_copies_and_checks_the_hash(tmp_path):
    path = "/LiheYoung/depth_anything_vits14/resolve/main/pytorch_model.bin"
    pinned = "/depth-anything/Depth-Anything-V2-Small/resolve/main/depth_anything_v2_vits.pth"
    (tmp_path / "copies").mkdir()

    with serve_files({path: CONTENT, pinned: CONTENT}) as hub:
        result = subprocess.run(
            [sys.executable, "-c", FETCH, tmp_path / "copies"],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert result.returncode == 0, result.stderr

    fetched, copied, refused, end = result.stdout.split("status ")
    assert (copied[0], refused[0], end.strip()) == ("0", "0", "2")
    assert fetched.startswith(f"depth_anything_v1_small: {tmp_path}")
    assert "pytorch_model.bin (0.0 MB)" in fetched
    assert f"sha256   {SHA256}, which is not a pinned one" in fetched
    assert "licence Apache-2.0" in fetched
    copy = tmp_path / "copies" / "depth_anything_v1_small.bin"
    assert f"copied to {copy}" in copied
    assert copy.read_bytes() == CONTENT
    assert [line for line in hub.requests if line.startswith("GET /Lihe")] == [f"GET {path}"]
    message = result.stderr.splitlines()[-1]
    assert message.startswith("depth_anything weights: ")
    assert f"has sha256 {SHA256}, expected 715fade1" in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("depth_anything_v2_giant", "no weights were released for depth_anything_v2_giant"),
        ("depth_anything_v2_smal", "did you mean depth_anything_v2_small"),
    ],
)
def test_fetch_of_what_there_is_not(name, words, command):
    assert words in command.refuses("weights", "fetch", name)


def test_fetch_of_the_bundled_weights_says_where_they_are(command, tmp_path):
    copy = tmp_path / "new" / "copy.safetensors"
    assert "tiny.safetensors (12 MB)" in command.says("weights", "fetch", "tiny", "--output", copy)
    assert copy.stat().st_size > 9_000_000


# convert and check


def test_convert_writes_safetensors_that_say_what_they_are(test_file, command, tmp_path):
    output = tmp_path / "new" / "out.safetensors"

    said = command.says("weights", "convert", test_file, output, "--model", "test_metric")

    assert said == f"{output}: 122 tensors of test_metric (1.1 MB)\n"
    with safe_open(output, "pt") as file:
        assert file.metadata() == {"format": "pt", "model": "test_metric"}
    card = find_card("test_metric")
    first, second = random_network(card, 1), random_network(card, 2)
    load_weights(first, card, test_file)
    load_weights(second, card, output)
    for name, values in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], values), name
    assert "fits     test_metric\n" in command.says("weights", "check", output)
    message = command.refuses("weights", "check", output, "--model", "test_relative")
    assert "is metric up to 20 m by its metadata, and test_relative is relative" in message


def test_where_nothing_says_which_model_it_is(official, command, tmp_path):
    message = command.refuses("weights", "convert", official, tmp_path / "out.safetensors")
    assert "may be of depth_anything_v2_small or depth_anything_v2_metric_indoor_" in message
    assert message.strip().endswith("give --model")
    assert not list(tmp_path.iterdir())

    said = command.says("weights", "check", official)
    assert "  fits     depth_anything_v2_small\n" in said
    assert "    or     depth_anything_v1_small\n" in said
    assert "nothing says of which the file is" in said


def test_convert_takes_the_model_that_the_file_says(official, command, tmp_path):
    named, output = tmp_path / "depth_anything_vits14.pth", tmp_path / "out.safetensors"
    named.symlink_to(official)

    said = command.says("weights", "convert", named, output)

    assert "of depth_anything_v1_small (99 MB)" in said
    assert "fits     depth_anything_v1_small\n" in command.says("weights", "check", output)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("out.pth", "must end in .safetensors"),
        ("there.safetensors", "is there already"),
        ("there.safetensors/out.safetensors", "cannot write"),
    ],
)
def test_convert_overwrites_nothing(output, words, test_file, command, tmp_path):
    (tmp_path / "there.safetensors").touch()
    convert = ("weights", "convert", test_file, tmp_path / output)
    assert words in command.refuses(*convert, "--model", "test_relative")
    assert (tmp_path / "there.safetensors").stat().st_size == 0


def test_check_says_what_a_file_is(official, command, tmp_path):
    named = tmp_path / "depth_anything_v2_metric_hypersim_vits.pth"
    named.symlink_to(official)

    lines = command.says("weights", "check", named).splitlines()

    assert lines[0] == str(named)
    facts = dict(line.strip().split("  ", 1) for line in lines[1:])
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["fits"] == "depth_anything_v2_metric_indoor_small"
    assert facts["family"] == "Depth Anything V2"
    assert facts["gives"] == "metres to 20 m"
    assert facts["size"] == "Small: 24.8 M numbers in 239 tensors, float32"
    assert facts["names"] == "as published"
    assert facts["it says"].endswith("metric up to 20 m, by its name " + named.name)
    assert facts["sha256"].endswith("which is not a pinned one")


def test_check_of_the_bundled_weights(command, repository):
    path = repository / "depth_anything_ros" / "weights" / "tiny.safetensors"
    said = command.says("weights", "check", path)
    assert "it says  tiny, by its metadata" in said
    assert said.endswith("One file answers as each of these.\n")


def test_check_with_a_model(test_file, command):
    check = ("weights", "check", test_file, "--model")
    assert "fits test_metric: 122 tensors" in command.says(*check, "test_metric")
    message = command.refuses(*check, "depth_anything_v2_large")
    assert "is a Test checkpoint (48 wide), and the model asked for, depth_anything_v2_l" in message
    assert "there is no model" in command.refuses(*check, "no")


def test_check_of_files_that_cannot_be_used(command, tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "resnet.pth")
    (tmp_path / "page.pth").write_text("<html>")
    for name, words in (
        ("resnet.pth", "is of no model in the zoo: its 1 names begin with conv1.weight"),
        ("page.pth", "it is a web page"),
        ("missing.pth", "cannot read"),
    ):
        assert words in command.refuses("weights", "check", tmp_path / name)
