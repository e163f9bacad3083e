from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.nodes.stamp_buffer import StampBuffer


def filled(*stamps, span=1000):
    buffer = StampBuffer(span)
    for stamp in stamps:
        buffer.put(stamp, str(stamp))
    return buffer


def test_the_nearest_is_answered_with_its_offset():
    buffer = filled(100, 200, 300)
    assert buffer.nearest(100) == (0, "100")
    assert buffer.nearest(140) == (-40, "100")
    assert buffer.nearest(160) == (40, "200")
    assert buffer.nearest(-7) == (107, "100")
    assert buffer.nearest(999) == (-699, "300")
    assert StampBuffer(10).nearest(5) is None


@given(
    stamps=st.lists(st.integers(-1000, 1000), min_size=1, max_size=30),
    asked=st.integers(-2000, 2000),
)
def test_no_kept_stamp_is_nearer_than_the_answer(stamps, asked):
    offset, item = filled(*stamps, span=10_000).nearest(asked)
    assert abs(offset) == min(abs(s - asked) for s in stamps)
    assert int(item) == asked + offset


def test_what_is_older_than_the_span_is_forgotten_and_late_ones_take_their_place():
    buffer = filled(0, 500, 1000, 700)
    assert len(buffer) == 4
    buffer.put(1600, "1600")
    assert len(buffer) == 3
    assert buffer.nearest(0) == (700, "700")
    buffer.put(100, "too late")
    assert buffer.nearest(0) == (700, "700")


def test_only_what_is_older_than_all_that_could_be_kept_is_a_jump():
    buffer = filled(5000, 5500)
    assert not buffer.is_jump(4500) and not buffer.is_jump(9999)
    assert buffer.is_jump(4499)
    assert not StampBuffer(10).is_jump(-5)


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
