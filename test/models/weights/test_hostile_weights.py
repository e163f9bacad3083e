"""Files of weights that torch reads and no network takes: one line each, and soon."""

import os
import resource
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights.find import BUNDLED
from depth_anything_ros.models.weights.identify import identify, network_on_meta
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.weights.read import read_state_dict
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.tools.command import main

CARD = find_card("tiny")
NAME = "decoder.narrow.weight"
# The network has no memory, so that what would be copied into it fails there, if it gets so far.
NETWORK = network_on_meta(CARD)


@pytest.fixture(scope="module")
def state():
    return load_file(BUNDLED / CARD.bundled)


def refusal(path, reason):
    said = set()
    for read in (read_state_dict, identify, lambda path: load_weights(NETWORK, CARD, path)):
        with warnings.catch_warnings(), pytest.raises(CheckpointError) as caught:
            warnings.simplefilter("error")
            read(path)
        assert caught.value.reason == reason, str(caught.value)
        said.add(str(caught.value))
    (message,) = said
    assert str(path) in message and message.isprintable() and len(message) < 400
    return message


def itself():
    wrapper = {}
    wrapper["model"] = {"state_dict": wrapper}
    return wrapper


def test_a_wrapper_that_holds_itself(tmp_path):
    torch.save(itself(), tmp_path / "weights.pth")
    assert "are not floating-point tensors" in refusal(tmp_path / "weights.pth", "no_tensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.to_sparse(), "sparse_coo"),
        (lambda values: values.to_sparse_csr(), "sparse_csr"),
        (lambda values: values.to("meta"), "without its numbers"),
        (lambda values: torch.nested.nested_tensor([values, values[:1]]), "nested"),
    ],
    ids=["coo", "csr", "meta", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_no_network_is_filled_from(change, words, state, tmp_path):
    torch.save({**state, NAME: change(state[NAME].float())}, tmp_path / "weights.pth")
    message = refusal(tmp_path / "weights.pth", "no_tensors")
    assert f"1 entries that are not floating-point tensors: {NAME} (the first is" in message
    assert words in message


@pytest.mark.parametrize("double", [{f"module.{NAME}": torch.zeros(1)}, {1: torch.zeros(1)}])
def test_a_name_that_is_there_twice(double, state, tmp_path):
    torch.save({**state, "1": torch.zeros(1), **double}, tmp_path / "weights.pth")
    assert "1 names twice" in refusal(tmp_path / "weights.pth", "no_tensors")


def test_a_zip_file_that_unpacks_to_gigabytes(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("archive/data.pkl", "w") as file:
            for _ in range(100):
                file.write(bytes(1_000_000))
        archive.writestr("archive/version", "3\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "unpacks to 100000002 bytes" in refusal(path, "unsafe")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB


def test_what_torch_does_not_read_is_said_without_its_advice(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04\x95" + b"\xff" * 8)
    message = refusal(tmp_path / "weights.pth", "unsafe")
    assert "(Unsupported operand 149)" in message


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_description_beside_the_weights_that_never_ends(kind, state, tmp_path, capsys):
    torch.save(state, tmp_path / "weights.pth")
    beside = tmp_path / "config.json"
    if kind == "pipe":
        os.mkfifo(beside)
    else:
        beside.symlink_to("/dev/zero")
    assert main(["weights", "check", str(tmp_path / "weights.pth"), "--model", "tiny"]) == 0
    assert main(["models", f"hf:{tmp_path}"]) == 2
    assert "it is no file" in capsys.readouterr().err


def test_names_are_printed_in_one_line(state, tmp_path, capsys):
    path = tmp_path / "a\n\x1b[31m.pth"
    torch.save(state, tmp_path / "a.pth")
    (tmp_path / "a.pth").rename(path)
    assert main(["weights", "check", str(path)]) == 0
    said = capsys.readouterr().out
    assert r"a\n\x1b[31m.pth" in said and "\x1b" not in said


def test_a_name_that_torch_opens_no_file_of(state, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.pth")
    path.touch()
    with pytest.raises(CheckpointError, match=r"udcff.pth: its name is no UTF-8.*rename it"):
        read_state_dict(path)
