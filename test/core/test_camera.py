import math
import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.errors import CameraError

K = (500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0)
ZERO_ROI = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def info(**changes):
    fields = {
        "width": 640,
        "height": 480,
        "k": K,
        "d": (),
        "r": (0.0,) * 9,
        "p": (0.0,) * 12,
        "distortion_model": "plumb_bob",
        "binning_x": 0,
        "binning_y": 0,
        "roi": ZERO_ROI,
        "header": SimpleNamespace(frame_id="camera"),
    }
    return SimpleNamespace(**{**fields, **changes})


def pixel_grid(camera):
    return np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)


def small(bound):
    return st.floats(-bound, bound, allow_nan=False)


@st.composite
def cameras(draw):
    """Cameras as calibrations give them: 40 to 110 degrees wide, every model and length of D."""
    width, height = draw(st.integers(32, 160)), draw(st.integers(24, 120))
    focal = max(width, height) / 2 / math.tan(math.radians(draw(st.floats(40, 110))) / 2)
    k = (
        focal,
        draw(small(0.5)),
        width / 2 + draw(small(width / 20)),
        0.0,
        focal * draw(st.floats(0.9, 1.1)),
        height / 2 + draw(small(height / 20)),
        0.0,
        0.0,
        1.0,
    )
    model, count = draw(
        st.sampled_from(
            [(m, n) for m in ("plumb_bob", "rational_polynomial") for n in (0, 4, 5, 8, 12, 14)]
            + [("equidistant", 0), ("equidistant", 4)]
        )
    )
    if model == "equidistant":
        d = [draw(small(0.05)) for _ in range(count)]
    else:
        # As far as the lens of 110° folds near the corners only.
        bounds = [0.08, 0.01, 2e-3, 2e-3, 0.005, 0.05, 0.01, 2e-3, *[2e-3] * 4, 0.03, 0.03]
        d = [draw(small(bound)) for bound in bounds[:count]]
    return Camera(width, height, k, tuple(d), model)


@settings(max_examples=300)
@given(cameras(), st.floats(0.1, 100))
def test_rays_and_projection_are_inverse_over_the_image(camera, depth):
    rays = camera.rays()
    assert rays.shape == (camera.height, camera.width, 3)
    seen = np.isfinite(rays[..., 0])
    # Only a fold inside the picture leaves pixels without a ray: in the corners, or outside a disc
    # of a third of the picture with the strongest of these lenses (0.98 rad of 55 degrees).
    assert seen[camera.height // 2, camera.width // 2]
    assert seen.mean() > 0.3
    assert np.all(rays[seen][:, 2] == 1)
    error = np.abs(camera.project(rays * depth) - pixel_grid(camera))[seen]
    assert error.max() < 1e-4


@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_projection_equals_opencv(count):
    d = (-0.25, 0.08, 1e-3, -2e-3, 0.02, 0.1, 0.05, 0.01, 2e-3, -1e-3, 1e-3, 2e-3, 0.02, -0.03)
    camera = Camera(640, 480, K, d[:count], "rational_polynomial")
    points = np.random.default_rng(0).uniform((-2, -1.5, 3), (2, 1.5, 6), (200, 3))
    matrix = np.array(K).reshape(3, 3)
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(d[:count]))
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-9)


def test_projection_equals_opencv_fisheye():
    d = (-0.054, -0.0784, 0.0959, -0.0515)
    camera = Camera(640, 480, K, d, "equidistant")
    points = np.random.default_rng(0).uniform((-4, -3, 3), (4, 3, 6), (200, 3))
    matrix = np.array(K).reshape(3, 3)
    zero = np.zeros((3, 1))
    expected, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, matrix, np.array(d))
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-9)


def test_points_behind_the_camera_or_beyond_the_fold_have_no_pixel():
    # r·(1 - 0.3·r²) turns back at r = sqrt(1 / 0.9) = 1.054.
    camera = Camera(640, 480, K, (-0.3, 0.0, 0.0, 0.0))
    points = np.array([[0, 0, -1.0], [0, 0, 0.0], [1.04, 0, 1], [1.07, 0, 1], [3.0, 0, 1]])
    np.testing.assert_array_equal(
        np.isnan(camera.project(points)[:, 0]), [True, True, False, True, True]
    )


