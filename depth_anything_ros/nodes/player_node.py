"""player_node: files as a camera, with its calibration and, where there is one, its LiDAR."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from cv_bridge import CvBridge
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster

from depth_anything_ros.core.errors import SourceError, printable
from depth_anything_ros.core.files import user_path
from depth_anything_ros.core.frames import DecodedFrame, FrameSource
from depth_anything_ros.core.recording import Calibration, load_calibration, load_lidar
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    lidar_message,
    transform_message,
)
from depth_anything_ros.nodes.outlet import Audience
from depth_anything_ros.nodes.playback import Playback, fixed_parameters
from depth_anything_ros.nodes.player_parameters import PlayerParameters
from depth_anything_ros.nodes.qos import create_output
from depth_anything_ros.nodes.running import run_node

CALIBRATION_NAMES = ("calib.json", "camera.yaml", "camera.yml")
DEFAULT_FRAME_ID = "camera_optical_frame"


class PlayerNode(Node):
    """Publish the frames of a source at a rate."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("player_node", **kwargs)
        p = self.parameters = fixed_parameters(self, PlayerParameters)
        if not p.source:
            raise SourceError("parameter source is empty: give a picture, a folder or a video")
        self._played = 0
        self._calibration = self._find_calibration()
        # A calibration is of the pixels as they were taken.
        self._source = FrameSource(p.source, upright=self._calibration is None)
        self._frames = self._endless()
        self._frame_id = p.frame_id or self._calibrated_frame_id() or DEFAULT_FRAME_ID
        self._lidar = self._load_lidar()
        self._bridge = CvBridge()
        compressed = p.image_transport == "compressed"
        topic = f"{self.resolve_topic_name('image')}/compressed" if compressed else "image"
        self._image_out = create_output(self, CompressedImage if compressed else Image, topic)
        self._info_out = (
            create_output(self, CameraInfo, "camera_info") if self._calibration else None
        )
        self._lidar_out = create_output(self, PointCloud2, "lidar/points") if self._lidar else None
        seen = [out for out in (self._image_out, self._info_out) if out is not None]
        self._transforms = StaticTransformBroadcaster(self)
        self._send_extrinsics()
        audience = Audience(seen, p.wait_for_subscribers)
        self.playback = Playback(self, p.rate_hz, seen, audience, self._play_next)
        self.get_logger().info(f"playing {printable(p.source, 200)} at {p.rate_hz:g} Hz on {topic}")

    def _endless(self) -> Iterator[DecodedFrame]:
        rounds = itertools.repeat(self._source) if self.parameters.loop else (self._source,)
        frames = itertools.chain.from_iterable(rounds)
        return itertools.islice(frames, self.parameters.count or None)

    def _find_calibration(self) -> Calibration | None:
        if self.parameters.calibration:
            return load_calibration(user_path(self.parameters.calibration))
        source = user_path(self.parameters.source)
        folder = source if source.is_dir() else source.parent
        for name in CALIBRATION_NAMES:
            if (folder / name).is_file():
                return load_calibration(folder / name)
        self.get_logger().warning(
            f"no calibration beside {printable(source, 200)} ({', '.join(CALIBRATION_NAMES)}): "
            "camera_info stays silent; set the parameter calibration"
        )
        return None

    def _calibrated_frame_id(self) -> str:
        camera = self._calibration.camera if self._calibration else None
        return camera.frame_id if camera else ""

    def _load_lidar(self) -> list[NDArray[np.float32]]:
        if not self.parameters.lidar:
            return []
        path = user_path(self.parameters.lidar)
        files = sorted(path.glob("*.bin")) if path.is_dir() else [path]
        if not files:
            raise SourceError(f"no .bin file in the LiDAR folder {path}")
        return [load_lidar(file) for file in files]

    def _send_extrinsics(self) -> None:
        matrix = self._calibration.T_camera_lidar if self._calibration else None
        if self._lidar and matrix is not None:
            stamp, lidar_frame = self.get_clock().now().to_msg(), self.parameters.lidar_frame_id
            transform = transform_message(stamp, self._frame_id, lidar_frame, matrix)
            self._transforms.sendTransform(transform)

    def _play_next(self) -> bool:
        frame = next(self._frames, None)
        if frame is None:
            self.get_logger().info(f"played {self._played} pictures")
            return False
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        # camera_info first: a picture whose camera is not known yet may have to be dropped.
        if self._info_out is not None:
            self._info_out.publish(self._camera_info(header, frame.bgr))
        self._image_out.publish(self._image(header, frame.bgr))
        if self._lidar_out is not None:
            points = self._lidar[self._played % len(self._lidar)]
            lidar_header = Header(stamp=header.stamp, frame_id=self.parameters.lidar_frame_id)
            self._lidar_out.publish(lidar_message(lidar_header, points))
        self._played += 1
        return True

    def _image(self, header: Header, bgr: NDArray[np.uint8]) -> Image | CompressedImage:
        p = self.parameters
        if p.image_transport == "compressed":
            _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, p.jpeg_quality])
            message = CompressedImage(header=header, format="jpeg")
            message.data.frombytes(jpeg.data)
            return message
        if p.encoding == "rgb8":
            bgr = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        elif p.encoding == "mono8":
            bgr = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
        return self._bridge.cv2_to_imgmsg(bgr, p.encoding, header)

    def _camera_info(self, header: Header, bgr: NDArray[np.uint8]) -> CameraInfo:
        """Return the calibration at the picture's size, or as it is where the aspect differs."""
        calibration = self._calibration
        assert calibration is not None  # or there is no publisher to call for
        size, camera = (calibration.width, calibration.height), calibration.camera
        height, width = bgr.shape[:2]
        if camera is not None and camera.fits(width, height):
            size, camera = (width, height), camera.scaled(width, height)
        return camera_info_message(header, camera, size)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until the last picture was played."""
    return run_node(PlayerNode, args, until=lambda node: node.playback.finished)


if __name__ == "__main__":
    raise SystemExit(main())
