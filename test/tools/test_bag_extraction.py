"""``depth_anything bag --extract``: folders that training and evaluation read."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="pip install depth_anything_ros[bag]")

from bag_of_a_drive import BEGIN_NS, DriveOptions, camera_info, header, image, write_drive
from small_bags import CAMERA, bag_of_each, rgb, small_bag

from depth_anything_ros.core.recording import frames_of, load_calibration
from depth_anything_ros.tools.command import main
from depth_anything_ros.training.samples import FolderSource

DRIVE = DriveOptions(frames=6)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A bag of a drive, and the robot."""
    path = tmp_path_factory.mktemp("drive") / "in"
    return path, write_drive(path, DRIVE)


@pytest.fixture(scope="module")
def folder(drive, tmp_path_factory):
    """Every second picture of the drive, and the LiDAR's depth."""
    path = tmp_path_factory.mktemp("extracted")
    words = ["--extract", str(path), "--lidar", "/lidar/points", "--every", "2"]
    assert main(["bag", str(drive[0]), *words]) == 0
    return path


def test_it_is_what_training_and_evaluation_read(drive, folder):
    source, frames = FolderSource(folder), frames_of(folder)

    assert source.count == len(frames) == 3
    for number, frame in enumerate(frames):
        truth = drive[1].picture(2 * number / DRIVE.rate_hz, 3000 + 2 * number)
        sample = source.get(number)
        scored_rgb, scored = frame.read_rectified()
        np.testing.assert_array_equal(sample.rgb, truth.rgb)
        np.testing.assert_array_equal(scored_rgb, truth.rgb)
        np.testing.assert_array_equal(sample.depth_m, scored.depth_m)
        assert sample.focal_px == DRIVE.camera().K[0]
        known = np.isfinite(sample.depth_m)
        assert 200 < known.sum() < 0.3 * known.size
        error = np.abs(sample.depth_m[known] / truth.depth_m[known] - 1)
        assert np.median(error) < 0.02 and np.mean(error > 0.1) < 0.05


def test_a_second_run_leaves_what_is_there(drive, folder, command):
    before = {file: file.stat().st_mtime_ns for file in folder.glob("image_*")}
    lost = min(before)
    content = lost.read_bytes()
    lost.unlink()
    words = ["--extract", folder, "--lidar", "/lidar/points", "--every", "2"]
    command.says("bag", drive[0], *words)

    after = {file: file.stat().st_mtime_ns for file in folder.glob("image_*")}
    changed = {file for file in after if after[file] != before[file]}
    assert changed == {lost, lost.with_name(f"{lost.stem}_depth.png")}
    assert lost.read_bytes() == content


def test_a_lens_is_rectified_as_the_node_would(command, tmp_path):
    bent = DriveOptions(frames=1, fisheye=True, hfov_deg=120.0, compressed=True)
    robot = write_drive(tmp_path / "in", bent)
    command.says("bag", tmp_path / "in", "--extract", tmp_path / "x", "--lidar", "/lidar/points")

    calibration = load_calibration(tmp_path / "x" / "calib.json")
    assert calibration.camera == robot.camera.rectified()
    (frame,) = frames_of(tmp_path / "x")
    depth = frame.read_truth(96, 72).depth_m
    ideal = robot.drive.T_world_camera(0.0)
    from depth_anything_ros.sim.robot import Robot

    pinhole = Robot(robot.scene, calibration.camera, robot.drive)
    np.testing.assert_array_equal(pinhole.drive.T_world_camera(0.0), ideal)
    truth, known = pinhole.picture(0.0).depth_m, np.isfinite(depth)
    assert known.sum() > 150
    assert np.median(np.abs(depth[known] / truth[known] - 1)) < 0.02


def test_a_registered_depth_camera_is_a_range_sensor(command, tmp_path):
    depth = np.full((24, 32), 2500, np.uint16)
    depth[:, 16:] = 0
    head = header(BEGIN_NS, "front_optical")
    path = bag_of_each(
        tmp_path / "in",
        front__camera_info=camera_info(head, CAMERA),
        front__image_raw=image(head, rgb(0), "rgb8"),
        front__depth_registered=image(head, depth, "16UC1"),
    )
    command.says("bag", path, "--extract", tmp_path / "x", "--lidar", "/front/depth_registered")

    sample = FolderSource(tmp_path / "x").get(0)
    known = np.isfinite(sample.depth_m)
    assert known.sum() == 24 * 16 and not known[:, 33:].any()
    np.testing.assert_allclose(sample.depth_m[known], 2.5, atol=1 / 256)


def test_without_ranges_pictures_and_cameras_are_taken(command, tmp_path):
    path = small_bag(tmp_path / "in", 2)
    command.says("bag", path, "--extract", tmp_path / "x")

    names = sorted(file.name for file in Path(tmp_path / "x").iterdir())
    assert names[0] == "calib.json" and len(names) == 4
    written = cv2.imread(str(tmp_path / "x" / f"image_{BEGIN_NS:019d}.png"))
    np.testing.assert_array_equal(written[..., ::-1], rgb(0))
