import pytest
import torch

from depth_anything_ros.engines.outputs import FlatNetwork
from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card


@pytest.mark.parametrize("names", [None, ["depth"], ["sky", "depth"]])
def test_a_flat_network_answers_the_tensors_of_the_network(names):
    card = find_card("test_da3_metric")
    network = random_network(card).eval()
    image = torch.rand(1, 3, 42, 56)
    with torch.inference_mode():
        found, answer = FlatNetwork(network, card, names)(image), network(image)

    expected = answer.parts if names is None else [getattr(answer, name) for name in names]
    assert isinstance(found, tuple)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
