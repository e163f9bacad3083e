"""Anchoring of pictures one after the other, on a room whose depth is known."""

import json
import math
import re
from dataclasses import replace

import drawn_scene
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.pipeline.anchor import NO_POINTS, AnchorPipeline
from depth_anything_ros.pipeline.ground import CameraMount
from depth_anything_ros.pipeline.options import AnchoringOptions
from depth_anything_ros.pipeline.steadying import Moment

CAMERA = Camera.from_hfov(96, 72, 70.0, "camera")
SCALE, SHIFT = 0.25, 0.05
SECOND = 1_000_000_000


def options(**changes):
    """Options with changes by dotted names, whose dots are two underscores."""
    made = AnchoringOptions()
    for name, value in changes.items():
        group, field = name.split("__")
        made = replace(made, **{group: replace(getattr(made, group), **{field: value})})
    return made


def room():
    """Depth of a floor 1 m below and a wall at 6 m, with a box before it."""
    rays = CAMERA.rays()
    with np.errstate(divide="ignore"):
        depth = np.minimum(np.where(rays[..., 1] > 0, 1.0 / rays[..., 1], np.inf), 6.0)
    depth[20:45, 55:75] = 2.0
    return depth.astype(np.float32)


DEPTH = room()
DISPARITY = DisparityMap(((1 / DEPTH - SHIFT) / SCALE).astype(np.float32), CAMERA)


def points(count, seed=0):
    """Points of the room, at the centres of pixels away from the box's edges."""
    rng = np.random.default_rng(seed)
    inner = np.zeros_like(DEPTH, bool)
    inner[:, :45] = True
    inner[28:38, 62:68] = True
    rows, columns = np.nonzero(inner)
    chosen = rng.permutation(len(rows))[:count]
    rows, columns = rows[chosen], columns[chosen]
    return CAMERA.rays()[rows, columns] * DEPTH[rows, columns, None]


def anchor(pipeline, cloud, stamp_s=0.0, prediction=DISPARITY, epoch=0, **changes):
    pipeline.options = options(**changes)
    return pipeline.anchor(prediction, cloud, Moment(round(stamp_s * SECOND), epoch))


@pytest.mark.parametrize("method", ["log_ransac", "ransac", "least_squares", "huber"])
def test_an_exact_disparity_becomes_exact_depth(method):
    result, report = anchor(AnchorPipeline(), points(500), fit__method=method)
    np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.01)
    assert (report.status, report.reason, report.seen) == ("anchored", "", 500)
    assert report.scale == pytest.approx(SCALE, rel=1e-3)
    assert report.shift == pytest.approx(SHIFT, abs=1e-3)
    assert 20 < report.used <= report.inliers + 5 and report.inliers <= report.used
    assert report.residual_median < 0.001 and report.age_s == 0
    assert result.confidence.min() >= 0 and result.confidence.max() > 0.5


@pytest.mark.parametrize(
    ("count", "status"), [(0, "waiting"), (1, "degraded"), (2, "degraded"), (13, "anchored")]
)
def test_few_points_are_answered_as_far_as_they_go(count, status):
    result, report = anchor(AnchorPipeline(), points(count, seed=3))
    assert report.status == status and count - 1 <= report.used <= count
    assert (result is None) == (status == "waiting")
    if status == "degraded":
        assert "scale_only" in report.reason
        # One number still brings the points themselves near their depth.
        assert report.residual_median < 0.3
    if status == "anchored":
        np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.02)


def test_without_points_the_last_fit_is_held_until_it_is_too_old():
    pipeline = AnchorPipeline()
    assert anchor(pipeline, NO_POINTS)[1].status == "waiting"
    assert anchor(pipeline, points(500), 0.1)[1].status == "anchored"
    for stamp_s, age_s in ((0.2, 0.1), (1.05, 0.95)):
        result, report = anchor(pipeline, NO_POINTS, stamp_s, fit__max_age_s=1.0)
        assert report.status == "held" and report.age_s == pytest.approx(age_s)
        assert (report.seen, report.used, report.inliers) == (0, 0, 0)
        np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.01)
    result, report = anchor(pipeline, NO_POINTS, 1.2, fit__max_age_s=1.0)
    assert result is None and report.status == "waiting"
    assert "1.1 s old" in report.reason
    assert anchor(pipeline, points(500), 1.3)[1].status == "anchored"


def test_one_point_goes_with_a_young_shift_and_not_with_an_old_one():
    pipeline = AnchorPipeline()
    anchor(pipeline, points(500))
    result, report = anchor(pipeline, points(1), 0.5)
    assert report.status == "degraded" and "held_shift" in report.reason
    np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.01)
    _, report = anchor(pipeline, points(1), 100.0)
    assert "scale_only" in report.reason and report.shift == 0
    # A shift that nobody measured is none to hold.
    _, report = anchor(pipeline, points(1), 100.1)
    assert "scale_only" in report.reason


