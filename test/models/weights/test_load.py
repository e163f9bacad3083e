import io
import os
import pickle
import re
import resource
import stat
from functools import partial

import pytest
import torch
from official_layout import hf_from_official, official_shapes, random_state
from refusals import refusal
from safetensors.torch import save_file

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.weights.identify import identify
from depth_anything_ros.models.weights.layouts import from_official
from depth_anything_ros.models.weights.load import (
    checkpoint_file,
    load_weights,
    write_weights,
)
from depth_anything_ros.models.weights.read import read_state_dict
from depth_anything_ros.models.zoo import find_card

CARD = find_card("test_relative")
SHAPES = official_shapes(48, 4, 16, (8, 12, 16, 24))


@pytest.fixture
def state():
    return random_state(SHAPES)


@pytest.fixture
def network():
    return random_network(CARD)


_refusal = partial(refusal, CheckpointError)


ESCAPE = chr(27)


def _saved(state, path):
    torch.save(state, path)
    return path


# Files that are fine


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {f"module.{name}": v for name, v in state.items()}},
        lambda state: {"model": {"state_dict": state}, "optimizer": {"lr": 0.1}},
    ],
    ids=["plain", "model", "state_dict and module.", "nested"],
)
def test_wrappers_and_prefixes_are_taken_off(wrap, state, tmp_path):
    found = read_state_dict(_saved(wrap(state), tmp_path / "weights.pth"))

    assert set(found) == set(state)
    assert all(torch.equal(found[name], values) for name, values in state.items())


SAVE = {
    "zip": torch.save,
    "old": partial(torch.save, _use_new_zipfile_serialization=False),
    "safetensors": save_file,
}


@pytest.mark.parametrize("layout", ["official", "hf", "ours"])
@pytest.mark.parametrize("save", SAVE)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_every_layout_and_format_fills_the_network(layout, save, suffix, state, network, tmp_path):
    """The content decides, and not the suffix."""
    layouts = {"official": state, "hf": hf_from_official(state, 4), "ours": from_official(state)}
    path = tmp_path / f"mine.{suffix}"
    SAVE[save](layouts[layout], path)

    load_weights(network, CARD, path)

    for name, values in from_official(state).items():
        assert torch.equal(network.state_dict()[name], values), name


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_widths_of_floating_point_numbers_become_float32(kind, state, network, tmp_path):
    path = _saved({name: values.to(kind) for name, values in state.items()}, tmp_path / "mine.pth")

    load_weights(network, CARD, path)

    assert {values.dtype for values in network.state_dict().values()} == {torch.float32}
    expected = state["pretrained.norm.bias"].to(kind).float()
    assert torch.equal(network.state_dict()["encoder.vit.norm.bias"], expected)


def test_a_file_may_vanish_once_it_is_loaded(state, tmp_path):
    path = _saved(state, tmp_path / "gone.pth")
    network = empty_network(CARD)
    load_weights(network, CARD, path)

    path.write_bytes(b"")
    path.unlink()

    assert torch.equal(network.state_dict()["encoder.vit.norm.bias"], state["pretrained.norm.bias"])


@pytest.mark.parametrize(
    ("model", "files", "taken"),
    [
        ("test_relative", ["model.safetensors"], "model.safetensors"),
        ("test_relative", ["pytorch_model.bin"], "pytorch_model.bin"),
        (
            "depth_anything_v2_small",
            ["model.safetensors", "depth_anything_v2_vits.pth"],
            "depth_anything_v2_vits.pth",
        ),
    ],
)
def test_the_known_file_of_a_folder_is_taken(model, files, taken, tmp_path):
    for name in files:
        (tmp_path / name).touch()

    assert checkpoint_file(tmp_path, find_card(model)) == tmp_path / taken


