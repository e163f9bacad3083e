"""EfficientNet-Lite as an encoder: timm's network with its batch norms made part of convolutions.

Tan and Le 2019, "EfficientNet", arXiv:1905.11946; the Lite networks, for small machines, are of the
same authors' tensorflow/tpu repository (models/official/efficientnet/lite).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before timm
from depth_anything_ros.models.networks.depthwise import depthwise_convolution

import timm  # isort: skip


class ScaledConv(nn.Conv2d):
    """A convolution whose channels have a scale: one with a batch norm that no longer measures.

    With its weights and scale apart it is trained as it would be with the norm, and at less cost:
    weights are smaller than maps.

    Args:
        like: the convolution that it takes the place of, with TensorFlow's padding where it has a
            stride: what is missing at both ends, the odd pixel at the right and below.
    """

    def __init__(self, like: nn.Conv2d) -> None:
        stride, kernel = like.stride[0], like.kernel_size[0]
        super().__init__(
            like.in_channels,
            like.out_channels,
            kernel,
            stride,
            padding=(kernel - 1) // 2 if stride == 1 else 0,
            groups=like.groups,
        )
        self.scale = nn.Parameter(torch.ones(like.out_channels))
        missing = kernel - stride  # of a side that is a multiple of the stride
        self.ends = (missing // 2, missing - missing // 2) if stride > 1 else (0, 0)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (batch, channels, rows, columns), both sides multiples of the stride."""
        if any(self.ends):
            maps = functional.pad(maps, (*self.ends, *self.ends))
        weight = self.weight * self.scale[:, None, None, None]
        if self.groups > 1:
            return depthwise_convolution(
                maps, weight, self.bias, self.stride[0], int(self.padding[0])
            )
        return functional.conv2d(maps, weight, self.bias, self.stride, self.padding)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Return a plain convolution that answers the same, after its padding if it has one."""
        stride, padding = self.stride[0], int(self.padding[0])
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size[0],
            stride,
            padding,
            groups=self.groups,
        )
        plain.weight = nn.Parameter(self.weight * self.scale[:, None, None, None])
        plain.bias = self.bias
        ends = (*self.ends, *self.ends)
        return nn.Sequential(nn.ZeroPad2d(ends), plain) if any(ends) else plain


class EfficientNetLite(nn.Module):
    """The maps of EfficientNet-Lite at strides of 2, 4, 8, 16 and 32.

    Args:
        timm_id: of the network in timm.

    Attributes:
        channels: of the five maps.
        norms: name of each convolution, name of the batch norm that timm has after it, and the
            number that it adds to a variance.
    """

    def __init__(self, timm_id: str) -> None:
        super().__init__()
        lite: Any = timm.create_model(timm_id, pretrained=False, features_only=True)
        self.channels: tuple[int, ...] = tuple(lite.feature_info.channels())
        self.norms = _without_norms(lite)
        self.lite: nn.Module = lite

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (batch, 3, height, width), both sides multiples of 32."""
        maps: list[Tensor] = self.lite(image)
        return maps

    def from_timm(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this encoder's parameters for a state dict of timm's, with its batch norms."""
        ours = {}
        for conv, norm, least in self.norms:
            scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + least)
            ours[f"lite.{conv}.weight"] = state[f"{conv}.weight"]
            ours[f"lite.{conv}.scale"] = scale
            ours[f"lite.{conv}.bias"] = (
                state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
            )
        return ours


def _initialise(convolution: nn.Module, is_linear: bool) -> None:
    """Draw weights that keep the variance of what they pass on (He et al. 2015, arXiv:1502.01852).

    torch's own are for networks with norms: without them, a deep one passes hardly anything on.
    """
    assert isinstance(convolution, ScaledConv) and convolution.bias is not None
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear" if is_linear else "relu")
    nn.init.zeros_(convolution.bias)


def _without_norms(network: nn.Module) -> tuple[tuple[str, str, float], ...]:
    """Put a ScaledConv in the place of each convolution, and of the norm after it its ReLU6."""
    norms = []
    convolution = ""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            network.set_submodule(name, ScaledConv(module))
            convolution = name
        elif isinstance(module, nn.BatchNorm2d):
            activation = module.get_submodule("act")
            network.set_submodule(name, activation)
            norms.append((convolution, name, module.eps))
            _initialise(network.get_submodule(convolution), isinstance(activation, nn.Identity))
    return tuple(norms)
