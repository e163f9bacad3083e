import pytest
import torch

from depth_anything_ros.engines.outputs import FlatNetwork, Form, flat, form_of
from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.networks.depth_and_sky import DepthWithSky, Prediction
from depth_anything_ros.models.networks.transformers_models import ModelAnswer
from depth_anything_ros.models.zoo import find_card


def maps(count, batch=2):
    return [torch.rand(batch, 4, 6) for _ in range(count)]


ANSWERS = [
    ("test_relative", maps(1)[0], ("disparity",)),
    ("test_metric", maps(1)[0], ("depth",)),
    ("tiny", Prediction(*maps(4)), ("depth", "sky", "disparity", "sky_logit")),
    ("test_da3_metric", DepthWithSky(*maps(2)), ("depth", "sky")),
    ("test_metric", ModelAnswer(maps(1)[0], torch.rand(2)), ("values", "field_of_view_deg")),
    ("test_metric", ModelAnswer(maps(1)[0], torch.empty(2, 0)), ("values",)),
]


@pytest.mark.parametrize(("name", "answer", "names"), ANSWERS)
def test_an_answer_is_the_same_after_it_was_flat(name, answer, names):
    form = form_of(answer, find_card(name))
    again = form.like(flat(answer))

    assert form.names == names and len(flat(answer)) == len(names)
    assert type(again) is type(answer)
    parts = zip([again], [answer], strict=True)
    for one, other in (
        parts if isinstance(answer, torch.Tensor) else zip(again, answer, strict=True)
    ):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_too_few_tensors_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        Form(DepthWithSky, ("depth", "sky")).like(maps(1))


def test_a_flat_network_answers_the_tensors_of_the_network():
    network = random_network(find_card("test_da3_metric")).eval()
    image = torch.rand(1, 3, 42, 56)
    with torch.inference_mode():
        found, expected = FlatNetwork(network)(image), network(image)

    assert isinstance(found, tuple)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
