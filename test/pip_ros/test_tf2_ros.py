"""Transforms by content: expected values come from 4×4 matrices and closed forms."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from hypothesis import given
from hypothesis import strategies as st
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    LookupException,
    StaticTransformBroadcaster,
    TransformBroadcaster,
    TransformException,
    TransformListener,
)

LATEST = Time()
NODE = SimpleNamespace()  # no topic, so nothing is asked of it


def at(seconds):
    return Time(nanoseconds=round(seconds * 1e9))


def yaw(degrees):
    half = math.radians(degrees) / 2
    return (0.0, 0.0, math.sin(half), math.cos(half))


def transform(parent, child, xyz=(0.0, 0.0, 0.0), q=(0.0, 0.0, 0.0, 1.0), seconds=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, at(seconds).to_msg()
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = map(float, xyz)
    rotation.x, rotation.y, rotation.z, rotation.w = map(float, q)
    return message


def matrix(message):
    t, q = message.transform.translation, message.transform.rotation
    i, j, k, r = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j - k * r), 2 * (i * k + j * r), t.x],
            [2 * (i * j + k * r), 1 - 2 * (i * i + k * k), 2 * (j * k - i * r), t.y],
            [2 * (i * k - j * r), 2 * (j * k + i * r), 1 - 2 * (i * i + j * j), t.z],
            [0, 0, 0, 1],
        ]
    )


def filled(*transforms, static=False):
    buffer = Buffer()
    for one in transforms:
        (buffer.set_transform_static if static else buffer.set_transform)(one, "test")
    return buffer


def x_of(buffer, target, source, time):
    return buffer.lookup_transform(target, source, time).transform.translation.x


def test_a_transform_takes_points_of_the_child_to_the_parent():
    buffer = filled(transform("base", "lidar", (1, 2, 3), yaw(90)), static=True)
    forth = buffer.lookup_transform("base", "lidar", TimeMsg(sec=5))
    assert (forth.header.frame_id, forth.child_frame_id) == ("base", "lidar")
    assert (forth.header.stamp.sec, forth.header.stamp.nanosec) == (5, 0)
    assert (matrix(forth) @ [1, 0, 0, 1]).tolist() == pytest.approx([1, 3, 3, 1])
    back = buffer.lookup_transform("lidar", "base", at(5))
    assert (matrix(back) @ [1, 3, 3, 1]).tolist() == pytest.approx([1, 0, 0, 1])


number = st.floats(-10, 10).map(lambda v: round(v, 3))
quaternion = (
    st.tuples(number, number, number, number)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: tuple(np.array(q) / np.linalg.norm(q)))
)


@given(
    parents=st.lists(st.integers(0, 100), min_size=1, max_size=7),
    data=st.data(),
    static=st.booleans(),
)
def test_any_two_frames_of_a_tree_compose(parents, data, static):
    to_root, links = [np.eye(4)], []
    for index, draw in enumerate(parents):
        parent = draw % (index + 1)
        xyz = data.draw(st.tuples(number, number, number))
        links.append(
            transform(f"f{parent}", f"/f{index + 1}", xyz, data.draw(quaternion), seconds=3)
        )
        to_root.append(to_root[parent] @ matrix(links[-1]))
    buffer, frame = filled(*links, static=static), st.integers(0, len(parents))
    target, source = data.draw(frame), data.draw(frame)
    got = buffer.lookup_transform(f"f{target}", f"f{source}", at(3))
    expected = np.linalg.inv(to_root[target]) @ to_root[source]
    np.testing.assert_allclose(matrix(got), expected, atol=1e-7)


def test_a_frame_to_itself_is_the_identity_even_if_unknown():
    got = Buffer().lookup_transform("nowhere", "nowhere", at(7))
    np.testing.assert_array_equal(matrix(got), np.eye(4))
    assert got.header.stamp.sec == 7


@pytest.mark.parametrize("seconds", [-(2**31), -5, 0, 1, 2**31 - 1])
def test_static_transforms_hold_at_any_time_and_are_replaced(seconds):
    buffer = filled(
        transform("a", "b", (1, 0, 0)), transform("a", "b", (2, 0, 0), seconds=9), static=True
    )
    found = buffer.lookup_transform("a", "b", TimeMsg(sec=seconds, nanosec=7 * bool(seconds)))
    assert found.transform.translation.x == 2 and found.header.stamp.sec == seconds


@given(ratio=st.floats(0, 1), degrees=st.floats(-179, 179), flip=st.booleans())
def test_moving_transforms_are_interpolated(ratio, degrees, flip):
    end = tuple(-v for v in yaw(degrees)) if flip else yaw(degrees)
    buffer = filled(
        transform("a", "b", (4, 10, -4), end, 102), transform("a", "b", (0, 10, 0), yaw(0), 100)
    )
    nanoseconds = 100_000_000_000 + round(ratio * 2e9)
    got = buffer.lookup_transform("a", "b", Time(nanoseconds=nanoseconds))
    ratio = (nanoseconds - 100_000_000_000) / 2e9
    expected = transform("a", "b", (4 * ratio, 10, -4 * ratio), yaw(degrees * ratio))
    np.testing.assert_allclose(matrix(got), matrix(expected), atol=1e-7)
    assert Time.from_msg(got.header.stamp).nanoseconds == nanoseconds


def test_no_extrapolation_but_above_a_common_parent():
    # map -> base has data around 10 s only; the sensors do not need it.
    buffer = filled(transform("base", "lidar", (1, 0, 0)), transform("base", "camera"), static=True)
    for seconds in (10, 11):
        buffer.set_transform(transform("map", "base", seconds=seconds), "test")
    for seconds, word in ((9.9, "past"), (11.1, "future")):
        for pair in (("map", "lidar"), ("lidar", "map")):
            with pytest.raises(ExtrapolationException, match=word):
                buffer.lookup_transform(*pair, at(seconds))
        assert x_of(buffer, "camera", "lidar", at(seconds)) == 1


def test_latest_is_the_newest_common_time():
    buffer = filled(transform("arm", "camera"), static=True)
    for seconds in (1, 2, 3):
        buffer.set_transform(transform("map", "base", (seconds, 0, 0), seconds=seconds), "test")
    for seconds in (1, 2):
        buffer.set_transform(transform("base", "arm", (0, seconds, 0), seconds=seconds), "test")
    for pair, sign in ((("map", "camera"), 1), (("camera", "map"), -1)):
        got = buffer.lookup_transform(*pair, LATEST)
        assert got.header.stamp.sec == 2 and got.transform.translation.x == sign * 2


def test_only_the_cache_time_is_kept():
    buffer = Buffer(cache_time=Duration(seconds=5))
    for seconds in (1, 4, 8, 9, 2):  # the last is older than 9 - 5
        buffer.set_transform(transform("a", "b", seconds=seconds), "test")
    buffer.lookup_transform("a", "b", at(4))
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("a", "b", at(3))


def test_unknown_and_unconnected_frames_and_loops():
    links = [("a", "b"), ("x", "y"), ("c", "d"), ("d", "c"), ("r", "s")]
    buffer = filled(*(transform(*link) for link in links), static=True)
    for when in (LATEST, at(4)):
        for pair in (("a", "lidar"), ("lidar", "a"), ("a", "")):
            with pytest.raises(LookupException, match=r"does not exist.* in this process"):
                buffer.lookup_transform(*pair, when)
        with pytest.raises(ConnectivityException):
            buffer.lookup_transform("b", "y", when)
        with pytest.raises(LookupException, match="loop"):
            buffer.lookup_transform("s", "c", when)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize(
    "bad",
    [
        transform("a", "b", q=(0, 0, 0, 0)),
        transform("a", "b", q=(0, 0, 0, 1.1)),
        transform("a", "b", q=(0, 0, 0, math.nan)),
        transform("a", "b", xyz=(math.nan, 0, 0)),
        transform("a", "a"),
        transform("", "b"),
    ],
)
def test_invalid_transforms_are_left_out(bad, static):
    with pytest.raises(LookupException):
        filled(bad, static=static).lookup_transform("a", "b", LATEST)


def test_clear_forgets_what_moves_and_a_frame_may_come_back_as_either():
    buffer = filled(transform("base", "lidar"), static=True)
    buffer.set_transform(transform("map", "base", seconds=1), "test")
    buffer.clear()
    with pytest.raises(TransformException):
        buffer.lookup_transform("map", "lidar", at(1))
    buffer.set_transform(transform("map", "base", seconds=0.5), "test")
    buffer.lookup_transform("map", "lidar", LATEST)
    buffer.set_transform(transform("base", "lidar", seconds=5), "test")
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("base", "lidar", at(6))


def test_what_is_not_here_says_so():
    with pytest.raises(NotImplementedError):
        Buffer(node=NODE)
    with pytest.raises(NotImplementedError):
        Buffer().lookup_transform("a", "a", LATEST, Duration(seconds=1))


def test_broadcasters_reach_the_listeners_of_the_process():
    early, late, gone = Buffer(), Buffer(), Buffer()
    listeners = [TransformListener(early, NODE), TransformListener(gone, NODE)]
    listeners.pop().unregister()
    static, moving = StaticTransformBroadcaster(NODE), TransformBroadcaster(NODE)
    sent = transform("base", "lidar", (1, 0, 0))
    static.sendTransform(sent)
    sent.transform.translation.x = 9.0  # does not change what was sent
    static.sendTransform([transform("base", "camera", (0, 1, 0)), transform("base", "imu")])
    moving.sendTransform(transform("odom", "base", (1, 0, 0), seconds=1))
    moving.sendTransform([transform("odom", "base", (3, 0, 0), seconds=2)])
    listeners.append(TransformListener(late, NODE, spin_thread=False, qos=10, static_qos=10))
    assert x_of(early, "camera", "lidar", at(3)) == x_of(late, "camera", "lidar", at(3)) == 1
    assert x_of(early, "odom", "base", at(1.5)) == 2
    for deaf in (late, gone):
        with pytest.raises(LookupException):
            deaf.lookup_transform("odom", "base", LATEST)