def test_another_epoch_forgets_everything():
    pipeline = AnchorPipeline()
    assert anchor(pipeline, points(500), 100.0)[0] is not None
    result, report = anchor(pipeline, NO_POINTS, 100.1, epoch=1)
    assert result is None and report.status == "waiting" and math.isnan(report.age_s)
    assert anchor(pipeline, points(500), 1.0, epoch=1)[1].status == "anchored"


def test_points_that_all_lie_elsewhere_are_named():
    behind = points(300) * (1, 1, -1)
    result, report = anchor(AnchorPipeline(), behind)
    assert result is None
    assert report.reason == "none of 300 points may anchor: 300 behind"
    shown = report.values()
    assert shown["points dropped: behind"] == "300" and shown["state"] == "waiting"


def test_a_metric_depth_is_corrected_by_a_factor_or_by_a_line():
    wrong = (DEPTH * 1.4).astype(np.float32)
    wrong[0, 0] = np.nan
    pipeline = AnchorPipeline()
    result, report = anchor(pipeline, points(500), prediction=DepthMap(wrong, CAMERA))
    assert np.isnan(result.estimate.depth_m[0, 0])
    np.testing.assert_allclose(result.estimate.depth_m[1:], DEPTH[1:], rtol=0.01)
    assert report.status == "anchored"
    assert (report.scale, report.shift) == (pytest.approx(1 / 1.4, rel=1e-3), 0.0)
    shifted = (DEPTH * 1.4 + 0.5).astype(np.float32)
    result, report = anchor(
        AnchorPipeline(),
        points(500),
        prediction=DepthMap(shifted, CAMERA),
        fit__metric_correction="affine",
    )
    np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.02)
    assert report.scale == pytest.approx(1 / 1.4, rel=0.01)
    assert report.shift == pytest.approx(-0.5 / 1.4, abs=0.02)


def test_points_that_contradict_the_picture_degrade_it_with_the_likely_causes():
    rng = np.random.default_rng(5)
    wild = points(800) * np.exp(rng.normal(0, 1.0, (800, 1)))
    result, report = anchor(AnchorPipeline(), wild, diagnostics__max_residual=0.1)
    assert report.status == "degraded" and result is not None
    assert "extrinsics" in report.reason and "clocks" in report.reason
    assert report.residual_median > 0.1
    assert report.residual_p95 >= report.residual_median


def test_a_third_of_the_points_wrong_does_not_matter():
    cloud = points(1000)
    cloud[::3] *= 2.0
    result, report = anchor(AnchorPipeline(), cloud)
    assert report.status == "anchored" and report.inliers < report.used
    off = np.abs(result.estimate.depth_m / DEPTH - 1)
    assert np.median(off) < 0.02


def test_the_cloud_is_the_back_projection():
    pipeline = AnchorPipeline()
    result, _ = anchor(pipeline, points(500), cloud__stride=2, cloud__edge_jump=0.0)
    expected = (CAMERA.rays() * result.estimate.depth_m[..., None])[::2, ::2]
    np.testing.assert_allclose(result.cloud().xyz, expected, rtol=1e-5)
    result, _ = anchor(pipeline, points(500), cloud__organized=False, cloud__edge_jump=0.5)
    cloud = result.cloud()
    assert cloud.height == 1 and 0 < cloud.width < DEPTH.size and cloud.is_dense


def test_points_beyond_range_are_dropped_or_clipped():
    pipeline = AnchorPipeline()
    limits = {"range__max_m": 4.0, "cloud__edge_jump": 0.0}
    dropped, _ = anchor(pipeline, points(500), **limits)
    far = np.isinf(dropped.estimate.depth_m)
    assert far.any() and (np.isnan(dropped.cloud().xyz[..., 2]) == far).all()
    clipped, _ = anchor(pipeline, points(500), range__far_points="clip", **limits)
    cloud = clipped.cloud()
    assert cloud.is_dense and np.isinf(clipped.estimate.depth_m[far]).all()
    np.testing.assert_allclose(cloud.xyz[far], 4.0 * CAMERA.rays()[far], rtol=1e-6)


def test_affine_depth_is_fitted_in_depth():
    affine = ((DEPTH + 0.7) / 3).astype(np.float32)  # metres = 3 · affine - 0.7
    affine[:5, :9] = np.inf  # the sky
    result, report = anchor(
        AnchorPipeline(), points(500), prediction=AffineDepthMap(affine, CAMERA)
    )
    assert report.status == "anchored" and report.scale == pytest.approx(3, rel=1e-3)
    assert report.shift == pytest.approx(-0.7, abs=1e-2)
    known = np.isfinite(affine)
    np.testing.assert_allclose(result.estimate.depth_m[known], DEPTH[known], rtol=0.01)
    assert np.isposinf(result.estimate.depth_m[~known]).all()


