"""Transforms by content: expected values come from 4×4 matrices and closed forms."""

import inspect
import math
import os
import threading
import time

import numpy as np
import pytest
import rclpy
import rclpy.executors
import tf2_ros
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.clock import ROSClock
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    StaticTransformBroadcaster,
    TransformBroadcaster,
    TransformException,
    TransformListener,
)

LATEST = Time()


def at(seconds):
    return Time(nanoseconds=round(seconds * 1e9))


def transform(parent, child, xyz=(0.0, 0.0, 0.0), q=(0.0, 0.0, 0.0, 1.0), seconds=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = at(seconds).to_msg()
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = map(float, xyz)
    rotation.x, rotation.y, rotation.z, rotation.w = map(float, q)
    return message


def yaw(degrees):
    half = math.radians(degrees) / 2
    return (0.0, 0.0, math.sin(half), math.cos(half))


def values(message):
    t, q = message.transform.translation, message.transform.rotation
    return (t.x, t.y, t.z), (q.x, q.y, q.z, q.w)


def matrix(message):
    """The 4×4 matrix of a transform."""
    (x, y, z), (i, j, k, r) = values(message)
    return np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j - k * r), 2 * (i * k + j * r), x],
            [2 * (i * j + k * r), 1 - 2 * (i * i + k * k), 2 * (j * k - i * r), y],
            [2 * (i * k - j * r), 2 * (j * k + i * r), 1 - 2 * (i * i + j * j), z],
            [0, 0, 0, 1],
        ]
    )


def static_buffer(*transforms):
    buffer = Buffer()
    for one in transforms:
        buffer.set_transform_static(one, "test")
    return buffer


def moving_buffer(*transforms):
    buffer = Buffer()
    for one in transforms:
        buffer.set_transform(one, "test")
    return buffer


@pytest.fixture
def context():
    context = Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    yield context
    context.try_shutdown()


@pytest.fixture
def node(context):
    node = Node("tf2_ros_test", context=context)
    yield node
    node.destroy_node()


@pytest.fixture
def other_node(context):
    node = Node("tf2_ros_test_other", context=context)
    yield node
    node.destroy_node()


def test_signatures_are_those_of_jazzy():
    empty, none = inspect.Parameter.empty, Duration()
    look = [("target_frame", empty), ("source_frame", empty), ("time", empty), ("timeout", none)]
    expected = {
        Buffer: [("cache_time", None), ("node", None)],
        Buffer().lookup_transform: look,
        Buffer().can_transform: [*look, ("return_debug_tuple", False)],
        Buffer().set_transform: [("transform", empty), ("authority", empty)],
        Buffer().set_transform_static: [("transform", empty), ("authority", empty)],
        Buffer().clear: [],
        TransformListener: [
            ("buffer", empty),
            ("node", empty),
            ("spin_thread", False),
            ("qos", None),
            ("static_qos", None),
        ],
        TransformListener.unregister: [("self", empty)],
        StaticTransformBroadcaster: [("node", empty), ("qos", None)],
        StaticTransformBroadcaster.sendTransform: [("self", empty), ("transform", empty)],
        TransformBroadcaster: [("node", empty), ("qos", None)],
        TransformBroadcaster.sendTransform: [("self", empty), ("transform", empty)],
    }
    for function, parameters in expected.items():
        found = inspect.signature(function).parameters.values()
        assert [(p.name, p.default) for p in found] == parameters
    for name in ("spin_thread", "qos", "static_qos"):
        kind = inspect.signature(TransformListener).parameters[name].kind
        assert kind is inspect.Parameter.KEYWORD_ONLY


def test_exceptions_have_the_hierarchy_of_tf2():
    for name in ("Connectivity", "Lookup", "Extrapolation", "InvalidArgument", "Timeout"):
        assert getattr(tf2_ros, f"{name}Exception").__bases__ == (TransformException,)
    assert TransformException.__bases__ == (Exception,)


