"""Depth over time, on scenes whose depth is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.pipeline.options import SteadyOptions
from depth_anything_ros.pipeline.steadying import Moment, Steadier

CAMERA = Camera.from_hfov(96, 72, 70.0, "camera")
RAYS = CAMERA.rays()
RNG = np.random.default_rng(0)
TEXTURE = RNG.uniform(0, 255, (40, 40, 3))


def moment(index, T=None, step_s=0.1, **more):
    return Moment(round(index * step_s * 1e9), T_fixed_camera=T, **more)


def pose(x=0.0, y=0.0, z=0.0, yaw_deg=0.0):
    T = np.eye(4)
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    T[:3, :3] = ((c, 0, s), (0, 1, 0), (-s, 0, c))
    T[:3, 3] = x, y, z
    return T


def wall(T, distance_m=4.0):
    """The depth and the picture of a textured wall that stands across the fixed frame's z."""
    rays = RAYS @ T[:3, :3].T
    along = (distance_m - T[2, 3]) / rays[..., 2]
    where = rays * along[..., None] + T[:3, 3]
    place = (where[..., :2] * 4).astype(int) % 40
    return along.astype(np.float32), TEXTURE[place[..., 1], place[..., 0]].astype(np.uint8)


def noisy(depth, rng, scale=0.1, pixel=0.02):
    factor = (1 + rng.uniform(-scale, scale)) * np.exp(rng.normal(0, pixel, depth.shape))
    return (depth * factor).astype(np.float32)


def steadied(method, maps, poses, pictures=None, make=DepthMap, camera=CAMERA, **options):
    """The answers to maps, taken ten in a second."""
    steadier = Steadier(SteadyOptions(method=method, **options))
    pictures = [None] * len(maps) if pictures is None else pictures
    return [
        steadier.steady(make(depth, camera), moment(i, T), rgb)
        for i, (depth, T, rgb) in enumerate(zip(maps, poses, pictures, strict=True))
    ]


@pytest.mark.parametrize("method", ["flow", "motion"])
def test_a_still_camera_has_a_fifth_of_the_flicker(method):
    truth, rgb = wall(pose())
    rng = np.random.default_rng(1)
    maps = [noisy(truth, rng) for _ in range(40)]
    found = steadied(method, maps, [pose()] * 40, [rgb] * 40)
    assert [f.report.status for f in found] == ["restarted"] + ["steady"] * 39
    flicker = [np.log(np.stack(values)[15:]).std(0).mean() for values in (maps, depths(found))]
    assert flicker[1] < 0.2 * flicker[0]
    assert found[-1].confidence().mean() > found[0].confidence().mean() + 0.2


@pytest.mark.parametrize("method", ["flow", "motion"])
def test_what_looks_the_same_stays_what_it_was_though_answers_drift(method):
    truth, rgb = wall(pose())
    across = np.linspace(-1, 1, 96)
    drift = [1 + 0.08 * np.sin(0.3 * i) * across for i in range(60)]
    maps = [(truth * factor).astype(np.float32) for factor in drift]
    exposed = [(rgb * (0.8 + 0.1 * np.sin(0.25 * i))).astype(np.uint8) for i in range(60)]
    found = steadied(method, maps, [pose()] * 60, exposed)
    flicker = [np.log(np.stack(values)[15:]).std(0).mean() for values in (maps, depths(found))]
    assert flicker[1] < 0.2 * flicker[0]


def test_answers_win_in_the_end_though_nothing_is_seen():
    """A wall that comes nearer in the dark: no picture tells of it."""
    truth, rgb = wall(pose())
    nearer = np.where(np.arange(96) < 60, truth, 0.6 * truth).astype(np.float32)
    found = steadied("flow", [truth] * 20 + [nearer] * 15, [None] * 35, [rgb] * 35)
    np.testing.assert_allclose(found[-1].estimate.values[:, 65:], nearer[:, 65:], rtol=0.05)


def depths(found):
    return [f.estimate.values for f in found]


