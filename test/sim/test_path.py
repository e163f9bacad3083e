"""A drive: speed, heading, continuity over corners and over the end."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.sim.path import Drive, camera_mount, mount

SQUARE = ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0), (4.0, 4.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 0.0))


def yaw_of(pose):
    return math.atan2(pose[1, 0], pose[0, 0])


def sampled(drive, step_s=0.01, periods=1.3):
    times = np.arange(0, periods * drive.period_s, step_s)
    return np.array([drive.T_world_base(t) for t in times])


def test_there_and_back_on_a_line():
    drive = Drive(((0.0, 0.0, 0.0), (3.0, 0.0, 0.0)), speed_mps=0.5, turn_radps=math.pi / 4)
    # 6 s there, 4 s to turn about, 6 s back, 4 s to turn about.
    assert drive.period_s == pytest.approx(20.0)
    expected = {0: (0, 0), 3: (1.5, 0), 6: (3, 0), 8: (3, math.pi / 2), 13: (1.5, math.pi)}
    for t, (x, yaw) in expected.items():
        np.testing.assert_allclose(drive.T_world_base(t), mount(x, yaw=yaw), atol=1e-9)
        np.testing.assert_allclose(drive.T_world_base(t + 20), mount(x, yaw=yaw), atol=1e-9)


def test_a_round_trip_has_rounded_corners_and_one_speed():
    drive = Drive(SQUARE, speed_mps=0.4, radius_m=0.5)
    assert drive.period_s == pytest.approx((4 * 3.0 + math.pi) / 0.4)
    at = sampled(drive)[:, :2, 3]
    speed = np.linalg.norm(np.diff(at, axis=0), axis=1) / 0.01
    np.testing.assert_allclose(speed, 0.4, rtol=1e-4)
    # The first side begins after its rounded corner; the middle of the first arc is on its circle.
    np.testing.assert_allclose(drive.T_world_base(0)[:2, 3], [0.5, 0], atol=1e-9)
    middle = drive.T_world_base((3.0 + math.pi / 8) / 0.4)
    share = math.sqrt(0.5) * 0.5
    np.testing.assert_allclose(middle[:2, 3], [3.5 + share, 0.5 - share], atol=1e-9)
    assert yaw_of(middle) == pytest.approx(math.pi / 4)


def test_the_robot_heads_where_it_goes():
    drive = Drive(((0.0, 0.0, 0.0), (5.0, 1.0, 0.2), (7.0, -2.0, 0.0)), radius_m=1.0)
    poses = sampled(drive)
    moves = np.diff(poses[:, :2, 3], axis=0)
    length = np.linalg.norm(moves, axis=1)
    moving = length > 0.004
    assert moving.mean() > 0.5
    ahead = (poses[:-1, :2, 0] + poses[1:, :2, 0]) / 2
    cosine = (moves * ahead).sum(1)[moving] / length[moving]
    assert cosine.min() > 0.999


points = st.lists(
    st.tuples(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from((0.0, 0.1, 0.5))),
    min_size=2,
    max_size=6,
)


@settings(max_examples=40)
@given(points, st.booleans(), st.floats(0.1, 2.0), st.floats(0.05, 1.5))
def test_any_drive_is_continuous_level_and_periodic(corners, closed, speed, radius):
    if len({p[:2] for p in corners}) < 2:
        return
    way = [*corners, corners[0]] if closed else corners
    drive = Drive(way, speed, radius, turn_radps=1.0)
    step = drive.period_s / 400
    poses = np.array([drive.T_world_base(i * step) for i in range(441)])
    rotation = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (441, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(rotation[:, 2, 2], 1.0)
    moved = np.linalg.norm(np.diff(poses[:, :2, 3], axis=0), axis=1)
    assert moved.max() <= speed * step * (1 + 1e-6) + 1e-5
    turned = [math.remainder(yaw_of(b) - yaw_of(a), 2 * math.pi) for a, b in pairwise(poses)]
    assert np.abs(turned).max() <= 1.0 * step + 1e-6
    np.testing.assert_allclose(poses[400:441], poses[:41], atol=1e-5)
    # Over the ground that was asked for, never outside of its corners.
    low, high = np.min(way, axis=0), np.max(way, axis=0)
    assert (poses[:, :3, 3] >= low - 1e-5).all()
    assert (poses[:, :3, 3] <= high + 1e-5).all()


def test_height_is_continuous_and_follows_the_ground():
    drive = Drive(((0.0, 0.0, 0.0), (4.0, 0.0, 1.0), (4.0, 4.0, 3.0)), 0.5, 0.5)
    z = sampled(drive)[:, 2, 3]
    assert np.abs(np.diff(z)).max() <= 0.5 * 0.5 * 0.01 + 1e-9
    assert drive.T_world_base(4.0)[2, 3] == pytest.approx(0.5)
    assert z.max() == pytest.approx(3.0, abs=1e-6)


def test_a_sharp_corner_is_turned_on_the_spot():
    drive = Drive(((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (2.0, 2.0, 0.0)), 1.0, 0.1, turn_radps=0.5)
    # An arc of 0.1 m at 1 m/s would need 10 rad/s.
    np.testing.assert_allclose(
        drive.T_world_base(2.0 + math.pi / 2), mount(2.0, yaw=math.pi / 4), atol=1e-9
    )


def test_mounts():
    nose_down = mount(0.1, 0.2, 0.3, pitch=0.5)
    np.testing.assert_allclose(nose_down[:3, 0], [math.cos(0.5), 0, -math.sin(0.5)])
    camera = camera_mount(0.1, 0.2, 0.3)
    # Right is -y, down is -z, forward is x.
    expected = [[0, 0, 1, 0.1], [-1, 0, 0, 0.2], [0, -1, 0, 0.3], [0, 0, 0, 1]]
    np.testing.assert_allclose(camera, expected)
    drive = Drive(
        ((0.0, 0.0, 0.0), (0.0, 9.0, 0.0)),
        speed_mps=1.0,
        T_base_camera=camera_mount(0.2, 0.0, 0.5),
        T_base_lidar=mount(-0.1, 0.0, 0.9),
    )
    # The robot drives along y: its right is x.
    expected = [[1, 0, 0, 0], [0, 0, 1, 3.2], [0, -1, 0, 0.5], [0, 0, 0, 1]]
    np.testing.assert_allclose(drive.T_world_camera(3.0), expected, atol=1e-9)
    np.testing.assert_allclose(
        drive.T_world_lidar(3.0), mount(0, 2.9, 0.9, yaw=math.pi / 2), atol=1e-9
    )


def test_what_cannot_be_driven_is_refused():
    with pytest.raises(ParameterError, match="two or more different points"):
        Drive(((1.0, 1.0, 0.0), (1.0, 1.0, 5.0)))
    with pytest.raises(ParameterError, match="two or more different points"):
        Drive(())
    with pytest.raises(ParameterError, match="speed_mps of a drive must be positive, got 0"):
        Drive(SQUARE, speed_mps=0)
