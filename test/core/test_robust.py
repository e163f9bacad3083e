import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core import robust

LINES = [robust.least_squares, robust.median_mad, robust.trimmed, robust.huber, robust.ransac]
ROBUST = [robust.trimmed, robust.huber, robust.ransac]


def noisy(seed, count=200, sigma=0.02, wrong=0.0):
    """Points of y = 0.5 x + 0.2 with noise; a share of them is wrong by 0.5 to 3."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 3, count)
    y = 0.5 * x + 0.2 + sigma * rng.standard_normal(count)
    y[: round(wrong * count)] += rng.uniform(0.5, 3, round(wrong * count))
    return x, y


@pytest.mark.parametrize("line", LINES)
@given(
    scale=st.floats(0.01, 50) | st.floats(-50, -0.01),
    shift=st.floats(-5, 5),
    count=st.integers(3, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_an_exact_line_is_found(line, scale, shift, count, seed):
    x = np.random.default_rng(seed).uniform(0, 10, count)
    found = line(x, scale * x + shift)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    assert found.shift == pytest.approx(shift, rel=1e-6, abs=1e-5 * abs(scale))
    # The trimmed fit leaves out a fifth of the points, however well they fit.
    assert found.count == (-(-4 * count // 5) if line is robust.trimmed else count)


@pytest.mark.parametrize("line", LINES)
@given(
    factor=st.floats(0.01, 100),
    offset=st.floats(-10, 10),
    wrong=st.sampled_from([0, 0.15, 0.4]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_an_affine_change_of_x_changes_only_the_numbers(line, factor, offset, wrong, seed):
    x, y = noisy(seed, wrong=wrong)
    one, other = line(x, y), line(factor * x + offset, y)
    scale = one.scale / factor
    assert other.scale == pytest.approx(scale, rel=1e-3)
    assert other.shift == pytest.approx(one.shift - scale * offset, rel=1e-3, abs=2e-3)
    np.testing.assert_array_equal(other.inliers, one.inliers)
    # The change of the numbers, as a matrix, changes their covariance.
    change = np.array([[1 / factor, 0], [-offset / factor, 1]])
    expected = change @ one.covariance @ change.T
    np.testing.assert_allclose(other.covariance, expected, rtol=0.05, atol=1e-6 * expected.max())


@pytest.mark.parametrize("line", LINES)
def test_a_constant_x_is_level(line):
    found = line(np.full(7, 3.0), np.array([1.0, 2, 2, 2, 2, 2, 3]))
    assert found.scale == 0 and found.shift == pytest.approx(2, abs=0.2)


def test_least_squares_is_that_of_polyfit():
    x, y = np.array([0.0, 1, 2, 3]), np.array([1.0, 3, 2, 5])
    found = robust.least_squares(x, y)
    expected, covariance = np.polyfit(x, y, 1, cov=True)
    np.testing.assert_allclose((found.scale, found.shift), expected)
    np.testing.assert_allclose(found.covariance, covariance)
    some = robust.least_squares(x, y, np.array([True, False, True, True]))
    np.testing.assert_allclose((some.scale, some.shift), np.polyfit(x[[0, 2, 3]], y[[0, 2, 3]], 1))


def test_two_points_and_none():
    two = robust.least_squares(np.array([1.0, 3.0]), np.array([2.0, 6.0]))
    assert (two.scale, two.shift) == (2, 0) and np.isnan(two.covariance).all()
    nothing = robust.least_squares(np.zeros(0), np.zeros(0))
    assert nothing.scale == 0 and np.isnan(nothing.shift) and nothing.count == 0


def test_median_and_mean_absolute_deviation():
    # Medians 2 and 5; mean absolute deviations 6 / 5 and (3 + 2 + 0 + 2 + 5) / 5.
    x, y = np.array([0.0, 1, 2, 3, 4]), np.array([2.0, 3, 5, 7, 10])
    found = robust.median_mad(x, y)
    assert found.scale == pytest.approx(12 / 6)
    assert found.shift == pytest.approx(5 - 2 * 2)
    assert robust.median_mad(x, -y).scale == pytest.approx(-2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("line", "wrong", "tolerance"),
    [
        (robust.trimmed, 0.15, 0.02),
        (robust.huber, 0.3, 0.1),  # all are wrong to the same side
        (robust.ransac, 0.3, 0.02),
        (robust.ransac, 0.5, 0.02),
    ],
)
def test_wrong_points_are_outvoted(line, wrong, tolerance, seed):
    x, y = noisy(seed, 500, wrong=wrong)
    truth, found = 0.5 * x + 0.2, line(x, y)
    assert np.abs(found.at(x) - truth).max() < tolerance
    assert np.abs(robust.least_squares(x, y).at(x) - truth).max() > 2 * tolerance
    assert not found.inliers[: round(wrong * 500)].any()
    assert found.inliers[round(wrong * 500) :].mean() > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_ransac_is_not_turned_over_by_points_far_out(seed):
    """A third lies on a falling line of its own, far out in x."""
    x, y = noisy(seed, 300)
    x[:100] += 5
    y[:100] = 4 - 0.5 * x[:100]
    found = robust.ransac(x, y)
    assert found.scale == pytest.approx(0.5, abs=0.02)
    assert not found.inliers[:100].any() and found.inliers[100:].mean() > 0.95
    assert robust.least_squares(x, y).scale < 0


def test_ransac_is_the_same_for_a_seed():
    x, y = noisy(0, 3000, sigma=0.2, wrong=0.3)
    one, same, other = (robust.ransac(x, y, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.inliers, same.inliers)
    assert one.scale == same.scale and other.scale == pytest.approx(one.scale, rel=0.05)


@pytest.mark.parametrize("line", LINES)
def test_the_covariance_is_that_of_repeated_measurements(line):
    """Over 400 repetitions; a variance of 400 values is known to 7 %."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 3, 100)
    found = [line(x, 0.5 * x + 0.2 + 0.05 * rng.standard_normal(100)) for _ in range(400)]
    covariance = np.mean([fit.covariance for fit in found], axis=0)
    # At the middle of x, where scale and level are nearly independent.
    numbers = np.array([(fit.scale, fit.shift + 1.5 * fit.scale) for fit in found])
    change = np.array([[1, 0], [1.5, 1]])
    measured, told = numbers.std(axis=0), np.sqrt(np.diag(change @ covariance @ change.T))
    # The tails of a normal sample are thin, so a fifth of 100 points is trimmed unevenly.
    tolerance = 0.35 if line in (robust.trimmed, robust.median_mad) else 0.15
    np.testing.assert_allclose(told, measured, rtol=tolerance)


