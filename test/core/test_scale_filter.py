import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.alignment import Fit, fit_scale_shift
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.scale_filter import (
    FilterOptions,
    ScaleState,
    gate,
    predict,
    step,
    update,
)

OPTIONS = FilterOptions()
SECOND = 10**9
UNKNOWN = np.full((2, 2), np.nan)


def a_fit(scale, shift, covariance, used="huber", asked="huber", space="disparity", reason=""):
    inliers = np.ones(20, bool)
    return Fit(
        asked,
        used,
        space,
        scale,
        shift,
        np.array(covariance, np.float64),
        inliers,
        np.zeros(20),
        2.0,
        None,
        reason,
    )


def line_fit(scale, shift, sigma=0.01, mean=2.0, spread=1.0, count=20):
    """A fit as least squares makes it of count points, prediction mean ± spread, noise sigma."""
    var_scale = sigma**2 / (count * spread**2)
    covariance = [
        [var_scale, -mean * var_scale],
        [-mean * var_scale, sigma**2 / count + mean**2 * var_scale],
    ]
    return a_fit(scale, shift, covariance)


NONE = a_fit(math.nan, math.nan, UNKNOWN, used="none", reason="no points")


def anchored(scale=0.5, shift=0.1, **kwargs):
    return step(ScaleState(), line_fit(scale, shift, **kwargs), 0, OPTIONS)


def test_it_begins_with_the_first_fit():
    fit = line_fit(0.5, 0.1)
    state = step(ScaleState(), fit, 5 * SECOND, OPTIONS)
    assert (state.status, state.reason, state.ok) == ("anchored", "", True)
    assert (state.scale, state.shift, state.age_s) == (0.5, 0.1, 0.0)
    # Of least squares sqrt(var t / var s) is the rms of the prediction: sqrt(2² + 1²).
    assert state.prediction_rms == pytest.approx(math.sqrt(5))
    own = np.diag([(0.02 * 0.5) ** 2, (0.02 * 0.5) ** 2 * 5])
    np.testing.assert_allclose(state.covariance, fit.covariance + own)


@given(
    st.floats(0.1, 3),
    st.floats(-0.9, 0.9),
    st.floats(0.001, 0.1),
    st.floats(-0.1, 0.1),
    st.floats(-0.1, 0.1),
)
@settings(deadline=None)
def test_one_update_is_bayes(mean, correlation, sigma, ds, dt):
    state = anchored(1.0, 0.1, sigma=0.05)
    covariance = sigma**2 * np.array([[1, correlation * mean], [correlation * mean, mean**2]])
    fit = a_fit(1.0 + ds, 0.1 + dt, covariance)
    known = np.linalg.inv(state.covariance)
    own = (0.02 * state.scale) ** 2 * np.diag([1, state.prediction_rms**2])
    measured = np.linalg.inv(covariance + own)
    posterior = np.linalg.inv(known + measured)
    line = posterior @ (known @ [1.0, 0.1] + measured @ [fit.scale, fit.shift])
    found = update(state, fit, OPTIONS)
    np.testing.assert_allclose((found.scale, found.shift), line, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, posterior, rtol=1e-7, atol=1e-15)


def scale_fit(scale, variance, asked="scale_only"):
    covariance = [[variance, math.nan], [math.nan, math.nan]]
    return a_fit(scale, 0.0, covariance, "scale_only", asked)