def test_a_transform_takes_points_of_the_child_to_the_parent():
    buffer = static_buffer(transform("base", "lidar", (1, 2, 3), yaw(90)))
    forth = buffer.lookup_transform("base", "lidar", at(5))
    assert isinstance(forth, TransformStamped)
    assert (forth.header.frame_id, forth.child_frame_id) == ("base", "lidar")
    assert (forth.header.stamp.sec, forth.header.stamp.nanosec) == (5, 0)
    assert (matrix(forth) @ [1, 0, 0, 1]).tolist() == pytest.approx([1, 3, 3, 1])
    back = buffer.lookup_transform("lidar", "base", at(5))
    assert (matrix(back) @ [1, 3, 3, 1]).tolist() == pytest.approx([1, 0, 0, 1])


def test_siblings_meet_in_their_common_parent():
    buffer = static_buffer(
        transform("map", "base", (100, 0, 0), yaw(30)),
        transform("base", "lidar", (0, 0, 2)),
        transform("base", "camera_link", (1, 0, 1)),
        # REP 103: x right, y down, z forward.
        transform("camera_link", "camera_optical", q=(-0.5, 0.5, -0.5, 0.5)),
    )
    got = buffer.lookup_transform("camera_optical", "lidar", LATEST)
    # 4 m ahead of the LiDAR: 3 m ahead of the camera and 1 m above it.
    assert (matrix(got) @ [4, 0, 0, 1]).tolist() == pytest.approx([0, -1, 3, 1])
    assert got.header.stamp.sec == got.header.stamp.nanosec == 0


number = st.floats(-10, 10).map(lambda v: round(v, 3))
quaternion = (
    st.tuples(number, number, number, number)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: tuple(np.array(q) / np.linalg.norm(q)))
)


@settings(max_examples=100)
@given(
    parents=st.lists(st.integers(0, 100), min_size=1, max_size=7),
    data=st.data(),
    moving=st.booleans(),
)
def test_any_two_frames_of_a_tree_compose(parents, data, moving):
    to_root = [np.eye(4)]
    buffer = Buffer()
    for index, draw in enumerate(parents):
        parent = draw % (index + 1)
        xyz = data.draw(st.tuples(number, number, number))
        link = transform(f"f{parent}", f"f{index + 1}", xyz, data.draw(quaternion), 3)
        (buffer.set_transform if moving else buffer.set_transform_static)(link, "test")
        to_root.append(to_root[parent] @ matrix(link))
    frame = st.integers(0, len(parents))
    target, source = data.draw(frame), data.draw(frame)
    assert buffer.can_transform(f"f{target}", f"f{source}", at(3))
    got = buffer.lookup_transform(f"f{target}", f"f{source}", at(3))
    expected = np.linalg.inv(to_root[target]) @ to_root[source]
    np.testing.assert_allclose(matrix(got), expected, atol=1e-9)
    assert np.linalg.norm(values(got)[1]) == pytest.approx(1)


@settings(max_examples=100)
@given(q=quaternion)
def test_the_quaternion_has_the_sign_that_a_matrix_gives(q):
    got = values(static_buffer(transform("a", "b", q=q)).lookup_transform("a", "b", LATEST))[1]
    assert abs(np.dot(got, q)) == pytest.approx(1)
    leading = 3 if 4 * got[3] ** 2 > 1 else int(np.argmax(np.abs(got[:3])))
    assert got[leading] > 0


def test_a_frame_to_itself_is_the_identity_even_if_unknown():
    got = Buffer().lookup_transform("nowhere", "nowhere", at(7))
    assert values(got) == ((0, 0, 0), (0, 0, 0, 1))
    assert got.header.stamp.sec == 7
    assert Buffer().can_transform("nowhere", "nowhere", at(7))


def test_static_transforms_are_valid_at_any_time_and_replaced():
    buffer = static_buffer(transform("a", "b", (1, 0, 0), seconds=50))
    for seconds in (0, 1, 50, 1e6):
        assert values(buffer.lookup_transform("a", "b", at(seconds)))[0] == (1, 0, 0)
    buffer.set_transform_static(transform("a", "b", (2, 0, 0)), "test")
    assert values(buffer.lookup_transform("a", "b", LATEST))[0] == (2, 0, 0)