@given(st.floats(0.01, 50), st.floats(-5, 5), st.floats(0.01, 100), st.integers(0, 1000))
def test_a_scale_alone(scale, shift, factor, seed):
    x = np.random.default_rng(seed).uniform(0.1, 10, 21)
    y = scale * x + shift
    y[:8] += 100
    found = robust.slope_only(x * factor, y, shift)
    # The right points have to hold half of the weight, which is |x|.
    if x[:8].sum() < 0.49 * x.sum():
        assert found.scale * factor == pytest.approx(scale, rel=1e-6)
    assert found.shift == shift


def test_a_scale_alone_of_a_point_and_of_none():
    one = robust.slope_only(np.array([2.0]), np.array([3.0]), 1.0)
    assert one.scale == 1 and one.count == 1 and np.isnan(one.covariance).all()
    assert robust.slope_only(np.zeros(3), np.ones(3)) is None
    assert robust.shift_only(np.zeros(0), np.zeros(0)) is None


def test_a_number_alone_has_the_variance_of_a_median():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 3, 101)
    ys = [0.5 * x + 0.05 * rng.standard_normal(101) for _ in range(400)]
    slopes, shifts = zip(
        *((robust.slope_only(x, y), robust.shift_only(0.5 * x, y)) for y in ys), strict=True
    )
    told = np.sqrt(np.mean([fit.covariance[0, 0] for fit in slopes]))
    assert told == pytest.approx(np.std([fit.scale for fit in slopes]), rel=0.15)
    told = np.sqrt(np.mean([fit.covariance[1, 1] for fit in shifts]))
    assert told == pytest.approx(np.std([fit.shift for fit in shifts]), rel=0.15)
    assert all(np.isnan(fit.covariance).sum() == 3 for fit in (slopes[0], shifts[0]))


