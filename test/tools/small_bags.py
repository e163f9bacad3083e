"""Bags of a few messages each, of one camera."""

import numpy as np
import pytest
from bag_of_a_drive import (
    BEGIN_NS,
    TYPES,
    DriveBag,
    camera_info,
    header,
    image,
    message,
    qos,
)

from depth_anything_ros.core.camera import Camera

pytest.importorskip("rosbags")
from rosbags.typesys import get_types_from_msg

CAMERA = Camera.from_hfov(64, 48, 70.0, "front_optical")
COUNTER = "robot_msgs/msg/Counter"
TYPES.register(get_types_from_msg("std_msgs/Header header\nuint32 count\n", COUNTER))


def rgb(number):
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)


def small_bag(path, count=3, storage="mcap", compression="none", broken=()):
    """A bag of one camera and a topic of a type of its own."""
    with DriveBag(path, storage, compression) as bag:
        bag.topic("/counter", COUNTER, qos("RELIABLE", "TRANSIENT_LOCAL", 7))
        bag.topic("/front/camera_info", "sensor_msgs/msg/CameraInfo", qos())
        bag.topic("/front/image_raw", "sensor_msgs/msg/Image", qos())
        for n in range(count):
            stamp = BEGIN_NS + n * 100_000_000
            head = header(stamp, "front_optical")
            bag.write("/counter", stamp, message(COUNTER, header=head, count=n))
            bag.write("/front/camera_info", stamp, camera_info(head, CAMERA))
            picture = image(head, rgb(n), "rgb8")
            if n in broken:
                picture.step = 5
            bag.write("/front/image_raw", stamp + 1_000, picture)
    return path


def bag_of_each(path, **topics):
    """A bag of topics by name: what is said on each, once."""
    with DriveBag(path) as bag:
        for name, said in topics.items():
            topic = f"/{name.replace('__', '/')}"
            bag.topic(topic, said.__msgtype__, qos())
            bag.write(topic, BEGIN_NS, said)
    return path
