"""Depth Anything V2: a DINOv2 encoder and a DPT decoder (Yang et al. 2024, arXiv:2406.09414)."""

from __future__ import annotations

from torch import Tensor, nn

from depth_anything_ros.models.networks.dinov2 import DinoV2
from depth_anything_ros.models.networks.dpt import DptDecoder
from depth_anything_ros.models.zoo.card import ModelCard


class DepthAnythingV2(nn.Module):
    """The network of one model card, with the initial values of its layers."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.encoder = DinoV2(card)
        self.decoder = DptDecoder(
            card.width, card.features, card.out_channels, card.output, card.multiple
        )
        self.max_depth_m = card.max_depth_m

    def forward(self, image: Tensor) -> Tensor:
        """Predict disparity (0 is farthest) or metres, of sides that are multiples of a patch."""
        values: Tensor = self.decoder(self.encoder(image))
        return values if self.max_depth_m is None else values * self.max_depth_m
