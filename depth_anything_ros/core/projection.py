"""Points of a LiDAR on the grid of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera


def transformed(
    points: NDArray[np.floating], T_target_source: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return points in another frame.

    Args:
        points: (N, 3 or more), x, y, z in metres in the source's frame; more columns are dropped.
            NaN and Inf are beams without an echo.
        T_target_source: float64 (4, 4).

    Returns:
        float64 (N, 3); NaN or Inf where there was no echo.
    """
    xyz = points[:, :3].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite times 0
        return np.asarray(xyz @ T_target_source[:3, :3].T + T_target_source[:3, 3], np.float64)


def project_lidar(
    points: NDArray[np.float32], T_camera_lidar: NDArray[np.float64], camera: Camera
) -> NDArray[np.float32]:
    """Project LiDAR points to a sparse depth map; the nearest point of each pixel is kept.

    Args:
        points: float32 (N, 3 or more): x, y, z in metres in the LiDAR's frame.
        T_camera_lidar: float64 (4, 4), maps them to the optical frame.
        camera: of the picture, its lens included.

    Returns:
        float32 (height, width), metres along Z, NaN where no point falls.
    """
    xyz = transformed(points, T_camera_lidar)
    pixels = camera.project(xyz)
    edge = (camera.width - 0.5, camera.height - 0.5)
    with np.errstate(invalid="ignore"):
        inside = (pixels > -0.5).all(-1) & (pixels < edge).all(-1)
    xyz, (columns, rows) = xyz[inside], np.rint(pixels[inside]).astype(np.intp).T
    far_first = np.argsort(-xyz[:, 2], kind="stable")
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    with np.errstate(over="ignore"):  # beyond what float32 holds is infinite
        depth[rows[far_first], columns[far_first]] = xyz[far_first, 2]
    return depth
