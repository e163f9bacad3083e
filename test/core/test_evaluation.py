import numpy as np
import pytest

from depth_anything_ros.core.alignment import METHODS, SPACES
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import DepthAnythingError, ParameterError
from depth_anything_ros.core.evaluation import Alignment, DepthRange, compare

RANGE = DepthRange(0.1, 80.0)


def truth_of(seed=0):
    depth = np.random.default_rng(seed).uniform(1, 40, (12, 16)).astype(np.float32)
    depth[0] = np.nan
    depth[1] = np.inf
    depth[2] = 100.0
    return DepthMap(depth)


def test_only_known_depth_in_the_range_counts():
    truth = truth_of()
    mask = RANGE.mask(truth)
    assert not mask[:3].any() and mask[3:].all()
    assert compare(truth, truth, RANGE).aligned.pixels == 9 * 16


def test_metres_are_scored_as_they_come_and_aligned():
    truth = truth_of()
    found = compare(DepthMap(1.5 * truth.depth_m), truth, RANGE)
    assert found.metric.abs_rel == pytest.approx(0.5, abs=1e-3)  # less where clamped to 80 m
    assert found.aligned.abs_rel < 1e-5 and found.plane_ratio < 1e-4
    assert found.fit.scale == pytest.approx(1.5, rel=1e-5)


def test_a_disparity_has_no_metres():
    truth = truth_of()
    answer = DisparityMap((3 / truth.depth_m - 0.7).astype(np.float32))
    found = compare(answer, truth, RANGE)
    assert found.metric is None
    assert found.aligned.abs_rel < 1e-4
    assert compare(truth, truth, RANGE, is_metric=False).metric is None


def test_the_alignment_does_not_care_for_an_assumed_focal_length():
    truth = truth_of()
    answer = np.random.default_rng(1).uniform(1, 30, (12, 16)).astype(np.float32)
    one, other = (compare(DepthMap(answer * np.float32(k)), truth, RANGE) for k in (1, 2.7))
    assert one.aligned.abs_rel == pytest.approx(other.aligned.abs_rel, rel=1e-5)
    assert one.metric.abs_rel != pytest.approx(other.metric.abs_rel, rel=1e-2)


def test_no_pixel_escapes_its_score():
    truth = DepthMap(np.full((1, 4), 8.0, np.float32))
    answer = DepthMap(np.array([[8, 8, np.inf, np.nan]], np.float32))
    found = compare(answer, truth, RANGE).metric
    assert found.pixels == 4
    assert found.abs_rel == pytest.approx((0 + 0 + 72 / 8 + 7.9 / 8) / 4, rel=1e-5)


def test_an_answer_without_shape_is_the_best_constant():
    truth = truth_of()
    flat = compare(DepthMap(np.full((12, 16), 5.0, np.float32)), truth, RANGE)
    assert flat.fit.scale == 0
    assert flat.aligned.abs_rel == pytest.approx(flat.best_constant.abs_rel, rel=1e-5)
    sky = compare(DepthMap(np.full((12, 16), np.inf, np.float32)), truth, RANGE)
    assert sky.aligned == flat.aligned


def test_a_plane_leaves_nothing_for_a_model_to_add():
    v = np.arange(1.0, 13.0)[:, None] + np.zeros((1, 16))
    truth = DepthMap((10 / v).astype(np.float32))
    found = compare(DepthMap(np.full((12, 16), 5.0, np.float32)), truth, RANGE)
    assert found.best_plane.abs_rel < 1e-6 < found.best_constant.abs_rel < found.mean_depth.abs_rel


def test_no_truth_and_no_range():
    with pytest.raises(DepthAnythingError, match="mask is empty"):
        compare(truth_of(), DepthMap(np.full((12, 16), np.inf, np.float32)), RANGE)
    for limits in ((0, 80), (5, 5), (1, np.inf), (np.nan, 1)):
        with pytest.raises(ParameterError, match="the depth that counts"):
            DepthRange(*limits)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES)
