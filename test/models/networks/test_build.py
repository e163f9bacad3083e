import pytest
import torch

from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.zoo import find_card

TESTS = ["test_relative", "test_metric"]


def _picture(batch=1, height=56, width=84):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("size", [(14, 14), (14, 70), (56, 84), (98, 28)])
def test_one_value_for_each_pixel(name, size):
    network = random_network(find_card(name)).eval()

    with torch.inference_mode():
        values = network(_picture(2, *size))

    assert values.shape == (2, *size)
    assert values.dtype == torch.float32


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", TESTS)
def test_random_weights_answer_positive_values_that_vary(name, seed):
    network = random_network(find_card(name), seed).eval()

    with torch.inference_mode():
        values = network(_picture())

    assert values.min() > 0
    assert values.std() > 0.02 * values.mean()


def test_random_weights_are_the_same_for_a_seed_and_leave_the_global_one_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)

    first, again = (
        random_network(find_card("test_metric")),
        random_network(find_card("test_metric")),
    )
    other = random_network(find_card("test_metric"), seed=1)

    assert torch.equal(torch.rand(3), expected)
    state = other.state_dict()
    for name, values in first.state_dict().items():
        assert torch.equal(values, again.state_dict()[name])
        assert values.ndim == 1 or not torch.equal(values, state[name])


def test_metric_is_a_share_of_the_maximum_depth():
    network = random_network(find_card("test_metric")).eval()

    with torch.inference_mode():
        metres = network(_picture())
        network.max_depth_m = 80.0
        rescaled = network(_picture())

    assert metres.max() < 20
    torch.testing.assert_close(rescaled, 4 * metres)


@pytest.mark.parametrize("name", TESTS)
def test_gradients_reach_every_parameter(name):
    network = random_network(find_card(name)).train()

    network(_picture(2)).log().mean().backward()

    for parameter, values in network.named_parameters():
        assert values.grad is not None, parameter
        assert values.grad.isfinite().all(), parameter
        assert values.grad.abs().sum() > 0, parameter


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


@pytest.mark.parametrize("name", TESTS)
def test_autocast_does_not_quantise_the_answer(name):
    network = random_network(find_card(name)).eval()

    with torch.inference_mode():
        exact = network(_picture())
        with torch.autocast("cpu", torch.bfloat16):
            values = network(_picture())

    assert values.dtype == torch.float32
    assert (values != values.bfloat16().float()).float().mean() > 0.9
    assert (values - exact).abs().max() < 0.05 * (exact.max() - exact.min())


def test_an_empty_network_has_the_parameters_of_a_card_and_no_buffers():
    network = empty_network(find_card("test_relative"))

    # What load_state_dict does not fill would stay unwritten memory.
    assert not list(network.buffers())
    assert all(values.device.type == "cpu" for values in network.parameters())
