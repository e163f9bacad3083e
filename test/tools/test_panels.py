import numpy as np

from depth_anything_ros.tools.panels import CAPTION_HEIGHT, row, spread, tile


def test_tiles_stand_side_by_side_under_their_captions():
    red = np.full((30, 40, 3), (200, 0, 0), np.uint8)
    found = row([tile(red, "one", "two", 80), tile(red, "", "", 80)])
    assert found.shape == (CAPTION_HEIGHT + 60, 160, 3)
    assert (found[CAPTION_HEIGHT:] == (200, 0, 0)).all()
    assert found[:CAPTION_HEIGHT, :80].max() == 255 and found[:CAPTION_HEIGHT, 80:].max() == 24


def test_sparse_points_are_spread_and_the_largest_is_on_top():
    values = np.full((5, 9), np.nan, np.float32)
    values[2, 2], values[2, 3], values[0, 8] = 1.0, 0.0, -3.0
    found = spread(values, 1)
    assert (found[1:4, 1:4] == 1).all() and (found[1:4, 4] == 0).all()
    assert (found[:2, 7:] == -3).all()
    assert np.isnan(found).sum() == 45 - 9 - 3 - 4
    assert spread(values, 0) is values


def test_a_caption_of_a_name_that_is_no_utf8():
    assert tile(np.zeros((3, 4, 3), np.uint8), "\udcff\x1b", "", 80).shape[1] == 80
