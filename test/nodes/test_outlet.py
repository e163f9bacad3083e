"""Outlets: a publish that takes long is told, while it lasts and for a moment after."""

import threading
import time

import pytest
import rclpy
from depth_with_truth import DepthNodeWithTruth
from rclpy.parameter import Parameter
from ros_harness import PATIENCE_S, wait_until
from sensor_msgs.msg import CameraInfo, PointCloud2

from depth_anything_ros.nodes import outlet as module
from depth_anything_ros.nodes.outlet import Outlet


class Held:
    """A real publisher that a test holds up, as a full transport does."""

    def __init__(self, publisher):
        self._publisher = publisher
        self.free = threading.Event()
        self.topic_name = publisher.topic_name

    def publish(self, message):
        assert self.free.wait(PATIENCE_S)
        self._publisher.publish(message)


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("held", namespace="/outlet", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_a_publish_that_is_held_up_is_told_and_then_forgotten(node, monkeypatch, capfd):
    monkeypatch.setattr(module, "BLOCKED_S", 0.05)
    monkeypatch.setattr(module, "_REMEMBERED_S", 1.0)
    held = Held(node.create_publisher(CameraInfo, "points", 1))
    outlet = Outlet(node, held)
    assert outlet.problem() == ""
    thread = threading.Thread(target=outlet.publish, args=(CameraInfo(),))
    thread.start()
    said = wait_until(outlet.problem, what="the problem")
    assert said.startswith("publish blocked for 0.1 s on /outlet/points: a subscriber does not")
    assert "config/fastdds_large_messages.xml" in said
    held.free.set()
    thread.join()
    assert "publish blocked for " in outlet.problem()  # a status of once a second tells it
    wait_until(lambda: not outlet.problem(), what="the end of it")
    for _ in range(3):
        outlet.publish(CameraInfo())
    assert outlet.problem() == ""
    assert capfd.readouterr().err.count("publish blocked") == 1


def test_diagnostics_say_so_in_the_place_of_pictures_that_did_not_come(logs, monkeypatch):
    monkeypatch.setattr(module, "BLOCKED_S", 1e-9)  # any publish is
    context = rclpy.Context()
    rclpy.init(context=context)
    node = DepthNodeWithTruth(context=context, namespace="/outlet")
    node.set_parameters([Parameter("model", value="truth")])
    node.trigger_configure()
    node.trigger_activate()
    (stream,) = node.streams
    before = node._status.of(stream)
    assert before.level == b"\x03" and before.message.startswith("no picture yet")
    stream.outputs.publishers["points"].publish(PointCloud2())
    status = node._status.of(stream)
    assert status.level == b"\x01" and status.message.startswith("publish blocked for ")
    assert "/outlet/points" in status.message
    node.destroy_node()
    context.try_shutdown()


def test_a_publish_that_takes_no_time_is_no_problem(node):
    outlet = Outlet(node, node.create_publisher(CameraInfo, "points", 1))
    begun = time.monotonic()
    outlet.publish(CameraInfo())
    assert outlet.problem() == "" or time.monotonic() - begun > module.BLOCKED_S
    assert outlet.get_subscription_count() == 0