def test_pixels_outside_the_lens_have_no_ray():
    # The equidistant model with k1 = -0.2 turns back at theta = sqrt(1 / 0.6) = 1.29 rad.
    camera = Camera(4000, 300, (500, 0, 2000, 0, 500, 150, 0, 0, 1), (-0.2, 0, 0, 0), "equidistant")
    edge = 500 * 1.29 * (1 - 0.2 * 1.29**2)
    seen = np.isfinite(camera.unproject(np.array([[2000 + edge - 5, 150], [2000 + edge + 5, 150]])))
    assert seen[0].all() and not seen[1].any()


def test_scaling_keeps_the_rays_of_the_pictures_border_and_of_block_centres():
    camera = Camera(640, 480, K, (-0.2, 0.05, 1e-3, 1e-3))
    half = camera.scaled(320, 240)
    # The centre of a half-size pixel is the corner between four full-size ones.
    full = camera.unproject(np.array([[0.5, 0.5], [100.5, 200.5], [638.5, 478.5]]))
    small_ = half.unproject(np.array([[0.0, 0.0], [50.0, 100.0], [319.0, 239.0]]))
    np.testing.assert_allclose(small_, full, atol=1e-12)
    assert half.K[0] == 250 and half.P[0] == 250
    assert half.scaled(640, 480) == camera


def test_cropping_moves_the_principal_point():
    camera = Camera(640, 480, K, (-0.2, 0.05, 1e-3, 1e-3))
    window = camera.cropped(100, 50, 320, 240)
    np.testing.assert_allclose(window.rays(), camera.rays()[50:290, 100:420], atol=1e-12)
    assert (window.P[2], window.P[6]) == (K[2] - 100, K[5] - 50)
    with pytest.raises(CameraError, match=r"320x240 at \(400, 50\) leaves the picture of 640x480"):
        camera.cropped(400, 50, 320, 240)


def test_camera_info_with_roi_and_binning_is_the_camera_of_the_picture():
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=400, height=300, do_rectify=True)
    camera = Camera.from_info(info(roi=roi, binning_x=2, binning_y=2))
    assert (camera.width, camera.height, camera.frame_id) == (200, 150, "camera")
    # The binned pixel (0, 0) covers the sensor's 100..101 x 60..61.
    expected = Camera(640, 480, K).unproject(np.array([[100.5, 60.5]]))
    np.testing.assert_allclose(camera.unproject(np.array([[0.0, 0.0]])), expected, atol=1e-12)


def test_binning_an_odd_size_keeps_the_scale_exact():
    camera = Camera(641, 481, K).binned(2, 2)
    assert (camera.width, camera.height) == (320, 240)
    assert (camera.K[0], camera.K[4]) == (250.0, 255.0)
    assert camera.K[2] == (319.5 + 0.5) / 2 - 0.5


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.int64, np.uint16, object])
def test_matrices_are_taken_as_arrays_of_any_kind(kind):
    k, p = np.array([[500, 0, 320], [0, 510, 240], [0, 0, 1]]), np.eye(3, 4, dtype=int) * 300
    p[2, 2] = 1
    expected = Camera(640, 480, k.ravel(), (1, 0, 2, 0), R=np.eye(3).ravel(), P=p.ravel())
    assert expected.K == (500, 0, 320, 0, 510, 240, 0, 0, 1) and type(expected.K[0]) is float
    for shape_k, shape_p, shape_d in (
        ((3, 3), (3, 4), (4,)),
        ((9,), (12,), (1, 4)),
        ((1, 9), (12, 1), (4, 1)),
    ):
        camera = Camera(
            np.int64(640),
            480.0,
            k.astype(kind).reshape(shape_k),
            np.array([1, 0, 2, 0]).astype(kind).reshape(shape_d),
            R=np.eye(3).astype(kind).reshape(shape_k),
            P=p.astype(kind).reshape(shape_p),
        )
        assert camera == expected and hash(camera) == hash(expected)
        assert type(camera.width) is int and type(camera.height) is int
    assert Camera(640, 480, k.tolist(), None, R=None, P=None).P[:3] == (500, 0, 320)
    assert Camera(640, 480, np.asfortranarray(k)[::1]).K == expected.K


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"K": np.eye(4)}, r"K must be 9 numbers, flat or \(3, 3\), got an array .* \(4, 4\)"),
        ({"K": np.eye(3) * 1j}, "K must be 9 numbers"),
        ({"K": [[1, 2], [3]]}, "K must be 9 numbers"),
        ({"K": ["f"] * 9}, "K must be 9 numbers"),
        ({"K": None}, "9 finite numbers"),
        ({"P": np.ones((4, 3))}, r"P must be 12 numbers, flat or \(3, 4\)"),
        ({"P": np.ones(9)}, "P must be 12 numbers"),
        ({"R": np.eye(2)}, "R must be 9 numbers"),
        ({"D": np.zeros((2, 2))}, "D must be numbers in a row"),
        ({"width": 640.5}, "width must be a whole number of pixels, got 640.5"),
        ({"height": float("nan")}, "height must be a whole number"),
        ({"height": "480"}, "height must be a whole number"),
    ],
)
def test_arrays_that_are_no_matrices_are_refused(values, words):
    with pytest.raises(CameraError, match=words):
        Camera(**{"width": 640, "height": 480, "K": K, **values})


