"""Synchronizers by what they call back with, on real messages and real subscriptions."""

import inspect
import itertools
import os
import time

import pytest
import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from message_filters import (
    ApproximateTimeSynchronizer,
    SimpleFilter,
    Subscriber,
    TimeSynchronizer,
)
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, Range
from std_msgs.msg import String

MS = 1_000_000


def image(stamp_ms):
    message = Image()
    message.header.stamp.sec, nanosec = divmod(stamp_ms * MS, 1000 * MS)
    message.header.stamp.nanosec = nanosec
    return message


def stamp_ms(message):
    stamp = message.header.stamp
    return stamp.sec * 1000 + stamp.nanosec // MS


class Recorder:
    """Two or more inputs, a synchronizer, and the stamps of every set that it released."""

    def __init__(self, build, inputs=2):
        self.inputs = [SimpleFilter() for _ in range(inputs)]
        self.sync = build(self.inputs)
        self.sets = []
        self.sync.registerCallback(lambda *m: self.sets.append(tuple(map(stamp_ms, m))))

    def feed(self, index, *stamps):
        for stamp in stamps:
            self.inputs[index].signalMessage(image(stamp))


def approximate(slop_ms=50, queue_size=10):
    return Recorder(lambda fs: ApproximateTimeSynchronizer(fs, queue_size, slop_ms / 1000))


@pytest.fixture
def context():
    context = Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    yield context
    context.try_shutdown()


@pytest.fixture
def node(context):
    node = Node("message_filters_test", context=context)
    yield node
    node.destroy_node()


def spin_until(node, done, publish, executor_type=SingleThreadedExecutor, timeout_s=10.0):
    """Publish and spin by turns: discovery takes a moment."""
    executor = executor_type(context=node.context)
    executor.add_node(node)
    end = time.monotonic() + timeout_s
    while not done() and time.monotonic() < end:
        publish()
        time.sleep(0.01)  # or the executor with many threads is flooded
        executor.spin_once(timeout_sec=0.02)
    executor.shutdown()
    assert done()


def test_signatures_are_those_of_jazzy():
    def parameters(function):
        found = list(inspect.signature(function).parameters.values())
        return [(p.name, p.kind.name, p.default) for p in found]

    empty, plain = inspect.Parameter.empty, "POSITIONAL_OR_KEYWORD"
    assert parameters(SimpleFilter) == []
    assert parameters(SimpleFilter().registerCallback) == [
        ("cb", plain, empty),
        ("args", "VAR_POSITIONAL", empty),
    ]
    assert parameters(Subscriber) == [
        ("args", "VAR_POSITIONAL", empty),
        ("kwargs", "VAR_KEYWORD", empty),
    ]
    exact = [("fs", plain, empty), ("queue_size", plain, empty)]
    assert parameters(TimeSynchronizer) == exact
    assert parameters(ApproximateTimeSynchronizer) == [
        *exact,
        ("slop", plain, empty),
        ("allow_headerless", plain, False),
    ]
    assert issubclass(ApproximateTimeSynchronizer, TimeSynchronizer)
    assert issubclass(TimeSynchronizer, SimpleFilter)


def test_callbacks_get_messages_then_their_own_arguments_in_order():
    source, calls = SimpleFilter(), []
    assert source.registerCallback(lambda *a: calls.append(a), "x", 1) == 0
    assert source.registerCallback(lambda *a: calls.append(a)) == 1
    source.signalMessage("m", "n")
    assert calls == [("m", "n", "x", 1), ("m", "n")]


def test_exact_stamps_match_whatever_the_order():
    r = Recorder(lambda fs: TimeSynchronizer(fs, 10), inputs=3)
    r.feed(0, 1, 2, 3)
    r.feed(1, 3, 2)
    r.feed(2, 4, 2, 1)
    assert r.sets == [(2, 2, 2)]
    r.feed(2, 3)
    r.feed(1, 1)
    assert r.sets == [(2, 2, 2), (3, 3, 3), (1, 1, 1)]


def test_exact_queue_keeps_the_largest_stamps():
    r = Recorder(lambda fs: TimeSynchronizer(fs, 2))
    r.feed(0, 1, 2, 3)
    r.feed(1, 1, 2, 3)
    assert r.sets == [(2, 2), (3, 3)]


def test_approximate_takes_the_nearest_in_time():
    r = approximate()
    r.feed(0, 1000, 1030, 1060)
    r.feed(1, 1035)
    assert r.sets == [(1030, 1035)]
    # The other two wait on: 1000 is still there for a late partner.
    r.feed(1, 990)
    assert r.sets == [(1030, 1035), (1000, 990)]


def test_a_difference_equal_to_the_slop_does_not_match():
    r = approximate(slop_ms=50)
    r.feed(0, 1000)
    r.feed(1, 1050)
    assert r.sets == []
    r.feed(1, 1049)
    assert r.sets == [(1000, 1049)]


def test_slop_zero_never_matches():
    r = approximate(slop_ms=0)
    r.feed(0, 1000)
    r.feed(1, 1000)
    assert r.sets == []


