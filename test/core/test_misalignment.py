"""A room whose depth is known on every ray, seen by points that a wrong rotation has moved."""

import math

import numpy as np
import pytest
from room import BOXES, room_depth, room_points

from depth_anything_ros.core.anchors import AnchorOptions, Anchors, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.misalignment import find_misalignment

CAMERA = Camera.from_hfov(320, 240, 70.0)


def turned(points, axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    about = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return points @ np.array(about[axis]).T


def anchors_of(prediction, axis="x", degrees=0.0, count=2000, boxes=BOXES):
    points = turned(room_points(CAMERA, count, boxes=boxes), axis, degrees)
    return select_anchors(points, CAMERA, prediction, AnchorOptions())


def disparity(boxes=BOXES):
    return (3.0 / room_depth(CAMERA.rays(), boxes) + 0.7).astype(np.float32)


@pytest.mark.parametrize(
    ("axis", "degrees", "right", "down"),
    [("x", 2.0, 0, 1), ("x", -2.0, 0, -1), ("y", 2.0, -1, 0), ("y", -2.0, 1, 0)],
)
def test_two_degrees_are_found_with_their_direction(axis, degrees, right, down):
    prediction = disparity()
    found = find_misalignment(prediction, anchors_of(prediction, axis, degrees), CAMERA.K[0])
    assert found.angle_deg == pytest.approx(2.0, abs=1.0)
    length = math.hypot(found.right_px, found.down_px)
    assert length == pytest.approx(CAMERA.K[0] * math.tan(math.radians(found.angle_deg)))
    assert (found.right_px * right + found.down_px * down) / length > 0.7
    assert found.residual_moved < 0.65 * found.residual


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
def test_right_extrinsics_are_not_blamed_for_a_poor_prediction(noise):
    rng = np.random.default_rng(1)
    blotches = np.kron(rng.normal(1.0, noise, (24, 32)), np.ones((10, 10)))
    prediction = (disparity() * blotches).astype(np.float32)
    assert find_misalignment(prediction, anchors_of(prediction), CAMERA.K[0]) is None


def test_what_a_scene_cannot_tell_is_not_found():
    # Pitch on a plain floor and wall moves the disparity by a constant nearly everywhere.
    plain = disparity(boxes=())
    yawed = anchors_of(plain, "y", 2.0, boxes=())
    assert find_misalignment(plain, yawed, CAMERA.K[0]) is None


def test_few_points_tell_nothing():
    prediction = disparity()
    assert find_misalignment(prediction, anchors_of(prediction, "x", 2.0, 40), CAMERA.K[0]) is None
    none = np.empty(0, np.float32)
    assert find_misalignment(prediction, Anchors(none, none, none, 0, {}), CAMERA.K[0]) is None


def test_one_value_everywhere_is_no_misalignment():
    flat = np.full((240, 320), 2.0, np.float32)
    assert find_misalignment(flat, anchors_of(flat), CAMERA.K[0]) is None
