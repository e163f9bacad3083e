"""Synchronizers by what they call back with, on real messages and a real subscription."""

import pytest
import rclpy
from hypothesis import given
from hypothesis import strategies as st
from message_filters import ApproximateTimeSynchronizer, SimpleFilter, Subscriber, TimeSynchronizer
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

MS = 1_000_000


def image(stamp_ms):
    message = Image()
    stamp = message.header.stamp
    stamp.sec, stamp.nanosec = divmod(stamp_ms * MS, 1000 * MS)
    return message


def stamp_ms(message):
    stamp = message.header.stamp
    return stamp.sec * 1000 + stamp.nanosec // MS


class Recorder:
    """Inputs, a synchronizer (approximate with a slop), and the stamps of every set it released."""

    def __init__(self, slop_ms=None, queue_size=10, inputs=2):
        self.inputs = [SimpleFilter() for _ in range(inputs)]
        if slop_ms is None:
            self.sync = TimeSynchronizer(self.inputs, queue_size)
        else:
            self.sync = ApproximateTimeSynchronizer(self.inputs, queue_size, slop_ms / 1000)
        self.sets = []
        self.sync.registerCallback(lambda *m: self.sets.append(tuple(map(stamp_ms, m))))

    def feed(self, index, *stamps):
        for stamp in stamps:
            self.inputs[index].signalMessage(image(stamp))
        return self.sets


def test_headers_are_needed():
    with pytest.raises(NotImplementedError):
        ApproximateTimeSynchronizer([SimpleFilter()], 1, 0.1, allow_headerless=True)


def test_callbacks_get_the_messages_themselves_then_their_own_arguments_in_order():
    source, calls, message = SimpleFilter(), [], image(1)
    assert source.registerCallback(lambda *a: calls.append(a), "x", 1) == 0
    assert source.registerCallback(lambda *a: calls.append(a)) == 1
    source.signalMessage(message, "n")
    assert calls == [(message, "n", "x", 1), (message, "n")] and calls[0][0] is message


def test_exact_stamps_match_whatever_the_order():
    r = Recorder(inputs=3)
    r.feed(0, 1, 2, 3)
    r.feed(1, 3, 2)
    assert r.feed(2, 4, 2, 1) == [(2, 2, 2)]
    r.feed(2, 3)
    assert r.feed(1, 1) == [(2, 2, 2), (3, 3, 3), (1, 1, 1)]


def test_a_full_queue_keeps_the_largest_stamps_so_a_jump_back_starves():
    r = Recorder(queue_size=2)
    r.feed(0, 1, 2, 3)
    assert r.feed(1, 1, 2, 3) == [(2, 2), (3, 3)]
    r = Recorder(50, queue_size=3)
    r.feed(0, 100_000, 100_100, 100_200)
    r.feed(1, 200_000, 200_100, 200_200)
    for stamp in (1000, 1100, 1200, 1300):  # the bag starts again
        r.feed(0, stamp)
        assert r.feed(1, stamp) == []


def test_approximate_takes_the_nearest_and_each_message_once():
    r = Recorder(50)
    r.feed(0, 1000, 1030, 1060)
    assert r.feed(1, 1035) == [(1030, 1035)]
    # The other two wait on: 1000 is still there for a late partner.
    assert r.feed(1, 990) == [(1030, 1035), (1000, 990)]


@pytest.mark.parametrize(
    ("slop_ms", "offset_ms", "matches"), [(50, 50, False), (50, 49, True), (0, 0, False)]
)
def test_a_difference_equal_to_the_slop_does_not_match(slop_ms, offset_ms, matches):
    r = Recorder(slop_ms)
    r.feed(0, 1000)
    assert bool(r.feed(1, 1000 + offset_ms)) is matches


def test_all_inputs_must_be_within_the_slop_of_each_other():
    r = Recorder(50, inputs=3)
    r.feed(0, 1000)
    r.feed(1, 1040)
    assert r.feed(2, 970) == []  # within 50 ms of the first, not of the second
    assert r.feed(2, 1020) == [(1000, 1040, 1020)]


def test_callbacks_run_inside_the_lock():
    r, held = Recorder(50), []
    r.sync.registerCallback(lambda *_: held.append(r.sync.lock.locked()))
    r.feed(0, 1000)
    r.feed(1, 1000)
    assert held == [True] and not r.sync.lock.locked()


@given(
    stamps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), min_size=1, max_size=40),
    slop=st.integers(1, 60),
    queue_size=st.integers(1, 6),
)
def test_every_set_is_close_and_no_message_is_used_twice(stamps, slop, queue_size):
    r, fed = Recorder(slop, queue_size, inputs=3), [0, 0, 0]
    for index, stamp in stamps:
        before = len(r.sets)
        r.feed(index, stamp)
        fed[index] += 1
        assert len(r.sets) - before in (0, 1)
        if len(r.sets) > before:
            assert r.sets[-1][index] == stamp
    assert all(max(s) - min(s) < slop for s in r.sets)
    assert len(r.sets) <= min(fed)


def test_a_subscriber_passes_a_topic_on():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("message_filters_test", context=context)
    executor, got = SingleThreadedExecutor(context=context), []
    executor.add_node(node)
    try:
        assert Subscriber(node, Image, "image").sub.qos_profile.depth == 10
        source = Subscriber(node, Image, "left/image", qos_profile=qos_profile_sensor_data)
        source.registerCallback(got.append)
        assert (source.topic, source.sub.topic_name) == ("left/image", "/left/image")
        publisher = node.create_publisher(Image, "left/image", qos_profile_sensor_data)
        for _ in range(500):  # discovery takes a moment
            publisher.publish(image(1234))
            executor.spin_once(timeout_sec=0.02)
            if got:
                break
        assert stamp_ms(got[0]) == 1234
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
