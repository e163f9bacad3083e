import math

import pytest
import torch

from depth_anything_ros.training.tally import Tally

GOOD, BAD = torch.tensor(0.0), torch.tensor(1.0)


def values(*numbers):
    return [torch.tensor(float(number)) for number in numbers]


def test_means_of_good_steps_and_counts_of_bad_ones():
    tally = Tally(("ssi",), torch.device("cpu"))
    assert tally.names == ("ssi", "loss", "gradient_norm")
    tally.add(values(1, 10, 0.5), GOOD)
    tally.add(values(math.nan, math.inf, math.nan), BAD)
    tally.add(values(3, 30, 1.5), GOOD)
    means, bad, streak = tally.read()
    assert means == {"ssi": 2.0, "loss": 20.0, "gradient_norm": 1.0}
    assert (bad, streak) == (1, 0)


def test_a_reading_begins_anew_but_for_the_row_of_bad_steps():
    tally = Tally((), torch.device("cpu"))
    for bad in (GOOD, BAD, BAD):
        tally.add(values(4, 2), bad)
    assert tally.read()[1:] == (2, 2)
    tally.add(values(math.nan, math.nan), BAD)
    means, bad, streak = tally.read()
    assert all(math.isnan(value) for value in means.values()) and (bad, streak) == (1, 3)
    tally.add(values(5, 1), GOOD)
    assert tally.read() == ({"loss": 5.0, "gradient_norm": 1.0}, 0, 0)


def test_an_infinite_loss_with_a_finite_gradient_leaves_the_next_reading_alone():
    tally = Tally((), torch.device("cpu"))
    tally.add(values(math.inf, 1), GOOD)
    assert tally.read()[0]["loss"] > 1e30
    tally.add(values(2, 1), GOOD)
    assert tally.read()[0]["loss"] == pytest.approx(2.0)