@pytest.mark.parametrize("method", ["flow", "motion"])
@pytest.mark.parametrize(
    "step", [{"z": 0.1}, {"x": 0.08}, {"yaw_deg": 1.0}, {"x": 0.03, "z": 0.05, "yaw_deg": -0.7}]
)
def test_exact_depth_of_a_moving_camera_stays_exact(method, step):
    poses = [pose(**{name: i * value for name, value in step.items()}) for i in range(12)]
    maps, pictures = zip(*(wall(T) for T in poses), strict=True)
    found = steadied(method, maps, poses, pictures)
    assert {f.report.method for f in found[1:]} == {method}
    assert found[-1].report.carried > 0.75
    for answer, truth in zip(depths(found), maps, strict=True):
        error = np.abs(answer / truth - 1)
        assert error.max() < (0.002 if method == "motion" else 0.03)
    assert found[-1].report.scale == pytest.approx(1, abs=0.01 if method == "motion" else 0.03)


@pytest.mark.parametrize("method", ["flow", "motion"])
def test_noise_of_a_moving_camera_is_averaged(method):
    poses = [pose(x=0.03 * i, z=0.05 * i) for i in range(25)]
    maps, pictures = zip(*(wall(T) for T in poses), strict=True)
    rng = np.random.default_rng(2)
    wrong = [noisy(depth, rng) for depth in maps]
    found = steadied(method, wrong, poses, pictures)
    before, after = (
        np.mean([np.abs(a / t - 1).mean() for a, t in zip(some[10:], maps[10:], strict=True)])
        for some in (wrong, depths(found))
    )
    assert after < 0.5 * before


@pytest.mark.parametrize("make", [DisparityMap, AffineDepthMap])
def test_a_relative_answer_keeps_one_scale_and_shift(make):
    truth, rgb = wall(pose(yaw_deg=30))
    base = 1 / truth if make is DisparityMap else truth
    rng = np.random.default_rng(3)
    maps = [
        (base * rng.uniform(0.8, 1.2) + rng.uniform(0, 0.3)).astype(np.float32) for _ in range(40)
    ]
    found = steadied("motion", maps, [pose()] * 40, [rgb] * 40, make)
    assert {type(f.estimate) for f in found} == {make}
    assert found[1].report.method == "flow" and "unit" in found[1].report.reason
    change = [
        np.abs(np.diff(np.stack(values)[15:], axis=0)).mean() for values in (maps, depths(found))
    ]
    assert change[1] < 0.2 * change[0]


@pytest.mark.parametrize("method", ["flow", "motion"])
def test_a_thing_that_appears_is_there_at_once(method):
    truth, rgb = wall(pose())
    with_box, boxed = truth.copy(), rgb.copy()
    with_box[20:50, 30:60], boxed[20:50, 30:60] = 2.0, 255 - rgb[20:50, 30:60]
    maps, pictures = [truth] * 15 + [with_box] * 2 + [truth], [rgb] * 15 + [boxed] * 2 + [rgb]
    found = steadied(method, maps, [pose()] * 18, pictures)
    for answer, right in ((found[15], with_box), (found[17], truth)):
        off = np.abs(answer.estimate.values / right - 1)
        assert np.mean(off > 0.01) < 0.01 and off.max() < 0.1
    # What is new is not yet sure.
    assert found[15].confidence()[25:45, 35:55].mean() < found[15].confidence()[:10].mean()


@pytest.mark.parametrize("method", ["flow", "motion"])
def test_a_wall_that_comes_nearer_by_itself_is_followed(method):
    """At 1 m/s: without it the filter would be a second late."""
    distances = 5.0 - 0.1 * np.arange(30)
    truth, rgb = wall(pose())
    truth = np.broadcast_to(truth * np.float32(0.25), (30, *truth.shape)) * distances[:, None, None]
    # The rest of the picture stands, so that it is not the scale.
    truth = np.where(np.arange(96) < 60, truth[0], truth).astype(np.float32)
    coming = (np.arange(96) >= 60)[:, None]
    pictures = [np.where(coming, np.roll(rgb, i, 0), rgb) for i in range(30)]
    found = steadied(method, truth, [pose()] * 30, pictures)
    error = [
        np.abs(f.estimate.values / t - 1)[:, 65:].mean() for f, t in zip(found, truth, strict=True)
    ]
    assert np.mean(error) < 0.05 and max(error) < 0.12


