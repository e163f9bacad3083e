"""Views from what an any-view network answers: true geometry, and networks of random weights."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refusals import refused
from three_views import RIG, SIZE, pictures, turned

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap
from depth_anything_ros.core.errors import CameraError, ImageError, ModelError
from depth_anything_ros.core.poses import inverse
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.any_view import (
    ViewEstimate,
    Window,
    extrinsics_as_trained,
    views_of,
)
from depth_anything_ros.models.networks.depth_anything_3 import ViewsOutput
from depth_anything_ros.models.networks.output import DepthWithSky
from depth_anything_ros.sim.path import camera_mount
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.render import Renderer

UNIT_M = 2.5  # metres in the network's unit, of the answers that are made of true geometry

NO_RAYS = torch.zeros(0), torch.zeros(0)  # which nothing but training reads


def _windows(count, picture=SIZE):
    return [Window(picture, SIZE, 0, 0, *SIZE)] * count


def _encoding(T, camera):
    """The pose encoding of a camera; its quaternion comes from the rotation's axis and angle."""
    angle = math.acos(min(1.0, (np.trace(T[:3, :3]) - 1) / 2))
    antisymmetric = T[:3, :3] - T[:3, :3].T
    axis = np.array((antisymmetric[2, 1], antisymmetric[0, 2], antisymmetric[1, 0]))
    axis *= math.sin(angle / 2) / max(np.linalg.norm(axis), 1e-12)
    fov = [2 * math.atan(s / 2 / f) for s, f in ((SIZE[1], camera.K[4]), (SIZE[0], camera.K[0]))]
    return (*T[:3, 3], *axis, math.cos(angle / 2), *fov)


def _truth(rig, unit_m=UNIT_M):
    """What a network that knows the truth answers, in its own unit and its own world."""
    own = turned(0.7, 25.0) @ inverse(rig.poses[1]) @ rig.poses
    own[:, :3, 3] /= unit_m
    return ViewsOutput(
        rig.depth_m / unit_m,
        torch.full_like(rig.depth_m, 1.5),
        *NO_RAYS,
        torch.tensor([_encoding(*pair) for pair in zip(own, rig.cameras, strict=True)]),
    )


def _world(view):
    """The points (height, width, 3) of a view in the world."""
    values = view.depth.depth_m if isinstance(view.depth, DepthMap) else view.depth.depth
    points = BackProjector(view.depth.camera).project(DepthMap(values)).xyz.astype(np.float64)
    return points @ view.T_world_camera[:3, :3].T + view.T_world_camera[:3, 3]


def _true_world(rig, index):
    return _world(
        ViewEstimate(DepthMap(rig.depth_m[index].numpy(), rig.cameras[index]), 0, rig.poses[index])
    )


# True geometry


def test_given_poses_make_metres_of_any_unit(rig):
    found = views_of(_truth(rig), None, _windows(3), rig.cameras, rig.poses)

    for index, view in enumerate(found):
        assert isinstance(view.depth, DepthMap)
        assert view.depth.camera is rig.cameras[index]
        np.testing.assert_allclose(view.depth.depth_m, rig.depth_m[index], rtol=1e-5)
        np.testing.assert_array_equal(view.T_world_camera, rig.poses[index])
        assert (view.confidence == 1.5).all() and view.confidence.dtype == np.float32


def _overlap(one, other):
    """For points of one view that another has in its picture: their depth there, and its own."""
    points = _world(one).reshape(-1, 3)
    T = inverse(other.T_world_camera)
    points = points @ T[:3, :3].T + T[:3, 3]
    camera = other.depth.camera
    pixels = camera.project(points)
    inside = ((pixels >= 0) & (pixels <= (camera.width - 1, camera.height - 1))).all(-1)
    columns, rows = np.rint(pixels[inside]).astype(int).T
    return points[inside, 2], other.depth.depth_m[rows, columns]


