import pytest
from torch import nn
from torch.nn import functional

from depth_anything_ros.tools.arithmetic import gflop, matrix_rates


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 1)

    def forward(self, image):
        tokens = self.convolution(image).flatten(2).transpose(1, 2)[:, None]
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


def test_convolutions_and_fused_attention_are_counted():
    pixels = 6 * 10
    convolution, attention = 2 * pixels * 3 * 8, 2 * (2 * pixels * pixels * 8)

    assert gflop(_Attention(), (6, 10)) == pytest.approx(1e-9 * (convolution + attention))


def test_rates_are_of_the_precisions_that_torch_has():
    rates = matrix_rates("cpu", ["fp32", "bf16", "int8"])

    assert set(rates) == {"fp32", "bf16"}
    assert all(rate > 0.1 for rate in rates.values())
