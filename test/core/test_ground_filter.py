"""The ground over time."""

import numpy as np
import pytest

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.ground import Ground
from depth_anything_ros.core.ground_filter import GroundFilterOptions, GroundState, follow

UP = np.array([0.0, -np.cos(0.2), -np.sin(0.2)])
SECOND = 1_000_000_000
OPTIONS = GroundFilterOptions()


def ground(height=1.0, lean=0.0, confidence=1.0):
    """A plane that leans to the side by an angle."""
    normal = UP + np.tan(lean) * np.array([1.0, 0, 0])
    return Ground("", normal / np.linalg.norm(normal), height, confidence)


def run(planes, period_s=0.1, options=OPTIONS):
    state = GroundState()
    for i, plane in enumerate(planes):
        state = follow(state, plane, UP, round(i * period_s * SECOND), options)
    return state


def test_the_first_plane_is_taken_as_it_is():
    normal, height = run([ground(1.3, 0.02)]).plane(UP)
    np.testing.assert_allclose(normal, ground(lean=0.02).normal, atol=1e-12)
    assert height == pytest.approx(1.3)


@pytest.mark.parametrize(("drift", "share"), [(0.05, 0.75), (0.2, 1.0)])
def test_noise_is_averaged_and_a_slow_change_followed(drift, share):
    """Little by default: a picture's own metres are those that its plane is of."""
    true = np.linspace(1.0, 1.2, 200)
    noise = 0.02 * np.random.default_rng(0).standard_normal(200)
    options, state, errors = GroundFilterOptions(height_drift=drift), GroundState(), []
    for i, height in enumerate(true * np.exp(noise)):
        state = follow(state, ground(height), UP, i * SECOND // 10, options)
        errors.append(state.plane(UP)[1] / true[i] - 1)
    assert np.std(errors[20:]) < share * np.std(noise[20:])
    assert abs(np.mean(errors[20:])) < 0.01


def test_a_sure_plane_counts_more_than_a_doubtful_one():
    sure = run([ground(1.0), ground(1.05)]).plane(UP)[1]
    doubtful = run([ground(1.0), ground(1.05, confidence=0.3)]).plane(UP)[1]
    assert 1.0 < doubtful < sure < 1.05


def test_one_odd_plane_is_not_believed_and_three_in_a_row_are():
    odd = ground(2.0)
    assert run([ground()] * 5 + [odd, odd]).plane(UP)[1] == pytest.approx(1.0)
    state = run([ground()] * 5 + [odd] * 3)
    assert state.plane(UP)[1] == pytest.approx(2.0) and state.rejected == 0


def test_without_a_plane_the_last_one_is_held_for_its_age():
    nothing = Ground("no_plane")
    assert not run([nothing]).ok
    held = run([ground(1.1)] + [nothing] * 9)
    assert held.ok and held.plane(UP)[1] == pytest.approx(1.1)
    assert not run([ground(1.1)] + [nothing] * 12).ok
    assert run([ground(1.1)] + [nothing] * 12 + [ground(1.4)]).plane(UP)[1] == pytest.approx(1.4)


@pytest.mark.parametrize("up", [(0, 0, -1.0), (0, 0, 1.0), (1.0, 0, 0)])
def test_cameras_that_look_straight_down_or_lie_on_their_side(up):
    up = np.array(up)
    state = follow(GroundState(), Ground("", up, 0.7, 1.0), up, 0, OPTIONS)
    normal, height = state.plane(up)
    np.testing.assert_allclose(normal, up, atol=1e-12)
    assert height == pytest.approx(0.7)


def test_options_outside_of_their_range_are_refused():
    with pytest.raises(ParameterError, match="restart_after"):
        GroundFilterOptions(restart_after=0)
