import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.monotone import KNOTS, along, monotone_spline
from depth_anything_ros.core.robust import least_squares, ransac


def bent(seed, count=400, wrong=0.0, power=1.5, sigma=0.01):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 3, count)
    y = 0.3 * x**power + sigma * rng.standard_normal(count)
    y[: round(wrong * count)] = rng.uniform(0, 4, round(wrong * count))
    return x, y


@pytest.mark.parametrize("wrong", [0, 0.3, 0.45])
def test_a_bent_relation_is_followed(wrong):
    x, y = bent(0, wrong=wrong)
    line = ransac(x, y)
    curve = monotone_spline(x, y, line)
    at = np.linspace(0.25, 2.9, 50)
    error = np.abs(along(at, curve.knots, curve.line.scale) - 0.3 * at**1.5)
    assert curve.knots.shape == (KNOTS, 2)
    assert error.max() < 0.05 and error.max() < 0.5 * np.abs(line.at(at) - 0.3 * at**1.5).max()


@given(st.integers(0, 10_000), st.integers(13, 200), st.floats(0, 3), st.floats(0.2, 3))
@settings(max_examples=60)
def test_it_never_falls(seed, count, sigma, power):
    x, y = bent(seed, count, power=power, sigma=sigma)
    curve = monotone_spline(x, y, ransac(x, y))
    if curve is None:
        return
    assert (np.diff(curve.knots[:, 0]) > 0).all() and (np.diff(curve.knots[:, 1]) >= 0).all()
    values = along(np.linspace(-5, 9, 500), curve.knots, curve.line.scale)
    assert (np.diff(values) >= -1e-9).all()


def test_points_that_fall_become_a_step():
    x = np.linspace(0, 1, 401)
    y = x + 0.3 * np.sin(2 * np.pi * x)  # falls in the middle, which it is symmetric about
    knots = monotone_spline(x, y, least_squares(x, y)).knots
    steps = np.diff(knots[:, 1])
    assert (steps >= 0).all() and (steps == 0).sum() >= 3
    flat = knots[1:][steps == 0]
    np.testing.assert_allclose(flat[:, 1], 0.5, atol=0.02)


def test_between_its_knots_it_is_straight_and_beyond_it_follows_the_line():
    knots = np.array([[1.0, 2.0], [2.0, 3.0], [4.0, 8.0]])
    x = np.array([[-1, 1, 1.5], [3, 6, np.nan]])
    expected = [[2 - 2 * 0.5, 2, 2.5], [5.5, 8 + 2 * 0.5, np.nan]]
    np.testing.assert_allclose(along(x, knots, 0.5), expected)
    single = along(x.astype(np.float32), knots, 0.5)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected)
    assert along(np.array([np.inf]), knots, 0.5)[0] == np.inf


def test_too_few_or_too_like_points_have_no_curve():
    x = np.linspace(0, 1, 12)
    assert monotone_spline(x, x, ransac(x, x)) is None
    x = np.linspace(0, 1, 13)
    assert len(monotone_spline(x, x, ransac(x, x)).knots) == 3
    x = np.repeat([0.0, 1.0], 20)
    assert monotone_spline(x, x, ransac(x, x)) is None
