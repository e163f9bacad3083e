import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import CameraError, SourceError
from depth_anything_ros.core.recording import load_calibration, load_depth, load_lidar

YAML = """
image_width: 640
image_height: 480
camera_name: head
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 501, 240, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [480, 0, 321, 0, 0, 481, 241, 0, 0, 0, 1, 0]}
"""


def test_a_ros_calibration_yaml(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(YAML)
    camera = load_calibration(path).camera
    assert (camera.width, camera.height, camera.frame_id) == (640, 480, "head")
    assert camera.K[4] == 501 and camera.D[0] == -0.1 and camera.P[5] == 481
    assert load_calibration(path, "optical").camera.frame_id == "optical"


def test_a_json_with_extrinsics_and_depth(tmp_path):
    path = tmp_path / "calib.json"
    transform = np.eye(4)
    transform[:3, 3] = (1, 2, 3)
    fields = {"width": 64, "height": 48, "K": [50, 0, 32, 0, 50, 24, 0, 0, 1], "D": []}
    fields |= {"T_camera_lidar": transform.ravel().tolist(), "depth_scale_m": 0.001}
    path.write_text(json.dumps(fields))
    calibration = load_calibration(path)
    assert calibration.camera.K[0] == 50 and calibration.depth_scale_m == 0.001
    np.testing.assert_array_equal(calibration.T_camera_lidar, transform)


def test_unknown_intrinsics_are_no_camera(tmp_path):
    path = tmp_path / "calib.json"
    for K in (None, [0] * 9):
        path.write_text(json.dumps({"width": 64, "height": 48, "K": K}))
        calibration = load_calibration(path)
        assert calibration.camera is None and calibration.width == 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot read the calibration"),
        ("[1]", "not a mapping"),
        ('{"width": 64}', "lacks the field 'height'"),
        ('{"width": "wide", "height": 48, "K": null}', "wrong value"),
    ],
)
def test_a_broken_calibration_says_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "calib.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=words):
        load_calibration(path)


def test_a_calibration_that_is_no_camera_or_no_file(tmp_path):
    path = tmp_path / "calib.json"
    path.write_text(json.dumps({"width": 64, "height": 48, "K": [-1, 0, 0, 0, 1, 0, 0, 0, 1]}))
    with pytest.raises(CameraError, match="positive"):
        load_calibration(path)
    with pytest.raises(SourceError, match=r"nothing\.yaml"):
        load_calibration(tmp_path / "nothing.yaml")


def test_lidar_points(tmp_path):
    path = tmp_path / "lidar.bin"
    points = np.arange(12, dtype=np.float32).reshape(3, 4)
    path.write_bytes(points.tobytes())
    np.testing.assert_array_equal(load_lidar(path), points)
    path.write_bytes(points.tobytes()[:-1])
    with pytest.raises(SourceError, match="47 bytes"):
        load_lidar(path)


def test_depth_pictures(tmp_path):
    path = tmp_path / "depth.png"
    cv2.imwrite(str(path), np.array([[0, 1000, 2500]], np.uint16))
    np.testing.assert_allclose(load_depth(path, 0.001).depth_m, [[np.nan, 1.0, 2.5]])
    cv2.imwrite(str(path), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(SourceError, match=r"found uint8 of shape \(2, 2, 3\)"):
        load_depth(path, 0.001)


def test_real_lidar_lands_in_the_real_picture(shared_data):
    folder = shared_data / "kitti_000001"
    calibration = load_calibration(folder / "calib.json")
    points = load_lidar(folder / "lidar.bin")[:, :3]
    T = calibration.T_camera_lidar
    seen = points @ T[:3, :3].T + T[:3, 3]
    pixels = calibration.camera.project(seen)
    inside = ((pixels >= 0) & (pixels < (1242, 375))).all(axis=1)
    # About 19,000 of a 64-ring sweep are in KITTI's view, on the lower part of the picture.
    assert 15_000 < inside.sum() < 25_000
    assert np.median(pixels[inside, 1]) > 375 / 2
    assert np.percentile(seen[inside, 2], 1) > 2
