import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.core.anchoring import LocalOptions, anchored
from depth_anything_ros.core.anchors import Anchors
from depth_anything_ros.core.errors import ImageError, ParameterError

HEIGHT, WIDTH = 120, 160
EXACT = fit_scale_shift(np.array([0.1, 0.2, 0.5]), np.array([10.0, 5, 2]))  # 1 / depth = p


def ramp(near_m=2.0, far_m=10.0):
    """Inverse depth of a floor, far above."""
    rows = np.linspace(1 / far_m, 1 / near_m, HEIGHT, dtype=np.float32)
    return np.repeat(rows[:, None], WIDTH, axis=1)


def anchors_at(rows, columns, depth_m):
    columns, rows, depth_m = (np.asarray(a, np.float32) for a in (columns, rows, depth_m))
    return Anchors(columns, rows, depth_m, len(rows), {})


def sampled(depth_m, count=400, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.choice(depth_m.size, count, replace=False)
    rows, columns = np.divmod(pixels, depth_m.shape[1])
    return anchors_at(rows, columns, depth_m[rows, columns])


def relative_error(depth_m, truth_m):
    return float(np.mean(np.abs(depth_m / truth_m - 1)))


@pytest.mark.parametrize("method", ["lwlr", "kriging"])
def test_anchors_on_the_fit_change_nothing(method):
    prediction = ramp()
    answer = anchored(prediction, EXACT, sampled(1 / prediction), LocalOptions(method))
    np.testing.assert_allclose(answer.depth_m, 1 / prediction, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_constant_residual_is_taken_out(factor):
    prediction = ramp()
    truth = factor / prediction
    answer = anchored(prediction, EXACT, sampled(truth), LocalOptions())
    np.testing.assert_allclose(answer.depth_m, truth, rtol=0.05)
    assert relative_error(answer.depth_m, truth) < 0.005


def test_what_varies_over_the_picture_is_followed():
    prediction = ramp()
    warp = 1 + 0.2 * np.cos(np.pi * np.arange(WIDTH) / WIDTH)
    truth = (warp / prediction).astype(np.float32)
    answer = anchored(prediction, EXACT, sampled(truth), LocalOptions())
    assert relative_error(1 / prediction, truth) > 0.12
    assert relative_error(answer.depth_m, truth) < 0.01


def test_a_correction_stays_on_its_side_of_an_edge():
    prediction = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    box = np.s_[40:80, 60:100]
    prediction[box] = 0.4
    truth = 1 / prediction
    truth[box] *= 1.3  # only the box is wrong
    answer = anchored(prediction, EXACT, sampled(truth), LocalOptions()).depth_m
    np.testing.assert_allclose(answer, truth, rtol=0.06)
    assert relative_error(answer, truth) < 0.005
    np.testing.assert_allclose(answer[60, 59:61], [10, 1.3 * 2.5], rtol=0.02)


def test_without_anchors_the_global_fit_stands():
    prediction = ramp()
    answer = anchored(prediction, EXACT, anchors_at([], [], []), LocalOptions())
    np.testing.assert_array_equal(answer.depth_m, EXACT.apply(prediction))
    assert not answer.confidence.any()


def test_few_anchors_leave_the_global_fit():
    prediction = ramp()
    few = sampled(1.3 / prediction, count=7)
    answer = anchored(prediction, EXACT, few, LocalOptions(min_anchors=8))
    np.testing.assert_array_equal(answer.depth_m, EXACT.apply(prediction))
    more = anchored(prediction, EXACT, few, LocalOptions(min_anchors=7))
    assert relative_error(more.depth_m, 1.3 / prediction) < 0.15


def test_far_from_support_the_correction_fades():
    prediction = ramp()
    truth = 1 / prediction
    truth[:, :40] *= 1.3
    left = sampled(np.ascontiguousarray(truth[:, :40]), 200)
    factor = anchored(prediction, EXACT, left, LocalOptions()).depth_m * prediction
    assert np.median(factor[:, 10:30]) == pytest.approx(1.3, abs=0.03)
    middle, right = np.median(factor[:, 80]), np.median(factor[:, 159])
    assert 1 <= right < middle < 1.3


def test_the_global_method_only_applies_the_fit():
    prediction = ramp()
    answer = anchored(prediction, EXACT, sampled(1.3 / prediction), LocalOptions("global"))
    np.testing.assert_array_equal(answer.depth_m, EXACT.apply(prediction))
    assert 0 < answer.confidence.min() == answer.confidence.max() < 0.2  # 30 % off
    exact = anchored(prediction, EXACT, sampled(1 / prediction), LocalOptions("global"))
    assert exact.confidence.min() > 0.9


@given(st.floats(1.05, 4), st.floats(0.1, 8), st.integers(0, 100))
@settings(max_examples=25)
def test_the_bound_holds(bound, factor, seed):
    prediction = ramp()
    anchors = sampled(np.float32(factor) / prediction, 60, seed)
    answer = anchored(prediction, EXACT, anchors, LocalOptions(max_factor=bound))
    fitted = 1 / prediction
    farthest = 1.5 * np.percentile(anchors.depth_m, 99.5)
    assert (answer.depth_m <= fitted * bound * 1.001).all()
    assert (answer.depth_m >= np.minimum(fitted, farthest) / bound * 0.999).all()
    assert answer.confidence.min() >= 0 and answer.confidence.max() <= 1


def test_unknown_stays_unknown_and_sky_stays_beyond():
    prediction = ramp()
    prediction[:30] = -0.5  # sky: below the horizon of the fit
    prediction[60, 40] = np.nan
    truth = np.where(prediction > 0, 1.2 / prediction, np.nan)
    rows, columns = np.nonzero(np.isfinite(truth[::3, ::3]))
    anchors = anchors_at(3 * rows, 3 * columns, truth[3 * rows, 3 * columns])
    answer = anchored(prediction, EXACT, anchors, LocalOptions())
    assert np.isposinf(answer.depth_m[:30]).all()
    assert np.isnan(answer.depth_m[60, 40]) and np.count_nonzero(np.isnan(answer.depth_m)) == 1
    assert not answer.confidence[:30].any() and answer.confidence[60, 40] == 0
    known = np.isfinite(truth)
    np.testing.assert_allclose(answer.depth_m[known], truth[known], rtol=0.03)


def test_anchors_bring_back_what_the_fit_has_beyond_range():
    prediction = ramp(far_m=30.0)
    truth = 1 / prediction
    off = fit_scale_shift(np.array([0.1, 0.2, 0.5]), 1 / (np.array([0.1, 0.2, 0.5]) - 0.04))
    assert np.isposinf(off.apply(prediction)[0]).all()
    answer = anchored(prediction, off, sampled(truth, 1000), LocalOptions())
    assert np.isfinite(answer.depth_m).all()
    assert relative_error(answer.depth_m, truth) < 0.05


def test_anchors_on_unknown_pixels_are_left_out():
    prediction = ramp()
    prediction[:, :80] = np.nan
    truth = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    truth[:, 80:] = 1.2 / prediction[:, 80:]
    answer = anchored(prediction, EXACT, sampled(truth), LocalOptions())
    assert relative_error(answer.depth_m[:, 80:], truth[:, 80:]) < 0.02


@pytest.mark.parametrize(("share", "limit"), [(0.3, 0.02), (0.5, 0.03)])
def test_gross_outliers_are_ignored(share, limit):
    prediction = ramp()
    warp = 1 + 0.2 * np.cos(np.pi * np.arange(WIDTH) / WIDTH)
    truth = (warp / prediction).astype(np.float32)
    anchors = sampled(truth, 500)
    rng = np.random.default_rng(1)
    wrong = rng.random(500) < share
    anchors.depth_m[wrong] = np.exp(rng.uniform(np.log(1), np.log(20), wrong.sum()))
    answer = anchored(prediction, EXACT, anchors, LocalOptions())
    assert relative_error(answer.depth_m, truth) < limit


def test_noise_at_the_anchors_is_not_copied():
    prediction = ramp()
    noise = np.exp(0.1 * np.random.default_rng(2).standard_normal(prediction.shape))
    noisy = (noise / prediction).astype(np.float32)
    answer = anchored(prediction, EXACT, sampled(noisy), LocalOptions())
    assert relative_error(answer.depth_m, 1 / prediction) < 0.03


@pytest.mark.parametrize("space", ["depth", "log_depth"])
def test_a_metric_prediction_is_corrected_as_well(space):
    prediction = 1 / ramp()
    warp = 1 + 0.2 * np.cos(np.pi * np.arange(WIDTH) / WIDTH)
    truth = (1.3 * warp * prediction).astype(np.float32)
    anchors = sampled(truth)
    fit = fit_scale_shift(
        prediction[anchors.indices], anchors.depth_m, method="scale_only", space=space
    )
    prediction[0, 0] = np.inf  # saturated
    answer = anchored(prediction, fit, anchors, LocalOptions())
    assert np.isposinf(answer.depth_m[0, 0])
    answer.depth_m[0, 0] = truth[0, 0]
    assert relative_error(answer.depth_m, truth) < 0.01


def test_confidence_falls_with_distance_and_with_spread():
    prediction = np.full((HEIGHT, WIDTH), 0.2, np.float32)
    rows, columns = (a.ravel() for a in np.mgrid[5:115:10, 5:60:10])
    exact = anchors_at(rows, columns, np.full(rows.size, 5.0))
    confidence = anchored(prediction, EXACT, exact, LocalOptions()).confidence
    along = confidence[60, [40, 80, 120, 159]]
    assert (np.diff(along) < 0).all() and along[0] > 0.8
    spread = np.random.default_rng(0).uniform(3.5, 6.5, rows.size)
    noisy = anchors_at(rows, columns, spread)
    assert anchored(prediction, EXACT, noisy, LocalOptions()).confidence[60, 40] < 0.6 * along[0]


def test_the_answer_is_repeatable_and_leaves_its_input_alone():
    prediction = ramp()
    kept = prediction.copy()
    anchors = sampled(1.2 / prediction)
    first, second = (anchored(prediction, EXACT, anchors, LocalOptions()) for _ in range(2))
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_array_equal(prediction, kept)
    assert first.depth_m.dtype == first.confidence.dtype == np.float32


def test_without_a_fit_all_is_unknown():
    nothing = fit_scale_shift(np.array([]), np.array([]))
    answer = anchored(ramp(), nothing, sampled(1 / ramp()), LocalOptions())
    assert np.isnan(answer.depth_m).all() and not answer.confidence.any()


def test_wrong_options_and_shapes_are_refused():
    with pytest.raises(ParameterError, match=r"unknown method 'nearest'.*lwlr, kriging"):
        LocalOptions("nearest")
    with pytest.raises(ParameterError, match=r"LocalOptions.max_factor is 1.0"):
        LocalOptions(max_factor=1.0)
    none = anchors_at([], [], [])
    with pytest.raises(ImageError, match="got float64"):
        anchored(ramp().astype(np.float64), EXACT, none, LocalOptions())