@settings(max_examples=100)
@given(ratio=st.floats(0, 1), degrees=st.floats(-179, 179), flip=st.booleans())
def test_moving_transforms_are_interpolated(ratio, degrees, flip):
    end = tuple(-v for v in yaw(degrees)) if flip else yaw(degrees)
    buffer = moving_buffer(
        transform("a", "b", (0, 10, 0), yaw(0), 100),
        transform("a", "b", (4, 10, -4), end, 102),
    )
    nanoseconds = 100_000_000_000 + round(ratio * 2e9)
    got = buffer.lookup_transform("a", "b", Time(nanoseconds=nanoseconds))
    ratio = (nanoseconds - 100_000_000_000) / 2e9
    expected = transform("a", "b", (4 * ratio, 10, -4 * ratio), yaw(degrees * ratio))
    np.testing.assert_allclose(matrix(got), matrix(expected), atol=1e-9)
    assert Time.from_msg(got.header.stamp).nanoseconds == nanoseconds


def test_interpolation_is_between_the_neighbours_whatever_the_order_of_arrival():
    buffer = moving_buffer(
        *(transform("a", "b", (x, 0, 0), seconds=s) for s, x in ((3, 9), (1, 1), (2, 4)))
    )
    for seconds, x in ((1, 1), (1.5, 2.5), (2, 4), (2.5, 6.5), (3, 9)):
        assert values(buffer.lookup_transform("a", "b", at(seconds)))[0][0] == pytest.approx(x)
    assert values(buffer.lookup_transform("a", "b", LATEST))[0][0] == 9


def test_no_extrapolation():
    buffer = moving_buffer(*(transform("a", "b", seconds=s) for s in (10, 11)))
    for seconds, word in ((9.9, "past"), (11.1, "future")):
        with pytest.raises(ExtrapolationException, match=word):
            buffer.lookup_transform("a", "b", at(seconds))
        with pytest.raises(ExtrapolationException):
            buffer.lookup_transform("b", "a", at(seconds))
        possible, reason = buffer.can_transform("a", "b", at(seconds), return_debug_tuple=True)
        assert not possible
        assert word in reason
    single = moving_buffer(transform("a", "b", seconds=10))
    with pytest.raises(ExtrapolationException):
        single.lookup_transform("a", "b", at(10.001))


def test_no_extrapolation_above_a_common_parent():
    # map -> base has data at 1 s only; the sensors do not need it.
    buffer = static_buffer(transform("base", "lidar", (0, 0, 1)), transform("base", "camera"))
    buffer.set_transform(transform("map", "base", seconds=1), "test")
    got = buffer.lookup_transform("camera", "lidar", at(99))
    assert values(got)[0] == (0, 0, 1)
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("map", "lidar", at(99))


def test_latest_is_the_newest_common_time():
    buffer = moving_buffer(
        *(transform("map", "base", (s, 0, 0), seconds=s) for s in (1, 2, 3)),
        *(transform("base", "arm", (0, s, 0), seconds=s) for s in (1, 2)),
    )
    buffer.set_transform_static(transform("arm", "camera"), "test")
    for pair, sign in ((("map", "camera"), 1), (("camera", "map"), -1)):
        got = buffer.lookup_transform(*pair, LATEST)
        assert got.header.stamp.sec == 2
        assert values(got)[0] == (sign * 2, sign * 2, 0)
    assert buffer.lookup_transform("base", "base", LATEST).header.stamp.sec == 3


def test_only_the_cache_time_is_kept():
    buffer = Buffer(cache_time=Duration(seconds=5))
    for seconds in (1, 4, 8, 9):
        buffer.set_transform(transform("a", "b", seconds=seconds), "test")
    assert buffer.can_transform("a", "b", at(4))
    assert not buffer.can_transform("a", "b", at(3))
    buffer.set_transform(transform("a", "b", seconds=2), "test")  # older than 9 - 5
    assert not buffer.can_transform("a", "b", at(3))


def test_unknown_unconnected_and_invalid_frames():
    buffer = static_buffer(transform("a", "b"), transform("x", "y"))
    with pytest.raises(LookupException, match="'lidar' does not exist"):
        buffer.lookup_transform("a", "lidar", LATEST)
    with pytest.raises(LookupException):
        buffer.lookup_transform("lidar", "a", LATEST)
    for when in (LATEST, at(4)):
        with pytest.raises(ConnectivityException):
            buffer.lookup_transform("b", "y", when)
    for frame in ("", "/b"):
        with pytest.raises(InvalidArgumentException):
            buffer.lookup_transform("a", frame, LATEST)
        assert not buffer.can_transform("a", frame, LATEST)
    assert buffer.can_transform("a", "b", LATEST, return_debug_tuple=True) == (True, "")


