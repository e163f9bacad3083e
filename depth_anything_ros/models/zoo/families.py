"""The families of networks: which class builds one, and how its published names become ours.

A family is at most one network file, and its checkpoints are rows of the zoo. A module is imported
when its family is first used: some need an extra.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.models.networks.preprocess import preprocess
from depth_anything_ros.models.weights.layouts import StateDict
from depth_anything_ros.models.zoo.card import ModelCard


class Prepare(Protocol):
    """From pictures to a network's input."""

    def __call__(
        self, rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
    ) -> Tensor:
        """Resize and normalise one picture: float32 (1, 3, height, width) on the device."""
        ...


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Attributes:
        name: as in ``ModelCard.family``.
        title: as people write it.
        network: ``module:class`` of the network, made from a card.
        layout: ``module:function`` that takes a state dict in a layout that this family is
            published in and returns it under this package's names, or None where it knows none.
        names: how the names of such files begin, for messages.
        prepare: ``module:function`` that makes the network's input; "" is ``preprocess``.
    """

    name: str
    title: str
    network: str
    layout: str
    names: str
    prepare: str = ""

    def build(self, card: ModelCard) -> nn.Module:
        """Build a card's network with the initial values of its layers."""
        network: nn.Module = _named(self.network)(card)
        return network

    def to_ours(self, state: Mapping[str, Tensor]) -> StateDict | None:
        """Rename a published state dict; None where its layout is not of this family."""
        found: StateDict | None = _named(self.layout)(state)
        return found

    @property
    def preparation(self) -> Prepare:
        """What makes the network's input of a picture."""
        prepare: Prepare = _named(self.prepare) if self.prepare else preprocess
        return prepare


def _named(path: str) -> Any:  # noqa: ANN401 - a class or a function
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


_HERE = "depth_anything_ros.models"
_DPT_NAMES = "pretrained.* and depth_head.*, or backbone.* and neck.*"

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "depth_and_sky",
            "tiny",
            f"{_HERE}.networks.depth_and_sky:DepthAndSky",
            f"{_HERE}.weights.layouts:own_names",
            "encoder.lite.* and decoder.*",
        ),
        Family(  # V2's network: only its rows tap other layers
            "depth_anything_v1",
            "Depth Anything V1",
            f"{_HERE}.networks.depth_anything_v2:DepthAnythingV2",
            f"{_HERE}.weights.layouts:to_ours",
            f"{_DPT_NAMES}, or encoder.vit.* and decoder.*",
        ),
        Family(
            "depth_anything_v2",
            "Depth Anything V2",
            f"{_HERE}.networks.depth_anything_v2:DepthAnythingV2",
            f"{_HERE}.weights.layouts:to_ours",
            f"{_DPT_NAMES}, or encoder.vit.* and decoder.*",
        ),
        Family(
            "depth_anything_3",
            "Depth Anything 3",
            f"{_HERE}.networks.depth_anything_3:network",
            f"{_HERE}.weights.da3_layout:to_ours",
            "model.backbone.* and model.head.*, or encoder.vit.* and decoder.*",
            f"{_HERE}.networks.depth_anything_3:prepare",
        ),
        Family(
            "midas",
            "MiDaS",
            f"{_HERE}.networks.midas:Midas",
            f"{_HERE}.weights.midas_layout:to_ours",
            "pretrained.* and scratch.*, or neck.* and head.head.*",
        ),
        Family(  # the library knows the names of its files, see ``fill`` there
            "transformers",
            "transformers",
            f"{_HERE}.networks.transformers_models:TransformersDepth",
            f"{_HERE}.networks.transformers_models:no_layout",
            "those of transformers",
            f"{_HERE}.networks.transformers_models:prepare",
        ),
    )
}


def family_of(card: ModelCard) -> Family:
    """Return the family of a card.

    Raises:
        ModelError: (``unknown_family``), which a row of another package may ask for.
    """
    family = FAMILIES.get(card.family)
    if family is None:
        raise ModelError(
            f"{card.name} is of the family {quoted(card.family)}; known: {', '.join(FAMILIES)}",
            reason="unknown_family",
        )
    return family
