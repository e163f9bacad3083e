"""What transformers saved: folders and repositories that make a model, and weights that fit."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_transformers as tiny
import torch
from hub_server import COMMIT, serve, store
from refusals import refusal
from safetensors.torch import load_file, save_file

from depth_anything_ros.core.errors import CheckpointError, ModelError
from depth_anything_ros.models import find_card
from depth_anything_ros.models.networks.build import empty_network

# Names and configs that are refused


OTHER = "which is no depth model; known: depth_anything, "


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (None, "unknown_model", "has no config.json"),
        ('{"model_type": "bert"}', "not_a_depth_model", f"config.json is of 'bert', {OTHER}"),
        ('{"model_type": "chmv2"}', "not_a_depth_model", f"config.json is of 'chmv2', {OTHER}"),
        (
            '{"model_type": "dpt", "architectures": ["DPTForSemanticSegmentation"]}',
            "not_a_depth_model",
            f"config.json is of DPTForSemanticSegmentation, {OTHER}",
        ),
        ("{", "config", "cannot make a model of "),
        ("[]", "config", "cannot make a model of "),
        ("{}", "config", "cannot make a model of "),
        (
            '{"model_type": "depth_anything", "depth_estimation_type": "roughly"}',
            "config",
            "cannot make a model of ",
        ),
        ('{"model_type": "glpn", "max_depth": "far"}', "config", "cannot make a model of "),
        ('{"model_type": "glpn", "max_depth": null}', "config", "cannot make a model of "),
        (
            '{"model_type": "dpt", "backbone": "facebook/dinov2-small"}',
            "config",
            "cannot make a model of ",
        ),
    ],
)
def test_a_folder_that_no_model_can_be_made_of(content, reason, words, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    message = refusal(ModelError, reason, find_card, f"hf:{tmp_path}")

    assert words in message and str(tmp_path) in message


def test_a_name_and_a_config_of_which_no_network_can_be_made(tmp_path):
    message = refusal(ModelError, "unknown_model", find_card, "hf:/no/such folder")
    assert "there is no folder /no/such folder, and it is no name of a repo" in message

    config, _ = tiny.glpn()
    config.num_attention_heads = [3, 3, 3, 3]
    config.save_pretrained(tmp_path)
    refusal(ModelError, "config", tiny.estimator, f"hf:{tmp_path}", "random")


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    name = tiny.save(tiny.dpt, tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for file, classes in (
        ("config.json", ("AutoConfig", "AutoModelForDepthEstimation")),
        ("preprocessor_config.json", ("AutoImageProcessor",)),
    ):
        content = json.loads((tmp_path / file).read_text())
        content["auto_map"] = dict.fromkeys(classes, "evil.Evil")
        (tmp_path / file).write_text(json.dumps(content))

    tiny.estimator(name).infer(tiny.picture(64, 64))

    assert not (tmp_path / "ran").exists()


BLOCKED = """
import sys
sys.modules["transformers"] = None
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models import DepthEstimator
DepthEstimator("test_relative", "random", "cpu", "fp32")
try:
    DepthEstimator("hf:" + sys.argv[1])
except ModelError as error:
    print(error.reason, error)
