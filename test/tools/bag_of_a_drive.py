"""A rosbag2 of a simulated robot's drive: pictures, camera_info, LiDAR, /tf and /tf_static.

As a script it writes one to adapt a model by: python test/tools/bag_of_a_drive.py OUT --help
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.poses import quaternion_of_rotation
from depth_anything_ros.sim.lidar_patterns import find_pattern
from depth_anything_ros.sim.path import Drive, camera_mount, mount
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.robot import Robot

TYPES = get_typestore(Stores.ROS2_JAZZY)
BEGIN_NS = 1_700_000_000_000_000_000
# A lens of 125 degrees across, which bends lines as such lenses do.
FISHEYE = (0.06, -0.012, 0.003, -0.0006)


@dataclass(frozen=True)
class DriveOptions:
    """What is driven and recorded."""

    place: str = "office"
    seed: int = 3
    frames: int = 6
    rate_hz: float = 10.0
    width: int = 96
    height: int = 72
    hfov_deg: float = 70.0
    fisheye: bool = False
    camera_height_m: float = 0.5
    camera_pitch_deg: float = 0.0
    speed_mps: float = 0.5
    lidar: str = "spinning_16"
    lidar_late_s: float = 0.02
    compressed: bool = False
    storage: str = "mcap"
    compression: str = "none"
    namespace: str = "/front"

    def camera(self) -> Camera:
        """The camera and its lens."""
        frame = f"{self.namespace.strip('/') or 'front'}_optical"
        if not self.fisheye:
            return Camera.from_hfov(self.width, self.height, self.hfov_deg, frame)
        # r = f theta to begin with: the corners of the picture are farther out than a pinhole's.
        focal = self.width / 2 / math.radians(self.hfov_deg / 2)
        c = (self.width - 1) / 2, (self.height - 1) / 2
        K = (focal, 0, c[0] + 3, 0, focal, c[1] - 2, 0, 0, 1)
        zoom = 0.55  # of the rectified picture, so that it sees most of what the lens does
        P = (focal * zoom, 0, c[0], 0, 0, focal * zoom, c[1], 0, 0, 0, 1, 0)
        return Camera(self.width, self.height, K, FISHEYE, "equidistant", (), P, frame)

    def mounts(self) -> tuple[np.ndarray, np.ndarray]:
        """T_base_camera and T_base_lidar: the LiDAR stands behind and above, turned by 90 deg."""
        pitch = math.radians(self.camera_pitch_deg)
        T_base_lidar = mount(x=-0.1, z=self.camera_height_m + 0.25)
        T_base_lidar[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
        return camera_mount(0.1, z=self.camera_height_m, pitch=pitch), T_base_lidar

    def robot(self) -> Robot:
        """The robot in its place."""
        scene = build_scene(self.seed, self.place)
        camera_pose, lidar_pose = self.mounts()
        drive = Drive(
            scene.path, self.speed_mps, T_base_camera=camera_pose, T_base_lidar=lidar_pose
        )
        return Robot(scene, self.camera(), drive)


def qos(reliability: str = "BEST_EFFORT", durability: str = "VOLATILE", depth: int = 5) -> Qos:
    """The quality of service of a publisher."""
    zero = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability[reliability],
        QosDurability[durability],
        zero,
        zero,
        QosLiveliness.AUTOMATIC,
        zero,
        False,
    )


def message(kind: str, **fields):
    """A message of rosbags."""
    return TYPES.types[kind](**fields)


def header(stamp_ns: int, frame_id: str):
    stamp = message("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def image(head, values: np.ndarray, encoding: str):
    return message(
        "sensor_msgs/msg/Image",
        header=head,
        height=values.shape[0],
        width=values.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=values.nbytes // values.shape[0],
        data=np.ascontiguousarray(values).reshape(-1).view(np.uint8),
    )


def compressed(head, rgb: np.ndarray):
    data = cv2.imencode(".png", rgb[..., ::-1])[1]
    kind = "sensor_msgs/msg/CompressedImage"
    return message(kind, header=head, format="rgb8; png compressed bgr8", data=data.reshape(-1))


def camera_info(head, camera: Camera):
    roi = message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    arrays = {name: np.array(getattr(camera, name.upper()), float) for name in "dkrp"}
    return message(
        "sensor_msgs/msg/CameraInfo",
        header=head,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        binning_x=0,
        binning_y=0,
        roi=roi,
        **arrays,
    )


def cloud(head, points: np.ndarray):
    fields = [
        message("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate("xyz")
    ]
    return message(
        "sensor_msgs/msg/PointCloud2",
        header=head,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        data=np.ascontiguousarray(points, np.float32).reshape(-1).view(np.uint8),
        is_dense=True,
    )


def transforms(stamp_ns: int, *edges):
    """A TFMessage of (parent, child, T_parent_child)."""
    made = []
    for parent, child, matrix in edges:
        x, y, z, w = quaternion_of_rotation(matrix[:3, :3])
        rotation = message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
        t = map(float, matrix[:3, 3])
        translation = message("geometry_msgs/msg/Vector3", **dict(zip("xyz", t, strict=True)))
        transform = message(
            "geometry_msgs/msg/Transform", translation=translation, rotation=rotation
        )
        made.append(
            message(
                "geometry_msgs/msg/TransformStamped",
                header=header(stamp_ns, parent),
                child_frame_id=child,
                transform=transform,
            )
        )
    return message("tf2_msgs/msg/TFMessage", transforms=made)


class DriveBag:
    """Writes a bag, message by message."""

    def __init__(self, path: Path, storage: str = "mcap", compression: str = "none") -> None:
        self.writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        mode = CompressionMode[compression.upper()]
        self.writer.set_compression(mode, CompressionFormat.ZSTD)
        self.writer.open()
        self._connections = {}

    def topic(self, name: str, kind: str, *profiles: Qos) -> None:
        self._connections[name] = self.writer.add_connection(
            name, kind, typestore=TYPES, offered_qos_profiles=profiles
        )

    def write(self, topic: str, time_ns: int, said) -> None:
        connection = self._connections[topic]
        data = TYPES.serialize_cdr(said, connection.msgtype)
        self.writer.write(connection, time_ns, bytes(data))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.writer.__exit__(*error)


def write_drive(path: Path, options: DriveOptions, show=lambda n: None) -> Robot:
    """Write the bag of a drive; return the robot, whose world has the truth."""
    o, robot = options, options.robot()
    camera, pattern = robot.camera, find_pattern(o.lidar)
    topic = f"{o.namespace}/image_raw{'/compressed' if o.compressed else ''}"
    kind = "CompressedImage" if o.compressed else "Image"
    camera_pose, lidar_pose = o.mounts()
    with DriveBag(path, o.storage, o.compression) as bag:
        bag.topic("/tf_static", "tf2_msgs/msg/TFMessage", qos("RELIABLE", "TRANSIENT_LOCAL", 1))
        bag.topic("/tf", "tf2_msgs/msg/TFMessage", qos("RELIABLE", depth=100))
        bag.topic(f"{o.namespace}/camera_info", "sensor_msgs/msg/CameraInfo", qos())
        bag.topic(topic, f"sensor_msgs/msg/{kind}", qos(), qos("RELIABLE"))
        bag.topic("/lidar/points", "sensor_msgs/msg/PointCloud2", qos())
        edges = ("base_link", camera.frame_id, camera_pose), ("base_link", "lidar", lidar_pose)
        bag.write("/tf_static", BEGIN_NS, transforms(BEGIN_NS, *edges))
        for frame in range(o.frames):
            t = frame / o.rate_hz
            stamp = BEGIN_NS + round(t * 1e9)
            seen = robot.picture(t, o.seed * 1000 + frame)
            head = header(stamp, camera.frame_id)
            odometry = transforms(stamp, ("odom", "base_link", robot.T_odom_base(t)))
            bag.write("/tf", stamp, odometry)
            picture = compressed(head, seen.rgb) if o.compressed else image(head, seen.rgb, "rgb8")
            bag.write(topic, stamp + 5_000_000, picture)
            bag.write(f"{o.namespace}/camera_info", stamp + 6_000_000, camera_info(head, camera))
            sweep = robot.sweep(pattern, t, o.seed * 1000 + frame)
            late = stamp + round(o.lidar_late_s * 1e9)
            bag.write("/lidar/points", late + 1_000_000, cloud(header(late, "lidar"), sweep.points))
            show(frame + 1)
    return robot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    for name, field in DriveOptions.__dataclass_fields__.items():
        default = field.default
        if isinstance(default, bool):
            parser.add_argument(f"--{name.replace('_', '-')}", action="store_true")
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    path = given.pop("output")
    options = DriveOptions(**given)
    write_drive(path, options, lambda n: n % 20 or print(f"{n} of {options.frames}", flush=True))


if __name__ == "__main__":
    main()
