import json
import math
import resource

import cv2
import numpy as np
import pytest
import torch
from lesson import write_sample
from orientation import corners, write_turned

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.training.samples import (
    Batch,
    FolderSource,
    focal_of,
    project_lidar,
    write_labels,
)

RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
CAMERA = Camera.from_hfov(64, 48, 80.0)
LIDAR = {"K": CAMERA.K, "D": [], "width": 64, "height": 48}


def picture(folder, name="a.png", rgb=RGB):
    cv2.imwrite(str(folder / name), rgb[..., ::-1])


def calibration(folder, name="calib.json", **fields):
    (folder / name).write_text(json.dumps(LIDAR | fields))


def test_a_written_sample_reads_back(tmp_path):
    depth = np.linspace(0.5, 9, 48 * 64, dtype=np.float32).reshape(48, 64)
    depth[0, :3] = (np.nan, np.inf, 0.25)
    disparity = (8 / depth).astype(np.float32)
    write_sample(tmp_path, "a", RGB, depth, disparity, CAMERA)
    sample = FolderSource(tmp_path).get(0)
    np.testing.assert_array_equal(sample.rgb, RGB)
    np.testing.assert_array_equal(sample.depth_m, depth)
    np.testing.assert_allclose(sample.disparity, disparity, rtol=5e-4)
    assert sample.focal_px == pytest.approx(CAMERA.K[0]) and sample.depth_m.dtype == np.float32
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.json",
        "a.png",
        "a_depth.npy",
        "a_disparity.npy",
    ]


def test_a_disparity_beyond_half_precision_keeps_its_values(tmp_path):
    disparity = np.full((48, 64), 1e6, np.float32)
    write_sample(tmp_path, "a", RGB, disparity=disparity)
    sample = FolderSource(tmp_path).get(0)
    np.testing.assert_array_equal(sample.disparity, disparity)
    assert sample.depth_m is None and math.isnan(sample.focal_px)


def test_a_depth_picture_of_a_coarser_grid(tmp_path):
    picture(tmp_path, "room.jpg")
    raw = np.zeros((24, 32), np.uint16)
    raw[3, 5] = 1500
    cv2.imwrite(str(tmp_path / "room_depth.png"), raw)
    calibration(tmp_path, depth_scale_m=0.002)
    source = FolderSource(tmp_path)
    sample = source.get(0)
    assert source.count == 1
    assert np.count_nonzero(~np.isnan(sample.depth_m)) == 4
    np.testing.assert_allclose(sample.depth_m[6:8, 10:12], 3.0)


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_are_of_the_pixels_as_they_are_stored(tmp_path, orientation):
    stored = corners(64, 48)
    write_turned(tmp_path / "a.jpg", stored, orientation)
    calibration(tmp_path)
    np.save(tmp_path / "a_depth.npy", np.ones((48, 64), np.float32))
    sample = FolderSource(tmp_path).get(0)
    np.testing.assert_allclose(sample.rgb[..., ::-1], stored, atol=3)
    assert sample.depth_m.shape == (48, 64) and sample.focal_px == pytest.approx(CAMERA.K[0])


def test_the_own_camera_file_wins_and_is_scaled(tmp_path):
    write_sample(tmp_path, "a", RGB, np.ones((48, 64), np.float32))
    calibration(tmp_path)
    K = (200, 0, 64, 0, 220, 48, 0, 0, 1)
    calibration(tmp_path, "a.json", K=K, width=128, height=96)
    assert FolderSource(tmp_path).get(0).focal_px == pytest.approx(105)
    assert focal_of(CAMERA) == CAMERA.K[0]


def test_pictures_without_labels_are_left_out(tmp_path):
    write_sample(tmp_path, "b", RGB, np.ones((48, 64), np.float32), camera=CAMERA)
    picture(tmp_path)
    assert FolderSource(tmp_path).count == 1


def lidar_on_plane():
    """Points of x = 4 m in front of a LiDAR, which stands 0.3 m above and 0.1 m behind a camera."""
    T = np.eye(4)
    T[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    T[:3, 3] = (0, -0.3, -0.1)
    y, z = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-1.5, 1.5, 9))
    points = np.stack((np.full(y.size, 4.0), y.ravel(), z.ravel(), y.ravel() * 0), axis=-1)
    return points.astype(np.float32), T


