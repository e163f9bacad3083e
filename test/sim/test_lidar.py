"""Sweeps against closed-form ranges, against the depth image, and against their statistics."""

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.lidar import scan
from depth_anything_ros.sim.lidar_patterns import (
    LidarPattern,
    find_pattern,
    scan_2d,
    single_range,
    solid_state_raster,
    spinning,
    tof_grid,
)
from depth_anything_ros.sim.path import camera_mount, mount
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.scene import (
    Finish,
    Light,
    Material,
    Primitive,
    Scene,
    Shape,
    rotation_of,
)

WHITE = Material(colour=(1.0, 1.0, 1.0))
GREY = Material(colour=(0.5, 0.2, 0.1))
HALF = (4.0, 3.0, 1.5)  # of the room
LAMP = Light((0.0, 0.0, 1.0), (3.0, 3.0, 3.0))


def scene_of(*surfaces):
    """A scene of (shape, size, position, material, yaw, pitch), each an object."""
    parts = [
        Primitive(
            shape, size, position, rotation_of(*(angles or [0.0])), material, number + 1, number
        )
        for number, (shape, size, position, material, *angles) in enumerate(surfaces)
    ]
    return Scene("test", 1, tuple(parts), (LAMP,))


def room(*more, material=GREY):
    return scene_of((Shape.ROOM, HALF, (0.0, 0.0, 0.0), material), *more)


def wall(x, material=WHITE):
    """A large upright wall at x whose face looks along -x."""
    return (Shape.PLANE, (1.0, 1.0, 1.0), (x, 0.0, 0.0), material, 0.0, -math.pi / 2)


def box_range(origin, directions):
    """Distance to the walls of the room from within."""
    with np.errstate(divide="ignore"):
        to_walls = (np.sign(directions) * HALF - origin) / directions
    return np.where(directions == 0, np.inf, to_walls).min(axis=1)


def row_of(count, **settings):
    """A bare pattern: many beams along x."""
    x = np.tile([1.0, 0.0, 0.0], (count, 1))
    settings = {"min_m": 0.1, "max_m": 100.0, "sigma_m": 0.0, "dropout": 0.0} | settings
    zeros = np.zeros(count)
    return LidarPattern("row", x, zeros.astype(np.uint16), zeros.astype(np.float32), 10, **settings)


@pytest.mark.parametrize("pattern", [spinning(16, 90), spinning(32, 60), scan_2d(), tof_grid()])
def test_a_room_is_measured_exactly(pattern):
    pose = mount(0.7, -0.4, 0.3, 0.1, -0.2, 2.5)
    pattern = replace(pattern.ideal(), max_m=100.0, bundle=np.array([[1.0, 0.0, 0.0]]))
    sweep = scan(World([room()]), pattern, pose)
    expected = box_range(pose[:3, 3], pattern.directions @ pose[:3, :3].T)
    assert len(sweep.points) == len(pattern.directions)
    np.testing.assert_allclose(sweep.ranges, expected, atol=1e-4)
    np.testing.assert_allclose(sweep.true_range_m, expected, atol=1e-4)
    np.testing.assert_allclose(sweep.points, pattern.directions * expected[:, None], atol=1e-4)


def test_a_wall_is_measured_exactly():
    pattern = spinning(16, 360).ideal()
    sweep = scan(World([scene_of(wall(7.0))]), pattern, mount(2.0, 1.0, 0.5, yaw=0.3))
    ahead = pattern.directions @ mount(yaw=0.3)[0, :3]
    expected = 5.0 / ahead
    seen = (ahead > 0) & (expected <= pattern.max_m)
    np.testing.assert_array_equal(sweep.beam, np.flatnonzero(seen))
    np.testing.assert_allclose(sweep.ranges[sweep.beam], expected[seen], atol=1e-4)
    assert np.all(sweep.ranges[~seen] == np.inf)
    np.testing.assert_array_equal(sweep.ring, pattern.ring[seen])
    np.testing.assert_array_equal(sweep.time_s, pattern.time_s[seen])
    # A white wall gives 100 times the cosine of incidence.
    np.testing.assert_allclose(sweep.intensity, 100 * ahead[seen], atol=1e-3)


