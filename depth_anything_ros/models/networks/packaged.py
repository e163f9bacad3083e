"""Networks of other packages, which their own code makes of their files of weights."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Kind
from depth_anything_ros.models.networks import (
    output,
    torchvision_schemas,  # noqa: F401 - before packages that import torchvision
)
from depth_anything_ros.models.networks.output import AnyOutput, NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import MODELS, Family


class PackagedNetwork(nn.Module):
    """A network that another package makes, with no parameters until there is a file of weights.

    It computes in the precision that its package chooses, whatever is asked for.

    Attributes:
        package: the name of its package, which warns of what does not matter here.
        card: of the model.
        model: the package's own, without its weights at first.
    """

    package: ClassVar[str]

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        warnings.filterwarnings("ignore", module=rf"{self.package}\b")
        self.card = card
        self.model: nn.Module | None = None

    @abstractmethod
    def made_for(self, file: Path) -> nn.Module:
        """Make the package's network for a file of weights, which are put in afterwards."""

    @abstractmethod
    def answer(self, image: Tensor, K: Tensor | None) -> AnyOutput:
        """Ask the package's network; arguments as of ``forward``."""

    def forward(self, image: Tensor, K: Tensor | None = None) -> AnyOutput:
        """Run on images (batch, 3, h, w), and their intrinsics (batch, 3, 3) where known."""
        with torch.autocast(image.device.type, enabled=False):
            return self.answer(image, K)


def at_image(
    answer: NetworkOutput,
    card: ModelCard,
    kind: Kind,
    camera: Camera | None,
    height: int,
    width: int,
    align_corners: bool = True,
) -> Tensor:
    """Bring the answer about one image to a size as ``output.at_image``, but border on border."""
    return output.at_image(answer, card, kind, camera, height, width, align_corners=False)


def packaged_family(
    name: str,
    title: str,
    network: str,
    intrinsics: bool = False,
    prepare: str = Family.prepare,
) -> Family:
    """Return the family of a PackagedNetwork; arguments are those of ``Family``."""
    return Family(
        name,
        title,
        network,
        f"{MODELS}.weights.layouts:no_layout",
        "those of its package",
        prepare=prepare,
        finish=f"{__name__}:at_image",
        export="",
        intrinsics=intrinsics,
        fill=f"{MODELS}.weights.packaged_files:fill",
    )
