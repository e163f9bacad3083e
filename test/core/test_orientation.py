import numpy as np
import pytest
from orientation import UPRIGHT

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.orientation import upright, upright_camera

K = (60.0, 0, 30.0, 0, 55.0, 25.5, 0, 0, 1)
P = (50.0, 0, 28.0, -5.0, 0, 52.0, 24.0, 1.0, 0, 0, 1, 0)
LENSES = {
    "pinhole": ((), "plumb_bob"),
    "tangential": ((-0.2, 0.05, 0.01, -0.02, 0.001), "plumb_bob"),
    "prism": (
        (0.1, 0.01, 0.01, -0.02, 0, 0.1, 0.02, 0, 0.01, 0.002, -0.01, 0.003),
        "rational_polynomial",
    ),
    "fisheye": ((0.1, -0.02, 0.003, 0.001), "equidistant"),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pixels_stand_as_a_viewer_shows_them(orientation):
    stored = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    turned = upright(stored, orientation)
    np.testing.assert_array_equal(turned, UPRIGHT[orientation](stored))
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_camera_turns_with_its_pixels(orientation, lens):
    D, model = LENSES[lens]
    turn = 0.02
    R = (np.cos(turn), 0, np.sin(turn), 0, 1, 0, -np.sin(turn), 0, np.cos(turn))
    camera = Camera(64, 48, K, D, model, R, P, "front")
    turned = upright_camera(camera, orientation)
    # Where each pixel went, by turning their numbers as pixels.
    numbers = np.arange(64 * 48).reshape(48, 64)
    shown = upright(numbers, orientation)
    assert (turned.height, turned.width) == shown.shape and turned.frame_id == "front"
    rays, there = camera.rays().reshape(-1, 3)[shown], turned.rays()
    corner = [upright(axis, orientation) for axis in np.meshgrid(np.arange(64), np.arange(48))]
    v, u = np.mgrid[: turned.height, : turned.width]
    # The turn of the image plane, from how the pixels moved.
    A = np.round(
        np.linalg.lstsq(
            np.stack([c.ravel() - c.mean() for c in corner], axis=1),
            np.stack([u.ravel() - u.mean(), v.ravel() - v.mean()], axis=1),
            rcond=None,
        )[0].T
    )
    np.testing.assert_allclose(there[..., :2], rays[..., :2] @ A.T, atol=1e-6)
    flat = turned.rectified().rays()
    before = camera.rectified().rays().reshape(-1, 3)[shown]
    np.testing.assert_allclose(flat[..., :2], before[..., :2] @ A.T, atol=1e-9)
    np.testing.assert_allclose((turned.P[3], turned.P[7]), A @ (P[3], P[7]))


def test_four_quarters_are_none():
    camera = Camera(64, 48, K, LENSES["prism"][0], "rational_polynomial", P=P)
    turned = camera
    for _ in range(4):
        turned = upright_camera(turned, 6)
    np.testing.assert_allclose(turned.K, camera.K)
    np.testing.assert_allclose(turned.D, camera.D)
    assert upright_camera(camera, 1) is camera


def test_what_cannot_be_turned_is_refused():
    skewed = Camera(64, 48, (60.0, 0.5, 30.0, 0, 55.0, 25.5, 0, 0, 1))
    with pytest.raises(CameraError, match="skew"):
        upright_camera(skewed, 6)
    assert upright_camera(skewed, 3).K[1] == 0.5
    tilted = Camera(64, 48, K, (*[0.0] * 12, 0.01, 0.0), "rational_polynomial")
    with pytest.raises(CameraError, match="tilted"):
        upright_camera(tilted, 2)
