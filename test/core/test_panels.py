import numpy as np

from depth_anything_ros.core.panels import (
    CAPTION_HEIGHT,
    LARGEST_ERROR,
    Tile,
    color_limits,
    painted_error,
    row_of,
    spread,
    stacked,
)


def test_tiles_stand_side_by_side_under_their_captions():
    red = np.full((30, 40, 3), (200, 0, 0), np.uint8)
    name_of_other_bytes = "\udcff\x1b"
    found = row_of([Tile(red, "one", name_of_other_bytes), Tile(red, "", "")], 80)
    assert found.shape == (CAPTION_HEIGHT + 60, 160, 3)
    assert (found[CAPTION_HEIGHT:] == (200, 0, 0)).all()
    assert found[:CAPTION_HEIGHT, :80].max() == 255 and found[:CAPTION_HEIGHT, 80:].max() == 24


def test_rows_stand_one_below_the_other_and_shorter_ones_end_in_black():
    found = stacked([np.full((2, width, 3), 9, np.uint8) for width in (5, 3)], gap=1)
    assert found.shape == (6, 5, 3)
    assert (found[:2] == 9).all() and (found[3:5, :3] == 9).all()
    assert not found[[2, 5]].any() and not found[3:, 3:].any()


def test_colours_begin_and_end_at_percentiles_of_what_is_known():
    values = np.append(np.arange(101, dtype=np.float32), (np.nan, np.inf))
    assert color_limits(values) == (2.0, 98.0)
    assert color_limits(values[101:]) == (0.0, 1.0)


def test_an_error_is_a_share_of_the_truth_and_beyond_range_is_one():
    truth = np.full((1, 5), 2.0, np.float32)
    depth = np.array([[2.0, 3.0, 9.0, np.inf, np.nan]], np.float32)
    right, half, beyond, infinite, unknown = painted_error(depth, truth, truth > 0)[0]
    assert (half == beyond).all() and (half == infinite).all() and (half != right).any()
    assert not unknown.any() and right.any()
    assert not painted_error(depth, truth, truth > 2).any()
    assert abs(depth[0, 1] - 2) / 2 == LARGEST_ERROR


def test_sparse_points_are_spread_and_the_largest_is_on_top():
    values = np.full((5, 9), np.nan, np.float32)
    values[2, 2], values[2, 3], values[0, 8] = 1.0, 0.0, -3.0
    found = spread(values, 1)
    assert (found[1:4, 1:4] == 1).all() and (found[1:4, 4] == 0).all()
    assert (found[:2, 7:] == -3).all()
    assert np.isnan(found).sum() == 45 - 9 - 3 - 4
    assert spread(values, 0) is values
