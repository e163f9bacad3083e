"""Frames of a recording over time."""

import cv2
import numpy as np
import pytest
from refusals import refused

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.poses import inverse, quaternion_of_rotation, rigid_matrix
from depth_anything_ros.core.transforms import Transforms

NONE = (0.0, 0.0, 0.0, 1.0)


def pose(rng):
    return rigid_matrix(rng.normal(size=3), rng.normal(size=4))


def add(frames, parent, child, matrix, stamp_ns=0, is_static=True):
    q = quaternion_of_rotation(matrix[:3, :3])
    frames.add(parent, child, stamp_ns, tuple(matrix[:3, 3]), tuple(q), is_static)


def test_frames_of_two_branches_meet_where_these_do():
    rng = np.random.default_rng(0)
    T_base_mast, T_mast_lidar, T_base_camera = pose(rng), pose(rng), pose(rng)
    frames = Transforms()
    add(frames, "mast", "lidar", T_mast_lidar)
    add(frames, "/base", "mast", T_base_mast)
    add(frames, "base", "camera", T_base_camera)

    found = frames.find("camera", "/lidar", 5)

    expected = inverse(T_base_camera) @ T_base_mast @ T_mast_lidar
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(frames.find("lidar", "camera", 5) @ expected, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(frames.find("base", "base", 5), np.eye(4))


@pytest.mark.parametrize("order", [(0, 100, 200), (200, 0, 100)])
def test_between_two_stamps_it_moves_and_turns_evenly(order):
    frames = Transforms()
    for stamp in order:
        turn = np.eye(4)
        turn[:3, :3] = cv2.Rodrigues(np.array([0, 0, stamp / 100]))[0]
        turn[:3, 3] = stamp, 0, -stamp / 2
        add(frames, "odom", "base", turn, stamp, is_static=False)

    found = frames.find("odom", "base", 125)

    np.testing.assert_allclose(found[:3, 3], (125, 0, -62.5))
    np.testing.assert_allclose(cv2.Rodrigues(found[:3, :3])[0].ravel(), (0, 0, 1.25), atol=1e-12)
    assert frames.find("odom", "base", 200)[0, 3] == 200


def test_a_turn_takes_the_shorter_way():
    """A quaternion and its negative are one rotation."""
    frames = Transforms()
    frames.add("a", "b", 0, (0, 0, 0), NONE, False)
    frames.add("a", "b", 10, (0, 0, 0), (0, 0, -np.sin(0.2), -np.cos(0.2)), False)

    angle = cv2.Rodrigues(frames.find("a", "b", 5)[:3, :3])[0].ravel()

    np.testing.assert_allclose(angle, (0, 0, 0.2), atol=1e-12)


def test_what_is_not_known_is_said_with_its_frames():
    frames = Transforms()
    frames.add("odom", "base", 1_000_000_000, (0, 0, 0), NONE, False)
    frames.add("map", "tower", 0, (0, 0, 0), NONE, True)

    for frame, stamp, said in (
        ("base", 3_500_000_000, "'base' to 'odom' is 2.500 s before"),
        ("base", 0, "1.000 s after"),
        ("tower", 0, "'tower' and 'odom' hang together by no transform"),
        ("nowhere", 0, "'nowhere' and 'odom'"),
    ):
        with refused(DepthAnythingError, "no_transform", said):
            frames.find("odom", frame, stamp)


def test_a_ring_of_frames_has_an_end():
    frames = Transforms()
    frames.add("a", "b", 0, (0, 0, 0), NONE, True)
    frames.add("b", "a", 0, (0, 0, 0), NONE, True)

    with pytest.raises(DepthAnythingError, match="hang together"):
        frames.find("a", "c", 0)