@pytest.mark.parametrize(
    ("size", "fx", "fy", "centre", "words"),
    [
        ((640, 480), 0.96, 0.96, (319.5, 239.5), "see 179.7 deg"),  # millimetres
        ((640, 480), 23705, 23705, (319.5, 239.5), "see 1.547 deg"),
        ((640, 480), 500, 23705, (319.5, 239.5), "see 1.547 deg"),
        ((640, 480), 500, 0.96, (319.5, 239.5), "see 179.5 deg"),
        ((640, 480), 500, 500, (640, 239.5), r"principal point \(640, 239.5\) is outside"),
        ((640, 480), 500, 500, (319.5, -1), "is outside the picture of 640x480"),
        ((640, 480), 320 / math.tan(math.radians(2.51)), 7300, (319.5, 239.5), ""),
        ((640, 480), 320 / math.tan(math.radians(2.49)), 7300, (319.5, 239.5), "4.98 deg"),
        ((640, 480), 320 / math.tan(math.radians(84.9)), 30, (319.5, 239.5), ""),
        ((640, 480), 320 / math.tan(math.radians(85.1)), 30, (319.5, 239.5), "170.2 deg"),
        ((4096, 16), 3000, 3000, (2048, 7.5), ""),  # a line camera
        ((16, 4096), 3000, 3000, (7.5, 2048), ""),
        ((640, 480), 500, 510, (-0.5, 239.5), ""),
        ((640, 480), 500, 510, (319.5, 479.5), ""),
        ((640, 480), 500, 510, (60, 470), ""),
        # K of pictures of twice the size; not filled in; all in millimetres, or shares of a side.
        ((640, 480), 1000, 1000, (635.2, 483.1), "outside the picture of 640x480"),
        ((640, 480), 1000, 1000, (635.2, 470.4), r"\(635.2, 470.4\) is in a corner of the pic"),
        ((640, 480), 500, 500, (0, 0), "in a corner"),
        ((640, 480), 3.6, 3.6, (2.4, 1.8), "see 178.7 deg.*; .*in a corner"),
        ((640, 480), 0.78, 1.04, (0.5, 0.5), "see 179.7 deg"),
    ],
)
def test_numbers_that_no_camera_has_are_doubted(size, fx, fy, centre, words):
    said = Camera(*size, (fx, 0, centre[0], 0, fy, centre[1], 0, 0, 1)).doubts()
    assert re.search(words, said) if words else said == ""


@given(cameras(), st.tuples(*[small(0.3)] * 3), st.floats(0.5, 1.5), small(60.0))
def test_by_k_and_by_p_a_picture_as_taken_has_the_same_rays(camera, axis, zoom, baseline):
    R, _ = cv2.Rodrigues(np.array(axis))
    P = np.array(camera.P).reshape(3, 4)
    P[:2, :3] *= zoom
    P[:, 3] = (baseline, 0, 0)
    taken = replace(camera, R=R, P=P).as_taken()
    assert (camera.K, camera.D, tuple(np.eye(3).ravel())) == (taken.K, taken.D, taken.R)
    np.testing.assert_array_equal(np.reshape(taken.P, (3, 4))[:, :3], np.reshape(taken.K, (3, 3)))
    assert taken.P[3] / taken.K[0] == pytest.approx(baseline / P[0, 0])
    assert taken.as_taken() == taken


