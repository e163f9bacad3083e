"""What is kept of range sensors and of where they are, in the test's process."""

from array import array

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from ros_harness import RELIABLE, wait_until
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.nodes.messages import lidar_message, transform_message
from depth_anything_ros.nodes.range_inputs import RangeInputs
from depth_anything_ros.nodes.scale_anchor_parameters import RangeSyncParameters

SECOND = 1_000_000_000


class Sensors:
    """Range sensors, and what hears them."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("ranges", namespace="/ranges", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        kinds = {"lidar/points": PointCloud2, "scan": LaserScan}
        self.out = {
            name: self.node.create_publisher(kind, name, RELIABLE) for name, kind in kinds.items()
        }
        self.jumps = []
        self.inputs = None

    def listen(self, **limits):
        """Hear with the limits of a node's parameters, and forget all of before."""
        if self.inputs is not None:
            self.inputs.destroy()
        self.jumps.clear()
        self.inputs = RangeInputs(
            self.node, RangeSyncParameters(**limits), lambda *jump: self.jumps.append(jump)
        )
        for publisher in self.out.values():
            wait_until(publisher.get_subscription_count, what="a subscriber")

    def measure(self, message, stamp_ns):
        """Publish ranges, and wait until they are kept."""
        name = "scan" if isinstance(message, LaserScan) else "lidar/points"
        message.header = Header(frame_id="lidar")
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
        before = self.near(stamp_ns)
        self.out[name].publish(message)

        def is_kept():
            self.executor.spin_once(timeout_sec=0.1)
            return any(f.topic == name and f not in before for f in self.near(stamp_ns))

        wait_until(is_kept, what="the message")

    def near(self, stamp_ns):
        return self.inputs.at(stamp_ns, 0.05, 0.0)

    def close(self):
        self.inputs.destroy()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(scope="module")
def sensors():
    sensors = Sensors()
    yield sensors
    sensors.close()


def cloud(count):
    return lidar_message(Header(), np.ones((count, 4), np.float32))


def test_a_lidar_whose_stamp_stands_still_keeps_its_last_sweep_alone(sensors):
    sensors.listen()
    for count in range(1, 20):
        sensors.measure(cloud(count), 5 * SECOND)
    (found,) = sensors.near(5 * SECOND)
    assert len(found.points) == 19


def test_no_more_bytes_of_a_topic_are_kept_than_allowed_and_it_is_said(sensors):
    sensors.listen(history_mb=1, history_s=600.0)
    for i in range(8):  # 0.4 MB each, with its points
        sensors.measure(cloud(10_000), i * SECOND)
    assert [len(sensors.near(i * SECOND)) for i in range(8)] == [0] * 6 + [1, 1]
    words = "/ranges/lidar/points is 6.000 s after the picture's: sync.history_mb"
    assert words in sensors.inputs.why_none(0)


def test_what_is_too_large_is_not_kept_and_says_why_when_it_is_asked_for(sensors):
    sensors.listen(max_points=1000)
    scan = LaserScan(ranges=array("f", bytes(4 * 1001)), range_max=1.0)
    many = cloud(3)
    many.fields = [*many.fields, *[PointField(name="more", count=2**32 - 1)] * 2000]
    for message, words in (
        (scan, "1001 beams in one message, more than sync.max_points (1000)"),
        (cloud(1001), "1001 points in one message"),
        (many, "a cloud of 2004 fields"),
    ):
        sensors.measure(message, SECOND)
        (found,) = (f for f in sensors.near(SECOND) if f.problem and words in f.problem)
        assert found.message is None
        with pytest.raises(DepthAnythingError, match=r"sync\.max_points|fields"):
            _ = found.points
    # What comes next is used.
    sensors.measure(cloud(1000), SECOND)
    assert max(len(f.points) for f in sensors.near(SECOND) if not f.problem) == 1000


def test_a_topic_that_jumps_back_forgets_its_own_past_and_tells(sensors):
    sensors.listen(history_s=3.0)
    scan = LaserScan(ranges=array("f", [1.0]))
    sensors.measure(scan, 100 * SECOND)
    sensors.measure(cloud(1), 100 * SECOND)
    sensors.measure(cloud(2), 98 * SECOND)  # late
    assert sensors.jumps == [] and len(sensors.near(98 * SECOND)) == 1
    sensors.measure(cloud(3), 50 * SECOND)
    assert sensors.jumps == [("/ranges/lidar/points", 50 * SECOND)]
    assert sensors.near(98 * SECOND) == []
    assert [f.topic for f in sensors.near(100 * SECOND)] == ["scan"]
    for odd_s in (2**31 - 1, -(2**31)):
        sensors.measure(cloud(4), odd_s * SECOND)
        sensors.measure(cloud(5), 50 * SECOND)
        (found,) = sensors.near(50 * SECOND)
        assert len(found.points) == 5


def moving(stamp_ns):
    message = transform_message(Time(), "camera", "lidar", np.eye(4))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return message


def test_a_transform_of_an_odd_stamp_does_not_keep_others_out_for_ever(sensors):
    extrinsics = TransformExtrinsics(sensors.node, patience_s=0.0)
    send = TransformBroadcaster(sensors.node).sendTransform
    stamp = moving(105 * SECOND).header.stamp
    try:
        send([moving(100 * SECOND), moving(110 * SECOND)])
        np.testing.assert_array_equal(extrinsics.find("camera", "lidar", stamp, 0.0), np.eye(4))
        send(moving((2**31 - 1) * SECOND))
        for _ in range(2):  # tf2 refuses what is older than this by more than 10 s
            send([moving(100 * SECOND), moving(110 * SECOND)])
            try:
                found = extrinsics.find("camera", "lidar", stamp, 0.0)
            except DepthAnythingError as error:
                assert error.reason == "no_transform"
        np.testing.assert_array_equal(found, np.eye(4))
    finally:
        extrinsics.destroy()