def test_the_gain_of_one_number_becomes_steady():
    # Riccati: with Q = drift²·s²·dt and R the measurement's, the predicted variance M solves
    # M = M·R / (M + R) + Q, so M = (Q + sqrt(Q² + 4QR)) / 2, and the gain is M / (M + R).
    variance, period_s = 0.03**2, 0.1
    Q = OPTIONS.drift**2 * 2.0**2 * period_s
    R = variance + (OPTIONS.fit_error * 2.0) ** 2
    M = (Q + math.sqrt(Q**2 + 4 * Q * R)) / 2
    state = ScaleState()
    for k in range(60):
        state = step(state, scale_fit(2.0, variance), k * SECOND // 10, OPTIONS)
    assert state.covariance[0, 0] == pytest.approx(M * R / (M + R), rel=1e-9)
    moved = step(state, scale_fit(2.06, variance), 6 * SECOND, OPTIONS)
    # The scale is 2 and not 2.06 in Q here, as the step before measured 2.
    assert (moved.scale - 2.0) / 0.06 == pytest.approx(M / (M + R), rel=1e-9)
    assert (moved.status, moved.shift, moved.measured) == ("anchored", 0.0, (True, False))
    assert moved.covariance[1].tolist() == [0.0, 0.0]


def test_waiting_a_second_is_waiting_ten_tenths():
    at_once = predict(anchored(), SECOND, OPTIONS)
    state = anchored()
    for k in range(1, 11):
        state = predict(state, k * SECOND // 10, OPTIONS)
    np.testing.assert_allclose(state.covariance, at_once.covariance, rtol=1e-12)
    grown = np.diag(at_once.covariance - anchored().covariance)
    np.testing.assert_allclose(grown, [(0.1 * 0.5) ** 2, (0.1 * 0.5) ** 2 * 5], rtol=1e-9)


def test_the_gate_lets_99_of_100_good_fits_pass():
    state = anchored(1.0, 0.1)
    distance, limit = gate(state, line_fit(1.0, 0.1), OPTIONS)
    assert distance == 0 and limit == pytest.approx(9.2103, abs=1e-4)
    total = state.covariance + state.covariance  # the fits below have the covariance of the first
    rng = np.random.default_rng(0)
    passed = 0
    for line in rng.multivariate_normal((1.0, 0.1), total, 1000):
        distance, _ = gate(state, line_fit(*line), OPTIONS)
        passed += distance <= limit
    assert 980 <= passed <= 998
    _, one_number = gate(state, scale_fit(1.0, 0.1), OPTIONS)
    assert one_number == pytest.approx(6.6349, abs=1e-4)


def test_a_wrong_fit_is_gated_and_the_line_stands():
    state = step(anchored(), line_fit(0.9, 0.1), SECOND // 10, OPTIONS)
    assert (state.status, state.scale, state.shift) == ("degraded", 0.5, 0.1)
    assert state.ok and state.rejected == 1 and state.age_s == pytest.approx(0.1)
    assert "does not go with the line before" in state.reason
    state = step(state, line_fit(0.501, 0.1), SECOND // 5, OPTIONS)
    assert (state.status, state.rejected, state.age_s) == ("anchored", 0, 0.0)


def test_several_gated_fits_in_a_row_are_a_cut():
    state = anchored()
    statuses = []
    for k in range(1, 5):
        state = step(state, line_fit(0.9, -0.2), k * SECOND // 30, OPTIONS)
        statuses.append(state.status)
    assert statuses == ["degraded", "degraded", "anchored", "anchored"]
    assert (state.scale, state.shift) == pytest.approx((0.9, -0.2))
    again = step(anchored(), line_fit(0.9, -0.2), 1, replace(OPTIONS, restart_after=1))
    assert again.scale == 0.9 and again.reason.startswith("restarted: 1 fits in a row")


def test_the_line_is_held_up_to_its_age_limit():
    state = step(anchored(), None, 2 * SECOND, OPTIONS)
    assert (state.status, state.scale, state.shift, state.age_s) == ("held", 0.5, 0.1, 2.0)
    assert state.covariance[0, 0] > anchored().covariance[0, 0]
    state = step(state, NONE, 2 * SECOND + 1, OPTIONS)
    assert (state.status, state.ok) == ("waiting", False)
    assert state.reason == "the last fit is 2 s old, the limit is 2 s; no points"
    # What comes then begins anew, however far it is from the old line.
    state = step(state, line_fit(0.05, 0.7), 3 * SECOND, OPTIONS)
    assert (state.status, state.scale, state.shift) == ("anchored", 0.05, 0.7)


def test_without_any_fit_it_waits():
    state = step(ScaleState(), None, 0, OPTIONS)
    assert (state.status, state.reason) == ("waiting", "no anchors in this picture")
    assert math.isnan(state.age_s) and math.isnan(state.scale)
    for bad in (NONE, line_fit(-0.5, 0.1), line_fit(math.nan, 0.1), line_fit(1.0, math.inf)):
        assert not step(state, bad, 1, OPTIONS).ok


def test_a_clock_that_goes_back_restarts():
    state = step(ScaleState(), line_fit(0.5, 0.1), 100 * SECOND, OPTIONS)
    # A picture that is late by less than late_s belongs to the same time.
    late = step(state, line_fit(0.5, 0.1), 100 * SECOND - SECOND // 20, OPTIONS)
    assert (late.status, late.stamp_ns, late.age_s) == ("anchored", 100 * SECOND, 0.0)
    assert late.covariance[0, 0] < state.covariance[0, 0]
    looped = step(state, None, 90 * SECOND, OPTIONS)
    assert not looped.ok and "the clock went back by 10 s" in looped.reason
    looped = step(state, line_fit(2.0, 0.3), 90 * SECOND, OPTIONS)
    assert (looped.scale, looped.shift, looped.stamp_ns) == (2.0, 0.3, 90 * SECOND)
    assert looped.reason == "restarted: the clock went back by 10 s"


@pytest.mark.parametrize("late_ms", [0, 9, 11, 100, 1001])
def test_a_clock_that_goes_back_by_the_tolerance_restarts_nothing(late_ms):
    options = FilterOptions(late_s=late_ms / 1000)
    state = step(ScaleState(), line_fit(0.5, 0.1), 100 * SECOND, options)
    back = 100 * SECOND - late_ms * 10**6
    assert step(state, None, back, options).ok
    assert "the clock went back" in step(state, None, back - 1, options).reason


def test_a_fit_of_the_scale_with_the_held_shift_leaves_the_shift():
    state = predict(anchored(), SECOND // 10, OPTIONS)
    variance = 0.01**2
    fit = a_fit(0.52, 0.1, [[variance, math.nan], [math.nan] * 2], "held_shift", reason="one depth")
    found = step(state, fit, SECOND // 10, OPTIONS)
    (ss, st_), (_, tt) = state.covariance
    given_shift = ss - st_**2 / tt  # variance of s where t is known
    gain = given_shift / (given_shift + variance + (0.02 * 0.5) ** 2)
    assert found.shift == 0.1
    assert found.scale == pytest.approx(0.5 + gain * 0.02, rel=1e-9)
    assert found.covariance[1, 1] == tt and found.covariance[0, 1] == st_
    assert found.covariance[0, 0] == pytest.approx(ss - gain * given_shift, rel=1e-9)
    assert (found.status, found.reason) == ("degraded", "held_shift in place of huber: one depth")


def test_a_scale_alone_is_turned_about_what_it_measured():
    state = anchored(0.5, 0.1)
    through_zero = 0.5 + 0.1 / state.prediction_rms  # the same value at the rms of the prediction
    found = update(state, scale_fit(through_zero, 1e-4), OPTIONS)
    assert (found.scale, found.shift) == (pytest.approx(0.5, rel=1e-12), 0.1)


def test_a_fit_that_says_nothing_of_its_error_counts_as_a_rough_scale():
    fit = a_fit(0.55, 0.1, UNKNOWN)
    assert gate(anchored(), fit, OPTIONS)[0] < gate(anchored(), line_fit(0.55, 0.1), OPTIONS)[0]
    found = step(anchored(), fit, 0, OPTIONS)
    assert found.shift == 0.1 and 0.5 < found.scale < 0.505
    alone = step(ScaleState(), fit, 0, OPTIONS)
    assert (alone.scale, alone.shift, alone.measured) == (0.55, 0.1, (True, False))
    assert math.sqrt(alone.covariance[0, 0]) == pytest.approx(0.55 * math.hypot(0.2, 0.02))


def test_a_measured_shift_replaces_a_given_one():
    state = step(ScaleState(), scale_fit(0.8, 1e-6, "huber"), 0, OPTIONS)
    assert state.status == "degraded"
    state = step(state, line_fit(0.5, 0.4), SECOND // 30, OPTIONS)
    assert (state.status, state.scale, state.shift) == ("anchored", 0.5, 0.4)


def test_the_scale_of_log_depth_is_its_shift():
    prediction = np.array([1.0, 2.0, 3.0, 4.0])
    fit = fit_scale_shift(prediction, 3 * prediction, method="scale_only", space="log_depth")
    state = step(ScaleState(), fit, 0, OPTIONS)
    assert (state.scale, state.measured) == (1.0, (False, True))
    fit = fit_scale_shift(prediction, 3.1 * prediction, method="scale_only", space="log_depth")
    state = step(state, fit, SECOND // 10, OPTIONS)
    assert state.status == "anchored" and state.scale == 1.0
    assert math.log(3) < state.shift < math.log(3.1)


def test_another_space_begins_anew():
    fit = replace(line_fit(3.0, 0.5), space="depth")
    state = step(anchored(), fit, 1, OPTIONS)
    assert (state.space, state.scale, state.shift) == ("depth", 3.0, 0.5)
    assert state.reason == "restarted: fits in depth after disparity"
    # No fit has no space.
    assert step(state, NONE, 2, OPTIONS).status == "held"


def test_exact_points_leave_no_zero_covariance():
    prediction, state = np.linspace(1, 5, 40), ScaleState()
    for k in range(5):
        fit = fit_scale_shift(prediction, 1 / (0.2 * prediction + 0.05), method="least_squares")
        state = step(state, fit, k * SECOND // 30, OPTIONS)
        assert state.status == "anchored"
        assert np.linalg.eigvalsh(state.covariance).min() > 0
    assert (state.scale, state.shift) == pytest.approx((0.2, 0.05))


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 100))
@settings(max_examples=40)
def test_no_unit_of_depth_or_prediction_matters(metre, unit, seed):
    rng = np.random.default_rng(seed)
    one, other = ScaleState(), ScaleState()
    change = np.diag([metre / unit, metre])  # of (s, t) in metre / depth and unit · prediction
    for k in range(12):
        fit = line_fit(*((0.9, -0.1) if k > 7 else (0.5, 0.1)) + rng.normal(0, 0.02, 2))
        scale, shift = change @ (fit.scale, fit.shift)
        same = a_fit(scale, shift, change @ fit.covariance @ change)
        shown = None if k % 3 == 1 else (fit, same)
        one = step(one, shown and shown[0], k * SECOND // 30, OPTIONS)
        other = step(other, shown and shown[1], k * SECOND // 30, OPTIONS)
        assert (one.status, one.rejected) == (other.status, other.rejected)
        np.testing.assert_allclose(
            change @ (one.scale, one.shift), (other.scale, other.shift), rtol=1e-7
        )
        np.testing.assert_allclose(change @ one.covariance @ change, other.covariance, rtol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 30)), max_size=40))
@settings(max_examples=60)
def test_whatever_comes_the_state_is_sound(events):
    fits = (
        None,
        NONE,
        line_fit(0.5, 0.1),
        line_fit(2.0, -0.9, mean=0.3),
        scale_fit(0.6, math.nan, "ransac"),
        a_fit(0.5, 0.2, UNKNOWN, "held_shift"),
    )
    state, stamp = ScaleState(), 10 * SECOND
    for which, tenths in events:
        stamp += tenths * SECOND // 10
        state = step(state, fits[which], stamp, OPTIONS)
        assert state.status in ("anchored", "held", "degraded", "waiting")
        assert bool(state.reason) or state.status == "anchored"
        if state.ok:
            assert state.scale > 0 and math.isfinite(state.shift)
            assert 0 <= state.age_s <= OPTIONS.max_age_s
            assert np.linalg.eigvalsh(state.covariance).min() >= -1e-15
            np.testing.assert_array_equal(state.covariance, state.covariance.T)
        if which > 1:
            assert state.status in ("anchored", "degraded")


def test_noisy_fits_are_smoothed_and_a_slow_change_is_followed():
    rng = np.random.default_rng(1)
    prediction = rng.uniform(0.5, 4, 30)
    state, raw, filtered = ScaleState(), [], []
    for k in range(90):
        scale = 0.3 * (1 + 0.002 * k)  # 6 % a second at 30 Hz
        target = 1 / (scale * prediction + 0.1 + rng.normal(0, 0.02, 30))
        fit = fit_scale_shift(prediction, target, method="least_squares")
        state = step(state, fit, k * SECOND // 30, OPTIONS)
        raw.append(fit.scale / scale - 1)
        filtered.append(state.scale / scale - 1)
    assert np.std(filtered[10:]) < 0.8 * np.std(raw[10:])
    assert abs(np.mean(filtered[10:])) < 0.01


def test_the_line_takes_the_place_of_a_fits_own():
    prediction = np.linspace(1, 5, 40)
    fit = fit_scale_shift(prediction, 1 / (0.2 * prediction + 0.05), method="spline")
    state = anchored(0.5, 0.1)
    depth = state.as_fit(fit).apply(np.array([0.8, np.nan, -1.0], np.float32))
    np.testing.assert_allclose(depth, [2.0, np.nan, np.inf], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drift", -1),
        ("fit_error", 0),
        ("unknown_error", math.nan),
        ("gate", 1.0),
        ("restart_after", 0),
        ("max_age_s", -1),
        ("late_s", -1),
    ],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError, match=f"FilterOptions.{name} is "):
        FilterOptions(**{name: value})
