"""Correct a network's depth by a line in log space, exactly, in its last layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Fit, fit_scale_shift
from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.networks.depth_and_sky import DepthAndSky
from depth_anything_ros.models.weights.load import load_weights, save_tensors
from depth_anything_ros.models.weights.provenance import MODEL_KEY
from depth_anything_ros.models.zoo.card import ModelCard

# Sub-pixels of an answer, of which depth is the first.
_SUB_PIXELS = 4
# A bent line is for what a few scenes have in common; a wilder one is of their outliers.
_SLOPES = (0.5, 2.0)


def log_depth_line(
    pairs: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]],
) -> Fit:
    """Fit log truth = s · log prediction + t over pictures, robustly.

    Args:
        pairs: predicted and true metres of the known pixels of each picture.
    """
    predicted, true = (np.concatenate(values) for values in zip(*pairs, strict=True))
    return fit_scale_shift(
        np.asarray(predicted, np.float32), np.asarray(true, np.float32), None, "huber", "log_depth"
    )


def can_rescale(card: ModelCard) -> bool:
    """Say whether a model's last layer answers the logarithm of depth."""
    return card.kind == "metric" and card.family == "depth_and_sky"


@torch.no_grad()
def rescale_weights(
    card: ModelCard, weights: Path, fit: Fit, focal_px: float, output: Path
) -> tuple[float, float]:
    """Write weights that answer as others do by a line: log depth' = s · log depth + t.

    Args:
        card: of a model that ``can_rescale``.
        weights: its file.
        fit: the line, in metres.
        focal_px: of the pictures at the size that the network is given them.
        output: file to write.

    Returns:
        s and t, as they were taken.
    """
    network = random_network(card)
    load_weights(network, card, weights)
    assert isinstance(network, DepthAndSky)
    slope = float(np.clip(fit.scale, *_SLOPES))
    # Metres are the answer times this, which the slope must not bend: log m = log a + k.
    k = float(np.log(focal_px / (card.canonical_focal_px or focal_px)))
    offset = fit.shift + (slope - 1) * k
    bias, detail = network.answer.bias, network.detail.bias
    assert bias is not None and detail is not None
    network.answer.weight[0] *= slope
    bias[0] = slope * bias[0] + offset
    network.detail.weight[:_SUB_PIXELS] *= slope
    detail[:_SUB_PIXELS] *= slope
    state = {name: values.contiguous() for name, values in network.state_dict().items()}
    save_tensors(state, output, {MODEL_KEY: card.name})
    return slope, fit.shift
