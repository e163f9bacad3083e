"""From images to answers, by exact small cases; and where a device has no memory left."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, ModelError
from depth_anything_ros.engines.gate import pictures
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.options import (
    ColouredCloudOptions,
    DepthOptions,
    FallbackOptions,
    OutputOptions,
    RangeOptions,
    SteadyOptions,
)
from depth_anything_ros.pipeline.steadying import Moment

CAMERA = Camera.from_hfov(160, 120, 80.0)
IMAGES = pictures(2, 120, 160)


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
    pipeline = DepthPipeline(estimator)
    return pipeline.predict([pipeline.prepare(rgb, CAMERA) for rgb in IMAGES])


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


def pipeline_of(model, **options):
    return DepthPipeline(
        DepthEstimator(model, "random", "cpu", "fp32", input_size=70), DepthOptions(**options)
    )


def test_one_image_goes_the_whole_way():
    pipeline = pipeline_of("test_metric")
    lens = replace(CAMERA, D=(-0.2, 0.05, 0.0, 0.0))
    answer = pipeline.infer(IMAGES[0], lens)
    assert answer.camera == lens.rectified() and answer.size == (160, 120)
    depth, cloud = answer.estimate.depth_m, answer.cloud()
    seen = np.isfinite(cloud.xyz[..., 2])
    assert seen.any()
    np.testing.assert_array_equal(cloud.xyz[..., 2][seen], depth[seen])
    assert cloud.has_color and cloud.points.shape == (120, 160, 4)


def test_disparity_has_no_cloud_and_metres_without_a_camera_neither():
    assert pipeline_of("test_relative").infer(IMAGES[0], CAMERA).cloud() is None
    answer = pipeline_of("test_metric").infer(IMAGES[0])
    assert answer.estimate.metric is not None and answer.camera is None and answer.cloud() is None


def test_a_model_that_needs_the_focal_length_refuses_or_assumes_it():
    pipeline = pipeline_of("test_da3_metric")
    assert pipeline.drops_uncalibrated
    with pytest.raises(CameraError, match="test_da3_metric needs the focal length, so no depth"):
        pipeline.infer(IMAGES[0])
    pipeline.options = DepthOptions(camera=FallbackOptions(60.0))
    assert pipeline.without_camera == "a pinhole of 60 deg is assumed"
    assert pipeline.infer(IMAGES[0]).camera == Camera.from_hfov(160, 120, 60.0)
    assert pipeline_of("test_relative").without_camera == "no cloud goes out"


def test_an_error_of_the_model_is_raised_and_the_stages_of_an_image_are_told():
    pipeline = pipeline_of("test_relative", output=OutputOptions("network"))
    image = pipeline.prepare(IMAGES[0], CAMERA)
    (estimate,) = pipeline.predict([image])
    pipeline.finish(image, estimate)
    assert list(image.times.seconds) == ["shrink", "rectify", "pre", "net", "post"]
    pipeline.estimator.runner = lambda batch: torch.full((len(batch), 70, 98), torch.nan)
    with pytest.raises(ModelError, match="NaN or Inf"):
        pipeline.infer(IMAGES[0], CAMERA)


def test_depth_cloud_and_colours_lie_on_the_grid_that_is_published():
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    K = (50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0)
    smooth = ColouredCloudOptions(edge_jump=0.0)
    pipeline = pipeline_of("test_metric", output=OutputOptions("16"), cloud=smooth)
    image = replace(pipeline.prepare(rgb, Camera(64, 48, K, D=(-0.9, 0, 0, 0))), size=(16, 12))
    camera = image.published_camera
    answer = pipeline.finish(image, DepthMap(np.full((12, 16), 2.0, np.float32), camera))
    # A published pixel is known where its middle was seen; the middle is a corner of four.
    unseen = ~image.valid[2::4, 2::4]
    assert 0 < unseen.sum() < unseen.size
    np.testing.assert_array_equal(np.isnan(answer.estimate.depth_m), unseen)
    cloud = answer.cloud()
    blocks = image.rgb.reshape(12, 4, 16, 4, 3).mean((1, 3))
    np.testing.assert_allclose(cloud.rgb[~unseen], blocks[~unseen], atol=0.51)
    np.testing.assert_allclose(cloud.xyz[~unseen], 2 * camera.rays()[~unseen], rtol=1e-6)
    pipeline.options = DepthOptions(cloud=ColouredCloudOptions(stride=2))
    strided = pipeline.finish(image, answer.estimate).cloud()
    np.testing.assert_array_equal(strided.xyz, cloud.xyz[::2, ::2])
    clipping = RangeOptions(max_m=1.5, far_points="clip")
    pipeline.options = DepthOptions(range=clipping, cloud=smooth)
    clipped = pipeline.finish(image, answer.estimate).cloud()
    np.testing.assert_allclose(clipped.xyz[~unseen], 1.5 * camera.rays()[~unseen], rtol=1e-6)
    assert np.isnan(clipped.xyz[unseen]).all()


FLOW = SteadyOptions("flow")


def flickering(count, share=0.1):
    """Depth that leans, of another scale in each picture, and an image of it."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(2, 4, 160 * 120, dtype=np.float32).reshape(120, 160)
    return [DepthMap(ramp * np.float32(1 + share * f), CAMERA) for f in rng.uniform(-1, 1, count)]


