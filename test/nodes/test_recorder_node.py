"""recorder_node in the test's own process, beside a node that is slow to answer."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import PATIENCE_S
from std_msgs.msg import String

Reader = pytest.importorskip("rosbags.rosbag2", reason="needs the extra demo").Reader

from depth_anything_ros.nodes.recorder_node import RecorderNode  # noqa: E402 - it needs rosbags

QUIET_S = 0.2


@pytest.fixture
def world(logs, tmp_path):
    context = rclpy.Context()
    rclpy.init(context=context)
    other = rclpy.create_node("slow", namespace="/recorded", context=context)
    settings = {"bag": str(tmp_path / "bag"), "nodes": "slow", "quiet_s": QUIET_S}
    recorder = RecorderNode(
        context=context,
        namespace="/recorded",
        parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()],
    )
    executor = SingleThreadedExecutor(context=context)
    for node in (other, recorder):
        executor.add_node(node)
    yield other, recorder, executor
    executor.shutdown()
    other.destroy_node()  # the recorder is destroyed by the test: that closes its bag
    context.try_shutdown()


def test_quiet_is_not_the_end_while_a_node_works_on_a_picture(world, tmp_path):
    other, recorder, executor = world
    answers = other.create_publisher(String, "answer", 10)
    statuses = other.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def spin_until(condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end
            executor.spin_once(timeout_sec=0.01)

    def spin(seconds):
        end = time.monotonic() + seconds
        spin_until(lambda: time.monotonic() > end)

    def say(name="recorded/slow", **counts):
        values = [KeyValue(key=key.replace("_", " "), value=str(n)) for key, n in counts.items()]
        values.append(KeyValue(key="dropped: newer_frame", value="2"))
        status = DiagnosticStatus(name=f"{name}: depth", values=values)
        statuses.publish(DiagnosticArray(status=[status]))

    spin_until(lambda: answers.get_subscription_count() and statuses.get_subscription_count())
    assert not recorder.finished  # nothing has come
    say("elsewhere/slow", frames_in=9, frames_out=0)  # which is not recorded
    say(frames_in=2, frames_out=0)
    spin_until(lambda: recorder._pending)
    answers.publish(String(data="first"))
    spin_until(lambda: recorder._last_message)
    spin(3 * QUIET_S)
    assert not recorder.finished  # its status is of before the answer
    say(frames_in=5, frames_out=2)
    spin_until(lambda: [pending for _, pending in recorder._pending.values()] == [1])
    spin(3 * QUIET_S)
    assert not recorder.finished  # of five pictures, two were answered and two dropped
    say(frames_in=5, frames_out=3)
    spin_until(lambda: recorder.finished)
    recorder.destroy_node()
    with Reader(tmp_path / "bag") as bag:
        assert sum(c.msgcount for c in bag.connections if c.topic == "/recorded/answer") == 1