def spread_anywhere(seed, wrong, count=500):
    """Inverse depths, noise of 5 %; a share lies anywhere in 0.5 to 80 m, by the logarithm."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.05, 1, count)
    y = (0.5 * x + 0.02) * np.exp(0.05 * rng.standard_normal(count))
    anywhere = rng.random(count) < wrong
    y[anywhere] = 1 / np.exp(rng.uniform(np.log(0.5), np.log(80), np.count_nonzero(anywhere)))
    return x, y, anywhere


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.5])
def test_log_ransac_outvotes_points_that_lie_anywhere(seed, wrong):
    x, y, anywhere = spread_anywhere(seed, wrong)
    found = robust.log_ransac(x, y)
    error = np.abs(np.log(found.at(x) / (0.5 * x + 0.02)))
    assert error.max() < 0.15 and error.mean() < 0.04
    assert found.inliers[~anywhere].mean() > 0.95
    assert found.inliers[anywhere].mean() < 0.2 if wrong else not anywhere.any()


def test_log_ransac_counts_near_and_far_alike():
    """Far points are many; in disparity the few near ones, which are off, outweigh them."""
    x = np.concatenate((np.linspace(0.01, 0.1, 200), np.linspace(0.5, 1, 50)))
    y = np.where(x < 0.3, 0.5 * x, 0.8 * x)
    assert np.abs(np.log(robust.log_ransac(x, y).at(x[:200]) / y[:200])).max() < 0.01
    assert np.abs(np.log(robust.huber(x, y).at(x[:200]).clip(1e-3) / y[:200])).max() > 0.1


@given(
    scale=st.floats(0.01, 50),
    shift=st.floats(0.01, 5),
    count=st.integers(3, 40),
    seed=st.integers(0, 1000),
    is_log=st.booleans(),
)
@settings(max_examples=50)
def test_log_ransac_finds_an_exact_line(scale, shift, count, seed, is_log):
    x = np.random.default_rng(seed).uniform(0, 10, count)
    found = robust.log_ransac(x, scale * x + shift, is_log)
    np.testing.assert_allclose(found.at(x), scale * x + shift, rtol=1e-5)
    assert found.count == count


def test_the_covariance_of_log_ransac_is_that_of_repeated_measurements():
    rng = np.random.default_rng(3)
    x = rng.uniform(0.2, 3, 100)
    noise = np.exp(0.05 * rng.standard_normal((300, 100)))
    found = [robust.log_ransac(x, (0.5 * x + 0.2) * factor) for factor in noise]
    told = np.mean([fit.covariance for fit in found], axis=0)
    measured = np.cov([(fit.scale, fit.shift) for fit in found], rowvar=False)
    np.testing.assert_allclose(np.sqrt(np.diag(told)), np.sqrt(np.diag(measured)), rtol=0.25)
    assert told[0, 1] < 0 and measured[0, 1] < 0


def test_log_ransac_says_where_a_line_falls():
    x = np.linspace(0.1, 1, 50)
    assert robust.log_ransac(x, 1.2 - x).scale == pytest.approx(-1, rel=1e-4)
    assert robust.log_ransac(np.full(7, 3.0), np.linspace(1, 2, 7)).scale == 0