def test_a_pipeline_goes_on_where_another_was():
    """By way of JSON, with fits, gaps that are held, and a new epoch behind it."""
    rng = np.random.default_rng(0)
    one = AnchorPipeline(options(local__method="global"))
    points = CAMERA.rays()[::9, ::9].reshape(-1, 3) * DEPTH[::9, ::9].reshape(-1, 1)
    for number in range(4):
        seen = points * rng.normal(1, 0.02, (len(points), 1)) if number != 2 else NO_POINTS
        one.anchor(DISPARITY, seen, Moment(number * SECOND // 10, number // 2))

    other = AnchorPipeline(options(local__method="global"))
    other.remember(json.loads(json.dumps(one.memory())))

    for number, seen in enumerate((NO_POINTS, points)):
        stamp = (4 + number) * SECOND // 10
        answers = [p.anchor(DISPARITY, seen, Moment(stamp, 1)) for p in (one, other)]
        depths = [answer.estimate.values for answer, _ in answers]
        np.testing.assert_array_equal(*depths)
        assert answers[0][1].status == answers[1][1].status
    assert other.memory()["state"]["stamp_ns"] == one.memory()["state"]["stamp_ns"]


UPRIGHT = CameraMount.pitched(1.0, 0.0)  # the room's floor is 1 m below


@pytest.mark.parametrize("prediction", [DISPARITY, DepthMap(DEPTH * 1.6, CAMERA)])
@pytest.mark.parametrize("use", ["fallback", "together"])
def test_the_ground_gives_metres_without_any_range(use, prediction):
    pipeline = AnchorPipeline(options(ground__use=use))
    result, report = pipeline.anchor(prediction, NO_POINTS, Moment(0), mount=UPRIGHT)
    np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.02)
    assert report.status == "anchored" and report.ground.startswith("used: height")
    assert report.values()["ground"] == report.ground


def test_the_ground_is_a_fallback_where_no_range_anchors():
    wrong = CameraMount.pitched(2.0, 0.0)
    pipeline = AnchorPipeline(options(ground__use="fallback"))
    result, report = pipeline.anchor(DISPARITY, points(300), Moment(0), mount=wrong)
    np.testing.assert_allclose(result.estimate.depth_m, DEPTH, rtol=0.01)
    assert report.ground == "" and report.values()["ground"] == "not looked for"


@pytest.mark.parametrize(
    ("changes", "mount", "said"),
    [
        ({}, CameraMount.pitched(1.0, 25.0), "no floor"),
        ({"ground__min_confidence": 1.0}, UPRIGHT, "ground.min_confidence is 1"),
        ({"ground__use": "off"}, UPRIGHT, ""),
        ({}, None, ""),
    ],
)
def test_what_is_no_sure_ground_does_not_anchor(changes, mount, said):
    pipeline = AnchorPipeline(options(**{"ground__use": "fallback"} | changes))
    result, report = pipeline.anchor(DepthMap(DEPTH, CAMERA), NO_POINTS, Moment(0), mount=mount)
    assert result is None and report.status == "waiting"
    assert said in report.ground and report.ground.startswith("not used") == bool(said)


def test_a_mount_is_what_tf_says_of_a_camera_on_its_base():
    pitch = np.radians(20)
    T_base_camera = np.eye(4)
    T_base_camera[:3, 2] = np.cos(pitch), 0, -np.sin(pitch)  # forward and down
    T_base_camera[:3, 0] = 0, -1, 0
    T_base_camera[:3, 1] = -np.sin(pitch), 0, -np.cos(pitch)
    T_base_camera[:3, 3] = 0.3, 0.1, 1.2
    mount, pitched = CameraMount.on_base(T_base_camera), CameraMount.pitched(1.2, 20)
    assert mount.height_m == pitched.height_m
    np.testing.assert_allclose(mount.up, pitched.up, atol=1e-12)


NO_FLOORS = {
    "wall": (drawn_scene.Scene(0.5, 0.0).surface((1, 0, 0), 0.8), "on one plane"),
    "ramp": (drawn_scene.slope(15), "a slope, a stair or a wall|on one plane"),
    "stair up": (
        drawn_scene.stairs(0.17).surface((1, 0, 0), 4.0),
        "a slope, a stair|one plane|not flat|short",
    ),
    "stair down": (drawn_scene.stairs(-0.17), "a slope, a stair|one plane|below the plane|short"),
    "table": (drawn_scene.table(), "below the plane that is seen|no floor"),
    "sky": (drawn_scene.room(pitch_deg=-60.0), "below the horizon"),
}


@pytest.mark.parametrize("name", NO_FLOORS)
def test_what_is_no_floor_anchors_nothing_and_is_named_in_words(name):
    scene, words = NO_FLOORS[name]
    mount, prediction = CameraMount(scene.height, scene.up), scene.depth_map()
    pipeline = AnchorPipeline(options(ground__use="fallback"))
    result, report = pipeline.anchor(prediction, NO_POINTS, Moment(0), mount=mount)
    assert result is None and report.ground.startswith("not used: ")
    assert re.search(words, report.ground), report.ground


def landmarks(scene, count, wrong, rng):
    """Points as SLAM has them: off by 3 %, and a share of them wrong in the ways of SLAM."""
    seen = np.argwhere(scene.depth < 30)
    rows, columns = seen[rng.permutation(len(seen))[:count]].T
    found = drawn_scene.CAMERA.rays()[rows, columns] * scene.depth[rows, columns, None]
    found *= np.exp(rng.normal(0, 0.03, (count, 1)))
    for number in range(round(wrong * count)):
        hidden, elsewhere = rng.uniform(1.3, 4), np.exp(rng.uniform(np.log(0.5), np.log(50)))
        found[number] *= (hidden, elsewhere / found[number, 2], -1, 1e5)[number % 4]
    return found


@pytest.mark.parametrize(
    ("count", "wrong", "most"),
    [(20, 0.1, 0.05), (20, 0.4, 0.05), (50, 0.4, 0.04), (100, 0.4, 0.035), (200, 0.4, 0.03)],
)
def test_landmarks_of_a_slam_anchor_a_warped_disparity(count, wrong, most):
    scene, rng = drawn_scene.room(), np.random.default_rng(0)
    columns = np.linspace(0, 3, drawn_scene.CAMERA.width)
    warped = (1 / scene.depth) ** 0.9 * (1 + 0.1 * np.sin(columns))
    disparity = DisparityMap((3 * warped + 0.2).astype(np.float32), drawn_scene.CAMERA)
    off = []
    for _ in range(3):
        result, report = AnchorPipeline().anchor(
            disparity, landmarks(scene, count, wrong, rng), Moment(0)
        )
        assert report.status == "anchored" and report.seen == count
        off.append(np.abs(result.estimate.depth_m / scene.depth - 1)[scene.depth < 30].mean())
    assert np.median(off) < most


STEADY = {"steady__method": "flow"}


def test_anchored_depth_is_steadied_and_the_less_sure_of_two_is_its_confidence():
    pipelines = AnchorPipeline(), AnchorPipeline()
    found, rng = ([], []), np.random.default_rng(0)
    for number in range(20):
        noisy = DisparityMap(
            (DISPARITY.disparity * rng.normal(1, 0.05, DEPTH.shape)).astype(np.float32), CAMERA
        )
        for pipeline, changes, answers in zip(pipelines, ({}, STEADY), found, strict=True):
            answer, _ = anchor(pipeline, points(300), number / 15, noisy, **changes)
            answers.append(answer)
    plain, steady = (
        np.log([a.estimate.depth_m for a in answers[8:]]).std(0).mean() for answers in found
    )
    assert steady < 0.6 * plain
    one, other = found[0][-1], found[1][-1]
    assert one.steadying is None and other.steadying.status == "steady"
    assert (other.confidence <= one.confidence).all() and other.confidence.max() > 0


def test_the_scale_of_ranges_wins_over_what_is_remembered():
    pipeline = AnchorPipeline()
    for number in range(10):
        anchor(pipeline, points(300), number / 15, **STEADY)
    larger = DisparityMap(((1 / (1.1 * DEPTH) - SHIFT) / SCALE).astype(np.float32), CAMERA)
    for number in range(10, 14):
        answer, report = anchor(pipeline, 1.1 * points(300), number / 15, larger, **STEADY)
    assert report.status == "anchored" and answer.steadying.status == "steady"
    assert np.median(answer.estimate.depth_m / DEPTH) == pytest.approx(1.1, rel=0.01)


def test_a_steadier_goes_on_to_the_last_bit_where_another_was():
    one, other = AnchorPipeline(), AnchorPipeline()
    for number in range(3):
        anchor(one, points(300, number), number / 15, **STEADY)
    other.remember(json.loads(json.dumps(one.memory())))
    other.steadier.remember(one.steadier.memory())
    for number in range(3, 5):
        answers = [anchor(p, points(300, number), number / 15, **STEADY)[0] for p in (one, other)]
        for part in ("depth_m", "confidence"):
            values = [getattr(a if part == "confidence" else a.estimate, part) for a in answers]
            np.testing.assert_array_equal(*values)
        assert answers[0].steadying == answers[1].steadying
    assert AnchorPipeline().steadier.memory() == {}
