"""Asking a model for pictures where its device has no memory left."""

from functools import partial

import torch

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DisparityMap
from depth_anything_ros.engines.gate import pictures
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.nodes.depth_pipeline import View
from depth_anything_ros.nodes.inference import infer_apart, infer_within_memory

CAMERA = Camera.from_hfov(160, 120, 80.0)
VIEWS = [View(rgb, CAMERA) for rgb in pictures(2, 120, 160)]


def short_of_memory(largest):
    """Make an estimator whose device takes inputs of no more than so many pixels."""
    estimator = DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=112)

    def run(batch):
        if batch[:, 0].numel() > largest:
            torch.empty(1 << 55)  # raises what the allocator does
        return estimator.run_network(batch)

    estimator.runner = run
    return estimator


def ask(estimator):
    return infer_within_memory(estimator, partial(infer_apart, estimator, VIEWS))


def test_enough_memory_changes_nothing():
    estimator = short_of_memory(2 * 112 * 154)

    assert all(isinstance(answer, DisparityMap) for answer in ask(estimator))
    assert estimator.input_size == 112


def test_a_batch_that_is_too_large_is_answered_one_by_one():
    estimator = short_of_memory(112 * 154)

    assert all(isinstance(answer, DisparityMap) for answer in ask(estimator))
    assert estimator.input_size == 112


def test_without_memory_smaller_pictures_are_answered_and_stay_so(caplog):
    estimator = short_of_memory(84 * 112)

    for _ in range(2):
        answers = ask(estimator)
        assert all(isinstance(answer, DisparityMap) for answer in answers)
        assert answers[0].disparity.shape == (120, 160)
    assert estimator.input_size == 84
    assert caplog.text.count("out of memory on cpu at input size 112: going on with 84") == 1


def test_one_step_a_time_and_never_a_dead_node():
    estimator = short_of_memory(42 * 56)

    sizes = []
    for _ in range(3):
        answers = ask(estimator)
        sizes.append(estimator.input_size)
    assert sizes == [84, 56, 42]
    assert all(isinstance(answer, DisparityMap) for answer in answers)


def test_what_fits_nowhere_is_dropped_with_its_reason():
    estimator = short_of_memory(0)
    for _ in range(9):
        answers = ask(estimator)

    assert {answer.reason for answer in answers} == {"out_of_memory"}
    assert "out of memory on cpu at input size 28 too" in str(answers[0])
    assert "choose a smaller model" in str(answers[0])
