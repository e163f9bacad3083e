import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from official_layout import official_shapes, random_state
from refusals import refused
from torch.nn import functional

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, CheckpointError, ImageError, ModelError
from depth_anything_ros.models import DepthEstimator, find_card

SHAPES = official_shapes(48, 4, 16, (8, 12, 16, 24))


@pytest.fixture(scope="module")
def rgb(real_picture):
    return real_picture[::4, ::4].copy()


@pytest.fixture(scope="module")
def relative():
    return DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=56)


@pytest.fixture(scope="module")
def metric():
    return DepthEstimator("test_metric", "random", "cpu", "fp32", input_size=56)


def _camera(width, height):
    return Camera(width, height, (100.0, 0, width / 2, 0, 100.0, height / 2, 0, 0, 1))


def _estimator(tmp_path, name, **changes):
    """An estimator with random weights of a file, of which some are changed."""
    state = {**random_state(SHAPES), **changes}
    torch.save(state, tmp_path / "weights.pth")
    return DepthEstimator(name, str(tmp_path / "weights.pth"), "cpu", "fp32", input_size=56)


def test_a_relative_model_answers_disparity(relative, rgb):
    answer = relative.infer(rgb)

    assert isinstance(answer, DisparityMap)
    assert answer.disparity.shape == rgb.shape[:2]
    assert answer.disparity.dtype == np.float32
    assert np.isfinite(answer.disparity).all()
    assert answer.disparity.min() >= 0
    assert answer.disparity.std() > 0


def test_a_metric_model_answers_depth_within_its_range(metric, rgb):
    answer = metric.infer(rgb)

    assert isinstance(answer, DepthMap)
    assert answer.depth_m.dtype == np.float32
    finite = answer.depth_m[np.isfinite(answer.depth_m)]
    assert finite.size
    assert 0 < finite.min() < finite.max() < 0.98 * 20


def test_the_camera_is_handed_through(metric, rgb):
    camera = _camera(160, 120)

    assert metric.infer(rgb, camera).camera is camera
    assert metric.infer(rgb).camera is None


@pytest.mark.parametrize("name", ["test_metric", "tiny", "test_da3_metric"])
def test_answers_at_another_size_than_the_picture_s(name):
    """The network's own grid is what the network says; others are that, border on border."""
    weights = "" if name == "tiny" else "random"
    estimator = DepthEstimator(name, weights, "cpu", "fp32", input_size=70)
    rgb = np.random.default_rng(0).integers(0, 256, (216, 384, 3), np.uint8)
    camera = Camera.from_hfov(384, 216, 80.0)
    size = estimator.network_size(384, 216)
    image = estimator.prepared(rgb)
    assert size == (image.shape[3], image.shape[2])
    sizes = [size, (48, 27), (192, 108), None, (384, 216)]
    answers = estimator.infer_batch([rgb] * 5, [camera] * 5, sizes)
    own = answers[0].depth_m
    raw = estimator.run_network(image)
    ratio = own[np.isfinite(own)] / raw.depth[0].numpy()[np.isfinite(own)]
    assert np.isfinite(own).any() and ratio.std() < 1e-5 * ratio.mean()
    for answer, (width, height) in zip(answers, [*sizes[:3], (384, 216), (384, 216)], strict=True):
        assert answer.depth_m.shape == (height, width)
        assert answer.camera == camera.scaled(width, height)
    if np.isfinite(own).all():
        for answer, shape in zip(answers[1:3], [(27, 48), (108, 192)], strict=True):
            expected = functional.interpolate(
                torch.from_numpy(own)[None, None], shape, mode="bilinear"
            )
            np.testing.assert_allclose(answer.depth_m, expected[0, 0], rtol=1e-4)
    # As without sizes, by the official code's resize.
    for answer in answers[3:]:
        expected = estimator.infer(rgb, camera).depth_m  # one of a batch differs in its rounding
        np.testing.assert_allclose(answer.depth_m, expected, rtol=1e-5)


