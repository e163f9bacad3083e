import numpy as np
import pytest

from depth_anything_ros.core.local_lines import fit_local_lines

ASPECT = 0.75


def points(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, count), rng.uniform(0, ASPECT, count), rng.uniform(0.1, 1, count)


def test_one_line_for_all_of_the_picture_is_found():
    x, y, fitted = points(2000)
    lines = fit_local_lines(x, y, ASPECT, fitted, 1.2 * fitted + 0.05, np.ones(2000))
    np.testing.assert_allclose(lines.slope, 0.2, atol=0.03)
    np.testing.assert_allclose(lines.shift, 0.05, atol=0.02)
    inverse = np.full((30, 40), 0.5, np.float32)
    np.testing.assert_allclose(lines.apply(inverse), 1.2 * 0.5 + 0.05, rtol=0.01)


def test_lines_differ_from_side_to_side():
    x, y, fitted = points(2000)
    true = np.where(x < 0.5, 1.2, 0.8) * fitted
    lines = fit_local_lines(x, y, ASPECT, fitted, true, np.ones(2000))
    answer = lines.apply(np.full((30, 40), 0.5, np.float32))
    np.testing.assert_allclose(answer[:, 2], 0.6, rtol=0.03)
    np.testing.assert_allclose(answer[:, -3], 0.4, rtol=0.03)


def test_where_no_anchors_are_the_global_fit_stands():
    x, y, fitted = points(300)
    lines = fit_local_lines(0.1 * x, y, ASPECT, fitted, 1.5 * fitted, np.ones(300))
    answer = lines.apply(np.full((30, 40), 0.5, np.float32))
    np.testing.assert_allclose(answer[:, 0], 0.75, rtol=0.03)
    np.testing.assert_allclose(answer[:, -1], 0.5, rtol=0.001)


@pytest.mark.parametrize("count", [0, 50])
def test_what_nobody_believes_changes_nothing(count):
    x, y, fitted = points(count)
    lines = fit_local_lines(x, y, ASPECT, fitted, 2 * fitted, np.zeros(count))
    inverse = np.array([[0.5, np.nan, -1.0]], np.float32)
    np.testing.assert_array_equal(lines.apply(inverse), inverse)


def test_equal_anchors_determine_a_line_by_the_ridge():
    lines = fit_local_lines(
        np.full(9, 0.5), np.full(9, 0.4), ASPECT, np.full(9, 0.2), np.full(9, 0.25), np.ones(9)
    )
    answer = lines.apply(np.full((30, 40), 0.2, np.float32))
    assert 0.2 < answer[16, 20] < 0.25
    assert answer[0, 0] == pytest.approx(0.2, rel=0.02)
