"""MoGe (Wang et al. 2024 and 2025, arXiv:2410.19115 and arXiv:2507.02546) of the package moge.

Its first version answers depth up to scale, its second one metres; both know what is no surface.
The camera, where it is known, is told by its horizontal field of view.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.networks.packaged import PackagedNetwork, packaged_family
from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.family import Family

FAMILY = "moge"
_PATCH = 14


class MoGe(PackagedNetwork):
    """``moge.model.v1`` or ``v2``, as the card says; its config is in its file of weights."""

    package = "moge"

    def made_for(self, file: Path) -> nn.Module:
        """Make the package's network for a file of weights."""
        written = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        module: Any = importlib.import_module(f"moge.model.{self.card.option('version')}")
        model: nn.Module = module.MoGeModel(**written["model_config"])
        return model

    def answer(self, image: Tensor, K: Tensor | None) -> NetworkOutput:
        """Answer depth of images in 0-1, as many tokens as they have patches; sky is no surface."""
        height, width = image.shape[-2:]
        model: Any = self.model
        found = model.infer(
            image.clamp(0, 1),  # a cubic resize overshoots
            fov_x=None if K is None else torch.rad2deg(2 * torch.atan(width / (2 * K[:, 0, 0]))),
            num_tokens=round(height * width / _PATCH**2),
            apply_mask=False,
            use_fp16=image.is_cuda,
        )
        surface = found["mask"] & (found["depth"] > 0)
        return NetworkOutput(depth=found["depth"].float(), sky=(~surface).float())


def _row(name: str, version: str, kind: Kind, encoder: str, repo: str, licence: str) -> ModelCard:
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=kind,
        encoder=encoder,
        knows_sky=True,
        licence=licence,
        hub_repo=f"Ruicheng/{repo}",
        hub_file="model.pt",
        options=(("version", version),),
        multiple=1,
        interpolation="area",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def families() -> list[Family]:
    """Return the family."""
    return [packaged_family(FAMILY, "MoGe", f"{__name__}:MoGe", intrinsics=True)]


def rows() -> list[ModelCard]:
    """Return the rows, where the package is installed; licences are those of the hub's pages."""
    if find_spec("moge") is None:
        return []
    return [
        _row("moge_large", "v1", "affine_depth", "Large", "moge-vitl", "Apache-2.0"),
        _row("moge_2_small", "v2", "metric", "Small", "moge-2-vits-normal", "MIT"),
        _row("moge_2_base", "v2", "metric", "Base", "moge-2-vitb-normal", "MIT"),
        _row("moge_2_large", "v2", "metric", "Large", "moge-2-vitl", "MIT"),
    ]