def test_the_clouds_of_a_rig_agree_where_they_overlap(rig):
    """As well as the simulator's own: a pixel's rounding, and what only one camera can see."""
    found = views_of(_truth(rig), None, _windows(3), rig.cameras, rig.poses)

    for index, view in enumerate(found):
        np.testing.assert_allclose(_world(view), _true_world(rig, index), atol=1e-4)
    for one, other in ((0, 1), (0, 2), (1, 0), (2, 0)):
        there, own = _overlap(found[one], found[other])
        assert len(own) > 0.2 * SIZE[0] * SIZE[1]
        assert np.median(np.abs(there / own - 1)) < 0.01
        assert np.mean(np.abs(there / own - 1) < 0.05) > 0.9


def test_without_poses_the_first_camera_is_the_world_and_the_unit_is_the_network_s(rig):
    found = views_of(_truth(rig), None, _windows(3))

    relative = inverse(rig.poses[0]) @ rig.poses
    relative[:, :3, 3] /= UNIT_M
    large = views_of(_truth(rig), None, _windows(3, (160, 120)))  # of larger pictures
    for index, view in enumerate(found):
        assert isinstance(view.depth, AffineDepthMap)
        expected = rig.cameras[index].scaled(160, 120).K
        np.testing.assert_allclose(large[index].depth.camera.K, expected, rtol=1e-5)
        np.testing.assert_allclose(view.T_world_camera, relative[index], atol=1e-5)
        np.testing.assert_allclose(view.depth.camera.K, rig.cameras[index].K, rtol=1e-4, atol=1e-3)
        expected = _true_world(rig, index) @ rig.poses[0, :3, :3] / UNIT_M
        expected -= rig.poses[0, :3, 3] @ rig.poses[0, :3, :3] / UNIT_M
        np.testing.assert_allclose(_world(view), expected, atol=1e-3)


def test_pictures_of_another_size_than_the_network_s(rig):
    """Walls stay where they are when depth is resized; its edges are as wide as a pixel was."""
    picture = (160, 120)
    cameras = [camera.scaled(*picture) for camera in rig.cameras]
    seen = Renderer([build_scene(1, "room")] * 3).view(cameras, rig.poses)

    found = views_of(_truth(rig), None, _windows(3, picture), cameras, rig.poses)

    for view, expected in zip(found, seen.depth_m.numpy(), strict=True):
        error = np.abs(view.depth.depth_m / expected - 1)
        assert view.depth.depth_m.shape == (120, 160)
        assert np.median(error) < 1e-3
        assert np.mean(error < 0.01) > 0.85


@pytest.mark.parametrize("mounts", [RIG[:2], ((0.0, 0.0), (0.1, 0.0), (0.2, 0.0))])
def test_a_stereo_pair_and_a_row_of_cameras_have_a_scale(rig, mounts):
    """The reference raises here: its similarity wants cameras that are not in a line."""
    poses = np.stack([rig.poses[0] @ turned(*mount) for mount in mounts])
    count = len(poses)
    cut = SimpleNamespace(cameras=rig.cameras[:count], poses=poses, depth_m=rig.depth_m[:count])

    found = views_of(_truth(cut), None, _windows(count), cut.cameras, poses)

    for view, expected in zip(found, cut.depth_m, strict=True):
        np.testing.assert_allclose(view.depth.depth_m, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "kind", "words", "reason"),
    [
        ("one place", CameraError, r"within 10 mm .* leave the poses out", "baseline"),
        ("one seen place", ModelError, "do the pictures overlap", "baseline"),
        ("sky", ModelError, "only 0 pixels show neither sky", "sky"),
    ],
)
def test_what_has_no_scale(change, kind, words, reason, rig):
    truth, metric, poses = _truth(rig), None, rig.poses.copy()
    if change == "one place":
        poses[:, :3, 3] = poses[0, :3, 3]
    elif change == "one seen place":
        truth.pose_encoding[:, :3] = 1.0
    else:
        metric, poses = _metric(rig, 1.0, torch.ones_like(rig.depth_m)), None

    with refused(kind, reason, words):
        views_of(truth, metric, _windows(3), rig.cameras, poses)


