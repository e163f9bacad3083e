"""Read a file of weights and put them into a network; every way to fail is one clear error."""

from __future__ import annotations

import logging
import pickle
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.core.files import atomically, is_utf8
from depth_anything_ros.models.networks.transformers_models import fill
from depth_anything_ros.models.weights.identify import (
    described,
    few,
    fitting_cards,
    kinds_said,
    other_kinds,
)
from depth_anything_ros.models.weights.layouts import StateDict
from depth_anything_ros.models.weights.provenance import MODEL_KEY, check_claims
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.models.zoo.transformers_cards import FAMILY as _TRANSFORMERS

_log = logging.getLogger(__name__)

_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_ZIP = b"PK\x03\x04"  # torch.save since 1.6
_PICKLE = b"\x80"  # torch.save before, and any other pickle
# Times the size of a zip file that what is in it may have.
_MOST_UNPACKED = 10
_MOST_WRAPPERS = 10
# Wrappers that trainers put around the weights, outermost first wherever they nest.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "module")
# The first whose weights_only keeps a crafted pickle from running code (CVE-2025-32434).
PROTECTING_TORCH = (2, 6)
# What torch's reader lets through on a damaged or crafted file: it has no error of its own.
READ_ERRORS = (
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
)


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
    wanted = [name for name in (card.hub_file, card.bundled, *_FOLDER_FILES) if name]
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


def read_state_dict(path: Path, integers: bool = False) -> StateDict:
    """Read the tensors of a ``.safetensors`` file or of one that torch.save wrote.

    The content decides, not the suffix. Nothing in the file is executed. Wrappers
    (``{"model": ...}``) and the ``module.`` of data-parallel training are taken off.

    Args:
        path: of the file.
        integers: whether tensors of other than floating-point numbers may be in it.

    Returns:
        Name to tensor, on the CPU, mapped from the file where its format allows.

    Raises:
        CheckpointError: ``not_found``, ``not_a_checkpoint``, ``unsafe`` (code in it), or
            ``damaged``.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise CheckpointError(f"cannot read {path}: it is no file", reason="not_found")
        if not is_utf8(path):
            raise CheckpointError(
                f"cannot read {path}: its name is no UTF-8, and torch opens no such file; "
                f"rename it",
                reason="not_found",
            )
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}", reason="not_found"
        ) from error
    if head[8:9] == b"{":
        loaded = _read_safetensors(path)
    elif head.startswith((_ZIP, _PICKLE)):
        loaded = _read_torch(path, mapped=head.startswith(_ZIP))
    else:
        raise CheckpointError(
            f"{path} is not a checkpoint: {_describe(path, head)}", reason="not_a_checkpoint"
        )
    return _unwrap(loaded, path, integers)


def _describe(path: Path, head: bytes) -> str:
    """Say what a file is that is no checkpoint, and what to do."""
    start = head.lstrip().lower()
    if not head:
        return "it is empty; fetch it again"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer to the real file; run git lfs pull, or download the file"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, perhaps of a failed download; fetch the file itself"
    return (
        f"its {path.stat().st_size} bytes begin with {head[:8]!r}; expected a .safetensors file, "
        f"or one that torch.save wrote"
    )


def _damaged(path: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"{path} ({path.stat().st_size} bytes) is damaged or cut short; fetch it again "
        f"({said_by_torch(error)})",
        reason="damaged",
    )


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, *READ_ERRORS) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path, mapped: bool) -> object:
    if _version(torch.__version__) < PROTECTING_TORCH:
        raise CheckpointError(
            f"{path} is a pickle, from which torch {torch.__version__} does not protect "
            f"(CVE-2025-32434): upgrade to torch 2.6, or use a .safetensors file",
            reason="unsafe",
        )
    if mapped:
        _check_archive(path)
    try:
        with warnings.catch_warnings():  # of formats that are read all the same, or refused
            warnings.simplefilter("ignore")
            if path.suffix != ".safetensors":
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            with path.open("rb") as file:  # by this name torch would take it for what it is not
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors ({_refused(error)}), so it was refused and nothing in "
            f"it was executed; use a file that holds tensors only, best a .safetensors",
            reason="unsafe",
        ) from error
    except READ_ERRORS as error:
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path} is a TorchScript archive, which holds code, so it was refused and nothing "
                f"in it was executed; use a file that holds tensors only, best a .safetensors",
                reason="unsafe",
            ) from error
        raise _damaged(path, error) from error


def _check_archive(path: Path) -> None:
    """Refuse a zip file that unpacks to far more than it is: of 3 MB torch would make gigabytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # damaged, or of a form that torch alone reads: it says so
    if size > _MOST_UNPACKED * max(path.stat().st_size, 1_000_000):
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) unpacks to {size} bytes: torch.save compresses "
            f"nothing, so that this is no checkpoint",
            reason="unsafe",
        )