def test_a_camera_of_another_size_is_refused(metric, rgb):
    with refused(CameraError, "camera_size", r"shape \(120, 160, 3\) and its camera is 640x480"):
        metric.infer(rgb, _camera(640, 480))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 56), (56, 7), (3, 3), (120, 90), (56, 56)])
def test_any_size_comes_back_as_it_went_in(relative, metric, size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)

    assert relative.infer(rgb).disparity.shape == size
    assert metric.infer(rgb).depth_m.shape == size


@pytest.mark.parametrize(
    ("rgb", "reason"),
    [
        (np.zeros((900, 7, 3), np.uint8), "aspect"),
        (np.zeros((9, 7), np.uint8), "shape"),
        (np.zeros((9, 7, 3), np.float32), "shape"),
        (np.zeros((0, 0, 3), np.uint8), "shape"),
    ],
)
def test_pictures_that_cannot_be_used_are_one_clear_error(relative, rgb, reason):
    with refused(ImageError, reason):
        relative.infer(rgb)


def test_saturated_depth_is_beyond_range(tmp_path, rgb):
    last = random_state(SHAPES)["depth_head.scratch.output_conv2.2.weight"]
    bias = {"depth_head.scratch.output_conv2.2.bias": torch.full((1,), 3.0)}
    weight = {"depth_head.scratch.output_conv2.2.weight": 10 * last}
    estimator = _estimator(tmp_path, "test_metric", **bias, **weight)

    depth_m = estimator.infer(rgb).depth_m

    assert 0.01 < np.isposinf(depth_m).mean() < 0.99
    assert depth_m[np.isfinite(depth_m)].max() < 0.98 * 20
    assert depth_m[np.isfinite(depth_m)].max() > 0.97 * 20


def test_depth_that_underflows_is_unknown_and_not_zero(tmp_path, rgb):
    bias = {"depth_head.scratch.output_conv2.2.bias": torch.full((1,), -1000.0)}

    depth_m = _estimator(tmp_path, "test_metric", **bias).infer(rgb).depth_m

    assert np.isnan(depth_m).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["test_relative", "test_metric"])
def test_weights_that_are_not_numbers_never_become_depth(name, value, tmp_path, rgb):
    state = random_state(SHAPES)["pretrained.blocks.1.mlp.fc1.bias"].clone()
    state[3] = value
    estimator = _estimator(tmp_path, name, **{"pretrained.blocks.1.mlp.fc1.bias": state})

    with refused(ModelError, "non_finite", rf"{name} answered \d+ of \d+ values as NaN or"):
        estimator.infer(rgb)


def test_the_answer_is_the_same_again_and_from_a_worker_thread(relative, rgb):
    expected = relative.infer(rgb).disparity

    with ThreadPoolExecutor(1) as worker:
        answers = [worker.submit(relative.infer, rgb).result().disparity for _ in range(3)]

    for answer in (*answers, relative.infer(rgb).disparity):
        np.testing.assert_array_equal(answer, expected)


def test_the_size_may_change_from_picture_to_picture(relative, rgb):
    expected = relative.infer(rgb).disparity

    relative.infer(rgb[:60])
    relative.infer(rgb[:, :60])

    np.testing.assert_array_equal(relative.infer(rgb).disparity, expected)


@pytest.mark.parametrize("name", ["test_relative", "test_metric"])
def test_bf16_is_near_to_fp32_and_not_in_steps(name, rgb):
    exact = DepthEstimator(name, "random", "cpu", "fp32", input_size=56).infer(rgb)
    coarse = DepthEstimator(name, "random", "cpu", "bf16", input_size=56).infer(rgb)

    exact, coarse = ((a.depth_m if name == "test_metric" else a.disparity) for a in (exact, coarse))
    assert np.abs(exact - coarse).max() < 0.05 * np.ptp(exact)
    assert len(np.unique(coarse)) > 0.5 * coarse.size


