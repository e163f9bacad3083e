"""Marigold's adapter against its own pipeline of diffusers, on a tiny one with random weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_marigold as tiny
import torch
from hub_server import serve, store
from huggingface_hub import constants
from PIL import Image
from refusals import refusal

from depth_anything_ros.core.depth import AffineDepthMap, DisparityMap
from depth_anything_ros.core.errors import CheckpointError, ImageError, ModelError
from depth_anything_ros.engines.export import exportable
from depth_anything_ros.engines.loading import choose_by_timing, load_estimator
from depth_anything_ros.models import DepthEstimator, find_card
from depth_anything_ros.models.networks.marigold import SEED
from depth_anything_ros.models.weights.find import cached_weights
from depth_anything_ros.models.zoo import CARDS, rows_diffusers
from depth_anything_ros.tools import weights
from depth_anything_ros.tools.command import main

SIZES = [(96, 96), (75, 110), (48, 40)]  # height and width; the last one is enlarged
TOLERANCE = 1e-5
ROW = CARDS["marigold_depth_v1_1"]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def estimator(folder, weights="", **options):
    return DepthEstimator(f"hf:{folder}", weights, "cpu", "fp32", **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a pipeline, and the pipeline."""
    folder = tmp_path_factory.mktemp("marigold") / "one"
    return folder, tiny.save(folder)


def test_same_answers_as_the_pipeline_of_diffusers(saved, parity):
    folder, pipeline = saved
    ours, differences = estimator(folder), []
    for size in SIZES:
        found = ours.infer(picture(*size))
        generator = torch.Generator().manual_seed(SEED)
        expected = pipeline(Image.fromarray(picture(*size)), generator=generator).prediction
        assert isinstance(found, AffineDepthMap) and found.depth.shape == size
        assert np.ptp(expected) > 0.1
        differences.append(np.abs(found.depth - expected[0, ..., 0]).max() / np.ptp(expected))

    parity("Marigold", "tiny width, the same noise", "`diffusers`' pipeline", SIZES, differences)
    assert max(differences) <= TOLERANCE


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "LCMScheduler"])
def test_a_picture_has_one_answer_alone_again_and_among_others(scheduler, tmp_path):
    tiny.save(tmp_path / "one", scheduler=scheduler)
    ours, pictures = estimator(tmp_path / "one"), [picture(64, 48, seed) for seed in range(3)]
    state = torch.random.get_rng_state()

    together = ours.infer_batch(pictures, [None] * 3)
    alone = [ours.infer(rgb) for rgb in pictures]

    assert torch.equal(torch.random.get_rng_state(), state)
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_array_equal(first.depth, second.depth)
    assert np.abs(alone[0].depth - alone[1].depth).max() > 0.01


def test_a_pipeline_of_disparity_is_a_relative_model(tmp_path):
    tiny.save(tmp_path / "one", prediction="disparity")
    assert isinstance(estimator(tmp_path / "one").infer(picture(32, 32)), DisparityMap)


def test_another_input_size_and_16_bits(saved):
    folder, pipeline = saved
    found = estimator(folder, input_size=32).infer(picture(64, 64)).depth
    generator = torch.Generator().manual_seed(SEED)
    image = Image.fromarray(picture(64, 64))
    expected = pipeline(image, generator=generator, processing_resolution=32).prediction
    np.testing.assert_allclose(found, expected[0, ..., 0], atol=1e-5)

    rounded = DepthEstimator(f"hf:{folder}", "", "cpu", "bf16", input_size=32)
    values = rounded.infer(picture(64, 64)).depth
    np.testing.assert_allclose(values, found, atol=0.1)
    assert (values != torch.from_numpy(values).bfloat16().float().numpy()).mean() > 0.9  # no steps


