import numpy as np
import pytest

from depth_anything_ros.core.depth_prompt import dense_prompt
from depth_anything_ros.core.errors import ImageError

UNKNOWN = [0, np.nan, np.inf, -1]


def _map(*rows):
    return np.array(rows, np.float32)


def test_a_small_map_without_gaps_stays_as_it_is():
    known = np.random.default_rng(0).uniform(1, 5, (192, 256)).astype(np.float32)

    assert np.array_equal(dense_prompt(known), known)
    assert np.array_equal(dense_prompt(known.T), known.T)


@pytest.mark.parametrize("gap", UNKNOWN)
def test_a_gap_takes_the_nearest_depth(gap):
    found = dense_prompt(_map([2, gap, gap, gap, gap, 7], [2, gap, gap, gap, gap, 7]))

    assert found.tolist() == [[2, 2, 2, 7, 7, 7]] * 2


@pytest.mark.parametrize(("shape", "expected"), [((384, 768), (192, 256)), ((512, 96), (256, 96))])
def test_a_large_map_is_cut_into_cells_each_with_its_nearest_point(shape, expected):
    sparse = np.zeros(shape, np.float32)
    sparse[0, 0], sparse[1, 0] = 9, 4  # one cell: what is behind is hidden
    sparse[-1, -1] = 6

    found = dense_prompt(sparse)

    assert found.shape == expected
    assert (found[0, 0], found[-1, -1]) == (4, 6)
    assert set(np.unique(found)) == {4, 6}
    # Half of the picture is nearer to either point.
    assert abs((found == 4).mean() - 0.5) < 0.02


@pytest.mark.parametrize("depth", [0.5, 5, 80, 4000])
def test_the_same_depth_everywhere_still_has_a_range(depth):
    found = dense_prompt(np.full((12, 16), depth, np.float32))

    assert 0 < found.max() - found.min() <= 1e-6 + 2e-6 * depth


def test_the_prompt_of_the_caller_is_not_changed():
    flat = np.full((3, 4), 5, np.float32)
    dense_prompt(flat)

    assert (flat == 5).all()


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (np.zeros((3, 4), np.float32), "none of the 12 values of prompt_m is a depth"),
        (np.ones((3, 4)), "got float64 of shape (3, 4)"),
        (np.ones((3, 4, 1), np.float32), "got float32 of shape (3, 4, 1)"),
        (np.ones((0, 4), np.float32), "got float32 of shape (0, 4)"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt, words):
    with pytest.raises(ImageError) as error:
        dense_prompt(prompt)

    assert words in str(error.value)
    assert error.value.reason == "prompt"
