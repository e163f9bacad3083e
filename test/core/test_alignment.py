import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.alignment import depth_from_disparity, fit_scale_shift
from depth_anything_ros.core.depth import DisparityMap
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.metrics import abs_rel


@given(st.floats(0.01, 50), st.floats(-5, 5), st.integers(0, 1000))
def test_an_exact_line_is_found(scale, shift, seed):
    prediction = np.random.default_rng(seed).uniform(0, 10, (6, 7)).astype(np.float32)
    target = scale * prediction.astype(np.float64) + shift
    mask = np.ones((6, 7), bool)
    mask[0] = False
    fit = fit_scale_shift(prediction, target, mask)
    assert fit.scale == pytest.approx(scale, rel=1e-6)
    assert fit.shift == pytest.approx(shift, rel=1e-6, abs=1e-5)
    assert fit.count == 35


def test_the_fit_minimises_squares():
    x = np.array([[0.0, 1, 2, 3]])
    y = np.array([[1.0, 3, 2, 5]])
    fit = fit_scale_shift(x, y, np.ones_like(x, bool))
    expected = np.polyfit(x[0], y[0], 1)
    np.testing.assert_allclose((fit.scale, fit.shift), expected)


@pytest.mark.parametrize("values", [[[]], [[3.0]], [[2.0, 2.0, 2.0]]])
def test_what_determines_no_line_is_refused(values):
    x = np.array(values)
    with pytest.raises(DepthAnythingError, match="two pixels with different predictions") as error:
        fit_scale_shift(x, x, np.ones(x.shape, bool))
    assert error.value.reason == "degenerate_fit"


def test_disparity_becomes_depth_with_a_ceiling():
    disparity = DisparityMap(np.array([[0.0, 1.0, 3.0, np.nan]], np.float32))
    fit = fit_scale_shift(
        np.array([1.0, 3.0]), np.array([0.25, 1.25]), np.array([True, True])
    )  # 1 / depth = 0.5 · d - 0.25
    depth = depth_from_disparity(disparity, fit, 80.0)
    np.testing.assert_allclose(depth.depth_m, [[80.0, 4.0, 0.8, np.nan]], rtol=1e-6)


def test_abs_rel_is_the_mean_of_relative_errors():
    depth, truth = np.array([[1.0, 3.0, 9.0]]), np.array([[2.0, 2.0, 1.0]])
    mask = np.array([[True, True, False]])
    assert abs_rel(depth, truth, mask) == pytest.approx(0.5)
    assert np.isnan(abs_rel(depth, truth, ~mask & False))