def test_torch_alone_runs_it(saved):
    folder, _ = saved
    name = f"hf:{folder}"
    loaded = load_estimator(name, "", "cpu", "auto", "fp32", 32)
    assert loaded.engine.name == "torch"
    np.testing.assert_array_equal(
        loaded.infer(picture(64, 64)).depth,
        estimator(folder, input_size=32).infer(picture(64, 64)).depth,
    )
    assert [engine.name for engine, _ in choose_by_timing(name, "", "cpu", "fp32", 32)] == ["torch"]
    said = refusal(ModelError, "engine", load_estimator, name, "", "cpu", "openvino")
    assert "is run by torch alone" in said
    refusal(ModelError, "export", exportable, loaded, (32, 32))


# The row, and what it needs


def test_the_row_is_there_with_its_library_only(monkeypatch):
    assert (ROW.kind, ROW.licence, ROW.commercial) == ("affine_depth", "OpenRAIL++-M", True)
    assert (ROW.hub_repo, ROW.option("steps")) == ("prs-eth/marigold-depth-v1-1", 4)
    monkeypatch.setattr(rows_diffusers, "find_spec", lambda name: None)
    assert rows_diffusers.rows() == []


def test_the_row_is_here_when_all_of_its_files_are(saved, cache):
    folder, _ = saved
    files = {name: folder / name for name in (ROW.hub_file, *ROW.option("beside"))}
    stored = {name: path for name, path in files.items() if path.is_file()}
    for name, path in stored.items():
        store(cache, ROW.hub_repo, name, path.read_bytes())
    assert ROW.hub_file in stored and cached_weights(ROW) is None
    for name in files.keys() - stored.keys():  # of the tokenizer, in the form of old versions
        store(cache, ROW.hub_repo, name, (folder / "tokenizer/tokenizer_config.json").read_bytes())

    path = cached_weights(ROW)

    assert path is not None and path.as_posix().endswith(f"/{ROW.hub_file}")


def test_what_lies_beside_its_weights_is_fetched_and_copied_as_well(cache, monkeypatch, tmp_path):
    row = replace(ROW, options=(("beside", ("model_index.json", "vae/config.json")),))
    names = (row.hub_file, *row.option("beside"))
    monkeypatch.setattr(weights, "find_card", lambda name, download: row)
    with serve({f"{row.hub_repo}:{name}": name.encode() for name in names}) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        assert main(["weights", "fetch", row.name, "--output", str(tmp_path / "copy")]) == 0
    path = cached_weights(row)
    for folder in (path.parents[1], tmp_path / "copy"):
        assert [(folder / name).read_text() for name in names] == list(names)
    said = refusal(CheckpointError, "damaged", DepthEstimator, row, str(path), "cpu")
    assert "diffusers cannot load marigold_depth_v1_1 from" in said


def test_a_repository_of_the_cache(saved, cache):
    folder, _ = saved
    for path in folder.rglob("*.*"):
        store(cache, "org/mine", str(path.relative_to(folder)), path.read_bytes())
    card = find_card("hf:org/mine")
    assert (card.family, card.hub_repo) == ("marigold", "org/mine")


# What is refused


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, "not_a_depth_model", "StableDiffusion"),
        ({"prediction_type": "normals"}, "config", "does not describe a pipeline of Marigold"),
        ({"default_denoising_steps": "few"}, "config", "does not describe a pipeline of Marigold"),
    ],
)
def test_an_index_that_says_something_else(change, reason, words, saved, tmp_path):
    written = json.loads((saved[0] / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**written, **change}))
    assert words in refusal(ModelError, reason, find_card, f"hf:{tmp_path}")


def test_what_it_cannot_do_without(saved, tmp_path):
    tiny.save(tmp_path / "one")
    (tmp_path / "one/vae/diffusion_pytorch_model.safetensors").unlink()
    refusal(CheckpointError, "damaged", estimator, tmp_path / "one")
    (tmp_path / "one/unet/diffusion_pytorch_model.safetensors").unlink()
    refusal(CheckpointError, "not_found", estimator, tmp_path / "one")
    said = refusal(ModelError, "weights", estimator, saved[0], "random")
    assert "is described by its file of weights, so it has no random ones" in said


def test_pictures_that_are_refused(saved):
    ours = estimator(saved[0])
    refusal(ImageError, "aspect", ours.infer, picture(8, 80))
    refusal(ImageError, "shape", ours.infer, np.zeros((8, 8), np.uint8))
