"""From a picture and its camera to what is published, without a node."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.nodes.depth_pipeline import DepthPipeline
from depth_anything_ros.nodes.messages import camera_info_message

WIDTH, HEIGHT = 64, 48
K = (50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0)
PLAIN = Camera(WIDTH, HEIGHT, K)
LENS = (-0.2, 0.05, 1e-3, -1e-3)
POLICIES = ("auto", "always", "never", "already")
# Of an image_geometry, whose K and P differ though nothing is distorted.
ZOOMED = replace(PLAIN, P=(45.0, 0, 30.0, 0, 0, 45.0, 22.0, 0, 0, 0, 1, 0))


def small(bound):
    return st.floats(-bound, bound, allow_nan=False)


@st.composite
def calibrations(draw):
    """Cameras whose R and P are their own or other ones, with and without a lens."""
    width, height = draw(st.integers(24, 64)), draw(st.integers(24, 64))
    focal = draw(st.floats(0.6, 2.0)) * width
    k = (
        focal,
        draw(small(0.5)),
        width / 2 + draw(small(3)),
        0.0,
        focal * 1.02,
        height / 2,
        0,
        0,
        1,
    )
    lens = draw(st.sampled_from(((), (0.0,) * 5, (-0.1, 0.02, 1e-3, 0.0))))
    R, _ = cv2.Rodrigues(np.array([draw(small(0.05)) for _ in range(3)]))
    zoom = draw(st.floats(0.8, 1.25))
    p = (zoom * focal, 0, width / 2, draw(small(40.0)), 0, zoom * focal, height / 2, 0, 0, 0, 1, 0)
    has_p, has_r = draw(st.booleans()), draw(st.booleans())
    return Camera(width, height, k, lens, R=R if has_r else None, P=p if has_p else None)


@settings(max_examples=200, deadline=None)
@given(calibrations(), st.sampled_from(POLICIES), st.booleans())
def test_what_is_published_says_the_same_by_k_and_by_p(camera, policy, is_rectified):
    """So depth_image_proc and RViz, which read P, put a point where the cloud has it."""
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    view = DepthPipeline(is_rectified).view(rgb, camera, policy)
    info = camera_info_message(Header(), view.camera, (camera.width, camera.height))
    p, k = np.reshape(info.p, (3, 4)), np.reshape(info.k, (3, 3))
    np.testing.assert_array_equal(p[:, :3], k)
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    keeps_lens = camera.is_distorted and policy == "never"
    assert any(info.d) == keeps_lens
    # The rays of the cloud are those that a reader of K and D, or of R and P, finds.
    rays = view.camera.rays()
    if not keeps_lens:
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        pixels = np.stack((u, v, np.ones_like(u)), -1)
        np.testing.assert_allclose(rays, pixels @ np.linalg.inv(p[:, :3]).T, atol=1e-9)
    seen = np.isfinite(rays[..., 0])
    ideal = rays[seen] @ p[:, :3].T
    rectified = Camera.from_info(info).rectified().project(rays[seen])
    np.testing.assert_allclose(rectified, ideal[:, :2], atol=1e-9)
    # The stereo baseline stays what it was, in metres.
    assert p[0, 3] / p[0, 0] == pytest.approx(camera.P[3] / camera.P[0])


def test_without_distortion_auto_keeps_the_picture_and_leaves_p_out():
    view = DepthPipeline(False).view(np.zeros((HEIGHT, WIDTH, 3), np.uint8), ZOOMED, "auto")
    assert view.camera.K == K and view.camera.P[:3] == K[:3]
    # Published as it came, the corner's ray would be 30 / 45.
    assert view.camera.rectified().rays()[0, 0, 0] == -31.5 / 50


def test_a_picture_that_is_rectified_already_is_not_bent_again():
    camera = replace(ZOOMED, D=LENS)
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for is_rectified, policy in ((False, "already"), (True, "already"), (True, "auto")):
        view = DepthPipeline(is_rectified).view(rgb, camera, policy)
        assert view.rgb is rgb and view.valid is None
        assert (view.camera.K[0], view.camera.K[2]) == (45.0, 30.0)
        assert not view.camera.is_distorted
        assert view.camera.rays()[0, 0, 0] == -30 / 45
    assert DepthPipeline(True).view(rgb, camera, "always").valid is not None


@pytest.mark.parametrize(
    ("camera", "is_rectified", "policy", "words"),
    [
        (replace(PLAIN, D=LENS), False, "auto", "D is not zero); where the pictures come rect"),
        (replace(PLAIN, D=LENS), True, "auto", "taken as rectified already, P is its camera (r"),
        (PLAIN, False, "auto", "kept as it came (rectify: auto, D is zero)"),
        (ZOOMED, False, "auto", "P, which is another, is left out; set rectify to already"),
        (replace(PLAIN, D=LENS), False, "never", "kept as it came (rectify: never)"),
        (PLAIN, False, "always", "rectified to the pinhole of P (rectify: always)"),
        (PLAIN, False, "already", "P is its camera (rectify: already)"),
    ],
)
def test_what_is_done_is_said_and_why(camera, is_rectified, policy, words):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert words in DepthPipeline(is_rectified).view(rgb, camera, policy).treatment
