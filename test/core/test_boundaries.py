import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.boundaries import FACTORS, boundary_contrast, boundary_scores
from depth_anything_ros.core.errors import ImageError


def box(near=2.0, far=4.0, size=12, inside=slice(4, 8)):
    """A box before a wall: 4 boundaries of each kind."""
    depth = np.full((size, size), far)
    depth[inside, inside] = near
    return depth


def depth_pro_f1(depth, truth):
    """Depth Pro's definition, pixel by pixel."""
    found = []
    for t in np.linspace(1.05, 1.25, 10):
        precisions, recalls = [], []
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            both = of_depth = of_truth = 0
            for row, column in np.ndindex(depth.shape):
                there = (row + step[0], column + step[1])
                if min(there) >= 0 and there[0] < depth.shape[0] and there[1] < depth.shape[1]:
                    is_depth = depth[there] / depth[row, column] > t
                    is_truth = truth[there] / truth[row, column] > t
                    both += is_depth and is_truth
                    of_depth, of_truth = of_depth + is_depth, of_truth + is_truth
            precisions.append(both / max(of_depth, 1))
            recalls.append(both / max(of_truth, 1))
        p, r = np.mean(precisions), np.mean(recalls)
        found.append((t, 2 * p * r / (p + r) if p + r else 0.0))
    weights, values = np.array(found).T
    return np.average(values, weights=weights)


def test_factors_are_from_5_to_25_percent():
    assert FACTORS[0] == pytest.approx(1.05) and FACTORS[-1] == pytest.approx(1.25)
    assert len(FACTORS) == 10


def test_the_truth_is_perfect_at_any_scale():
    found = boundary_scores(17 * box(), box())
    assert (found.precision, found.recall, found.f1) == pytest.approx((1, 1, 1))
    assert found.boundaries == 16


def test_a_blurred_edge_is_none():
    # From 2 to 4 m in steps of less than 5 %, beside a step at once.
    truth = np.concatenate((np.full(20, 2.0), np.full(20, 4.0)))[None].repeat(3, 0)
    blurred = np.geomspace(2, 4, 40)[None].repeat(3, 0)
    assert boundary_scores(blurred, truth).f1 == 0
    assert boundary_scores(truth, truth).f1 == pytest.approx(1)


def test_a_moved_box_worked_by_hand():
    moved = np.roll(box(), 1, axis=1)
    found = boundary_scores(moved, box())
    # Above and below 3 of 4 are common, left and right none: (0 + 0 + 3/4 + 3/4) / 4.
    assert found.precision == found.recall == found.f1 == pytest.approx(0.375)


def test_a_hole_is_no_box():
    assert boundary_scores(box(4.0, 2.0), box()).f1 == 0


def test_only_factors_below_the_step_count():
    # A step of 15 %: found by a map of that step, missed at the larger factors by one of 12 %.
    assert boundary_scores(box(2.0, 2.3), box(2.0, 2.3)).f1 == pytest.approx(1)
    half = boundary_scores(box(2.0, 2.24), box(2.0, 2.3))
    weights = [factor for factor in FACTORS if factor < 1.15]
    met = [factor for factor in weights if factor < 1.12]
    assert half.f1 == pytest.approx(sum(met) / sum(weights)) and 0 < half.f1 < 1


@given(st.integers(0, 2**32 - 1))
def test_it_is_depth_pro_s_where_all_kinds_occur(seed):
    depth, truth = np.random.default_rng(seed).uniform(1, 3, (2, 7, 8))
    expected = depth_pro_f1(depth, truth)
    assert boundary_scores(depth, truth).f1 == pytest.approx(expected)


def test_unknown_truth_and_the_mask_are_left_out():
    depth, truth = box(), box()
    depth[6:, 6:], truth[6:, 6:] = 1.0, np.nan  # wrong where nothing is known
    assert boundary_scores(depth, truth).f1 == pytest.approx(1)
    mask = np.ones(truth.shape, bool)
    mask[6:, 6:] = False
    assert boundary_scores(depth, box(), mask).f1 == pytest.approx(1)
    assert boundary_scores(depth, box()).f1 < 1


def test_the_sky_is_behind_all():
    sky = box(far=np.inf)
    assert boundary_scores(sky, sky).f1 == pytest.approx(1)
    assert boundary_scores(box(far=1000.0), sky).f1 == pytest.approx(1)


def test_depth_that_is_not_known_is_no_boundary():
    depth = box()
    depth[:, 6:] = np.nan
    found = boundary_scores(depth, box())
    assert found.precision == pytest.approx(1) and found.recall < 1


def test_a_wall_has_nothing_to_find():
    found = boundary_scores(box(), np.full((12, 12), 3.0))
    assert np.isnan([found.precision, found.recall, found.f1]).all() and found.boundaries == 0


def test_two_grids_are_not_compared():
    with pytest.raises(ImageError, match="one grid"):
        boundary_scores(box(), box(size=13))


def test_contrast_is_the_share_of_the_true_steps_that_is_left():
    truth = box()
    assert boundary_contrast(truth, truth) == pytest.approx(1.0)
    # Any power of depth keeps that share of ln depth; a scale changes none.
    assert boundary_contrast(3 * truth**0.5, truth) == pytest.approx(0.5)
    assert boundary_contrast(np.full(truth.shape, 3.0), truth) == 0
    assert boundary_contrast(8 / truth, truth) == pytest.approx(-1.0)
    blurred = truth.copy()
    blurred[4:8, 4] = np.sqrt(2.0 * 4.0)  # half of the steps of this column's pixels is farther on
    noise = np.random.default_rng(0).normal(0, 0.05, (400, 12, 12))
    noisy = [boundary_contrast(truth * np.exp(one), truth) for one in noise]
    assert np.mean(noisy) == pytest.approx(1.0, abs=0.01) and np.std(noisy) > 0.005
    # Of 16 steps, the 4 on the left and one each above and below are half as high.
    assert boundary_contrast(blurred, truth) == pytest.approx((16 - 6 / 2) / 16)
    assert np.isnan(boundary_contrast(truth, np.full(truth.shape, 2.0)))
