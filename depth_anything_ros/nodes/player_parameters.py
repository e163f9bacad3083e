"""The parameters of player_node. README.md holds the same names."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.options import parameter


@dataclass(frozen=True)
class PlayerParameters:
    """Everything that a user can set on player_node. None of it changes while it plays."""

    source: str = parameter(
        "",
        "What to play: a picture, a folder, a sequence such as frame_%06d.png, or a video.",
        static=True,
    )
    calibration: str = parameter(
        "",
        "Calibration: a YAML of ROS or OpenCV, or a JSON with width, height, K, D. Empty looks for "
        "calib.json or camera.yaml beside the source.",
        static=True,
    )
    frame_id: str = parameter(
        "", "Optical frame of the camera; empty takes the calibration's.", static=True
    )
    rate_hz: float = parameter(
        5.0, "Pictures per second.", unit="Hz", low=0.01, high=1000.0, static=True
    )
    loop: bool = parameter(True, "Start again after the last picture.", static=True)
    count: int = parameter(
        0, "Stop after this many pictures; 0 plays on.", low=0, high=1_000_000_000, static=True
    )
    image_transport: str = parameter(
        "raw",
        "Publish image (sensor_msgs/Image) or image/compressed (JPEG).",
        choices=("raw", "compressed"),
        static=True,
    )
    encoding: str = parameter(
        "bgr8", "Encoding of image.", choices=("bgr8", "rgb8", "mono8"), static=True
    )
    jpeg_quality: int = parameter(95, "Of image/compressed.", low=1, high=100, static=True)
    lidar: str = parameter(
        "",
        "LiDAR points to publish with each picture: a .bin file of float32 x, y, z, intensity, "
        "or a folder of them, taken in name order.",
        static=True,
    )
    lidar_frame_id: str = parameter("lidar", "Frame of the LiDAR points.", static=True)
    wait_for_subscribers: int = parameter(
        0,
        "Start to play when image and camera_info have this many subscribers.",
        low=0,
        high=100,
        static=True,
    )
