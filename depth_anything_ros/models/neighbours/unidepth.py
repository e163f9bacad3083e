"""UniDepth V2 (Piccinelli et al. 2025, arXiv:2502.20110) of the package unidepth: metres.

The camera, where it is known, stands in for the one that the network would guess.
"""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.files import MOST_BYTES, read_file
from depth_anything_ros.models.networks.packaged import PackagedNetwork, packaged_family
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import Family

FAMILY = "unidepth"


class UniDepth(PackagedNetwork):
    """``unidepth.models.UniDepthV2``; its config.json lies beside its file of weights."""

    package = "unidepth"

    def made_for(self, file: Path) -> nn.Module:
        """Make the package's network for a file of weights."""
        written = read_file(
            file.with_name("config.json"), "the description", ModelError, MOST_BYTES
        )
        module: Any = importlib.import_module("unidepth.models")
        model: nn.Module = module.UniDepthV2(json.loads(written))
        return model

    def answer(self, image: Tensor, K: Tensor | None) -> Tensor:
        """Answer the metres of normalised images; of one at a time where cameras are known."""
        if K is None:
            return self._metres(image, None)
        pairs = zip(image.split(1), K.split(1), strict=True)
        return torch.cat([self._metres(*pair) for pair in pairs])

    def _metres(self, image: Tensor, camera: Tensor | None) -> Tensor:
        model: Any = self.model
        depth: Tensor = model.infer(image, camera=camera, normalize=False)["depth"]
        return depth[:, 0].float()


def families() -> list[Family]:
    """Return the family."""
    return [packaged_family(FAMILY, "UniDepth", f"{__name__}:UniDepth", intrinsics=True)]


def rows() -> list[ModelCard]:
    """Return the rows, where the package is installed; the licence is that of its repository."""
    if find_spec("unidepth") is None:
        return []
    return [
        ModelCard(
            name=f"unidepth_v2_{encoder.lower()}",
            family=FAMILY,
            kind="metric",
            encoder=encoder,
            licence="CC-BY-NC-4.0",
            hub_repo=f"lpiccinelli/unidepth-v2-vit{encoder[0].lower()}14",
            hub_file="model.safetensors",
            options=(("beside", ("config.json",)),),
            interpolation="linear",
        )
        for encoder in ("Small", "Base", "Large")
    ]
