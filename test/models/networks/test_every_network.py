"""What every network does, of whatever family."""

import pytest
import torch
from midas_official import TINY

from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.networks.output import COMPARED, NetworkOutput
from depth_anything_ros.models.zoo import find_card

NAMES = (
    "test_relative",
    "test_metric",
    "tiny",
    "test_da3_metric",
    "test_da3_any",
    "test_da3_nested",
)
CARDS = {name: find_card(name) for name in NAMES} | TINY
SQUARE_ONLY = {"tiny_swin": 128, "tiny_levit": 224}
BUFFERED = ("tiny_swin", "tiny_levit", "midas_v21_small")
every = pytest.mark.parametrize("name", CARDS)


def pictures(name, batch=1, rows=3, columns=4):
    card = CARDS[name]
    size = [SQUARE_ONLY.get(name, patches * card.multiple) for patches in (rows, columns)]
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def network_of(name, seed=0):
    return random_network(CARDS[name], seed).eval()


@torch.inference_mode()
def answer(network, name, image, autocast=False):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = NetworkOutput.of(network(image), CARDS[name].kind)
    return {
        part: values
        for part, values in found._asdict().items()
        if part in COMPARED and values is not None
    }


@every
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 2)])
def test_one_value_for_each_pixel(name, grid):
    image = pictures(name, 2, *grid)
    for values in answer(network_of(name), name, image).values():
        assert values.shape == (2, *image.shape[2:]) and values.dtype == torch.float32


@every
@pytest.mark.parametrize("seed", range(2))
def test_random_weights_answer_values_that_vary_and_are_not_negative(name, seed):
    for values in answer(network_of(name, seed), name, pictures(name)).values():
        assert values.isfinite().all() and values.min() >= 0
        assert values.std() > 0.02 * values.mean() > 0


@every
def test_random_weights_are_the_same_for_a_seed_and_leave_the_global_one_alone(name):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (network_of(name, seed).state_dict() for seed in (0, 0, 1))

    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(values, again[key]) for key, values in first.items())
    assert not all(torch.equal(values, other[key]) for key, values in first.items())


@every
def test_autocast_does_not_quantise_the_answer(name):
    network, image = network_of(name), pictures(name)
    exact, rounded = (answer(network, name, image, autocast) for autocast in (False, True))
    for part, values in rounded.items():
        assert values.dtype == torch.float32
        assert (values != values.bfloat16().float()).float().mean() > 0.9
        assert (values - exact[part]).abs().mean() < 0.1 * (exact[part].max() - exact[part].min())


@every
def test_a_batch_answers_what_its_pictures_do(name):
    network, batch = network_of(name), pictures(name, 2)
    apart = [answer(network, name, image[None]) for image in batch]
    for part, together in answer(network, name, batch).items():
        alone = torch.cat([one[part] for one in apart])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * float(alone.max()))


@pytest.mark.parametrize("name", ["test_relative", "test_metric", "tiny_vit", "tiny_beit"])
def test_gradients_reach_every_parameter(name):
    network = network_of(name).train()
    with torch.no_grad():  # so that no path is closed by weights of 0
        for parameter, values in network.named_parameters():
            if "gamma" in parameter:
                values.fill_(0.1)
    network(pictures(name, 2)).mean().backward()
    for parameter, values in network.named_parameters():
        assert values.grad is not None and values.grad.isfinite().all(), parameter


@every
def test_memory_that_nothing_wrote_holds_what_a_built_network_does(name):
    """What load_state_dict does not fill would stay unwritten memory."""
    network = empty_network(CARDS[name])
    built = dict(type(network)(CARDS[name]).named_buffers())
    empty = dict(network.named_buffers())

    assert built.keys() == empty.keys() and bool(built) == (name in BUFFERED)
    assert all(torch.equal(values, empty[buffer]) for buffer, values in built.items())


def test_metric_is_a_share_of_the_maximum_depth():
    network, image = network_of("test_metric"), pictures("test_metric")
    with torch.inference_mode():
        metres = network(image)
        network.max_depth_m = 80.0
        rescaled = network(image)

    assert metres.max() < 20
    torch.testing.assert_close(rescaled, 4 * metres)