def test_all_inputs_must_be_within_the_slop_of_each_other():
    r = Recorder(lambda fs: ApproximateTimeSynchronizer(fs, 10, 0.05), inputs=3)
    r.feed(0, 1000)
    r.feed(1, 1040)
    r.feed(2, 970)  # within 50 ms of the first, not of the second
    assert r.sets == []
    r.feed(2, 1020)
    assert r.sets == [(1000, 1040, 1020)]


def test_a_message_is_used_once():
    r = approximate()
    r.feed(0, 1000)
    r.feed(1, 1001, 1002)
    assert r.sets == [(1000, 1001)]


def test_full_queue_keeps_the_largest_stamps_so_a_jump_back_starves():
    r = approximate(queue_size=3)
    r.feed(0, 100_000, 100_100, 100_200)
    r.feed(1, 200_000, 200_100, 200_200)
    for stamp in (1000, 1100, 1200, 1300):  # the bag starts again
        r.feed(0, stamp)
        r.feed(1, stamp)
    assert r.sets == []
    fresh = approximate(queue_size=3)
    fresh.feed(0, 1000)
    fresh.feed(1, 1000)
    assert fresh.sets == [(1000, 1000)]


def test_callbacks_run_inside_the_lock():
    r = approximate()
    held = []
    r.sync.registerCallback(lambda *_: held.append(r.sync.lock.locked()))
    r.feed(0, 1000)
    r.feed(1, 1000)
    assert held == [True]
    assert not r.sync.lock.locked()


def test_messages_are_the_same_objects_in_the_order_of_the_inputs():
    first, second, got = SimpleFilter(), SimpleFilter(), []
    sync = ApproximateTimeSynchronizer([first, second], 5, 0.1)
    sync.registerCallback(lambda *a: got.append(a), "extra")
    a, b = image(1000), Range()
    b.header.stamp.sec = 1
    second.signalMessage(b)
    first.signalMessage(a)
    assert got[0][0] is a
    assert got[0][1] is b
    assert got[0][2] == "extra"


def test_messages_without_header():
    for allow, expected in ((False, 0), (True, 1)):
        inputs, got = [SimpleFilter(), SimpleFilter()], []
        sync = ApproximateTimeSynchronizer(inputs, 5, 10.0, allow_headerless=allow)
        sync.registerCallback(lambda *a, got=got: got.append(a))
        for one in inputs:
            one.signalMessage(String(data="hello"))
        assert len(got) == expected


@settings(max_examples=100)
@given(
    stamps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), min_size=1, max_size=40),
    slop=st.integers(1, 60),
    queue_size=st.integers(1, 6),
)
def test_every_set_is_close_and_no_message_is_used_twice(stamps, slop, queue_size):
    r = Recorder(lambda fs: ApproximateTimeSynchronizer(fs, queue_size, slop / 1000), inputs=3)
    fed = [0, 0, 0]
    for index, stamp in stamps:
        before = len(r.sets)
        r.feed(index, stamp)
        fed[index] += 1
        assert len(r.sets) - before in (0, 1)
        if len(r.sets) > before:
            assert r.sets[-1][index] == stamp
        assert all(len(queue) <= queue_size for queue in r.sync.queues)
    assert all(max(s) - min(s) < slop for s in r.sets)
    assert len(r.sets) <= min(fed)


def test_subscriber_passes_a_topic_on(node):
    source, got = Subscriber(node, Image, "left/image", qos_profile=qos_profile_sensor_data), []
    source.registerCallback(got.append)
    assert source.topic == source.getTopic() == "left/image"
    assert source.sub.topic_name == "/left/image"
    assert source.sub.qos_profile.reliability == qos_profile_sensor_data.reliability
    publisher = node.create_publisher(Image, "left/image", qos_profile_sensor_data)
    spin_until(node, lambda: got, lambda: publisher.publish(image(1234)))
    assert stamp_ms(got[0]) == 1234


def test_default_qos_is_depth_10(node):
    source = Subscriber(node, Image, "image")
    assert source.sub.qos_profile.depth == 10


@pytest.mark.parametrize("executor_type", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_two_topics_are_paired_by_a_real_executor(node, executor_type):
    inputs = [Subscriber(node, Image, "a"), Subscriber(node, Range, "b", qos_profile=5)]
    sync, got = ApproximateTimeSynchronizer(inputs, 10, 0.02), []

    sync.registerCallback(lambda left, right: got.append((stamp_ms(left), stamp_ms(right))))
    publishers = [node.create_publisher(Image, "a", 10), node.create_publisher(Range, "b", 10)]
    sent = itertools.count(1000, 100)

    def publish():
        stamp = next(sent)
        publishers[0].publish(image(stamp))
        late = Range()
        late.header.stamp = image(stamp + 7).header.stamp
        publishers[1].publish(late)

    spin_until(node, lambda: len(got) >= 5, publish, executor_type)
    assert all(right - left == 7 for left, right in got)
    assert len(set(got)) == len(got)
