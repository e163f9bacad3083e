"""What is late and what is a jump of time, of a node in the test's own process."""

import pytest
import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from depth_anything_ros.nodes.scale_anchor_node import ScaleAnchorNode


@pytest.fixture(scope="module")
def node(logs):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = ScaleAnchorNode(context=context, namespace="/late")
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.destroy_node()
    context.try_shutdown()


def jumps(node, *stamps_ns):
    """Show pictures of these stamps; return after each how often time has jumped by then."""
    (stream,) = node._streams
    stream.restart_time()
    before, counts = stream.clock_jumps, []
    for stamp_ns in stamps_ns:
        message = Image(height=1, width=1, encoding="32FC1", step=4)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        node._on_image(stream, message)
        counts.append(stream.clock_jumps - before)
    return counts


@pytest.mark.parametrize("late_ms", [0, 9, 11, 100, 300, 1000, 1001, 59_999])
def test_a_picture_that_is_back_by_the_tolerance_is_late_and_by_more_a_jump(node, late_ms):
    (result,) = node.set_parameters([Parameter("sync.max_late_s", value=late_ms / 1000)])
    assert result.successful
    base, late_ns = 10**12, late_ms * 10**6
    assert jumps(node, base, base - late_ns, base) == [0, 0, 0]
    assert jumps(node, base, base - late_ns - 1) == [0, 1]


def test_any_order_within_the_tolerance_is_no_jump_and_a_loop_is_one_each_time(node):
    node.set_parameters([Parameter("sync.max_late_s", value=0.5)])
    ms = 10**6
    assert jumps(node, *(10**12 + t * ms for t in (100, 33, 66, 0, 500, 99, 133, 0))) == [0] * 8
    looped = [10**12 + t * ms for t in (0, 400, 800, 700, 0, 400, 300, 800, 0)]
    assert jumps(node, *looped) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    wild = [10**12, (2**31 - 1) * 10**9, 10**12 + ms, -(2**31) * 10**9, 10**12 + 2 * ms]
    assert jumps(node, *wild) == [0, 0, 1, 2, 2]
