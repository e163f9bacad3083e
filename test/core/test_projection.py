import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.projection import project_lidar, transformed

CAMERA = Camera(8, 6, (10.0, 0, 3.5, 0, 12.0, 2.5, 0, 0, 1))
# x forward, y left, z up to x right, y down, z forward; the LiDAR 0.5 m behind the camera.
T_CAMERA_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, -0.5], [0, 0, 0, 1.0]])


def test_points_change_their_frame():
    found = transformed(np.array([[2.0, 0.3, -0.1, 99.0]], np.float32), T_CAMERA_LIDAR)
    np.testing.assert_allclose(found, [[-0.3, 0.1, 1.5]], rtol=1e-6)


def test_points_land_where_their_pixels_are():
    pixels = np.array([[0.0, 0], [7, 5], [3, 2]])
    z = np.array([1.0, 2.0, 4.0])
    seen = CAMERA.unproject(pixels) * z[:, None]
    R, t = T_CAMERA_LIDAR[:3, :3], T_CAMERA_LIDAR[:3, 3]
    depth = project_lidar(((seen - t) @ R).astype(np.float32), T_CAMERA_LIDAR, CAMERA)
    assert depth.shape == (6, 8) and np.count_nonzero(~np.isnan(depth)) == 3
    np.testing.assert_allclose(depth[[0, 5, 2], [0, 7, 3]], z, rtol=1e-6)


def test_behind_beside_and_unmeasured_points_are_dropped_and_the_nearest_wins():
    points = np.array(
        [[0, 0, 3], [0, 0, 2], [0, 0, 2.5], [0, 0, -1], [0, 0, 0], [9, 0, 1], [np.nan, 0, 1]],
        np.float32,
    )
    depth = project_lidar(points, np.eye(4), CAMERA)
    assert depth[~np.isnan(depth)].tolist() == [2.0]


def test_no_points_no_depth():
    assert np.isnan(project_lidar(np.zeros((0, 4), np.float32), np.eye(4), CAMERA)).all()
