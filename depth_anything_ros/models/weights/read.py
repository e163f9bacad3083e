"""Read the tensors of a file of weights; every way to fail is one clear error."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.core.files import is_utf8

StateDict = dict[str, Tensor]
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


def few(names: Iterable[str]) -> str:
    """Return the first names out of a file, each on one line and not too long."""
    listed = list(names)
    more = ", ..." if len(listed) > 3 else ""
    return ", ".join(one_line(name, 100) for name in listed[:3]) + more