def test_a_loop_is_a_lookup_exception():
    buffer = static_buffer(transform("a", "b"), transform("b", "a"), transform("r", "s"))
    for when in (LATEST, at(1)):
        with pytest.raises(LookupException, match="loop"):
            buffer.lookup_transform("s", "a", when)


@pytest.mark.parametrize(
    "bad",
    [
        transform("a", "b", q=(0, 0, 0, 0)),
        transform("a", "b", q=(0, 0, 0, 1.1)),
        transform("a", "b", xyz=(math.nan, 0, 0)),
        transform("a", "a"),
        transform("", "b"),
        transform("a", ""),
    ],
)
def test_invalid_transforms_are_left_out(bad):
    for buffer in (static_buffer(bad), moving_buffer(bad)):
        assert not buffer.can_transform("a", "b", LATEST)


def test_leading_slashes_are_taken_off_when_set():
    assert static_buffer(transform("/a", "/b")).can_transform("a", "b", LATEST)


def test_clear_forgets_what_moves_and_keeps_what_is_static():
    buffer = static_buffer(transform("base", "lidar"))
    buffer.set_transform(transform("map", "base", seconds=1), "test")
    buffer.clear()
    assert buffer.can_transform("base", "lidar", LATEST)
    with pytest.raises(TransformException):
        buffer.lookup_transform("map", "base", at(1))
    with pytest.raises(ConnectivityException):
        buffer.lookup_transform("map", "base", LATEST)
    buffer.set_transform(transform("map", "base", seconds=0.5), "test")
    assert buffer.can_transform("map", "lidar", LATEST)


def test_a_frame_can_change_between_static_and_moving():
    buffer = static_buffer(transform("a", "b"))
    buffer.set_transform(transform("a", "b", (1, 0, 0), seconds=5), "test")
    assert not buffer.can_transform("a", "b", at(6))
    buffer.set_transform_static(transform("a", "b"), "test")
    assert buffer.can_transform("a", "b", at(6))


def test_times_may_be_messages():
    buffer = moving_buffer(transform("a", "b", seconds=5))
    assert buffer.lookup_transform("a", "b", at(5).to_msg()).header.stamp.sec == 5
    with pytest.raises(TypeError):
        buffer.lookup_transform("a", "b", 5.0)


def test_waiting_ends_when_the_transform_comes():
    buffer = Buffer()
    late = threading.Timer(0.15, lambda: buffer.set_transform_static(transform("a", "b"), "test"))
    late.start()
    start = time.monotonic()
    buffer.lookup_transform("a", "b", LATEST, Duration(seconds=10))
    assert 0.1 < time.monotonic() - start < 5
    late.join()


@pytest.mark.parametrize("seconds", [-5, -(2**31), 2**31 - 1])
def test_a_static_transform_holds_at_any_time_that_a_stamp_can_say(seconds):
    buffer = Buffer()
    buffer.set_transform_static(transform("a", "b"), "test")
    found = buffer.lookup_transform("a", "b", TimeMsg(sec=seconds, nanosec=7))
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (seconds, 7)


def test_waiting_ends_with_the_timeout():
    start = time.monotonic()
    with pytest.raises(LookupException):
        Buffer().lookup_transform("a", "b", LATEST, timeout=Duration(seconds=0.1))
    assert 0.1 <= time.monotonic() - start < 2
    assert not Buffer().can_transform("a", "b", LATEST)


def test_a_buffer_is_cleared_when_its_nodes_clock_jumps_back(node):
    clock = node.get_clock()
    assert isinstance(clock, ROSClock)
    clock._set_ros_time_is_active(True)
    clock.set_ros_time_override(at(100))
    buffer = Buffer(node=node)
    buffer.set_transform(transform("a", "b", seconds=100), "test")
    clock.set_ros_time_override(at(99.5))
    assert buffer.can_transform("a", "b", LATEST)
    clock.set_ros_time_override(at(10))
    assert not buffer.can_transform("a", "b", LATEST)