"""


def test_transformers_is_an_extra(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path)], capture_output=True, text=True, timeout=300
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("no_transformers models named hf:... need the library")
    assert "-m pip install transformers (the extra [hf])" in result.stdout


# Weights


def _halved(state, folder):
    state = {key: values.half() for key, values in state.items()}
    whole = {"dpt.relative_position_index": torch.zeros(4, dtype=torch.int64)}
    save_file({**state, **whole}, folder / "model.safetensors", {"format": "pt"})


def _pickled(state, folder):
    torch.save(state, folder / "pytorch_model.bin")


def _without_what_is_never_run(state, folder):
    """Intel/dpt-large lacks it."""
    kept = {key: state[key] for key in state if "layers.0.residual_layer1" not in key}
    assert len(kept) == len(state) - 4
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("write", "most"), [(_halved, 0.01), (_pickled, 0), (_without_what_is_never_run, 0)]
)
def test_weights_of_every_form_load_as_float32(write, most, tmp_path):
    name = tiny.save(tiny.dpt, tmp_path / "one")
    rgb = tiny.picture(64, 80)
    expected = tiny.estimator(name).infer(rgb).disparity
    file = tmp_path / "one" / "model.safetensors"
    state = load_file(file)
    (tmp_path / "other").mkdir()
    write(state, tmp_path / "other")

    estimator = tiny.estimator(name, str(tmp_path / "other"))  # of another folder

    assert {values.dtype for values in estimator.network.parameters()} == {torch.float32}
    assert tiny.difference(estimator.infer(rgb).disparity, expected) <= most


@pytest.mark.parametrize(
    ("last", "reason", "words"),
    [
        (None, "missing_keys", "head.head.4.weight"),
        (torch.zeros(2, 32, 1, 1), "wrong_shapes", "head.head.4.weight"),
        (torch.zeros(1, 32, 1, 1, dtype=torch.int8), "wrong_kinds", "head.head.4.weight is int8"),
    ],
)
def test_weights_that_do_not_fit(last, reason, words, tmp_path):
    name = tiny.save(tiny.dpt, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["head.head.4.weight"]
    if last is not None:
        state["head.head.4.weight"] = last
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})

    message = refusal(CheckpointError, reason, tiny.estimator, name)
    assert words in message and f"does not fit {name}" in message

    (tmp_path / "model.safetensors").unlink()
    message = refusal(CheckpointError, "not_found", tiny.estimator, name)
    assert f"{tmp_path} has none of model.safetensors, pytorch_model.bin" in message


def test_weights_of_another_model_are_refused_by_their_config(tmp_path):
    relative, metric = tmp_path / "relative", tmp_path / "metric"
    name = tiny.save(tiny.depth_anything, relative)
    tiny.save(tiny.depth_anything_metric, metric)

    message = refusal(CheckpointError, "other_model", tiny.estimator, name, str(metric))

    assert "is of depth_anything (metric up to 20 m) by its config.json" in message
    assert f"{name} is of depth_anything (relative)" in message


def test_the_network_has_all_that_a_checkpoint_does_not_hold(tmp_path):
    """Buffers, as BEiT's indices, are made by the constructor and are not to be lost."""
    card = find_card(tiny.save(tiny.zoedepth, tmp_path))
    expected = dict(tiny.random_model(tiny.zoedepth()[0]).named_buffers())

    found = dict(empty_network(card).model.named_buffers())

    assert len(found) == len(expected) > 0
    assert all(torch.equal(found[key], expected[key]) for key in found)


# The hub


def test_a_repo_is_found_in_the_cache(cache, tmp_path):
    expected = tiny.estimator(tiny.save(tiny.dpt, tmp_path / "mine")).infer(tiny.picture(64, 64))
    for path in (tmp_path / "mine").iterdir():
        store(cache, "org/tiny", path.name, path.read_bytes())

    estimator = tiny.estimator("hf:org/tiny")

    assert (estimator.card.hub_repo, estimator.card.hub_file) == ("org/tiny", "model.safetensors")
    assert np.array_equal(estimator.infer(tiny.picture(64, 64)).disparity, expected.disparity)
    assert COMMIT in estimator.description


def test_a_repo_that_is_not_in_the_cache(cache):
    message = refusal(CheckpointError, "not_cached", find_card, "hf:org/tiny")

    assert "config.json of org/tiny is not in the cache" in message
    assert "downloading is off; where there is a network, run: " in message
    assert message.endswith("hf download org/tiny")


DOWNLOAD = """
import numpy as np
from depth_anything_ros.models import DepthEstimator
rgb = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
for download in (True, False):
    estimator = DepthEstimator("hf:org/tiny", "", "cpu", "fp32", download=download)
    print(estimator.card.licence, estimator.infer(rgb).disparity.mean())
"""


def test_a_repo_is_fetched_once(tmp_path):
    tiny.save(tiny.dpt, tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("---\nlicense: mit\n---\n")
    files = {f"org/tiny:{path.name}": path.read_bytes() for path in (tmp_path / "mine").iterdir()}

    with serve(files) as hub:
        result = subprocess.run(
            [sys.executable, "-c", DOWNLOAD],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        fetched = [request for request in hub.requests if request.startswith("GET /org/")]
    assert result.returncode == 0, result.stderr
    fresh, cached = result.stdout.splitlines()

    assert fresh == cached
    assert fresh.startswith("MIT ")
    assert sorted(fetched) == [
        f"GET /org/tiny/resolve/main/{name}"
        for name in ("README.md", "config.json", "model.safetensors", "preprocessor_config.json")
    ]
