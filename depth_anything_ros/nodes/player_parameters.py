"""The parameters of player_node. doc/player_node.md holds the same names."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.options import fixed


@dataclass(frozen=True)
class PlayerParameters:
    """Everything that a user can set on player_node. None of it changes while it plays."""

    source: str = fixed(
        "", "What to play: a picture, a folder, a sequence such as frame_%06d.png, or a video."
    )
    calibration: str = fixed(
        "",
        "Calibration: a YAML of ROS or OpenCV, or a JSON with width, height, K, D. Empty looks for "
        "calib.json or camera.yaml beside the source.",
    )
    frame_id: str = fixed("", "Optical frame of the camera; empty takes the calibration's.")
    rate_hz: float = fixed(5.0, "Pictures per second.", unit="Hz", low=0.01, high=1000.0)
    loop: bool = fixed(True, "Start again after the last picture.")
    count: int = fixed(0, "Stop after this many pictures; 0 plays on.", low=0, high=1_000_000_000)
    image_transport: str = fixed(
        "raw",
        "Publish image (sensor_msgs/Image) or image/compressed (JPEG).",
        choices=("raw", "compressed"),
    )
    encoding: str = fixed("bgr8", "Encoding of image.", choices=("bgr8", "rgb8", "mono8"))
    jpeg_quality: int = fixed(95, "Of image/compressed.", low=1, high=100)
    lidar: str = fixed(
        "",
        "LiDAR points to publish with each picture: a .bin file of float32 x, y, z, intensity, "
        "or a folder of them, taken in name order.",
    )
    lidar_frame_id: str = fixed("lidar", "Frame of the LiDAR points.")
    wait_for_subscribers: int = fixed(
        0, "Start to play when image and camera_info have this many subscribers.", low=0, high=100
    )
