"""How steady depth is, against closed forms."""

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.core.temporal import (
    carried,
    flicker,
    sampled,
    seen_pairs,
    temporal_alignment_error,
)

CAMERA = Camera.from_hfov(40, 30, 80.0)
NORMAL = np.array([0.3, -0.2, 1.0])


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0):
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s, x], [0, 1, 0, y], [-s, 0, c, z], [0, 0, 0, 1.0]])


def plane(T_world_camera):
    """The depth of the plane NORMAL · p = 4."""
    rays = CAMERA.rays() @ T_world_camera[:3, :3].T
    distance = 4.0 - NORMAL @ T_world_camera[:3, 3]
    return (distance / (rays @ NORMAL)).astype(np.float32)


POSES = np.stack([pose(), pose(0.1, 0.05, 0.2, 0.05), pose(0.3, 0.0, 0.5, -0.04)])
PLANES = [plane(T) for T in POSES]


def test_a_point_is_carried_to_where_the_other_camera_sees_it():
    depth, pixels = carried(np.full((30, 40), 2.0, np.float32), CAMERA, pose(z=-0.5))
    np.testing.assert_allclose(depth, 1.5)
    centre = np.array(CAMERA.K).reshape(3, 3)[:2, 2]
    own = np.stack(np.meshgrid(np.arange(40), np.arange(30)), -1)
    np.testing.assert_allclose(pixels - centre, (own - centre) * 2 / 1.5, atol=1e-4)
    behind, there = carried(np.full((30, 40), 0.5, np.float32), CAMERA, pose(z=-0.5))
    assert np.isnan(behind).all() and np.isnan(there).all()


def test_between_pixels_a_plane_stays_a_plane():
    x, y = np.meshgrid(np.arange(0.5, 38), np.arange(0.25, 28))
    pixels = np.stack((x, y), -1).astype(np.float32)
    fx, _, cx, _, fy, cy, *_ = CAMERA.K
    rays = np.stack(((x - cx) / fx, (y - cy) / fy, np.ones_like(x)), -1)
    # OpenCV counts between pixels in 1/32.
    np.testing.assert_allclose(sampled(PLANES[0], pixels), 4.0 / (rays @ NORMAL), rtol=1e-5)
    outside = np.array([[[-5.0, 3.0], [np.nan, 1.0]]], np.float32)
    assert np.isnan(sampled(PLANES[0], outside)).all()


def test_the_truth_of_a_plane_has_no_error_and_a_scale_that_jumps_has_that_of_its_ratio():
    pairs = seen_pairs(PLANES, CAMERA, POSES)
    assert all(pair.seen.mean() > 0.5 for pair in pairs)
    # OpenCV samples at a 32nd of a pixel.
    assert temporal_alignment_error(PLANES, CAMERA, pairs) < 0.05
    standing = seen_pairs([PLANES[0]] * 3, CAMERA, np.stack([np.eye(4)] * 3))
    jumping = [PLANES[0], PLANES[0] * np.float32(1.25), PLANES[0]]
    # |1 / 1.25 - 1| = 0.2 into the larger one, |1.25 - 1| = 0.25 into the smaller.
    error = temporal_alignment_error(jumping, CAMERA, standing)
    assert error == pytest.approx(22.5, rel=1e-4)
    assert np.isnan(temporal_alignment_error(PLANES[:1], CAMERA, []))


def test_what_moves_or_is_hidden_does_not_count():
    standing = np.stack([np.eye(4)] * 2)
    wall = np.full((30, 40), 4.0, np.float32)
    thing = wall.copy()
    thing[10:20, 10:20] = 2.0
    moving = [np.zeros(wall.shape, bool), thing < 3]
    for masks in (None, moving):  # hidden, as it is nearer than what was seen; or said to move
        forth, back = seen_pairs([wall, thing], CAMERA, standing, masks)
        assert (forth.one, forth.other, back.one, back.other) == (0, 1, 1, 0)
        for pair in (forth, back):
            assert not pair.seen[10:20, 10:20].any() and pair.seen[:9].all()
        assert temporal_alignment_error([wall, thing], CAMERA, [forth, back]) == 0
    other = np.full((30, 40), 5.0, np.float32)
    both = seen_pairs([wall, wall], CAMERA, standing, moving)
    counted = [wall, np.where(moving[1], other, wall)]
    assert temporal_alignment_error(counted, CAMERA, both) == 0


def test_each_true_depth_needs_a_pose():
    with pytest.raises(ImageError, match="3 depths and 2 poses"):
        seen_pairs(PLANES, CAMERA, POSES[:2])


def test_flicker_is_the_spread_of_the_logarithm_of_still_points():
    depth = np.full((3, 4), 2.0, np.float32)
    depth[0, 0] = np.nan
    still = np.ones((3, 4), bool)
    assert flicker([depth] * 5, still) == 0
    # ln 2 · e^(±0.1): a standard deviation of 0.1 whatever the depth.
    swinging = [depth * np.float32(np.exp(s)) for s in (0.1, -0.1, 0.1, -0.1)]
    assert flicker(swinging, still) == pytest.approx(0.1, rel=1e-5)
    swinging[0][1:] = 7.0
    still[1:] = False
    assert flicker(swinging, still) == pytest.approx(0.1, rel=1e-5)
    assert np.isnan(flicker(swinging, ~np.ones((3, 4), bool)))
