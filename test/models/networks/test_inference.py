import pytest
import torch
from torch import nn

from depth_anything_ros.models.networks.efficientnet import ScaledConv
from depth_anything_ros.models.networks.inference import InFloat32, for_inference


@pytest.mark.parametrize(
    ("stride", "kernel", "groups"), [(1, 1, 1), (2, 3, 1), (1, 3, 8), (2, 5, 8)]
)
def test_a_folded_convolution_answers_the_same(stride, kernel, groups):
    torch.manual_seed(0)
    scaled = ScaledConv(nn.Conv2d(8, 8, kernel, stride, groups=groups))
    nn.init.uniform_(scaled.scale, 0.5, 2)
    maps = torch.randn(2, 8, 12, 16)
    with torch.no_grad():
        expected = scaled(maps)
        network = for_inference(nn.Sequential(scaled), ())
        assert torch.equal(network(maps), expected)
    assert not any(isinstance(module, ScaledConv) for module in network.modules())


def test_what_is_named_stays_in_float32():
    torch.manual_seed(0)
    maps = torch.randn(1, 3, 8, 8)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    with torch.no_grad():
        expected = network[0](maps)
        kept = for_inference(network, ("0",))
        assert isinstance(kept[0], InFloat32)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(kept[0](maps.bfloat16().float()), kept[0](maps.bfloat16()))
            assert torch.equal(kept[0](maps), expected)
            assert kept(maps).dtype == torch.bfloat16