def test_lidar_of_a_known_plane(tmp_path):
    points, T = lidar_on_plane()
    # One behind the camera, one hidden behind a nearer one in the same pixel, one not measured.
    extra = np.array([[-5, 0, 0, 0], [8, 0, 0, 0], [np.nan, 0, 0, 0]], np.float32)
    hidden = (np.array([[7.8, 0, 0.3 * 7.8 / 3.9 - 0.3]]) - T[:3, 3]) @ T[:3, :3]
    extra[1, :3] = hidden
    picture(tmp_path)
    np.concatenate((points, extra)).tofile(tmp_path / "a_lidar.bin")
    calibration(tmp_path, T_camera_lidar=T.ravel().tolist())
    depth = FolderSource(tmp_path).get(0).depth_m
    known = depth[~np.isnan(depth)]
    far = known[known > 4]
    np.testing.assert_allclose(known[known < 4], 3.9, rtol=1e-6)
    assert known.size > 150 and far.size <= 1
    # x = fx · X / Z + cx of the point straight ahead of the LiDAR.
    column, row = round(CAMERA.K[2]), round(CAMERA.K[4] * -0.3 / 3.9 + CAMERA.K[5])
    around = depth[row - 1 : row + 2, column - 1 : column + 2]
    assert np.nanmin(around) == pytest.approx(3.9)


def test_the_nearest_point_of_a_pixel_is_kept():
    points = np.array([[0, 0, 2], [0, 0, 1], [0, 0, 3]], np.float32)
    depth = project_lidar(points, np.eye(4), CAMERA)
    assert depth[~np.isnan(depth)].tolist() == [1.0]


def test_errors_name_the_file_and_the_remedy(tmp_path):
    with pytest.raises(SourceError, match="there is no folder"):
        FolderSource(tmp_path / "absent")
    with pytest.raises(SourceError, match="no picture in"):
        FolderSource(tmp_path)
    picture(tmp_path)
    with pytest.raises(SourceError, match=r"none of the 1 pictures.*NAME_depth\.npy.*pseudo-label"):
        FolderSource(tmp_path)
    picture(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"a\.jpg and .*a\.png would share"):
        FolderSource(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "fields", "words"),
    [
        ("_depth.png", {}, r"a_depth\.png is; write depth_scale_m"),
        ("_lidar.bin", {}, r"a_lidar\.bin cannot be projected; write K and T_camera_lidar"),
        ("_depth.png", {"width": 48}, r"a\.png is 64x48 and its calibration is of 48x48"),
        ("_depth.npy", {}, r"cannot read .*a_depth\.npy"),
        ("_disparity.npy", {}, r"a_disparity\.npy holds int64 of shape \(3,\)"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, suffix, fields, words):
    picture(tmp_path)
    calibration(tmp_path, **fields)
    path = tmp_path / f"a{suffix}"
    if suffix == "_depth.png":
        cv2.imwrite(str(path), np.ones((48, 64), np.uint16))
    elif suffix == "_disparity.npy":
        np.save(path, np.arange(3))
    else:
        path.write_bytes(b"not numpy")
    with pytest.raises(SourceError, match=words):
        FolderSource(tmp_path).get(0)


def test_a_label_of_another_shape(tmp_path):
    write_sample(tmp_path, "a", RGB, np.ones((48, 48), np.float32))
    with pytest.raises(SourceError, match=r"64x48 and its label is 48x48.*register"):
        FolderSource(tmp_path).get(0)


def test_a_batch_goes_to_a_device():
    empty = torch.zeros(1, 2, 2)
    batch = Batch(torch.zeros(1, 3, 2, 2), empty, empty, torch.zeros(1), empty > 0)
    assert batch.to("cpu").image is batch.image
    assert batch.to("meta").region.device.type == "meta"


def test_a_full_disk_is_named_and_leaves_no_part(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, before[1]))
    try:
        with pytest.raises(SourceError, match=r"cannot write .*c_depth\.npy: "):
            write_labels(tmp_path, "c", depth_m=np.ones((40, 60), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 400 + ", 1)}",
        "[" * 300,
        "x = 1",
    ],
)
def test_an_array_whose_header_is_made_up(header, tmp_path):
    """4 TB would not be had, and would not be asked for."""
    write_sample(tmp_path, "a", np.zeros((4, 4, 3), np.uint8))
    text = header.encode().ljust(501) + b"\n"
    data = b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + bytes(64)
    (tmp_path / "a_depth.npy").write_bytes(data)
    with pytest.raises(SourceError, match=r"cannot read .*a_depth\.npy: ") as error:
        FolderSource(tmp_path).get(0)
    assert "\n" not in str(error.value)