# Files that are not


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [
        ("test_relative", "no.pth", "there is no file "),
        ("tiny", "no.pth", "or leave weights empty to take tiny.safetensors of this package"),
        ("depth_anything_v2_base", "", " has none of depth_anything_v2_vitb.pth, model.saf"),
    ],
)
def test_a_missing_file(model, name, words, tmp_path):
    message = _refusal("not_found", checkpoint_file, tmp_path / name, find_card(model))

    assert words in message and str(tmp_path / name) in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"\n<HTML>", "it is a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), r"its 608 bytes begin with b'\x89PNG"),
    ],
)
def test_what_is_no_checkpoint_is_named(content, words, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    message = _refusal("not_a_checkpoint", read_state_dict, path)

    assert f"{path} is not a checkpoint: " in message
    assert words in message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", SAVE)
def test_a_truncated_file(kind, kept, state, tmp_path):
    path = tmp_path / "weights"
    SAVE[kind](state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    message = _refusal("damaged", read_state_dict, path)

    assert f"{path} ({int(kept * len(content))} bytes) is damaged or cut short" in message
    assert "fetch it again" in message


class _Code:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.command = f"touch {marker}"

    def __reduce__(self):
        return (os.system, (self.command,))


WITH_CODE = {
    "zip": SAVE["zip"],
    "old": SAVE["old"],
    "pickle": lambda code, path: path.write_bytes(pickle.dumps(code, protocol=2)),
    "new pickle": lambda code, path: path.write_bytes(pickle.dumps(code, protocol=4)),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("write", WITH_CODE)
def test_code_in_a_pickle_is_refused_and_not_run(write, tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "weights.pth"
    WITH_CODE[write]({"model": _Code(marker)}, path)

    message = _refusal("unsafe", read_state_dict, path)

    assert not marker.exists()
    assert f"{path} holds more than tensors" in message
    assert "nothing in it was executed" in message
    assert re.search(r"it would run (posix|os)\.system", message) or write != "zip"
    pickle.load(io.BytesIO(pickle.dumps(_Code(marker))))
    assert marker.exists()  # it would have run


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_no_refusal_passes_on_the_advice_to_read_a_file_unsafely(network, tmp_path):
    """Of torch's readers of every format, old and new, each says it in other words."""
    class_and_tensors = {"args": _Code(tmp_path / "executed"), "a": torch.zeros(1)}
    bare, old = tmp_path / "bare.safetensors", tmp_path / "old.safetensors"
    bare.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    torch.save(class_and_tensors, old, _use_new_zipfile_serialization=False)
    script = tmp_path / "script.pt"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(script))
    whole = _saved(network, tmp_path / "network.pth")
    assert "depth_anything_v2.DepthAnythingV2" in _refusal("unsafe", read_state_dict, whole)
    forged = tmp_path / "forged.pth"
    forged.write_bytes(b"\x80\x02cos\nsys\x1b[31mtem\nq\x00.")
    for path, reason in (
        (bare, ("no_tensors", "damaged", "unsafe")),
        (old, ("unsafe",)),
        (script, ("unsafe",)),
        (forged, ("unsafe", "damaged")),
        (whole, ("unsafe",)),
    ):
        with pytest.raises(CheckpointError) as error:
            read_state_dict(path)
        message = str(error.value)
        assert error.value.reason in reason, message
        assert not re.search("weights_only|trust|still be loaded|allowlist", message), message
        assert message.isprintable() and str(path) in message and len(message) < 500


@pytest.mark.parametrize(
    "kind", [torch.int64, torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn]
)
def test_numbers_that_would_load_changed_are_refused(kind, state, network, tmp_path):
    name = "pretrained.norm.bias"
    path = _saved({**state, name: (10 * state[name]).to(kind)}, tmp_path / "mine.pth")
    before = {name: values.clone() for name, values in network.state_dict().items()}

    message = _refusal("wrong_kinds", load_weights, network, CARD, path)

    said = str(kind).removeprefix("torch.")
    assert "1 of 122 tensors hold another kind of number" in message
    assert f"encoder.vit.norm.bias is {said}; expected float16, bfloat16" in message
    assert all(torch.equal(before[name], values) for name, values in network.state_dict().items())
    assert identify(path).cards == () and f"bias is {said}" in identify(path).reason


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "weights.pth")

    assert "it is no file" in _refusal("not_found", read_state_dict, tmp_path / "weights.pth")


def test_names_out_of_a_file_are_quoted_and_cut(network, tmp_path):
    name = f"a{ESCAPE}[31m\n[FATAL] " * 500
    path = tmp_path / "names.safetensors"
    save_file({name: torch.zeros(2)}, path)

    for message in (
        _refusal("unknown_layout", load_weights, network, CARD, path),
        identify(path).reason,
        _refusal("no_tensors", read_state_dict, _saved({name: 1}, tmp_path / "one.pth")),
    ):
        assert r"a\x1b[31m [FATAL]" in message and message.isprintable() and len(message) < 600


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_written_weights_have_the_mode_that_the_umask_gives(umask, state, tmp_path):
    before = os.umask(umask)
    try:
        write_weights(from_official(state), CARD, tmp_path / "out.safetensors")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "out.safetensors").stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


@pytest.fixture
def small_files():
    """A disk that takes 100 kB a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_weights_that_cannot_be_written_leave_what_was_there(state, tmp_path, small_files):
    (tmp_path / "out.safetensors").write_bytes(b"before")

    with pytest.raises(OSError, match=r"File too large"):
        write_weights(from_official(state), CARD, tmp_path / "out.safetensors")

    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
    assert (tmp_path / "out.safetensors").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds list instead of named tensors"),
        ({}, "holds dict instead of named tensors"),
        ({"a": 1, "b": torch.zeros(1)}, "1 entries that are not floating-point tensors: a"),
        ({"a": torch.zeros(1, dtype=torch.int8)}, "not floating-point tensors: a"),
    ],
)
def test_a_file_without_weights(content, words, tmp_path):
    path = _saved(content, tmp_path / "weights.pth")

    assert words in _refusal("no_tensors", read_state_dict, path)


# Weights of something else


def _without(state):
    return {name: v for name, v in state.items() if not re.search("blocks.[01].ls1.gamma", name)}


def _with(state):
    return state | {f"depth_head.extra.{i}.weight": torch.zeros(1) for i in range(5)}


def _of_width(width):
    state = {"pretrained.cls_token": torch.zeros(1, 1, width)}
    return state | {"depth_head.projects.0.bias": torch.zeros(48)}


ASKED = "the model asked for, test_relative, is Test (48)"


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (
            _without,
            "missing_keys",
            "does not fit test_relative: of 122 tensors it has 120, and lacks 2: "
            "encoder.vit.blocks.0.ls1.gamma, encoder.vit.blocks.1.ls1.gamma",
        ),
        (
            _with,
            "unexpected_keys",
            "of 122 tensors it has 122, and has besides 5: depth_head.extra.0.weight, "
            "depth_head.extra.1.weight, depth_head.extra.2.weight, ...",
        ),
        (
            lambda state: random_state(official_shapes(48, 4, 16, (8, 12, 16, 32))),
            "wrong_shapes",
            "5 of 122 tensors have another shape: decoder.",
        ),
        (lambda state: _of_width(768), "other_size", "is a Base checkpoint (768 wide)"),
        (lambda state: _of_width(1024), "other_size", "is a Large checkpoint (1024 wide)"),
        (lambda state: _of_width(192), "other_size", f"no known size (192 wide), and {ASKED}"),
        (
            lambda state: {"conv1.weight": torch.zeros(8, 3, 7, 7)},
            "unknown_layout",
            "is not a checkpoint of Depth Anything V2: its 1 names begin with conv1.weight; "
            "expected pretrained.* and depth_head.*",
        ),
        (
            lambda state: {name: v for name, v in state.items() if name.startswith("pretrained.")},
            "unknown_layout",
            "is not a checkpoint of Depth Anything V2",
        ),
    ],
)
def test_weights_of_something_else_leave_the_network_as_it_was(
    change, reason, words, state, network, tmp_path
):
    before = {name: values.clone() for name, values in network.state_dict().items()}
    path = _saved(change(state), tmp_path / "weights.pth")

    message = _refusal(reason, load_weights, network, CARD, path)

    assert words in message and str(path) in message
    assert all(torch.equal(values, before[k]) for k, values in network.state_dict().items())


@pytest.mark.parametrize(
    ("version", "reads"),
    [("2.5.1+cu121", False), ("1.13.1", False), ("2.6.0", True), ("2.13.0a0+git12", True)],
)
def test_a_pickle_is_not_read_by_a_torch_that_does_not_protect(
    network, tmp_path, monkeypatch, version, reads
):
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(torch, "__version__", version)
    if reads:
        assert read_state_dict(path)
    else:
        message = _refusal("unsafe", read_state_dict, path)
        assert f"torch {version} does not protect" in message and ".safetensors" in message
