"""A family of networks: all that is special of it, so that a new one touches its own files only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.models.zoo.card import ModelCard

MODELS = "depth_anything_ros.models"
Prepare = Callable[[NDArray[np.uint8], ModelCard, int, torch.device], Tensor]


@dataclass(frozen=True)
class Family:
    """A kind of network.

    All but names are ``module:function``, which is imported when it is first used: some need an
    extra.

    Attributes:
        name: as in ``ModelCard.family``.
        title: as people write it.
        network: makes the network of a card; a class does.
        layout: takes a state dict in a layout that this family is published in and returns it
            under this package's names, or None where it knows none.
        names: how the names of such files begin, for messages.
        prepare: makes the network's input; see ``networks.preprocess``.
        finish: brings an answer to the size of the image; see ``networks.output.at_image``.
        prompt: makes the network's second input of a LiDAR's depth.
        export: says what is exported of a network; see ``networks.output.Exportable``. "" is
            nothing, and torch alone runs it.
        intrinsics: whether the network takes, as its second input, K of its images where it is
            known: (batch, 3, 3), in pixels of what it sees.
        float32: modules of the network whose 16 bits would cost too much accuracy; see
            ``networks.inference``.
        fill: puts a file's tensors into a network, of a library that has its own way, as
            ``fill(network, file, card)``; "" is by their names.
        prefix: of the names of models that have no row; "" where all have one.
        card: makes the card of such a name; see ``weights.transformers_files``.
    """

    name: str
    title: str
    network: str
    layout: str
    names: str
    prepare: str = f"{MODELS}.networks.preprocess:preprocess"
    finish: str = f"{MODELS}.networks.output:at_image"
    prompt: str = f"{MODELS}.networks.output:no_prompt"
    export: str = f"{MODELS}.networks.output:Exportable"
    intrinsics: bool = False
    float32: tuple[str, ...] = ()
    fill: str = ""
    prefix: str = ""
    card: str = ""

    def build(self, card: ModelCard) -> nn.Module:
        """Build a card's network with the initial values of its layers."""
        network: nn.Module = function(self.network)(card)
        return network

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Rename a published state dict; None where its layout is not of this family."""
        found: dict[str, Tensor] | None = function(self.layout)(state)
        return found

    @property
    def preparation(self) -> Prepare:
        """What makes the network's input of an image."""
        prepare: Prepare = function(self.prepare)
        return prepare


def function(path: str) -> Any:  # noqa: ANN401 - a class or a function
    """Import what ``module:name`` says."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