def test_a_sphere_is_measured_exactly():
    centre, radius = np.array([6.0, 1.0, 0.5]), 1.5
    world = World([scene_of((Shape.SPHERE, (radius, 0.0, 0.0), tuple(centre), GREY))])
    pattern = solid_state_raster(60, 40, 1.0).ideal()
    sweep = scan(world, pattern, np.eye(4))
    along = pattern.directions @ centre
    inside = radius**2 - (centre @ centre - along**2)
    clear = np.abs(inside) > 1e-3  # of the very edge
    hit = inside > 0
    np.testing.assert_array_equal(np.isfinite(sweep.ranges)[clear], hit[clear])
    both = hit & clear
    expected = along[both] - np.sqrt(inside[both])
    np.testing.assert_allclose(sweep.ranges[both], expected, atol=1e-4)


def test_sparse_beams_in_all_directions_are_measured_exactly():
    six = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    pattern = replace(row_of(6), directions=six).ideal()
    sweep = scan(World([room((Shape.SPHERE, (0.5, 0, 0), (0, -2, 0), GREY))]), pattern, np.eye(4))
    np.testing.assert_allclose(sweep.ranges, [4, 4, 3, 1.5, 1.5, 1.5], atol=1e-4)


def cluttered():
    return room(
        (Shape.BOX, (0.4, 0.6, 0.5), (2.0, 1.0, -1.0), GREY, 0.5),
        (Shape.SPHERE, (0.5, 0.0, 0.0), (2.5, -1.2, -0.8), WHITE),
        (Shape.CYLINDER, (0.15, 0.0, 1.5), (1.5, -0.3, 0.0), GREY),
        (Shape.CONE, (0.5, 0.0, 0.6), (3.0, 0.3, -0.9), WHITE),
    )