def test_a_cut_begins_anew():
    truth, rgb = wall(pose())
    other = np.where(np.indices(truth.shape).sum(0) // 12 % 2, 1.0, 9.0).astype(np.float32)
    found = steadied(
        "flow", [truth] * 4 + [other], [None] * 5, [rgb] * 4 + [255 - rgb.T[..., :1].T]
    )
    assert found[4].report.status == "restarted" and "cut" in found[4].report.reason
    np.testing.assert_array_equal(found[4].estimate.values, other)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stamp_ns": 5_000_000_000}, "no picture for"),
        ({"epoch": 1, "stamp_ns": 0}, "time went back"),
    ],
)
def test_it_forgets_by_time(change, reason):
    truth, rgb = wall(pose())
    steadier = Steadier(SteadyOptions("flow"))
    steadier.steady(DepthMap(truth, CAMERA), moment(0), rgb)
    steadier.steady(DepthMap(truth, CAMERA), moment(1), rgb)
    found = steadier.steady(DepthMap(2 * truth, CAMERA), replace(moment(2), **change), rgb)
    assert found.report.status == "restarted" and reason in found.report.reason
    np.testing.assert_array_equal(found.estimate.values, 2 * truth)


def test_it_forgets_with_another_type_size_or_camera_or_when_told():
    truth, rgb = wall(pose())
    others = [
        DisparityMap(1 / truth, CAMERA),
        DepthMap(truth[:40].copy(), CAMERA.cropped(0, 0, 96, 40)),
        DepthMap(truth, Camera.from_hfov(96, 72, 60.0, "camera")),
        DepthMap(truth),
    ]
    for other in others:
        steadier = Steadier(SteadyOptions("flow"))
        steadier.steady(DepthMap(truth, CAMERA), moment(0), rgb)
        assert steadier.steady(other, moment(1), rgb).report.status == "restarted"
    steadier.forget()
    found = steadier.steady(others[-1], moment(2), rgb)
    assert (found.report.status, found.report.reason) == ("restarted", "")


def test_a_late_picture_is_left_as_it_is():
    truth, rgb = wall(pose())
    steadier = Steadier(SteadyOptions("flow"))
    for i in (0, 2):
        steadier.steady(DepthMap(truth, CAMERA), moment(i), rgb)
    late = steadier.steady(DepthMap(2 * truth, CAMERA), moment(1), rgb)
    assert late.report.status == "plain"
    np.testing.assert_array_equal(late.estimate.values, 2 * truth)
    next_one = steadier.steady(DepthMap(truth, CAMERA), moment(3), rgb)
    assert next_one.report.status == "steady"
    np.testing.assert_allclose(next_one.estimate.values, truth, rtol=1e-3)


def test_a_pose_that_is_wrong_is_noticed():
    poses = [pose(z=0.05 * i) for i in range(10)]
    maps, pictures = zip(*(wall(T) for T in poses), strict=True)
    rng = np.random.default_rng(4)
    told = [T @ pose(yaw_deg=rng.choice((-2.0, 2.0))) for T in poses]
    found = steadied("motion", maps, told, pictures)
    turned = [
        not np.allclose(a[:3, :3], b[:3, :3]) for a, b in zip(told[1:], told[:-1], strict=True)
    ]
    for report, wrong in zip([f.report for f in found[1:]], turned, strict=True):
        assert report.method == ("flow" if wrong else "motion")
        assert ("deg off" in report.reason) == wrong
    for answer, truth in zip(depths(found), maps, strict=True):
        assert np.abs(answer / truth - 1).mean() < 0.02


