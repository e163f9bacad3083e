import numpy as np
import pytest
import torch

from depth_anything_ros.engines import gate
from depth_anything_ros.engines.gate import MOST_ANYWHERE, MOST_MEAN, pictures
from depth_anything_ros.models.networks.output import NetworkOutput

EXACT = torch.linspace(2, 4, 200).view(1, 10, 20)


def compare(found, exact):
    """Of answers of depth alone."""
    return gate.compare(*([NetworkOutput(depth=x) for x in values] for values in (found, exact)))


def test_the_same_answer_passes():
    difference = compare([EXACT, EXACT], [EXACT, EXACT])

    assert (difference.mean, difference.largest, difference.non_finite) == (0, 0, 0)
    assert difference.problem == ""


def test_differences_are_shares_of_the_range_and_of_the_worst_picture():
    other = EXACT.clone()
    other[0, 3, 4] += 0.5  # of a range of 2, at one of 200 pixels
    difference = compare([EXACT, other], [EXACT, EXACT])

    assert difference.largest == pytest.approx(0.25, rel=1e-5)
    assert difference.mean == pytest.approx(0.25 / 200, rel=1e-5)
    assert str(difference) == "0.12% from fp32 in the mean, 25.0% at most"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_refused(bad):
    other = EXACT.clone()
    other[0, 0, :3] = bad

    assert compare([other], [EXACT]).problem == "it answers 3 values as NaN or Inf"


def test_too_large_differences_are_refused():
    shifted = EXACT + 2 * (MOST_MEAN + 0.001)
    spiked = EXACT.clone()
    spiked[0, 0, 0] += 2 * (MOST_ANYWHERE + 0.01)

    assert "in the mean (limit 2%)" in compare([shifted], [EXACT]).problem
    assert "by up to 21% (limit 20%)" in compare([spiked], [EXACT]).problem


def test_a_wall_has_no_range_but_a_size():
    wall = torch.full((1, 10, 20), 10.0)

    assert compare([wall + 0.005], [wall]).mean == pytest.approx(0.01, rel=1e-3)
    assert not compare([wall * 0], [wall * 0]).problem


def test_depth_in_the_sky_means_nothing():
    sky = (EXACT > 3).float()
    exact = NetworkOutput(EXACT, sky)

    assert not gate.compare([NetworkOutput(EXACT + 50 * sky, sky)], [exact]).problem
    assert gate.compare([NetworkOutput(EXACT + 50 * (1 - sky), sky)], [exact]).problem


def test_pictures_are_the_same_at_every_call_and_differ_from_each_other():
    one, other = pictures(2, 60, 90)

    assert one.shape == (60, 90, 3) and one.dtype == np.uint8
    assert np.array_equal(one, pictures(1, 60, 90)[0]) and not np.array_equal(one, other)
    assert one.std() > 30  # contrast
    assert np.abs(np.diff(one.astype(int), axis=1)).mean() > 4  # texture