def test_a_batch_answers_as_one_by_one(relative, rgb):
    pictures = [rgb, rgb[:60], rgb[::-1].copy(), rgb[:, :50]]  # two of them are of one size

    together = relative.infer_batch(pictures, [None] * 4)

    for picture, found in zip(pictures, together, strict=True):
        alone = relative.infer(picture).disparity
        assert found.disparity.shape == picture.shape[:2]
        np.testing.assert_allclose(found.disparity, alone, atol=1e-5 * np.ptp(alone))


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "auto"])
def test_cuda_answers_as_the_cpu(precision, relative, rgb):
    estimator = DepthEstimator("test_relative", "random", "cuda", precision, input_size=56)

    answer, expected = estimator.infer(rgb).disparity, relative.infer(rgb).disparity

    assert np.abs(answer - expected).max() < 0.05 * np.ptp(expected)


def test_the_answer_belongs_to_the_caller(relative, rgb):
    answer = relative.infer(rgb).disparity
    copy = answer.copy()

    relative.infer(rgb[::-1].copy())

    np.testing.assert_array_equal(answer, copy)
    assert answer.flags.writeable
    assert answer.flags.c_contiguous


def test_description_says_all_in_one_line(relative):
    assert relative.description == (
        "test_relative (relative), weights random, on cpu in fp32 by torch, input size 56"
    )
    assert relative.device == torch.device("cpu")
    assert relative.precision == "fp32"
    assert relative.card is find_card("test_relative")


def test_random_weights_are_warned_about_each_time(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            DepthEstimator("test_relative", "random", "cpu")

    warnings = [r for r in caplog.records if "RANDOM weights" in r.getMessage()]
    assert len(warnings) == 2
    assert warnings[0].name == "depth_anything_ros.models.estimator"
    assert warnings[0].levelname == "WARNING"


def test_random_weights_are_always_the_same(relative, rgb):
    again = DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=56)

    np.testing.assert_array_equal(again.infer(rgb).disparity, relative.infer(rgb).disparity)


def test_a_card_may_be_given_instead_of_a_name(rgb):
    card = dataclasses.replace(find_card("test_metric"), name="mine", max_depth_m=5.0)

    depth_m = DepthEstimator(card, "random", "cpu", "fp32", 56).infer(rgb).depth_m

    assert depth_m[np.isfinite(depth_m)].max() < 5


def test_the_cards_input_size_is_the_default():
    assert DepthEstimator("test_relative", "random", "cpu").input_size == 518


@pytest.mark.parametrize("input_size", [-1, 1, 27])
def test_too_small_an_input_size_is_refused(input_size):
    with refused(ModelError, "input_size", f"input size {input_size} is too small; use 0"):
        DepthEstimator("test_relative", "random", "cpu", input_size=input_size)


def test_weights_of_nowhere_are_never_random():
    with pytest.raises(CheckpointError, match="no weights were released for test_relative"):
        DepthEstimator("test_relative", "", "cpu")


def test_depth_of_another_checkpoint_is_refused_by_its_name(tmp_path):
    path = tmp_path / "depth_anything_v2_metric_vkitti_vits.pth"
    torch.save(random_state(SHAPES), path)

    with refused(CheckpointError, "other_model", "is metric up to 80 m by its name"):
        DepthEstimator("test_metric", str(path), "cpu")


def test_nothing_in_it_needs_gradients(relative):
    assert not relative.network.training
    assert not any(values.requires_grad for values in relative.network.parameters())


def test_the_stages_of_what_was_asked_add_up_until_somebody_takes_them(metric, rgb):
    metric.times.taken()
    start = time.perf_counter()
    metric.infer_batch([rgb, rgb[:, :80]], [None, None])
    took = time.perf_counter() - start
    stages = metric.times.taken()
    assert list(stages) == ["pre", "net", "post"] and min(stages.values()) > 0
    assert 0.5 * took < sum(stages.values()) <= took
    assert metric.times.taken() == {}