def test_the_points_lie_in_the_depth_image():
    scene = cluttered()
    camera = Camera.from_hfov(640, 480, 80)
    T_world_camera = camera_mount(-2.0, 0.1, 0.2, 0.02, 0.1, 0.05)
    depth_m = Renderer([scene]).view([camera], T_world_camera[None]).depth_m[0].numpy()
    T_world_lidar = mount(-2.05, 0.05, 0.35, yaw=0.1)
    sweep = scan(World([scene]), spinning(64, 1000).ideal(), T_world_lidar)
    to_camera = np.linalg.inv(T_world_camera) @ T_world_lidar
    points = sweep.points @ to_camera[:3, :3].T + to_camera[:3, 3]
    pixels = np.rint(camera.project(points))
    shown = ((pixels >= 1) & (pixels < [639, 479])).all(axis=1)
    (column, row), z = pixels[shown].astype(int).T, points[shown, 2]
    # Within the slope of its pixel: between the least and the greatest depth of its neighbours.
    around = np.stack([depth_m[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    agrees = (z >= around.min(0) - 1e-3) & (z <= around.max(0) + 1e-3)
    assert len(z) > 5000
    # The rest is what the LiDAR sees past an edge and the camera, 18 cm away, does not.
    assert agrees.mean() >= 0.97
    assert np.median(np.abs(z - depth_m[row, column])) < 5e-3


def test_noise_has_its_standard_deviation():
    pattern = row_of(20000, sigma_m=0.03, sigma_relative=0.004, photons=math.inf)
    errors = scan(World([scene_of(wall(10.0))]), pattern, np.eye(4), seed=3).ranges - 10.0
    assert errors.std() == pytest.approx(0.05, rel=0.03)
    assert errors.mean() == pytest.approx(0.0, abs=0.002)


def returned(distance, angle=0.0, colour=1.0, **settings):
    pattern = row_of(20000, **settings)
    material = Material(colour=(colour, 0.0, 0.0))
    world = World([scene_of((*wall(0.0, material),))])
    pose = mount(yaw=angle) @ mount(-distance)
    return len(scan(world, pattern, pose, seed=5).points) / 20000


def test_losses_rise_with_range_incidence_and_darkness():
    assert returned(100.0, dropout=0.2, photons=math.inf) == pytest.approx(0.8, abs=0.01)
    # exp(-photons · albedo · cos · (max / range)²)
    assert returned(99.9, photons=2.0) == pytest.approx(1 - math.exp(-2), abs=0.01)
    assert returned(50.0, photons=0.5) == pytest.approx(1 - math.exp(-2), abs=0.01)
    assert returned(50.0, photons=0.5, colour=0.4) == pytest.approx(1 - math.exp(-0.8), abs=0.01)
    slanted = returned(50.0, angle=math.pi / 3, photons=0.5)
    assert slanted == pytest.approx(1 - math.exp(-1), abs=0.01)


def test_limits_follow_rep_117():
    pattern = row_of(1, min_m=1.0, max_m=20.0, photons=math.inf)
    world = World([scene_of(wall(0.0))])
    assert scan(world, pattern, mount(-0.9)).ranges[0] == -np.inf
    assert scan(world, pattern, mount(-1.1)).ranges[0] == pytest.approx(1.1)
    far = scan(world, pattern, mount(-20.1))
    assert far.ranges[0] == np.inf
    assert far.true_range_m[0] == pytest.approx(20.1)
    assert far.points.shape == (0, 3)


def test_the_same_seed_gives_the_same_sweep():
    world, pattern = World([cluttered()]), spinning(16, 200)
    one, same, other = (scan(world, pattern, mount(z=0.2), seed) for seed in (7, 7, 8))
    for name in ("points", "ring", "time_s", "intensity", "beam", "ranges"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.ranges, other.ranges)
    dtypes = [getattr(one, n).dtype for n in ("points", "ring", "time_s", "intensity")]
    assert dtypes == [np.float32, np.uint16, np.float32, np.float32]


def test_noise_of_a_beam_does_not_hang_on_others():
    pattern = row_of(100, sigma_m=0.1)
    near = scan(World([scene_of(wall(10.0))]), pattern, np.eye(4), seed=2)
    far = scan(World([scene_of(wall(12.0))]), pattern, np.eye(4), seed=2)
    np.testing.assert_allclose(far.ranges - near.ranges, 2.0, atol=1e-4)


def finished(finish):
    return Material(colour=(1.0, 1.0, 1.0), finish=finish)


def test_most_beams_pass_glass_that_is_slanted_and_its_truth_stays():
    # Glass at 45° to the beams, 4 m ahead; a wall at 10 m.
    glass = (Shape.BOX, (0.003, 9.0, 2.0), (4.0, 0.0, 0.0), finished(Finish.GLASS), math.pi / 4)
    world = World([scene_of(glass, wall(10.0))])
    pattern = row_of(5000, photons=math.inf)
    sweep = scan(world, pattern, np.eye(4), seed=1)
    through = np.isclose(sweep.ranges, 10.0, atol=1e-4)
    assert through.mean() == pytest.approx(0.98, abs=0.01)
    np.testing.assert_allclose(sweep.ranges[~through], 4.0, atol=0.01)
    np.testing.assert_allclose(sweep.true_range_m, 4.0, atol=0.01)
    np.testing.assert_allclose(scan(world, pattern.ideal(), np.eye(4)).ranges, 4.0, atol=0.01)


def test_glass_answers_near_its_perpendicular():
    glass = (Shape.BOX, (0.003, 9.0, 2.0), (4.0, 0.0, 0.0), finished(Finish.GLASS))
    world = World([scene_of(glass, wall(10.0))])
    pattern = row_of(5000, photons=math.inf)
    assert np.isclose(scan(world, pattern, np.eye(4)).ranges, 3.997, atol=1e-3).all()
    at_5_deg = scan(world, pattern, mount(yaw=math.radians(5)))
    assert (at_5_deg.ranges < 5).mean() == pytest.approx(math.exp(-0.5), abs=0.03)


def test_a_mirror_gives_false_points_behind_itself():
    # A mirror at 45°, 4 m ahead, turns the beams to the left or right, where a wall is 6 m away.
    mirror = (Shape.BOX, (0.003, 3.0, 2.0), (4.0, 0.0, 0.0), finished(Finish.MIRROR), math.pi / 4)
    sides = (Shape.ROOM, (50.0, 6.0, 50.0), (0.0, 0.0, 0.0), WHITE)
    world = World([scene_of(mirror, sides)])
    sweep = scan(world, row_of(2000, photons=math.inf), np.eye(4), seed=4)
    false = sweep.ranges > 5
    assert false.mean() == pytest.approx(0.98, abs=0.01)
    np.testing.assert_allclose(sweep.ranges[false], 10.0, atol=0.01)
    np.testing.assert_allclose(sweep.points[false[sweep.beam]][:, 0], 10.0, atol=0.01)
    np.testing.assert_allclose(sweep.true_range_m, 4.0, atol=0.01)


def test_between_two_mirrors_light_is_lost():
    facing = [
        (Shape.BOX, (0.1, 90.0, 90.0), (x, 0.0, 0.0), finished(Finish.MIRROR)) for x in (2.0, -2.0)
    ]
    sweep = scan(World([scene_of(*facing)]), row_of(2000), mount(yaw=1.0), seed=4)
    assert (sweep.ranges == np.inf).mean() == pytest.approx(0.98**3, abs=0.02)


def test_a_cone_measures_the_nearest_thing_in_it():
    # A rod of 10 cm at 2 m, beside the axis of a cone that is 35 cm wide there.
    rod = (Shape.CYLINDER, (0.05, 0.0, 2.0), (2.0, 0.12, 0.0), GREY)
    sweep = scan(World([scene_of(rod, wall(5.0))]), single_range(10).ideal(), np.eye(4))
    assert sweep.ranges.shape == (1,)
    assert sweep.ranges[0] == pytest.approx(1.955, abs=0.01)
    assert sweep.true_range_m[0] == pytest.approx(5.0)
    np.testing.assert_allclose(sweep.points, [[sweep.ranges[0], 0, 0]])


def test_a_zone_reads_near_echoes_as_one_and_the_nearest_of_far_ones():
    pattern = replace(row_of(1), bundle=tof_grid(1).bundle, merge_m=0.6).ideal()
    edge = (Shape.BOX, (0.01, 5.0, 5.0), (2.0, 5.0, 0.0), WHITE)  # fills the left half at 2 m
    flat = scan(World([scene_of(edge, wall(2.4))]), pattern, np.eye(4)).ranges[0]
    rays = pattern.rays()[0]
    left = rays[:, 1] >= -1e-9
    lengths = np.where(left, 1.99, 2.4) / rays[:, 0]
    near = lengths <= lengths.min() + 0.6
    assert flat == pytest.approx(lengths[near].mean(), abs=1e-3)
    deep = scan(World([scene_of(edge, wall(8.0))]), pattern, np.eye(4)).ranges[0]
    assert deep == pytest.approx(lengths[left & near].mean(), abs=1e-3)


@pytest.mark.parametrize("name", ["spinning_16", "solid_state_tall", "scan_2d", "tof_grid"])
def test_a_real_pattern_sees_most_of_a_room(name):
    pattern = find_pattern(name)
    sweep = scan(World([cluttered()]), pattern, mount(-1.0, 0.0, 0.0), seed=11)
    inside = sweep.true_range_m <= pattern.max_m
    assert len(sweep.points) >= 0.9 * inside.sum()
    errors = sweep.ranges[sweep.beam] / sweep.true_range_m[sweep.beam] - 1
    assert np.median(np.abs(errors)) < 0.04
