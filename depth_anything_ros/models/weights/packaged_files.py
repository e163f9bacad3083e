"""The weights of networks of other packages (``networks.packaged``)."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from depth_anything_ros.core.errors import DepthAnythingError, ModelError, one_line
from depth_anything_ros.models.networks.packaged import PackagedNetwork
from depth_anything_ros.models.weights.load import check_kinds, check_names, check_shapes
from depth_anything_ros.models.weights.read import read_state_dict
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of

_log = logging.getLogger(__name__)


def fill(network: nn.Module, file: Path, card: ModelCard) -> None:
    """Have a package make its network for a file, and put the weights in.

    What the file has besides is left aside, as these packages do themselves.

    Raises:
        ModelError: (``config``) where the package cannot make it.
        CheckpointError: as ``read_state_dict``; ``missing_keys``, ``wrong_shapes`` or
            ``wrong_kinds``.
    """
    assert isinstance(network, PackagedNetwork)
    found = read_state_dict(file, integers=True)
    try:
        model = network.made_for(file)
    except DepthAnythingError:
        raise
    except Exception as error:  # of another package
        what = f"{type(error).__name__}: {one_line(error, 300)}"
        raise ModelError(
            f"the package of {family_of(card).title} cannot make {card.name} of {file} ({what}); "
            f"update it, or give its own file",
            reason="config",
        ) from error
    # Nothing runs the mask token of DINOv2's training, and not all files have it.
    expected = {
        name: values
        for name, values in model.state_dict().items()
        if not name.endswith("mask_token")
    }
    state = {name: found[name] for name in expected if name in found}
    for check in (check_names, check_shapes, check_kinds):
        check(state, expected, card, file)
    model.load_state_dict(state, strict=False)
    network.model = model.float()
    _log.info("loaded %d tensors of %s from %s", len(state), card.name, file)
