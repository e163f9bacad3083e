"""KITTI's Eigen split in folders of its layout, made here."""

import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.protocols import KITTI_GARG
from depth_anything_ros.tools.kitti import kitti_calibration, kitti_frames, kitti_pictures

DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0002_sync"
FOCAL, CENTRE = 40.0, (31.0, 11.0)
HEIGHT, WIDTH = 24, 62
BASELINE_M = 0.06  # camera 2 is to the left of camera 0
# x forward, y left, z up to x right, y down, z forward; the LiDAR is 0.1 m above.
ROTATION, SHIFT = (0, -1, 0, 0, 0, -1, 1, 0, 0), (0.0, -0.1, 0.0)


def words(values):
    return " ".join(f"{float(value):e}" for value in values)


@pytest.fixture
def raw(tmp_path):
    """One drive with frames 5 and 6 of camera 2 and frame 5 of camera 3."""
    date = tmp_path / "raw" / DATE
    for camera, number in ((2, 5), (2, 6), (3, 5)):
        folder = date / DRIVE / f"image_0{camera}" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.full((HEIGHT, WIDTH, 3), (0, 0, 10 * camera + number), np.uint8)
        cv2.imwrite(str(folder / f"{number:010d}.png"), picture)
    sweeps = date / DRIVE / "velodyne_points" / "data"
    sweeps.mkdir(parents=True)
    # 8 m before camera 0, at its axis; 16 m, 2 m to its right; and behind.
    points = np.array([[8, 0, -0.1, 1], [16, -2, -0.1, 1], [-8, 0, -0.1, 1]], "<f4")
    points.tofile(sweeps / "0000000005.bin")
    (date / "calib_cam_to_cam.txt").write_text(
        f"calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\n"
        f"R_rect_00: {words(np.eye(3).ravel())}\n"
        + "".join(
            f"S_rect_0{camera}: {words((WIDTH, HEIGHT))}\n"
            f"P_rect_0{camera}: {words((FOCAL, 0, CENTRE[0], FOCAL * right, 0, FOCAL, CENTRE[1]))} "
            f"0 0 0 1 0\n"
            for camera, right in ((2, BASELINE_M), (3, BASELINE_M - 0.54))
        )
    )
    (date / "calib_velo_to_cam.txt").write_text(
        f"calib_time: 15-Mar-2012 11:37:16\nR: {words(ROTATION)}\nT: {words(SHIFT)}\n"
    )
    return tmp_path / "raw"


@pytest.fixture
def annotated(tmp_path):
    folder = tmp_path / "annotated" / "val" / DRIVE / "proj_depth" / "groundtruth" / "image_02"
    folder.mkdir(parents=True)
    depth = np.zeros((HEIGHT, WIDTH), np.uint16)
    depth[20, 30] = 2560
    cv2.imwrite(str(folder / "0000000005.png"), depth)
    return tmp_path / "annotated"


def listed(tmp_path, *lines):
    path = tmp_path / "files.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def by_path(camera, number, suffix="png"):
    return f"{DATE}/{DRIVE}/image_0{camera}/data/{number:010d}.{suffix}"


@pytest.mark.parametrize(
    ("line", "camera"),
    [
        (by_path(2, 5), 2),
        (f"{by_path(2, 5, 'jpg')} {by_path(3, 5, 'jpg')}", 2),
        (f"{by_path(2, 5)} {DRIVE}/proj_depth/groundtruth/image_02/0000000005.png 721.5377", 2),
        (f"{by_path(3, 5)} None 721.5377", 3),
        (f"{DATE}/{DRIVE} 0000000005 l", 2),
        (f"{DATE}/{DRIVE} 5 r", 3),
    ],
)
def test_all_forms_of_the_list(raw, tmp_path, line, camera):
    (frame,) = kitti_frames(raw, listed(tmp_path, line), [])
    assert frame.name == f"{DRIVE}/{camera}/0000000005" and frame.drive == DRIVE
    (picture,) = kitti_pictures([frame])
    assert (picture.rgb == (10 * camera + 5, 0, 0)).all()  # RGB
    assert picture.group == DRIVE and picture.name == frame.name


def test_the_truth_is_the_sweep_seen_by_the_rectified_camera(raw, tmp_path):
    (frame,) = kitti_frames(raw, listed(tmp_path, by_path(2, 5)), [])
    (picture,) = kitti_pictures([frame])
    depth = picture.truth.depth_m
    assert depth.shape == (HEIGHT, WIDTH) and np.isfinite(depth).sum() == 2
    # Camera 2 is 0.06 m to the left: 31 + 40 · 0.06 / 8 = 31.3, 31 + 40 · 2.06 / 16 = 36.15.
    assert depth[11, 31] == pytest.approx(8) and depth[11, 36] == pytest.approx(16)
    assert picture.camera.K[0] == FOCAL and picture.truth.camera == picture.camera


