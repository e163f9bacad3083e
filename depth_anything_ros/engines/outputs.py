"""Between what networks answer and the plain tuples of tensors that exported graphs return."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard


class FlatNetwork(nn.Module):
    """A network that answers a plain tuple, for tracing and export.

    Args:
        network: of the card.
        card: of the model.
        names: of the parts that it answers; None is all.
    """

    def __init__(
        self, network: nn.Module, card: ModelCard, names: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.kind = card.kind
        self.names = names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Answer (batch, 3, height, width)."""
        answer = NetworkOutput.of(self.network(image), self.kind)
        if self.names is None:
            return answer.parts
        return tuple(getattr(answer, name) for name in self.names)


@torch.inference_mode()
def names_of(estimator: DepthEstimator, size: tuple[int, int]) -> tuple[str, ...]:
    """Return the names of what a network answers, as of one input of zeros.

    Args:
        estimator: whose network it is.
        size: height and width of the input, in pixels.
    """
    return estimator.run_network(torch.zeros(1, 3, *size, device=estimator.device)).names
