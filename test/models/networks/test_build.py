import torch

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card

TESTS = ["test_relative", "test_metric"]


def _picture(batch=1, height=56, width=84):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_metric_is_a_share_of_the_maximum_depth():
    network = random_network(find_card("test_metric")).eval()

    with torch.inference_mode():
        metres = network(_picture())
        network.max_depth_m = 80.0
        rescaled = network(_picture())

    assert metres.max() < 20
    torch.testing.assert_close(rescaled, 4 * metres)


def test_a_training_step_lowers_the_loss():
    network = random_network(find_card("test_metric")).train()
    target = torch.full((2, 56, 84), 5.0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []

    for _ in range(5):
        loss = (network(_picture(2)) - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.8 * losses[0]