@pytest.mark.parametrize(
    ("camera", "T", "no_pose", "reason"),
    [
        (None, pose(), "", "camera is not known"),
        (CAMERA, None, "no transform from odom to camera", "no transform from odom"),
    ],
)
def test_without_a_pose_or_a_camera_it_goes_by_flow(camera, T, no_pose, reason):
    truth, rgb = wall(pose())
    steadier = Steadier(SteadyOptions("motion"))
    for i in range(3):
        found = steadier.steady(DepthMap(truth, camera), moment(i, T, no_pose=no_pose), rgb)
    assert found.report.method == "flow" and reason in found.report.reason
    assert reason in found.report.values()["steadying: reason"]
    np.testing.assert_allclose(found.estimate.values, truth, rtol=1e-3)


def test_sky_that_flickers_stays_sky_and_what_comes_before_it_is_seen():
    truth = np.full((72, 96), 5.0, np.float32)
    truth[:30] = np.inf
    truth[30:34] = 60.0
    truth[34:40] = 40.0
    rgb = np.broadcast_to(TEXTURE[:36, :32].repeat(2, 0).repeat(3, 1), (72, 96, 3)).astype(np.uint8)
    steadier = Steadier(SteadyOptions("flow"))
    for i in range(10):
        steadier.steady(DepthMap(truth, CAMERA), moment(i), rgb)
    flickers = truth.copy()
    flickers[10:20, 10:20] = 55.0  # far: the sky it was
    flickers[10:20, 40:50] = 4.0  # near: a thing
    flickers[31:33, 10:20] = np.inf  # far away, and no sky
    flickers[60:62, 60:62] = np.nan
    found = steadier.steady(DepthMap(flickers, CAMERA), moment(10), rgb).estimate.values
    assert np.isinf(found[10:20, 10:20]).all()
    np.testing.assert_array_equal(found[10:20, 40:50], 4.0)
    np.testing.assert_allclose(found[31:33, 10:20], 60.0, rtol=0.01)
    np.testing.assert_allclose(found[60:62, 60:62], 5.0, rtol=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_never_known_stays_so(value):
    maps = [np.full((72, 96), value, np.float32)] * 4
    found = steadied("flow", maps, [None] * 4)
    for answer in depths(found):
        np.testing.assert_array_equal(answer, maps[0])


def test_a_hole_closes_for_a_while_only():
    truth, rgb = wall(pose())
    hole = truth.copy()
    hole[20:50, 30:60] = np.nan
    maps = [truth] * 12 + [hole] * 30
    found = depths(steadied("flow", maps, [None] * 42, [rgb] * 42))
    np.testing.assert_allclose(found[13][25:45, 35:55], truth[25:45, 35:55], rtol=0.01)
    assert np.isnan(found[-1][25:45, 35:55]).all()


@pytest.mark.parametrize("drives", [True, False])
def test_scale_follows_the_exposure_of_a_camera_that_drives(drives):
    poses = [pose(0.03 * i * drives) for i in range(30)]
    truths, pictures = zip(*(wall(T) for T in poses), strict=True)
    # With another exposure the model's scale is another, and stays so.
    bright = [i >= 20 for i in range(30)]
    maps = [truth * np.float32(1.15 if b else 1) for truth, b in zip(truths, bright, strict=True)]
    exposed = [
        (rgb * (0.9 if b else 0.75)).astype(np.uint8)
        for rgb, b in zip(pictures, bright, strict=True)
    ]
    found = steadied("motion", maps, poses, exposed)
    scale = np.median(found[20].estimate.values / truths[20])
    assert scale == pytest.approx(1.15, abs=0.02) if drives else scale < 1.03
    assert {f.report.status for f in found[1:]} == {"steady"}


def test_light_that_flickers_leaves_the_scale_steady():
    rng = np.random.default_rng(0)
    poses = [pose(0.03 * i) for i in range(60)]
    truths, pictures = zip(*(wall(T) for T in poses), strict=True)
    scales = 1 + rng.uniform(-0.1, 0.1, 60)
    lit = [(rgb * (0.9 if i % 2 else 0.75)).astype(np.uint8) for i, rgb in enumerate(pictures)]
    maps = [(truth * scale).astype(np.float32) for truth, scale in zip(truths, scales, strict=True)]
    found = depths(steadied("motion", maps, poses, lit))
    left = np.array([np.median(depth / truth) for depth, truth in zip(found, truths, strict=True)])
    assert left[15:].std() < 0.4 * scales[15:].std()


def test_flow_of_another_exposure_is_no_motion():
    rng = np.random.default_rng(0)
    soft = cv2.resize(rng.uniform(40, 200, (6, 8, 1)), (96, 72), interpolation=cv2.INTER_CUBIC)
    exposed = [soft * (1.0 if i < 10 else 0.6) + rng.normal(0, 2, soft.shape) for i in range(12)]
    pictures = [np.stack([grey.clip(0, 255).astype(np.uint8)] * 3, -1) for grey in exposed]
    truth, _ = wall(pose())
    maps = [truth * np.float32(1 if i < 10 else 1.3) for i in range(12)]
    found = steadied("flow", maps, [None] * 12, pictures)
    # Before a camera that rests, answers of one moment count for little.
    assert np.median(found[10].estimate.values / truth) == pytest.approx(1, abs=0.04)


def test_a_sure_scale_wins_over_memory():
    truth, rgb = wall(pose())
    steadier = Steadier(SteadyOptions("flow"))
    for i in range(12):
        steadier.steady(DepthMap(truth, CAMERA), moment(i), rgb)
    told = steadier.steady(DepthMap(1.2 * truth, CAMERA), moment(12), rgb, scale_is_sure=True)
    np.testing.assert_allclose(told.estimate.values, 1.2 * truth, rtol=1e-3)
    assert told.report.scale == 1
    believed = steadier.steady(DepthMap(truth, CAMERA), moment(13), rgb)
    np.testing.assert_allclose(believed.estimate.values, 1.2 * truth, rtol=0.03)


def test_a_wrong_scale_is_not_kept_for_ever():
    truth, rgb = wall(pose())
    found = depths(steadied("flow", [1.3 * truth] * 3 + [truth] * 80, [None] * 83, [rgb] * 83))
    assert found[6].mean() / truth.mean() > 1.1
    np.testing.assert_allclose(found[-1], truth, rtol=0.02)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (20, 16), (33, 200)])
