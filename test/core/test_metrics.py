import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.metrics import METRICS, Scores, score

TRUTH = np.array([[2.0, 2.0, 4.0, 1.0]])
DEPTH = np.array([[1.0, 2.4, 4.0, 9.0]], np.float32)
MASK = np.array([[True, True, True, False]])


def test_scores_of_a_case_worked_by_hand():
    found = score(DEPTH, TRUTH, MASK)
    # Errors -1, 0.4, 0 m; of ln -ln 2, ln 1.2, 0; of the inverse 1/2, 1/2.4 - 1/2, 0 in 1/m.
    ln = (-math.log(2), math.log(1.2), 0)
    inverse = (0.5, 1 / 2.4 - 0.5, 0)
    assert found.abs_rel == pytest.approx((0.5 + 0.2 + 0) / 3)
    assert found.sq_rel == pytest.approx((1 / 2 + 0.4**2 / 2) / 3)
    assert found.rmse == pytest.approx(np.sqrt((1 + 0.4**2 + 0) / 3))
    assert found.rmse_log == pytest.approx(math.sqrt((ln[0] ** 2 + ln[1] ** 2) / 3))
    mean_square, square_mean = (ln[0] ** 2 + ln[1] ** 2) / 3, ((ln[0] + ln[1]) / 3) ** 2
    assert found.silog == pytest.approx(100 * math.sqrt(mean_square - square_mean))
    assert found.mae == pytest.approx(1.4 / 3)
    assert found.irmse == pytest.approx(1000 * math.sqrt((0.5**2 + inverse[1] ** 2) / 3))
    assert found.imae == pytest.approx(1000 * (0.5 - inverse[1]) / 3)
    assert found.log10 == pytest.approx((math.log10(2) + math.log10(1.2)) / 3)
    assert found.delta1 == found.delta2 == pytest.approx(2 / 3)  # 2 is beyond 1.25² = 1.5625,
    assert found.delta3 == pytest.approx(2 / 3)  # and beyond 1.25³ = 1.953
    assert found.pixels == 3


def test_the_plain_errors_are_those_of_torch():
    rng = np.random.default_rng(0)
    depth, truth = rng.uniform(0.5, 80, (2, 30, 40))
    mask = rng.random((30, 40)) < 0.3
    x, y = torch.from_numpy(depth[mask]), torch.from_numpy(truth[mask])
    l1, l2 = torch.nn.functional.l1_loss, torch.nn.functional.mse_loss
    found = score(depth, truth, mask)
    assert found.mae == pytest.approx(l1(x, y).item())
    assert found.rmse == pytest.approx(l2(x, y).sqrt().item())
    assert found.rmse_log == pytest.approx(l2(x.log(), y.log()).sqrt().item())
    assert found.silog == pytest.approx(100 * (x / y).log().std(correction=0).item())
    assert found.imae == pytest.approx(l1(1000 / x, 1000 / y).item())
    assert found.irmse == pytest.approx(l2(1000 / x, 1000 / y).sqrt().item())
    assert found.log10 == pytest.approx(l1(x.log10(), y.log10()).item())
    for power in (1, 2, 3):
        within = (torch.maximum(x / y, y / x) < 1.25**power).double().mean().item()
        assert getattr(found, f"delta{power}") == pytest.approx(within)


def test_the_truth_has_no_errors():
    assert score(TRUTH, TRUTH, MASK) == Scores(*(0.0,) * 9, 1.0, 1.0, 1.0, 3)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_factor_of_exactly_a_threshold_is_outside(power):
    truth, factor = np.full((1, 3), 4.0), 1.25**power
    found = score(np.array([[4 * factor, 4 / factor, 4 * factor - 1e-3]]), truth)
    assert getattr(found, f"delta{power}") == pytest.approx(1 / 3)


@pytest.mark.parametrize("bad", [np.nan, 0.0, -2.0])
def test_depth_that_is_none_is_outside_and_not_left_out(bad):
    found = score(np.array([[bad, 2.0]]), np.full((1, 2), 2.0))
    assert found.delta1 == 0.5
    for name in ("rmse_log", "log10", "irmse", "imae"):
        assert not 0 <= getattr(found, name) < 1 or bad == -2.0  # the inverse of -2 is a number


def test_one_factor_everywhere():
    truth = np.random.default_rng(0).uniform(1, 50, (6, 7)).astype(np.float32)
    mask = np.ones((6, 7), bool)
    found = score(1.5 * truth, truth, mask)
    assert found.abs_rel == pytest.approx(0.5, rel=1e-6) and found.delta1 == 0
    assert found.rmse == pytest.approx(0.5 * np.sqrt(np.mean(truth.astype(float) ** 2)), rel=1e-6)
    assert found.rmse_log == pytest.approx(math.log(1.5), rel=1e-6)
    assert found.log10 == pytest.approx(math.log10(1.5), rel=1e-6)
    assert found.silog < 1e-4 and found.delta2 == 1


@given(st.floats(0.01, 100))
def test_no_scale_changes_silog(factor):
    depth, truth = np.random.default_rng(1).uniform(1, 50, (2, 5, 5))
    assert score(factor * depth, truth).silog == pytest.approx(score(depth, truth).silog)


def test_nothing_to_compare_is_nan():
    found = score(DEPTH, TRUTH, np.zeros((1, 4), bool))
    assert found.pixels == 0 and all(math.isnan(getattr(found, name)) for name in METRICS)


def test_only_the_mask_counts_and_without_one_all_does():
    found, all_count = score(DEPTH, TRUTH, MASK), score(DEPTH, TRUTH)
    assert found == score(DEPTH[:, :3], TRUTH[:, :3])
    assert all(getattr(found, name) != getattr(all_count, name) for name in METRICS)


def test_float32_maps_are_averaged_in_float64():
    truth = np.full((1000, 1000), 16.0, np.float32)
    depth = np.full((1000, 1000), 16.1, np.float32)
    assert score(depth, truth).abs_rel == pytest.approx((np.float64(np.float32(16.1)) - 16) / 16)
