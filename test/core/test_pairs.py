import numpy as np
import pytest

from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.core.pairs import PairScores, score_pairs

# Row 0: 1, 2, sky, sky; row 1: unknown, 3, 1, 4 metres.
DEPTH = np.array([[1, 2, np.inf, np.inf], [np.nan, 3, 1, 4]], np.float32)


def points(*values):
    return np.array(values, np.int64).reshape(-1, 2)


def test_pairs_worked_by_hand():
    nearer = points((0, 0), (0, 1), (1, 3), (0, 0), (0, 2), (1, 0), (1, 1))
    farther = points((0, 1), (0, 2), (1, 1), (1, 2), (0, 3), (1, 3), (1, 0))
    # Right, right (sky is behind), wrong, a tie, a tie of the sky, unknown twice.
    found = score_pairs(DepthMap(DEPTH), nearer, farther)
    assert (found.right, found.pairs) == (2, 7) and found.accuracy == pytest.approx(2 / 7)


def test_a_larger_disparity_is_nearer():
    disparity = DisparityMap(np.array([[-1.0, 0.0, 2.0]], np.float32))
    assert score_pairs(disparity, points((0, 2)), points((0, 1))).right == 1
    assert score_pairs(disparity, points((0, 0)), points((0, 1))).right == 0


def test_no_pair_is_nan():
    found = score_pairs(DepthMap(DEPTH), points(), points())
    assert found == PairScores(0, 0) and np.isnan(found.accuracy)


@pytest.mark.parametrize("bad", [(2, 0), (0, 4), (-1, 0)])
def test_points_must_lie_in_the_picture(bad):
    for nearer, farther in ((points(bad), points((0, 0))), (points((0, 0)), points(bad))):
        with pytest.raises(ImageError, match=f"row {bad[0]}, column {bad[1]} is not in .* 4x2"):
            score_pairs(DepthMap(DEPTH), nearer, farther)


def test_as_many_nearer_as_farther_points():
    with pytest.raises(ImageError, match=r"must be of shape \(1, 2\)"):
        score_pairs(DepthMap(DEPTH), points((0, 0)), points((0, 0), (0, 1)))
