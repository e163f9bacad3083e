"""A robot's sensors against closed forms."""

import math

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.sim.lidar_patterns import find_pattern
from depth_anything_ros.sim.path import Drive
from depth_anything_ros.sim.robot import Robot, T_camera_lidar, sensor_mounts
from depth_anything_ros.sim.scene import Light, Primitive, Scene, Shape

CAMERA = Camera.from_hfov(64, 48, 90.0)
HEIGHT = 0.5


@pytest.fixture(scope="module")
def robot():
    """On a plain that ends at a wall, 6 m ahead of where it starts; it drives towards it."""
    ground = Primitive(Shape.PLANE, (0.0, 0.0, 0.0))
    wall = Primitive(Shape.BOX, (0.5, 50.0, 50.0), (6.5, 0.0, 0.0), instance=2)
    light = Light((0.0, 0.6, 0.8), (1.0, 1.0, 1.0), directional=True)
    scene = Scene("plain", 0, (ground, wall), (light,), path=((0.0, 0.0, 0.0), (4.0, 0.0, 0.0)))
    T_base_camera, T_base_lidar = sensor_mounts(HEIGHT, 0.0)
    drive = Drive(scene.path, 2.0, T_base_camera=T_base_camera, T_base_lidar=T_base_lidar)
    return Robot(scene, CAMERA, drive)


def test_the_lidar_is_above_and_behind_the_camera():
    # x right, y down, z forward: 0.2 m up is -y, 0.1 m behind is -z.
    np.testing.assert_allclose(T_camera_lidar(HEIGHT, 0.0)[:3, 3], [0, -0.2, -0.1], atol=1e-12)
    # A point 1 m ahead of the LiDAR, seen by a camera that looks down by 90 degrees.
    ahead = T_camera_lidar(HEIGHT, 90.0) @ [1.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(ahead[:3], [0, -0.9, -0.2], atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_depth_is_that_of_wall_and_ground(robot, t):
    picture = robot.picture(t)
    assert picture.rgb.shape == (48, 64, 3) and picture.rgb.dtype == np.uint8
    wall = 6.0 - 2.0 * t - 0.1  # the camera is 0.1 m before the robot's middle
    np.testing.assert_allclose(picture.depth_m[5], wall, atol=1e-4)
    down = CAMERA.rays()[40, 10, 1]
    assert picture.depth_m[40, 10] == pytest.approx(min(HEIGHT / down, wall), abs=1e-4)
    assert robot.T_odom_base(t)[0, 3] == pytest.approx(2.0 * t)


def test_a_perfect_lidar_agrees_with_the_picture(robot):
    pattern = find_pattern("spinning_16").ideal()
    points = robot.sweep(pattern, 0.0).points
    seen = project_lidar(points, T_camera_lidar(HEIGHT, 0.0), CAMERA)
    # Above the horizon is the wall; a pixel of the ground is some centimetres long.
    above = seen[:24][np.isfinite(seen[:24])]
    assert above.size > 100
    np.testing.assert_allclose(above, 5.9, atol=1e-4)
    np.testing.assert_allclose(robot.picture(0.0).depth_m[:24], 5.9, atol=1e-4)


def test_noise_hangs_on_the_seed_alone(robot):
    one, same, other = (robot.picture(0.5, seed).rgb for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert math.isclose(one.mean(), other.mean(), rel_tol=0.01)
