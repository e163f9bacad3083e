import pytest
import torch
from torch.nn import functional

from depth_anything_ros.models.networks.depthwise import depthwise_convolution


def _case(kernel, stride):
    generator = torch.Generator().manual_seed(kernel)
    # Of few bits, such that bfloat16 holds them exactly.
    maps = torch.randint(-4, 5, (2, 16, 12, 20), generator=generator) / 4
    weight = torch.randint(-4, 5, (16, 1, kernel, kernel), generator=generator) / 4
    bias = torch.randint(-4, 5, (16,), generator=generator) / 4
    return [values.float().requires_grad_() for values in (maps, weight, bias)]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_gradients_in_bfloat16_are_those_of_float32(kernel, stride):
    padding = kernel // 2
    exact = _case(kernel, stride)
    expected = functional.conv2d(*exact, stride, padding, groups=16)
    weights = torch.linspace(-1, 1, expected.numel()).bfloat16().float().view_as(expected)
    (expected * weights).sum().backward()

    found = _case(kernel, stride)
    with torch.autocast("cpu", torch.bfloat16):
        made = depthwise_convolution(*found, stride, padding)
    (made.float() * weights).sum().backward()

    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), expected, rtol=1e-2, atol=1e-2)
    for ours, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=2e-2)


def test_without_autocast_it_is_torchs_own_convolution():
    maps, weight, bias = _case(3, 1)

    made = depthwise_convolution(maps, weight, bias, 1, 1)

    assert made.dtype == torch.float32 and "Depthwise" not in type(made.grad_fn).__name__
    assert torch.equal(made, functional.conv2d(maps, weight, bias, 1, 1, groups=16))


def test_gradients_that_nobody_wants_are_none():
    maps, weight, bias = _case(3, 1)
    weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        depthwise_convolution(maps, weight, bias, 1, 1).float().sum().backward()

    assert weight.grad is None
    torch.testing.assert_close(bias.grad, torch.full((16,), 2.0 * 12 * 20))
