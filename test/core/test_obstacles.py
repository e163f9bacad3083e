"""Obstacles of drawn scenes, whose floor and boxes are known exactly."""

import numpy as np
import pytest
from drawn_scene import CAMERA, Scene, room

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, ParameterError
from depth_anything_ros.core.obstacles import (
    ObstacleFinder,
    ObstacleLimits,
    level_axes,
    scan,
    thinned,
)


def look(scene, scale=1.0, height_m=None, **limits):
    finder = ObstacleFinder(CAMERA, ObstacleLimits(**{"stride": 1} | limits))
    height = scene.height * scale if height_m is None else height_m
    return finder.find(scene.depth_map(scale), scene.up, height)


def levelled(points, scene):
    """Points of the optical frame as ahead, left and up of the ground below the camera."""
    up, ahead, left = level_axes(scene.up)
    return np.stack((points @ ahead, points @ left, points @ up + scene.height), axis=1)


def test_boxes_and_walls_are_obstacles_and_the_floor_is_none():
    scene = room()
    found = look(scene)
    ahead, left, up = levelled(found.points, scene).T
    on_box = (np.abs(ahead - 1.5) < 0.02) & (left > -1.52) & (left < -0.48)
    on_far_box = (ahead > 1.98) & (ahead < 3.02) & (left > 0.38) & (left < 1.02)
    side = (ahead > 1.48) & (ahead < 2.02) & (np.abs(left + 0.5) < 0.03)
    assert (on_box | on_far_box | side | (ahead > 5.9)).all()
    assert on_box.sum() > 30 and on_far_box.sum() > 30 and (ahead > 5.9).sum() > 100
    assert up.min() > 0.1 and up.max() <= 2.0
    floor = levelled(found.ground, scene)
    distance = np.hypot(floor[:, 0], floor[:, 1])
    assert len(floor) > 500 and (np.abs(floor[:, 2]) < 0.101 + 0.03 * distance).all()


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25])
def test_a_wrong_scale_lifts_no_floor_where_the_plane_is_of_the_same_depth(scale):
    floor = Scene(0.5).surface((0, 0, 1), 0.0)
    assert not len(look(floor, scale).points)
    # By the true height, depth that is 20 % short lifts the floor by a fifth of it.
    short = look(floor, 0.8, height_m=0.5, min_height_m=0.05, relative_margin=0.0)
    np.testing.assert_allclose(levelled(short.points, floor)[:, 2], 0.1, atol=1e-3)


def test_what_is_low_and_what_hangs_high_is_none():
    low = Scene(0.5).surface((0, 0, 1), 0.0).box((1.0, 1.5), (-0.5, 0.5), (0, 0.08))
    assert not len(look(low).points)
    assert len(look(low, min_height_m=0.03, relative_margin=0.01).points) > 20
    beam = Scene(1.0, 0.0).surface((1, 0, 0), 2.0, lambda x, y, z: (z > 1.5) & (z < 2.5))
    assert not len(look(beam, max_height_m=1.4).points)
    assert len(look(beam, max_height_m=1.9).points) > 20


def test_one_point_a_voxel():
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (5000, 3)).astype(np.float32)
    kept = thinned(points, 0.5)
    cubes = np.floor(points / 0.5).astype(int)
    assert len(kept) == len(np.unique(cubes, axis=0))
    assert len(np.unique(np.floor(kept / 0.5).astype(int), axis=0)) == len(kept)
    assert {tuple(p) for p in kept} <= {tuple(p) for p in points}
    np.testing.assert_array_equal(thinned(points, 0.0), points)
    far = np.vstack((points, points[:1] + 1000, points[1:2] - 1000))  # too many cubes between
    np.testing.assert_array_equal(thinned(far, 0.5), np.vstack((kept, far[-2:])))


def test_the_scan_is_the_nearest_of_each_bearing_free_is_inf_and_unknown_is_nan():
    planar = np.array([[2, 0], [3, 0], [0, 1.5], [1, 1]], np.float32)
    bearings = np.radians([-90, 0, 45, 90]).astype(np.float32)
    ranges = scan(planar, bearings, -np.pi / 2, np.pi / 4, 5)
    np.testing.assert_allclose(ranges, [np.inf, np.nan, 2.0, np.sqrt(2), 1.5], rtol=1e-6)


def test_the_scan_of_a_room_is_that_of_its_walls_and_boxes():
    scene = room(pitch_deg=5.0)
    found = look(scene, relative_margin=0.0)
    step, fine = np.radians(0.5), np.radians(0.02)
    ranges = scan(found.planar, found.bearings, -60 * step, step, 121)
    along = np.linspace(0, 9, 9001)
    ideal = []
    for bearing in np.arange(-60 * step - step / 2, 60 * step + step / 2, fine):
        x, y = along * np.cos(bearing), along * np.sin(bearing)
        hit = x >= 6.0
        for (x0, x1), (y0, y1) in (((1.5, 2.0), (-1.5, -0.5)), ((2.0, 3.0), (0.4, 1.0))):
            hit |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        ideal.append(along[np.argmax(hit)])
    nearest = np.reshape(ideal[: 121 * 25], (121, 25)).min(axis=1)
    # At an edge, a pixel more or less of the box is in the bearing.
    apart = np.abs(np.diff(nearest, prepend=nearest[0], append=nearest[-1])) < 0.2
    off = np.abs(ranges - nearest)[apart[1:] & apart[:-1]]
    assert len(off) > 100 and off.max() < 0.05


def test_nothing_is_known_of_nan_and_what_is_beyond_range_is_free():
    scene = Scene(0.5, 0.0)
    scene.depth[:] = np.inf
    found = look(scene)
    assert not len(found.points) and not len(found.ground)
    assert np.isinf(scan(found.planar, found.bearings, -0.3, 0.05, 13)).all()
    scene.depth[:] = np.nan
    found = look(scene)
    assert np.isnan(scan(found.planar, found.bearings, -0.3, 0.05, 13)).all()


def test_a_camera_that_looks_straight_down_has_its_top_ahead():
    _, ahead, left = level_axes(np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose((ahead, left), ((0, -1, 0), (-1, 0, 0)), atol=1e-12)


def test_depth_of_another_size_and_limits_that_contradict_are_refused():
    finder = ObstacleFinder(CAMERA, ObstacleLimits())
    with pytest.raises(CameraError, match=r"\(20, 10\)"):
        finder.find(DepthMap(np.ones((10, 20), np.float32)), np.array([0, -1.0, 0]), 0.5)
    with pytest.raises(ParameterError, match="max_height_m"):
        ObstacleLimits(min_height_m=2.0, max_height_m=1.0)
