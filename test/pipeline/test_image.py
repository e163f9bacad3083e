"""From an image and its camera to what a network is given, and the grid that is published."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.models.networks.preprocess import network_size
from depth_anything_ros.nodes.messages import camera_info_message
from depth_anything_ros.pipeline.image import ImageRectifier, halved, output_size
from depth_anything_ros.pipeline.options import OutputOptions

WIDTH, HEIGHT = 64, 48
K = (50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0)
PLAIN = Camera(WIDTH, HEIGHT, K)
LENS = (-0.2, 0.05, 1e-3, -1e-3)
POLICIES = ("auto", "always", "never", "already")
# Of an image_geometry, whose K and P differ though nothing is distorted.
ZOOMED = replace(PLAIN, P=(45.0, 0, 30.0, 0, 0, 45.0, 22.0, 0, 0, 0, 1, 0))


def rectified(rgb, camera, policy, is_rectified=False):
    return ImageRectifier().rectified(rgb, camera, policy, is_rectified)


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
    view = rectified(rgb, camera, policy, is_rectified)
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
    found = Camera.from_info(info).rectified().project(rays[seen])
    np.testing.assert_allclose(found, ideal[:, :2], atol=1e-9)
    # The stereo baseline stays what it was, in metres.
    assert p[0, 3] / p[0, 0] == pytest.approx(camera.P[3] / camera.P[0])


def test_without_distortion_auto_keeps_the_picture_and_leaves_p_out():
    view = rectified(np.zeros((HEIGHT, WIDTH, 3), np.uint8), ZOOMED, "auto")
    assert view.camera.K == K and view.camera.P[:3] == K[:3]
    # Published as it came, the corner's ray would be 30 / 45.
    assert view.camera.rectified().rays()[0, 0, 0] == -31.5 / 50


def test_a_picture_that_is_rectified_already_is_not_bent_again():
    camera = replace(ZOOMED, D=LENS)
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for is_rectified, policy in ((False, "already"), (True, "already"), (True, "auto")):
        view = rectified(rgb, camera, policy, is_rectified)
        assert view.rgb is rgb and view.valid is None
        assert (view.camera.K[0], view.camera.K[2]) == (45.0, 30.0)
        assert not view.camera.is_distorted
        assert view.camera.rays()[0, 0, 0] == -30 / 45
    assert rectified(rgb, camera, "always", True).valid is not None


@pytest.mark.parametrize(
    ("camera", "is_rectified", "policy", "words"),
    [
        (replace(PLAIN, D=LENS), False, "auto", "D is not zero); where the pictures come rect"),
        (replace(PLAIN, D=LENS), True, "auto", "taken as rectified already, P is its camera (r"),
        (PLAIN, False, "auto", "kept as it came (rectify: auto, D is zero)"),
        (ZOOMED, False, "auto", "P, which is another, is left out; set rectify to already"),
        (
            replace(PLAIN, D=LENS),
            True,
            "never",
            "kept as it came (rectify: never), by K and D; w",
        ),
        (
            replace(PLAIN, D=LENS),
            True,
            "always",
            "(rectify: always), by K and D; where the picture",
        ),
        (PLAIN, False, "never", "kept as it came (rectify: never)"),
        (PLAIN, False, "always", "rectified to the pinhole of P (rectify: always)"),
        (PLAIN, False, "already", "P is its camera (rectify: already)"),
    ],
)
def test_what_is_done_is_said_and_why(camera, is_rectified, policy, words):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert words in rectified(rgb, camera, policy, is_rectified).treatment


class Network:
    def network_size(self, width, height):
        return network_size(width, height, 140, 14)


@pytest.mark.parametrize(
    ("asked", "picture", "expected"),
    [
        ("image", (3840, 2160), None),
        ("network", (3840, 2160), (252, 140)),
        ("network", (640, 480), (182, 140)),
        ("network", (480, 640), (140, 182)),
        ("network", (252, 140), None),
        ("network", (160, 120), None),  # finer than the picture
        ("network", (250, 141), None),  # in one direction
        ("480", (3840, 2160), (853, 480)),
        ("480", (2160, 3840), (480, 853)),
        ("720", (3840, 2160), (1280, 720)),
        ("2160", (3840, 2160), None),
        ("4000", (3840, 2160), None),
        ("479", (640, 480), (639, 479)),
    ],
)
def test_the_grid_that_is_published_is_never_finer_than_the_picture(asked, picture, expected):
    assert output_size(asked, picture, Network()) == expected


@pytest.mark.parametrize(
    "asked", ["", "images", "15", "0", "-480", "4.8e2", "480px", "٤٨٠", "9" * 30]
)
def test_a_grid_that_is_none_is_refused(asked):
    with pytest.raises(ParameterError, match=r"output\.size is .* image, network, or the pixels"):
        OutputOptions(asked)


def test_a_picture_is_halved_while_twice_of_all_sizes_fit():
    rgb = np.random.default_rng(0).integers(0, 256, (480, 848, 3)).astype(np.uint8)
    assert halved(rgb, (424, 240), (10, 10)) is rgb
    half = halved(rgb, (212, 120), (10, 10))
    blocks = rgb.reshape(240, 2, 424, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half, blocks, atol=0.5)
    assert halved(rgb, (106, 60), (10, 10)).shape == (120, 212, 3)
    assert halved(rgb, (106, 60), (213, 10)).shape == (480, 848, 3)
    assert halved(rgb, (1, 1)).shape == (30, 53, 3)  # odd sides are not halved
    odd = rgb[:479]
    assert halved(odd, (10, 10)) is odd


@settings(max_examples=100, deadline=None)
@given(calibrations(), st.integers(16, 60), st.sampled_from(POLICIES))
def test_what_is_published_on_a_coarser_grid_is_of_the_same_view(camera, shorter, policy):
    """The ray of each published pixel is that of the middle of what it covers, closed form."""
    picture = (camera.width, camera.height)
    size = output_size(str(shorter), picture, Network())
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    view = rectified(rgb, camera, policy)
    coarse = replace(view, size=size)
    width, height = coarse.published_size
    assert (width, height) == (size or picture)
    u = (np.arange(width) + 0.5) * camera.width / width - 0.5
    v = (np.arange(height) + 0.5) * camera.height / height - 0.5
    expected = view.camera.unproject(np.stack(np.meshgrid(u, v), -1))
    np.testing.assert_allclose(coarse.published_camera.rays(), expected, atol=1e-9)
    info = camera_info_message(Header(), coarse.published_camera, coarse.published_size)
    p = np.reshape(info.p, (3, 4))
    np.testing.assert_allclose(p[:, :3].ravel(), info.k, atol=1e-12)
