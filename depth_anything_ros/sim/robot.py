"""A robot that drives through a scene with a camera and a LiDAR, and what they measure.

Frames are REP 105's and REP 103's: ``odom`` is where the robot starts, ``base_link`` is on the
ground below it, x forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.sim.path import Drive, camera_mount, mount
from depth_anything_ros.sim.photometry import Photometry, develop
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.scene import Scene

if TYPE_CHECKING:
    import torch

    from depth_anything_ros.sim.lidar import Sweep
    from depth_anything_ros.sim.lidar_patterns import LidarPattern

# Of a small robot: the camera looks out of its front, the LiDAR stands on top, behind it.
CAMERA_X_M = 0.1
LIDAR_ABOVE_CAMERA_M = 0.2
# A camera of the better sort: slightly soft, slightly darker corners, little noise.
MILD = Photometry(blur_px=0.5, vignetting=0.15, key=0.18, shot=5e-4, read=3e-3)


def sensor_mounts(
    camera_height_m: float, camera_pitch_deg: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return T_base_camera and T_base_lidar, each float64 (4, 4).

    Args:
        camera_height_m: above the ground.
        camera_pitch_deg: how far the camera looks down; the LiDAR is level.
    """
    pitch = math.radians(camera_pitch_deg)
    T_base_camera = camera_mount(CAMERA_X_M, z=camera_height_m, pitch=pitch)
    return T_base_camera, mount(z=camera_height_m + LIDAR_ABOVE_CAMERA_M)


def drive_of(
    scene: Scene, speed_mps: float, camera_height_m: float, camera_pitch_deg: float
) -> Drive:
    """Return the drive of a robot with ``sensor_mounts`` along the lane of a scene."""
    T_base_camera, T_base_lidar = sensor_mounts(camera_height_m, camera_pitch_deg)
    return Drive(scene.path, speed_mps, T_base_camera=T_base_camera, T_base_lidar=T_base_lidar)


def T_camera_lidar(  # noqa: N802 - the field's name
    camera_height_m: float, camera_pitch_deg: float
) -> NDArray[np.float64]:
    """Return what takes points of the LiDAR to the optical frame, float64 (4, 4)."""
    T_base_camera, T_base_lidar = sensor_mounts(camera_height_m, camera_pitch_deg)
    return np.asarray(np.linalg.inv(T_base_camera) @ T_base_lidar, np.float64)


@dataclass(frozen=True, eq=False)
class RenderedImage:
    """What the camera sees at one time.

    Attributes:
        rgb: uint8 (height, width, 3).
        depth_m: float32 (height, width), exact, metres along Z; +Inf is the sky.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Robot:
    """A robot in a scene, which stands still but for the robot. Times are of its drive, in seconds.

    Attributes:
        scene: where it is.
        camera: its lens.
        drive: its way through the scene, and where its sensors are.
        device: where rays are traced.
        photometry: of the camera.
    """

    scene: Scene
    camera: Camera
    drive: Drive
    device: torch.device | str = "cpu"
    photometry: Photometry = MILD
    _renderer: Renderer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_renderer", Renderer([self.scene], self.device))

    def T_odom_base(self, t: float) -> NDArray[np.float64]:  # noqa: N802
        """Return where the robot is, seen from where it started, float64 (4, 4)."""
        start = self.drive.T_world_base(0.0)
        return np.asarray(np.linalg.inv(start) @ self.drive.T_world_base(t), np.float64)

    def picture(self, t: float, seed: int = 0) -> RenderedImage:
        """Take a picture; the seed is of its noise."""
        pose = self.drive.T_world_camera(t)[None]
        seen = self._renderer.view([self.camera], pose)
        rgb = develop(seen.light[0], self.photometry, seed)
        return RenderedImage(rgb.cpu().numpy(), seen.depth_m[0].cpu().numpy())

    def sweep(self, pattern: LidarPattern, t: float, seed: int = 0) -> Sweep:
        """Measure with one sweep of a LiDAR; the seed is of its noise and losses."""
        from depth_anything_ros.sim.lidar import scan

        return scan(self._renderer.world, pattern, self.drive.T_world_lidar(t), seed)