# What the network does not see, and the sky


def test_what_was_cut_off_is_unknown():
    """A wide picture beside a squarer one: its left and right are cut off."""
    window = Window((320, 120), (112, 42), 28, 0, 56, 42)
    depth = torch.full((1, 42, 56), 3.0)
    output = ViewsOutput(
        depth,
        torch.full_like(depth, 2.0),
        torch.zeros(1, 24, 32, 6),
        torch.ones(1, 24, 32),
        torch.tensor([[0.0, 0, 0, 0, 0, 0, 1, 1.0, math.pi / 2]]),
    )

    (view,) = views_of(output, None, [window])

    # 28 of 112 columns are 80 of 320; a pixel that touches them is unknown too.
    known = np.isfinite(view.depth.depth)
    assert known[:, 82:238].all() and not known[:, :80].any() and not known[:, 240:].any()
    assert (view.depth.depth[known] == 3).all()
    assert (view.confidence[~known] == 1).all() and view.confidence[60, 160] == 2
    # 90 degrees in the half of the picture that it saw.
    K = np.array(view.depth.camera.K)
    np.testing.assert_allclose(K[[0, 2, 5]], (80, 159.5, 59.5), rtol=1e-6)


def test_a_given_camera_is_cut_as_its_picture_is():
    camera = Camera.from_hfov(320, 120, 80.0)

    seen = Window((320, 120), (112, 42), 28, 0, 56, 42).camera(camera)

    assert (seen.width, seen.height) == (56, 42)
    assert seen.K[0] == pytest.approx(camera.K[0] * 112 / 320)
    assert seen.K[2] == pytest.approx(27.5)


def _metric(rig, factor=1.0, sky=None):
    """What a metric network that knows the truth answers: metres for a pixel of focal length."""
    focal = rig.cameras[0].K[0]
    return DepthWithSky(
        factor * rig.depth_m / focal, torch.zeros_like(rig.depth_m) if sky is None else sky
    )


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_metric_network_makes_metres_without_poses(rig, calibrated):
    """The focal length of a calibrated camera is better than the network's."""
    cameras, truth = (rig.cameras if calibrated else None), _truth(rig)
    if calibrated:
        truth.pose_encoding[:, 7:] /= 2

    found = views_of(truth, _metric(rig, 1.1), _windows(3), cameras)

    relative = inverse(rig.poses[0]) @ rig.poses
    relative[:, :3, 3] *= 1.1
    for index, view in enumerate(found):
        assert isinstance(view.depth, DepthMap)
        np.testing.assert_allclose(view.depth.depth_m, 1.1 * rig.depth_m[index], rtol=1e-5)
        np.testing.assert_allclose(view.T_world_camera, relative[index], atol=1e-5)
    # Poses say more of metres.
    posed = views_of(truth, _metric(rig, 1.1), _windows(3), rig.cameras, rig.poses)
    np.testing.assert_allclose(posed[2].depth.depth_m, rig.depth_m[2], rtol=1e-5)


def test_but_for_poses_of_one_place(rig):
    poses = rig.poses.copy()
    poses[:, :3, 3] = poses[0, :3, 3]

    found = views_of(_truth(rig), _metric(rig, 1.1), _windows(3), rig.cameras, poses)

    np.testing.assert_allclose(found[2].depth.depth_m, 1.1 * rig.depth_m[2], rtol=1e-5)
    np.testing.assert_array_equal(found[2].T_world_camera, poses[2])


