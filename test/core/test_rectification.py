import cv2
import numpy as np
from refusals import refused

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.rectification import Rectifier

D = (-0.3, 0.1, 1e-3, -1e-3)
K = (300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0)


def distorted_picture(camera, scene):
    """Picture that camera takes of scene(x, y), a colour on the plane Z = 1."""
    rays = camera.rays()
    return scene(rays[..., 0], rays[..., 1])


def waves(x, y):
    level = 127 + 60 * np.sin(12 * x) + 60 * np.sin(12 * y)
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


def test_a_distorted_picture_becomes_the_pinholes_picture():
    R, _ = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))
    P = (280.0, 0, 150, 0, 0, 280, 115, 0, 0, 0, 1, 0)
    camera = Camera(320, 240, K, D, R=tuple(R.ravel()), P=P)
    rectifier = Rectifier(camera)
    rectified = rectifier.rectify(distorted_picture(camera, waves))
    # What the pinhole sees, turned back by R, meets the same plane.
    rays = rectifier.camera.rays() @ R
    expected = waves(rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2])
    inside = cv2.erode(rectifier.valid.astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.mean() > 0.8
    difference = np.abs(rectified.astype(int) - expected.astype(int))[inside]
    assert difference.max() <= 6 and difference.mean() < 1
    assert (rectified[~rectifier.valid] == 0).all()


def test_depth_turns_with_the_rectified_axis():
    R, _ = cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))
    camera = Camera(320, 240, K, D, R=tuple(R.ravel()))
    rectifier = Rectifier(camera)
    wall = DepthMap(np.full((240, 320), 4.0, np.float32), camera)
    turned = rectifier.rectify_depth(wall)
    points = turned.camera.rays() * turned.depth_m[..., None]
    back = points[rectifier.valid] @ R  # into the frame in which the wall is Z = 4
    assert rectifier.valid.mean() > 0.7
    # Nearest neighbour moves a sample by up to half a pixel: 4 m · 0.5 / 300 · slope of the axis.
    np.testing.assert_allclose(back[:, 2], 4.0, atol=2e-3)
    assert np.isnan(turned.depth_m[~rectifier.valid]).all()


def test_a_rectification_that_sees_nothing_is_refused():
    R, _ = cv2.Rodrigues(np.array([0.0, np.pi, 0.0]))  # looks backwards
    with refused(CameraError, "rectification", "sees nothing"):
        Rectifier(Camera(320, 240, K, D, R=tuple(R.ravel())))