def test_annotated_depth_is_in_steps_of_a_256th(raw, annotated, tmp_path):
    left_out = []
    path = listed(tmp_path, by_path(2, 5), "", by_path(2, 6), f"{DATE}/{DRIVE} 7 l")
    (frame,) = kitti_frames(raw, path, left_out, annotated)
    (picture,) = kitti_pictures([frame])
    assert np.isfinite(picture.truth.depth_m).sum() == 1 and picture.truth.depth_m[20, 30] == 10
    assert len(left_out) == 2 and left_out[0].startswith(f"{DRIVE}/2/0000000006: there is no ")
    assert "image_02/data/0000000007.png" in left_out[1]  # told before its truth
    # Also where train and val were merged.
    merged = annotated / "val"
    assert kitti_frames(raw, path, [], merged)[0].truth == frame.truth


def test_the_rectification_and_the_baseline(raw):
    path = raw / DATE / "calib_cam_to_cam.txt"
    # The rectified frame is turned by 90° around the optical axis: its x is the camera's -y.
    turned = (0, -1, 0, 1, 0, 0, 0, 0, 1)
    text = path.read_text().replace(words(np.eye(3).ravel()), words(turned))
    path.write_text(text)
    camera, T_camera_lidar = kitti_calibration(raw / DATE, "3")
    assert (camera.width, camera.height) == (WIDTH, HEIGHT)
    point = T_camera_lidar @ (8, -2, 1, 1)  # in camera 0: x 2, y -1 - 0.1, z 8
    np.testing.assert_allclose(point, (1.1 + BASELINE_M - 0.54, 2, 8, 1), atol=1e-6)


def test_a_picture_of_another_size_than_its_truth(raw, annotated, tmp_path):
    path = raw / by_path(2, 5)
    cv2.imwrite(str(path), np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8))
    frames = kitti_frames(raw, listed(tmp_path, by_path(2, 5)), [], annotated)
    with pytest.raises(SourceError, match=r"is 62x24 and .* is 124x48"):
        list(kitti_pictures(frames))
    # The LiDAR has no size: its camera is scaled.
    (picture,) = kitti_pictures(kitti_frames(raw, listed(tmp_path, by_path(2, 5)), []))
    assert picture.truth.depth_m.shape == (48, 124) and picture.camera.K[0] == 2 * FOCAL


def test_what_cannot_be_used_is_told(raw, tmp_path):
    with pytest.raises(SourceError, match="cannot read the list"):
        kitti_frames(raw, tmp_path / "none.txt", [])
    with pytest.raises(SourceError, match="line 2: 'what' names no picture; expected DATE"):
        kitti_frames(raw, listed(tmp_path, by_path(2, 5), "what"), [])
    with pytest.raises(SourceError, match=r"no picture of .* there is no .*0000000009"):
        kitti_frames(raw, listed(tmp_path, by_path(2, 9)), [])
    with pytest.raises(SourceError, match="the list is empty"):
        kitti_frames(raw, listed(tmp_path), [])
    velo = raw / DATE / "calib_velo_to_cam.txt"
    velo.write_text(velo.read_text().replace("T:", "t:"))
    with pytest.raises(SourceError, match="lacks the field 'T'"):
        kitti_calibration(raw / DATE, "2")
    velo.write_text("R: 1 2 3\nT: 1 2 3\n")
    with pytest.raises(SourceError, match="has a wrong value"):
        kitti_calibration(raw / DATE, "2")
    velo.unlink()
    with pytest.raises(SourceError, match=r"cannot read the calibration .*velo_to_cam"):
        kitti_calibration(raw / DATE, "2")


def test_the_command_scores_the_list_with_garg_s_crop(raw, annotated, tmp_path, command):
    depth = np.random.default_rng(0).integers(1000, 20000, (HEIGHT, WIDTH)).astype(np.uint16)
    depth[0, 0], depth[15, 20], depth[15, 21] = 5000, 0, 90 * 256
    (path,) = annotated.rglob("*.png")
    cv2.imwrite(str(path), depth)
    words = ["evaluate", "--dataset", "kitti_eigen", "--data", raw, "--annotated", annotated]
    words += ["--split", listed(tmp_path, by_path(2, 5), by_path(2, 6)), "--output", tmp_path / "o"]
    words += ["--weights", "random", "--device", "cpu", "--input-size", "28"]
    said = command.says(*words)
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["protocol"]["name"] == "kitti_garg" and report["range_m"] == [0.001, 80]
    assert report["source"]["dataset"] == "kitti_eigen" and report["pictures"] == 1
    crop = KITTI_GARG.mask(HEIGHT, WIDTH)
    assert report["worst_first"][0]["pixels"] == crop.sum() - 2 and set(report["groups"]) == {DRIVE}
    assert f"left out: {DRIVE}/2/0000000006" in said
    assert (tmp_path / "o" / "panels" / f"{DRIVE}_2_0000000005.png").is_file()