def test_the_sky_is_beyond_range_and_scales_nothing(rig):
    sky = torch.zeros_like(rig.depth_m)
    sky[:, :20] = 0.9
    metric = _metric(rig, 1.0, sky)
    metric.depth[:, :20] = 1e3

    found = views_of(_truth(rig), metric, _windows(3), rig.cameras)

    for view, expected in zip(found, rig.depth_m.numpy(), strict=True):
        assert np.isposinf(view.depth.depth_m[:20]).all()
        assert (view.confidence[:20] == 1).all() and (view.confidence[20:] == 1.5).all()
        np.testing.assert_allclose(view.depth.depth_m[20:], expected[20:], rtol=1e-5)


def _column(depth):
    """An answer whose rows are alike, and a window of 4 x 16 that is the whole of 16 x 16."""
    values = torch.tensor(depth).expand(1, 16, 4)
    one = torch.tensor([[0.0, 0, 0, 0, 0, 0, 1, 1, 1]])
    return ViewsOutput(values, torch.full_like(values, 2.0), *NO_RAYS, one), [
        Window((16, 16), (4, 16), 0, 0, 4, 16)
    ]


def test_what_the_network_answers_in_the_sky_does_not_bend_the_edge():
    output, windows = _column([2.0, 2.0, 1000.0, 1000.0])
    camera = Camera.from_hfov(16, 16, 90.0)  # 2 and 8 px in the window
    sky = torch.tensor((0.0, 0.0, 1.0, 1.0)).expand(1, 16, 4)

    (view,) = views_of(output, DepthWithSky(output.depth / 5, sky), windows, [camera])

    # The sky is 0.125 at the seventh pixel, and 0.375 at the eighth.
    assert view.depth.depth_m[7].tolist() == pytest.approx([2.0] * 7 + [math.inf] * 9)


def test_depth_that_underflows_is_unknown():
    output, windows = _column([2.0, 0.0, 0.0, 0.0])

    (view,) = views_of(output, None, windows)

    assert np.isnan(view.depth.depth[:, 7:]).all()
    assert (view.depth.depth[:, 0] == 2).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_extrinsics_are_relative_to_the_first_and_of_unit_length(count):
    rng = np.random.default_rng(0)
    poses = np.stack(
        [camera_mount(*rng.normal(0, 3, 3), *rng.normal(size=3)) for _ in range(count)]
    )

    found = inverse(extrinsics_as_trained(poses))

    np.testing.assert_allclose(found[0], np.eye(4), atol=1e-12)
    distances = np.linalg.norm(found[:, :3, 3], axis=1)
    true = np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1)
    unit = max(torch.from_numpy(true).median().item(), 0.1)
    np.testing.assert_allclose(distances, true / unit, atol=1e-12)
    np.testing.assert_allclose(
        found[-1, :3, :3], poses[0, :3, :3].T @ poses[-1, :3, :3], atol=1e-12
    )


# The estimator


@pytest.fixture(scope="module")
def estimator():
    return DepthEstimator("test_da3_any", "random", "cpu", "fp32", SIZE[0])


def test_pictures_larger_than_the_network_s_input(estimator, rig):
    cameras = [camera.scaled(160, 120) for camera in rig.cameras]

    found = estimator.infer_views(pictures(3, 160, 120), cameras, rig.poses)

    for view, camera, pose in zip(found, cameras, rig.poses, strict=True):
        assert isinstance(view.depth, DepthMap) and view.depth.camera is camera
        assert view.depth.depth_m.shape == view.confidence.shape == (120, 160)
        assert view.depth.depth_m.dtype == view.confidence.dtype == np.float32
        assert view.depth.depth_m.min() > 0 and view.confidence.min() >= 1
        assert (view.T_world_camera == pose).all()


