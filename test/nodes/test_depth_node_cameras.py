"""depth_node's cameras: CameraInfo that fits, that does not, and rectification."""

import json

import cv2
import numpy as np
import pytest
from ros_harness import FRAME_ID, camera_info, picture
from test_depth_node import NODE, back_projected

from depth_anything_ros.core.camera import Camera as CameraModel


def assert_cloud_fits(seen):
    np.testing.assert_allclose(seen.points, back_projected(seen), atol=1e-4)


def assert_camera(info, expected):
    np.testing.assert_allclose(info.k, expected.k)
    np.testing.assert_allclose(info.p, expected.p)


def with_roi(info, x, y, width, height):
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = x, y, width, height
    return info


def test_camera_info_of_another_resolution_is_scaled(camera):
    seen = camera.see(picture(), camera_info(640, 480, 600.0))
    assert (seen.info.width, seen.info.height) == (160, 120)
    assert_camera(seen.info, camera_info())
    assert_cloud_fits(seen)


def test_roi_and_binning_are_folded_in(camera):
    full = with_roi(camera_info(1000, 800, 600.0, binning_x=2, binning_y=2), 200, 100, 320, 240)
    info = camera.see(picture(), full).info
    assert (info.width, info.height, info.k[0]) == (160, 120, 300.0)
    assert info.k[2] == pytest.approx((499.5 - 200 + 0.5) / 2 - 0.5)
    assert info.k[5] == pytest.approx((399.5 - 100 + 0.5) / 2 - 0.5)
    assert info.binning_x in (0, 1) and info.roi.width == 0


def test_a_roi_that_nobody_applied_is_said_once_and_left_out(camera):
    camera.restart(NODE)
    full = with_roi(camera_info(160, 120, 150.0), 25, 15, 80, 60)
    for _ in range(2):
        assert_camera(camera.see(picture(), full).info, camera_info())
    assert camera.process.log.count("ROI of 80x60 at (25, 15)") == 1
    info = camera.see(picture(80, 60), full).info
    assert (info.k[0], info.k[2], info.k[5]) == (150.0, 79.5 - 25, 59.5 - 15)


def test_a_camera_that_is_hardly_one_is_warned_of_as_long_as_it_lasts(camera):
    camera.restart(NODE)
    for _ in range(2):
        camera.ask(picture(), camera_info(160, 120, 0.96))  # millimetres
    status = camera.wait_for_status(lambda s: "0.96 px see" in s.message)
    assert status.level == b"\x01"
    assert camera.process.log.count("0.96 px see 178.6 deg of 160x120") == 1
    camera.ask(picture(), camera_info())
    camera.wait_for_status(lambda s: s.level == b"\x00")


def test_a_camera_info_of_no_frame_is_taken(camera):
    camera.restart(NODE)
    unnamed = camera_info(320, 240, 280.0)
    camera.info.publish(unnamed)
    info = camera.see(picture(), frame_id="bare").info
    assert (info.k[0], info.header.frame_id) == (140.0, "bare")
    assert camera.process.log.count("CameraInfo has no frame_id") == 1


