"""Put the weights of a file into a network, and write them."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.core.files import atomically
from depth_anything_ros.models.weights.identify import (
    described,
    fitting_cards,
    kinds_said,
    other_kinds,
)
from depth_anything_ros.models.weights.provenance import MODEL_KEY, check_claims
from depth_anything_ros.models.weights.read import StateDict, few, read_state_dict
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.models.zoo.family import function

_log = logging.getLogger(__name__)

# Names that files of any model have.
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")


def checkpoint_file(path: Path, card: ModelCard) -> Path:
    """Return the file of weights: the path, or the known file in a folder.

    Raises:
        CheckpointError: (``not_found``).
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(
            f"there is no file {path}; give the path of a checkpoint, or leave weights empty to "
            f"take {_own_file(card)}",
            reason="not_found",
        )
    wanted = [name for name in (card.hub_file, card.bundled, *FOLDER_FILES) if name]
    for name in wanted:
        if (path / name).is_file():
            return path / name
    raise CheckpointError(
        f"folder {path} has none of {', '.join(wanted)}; give the path of the file of weights",
        reason="not_found",
    )


def _own_file(card: ModelCard) -> str:
    if card.bundled:
        return f"{card.bundled} of this package"
    return f"{card.hub_file or 'the official file'} from the hub cache"


def load_weights(network: nn.Module, card: ModelCard, path: Path) -> None:
    """Fill a network from a file, or from the known file in a folder.

    The layout (official, ``-hf``, or this package's own) is recognised by its names. The
    network is unchanged where this raises.

    Raises:
        CheckpointError: as checkpoint_file, read_state_dict and check_claims, and
            ``unknown_layout``, ``other_model``, ``other_size``, ``missing_keys``,
            ``unexpected_keys``, ``wrong_shapes`` or ``wrong_kinds``.
    """
    file = checkpoint_file(path, card)
    if family_of(card).fill:
        function(family_of(card).fill)(network, file, card)
        return
    network.load_state_dict(matching_state(file, card, network.state_dict()))
    _log.info("loaded %d tensors of %s from %s", len(network.state_dict()), card.name, file)


def matching_state(file: Path, card: ModelCard, expected: Mapping[str, Tensor]) -> StateDict:
    """Read a file under the names of a card's network, and check that it fits.

    Args:
        file: of weights.
        card: of the model that they are for.
        expected: the state dict of its network, of which names and shapes are read only.

    Raises:
        CheckpointError: as load_weights; ``other_model`` where they fit another family.
    """
    check_claims(file, card)
    found = read_state_dict(file, integers=True)  # some families have them, and drop them
    try:
        state = _under_our_names(found, expected, card, file)
        _check_size(state, card, file)
        check_names(state, expected, card, file)
        check_shapes(state, expected, card, file)
    except CheckpointError as error:
        _refuse_other_model(found, card, file, error)
        raise
    check_kinds(state, expected, card, file)
    return state


def write_weights(state: StateDict, card: ModelCard, path: Path) -> None:
    """Write weights under our names as safetensors, with the name of their model.

    Raises:
        OSError: where it cannot be written; the path is then as it was.
    """
    # Copies: tensors that share memory are refused.
    tensors = {name: values.contiguous().clone() for name, values in state.items()}
    save_tensors(tensors, path, {"format": "pt", MODEL_KEY: card.name})


def save_tensors(tensors: StateDict, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file as a whole or not at all, with the mode that the umask gives.

    Raises:
        OSError: where it cannot be written; the path is then as it was.
    """
    with atomically(path) as part:
        part.touch()
        mode = part.stat().st_mode
        try:
            save_file(tensors, part, dict(metadata))
        except SafetensorError as error:  # a full disk, in words of its own
            raise OSError(one_line(error)) from error
        part.chmod(stat.S_IMODE(mode))  # safetensors' own is 0600, from 0.6 on


def _under_our_names(
    found: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> StateDict:
    if found.keys() == expected.keys():  # as this package's trainer and converter write them
        return found
    family = family_of(card)
    state = family.to_ours(found)
    if state is None:
        raise CheckpointError(
            f"{file} is not a checkpoint of {family.title}: its {len(found)} names begin with "
            f"{few(found)}; expected {family.names}",
            reason="unknown_layout",
        )
    return state


def _refuse_other_model(
    found: StateDict, card: ModelCard, file: Path, error: CheckpointError
) -> None:
    """Name the model that a file is of, where it is known."""
    cards = fitting_cards(found)
    is_family = card.family in {other.family for other in cards}
    if cards and not (is_family and error.reason == "other_size"):  # which names both
        asked = f", is {family_of(card).title}" if not is_family else ", is another"
        raise CheckpointError(
            f"{file} is a checkpoint of {described(cards)}, and the model asked for, {card.name}"
            f"{asked}; choose the model that the weights belong to",
            reason="other_model",
        ) from error


def _check_size(state: StateDict, card: ModelCard, file: Path) -> None:
    """Say so first where a checkpoint is of another size: all else follows from it."""
    token = state.get("encoder.vit.cls_token")
    width = card.width if token is None or token.ndim != 3 else token.shape[-1]
    if width != card.width:
        known = sorted(CARDS.values(), key=lambda other: other.family == card.family)
        sizes = {other.width: f"a {other.encoder} checkpoint" for other in known}
        raise CheckpointError(
            f"{file} is {sizes.get(width, 'a checkpoint of no known size')} ({width} wide), and "
            f"the model asked for, {card.name}, is {card.encoder} ({card.width}); choose the "
            f"model that the weights belong to",
            reason="other_size",
        )


def check_names(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
    """Refuse a file that lacks tensors, or has others (``missing_keys``, ``unexpected_keys``)."""
    for reason, words, names in (
        ("missing_keys", "lacks", [name for name in expected if name not in state]),
        ("unexpected_keys", "has besides", [name for name in state if name not in expected]),
    ):
        if names:
            raise CheckpointError(
                f"{file} does not fit {card.name}: of {len(expected)} tensors it has "
                f"{len(expected.keys() & state.keys())}, and {words} {len(names)}: {few(names)}; "
                f"it is incomplete, or of another model",
                reason=reason,
            )


def check_shapes(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
    """Refuse tensors of another shape (``wrong_shapes``)."""
    wrong = [
        f"{name} is {tuple(values.shape)}, expected {tuple(expected[name].shape)}"
        for name, values in state.items()
        if values.shape != expected[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{file} does not fit {card.name}: {len(wrong)} of {len(state)} tensors have another "
            f"shape: {few(wrong)}",
            reason="wrong_shapes",
        )


def check_kinds(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
    """Refuse numbers that a network would take and change: whole, complex, or of 8 bits."""
    wrong = other_kinds(state, expected)
    if wrong:
        raise CheckpointError(
            f"{file} does not fit {card.name}: {kinds_said(wrong, state)}", reason="wrong_kinds"
        )
