import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.alignment import METHODS, SPACES, fit_scale_shift, metres
from depth_anything_ros.core.errors import ParameterError

DEPTH = np.array([1.0, 1.25, 2, 2.5, 4, 5, 8, 10, 12.5, 16, 20, 25, 31.25, 40, 50])
LINES = [method for method in METHODS if method not in ("scale_only", "spline")]


def prediction_of(depth, space, scale, shift):
    """Invert the line of a space."""
    if space == "log_depth":
        return np.exp((np.log(depth) - shift) / scale)
    return ((1 / depth if space == "disparity" else depth) - shift) / scale


def scene(seed, count=300, wrong=0.0, noise=0.02):
    """Depth, a disparity of it by 1 / depth = 0.2 d - 0.05, and LiDAR that is partly wrong."""
    rng = np.random.default_rng(seed)
    depth = 1.5 * np.exp(rng.uniform(0, 3, count))
    disparity = prediction_of(depth, "disparity", 0.2, -0.05)
    disparity += noise / depth / 0.2 * rng.standard_normal(count)
    lidar = depth.copy()
    lidar[: round(wrong * count)] = rng.uniform(1, 60, round(wrong * count))
    return depth, disparity, lidar


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", [*LINES, "spline"])
@given(st.floats(0.1, 20), st.floats(-2, 2), st.integers(0, 1000))
@settings(max_examples=15)
def test_an_exact_line_is_found(method, space, scale, shift, seed):
    if space == "log_depth":
        scale = 0.5 + scale / 10
    depth = np.random.default_rng(seed).uniform(0.5, 40, (6, 7))
    prediction = prediction_of(depth, space, scale, shift)
    fit = fit_scale_shift(prediction, depth, method=method, space=space)
    assert (fit.asked, fit.used, fit.space, fit.reason) == (method, method, space, "")
    assert fit.scale == pytest.approx(scale, rel=1e-6)
    assert fit.shift == pytest.approx(shift, rel=1e-5, abs=1e-5)
    assert fit.ok and fit.count == (34 if method == "trimmed" else 42)
    assert np.abs(fit.residuals).max() < 1e-4
    np.testing.assert_allclose(fit.apply(prediction), depth, rtol=2e-3)
    assert (fit.knots is not None) == (method == "spline")


@pytest.mark.parametrize("space", SPACES)
def test_a_scale_alone_multiplies_depth(space):
    prediction = 3.7 / DEPTH if space == "disparity" else DEPTH / 3.7
    fit = fit_scale_shift(prediction, DEPTH, method="scale_only", space=space)
    expected = {"disparity": (1 / 3.7, 0), "depth": (3.7, 0), "log_depth": (1, np.log(3.7))}
    assert (fit.scale, fit.shift) == pytest.approx(expected[space])
    assert fit.used == "scale_only" and fit.reason == ""
    np.testing.assert_allclose(fit.apply(prediction), DEPTH, rtol=1e-5)


@given(st.floats(0.1, 10), st.floats(-3, 3), st.sampled_from(LINES), st.integers(0, 1000))
@settings(max_examples=60)
def test_depth_does_not_depend_on_what_a_disparity_is_measured_in(factor, offset, method, seed):
    _, disparity, lidar = scene(seed, wrong=0.1)
    one = fit_scale_shift(disparity, lidar, method=method)
    other = fit_scale_shift(factor * disparity + offset, lidar, method=method)
    assert one.used == other.used == method
    a, b = one.apply(disparity), other.apply(factor * disparity + offset)
    near = a < 60
    np.testing.assert_allclose(a[near], b[near], rtol=5e-3)


def test_masked_and_unknown_points_are_left_out():
    target, prediction = np.tile(DEPTH, (2, 1)), 1 / np.tile(DEPTH, (2, 1))
    target[0, :5] = [np.nan, np.inf, 0, -1, 3]
    mask = np.ones(target.shape, bool)
    mask[0, 4], mask[1, 0] = False, False
    prediction[1, 1] = np.nan
    fit = fit_scale_shift(prediction, target, mask)
    assert fit.inliers.shape == fit.residuals.shape == (30,) and fit.count == 23
    np.testing.assert_array_equal(np.isnan(fit.residuals), ~fit.inliers)
    np.testing.assert_array_equal(np.flatnonzero(~fit.inliers), [0, 1, 2, 3, 4, 15, 16])
    assert (fit.scale, fit.shift) == pytest.approx((1, 0), abs=1e-6)
    in_log = fit_scale_shift(np.array([-1.0, 0, 1, 2, 3]), np.full(5, 2.0), space="log_depth")
    np.testing.assert_array_equal(np.isfinite(in_log.residuals), [0, 0, 1, 1, 1])