def finished(pipeline, depths, source="", step_ns=66_000_000):
    """Answers to one image again and again, each with another depth."""
    image = pipeline.prepare(IMAGES[0], CAMERA, source)
    return [
        pipeline.finish(image, depth, Moment(number * step_ns))
        for number, depth in enumerate(depths)
    ]


def flicker(answers):
    """Standard deviation over time of the log depth of the pixels, their mean."""
    return np.log([answer.estimate.depth_m for answer in answers]).std(0).mean()


def test_depth_is_steadied_where_that_is_asked_for_and_a_moment_is_known():
    pipeline, depths = pipeline_of("test_metric", steady=FLOW), flickering(30)
    before = flicker(finished(pipeline_of("test_metric"), depths)[10:])
    answers = finished(pipeline, depths)
    assert len({answer.estimate.depth_m.tobytes() for answer in answers}) == 30  # none overwritten
    assert flicker(answers[10:]) < 0.4 * before
    last = answers[-1]
    assert (last.steadying.status, last.steadying.method) == ("steady", "flow")
    assert last.confidence.shape == (120, 160) and last.confidence.dtype == np.float32
    assert 0 < last.confidence.min() <= last.confidence.max() <= 1
    image = pipeline.prepare(IMAGES[0], CAMERA)
    pipeline.finish(image, depths[0], Moment(10**10))
    assert "steady" in image.times.seconds


def test_nothing_is_remembered_of_what_is_not_steadied():
    depths = flickering(2)
    off, alone = pipeline_of("test_metric"), pipeline_of("test_metric", steady=FLOW)
    image = alone.prepare(IMAGES[0], CAMERA)
    for answers in (finished(off, depths), [alone.finish(image, depth) for depth in depths]):
        for answer, depth in zip(answers, depths, strict=True):
            assert answer.estimate is depth
            assert answer.confidence is None and answer.steadying is None
    assert not off.steadiers and not alone.steadiers and "steady" not in image.times.seconds


def test_each_camera_has_a_memory_of_its_own():
    pipeline, depths = pipeline_of("test_metric", steady=FLOW), flickering(4)
    first = finished(pipeline, depths[:2], "left")
    other = finished(pipeline, depths[2:], "right")
    assert [answer.steadying.status for answer in first + other] == ["restarted", "steady"] * 2
    np.testing.assert_array_equal(other[0].estimate.depth_m, depths[2].depth_m)


def test_what_is_masked_and_what_is_beyond_range_is_so_after_steadying_too():
    lens = replace(CAMERA, D=(-0.6, 0, 0, 0))
    pipeline = pipeline_of("test_metric", steady=FLOW)
    image = pipeline.prepare(IMAGES[0], lens)
    assert 0 < (~image.valid).sum() < 0.5 * image.valid.size
    for number, depth in enumerate(flickering(10)):
        values = np.where(image.valid, depth.depth_m, np.float32(50))  # of a black border
        answer = pipeline.finish(
            image, DepthMap(values, image.published_camera), Moment(number * 66_000_000)
        )
        found = answer.estimate.depth_m
        np.testing.assert_array_equal(np.isnan(found), ~image.valid)
        np.testing.assert_array_equal(answer.confidence == 0, ~image.valid)
        assert found[image.valid].max() < 5  # nothing of the border came in
    pipeline.options = replace(pipeline.options, range=RangeOptions(2.5, 3.5))
    cut = pipeline.finish(image, DepthMap(values, image.published_camera), Moment(700_000_000))
    depth = cut.estimate.depth_m
    np.testing.assert_array_equal(cut.confidence == 0, np.isnan(depth))
    assert np.isposinf(depth).any() and np.nanmin(depth) >= 2.5


def test_the_moment_of_a_picture_that_rectification_turned_is_turned_with_it():
    c, s = np.cos(0.3), np.sin(0.3)
    R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    pipeline = pipeline_of("test_metric", rectify="always")
    assert pipeline.prepare(IMAGES[0], CAMERA).turn is None
    turned = replace(CAMERA, R=tuple(R.ravel()))
    image = pipeline.prepare(IMAGES[0], turned)
    np.testing.assert_allclose(image.turn, R)
    pipeline.options = DepthOptions(rectify="never")
    assert pipeline.prepare(IMAGES[0], turned).turn is None
    T = np.array([[0, -1, 0, 5.0], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    point = np.array([1.0, 2, 3])
    found = Moment(0, 0, T).turned(image.turn).T_fixed_camera @ (*(R @ point), 1)
    np.testing.assert_allclose(found, T @ (*point, 1))
    plain = Moment(0, 0, no_pose="none")
    assert plain.turned(image.turn) is plain
