"""A line in log depth, put into the last layer of a network."""

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.rescaling import can_rescale, log_depth_line, rescale_weights

CARD = find_card("tiny")


def estimator(weights=""):
    return DepthEstimator("tiny", str(weights), "cpu", precision="fp32", input_size=64)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.7), (1.3, -0.4), (0.8, 0.0)])
def test_metres_follow_the_line_exactly(tmp_path, slope, shift):
    rng = np.random.default_rng(0)
    camera = Camera.from_hfov(96, 64, 75.0)
    rgb = rng.integers(0, 256, (64, 96, 3), np.uint8)
    before = estimator().infer(rgb, camera).depth_m
    wanted = np.exp(slope * np.log(before) + shift)

    fit = log_depth_line([(before[:32], wanted[:32]), (before[32:], wanted[32:])])
    focal = camera.K[0]  # the network is given the picture at its own size
    line = rescale_weights(CARD, resolve_weights("", CARD), fit, focal, tmp_path / "w.safetensors")

    np.testing.assert_allclose(line, (slope, shift), atol=1e-4)
    after = estimator(tmp_path / "w.safetensors").infer(rgb, camera).depth_m
    # Bilinear enlargement to the picture is of depth, not of its logarithm: here there is none.
    np.testing.assert_allclose(after, wanted, rtol=2e-3)


def test_a_wild_slope_is_held_back(tmp_path):
    rng = np.random.default_rng(0)
    near = rng.uniform(1, 2, 1000)
    fit = log_depth_line([(near, near**5)])

    line = rescale_weights(CARD, resolve_weights("", CARD), fit, 100.0, tmp_path / "w.safetensors")
    assert line[0] == 2.0


def test_only_an_answer_in_logarithms_can_be_rescaled():
    names = ("tiny", "tiny_relative", "depth_anything_v2_metric_indoor_small")
    assert [can_rescale(find_card(name)) for name in names] == [True, False, False]