def test_a_rectified_camera_is_a_pinhole_with_the_matrix_of_p():
    P = (450, 0, 300, -45, 0, 450, 220, 0, 0, 0, 1, 0)
    camera = Camera(640, 480, K, (-0.2, 0.1, 0, 0), P=P).rectified()
    assert not camera.is_distorted
    assert camera.K == (450, 0, 300, 0, 450, 220, 0, 0, 1)
    assert camera.P == P and camera.R == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_rectification_maps_equal_opencvs(model):
    d = np.array([-0.2, 0.05, 1e-3, -1e-3])
    R, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))
    P = np.array([[450, 0, 300, 0], [0, 460, 220, 0], [0, 0, 1.0, 0]])
    camera = Camera(640, 480, K, tuple(d), model, tuple(R.ravel()), tuple(P.ravel()))
    matrix = np.array(K).reshape(3, 3)
    of = cv2.fisheye if model == "equidistant" else cv2
    expected = of.initUndistortRectifyMap(matrix, d, R, P[:, :3], (640, 480), cv2.CV_32FC1)
    map_x, map_y, valid = camera.rectification_maps()
    assert valid.mean() > 0.8
    np.testing.assert_allclose(map_x[valid], expected[0][valid], atol=1e-3)
    np.testing.assert_allclose(map_y[valid], expected[1][valid], atol=1e-3)
    assert (map_x[~valid] < -1).all()


def test_the_field_of_view_makes_a_pinhole():
    camera = Camera.from_hfov(640, 480, 90, "optical")
    assert camera.K[0] == pytest.approx(320)
    assert camera.hfov_deg == pytest.approx(90)
    # The picture's left border, half a pixel left of the first centre, is at 45 degrees.
    np.testing.assert_allclose(camera.unproject(np.array([[-0.5, 239.5]])), [[-1, 0, 1]])


def test_aspect_allows_for_the_rounding_of_a_resize_only():
    assert same_aspect((1242, 375), (621, 188))
    assert same_aspect((1242, 375), (621, 187))
    assert same_aspect((640, 480), (1280, 960))
    assert not same_aspect((640, 480), (640, 360))
    assert not same_aspect((640, 480), (480, 640))


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"k": (0.0,) * 9}, "uncalibrated", "not calibrated"),
        ({"k": (float("nan"),) * 9}, "camera", "9 finite numbers"),
        ({"k": (-5.0, *K[1:])}, "camera", "focal lengths must be positive"),
        ({"width": 0}, "camera_size", "0x480"),
        ({"d": (0.1,) * 6}, "distortion_model", "coefficients, got 6"),
        ({"d": (0.1,), "distortion_model": "thin_prism"}, "distortion_model", "'thin_prism'"),
        ({"d": (float("inf"), 0, 0, 0)}, "distortion_model", "must be numbers"),
        ({"d": (float("nan"), 0, 0, 0)}, "distortion_model", "must be numbers"),
        ({"d": (0, 0, 0, 0, 0, 1e308, 1e308, 1e308)}, "distortion_model", "at most 1e\\+06"),
        ({"r": (1.0,) * 9}, "camera", "rotation"),
        ({"r": (1, 0, 0, 0, 1, 0, 0, 0, -1)}, "camera", "rotation"),
        ({"binning_x": 2**32 - 1}, "camera_size", "cannot bin"),
    ],
)
def test_what_is_no_camera_says_why(changes, reason, words):
    with refused(CameraError, reason, words):
        Camera.from_info(info(**changes))


def test_zero_coefficients_of_any_count_mean_no_distortion():
    for count, name in ((0, ""), (1, "none"), (4, "equidistant"), (5, "plumb_bob")):
        camera = Camera.from_info(info(d=(0.0,) * count, distortion_model=name))
        assert not camera.is_distorted
        np.testing.assert_allclose(camera.rays()[0, 0], [-319.5 / 500, -239.5 / 510, 1])


def test_real_calibrations_are_invertible_over_their_pictures(shared_data):
    from depth_anything_ros.core.recording import load_calibration

    files = sorted(shared_data.glob("*/calib*.json"))
    assert len(files) >= 10
    for file in files:
        camera = load_calibration(file).camera
        if camera is None:  # arkit_shelf: K unknown
            continue
        camera = camera.scaled(camera.width // 4, camera.height // 4)
        rays = camera.rays()
        seen = np.isfinite(rays[..., 0])
        assert seen.mean() > 0.95, file
        assert np.abs(camera.project(rays) - pixel_grid(camera))[seen].max() < 1e-4, file