def test_views_of_other_sizes_than_the_pictures(estimator, rig):
    gray = [np.full((240, 320, 3), 90, np.uint8)] * 2
    cameras = [camera.scaled(320, 240) for camera in rig.cameras[:2]]
    grid = estimator.network_size(320, 240)
    sizes = [grid, (80, 60)]
    full = estimator.infer_views(gray, cameras, rig.poses[:2])
    found = estimator.infer_views(gray, cameras, rig.poses[:2], sizes=sizes)
    for view, size, camera in zip(found, sizes, cameras, strict=True):
        assert view.depth.camera == camera.scaled(*size)
        assert view.depth.depth_m.shape == view.confidence.shape == size[::-1]
    # The pixels of the coarser grids lie where those of the finer one do.
    coarse, fine = found[1].depth.depth_m, full[1].depth.depth_m
    blocks = fine.reshape(60, 4, 80, 4).mean((1, 3))
    assert np.abs(coarse / blocks - 1).mean() < 0.01


def test_twice_the_baseline_is_twice_as_far(estimator, rig):
    larger = rig.poses.copy()
    larger[:, :3, 3] *= 2

    near = estimator.infer_views(pictures(3), rig.cameras, rig.poses)
    far = estimator.infer_views(pictures(3), rig.cameras, larger)

    for one, two in zip(near, far, strict=True):
        np.testing.assert_allclose(two.depth.depth_m, 2 * one.depth.depth_m, rtol=1e-4)


def test_the_world_s_origin_does_not_matter(estimator, rig):
    moved = turned(3.0, 70.0) @ rig.poses

    here = estimator.infer_views(pictures(3), rig.cameras, rig.poses)
    there = estimator.infer_views(pictures(3), rig.cameras, moved)

    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other.depth.depth_m, one.depth.depth_m, rtol=1e-3)


def test_one_picture_is_its_own_world(estimator):
    (view,) = estimator.infer_views(pictures(1))

    assert isinstance(view.depth, AffineDepthMap)
    np.testing.assert_allclose(view.T_world_camera, np.eye(4), atol=1e-12)


def test_pictures_of_several_sizes_are_cut_to_their_middles(estimator):
    found = estimator.infer_views([*pictures(1, 224, 112), *pictures(1, 112, 112)])

    # 112 x 56 and 112 x 112 after the resize: the network sees 112 x 56 of both.
    assert np.isfinite(found[0].depth.depth).all()
    known = np.isfinite(found[1].depth.depth)
    assert known[28:84].all() and not known[:28].any() and not known[84:].any()


@pytest.mark.parametrize(
    ("count", "options", "kind", "message", "reason"),
    [
        (0, {}, ImageError, "expected one or more", "count"),
        (2, {"poses": 3}, CameraError, "give the cameras too", "uncalibrated"),
        (2, {"cameras": 3}, CameraError, "need as many cameras, got 3", "count"),
        (2, {"cameras": 2, "poses": 3}, CameraError, "need as many poses", "pose"),
        (1, {"cameras": 1, "poses": 1}, CameraError, "within 10 mm", "baseline"),
        (3, {"cameras": 3, "size": (160, 120)}, CameraError, "its camera is 112x84", "camera_size"),
        (2, {"model": "test_relative"}, ModelError, "choose a model of any view", "single_view"),
    ],
)
def test_what_makes_no_views_is_refused(estimator, rig, count, options, kind, message, reason):
    several = {"cameras": rig.cameras, "poses": rig.poses}
    given = {name: values[: options[name]] for name, values in several.items() if name in options}
    if "model" in options:
        estimator = DepthEstimator(options["model"], "random", "cpu", "fp32", 56)

    with refused(kind, reason, message):
        estimator.infer_views(pictures(count, *options.get("size", SIZE)), **given)


def test_weights_that_are_not_numbers_never_become_views(rig):
    estimator = DepthEstimator("test_da3_any", "random", "cpu", "fp32", 56)
    estimator.network.camera_decoder.translation.bias.data.fill_(math.nan)

    with refused(ModelError, "non_finite", r"answered \d+ of \d+ values as NaN"):
        estimator.infer_views(pictures(2))