BACKWARDS = camera_info(d=[-0.1, 0.0, 0.0, 0.0, 0.0], r=[-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0])
UNUSABLE = {
    "camera_frame_id": (camera_info(), "elsewhere", "frame_id is 'elsewhere'"),
    "camera_size": (camera_info(160, 90), FRAME_ID, "of another aspect"),
    "uncalibrated": (camera_info(k=[0.0] * 9), FRAME_ID, "not calibrated"),
    "rectification": (BACKWARDS, FRAME_ID, "rectification sees nothing"),
    "distortion_model": (
        camera_info(distortion_model="fov", d=[0.9]),
        FRAME_ID,
        "unknown distortion model 'fov'",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_without_a_usable_camera_info_depth_goes_out_and_the_cloud_does_not(camera, case):
    info, frame_id, words = UNUSABLE[case]
    camera.restart(NODE)  # what came before would be used otherwise
    info.header.frame_id = FRAME_ID
    for _ in range(2):
        camera.info.publish(info)
        published = camera.see(picture(), frame_id=frame_id).info
    assert (published.width, published.height) == (160, 120)
    assert not any(published.k) and not any(published.p)
    assert not camera.received["points"]
    status = camera.wait_for_status(lambda s: words in s.message)
    assert status.level == b"\x01" and "no cloud goes out" in status.message
    camera.process.wait_for_log(words)
    assert camera.process.log.count(words) == 1  # said once, though several pictures came
    remedy, focal = {"camera__fallback_hfov_deg": 90.0}, 80.0
    if case == "camera_frame_id":
        remedy, focal = {"camera__check_frame_id": False}, 150.0
    assert camera.set_parameters(NODE, **remedy) == []
    seen = camera.see(picture(), output="points", frame_id=frame_id)
    assert seen.info.k[0] == pytest.approx(focal)


def distorted(width=320, height=240):
    """A distorted camera with its rectification, and the picture it takes of waves at Z = 1."""
    R, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.01]))
    info = camera_info(width, height, 250.0, d=[-0.25, 0.08, 1e-3, -1e-3, 0.0])
    info.r = [float(v) for v in R.ravel()]
    info.p = [230.0, 0.0, 155.0, 0.0, 0.0, 230.0, 118.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    model = CameraModel.from_info(info)
    return info, R, model, waves(model.rays())


def waves(rays):
    x, y = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    level = 127 + 55 * np.sin(9 * x) + 55 * np.sin(9 * y)
    return np.dstack((level, 255 - level, level / 2)).astype(np.uint8)


def test_a_distorted_picture_is_rectified_and_the_camera_info_says_so(camera):
    info, R, model, rgb = distorted()
    seen = camera.see(rgb, info)
    assert not any(seen.info.d)
    np.testing.assert_allclose(seen.info.k, [230, 0, 155, 0, 230, 118, 0, 0, 1])
    np.testing.assert_allclose(seen.info.p, info.p)
    np.testing.assert_allclose(seen.info.r, np.eye(3).ravel())
    expected = waves(CameraModel.from_info(seen.info).rays() @ R)
    _, _, valid = model.rectification_maps()
    inner = cv2.erode(valid.astype(np.uint8), np.ones((7, 7))) > 0
    assert np.abs(seen.colours.astype(int) - expected.astype(int))[inner].max() <= 6
    np.testing.assert_array_equal(np.isnan(seen.depth), ~valid)
    assert_cloud_fits(seen)


def test_rectify_never_keeps_the_lens_and_always_turns_a_pinhole(camera):
    camera.restart(NODE)
    info, _, _, rgb = distorted()
    camera.ask(rgb, info)
    assert camera.set_parameters(NODE, rectify="never") == []
    seen = camera.see(rgb, info)
    np.testing.assert_allclose(seen.info.d, info.d)
    np.testing.assert_allclose(seen.info.k, info.k)
    assert seen.info.p[0] == seen.info.k[0]
    assert_cloud_fits(seen)
    # Without distortion auto leaves R and P alone, and always follows them. Pictures that come
    # rectified have the camera P, whatever D is.
    for policy, focal, d in (
        ("already", 230.0, info.d),
        ("already", 230.0, [0.1] * 9),  # of no known lens
        ("auto", 250.0, []),
        ("always", 230.0, []),
    ):
        info.d = d
        assert camera.set_parameters(NODE, rectify=policy) == []
        seen = camera.see(rgb, info)
        assert seen.info.k[0] == focal and not any(seen.info.d)
        P = np.reshape(seen.info.p, (3, 4))
        np.testing.assert_array_equal(P[:, :3].ravel(), seen.info.k)
        assert_cloud_fits(seen)
        assert np.isfinite(seen.depth).all() == (policy != "always")
    for words in ("auto, D is not zero)", "auto, D is zero): K", "already)"):
        assert camera.process.log.count(f"(rectify: {words}") == 1


def test_real_recordings_are_answered_on_their_own_camera(camera, shared_data):
    """Fisheye, plumb_bob and rectified cameras of five makers, at a quarter of their size."""
    for name in ("lab_fisheye_vlp16_02", "opencalib_crossing", "kitti_000001", "tum_desk"):
        folder = shared_data / name
        calibration = json.loads((folder / "calib.json").read_text())
        bgr = cv2.imread(str(next(p for p in folder.iterdir() if p.stem in ("image", "color"))))
        height, width = bgr.shape[0] // 4, bgr.shape[1] // 4
        rgb = cv2.cvtColor(cv2.resize(bgr, (width, height)), cv2.COLOR_BGR2RGB)
        info = camera_info(calibration["width"], calibration["height"])
        info.k = [float(v) for v in calibration["K"]]
        info.p = [0.0] * 12
        info.d = [float(v) for v in calibration["D"]]
        info.distortion_model = calibration["distortion_model"]
        seen = camera.see(rgb, info)
        assert (seen.info.width, seen.info.height) == (width, height)
        assert not any(seen.info.d)
        assert_cloud_fits(seen)
        assert np.isfinite(seen.depth).mean() > 0.5
