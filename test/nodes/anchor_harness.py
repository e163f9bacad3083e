"""A robot whose camera sees a known room as disparity, with range sensors beside it."""

import time

import numpy as np
from geometry_msgs.msg import TransformStamped
from room import room_depth, room_points
from ros_harness import (
    FRAME_ID,
    RELIABLE,
    Camera,
    camera_info,
    image_array,
    picture_message,
    wait_until,
)
from sensor_msgs.msg import Image, LaserScan, PointCloud, PointCloud2, Range
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera as CameraModel
from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.nodes.messages import lidar_message

NODE = "/scale_anchor_node"
OUTPUTS = (
    "depth/image_rect",
    "depth/image_rect/compressedDepth",
    "depth/camera_info",
    "points",
    "confidence/image",
)
WIDTH, HEIGHT, FOCAL = 160, 120, 120.0
MODEL = CameraModel.from_info(camera_info(WIDTH, HEIGHT, FOCAL))
DEPTH = room_depth(MODEL.rays()).astype(np.float32)
SCALE, SHIFT = 0.3, 0.04
# The LiDAR looks where the camera looks (REP 103), beside and above it.
TRANSLATION, ROTATION = (0.1, -0.2, 0.05), (0.5, -0.5, 0.5, 0.5)
T_CAMERA_LIDAR = rigid_matrix(TRANSLATION, ROTATION)
SECOND = 1_000_000_000
# Type and frame of each.
SENSORS = {
    "lidar/points": (PointCloud2, "lidar"),
    "landmarks": (PointCloud, "map"),
    "scan": (LaserScan, "lidar"),
    "range": (Range, "lidar"),
    "sparse_depth": (Image, FRAME_ID),
}


def anchor_info():
    return camera_info(WIDTH, HEIGHT, FOCAL)


def disparity(scale=SCALE, shift=SHIFT):
    return picture_message(((1 / DEPTH - shift) / scale).astype(np.float32), "32FC1")


def in_lidar(points_optical):
    back = np.linalg.inv(T_CAMERA_LIDAR)
    return (points_optical @ back[:3, :3].T + back[:3, 3]).astype(np.float32)


def sweep(count, seed=0):
    """Points (count, 4) of the room, as the LiDAR gives them."""
    points = in_lidar(room_points(MODEL, count, seed))
    return np.column_stack((points, np.zeros(count, np.float32)))


class Robot(Camera):
    """The camera of the harness, whose pictures are disparity, with range sensors."""

    def __init__(self, namespace="/", image_topic="disparity/image_rect", process=None):
        super().__init__(namespace, image_topic, OUTPUTS, process=process)
        self.sensors = {
            name: self.node.create_publisher(kind, name, RELIABLE)
            for name, (kind, _) in SENSORS.items()
        }
        self.transforms = self.node.create_publisher(TransformStamped, "/tf_relay", RELIABLE)

    def connected(self):
        for name, publisher in self.sensors.items():
            wait_until(publisher.get_subscription_count, what=f"a subscriber of {name}")
        return super().connected()

    def leap(self):
        """Let so much time pass, by the stamps, that nothing of before counts."""
        self._stamp += 1000 * SECOND
        return self

    def now_ns(self):
        return self._stamp

    def measure(self, message, stamp_ns, frame_id=None):
        """Publish ranges of a stamp: a message, or points for lidar/points."""
        name = "lidar/points"
        if isinstance(message, np.ndarray):
            message = lidar_message(Header(), message)
        elif not isinstance(message, PointCloud2):
            (name,) = (n for n, (kind, _) in SENSORS.items() if isinstance(message, kind))
        frame_id = frame_id or SENSORS[name][1]
        message.header = self.header(frame_id=frame_id, stamp_ns=stamp_ns)
        self.sensors[name].publish(message)

    def look(self, ranges=None, after_s=0.1, offset_s=0.0, image=None, info=None, **header):
        """Publish ranges, then a picture that is so much later than the last; return its key.

        Without an info it is that of the room's camera; with False there is none.
        """
        self._stamp += round(after_s * SECOND)
        stamp_ns = self._stamp
        for message in ranges if isinstance(ranges, (list, tuple)) else [ranges]:
            if message is not None:
                self.measure(message, stamp_ns + round(offset_s * SECOND))
        time.sleep(0.03)  # topics have no order
        image, info = image or disparity(), anchor_info() if info is None else info
        return self.show(image, info or None, stamp_ns=stamp_ns, **header)

    def anchored(self, ranges, output="depth/image_rect", **arguments):
        """Look again and again until a picture is answered; return its depth and key."""
        for _ in range(20):
            key = self.look(ranges, **arguments)
            try:
                return image_array(self.answer(output, key, 1.0)), key
            except AssertionError:
                continue
        raise AssertionError(f"no answer on {output}; last status: {self.last_status}")


def assert_room(depth, rtol=0.02, part=0.97):
    """Nearly all of the depth is that of the room."""
    assert (np.abs(depth / DEPTH - 1) < rtol).mean() > part
