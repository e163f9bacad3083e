"""When a simulated drive shows a picture or a sweep, in closed form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.nodes.sim_drive import Schedule

RATES = st.floats(0.5, 40.0)


@pytest.mark.parametrize(
    ("lidar_rate_hz", "per_picture", "per_sweep", "became"),
    [(5.0, 1, 1, 5.0), (10.0, 2, 1, 10.0), (11.0, 2, 1, 10.0), (2.0, 1, 2, 2.5), (1.0, 1, 5, 1.0)],
)
def test_the_lidar_gets_the_nearest_rate_that_meets_the_pictures(
    lidar_rate_hz, per_picture, per_sweep, became
):
    schedule = Schedule.of(4, 5.0, lidar_rate_hz)
    assert (schedule.per_picture, schedule.per_sweep) == (per_picture, per_sweep)
    assert schedule.lidar_rate_hz == pytest.approx(became)
    assert schedule.tick_hz == 5.0 * per_picture


def test_there_and_back():
    schedule = Schedule.of(3, 5.0, 10.0)
    assert schedule.ticks == 5
    assert [schedule.tick(step) for step in range(10)] == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]


@given(st.integers(2, 30), RATES, RATES, st.integers(0, 200))
def test_a_picture_comes_every_so_many_steps_whichever_way_it_drives(frames, rate, lidar, step):
    schedule = Schedule.of(frames, rate, lidar)
    tick = schedule.tick(step)
    assert 0 <= tick < schedule.ticks
    assert abs(schedule.tick(step + 1) - tick) == 1
    assert (step % schedule.per_picture == 0) == (tick % schedule.per_picture == 0)
