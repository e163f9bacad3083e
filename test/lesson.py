"""Pictures that show their depth in their colours: what a network learns in a few steps."""

import json

import cv2
import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.training.samples import write_labels

WIDTH, HEIGHT = 56, 42
CAMERA = Camera.from_hfov(WIDTH, HEIGHT, 70.0)
# A LiDAR looks along x, with y to the left and z up; the optical frame has z along the view.
T_CAMERA_LIDAR = np.array([[0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, 0.05], [0, 0, 0, 1.0]])


def picture(number):
    """Return the colours of a smooth random surface, uint8, and its depth, 2 to 8 m."""
    rng = np.random.default_rng(number)
    surface = cv2.resize(rng.uniform(0, 1, (3, 4)).astype(np.float32), (WIDTH, HEIGHT))
    tone = np.rint(255 * surface).astype(np.uint8)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    return np.stack((tone, 255 - tone, noise), -1), 2 * 4**surface


def write_sample(folder, name, rgb, depth_m=None, disparity=None, camera=None):
    """Write a picture and its labels as ``FolderSource`` reads them."""
    write_labels(folder, name, depth_m, disparity, camera)
    assert cv2.imwrite(str(folder / f"{name}.png"), rgb[..., ::-1])


def write_lesson(folder, count=6, first=0):
    """Write pictures with depth and camera; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rgb, depth = picture(number)
        write_sample(folder, f"p{number:02d}", rgb, depth_m=depth, camera=CAMERA)
    return folder


def write_pictures(folder, count=6, first=0):
    """Write pictures alone; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"p{number:02d}.png"), picture(number)[0][..., ::-1])
    return folder


def write_drive(folder, count=6, first=0, points=200):
    """Write pictures with the points of a LiDAR and one calibration; return the folder."""
    write_pictures(folder, count, first)
    names = {"width": WIDTH, "height": HEIGHT, "K": CAMERA.K}
    transform = T_CAMERA_LIDAR.ravel().tolist()
    (folder / "calib.json").write_text(json.dumps(names | {"T_camera_lidar": transform}))
    for number in range(first, first + count):
        xyz = (CAMERA.rays() * picture(number)[1][..., None]).reshape(-1, 3)
        chosen = np.random.default_rng(number).permutation(len(xyz))[:points]
        lidar = (xyz[chosen] - T_CAMERA_LIDAR[:3, 3]) @ T_CAMERA_LIDAR[:3, :3]
        cloud = np.column_stack((lidar, np.ones(points))).astype("<f4")
        (folder / f"p{number:02d}_lidar.bin").write_bytes(cloud.tobytes())
    return folder
