"""Depth Anything's data engine in small: a teacher, its pseudo-labels, a student."""

import csv

import numpy as np
import pytest
import torch
from lesson import picture, write_lesson, write_pictures

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.build import untrained_network
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.tools.command import main
from depth_anything_ros.training.beginnings import teacher_encoder
from depth_anything_ros.training.objective import normalise
from depth_anything_ros.training.recipe import RECIPE_FOLDER, load_recipe
from depth_anything_ros.training.samples import FolderSource

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 96, 64  # multiples of 32, of pictures that are as wide as 4:3
SMALL = {
    "sizes": f"[[{WIDTH}, {HEIGHT}, 1]]",
    "optimiser.warmup_steps": 5,
    "ema_decay": 0.9,
    "precision": "fp32",
    "validate.every": 0,
    "panel_every": 0,
    "tensorboard": "never",
    "workers": 1,
}


def trained(recipe, output, settings):
    """Run the verb ``train``; return the rows of its log."""
    words = [word for k, v in (SMALL | settings).items() for word in ("--set", f"{k}={v}")]
    common = ["train", "--recipe", recipe, "--output", str(output), "--device", "cpu"]
    assert main([*common, *words]) == 0
    with (output / "log.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher that has seen six pictures with exact depth."""
    folder = tmp_path_factory.mktemp("teacher")
    write_lesson(folder / "exact")
    source = f"{{kind: folder, path: {folder / 'exact'}, augment: none}}"
    settings = {
        "sources": f"[{source}]",
        "losses": "{log_l1: 0.2, ssi: 1, gradient: 0.5}",
        "steps": 50,
        "batch_size": 6,
        "optimiser.lr": 5e-4,
        "log_every": 5,
    }
    rows = trained("smoke", folder / "run", settings)
    assert rows[-1]["ssi"] < 0.6 * rows[0]["ssi"]
    return folder / "run" / "weights.safetensors"


@pytest.fixture(scope="module")
def labels(teacher, tmp_path_factory):
    """Its labels of ten other pictures."""
    folder = tmp_path_factory.mktemp("data")
    pictures, output = write_pictures(folder / "pictures", 10, first=20), folder / "labels"
    words = ["--input", str(pictures), "--output", str(output), "--model", "tiny_relative"]
    more = ["--weights", str(teacher), "--device", "cpu", "--input-size", str(HEIGHT)]
    assert main(["pseudo-label", *words, *more]) == 0
    return output


def correlation(disparity, number):
    """Compare with the inverse depth of a picture, which is known here."""
    return float(np.corrcoef(disparity.ravel(), 1 / picture(number)[1].ravel())[0, 1])


def test_the_teacher_labels_pictures_that_it_has_not_seen(labels):
    source = FolderSource(labels)
    assert source.count == 10
    found = [correlation(source.get(i).disparity, 20 + i) for i in range(10)]
    assert np.mean(found) > 0.6


def test_a_student_learns_from_the_labels_under_strong_changes(labels, tmp_path):
    settings = {
        "init": "",  # a student that begins where its teacher ended has less to learn
        # So it knows nothing yet that could stay as it is.
        "optimiser.frozen": "[]",
        "optimiser.depthwise": "true",
        "optimiser.encoder_lr_scale": 1,
        "sources.0.width": WIDTH,
        "sources.0.height": HEIGHT,
        "sources.0.count": 8,
        "sources.0.cache": "",
        "sources.1.path": labels,
        "sources.1.weight": 3,
        "steps": 240,
        "batch_size": 8,
        "optimiser.lr": 1e-3,
        "log_every": 10,
    }
    assert load_recipe(RECIPE_FOLDER / "student.yaml").sources[1].augment == "strong"
    rows = trained("student", tmp_path, settings)
    for name, most in (("loss", 0.9), ("ssi", 0.85)):
        values = [row[name] for row in rows]
        # A row is of ten batches, and loss of depth swings by a fifth from one to the next.
        assert np.mean(values[-6:]) < most * np.mean(values[:6])
    weights = str(tmp_path / "weights.safetensors")
    student = DepthEstimator("tiny_relative", weights, "cpu", "fp32", input_size=HEIGHT)
    rgb, depth = picture(77)
    disparity = student.infer(rgb).disparity
    fit = fit_scale_shift(disparity, depth)
    assert fit.used == "least_squares" and correlation(disparity, 77) > 0.5


def features(encoder):
    """Return the last feature map of pictures that nobody was trained on."""
    rgb = np.stack([picture(number)[0] for number in range(60, 68)])
    image = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return encoder(normalise(image, find_card("tiny")))[-1]


def test_a_student_comes_near_to_a_frozen_encoder(teacher, labels, tmp_path):
    """Feature alignment with the teacher's encoder, from random weights.

    The loss itself need not fall: what is near enough leaves it, and the rest is its mean.
    """
    settings = {
        "sources": f"[{{kind: pseudo, path: {labels}, augment: strong}}]",
        "losses": "{ssi: 0.5, feature_alignment: 1}",
        "teacher": f"{{model: tiny, weights: {teacher}}}",
        "seed": 3,
        "steps": 40,
        "batch_size": 4,
        "log_every": 10,
    }
    rows = trained("smoke", tmp_path, settings)
    assert all(0 <= row["feature_alignment"] < 2 for row in rows)
    card, recipe = find_card("tiny"), load_recipe(tmp_path / "recipe.yaml")
    wanted = features(teacher_encoder(recipe, card))
    student = untrained_network(card, 3).eval()
    near = []
    for state in (student.state_dict(), torch.load(tmp_path / "state.pt")["average"]):
        student.load_state_dict(state)
        found = features(student.encoder)
        near.append(float(torch.cosine_similarity(found, wanted, dim=1).mean()))
    assert near[1] > near[0] + 0.2
