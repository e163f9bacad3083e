import json

import cv2
import numpy as np
import pytest
from orientation import UPRIGHT, corners, write_turned

from depth_anything_ros.core.errors import CameraError, SourceError
from depth_anything_ros.core.recording import (
    frames_of,
    load_calibration,
    load_depth,
    load_lidar,
    recordings_under,
)

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
    with pytest.raises(CameraError, match=r"calib\.json: focal lengths must be positive"):
        load_calibration(path)
    path.write_text(json.dumps({"width": 64, "height": 48, "K": np.eye(3).tolist()}))
    assert load_calibration(path).camera.K == (1, 0, 0, 0, 1, 0, 0, 0, 1)
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


def recording(folder, depth_size=(16, 12), **fields):
    """Write color.png of 16 × 12 and a camera; the depth picture is 2 m left, 3 m right."""
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "color.png"), np.full((12, 16, 3), (10, 20, 30), np.uint8))
    depth = np.full(depth_size[::-1], 512, np.uint16)
    depth[:, depth_size[0] // 2 :] = 768
    cv2.imwrite(str(folder / "depth.png"), depth)
    camera = {"width": 16, "height": 12, "K": [10, 0, 7.5, 0, 10, 5.5, 0, 0, 1], "D": []}
    camera |= {"depth_file": "depth.png", "depth_scale_m": 1 / 256, **fields}
    (folder / "calib.json").write_text(json.dumps(camera))
    return folder


def test_a_frame_of_rgb_and_depth(tmp_path):
    (frame,) = frames_of(recording(tmp_path / "shelf"))
    assert (frame.recording, frame.name, frame.has_truth) == ("shelf", "color", True)
    assert frame.read_rgb()[0, 0].tolist() == [30, 20, 10]
    assert frame.camera(32, 24).K[0] == 20
    truth = frame.read_truth(16, 12)
    assert (truth.depth_m[:, :8] == 2).all() and (truth.depth_m[:, 8:] == 3).all()


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_picture_camera_and_depth_are_of_the_same_pixels(tmp_path, orientation):
    recording(tmp_path)
    (tmp_path / "color.png").unlink()
    stored = corners(64, 48)
    write_turned(tmp_path / "color.jpg", stored, orientation)
    (frame,) = frames_of(tmp_path)
    rgb, truth = frame.read_rectified()
    np.testing.assert_allclose(rgb[..., ::-1], stored, atol=3)
    assert truth.camera.K[:6] == (40, 0, 31.5, 0, 40, 23.5)
    assert (truth.depth_m[:, :32] == 2).all() and (truth.depth_m[:, 32:] == 3).all()


def test_a_picture_of_another_shape_than_its_calibration_says_so(tmp_path):
    (frame,) = frames_of(recording(tmp_path, width=12, height=16))
    with pytest.raises(SourceError, match=r"12x16, another shape \(an orientation in"):
        frame.read_rgb()


def test_a_coarser_depth_picture_is_brought_to_the_grid_of_the_picture(tmp_path):
    (frame,) = frames_of(recording(tmp_path, (4, 3), K=None))
    truth = frame.read_truth(16, 12)
    assert truth.camera is None and set(np.unique(truth.depth_m)) == {2.0, 3.0}
    assert (truth.depth_m[:, :8] == 2).all()


def test_a_frame_of_lidar(tmp_path):
    T = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    fields = {"depth_file": None, "T_camera_lidar": T.ravel().tolist()}
    (frame,) = frames_of(recording(tmp_path, **fields))
    assert not frame.has_truth
    with pytest.raises(SourceError, match="no ground truth"):
        frame.read_truth(16, 12)
    np.array([[4, 0.2, 0.2, 1], [-4, 0, 0, 1]], np.float32).tofile(tmp_path / "lidar.bin")
    (frame,) = frames_of(tmp_path)
    depth = frame.read_truth(16, 12).depth_m
    assert np.argwhere(~np.isnan(depth)).tolist() == [[5, 7]] and depth[5, 7] == 4


def test_what_a_lens_bent_is_read_as_depth_node_takes_it(tmp_path):
    """Through the pinhole of P, which here is K: rays stay, pixels move."""
    T = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    fields = {"T_camera_lidar": T.ravel().tolist(), "D": [-0.3, 0, 0, 0, 0]}
    (frame,) = frames_of(recording(tmp_path, **fields))
    rgb, truth = frame.read_rectified()
    assert rgb.shape == (12, 16, 3) and not truth.camera.is_distorted
    # The halves at 2 m and 3 m meet in the middle, which stays; the depth picture is of the frame.
    assert np.nanmax(truth.depth_m[:, :8]) == 2 and np.nanmin(truth.depth_m[:, 8:]) == 3
    (tmp_path / "depth.png").unlink()
    recording_without = recording(tmp_path, depth_file=None, **fields)
    np.array([[4, 2.56, 0.44, 1]], np.float32).tofile(tmp_path / "lidar.bin")
    (tmp_path / "depth.png").unlink()
    (frame,) = frames_of(recording_without)
    pinhole = np.argwhere(np.isfinite(frame.read_rectified()[1].depth_m)).tolist()
    assert pinhole == [[4, 1]]  # row 5.5 - 10 · 0.11, column 7.5 - 10 · 0.64
    bent = np.argwhere(np.isfinite(frame.read_truth(16, 12).depth_m)).tolist()
    assert bent != pinhole


def test_sequences_and_rigs(tmp_path):
    recording(tmp_path, depth_file=None)
    (tmp_path / "color.png").rename(tmp_path / "color_000005.png")
    (tmp_path / "depth.png").rename(tmp_path / "depth_000005.png")
    cv2.imwrite(str(tmp_path / "color_000000.png"), np.zeros((12, 16, 3), np.uint8))
    first, second = frames_of(tmp_path)
    assert not first.has_truth and second.depth_file.name == "depth_000005.png"
    for name in ("left", "right"):
        (tmp_path / f"calib_{name}.json").write_text((tmp_path / "calib.json").read_text())
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((12, 16, 3), np.uint8))
    names = [frame.name for frame in frames_of(tmp_path)]
    assert names == ["color_000000", "color_000005", "left", "right"]


