"""Metric3D v2 (Hu et al. 2024, arXiv:2404.15506) of torch.hub: metres, by the focal length.

Its code is what torch.hub has on this machine: nothing is fetched, or run, that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.networks.packaged import PackagedNetwork, packaged_family
from depth_anything_ros.models.networks.preprocess import (
    check_array,
    check_aspect,
    preprocess,
)
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import Family

FAMILY = "metric3d"
# hubconf.py: images are brought into this, depth is metres at the canonical focal length, and
# nothing is farther than MAX_DEPTH_M.
ROWS, COLUMNS = 616, 1064
CANONICAL_FOCAL_PX = 1000.0
MAX_DEPTH_M = 300.0


def hub_folder() -> Path | None:
    """Find the folder that ``torch.hub`` keeps yvanyin/metric3d in; None where there is none."""
    hub = Path(torch.hub.get_dir())
    found = (path.parent for path in hub.glob("*/hubconf.py"))
    return next((path for path in found if path.name.lower().startswith("yvanyin_metric3d_")), None)


def prepare(
    rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
) -> Tensor:
    """Resize an image to the largest size that the network's input has room for; normalise it.

    Raises:
        ImageError: as ``preprocess``.
        ModelError: (``input_size``) on another one than the card's.
    """
    if input_size != card.input_size:
        raise ModelError(
            f"{card.name} takes no other input size, got {input_size}; use 0", reason="input_size"
        )
    check_array(rgb)
    height, width = rgb.shape[:2]
    check_aspect(width, height)
    scale = min(ROWS / height, COLUMNS / width)
    size = (max(int(width * scale), 1), max(int(height * scale), 1))
    return preprocess(rgb, card, input_size, device, size)


class _OnDevice(TorchFunctionMode):
    """Makes on a device what the decoder makes on "cuda", wherever its image is.

    Args:
        device: of the image.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - of any function
        """Call a function of torch."""
        given = dict(kwargs or {})
        if given.get("device") == "cuda":
            given["device"] = self._device
        return func(*args, **given)


class Metric3D(PackagedNetwork):
    """One of the entries of its hubconf.py, without the weights that it would fetch."""

    package = "mono"

    def made_for(self, file: Path) -> nn.Module:
        """Make the package's network for a file of weights."""
        entry, folder = self.card.option("entry"), str(hub_folder())
        made: Any = torch.hub.load(folder, entry, source="local", pretrain=False)
        return cast(nn.Module, made)

    def answer(self, image: Tensor, K: Tensor | None) -> Tensor:
        """Answer the depth of normalised images, in the middle of an input that has one size."""
        height, width = image.shape[-2:]
        top, left = (ROWS - height) // 2, (COLUMNS - width) // 2
        margins = (left, COLUMNS - width - left, top, ROWS - height - top)
        model: Any = self.model
        with _OnDevice(image.device):
            found: Tensor = model.inference({"input": functional.pad(image, margins)})[0]
        depth = found.reshape(-1, ROWS, COLUMNS)[:, top : top + height, left : left + width]
        return depth.float()


def families() -> list[Family]:
    """Return the family."""
    return [
        packaged_family(FAMILY, "Metric3D", f"{__name__}:Metric3D", prepare=f"{__name__}:prepare")
    ]


def rows() -> list[ModelCard]:
    """Return the rows, where torch.hub has the code; the licence is that of its repository."""
    if hub_folder() is None:
        return []
    return [
        ModelCard(
            name=f"metric3d_v2_{encoder.lower()}",
            family=FAMILY,
            kind="metric",
            encoder=encoder,
            max_depth_m=MAX_DEPTH_M,
            canonical_focal_px=CANONICAL_FOCAL_PX,
            licence="BSD-2-Clause",
            hub_repo="JUGGHM/Metric3D",
            hub_file=f"metric_depth_{file}_800k.pth",
            options=(("entry", f"metric3d_{file}"),),
            input_size=ROWS,
            multiple=1,
            interpolation="linear",
        )
        for encoder, file in (
            ("Small", "vit_small"),
            ("Large", "vit_large"),
            ("Giant", "vit_giant2"),
        )
    ]
