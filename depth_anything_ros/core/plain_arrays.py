"""Dataclasses as flat arrays by name, which npz files hold to the last bit without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

Made = TypeVar("Made")


def as_arrays(value: Any, prefix: str = "") -> dict[str, NDArray[Any]]:  # noqa: ANN401
    """Return the fields of a dataclass as arrays, nested ones by dotted names, None left out.

    Args:
        value: a dataclass of arrays, numbers, texts, tuples of numbers, and such dataclasses.
        prefix: of the names.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for entry in fields(value):
        part, name = getattr(value, entry.name), f"{prefix}{entry.name}"
        if is_dataclass(part):
            arrays |= as_arrays(part, f"{name}.")
        elif part is not None:
            arrays[name] = np.asarray(part)
    return arrays


def from_arrays(cls: type[Made], arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Made:
    """Return the dataclass that ``as_arrays`` was given."""
    hints = get_type_hints(cls)
    parts: dict[str, Any] = {}
    for entry in fields(cls):  # type: ignore[arg-type]  # a dataclass
        name, kind = f"{prefix}{entry.name}", hints[entry.name]
        nested = [one for one in (kind, *get_args(kind)) if is_dataclass(one)]
        if nested and any(key.startswith(f"{name}.") for key in arrays):
            parts[entry.name] = from_arrays(nested[0], arrays, f"{name}.")  # type: ignore[arg-type]
        else:
            parts[entry.name] = _plain(kind, arrays[name]) if name in arrays else None
    return cls(**parts)


def _plain(kind: Any, array: NDArray[Any]) -> Any:  # noqa: ANN401
    if kind in (int, float, str, bool):
        return array.item()
    is_tuple = getattr(kind, "__origin__", None) is tuple
    return tuple(array.tolist()) if is_tuple else array