def test_every_alignment_by_name(method, space):
    truth = truth_of()
    factor = np.float32(1.5)  # on a line without shift in all three spaces
    found = compare(DepthMap(factor * truth.depth_m), truth, RANGE, True, Alignment(method, space))
    assert found.aligned.abs_rel < 2e-3 and found.used == method
    assert found.metric.abs_rel == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(found.aligned_depth.depth_m).all()


def test_an_alignment_in_depth_is_a_line_in_depth():
    truth = truth_of()
    answer = DepthMap(0.5 * truth.depth_m + np.float32(3))
    in_depth = compare(answer, truth, RANGE, True, Alignment("least_squares", "depth"))
    assert in_depth.aligned.abs_rel < 1e-5
    assert (in_depth.fit.scale, in_depth.fit.shift) == pytest.approx((2, -6), rel=1e-5)
    assert compare(answer, truth, RANGE).aligned.abs_rel > 0.02
    squared = DepthMap(truth.depth_m**2)
    in_log = compare(squared, truth, RANGE, True, Alignment("least_squares", "log_depth"))
    assert in_log.aligned.abs_rel < 1e-5 and in_log.fit.scale == pytest.approx(0.5)


def test_a_disparity_in_the_spaces_of_depth_is_inverted():
    truth = truth_of()
    answer = DisparityMap((3 / truth.depth_m).astype(np.float32))
    for space in SPACES:
        found = compare(answer, truth, RANGE, True, Alignment("least_squares", space))
        assert found.aligned.abs_rel < 1e-5


def test_gross_outliers_need_a_robust_alignment():
    truth = truth_of()
    answer = (1 / truth.depth_m).astype(np.float32)
    answer[3:5] = 2.0  # two of nine rows
    plain = compare(DisparityMap(answer), truth, RANGE)
    robust = compare(DisparityMap(answer), truth, RANGE, True, Alignment("ransac"))
    assert robust.aligned.delta1 == pytest.approx(7 / 9, abs=0.02) and robust.fit.count == 7 * 16
    assert plain.aligned.delta1 < robust.aligned.delta1 - 0.2


def test_without_an_alignment_metres_are_scored_as_they_came():
    truth = truth_of()
    answer = DepthMap(1.5 * truth.depth_m)
    found = compare(answer, truth, RANGE, True, Alignment("none"))
    assert found.aligned == found.metric and found.used == "none"
    np.testing.assert_array_equal(found.aligned_depth.depth_m, RANGE.clamped(answer))
    for without, is_metric in (
        (answer, False),
        (DisparityMap(np.ones((12, 16), np.float32)), True),
    ):
        with pytest.raises(ParameterError, match="choose one of least_squares, median_mad"):
            compare(without, truth, RANGE, is_metric, Alignment("none"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES)
def test_whatever_the_alignment_nothing_to_align_is_the_best_constant(method, space):
    truth = truth_of()
    sky = DepthMap(np.full((12, 16), np.inf, np.float32))
    found = compare(sky, truth, RANGE, True, Alignment(method, space))
    assert found.used == "constant" and found.fit.scale == 0
    if space == "disparity":
        assert found.aligned.abs_rel == pytest.approx(found.best_constant.abs_rel, rel=1e-5)


def test_the_report_says_which_alignment():
    said = {str(Alignment(method, space)) for method in METHODS for space in SPACES}
    assert len(said) == len(METHODS) * len(SPACES)
    assert (
        str(Alignment())
        == "least squares of scale and shift in disparity (MiDaS eq. 4), per picture"
    )
    assert str(Alignment("huber", "log_depth")) == (
        "Huber's loss of scale and shift in log depth, per picture"
    )
    assert str(Alignment("none", "depth")) == "none, metres as they came"
    for words in (("best",), ("ransac", "inverse")):
        with pytest.raises(ParameterError, match=f"no alignment '{words[-1]}'; expected"):
            Alignment(*words)
