"""Where pixels were, and how a camera moved, where both are known."""

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.egomotion import egomotion
from depth_anything_ros.core.reprojection import LookBack, look_back

CAMERA = Camera.from_hfov(64, 48, 70.0)
K = np.array(CAMERA.K).reshape(3, 3)
DEPTH = np.random.default_rng(0).uniform(1.0, 9.0, (48, 64)).astype(np.float32)


def motion(turn, step):
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.array(turn, np.float64))[0]
    T[:3, 3] = step
    return T


MOTIONS = [
    motion((0, 0, 0), (0, 0, 0)),
    motion((0.02, -0.05, 0.1), (0, 0, 0)),
    motion((0, 0, 0), (0.1, -0.05, 0.2)),
    motion((-0.01, 0.03, 0.02), (0.05, 0.02, -0.1)),
]


def seen_before(T):
    points = (CAMERA.rays() * DEPTH[..., None]) @ T[:3, :3].T + T[:3, 3]
    return CAMERA.project(points), points[..., 2]


@pytest.mark.parametrize("T", MOTIONS)
def test_pixels_are_looked_up_where_their_points_were_projected(T):
    pixels, depth = seen_before(T)
    columns, rows = np.arange(64, dtype=np.float32), np.arange(48, dtype=np.float32)
    out = LookBack.empty(48, 64)
    found = look_back(1 / DEPTH, T, K, columns, rows, out)
    assert found is out
    np.testing.assert_allclose(np.stack(found[:2], -1), pixels, atol=2e-4)
    np.testing.assert_allclose(found.ratio, depth / DEPTH, rtol=1e-5)
    # The infinitely far has no parallax.
    far = look_back(np.zeros_like(DEPTH), T, K, columns, rows, LookBack.empty(48, 64))
    turned = CAMERA.project(CAMERA.rays() @ T[:3, :3].T)
    np.testing.assert_allclose(np.stack(far[:2], -1), turned, atol=2e-4)


def test_values_are_fetched_from_there_and_beyond_the_picture_from_nowhere():
    source = np.arange(12, dtype=np.float32).reshape(3, 4)
    columns, rows = np.array([[0.5, 3.0, 9.0]], np.float32), np.array([[1.0, 2.0, 1.0]], np.float32)
    found = LookBack(columns, rows, np.ones((1, 3), np.float32)).fetch(source, beyond=100.0)
    np.testing.assert_array_equal(found, [[4.5, 11.0, 100.0]])


@pytest.mark.parametrize("T", MOTIONS)
@pytest.mark.parametrize("wrong", [0.0, 0.25])
def test_the_motion_is_found_though_a_quarter_moves_by_itself(T, wrong):
    focal, centre = K[0, 0], K[:2, 2]
    rays = CAMERA.rays()[::3, ::3, :2].reshape(-1, 2)
    before = (seen_before(T)[0][::3, ::3].reshape(-1, 2) - centre) / focal
    count = round(wrong * len(before))
    before[:count] += 0.1
    inverse = 1 / DEPTH[::3, ::3].ravel().astype(np.float64)
    found = egomotion(rays, inverse, before, least=0.05 / focal)
    np.testing.assert_allclose(found.T_before_now, T, atol=0.01 if wrong else 1e-4)
    assert found.inliers == pytest.approx(1 - wrong, abs=0.02)
    turn = egomotion(rays, inverse, before, 0.05 / focal, motion((0, 0, 0), T[:3, 3]), True)
    np.testing.assert_allclose(turn.T_before_now[:3, :3], T[:3, :3], atol=0.01 if wrong else 1e-3)
