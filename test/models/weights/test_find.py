import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import serve, store
from huggingface_hub import constants
from official_layout import hf_from_official, official_shapes, random_state
from refusals import refusal
from safetensors.torch import save as to_safetensors

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights import find as weights_module
from depth_anything_ros.models.weights.find import cached_weights, resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card

SMALL = find_card("depth_anything_v2_small")
BASE = find_card("depth_anything_v2_base")
CONTENT = b"not weights, but a file with a hash"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def _refusal(reason, *args, **kwargs):
    return refusal(CheckpointError, reason, resolve_weights, *args, **kwargs)


def _licences(caplog):
    return [(r.levelname, r.getMessage()) for r in caplog.records if "licence" in r.getMessage()]


# Names


def test_random_is_no_file(cache):
    assert resolve_weights("random", SMALL) is None


def test_a_file_and_a_folder_are_taken_as_they_are(cache, tmp_path):
    path = tmp_path / "mine.pth"
    path.touch()
    (tmp_path / "model.safetensors").touch()

    assert resolve_weights(str(path), SMALL) == path
    assert resolve_weights(str(tmp_path), SMALL) == tmp_path / "model.safetensors"


def test_a_path_may_begin_with_the_home_folder(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.pth").touch()

    assert resolve_weights("~/mine.pth", SMALL) == tmp_path / "mine.pth"


@pytest.mark.parametrize("weights", ["no.pth", "./no", "/no/where", "folder/no.safetensors"])
def test_a_path_of_nothing_is_not_taken_for_a_hub_id(weights, cache):
    assert f"there is no file {Path(weights)}" in _refusal("not_found", weights, SMALL)


def test_a_folder_goes_before_a_hub_id_of_the_same_name(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "model.safetensors").touch()

    assert resolve_weights("org/name", SMALL) == Path("org/name/model.safetensors")


def test_a_name_that_no_hub_can_have(cache):
    message = _refusal("not_found", "org/na--me", SMALL)

    assert "'org/na--me' is no path here and no hub id" in message


# The weights that come with this package


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A stand-in for the package's folder of weights, with the file of tiny in it."""
    folder = tmp_path / "package" / "weights"
    folder.mkdir(parents=True)
    (folder / "tiny.safetensors").touch()
    monkeypatch.setattr(weights_module, "BUNDLED", folder)
    return folder


@pytest.mark.parametrize(
    ("weights", "card"),
    [
        ("", find_card("tiny")),
        ("", find_card("tiny_relative")),
        ("tiny", find_card("tiny_relative")),
        ("tiny_relative", find_card("tiny")),
        ("tiny", SMALL),  # for load_weights to refuse
    ],
)
def test_bundled_weights_need_no_cache_and_no_network(weights, card, bundled, cache, caplog):
    with caplog.at_level(logging.INFO):
        assert resolve_weights(weights, card) == bundled / "tiny.safetensors"

    assert not cache.exists()
    assert _licences(caplog) == [
        ("INFO", "weights tiny.safetensors of this package: licence Apache-2.0")
    ]


def test_bundled_weights_lie_in_the_package(repository):
    assert weights_module.BUNDLED.relative_to(repository) == Path("depth_anything_ros/weights")


def test_bundled_weights_that_are_missing_are_a_broken_installation(bundled, cache):
    (bundled / "tiny.safetensors").unlink()

    message = _refusal("not_found", "", find_card("tiny"), download=True)

    assert "the weights of tiny are missing from this installation" in message
    assert f"there is no {bundled / 'tiny.safetensors'}; install the package again" in message


def test_a_folder_with_the_own_file_is_taken(bundled, cache):
    tiny = find_card("tiny")

    assert resolve_weights(str(bundled), tiny) == bundled / "tiny.safetensors"


# The cache


@pytest.mark.parametrize(
    ("weights", "repo", "name"),
    [
        ("org/other", "org/other", "model.safetensors"),
        ("org/other:sub/weights.pth", "org/other", "sub/weights.pth"),
        ("depth-anything/Depth-Anything-V2-Small-hf", None, "model.safetensors"),
    ],
)
def test_a_hub_id_is_found_in_the_cache(weights, repo, name, cache):
    link = store(cache, repo or weights, name, CONTENT)

    assert resolve_weights(weights, SMALL) == link


@pytest.mark.parametrize(
    "weights", ["", "depth_anything_v2_small", SMALL.hub_repo, f"{SMALL.hub_repo}:{SMALL.hub_file}"]
)
def test_the_pinned_hash_is_checked_however_the_file_is_named(weights, cache):
    link = store(cache, SMALL.hub_repo, SMALL.hub_file, CONTENT)

    message = _refusal("sha256", weights, SMALL)

    assert f"{link} has sha256 {SHA256}, expected {SMALL.sha256}" in message
    assert "remove it and fetch it again" in message


def test_a_pinned_file_that_is_right_is_found(cache, caplog):
    card = dataclasses.replace(SMALL, hub_repo="org/tiny", sha256=SHA256)
    link = store(cache, "org/tiny", card.hub_file, CONTENT)

    with caplog.at_level(logging.INFO):
        assert resolve_weights("", card) == link
    assert "not pinned" not in caplog.text


def test_a_damaged_blob_is_refused_though_no_hash_is_pinned(cache, caplog):
    store(cache, "org/other", "model.safetensors", CONTENT[:-1], SHA256)

    with caplog.at_level(logging.INFO):
        assert f"expected {SHA256}" in _refusal("sha256", "org/other", SMALL)
    assert "model.safetensors of org/other: its sha256 is not pinned" in caplog.text


def test_what_is_not_in_the_cache_comes_with_the_command_that_gets_it(cache):
    message = _refusal("not_cached", "", SMALL)

    assert f"depth_anything_v2_vits.pth of {SMALL.hub_repo} is not in the cache {cache}" in message
    assert "downloading is off" in message
    assert f"hf download {SMALL.hub_repo} depth_anything_v2_vits.pth;" in message
    assert "or set weights to the path" in message


def test_hf_files_are_to_be_fetched_with_their_config(cache):
    message = _refusal("not_cached", "org/other", SMALL)

    assert "hf download org/other model.safetensors config.json" in message


def test_the_offline_variable_forbids_a_download(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert "HF_HUB_OFFLINE is set" in _refusal("not_cached", "", SMALL, download=True)


def test_weights_that_were_never_released(cache):
    giant = find_card("depth_anything_v2_giant")

    message = _refusal("not_released", "", giant)

    assert (
        "no weights were released for depth_anything_v2_giant; set weights to the path" in message
    )


# Licences


@pytest.mark.parametrize(
    ("card", "level", "words"),
    [
        (SMALL, "INFO", "licence Apache-2.0"),
        (BASE, "WARNING", "licence CC-BY-NC-4.0, NO COMMERCIAL USE"),
    ],
)
def test_the_licence_of_official_weights_is_logged(card, level, words, cache, tmp_path, caplog):
    path = tmp_path / card.hub_file
    path.touch()
    repo = f"{card.hub_repo}-hf"
    store(cache, repo, "model.safetensors", CONTENT)

    with caplog.at_level(logging.INFO):
        resolve_weights(str(path), card)
        resolve_weights(repo, card)

    assert _licences(caplog) == [
        (level, f"weights {card.hub_file}: {words}"),
        (level, f"weights {repo}:model.safetensors: {words}"),
    ]


def test_weights_of_ones_own_have_a_licence_that_is_not_known(cache, tmp_path, caplog):
    (tmp_path / "mine.pth").touch()

    with caplog.at_level(logging.INFO):
        resolve_weights(str(tmp_path / "mine.pth"), BASE)

    assert _licences(caplog) == [
        (
            "INFO",
            "weights mine.pth: their licence is not known here (CC-BY-NC-4.0 is that of the "
            "official weights of depth_anything_v2_base)",
        )
    ]


def test_a_name_that_any_model_has_makes_no_weights_official(cache, tmp_path, caplog):
    v1 = find_card("depth_anything_v1_small")
    (tmp_path / v1.hub_file).touch()
    store(cache, v1.hub_repo, v1.hub_file, CONTENT)

    with caplog.at_level(logging.INFO):
        resolve_weights(str(tmp_path / v1.hub_file), v1)
        resolve_weights("", v1)

    own, official = _licences(caplog)
    assert "weights pytorch_model.bin: their licence is not known here" in own[1]
    assert official[1] == f"weights {v1.hub_repo}:pytorch_model.bin: licence Apache-2.0"


@pytest.mark.parametrize("name", ["depth_anything_v1_small", "tiny", "depth_anything_v2_giant"])
def test_whether_weights_are_on_this_machine(name, cache):
    card = find_card(name)
    assert (cached_weights(card) is None) == (name != "tiny")

    if card.hub_repo:
        assert store(cache, card.hub_repo, card.hub_file, CONTENT) == cached_weights(card)


# Downloads, in a process of their own since huggingface_hub reads its environment at import


SCRIPT = """
import dataclasses, json, sys
import numpy as np
from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models import DepthEstimator, find_card

changes, calls = json.loads(sys.argv[1])
card = dataclasses.replace(find_card("test_relative"), **changes)
for weights, download in calls:
    try:
        estimator = DepthEstimator(card, weights, "cpu", "fp32", 56, download)
        picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
        answer = float(estimator.infer(picture).disparity.mean())
        print(json.dumps(["loaded", answer]))
    except CheckpointError as error:
        print(json.dumps([error.reason, str(error)]))
"""


def _estimate(endpoint, home, changes, *calls, **environment):
    """Make an estimator for each (weights, download); a pair of what came of it for each."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([changes, calls])],
        env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def state():
    return random_state(official_shapes(48, 4, 16, (8, 12, 16, 24)))


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save(state, path)
    return path


def test_download_then_cache_then_offline(checkpoint, tmp_path):
    changes = {
        "hub_repo": "org/tiny",
        "hub_file": "tiny.pth",
        "sha256": sha256_of(checkpoint),
    }
    with serve({"org/tiny:tiny.pth": checkpoint.read_bytes()}) as hub:
        refused, loaded, cached = _estimate(
            hub.url, tmp_path, changes, ("", False), ("", True), ("", False)
        )
        asked = [request for request in hub.requests if "org/tiny" in request]
    (offline,) = _estimate(hub.url, tmp_path, changes, ("", True), HF_HUB_OFFLINE="1")

    assert refused[0] == "not_cached"
    assert loaded[0] == "loaded"
    assert loaded == cached == offline
    # Only the second call went to the hub, and once for the file.
    assert asked == [
        "HEAD /org/tiny/resolve/main/tiny.pth",
        "GET /org/tiny/resolve/main/tiny.pth",
    ]


def test_an_hf_file_comes_with_the_config_that_says_what_it_is(state, tmp_path):
    weights = to_safetensors(hf_from_official(state, depth=4))
    config = {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 80}
    files = {
        "org/relative-hf:model.safetensors": weights,
        "org/metric-hf:model.safetensors": weights,
        "org/metric-hf:config.json": json.dumps(config).encode(),
    }

    with serve(files) as hub:
        relative, metric = _estimate(
            hub.url, tmp_path, {}, ("org/relative-hf", True), ("org/metric-hf", True)
        )

    assert relative[0] == "loaded"
    assert metric[0] == "other_model"
    assert "is metric up to 80 m by " in metric[1]


def test_what_the_hub_changed_or_does_not_have_is_refused(checkpoint, tmp_path):
    changes = {"hub_repo": "org/tiny", "hub_file": "tiny.pth", "sha256": "0" * 64}

    with serve({"org/tiny:tiny.pth": checkpoint.read_bytes()}) as hub:
        changed, missing = _estimate(
            hub.url, tmp_path, changes, ("", True), ("org/tiny:no.pth", True)
        )

    assert changed[0] == "sha256"
    assert f"expected {'0' * 64}" in changed[1]
    assert missing[0] == "download"
    assert f"cannot fetch no.pth of org/tiny from {hub.url}: 404 Client Error" in missing[1]
    assert "hf download org/tiny no.pth" in missing[1]
