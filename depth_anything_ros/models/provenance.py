"""What a checkpoint's file name, its metadata, or the config.json beside it, says about it.

Relative, indoor and outdoor checkpoints of one size, and those of Depth Anything V1, hold the
same names and shapes: loading one as another cannot be seen from the weights, and answers wrong
depth with a straight face. Where the file says what it is, this module refuses; where it does
not, nobody can tell.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.card import ModelCard
from depth_anything_ros.models.rows_depth_anything import FAMILY as _V2_FAMILY
from depth_anything_ros.models.zoo import CARDS

# Of the metadata of a safetensors file: the zoo name of its model, or the family of its network.
MODEL_KEY = "model"
# The names under which the official files are published.
_V2 = re.compile(r"depth_anything_v2_(?:metric_(hypersim|vkitti)_)?vit[sblg]\b")
_V1 = re.compile(r"depth_anything_(?:vit[sbl]14|metric_depth_(?:in|out)door)\b")
_MAX_DEPTH_M = {None: None, "hypersim": 20.0, "vkitti": 80.0}


@dataclass(frozen=True)
class Claim:
    """What a checkpoint says it is. None means that it does not say.

    Attributes:
        source: where that is said, for the message.
        family: the network.
        kind: ``relative``, or ``metric``.
        max_depth_m: of a metric checkpoint.
        tapped_layers: blocks (from 0) whose tokens the decoder was trained on.
    """

    source: str
    family: str | None = None
    kind: str | None = None
    max_depth_m: float | None = None
    tapped_layers: tuple[int, ...] | None = None


def check_claims(path: Path, card: ModelCard) -> None:
    """Refuse a checkpoint that says it belongs to another model than the card's.

    Raises:
        CheckpointError: (``other_model``); ``damaged`` on a malformed config.json beside it.
    """
    for claim in (_claim_of_name(path), _claim_of_metadata(path), _claim_of_config(path)):
        if claim is not None:
            _check(claim, path, card)


def _claim_of_name(path: Path) -> Claim | None:
    source = f"its name {path.name}"
    if _V1.search(path.name):
        raise CheckpointError(
            f"{path} is of Depth Anything V1 by its name: the weights would load and the depth be "
            f"wrong, since V1 taps other layers; use weights of V2",
            reason="other_model",
        )
    match = _V2.search(path.name)
    if match is None:
        return None
    max_depth_m = _MAX_DEPTH_M[match[1]]
    return Claim(source, _V2_FAMILY, "relative" if max_depth_m is None else "metric", max_depth_m)


def _claim_of_metadata(path: Path) -> Claim | None:
    """Read the model that this package's trainer writes into its own safetensors files."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return None  # another format; or not readable, which is said where the tensors are read
    model, source = metadata.get(MODEL_KEY, ""), "its metadata"
    if model in {card.family for card in CARDS.values()}:
        return Claim(source, model)
    card = CARDS.get(model)
    if card is None or card.family != _V2_FAMILY:  # one file of the others answers either kind
        return None if card is None else Claim(source, card.family)
    return Claim(source, card.family, card.kind, card.max_depth_m, card.tapped_layers)


def _claim_of_config(path: Path) -> Claim | None:
    config_path = path.parent / "config.json"
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there, or not ours: it may be anything that lies beside the weights
    if not isinstance(config, dict) or config.get("model_type") != "depth_anything":
        return None
    # Both fields have defaults in transformers' DepthAnythingConfig.
    kind = str(config.get("depth_estimation_type") or "relative")
    try:
        max_depth_m = float(config.get("max_depth") or 1) if kind == "metric" else None
        indices = (config.get("backbone_config") or {}).get("out_indices")
        tapped = tuple(int(i) - 1 for i in indices) if indices else None  # 0: patch embedding
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{config_path} says that it describes depth_anything, and it is malformed: {error}; "
            f"mend it, or remove it",
            reason="damaged",
        ) from error
    return Claim(str(config_path), _V2_FAMILY, kind, max_depth_m, tapped)


def _check(claim: Claim, path: Path, card: ModelCard) -> None:
    if claim.family not in (None, card.family):
        raise CheckpointError(
            f"{path} is of {claim.family} by {claim.source}, and {card.name} is of {card.family}; "
            f"choose the model that it belongs to",
            reason="other_model",
        )
    what, wanted = _words(claim.kind, claim.max_depth_m), _words(card.kind, card.max_depth_m)
    if claim.kind is not None and what != wanted:
        raise CheckpointError(
            f"{path} is {what} by {claim.source}, and {card.name} is {wanted}: the weights would "
            f"load and the depth be wrong; choose the model that they belong to",
            reason="other_model",
        )
    if claim.tapped_layers not in (None, card.tapped_layers):
        raise CheckpointError(
            f"{path} was trained on layers {claim.tapped_layers} by {claim.source}, and "
            f"{card.name} taps {card.tapped_layers}: these are weights of another size, or of "
            f"Depth Anything V1",
            reason="other_model",
        )


def _words(kind: str | None, max_depth_m: float | None) -> str:
    return f"metric up to {max_depth_m:g} m" if max_depth_m is not None else f"{kind}"