def test_any_size_will_do(size):
    width, height = size
    depth = np.full((height, width), 3.0, np.float32)
    for method in ("flow", "motion"):
        found = steadied(method, [depth] * 4, [pose()] * 4, camera=None)
        np.testing.assert_allclose(found[-1].estimate.values, depth, rtol=1e-3)
        assert found[-1].confidence().shape == depth.shape


def test_off_is_the_answer_itself():
    truth, rgb = wall(pose())
    estimate = DepthMap(truth, CAMERA)
    found = Steadier().steady(estimate, moment(0), rgb)
    assert found.estimate is estimate and found.report.status == "plain"


def test_a_lens_that_is_kept_leaves_flow():
    truth, rgb = wall(pose())
    camera = replace(CAMERA, D=(-0.1, 0.01, 0.0, 0.0))
    found = steadied("motion", [truth] * 3, [pose()] * 3, [rgb] * 3, camera=camera)
    assert found[-1].report.method == "flow" and "lens" in found[-1].report.reason
    np.testing.assert_allclose(found[-1].estimate.values, truth, rtol=1e-3)


def test_the_answer_of_a_picture_is_not_changed_by_the_next():
    truth, rgb = wall(pose())
    steadier, kept = Steadier(SteadyOptions("motion")), []
    for i in range(4):
        estimate = DepthMap(truth * np.float32(1 + 0.05 * i), CAMERA)
        answer = steadier.steady(estimate, moment(i, pose()), rgb).estimate
        kept.append((answer, answer.values.copy()))
    for answer, values in kept:
        np.testing.assert_array_equal(answer.values, values)