def test_residuals_are_target_less_fitted():
    disparity, inverse = np.array([0.0, 1, 2, 3]), np.array([1.0, 3, 2, 5])
    fit = fit_scale_shift(disparity, 1 / inverse)
    np.testing.assert_allclose((fit.scale, fit.shift), np.polyfit(disparity, inverse, 1))
    np.testing.assert_allclose(fit.residuals, inverse - np.polyval((1.1, 1.1), disparity))
    np.testing.assert_allclose(fit.covariance, np.polyfit(disparity, inverse, 1, cov=True)[1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("method", "wrong", "loss"),
    [("huber", 0.3, 2.5), ("ransac", 0.3, 1.1), ("ransac", 0.5, 1.25), ("spline", 0.3, 1.2)],
)
def test_gross_outliers_hardly_change_depth(method, wrong, loss, seed):
    def error(share):
        depth, disparity, lidar = scene(seed, 500, wrong=share)
        found = fit_scale_shift(disparity, lidar, method=method).apply(disparity)
        return np.mean(np.abs(np.minimum(found, 80) - depth) / depth)

    assert error(wrong) < loss * error(0)


def test_the_condition_number_tells_what_scale_and_shift_share():
    for centre in (0, 3):  # mean 3 and deviation 1: rms sqrt(10)
        target = 1 / (0.1 * np.array([-1.0, 1, 1, -1]) + 1)
        fit = fit_scale_shift(np.array([-1.0, 1, 1, -1]) + centre, target)
        m = centre / np.sqrt(centre**2 + 1)
        normal = np.array([[1, m], [m, 1]])
        assert fit.condition == pytest.approx(np.linalg.cond(normal))
        small = fit_scale_shift(1e-3 * (np.array([-1.0, 1, 1, -1]) + centre), target)
        assert small.condition == pytest.approx(fit.condition)


def test_the_line_through_less_than_three_points_is_not_believed():
    two, of_two = np.array([1.0, 2.0]), np.array([5.0, 2.0])  # 1 / depth = 0.3 d - 0.1
    held = fit_scale_shift(two, of_two, held_shift=-0.1)
    assert held.used == "held_shift" and held.reason == "2 points, a line needs 3"
    assert (held.scale, held.shift) == pytest.approx((0.3, -0.1))
    np.testing.assert_allclose(held.apply(two), of_two, rtol=1e-6)
    alone = fit_scale_shift(two, of_two)
    assert alone.used == "scale_only" and alone.shift == 0 and alone.scale == pytest.approx(0.25)
    assert np.isnan(alone.covariance).all() and alone.reason == held.reason
    one = fit_scale_shift(two[:1], of_two[:1], method="ransac")
    assert one.used == "scale_only" and one.scale == pytest.approx(0.2)


def test_no_points_are_no_fit():
    fit = fit_scale_shift(np.ones((2, 3)), np.full((2, 3), np.nan), held_shift=0.1)
    assert fit.used == "none" and not fit.ok and fit.count == 0 and "no points" in fit.reason
    assert np.isnan([fit.scale, fit.shift, *fit.covariance.ravel()]).all()
    assert np.isnan(fit.residuals).all() and fit.inliers.shape == (6,) and fit.condition == np.inf
    assert np.isnan(fit.apply(np.ones((4, 5), np.float32))).all()


@pytest.mark.parametrize("method", [*LINES, "spline"])
def test_predictions_of_one_value_and_one_depth_determine_no_line(method):
    flat = fit_scale_shift(np.full(15, 2.0), DEPTH, method=method)
    assert flat.used == "scale_only" and "the prediction is one value, 2," in flat.reason
    rng = np.random.default_rng(0)
    wall = 5 + 0.01 * rng.standard_normal(50)
    disparity = rng.uniform(1, 1.1, 50)
    fit = fit_scale_shift(disparity, wall, method=method, held_shift=0.05)
    assert fit.used == "held_shift" and "all 50 points are at one depth" in fit.reason
    assert fit.scale == pytest.approx(0.15 / 1.05, rel=0.02) and fit.shift == 0.05
    assert np.isfinite(fit.covariance[0, 0]) and np.isnan(fit.covariance).sum() == 3


@pytest.mark.parametrize("method", [*LINES, "spline"])
def test_a_prediction_upside_down_has_no_line(method):
    fit = fit_scale_shift(2 - 1 / DEPTH, DEPTH, method=method)
    assert fit.used == "scale_only" and "the scale is not positive: -1" in fit.reason
    none = fit_scale_shift(-1 - 1 / DEPTH, DEPTH, method=method, held_shift=-0.01)
    assert none.used == "none"
    assert "no positive scale goes with the held shift -0.01" in none.reason


@pytest.mark.parametrize("method", ["least_squares", "trimmed", "huber", "ransac"])
def test_predictions_without_shape_leave_the_scale_open(method):
    rng = np.random.default_rng(0)
    disparity = rng.uniform(1, 2, 300)
    depths = [rng.uniform(1, 9, 300) for _ in range(20)]
    fits = [fit_scale_shift(disparity, depth, method=method, held_shift=0) for depth in depths]
    open_or_negative = [fit.used == "held_shift" for fit in fits]
    assert np.mean(open_or_negative) > 0.75
    assert any("leave the scale open" in fit.reason for fit in fits)


def test_a_spline_of_few_points_is_a_line():
    fit = fit_scale_shift(1 / DEPTH[:10], DEPTH[:10], method="spline")
    assert fit.used == "ransac" and "10 inliers are too few" in fit.reason
    assert fit.knots is None and fit.scale == pytest.approx(1)


def test_values_of_each_space_become_metres():
    values = np.array([[0.5, 0, -1, np.nan, np.inf]], np.float32)
    for space, expected in (
        ("disparity", [2, np.inf, np.inf, np.nan, np.nan]),
        ("depth", [0.5, np.nan, np.nan, np.nan, np.inf]),
        ("log_depth", [np.exp(0.5), 1, np.exp(-1), np.nan, np.inf]),
    ):
        depth = metres(values.copy(), space)
        assert depth.dtype == np.float32 and depth.shape == (1, 5)
        np.testing.assert_allclose(depth, [expected], rtol=1e-6)


def test_depth_of_a_picture():
    fit = fit_scale_shift(np.array([1.0, 2, 3]), 1 / np.array([0.25, 0.75, 1.25]))
    picture = np.array([[0.0, 0.5, 1], [3, np.nan, 2]], np.float32)  # 1 / depth = 0.5 d - 0.25
    given = picture.copy()
    depth = fit.apply(picture)
    np.testing.assert_allclose(depth, [[np.inf, np.inf, 4], [0.8, np.nan, 4 / 3]], rtol=1e-6)
    np.testing.assert_array_equal(picture, given)
    in_log = fit_scale_shift(DEPTH**2, DEPTH, space="log_depth")
    depth = in_log.apply(np.array([9.0, 0, -1, np.nan, np.inf]))
    np.testing.assert_allclose(depth, [3, np.nan, np.nan, np.nan, np.inf], rtol=1e-6)


def test_what_cannot_be_asked():
    two = np.ones(2)
    with pytest.raises(ParameterError, match=r"unknown method 'magic'.*least_squares.*spline"):
        fit_scale_shift(two, two, method="magic")
    with pytest.raises(ParameterError, match="unknown space 'metres'"):
        fit_scale_shift(two, two, space="metres")
    with pytest.raises(ParameterError, match=r"one shape, got \(2,\), \(3,\)"):
        fit_scale_shift(two, np.ones(3))


def test_a_shift_that_was_assumed_says_nothing_of_what_is_beyond_range():
    """A disparity of 0 is infinitely far only where the shift is known to be 0."""
    falling = fit_scale_shift(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 4]))
    assert falling.used == "scale_only"
    assert np.isnan(falling.apply(np.zeros((1, 2), np.float32))).all()
    held = fit_scale_shift(np.array([1.0, 2]), np.array([1.0, 0.5]), held_shift=0.0)
    assert held.used == "held_shift"
    assert np.isposinf(held.apply(np.zeros((1, 2), np.float32))).all()