def test_recordings_are_found_and_other_folders_named(tmp_path):
    a = recording(tmp_path / "a")
    (tmp_path / "b").mkdir()
    assert recordings_under(tmp_path) == ([a], [tmp_path / "b"])
    assert recordings_under(a) == ([a], [])
    with pytest.raises(SourceError, match=r"no recording in .*calib\.json"):
        recordings_under(tmp_path / "b")
    with pytest.raises(SourceError, match="no folder"):
        recordings_under(tmp_path / "c")


def test_a_recording_that_does_not_fit_says_what_is_wrong(tmp_path):
    with pytest.raises(SourceError, match="is 16x12 and its calibration is of 64x12"):
        frames_of(recording(tmp_path, width=64))[0].read_rgb()
    with pytest.raises(SourceError, match="register the depth"):
        frames_of(recording(tmp_path, (12, 12)))[0].read_truth(16, 12)
    with pytest.raises(SourceError, match="depth_scale_m"):
        frames_of(recording(tmp_path, depth_scale_m=None))[0].read_truth(16, 12)
    with pytest.raises(SourceError, match=r"names .*other\.png"):
        frames_of(recording(tmp_path, depth_file="other.png"))
    (recording(tmp_path) / "color.png").unlink()
    with pytest.raises(SourceError, match="has no picture: expected color or image"):
        frames_of(tmp_path)


def test_the_real_recordings(shared_data):
    folders, others = recordings_under(shared_data)
    frames = [frame for folder in folders for frame in frames_of(folder)]
    assert len(folders) == 14 and [path.name for path in others] == ["rgb"]
    assert len(frames) == 25 and all(frame.has_truth for frame in frames)
    assert sum(frame.lidar_file is not None for frame in frames) == 9
    assert [frame.recording for frame in frames].count("nuscenes_front") == 3
    fisheye = next(f for f in frames if f.recording == "lab_fisheye_vlp16_02")
    depth = fisheye.read_truth(1920, 1208).depth_m
    # 16 lines: few pixels. The checkerboard of 1 m stands 1-2 m away, left of the middle.
    assert 6_000 < np.isfinite(depth).sum() < 9_000
    assert 1 < np.nanmedian(depth[400:700, 750:1000]) < 2.5
