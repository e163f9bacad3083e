import numpy as np
import pytest

from depth_anything_ros.core.colormap import COLORMAPS, colorize
from depth_anything_ros.core.depth import DepthMap, DisparityMap


def test_near_is_bright_unknown_is_black_and_sky_is_the_farthest_colour():
    depth = DepthMap(np.array([[1.0, 4.0, np.inf, np.nan]], np.float32))
    np.testing.assert_allclose(depth.nearness(), [[1.0, 0.25, 0.0, np.nan]])
    painted = colorize(depth.nearness(), "gray", limits=(0.0, 1.0))
    np.testing.assert_array_equal(painted[0, :, 0], [255, 63, 0, 0])
    disparity = DisparityMap(np.array([[1.0, 0.5]], np.float32))
    assert disparity.nearness() is disparity.disparity


@pytest.mark.parametrize("name", COLORMAPS)
def test_every_map_paints_in_rgb(name):
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    painted = colorize(values, name)
    assert painted.shape == (64, 64, 3) and painted.dtype == np.uint8
    assert painted.flags.c_contiguous
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) > 100
    if name == "inferno":  # its bright end is pale yellow: red over blue
        assert painted[-1, -1, 0] > painted[-1, -1, 2]


def test_a_map_without_a_number_is_black():
    assert not colorize(np.full((8, 8), np.nan, np.float32)).any()
    assert colorize(np.ones((8, 8), np.float32)).shape == (8, 8, 3)


def test_spectral_is_blue_where_it_is_far_and_red_where_it_is_near():
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    painted = colorize(values, "spectral", limits=(0.0, 1.0))
    np.testing.assert_array_equal(painted[0, [0, 2]], [(94, 79, 162), (158, 1, 66)])
    np.testing.assert_allclose(painted[0, 1], (255, 255, 190), atol=4)  # level 127 of 255
