import numpy as np
import pytest

from depth_anything_ros.core.metrics import Scores, abs_rel, delta1, rmse, score

TRUTH = np.array([[2.0, 2.0, 4.0, 1.0]])
DEPTH = np.array([[1.0, 2.4, 4.0, 9.0]], np.float32)
MASK = np.array([[True, True, True, False]])


def test_scores_of_a_case_worked_by_hand():
    found = score(DEPTH, TRUTH, MASK)
    assert found.abs_rel == pytest.approx((0.5 + 0.2 + 0) / 3)
    assert found.delta1 == pytest.approx(2 / 3)
    assert found.rmse == pytest.approx(np.sqrt((1 + 0.4**2 + 0) / 3))
    assert found.pixels == 3


def test_the_truth_has_no_errors():
    assert score(TRUTH, TRUTH, MASK) == Scores(0.0, 1.0, 0.0, 3)


def test_a_factor_of_exactly_one_and_a_quarter_is_outside():
    truth = np.full((1, 3), 4.0)
    depth = np.array([[5.0, 3.2, 4.999]])
    assert delta1(depth, truth, np.ones((1, 3), bool)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("bad", [np.nan, 0.0, -2.0])
def test_depth_that_is_none_is_outside_and_not_left_out(bad):
    assert delta1(np.array([[bad, 2.0]]), np.full((1, 2), 2.0), np.ones((1, 2), bool)) == 0.5


def test_one_factor_everywhere():
    truth = np.random.default_rng(0).uniform(1, 50, (6, 7)).astype(np.float32)
    mask = np.ones((6, 7), bool)
    found = score(1.5 * truth, truth, mask)
    assert found.abs_rel == pytest.approx(0.5, rel=1e-6) and found.delta1 == 0
    assert found.rmse == pytest.approx(0.5 * np.sqrt(np.mean(truth.astype(float) ** 2)), rel=1e-6)


@pytest.mark.parametrize("metric", [abs_rel, delta1, rmse])
def test_nothing_to_compare_is_nan(metric):
    assert np.isnan(metric(DEPTH, TRUTH, np.zeros((1, 4), bool)))
    assert score(DEPTH, TRUTH, np.zeros((1, 4), bool)).pixels == 0