def _version(text: str) -> tuple[int, ...]:
    """Return major and minor, of 2.13.0+cpu or of a nightly build."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _refused(error: pickle.UnpicklingError) -> str:
    """Find in torch's page of advice what it would not load."""
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return f"it would run {one_line(code[1], 100)}"
    return said_by_torch(error)


def said_by_torch(error: BaseException) -> str:
    """Return what is wrong with a file by torch, without its advice to read it unsafely."""
    detail = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    said = detail[1] if detail else str(error).strip().partition("\n")[0]
    safe = re.split(r"[^.;:]*weights_only|This file can still be loaded|Please use", said)[0]
    return one_line(safe.rstrip(" .;:")) or type(error).__name__


def _unwrap(loaded: object, path: Path, integers: bool) -> StateDict:
    """Take off wrappers and prefixes; check that names and tensors remain."""
    for _ in range(_MOST_WRAPPERS):  # a crafted one can hold itself
        if not isinstance(loaded, Mapping):
            break
        inner = [loaded[name] for name in _WRAPPERS if isinstance(loaded.get(name), Mapping)]
        if not inner:
            break
        loaded = inner[0]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(
            f"{path} holds {type(loaded).__name__} instead of named tensors", reason="no_tensors"
        )
    state = {str(name).removeprefix("module."): values for name, values in loaded.items()}
    other = [name for name, values in state.items() if not _is_weight(values, integers)]
    if other:
        raise CheckpointError(
            f"{path} holds {len(other)} entries that are not floating-point tensors: {few(other)} "
            f"(the first is {_kind_said(state[other[0]])})",
            reason="no_tensors",
        )
    if len(state) < len(loaded):
        raise CheckpointError(
            f"{path} holds {len(loaded) - len(state)} names twice, with and without 'module.', and "
            f"nothing says which of them count; write it anew",
            reason="no_tensors",
        )
    return state


def _is_weight(values: object, integers: bool) -> bool:
    """Say whether an entry is a tensor of numbers, all of which are there."""
    return (
        isinstance(values, Tensor)
        and values.layout is torch.strided
        and not values.is_nested
        and not values.is_meta
        and (integers or values.is_floating_point())
    )


def _kind_said(values: object) -> str:
    if not isinstance(values, Tensor):
        return type(values).__name__
    if values.is_meta:
        return "without its numbers, saved on the device meta"
    if values.is_nested or values.layout is not torch.strided:
        return "nested" if values.is_nested else str(values.layout).removeprefix("torch.")
    return str(values.dtype).removeprefix("torch.")


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
    if card.family == _TRANSFORMERS:
        state = read_state_dict(file, integers=True)
        _check_kinds(state, network.get_submodule("model").state_dict(), card, file)
        fill(network, state, file, card)
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
        _check_names(state, expected, card, file)
        _check_shapes(state, expected, card, file)
    except CheckpointError as error:
        _refuse_other_model(found, card, file, error)
        raise
    _check_kinds(state, expected, card, file)
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


def _check_names(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
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


def _check_shapes(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
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


def _check_kinds(
    state: StateDict, expected: Mapping[str, Tensor], card: ModelCard, file: Path
) -> None:
    """Refuse numbers that a network would take and change: whole, complex, or of 8 bits."""
    wrong = other_kinds(state, expected)
    if wrong:
        raise CheckpointError(
            f"{file} does not fit {card.name}: {kinds_said(wrong, state)}", reason="wrong_kinds"
        )
