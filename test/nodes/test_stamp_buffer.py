from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.nodes.stamp_buffer import StampBuffer

PLENTY = 1 << 30


def filled(*stamps, span=1000):
    """A buffer of items named by their stamps, that all came at once."""
    buffer = StampBuffer(span, PLENTY)
    for stamp in stamps:
        buffer.put(stamp, str(stamp), 0, 1)
    return buffer


def test_the_nearest_is_answered_with_its_offset():
    buffer = filled(100, 200, 300)
    assert buffer.nearest(100) == (0, "100")
    assert buffer.nearest(140) == (-40, "100")
    assert buffer.nearest(160) == (40, "200")
    assert buffer.nearest(-7) == (107, "100")
    assert buffer.nearest(999) == (-699, "300")
    assert StampBuffer(10, PLENTY).nearest(5) is None


@given(
    stamps=st.lists(st.integers(-1000, 1000), min_size=1, max_size=30),
    asked=st.integers(-2000, 2000),
)
def test_no_kept_stamp_is_nearer_than_the_answer(stamps, asked):
    buffer = filled(*stamps, span=10_000)
    assert len(buffer) == len(set(stamps))
    offset, item = buffer.nearest(asked)
    assert abs(offset) == min(abs(s - asked) for s in stamps)
    assert int(item) == asked + offset


def test_what_is_older_than_the_span_is_forgotten_and_late_ones_take_their_place():
    buffer = filled(0, 500, 1000, 700)
    assert len(buffer) == 4
    buffer.put(1600, "1600", 0, 1)
    assert len(buffer) == 3
    assert buffer.nearest(0) == (700, "700")
    buffer.put(100, "too late", 0, 1)
    assert buffer.nearest(0) == (700, "700")


def test_only_what_is_older_than_all_that_could_be_kept_is_a_jump():
    buffer = filled(5000, 5500)
    assert not buffer.is_jump(4500) and not buffer.is_jump(9999)
    assert buffer.is_jump(4499)
    assert not StampBuffer(10, PLENTY).is_jump(-5)


def test_one_is_due_where_the_pace_of_the_last_two_brings_one_near():
    buffer = filled(0, 100)
    assert buffer.is_due(200, 10) and buffer.is_due(190, 10) and buffer.is_due(510, 10)
    assert not buffer.is_due(150, 10)
    # What has come is not due, near or not.
    assert not buffer.is_due(100, 10)
    # Nobody knows the pace.
    assert not filled(0).is_due(100, 10) and not filled(5, 5).is_due(5, 10)


def test_a_fast_sensor_does_not_pile_up():
    buffer = filled(*range(3000), span=10_000)
    assert len(buffer) < 2000
    assert buffer.nearest(2999) == (0, "2999")


def test_of_equal_stamps_the_newest_item_is_kept():
    buffer = StampBuffer(1000, PLENTY)
    for i in range(5):
        buffer.put(7, i, i, 1)
        buffer.put(3, -i, i, 1)
    assert len(buffer) == 2
    assert buffer.nearest(7) == (0, 4) and buffer.nearest(0) == (3, -4)


def test_stamps_that_hardly_move_keep_no_more_than_came_within_the_span():
    buffer = StampBuffer(1000, PLENTY)
    for i in range(100):
        buffer.put(i, i, 300 * i, 1)
    assert len(buffer) == 4  # of 0, 300, 600 and 900 ns ago
    assert buffer.nearest(0) == (96, 96)


def test_no_more_bytes_are_kept_than_allowed_but_what_came_last():
    buffer = StampBuffer(1000, 100)
    for i in range(10):
        buffer.put(i, i, i, 30)
    assert len(buffer) == 3 and buffer.nearest(0) == (7, 7) and buffer.is_cut
    # One that came late by its stamp came last.
    buffer.put(2, 2, 10, 30)
    assert len(buffer) == 3 and buffer.nearest(0) == (2, 2)
    buffer.put(11, "large", 11, 1000)
    assert len(buffer) == 1 and buffer.nearest(0) == (11, "large")
    buffer.clear()
    assert len(buffer) == 0 and not buffer.is_cut
    buffer.put(0, "small", 0, 100)
    assert not buffer.is_cut


@given(
    st.lists(
        st.tuples(st.integers(-5000, 5000), st.integers(0, 400), st.integers(0, 60)), max_size=40
    )
)
def test_the_bounds_hold_whatever_comes(steps):
    buffer, now, came = StampBuffer(1000, 200), 0, []
    for stamp, later, size in steps:
        now += later
        buffer.put(stamp, (stamp, now, size), now, size)
        came.append((stamp, now, size))
        kept = {item for s, _, _ in came for item in [buffer.nearest(s)[1]]}
        assert sum(size for _, _, size in kept) <= 200
        assert all(now - arrived <= 1000 for _, arrived, _ in kept)
        stamps = [stamp for stamp, _, _ in kept]
        assert max(stamps) - min(stamps) <= 1000
        assert len(buffer) == len(kept) >= 1