def test_broadcasters_reach_listeners_before_and_after(node, other_node):
    early, late, deaf = Buffer(), Buffer(), Buffer()
    TransformListener(early, node)  # the node keeps it at work
    broadcaster = StaticTransformBroadcaster(other_node)
    broadcaster.sendTransform(transform("base", "lidar", (1, 0, 0)))
    broadcaster.sendTransform([transform("base", "camera", (0, 1, 0)), transform("base", "imu")])
    TransformListener(late, node, spin_thread=False, qos=10, static_qos=10)
    for buffer in (early, late):
        eventually(lambda b=buffer: b.can_transform("base", "imu", LATEST), node)
        got = buffer.lookup_transform("camera", "lidar", at(3))
        assert values(got)[0] == (1, -1, 0)
    assert not deaf.can_transform("camera", "lidar", LATEST)


def eventually(condition, node, timeout_s=5.0):
    """Spin until it holds: here at once; on a real network a little later."""
    end = time.monotonic() + timeout_s
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while not condition() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.02)
    executor.shutdown()
    assert condition()


def test_a_broadcaster_sends_the_first_of_a_child_frame(node):
    buffer = Buffer()
    TransformListener(buffer, node)
    broadcaster = StaticTransformBroadcaster(node)
    broadcaster.sendTransform(transform("a", "b", (1, 0, 0)))
    broadcaster.sendTransform(transform("a", "b", (2, 0, 0)))
    eventually(lambda: buffer.can_transform("a", "b", LATEST), node)
    assert values(buffer.lookup_transform("a", "b", LATEST))[0] == (1, 0, 0)


def test_what_moves_reaches_who_is_there_and_is_interpolated(node, other_node):
    early, late = Buffer(), Buffer()
    TransformListener(early, node)
    broadcaster = TransformBroadcaster(other_node)
    broadcaster.sendTransform(transform("odom", "base", (1, 0, 0), seconds=1))
    broadcaster.sendTransform([transform("odom", "base", (3, 0, 0), seconds=2)])
    TransformListener(late, node)
    eventually(lambda: early.can_transform("odom", "base", at(1.5)), node)
    assert values(early.lookup_transform("odom", "base", at(1.5)))[0] == (2, 0, 0)
    assert not early.can_transform("odom", "base", at(2.5))
    assert not late.can_transform("odom", "base", LATEST)
    other_node.destroy_node()
    with pytest.raises(rclpy.exceptions.InvalidHandle):
        broadcaster.sendTransform(transform("odom", "base"))


def test_what_is_sent_does_not_change_afterwards(node):
    sent = transform("a", "b", (1, 0, 0))
    StaticTransformBroadcaster(node).sendTransform(sent)
    sent.transform.translation.x = 2.0
    buffer = Buffer()
    TransformListener(buffer, node)
    eventually(lambda: buffer.can_transform("a", "b", LATEST), node)
    assert values(buffer.lookup_transform("a", "b", LATEST))[0] == (1, 0, 0)


def test_an_unregistered_listener_gets_no_more(node):
    buffer = Buffer()
    listener = TransformListener(buffer, node)
    listener.unregister()
    StaticTransformBroadcaster(node).sendTransform(transform("a", "b"))
    assert not buffer.can_transform("a", "b", LATEST)


def test_a_destroyed_node_sends_and_hears_nothing(node, context):
    gone = Node("tf2_ros_test_gone", context=context)
    broadcaster, deaf = StaticTransformBroadcaster(gone), Buffer()
    broadcaster.sendTransform(transform("a", "b"))
    TransformListener(deaf, gone)
    gone.destroy_node()
    late = Buffer()
    TransformListener(late, node)
    assert not late.can_transform("a", "b", LATEST)
    with pytest.raises(rclpy.exceptions.InvalidHandle):
        broadcaster.sendTransform(transform("a", "b"))
    StaticTransformBroadcaster(node).sendTransform(transform("c", "d"))
    assert not deaf.can_transform("c", "d", LATEST)


def test_a_process_without_the_transform_is_told_what_this_package_cannot_do():
    with pytest.raises(LookupException, match="in this process"):
        Buffer().lookup_transform("base", "lidar", LATEST)
