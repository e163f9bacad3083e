"""The rows that other installed packages add to the zoo.

Such a package has entry points in the group ``depth_anything_ros.models``, each of which names

* a function that takes nothing and returns cards, or
* a module (or any object) with such a function ``rows``, and where a network is new as well, with
  a function ``families`` that returns instances of ``Family``.

They are asked on the first use of the zoo. A package that fails costs its rows and one warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import FAMILIES, family_of
from depth_anything_ros.models.zoo.family import Family

_log = logging.getLogger(__name__)

GROUP = "depth_anything_ros.models"
_NAME = re.compile(r"\w[\w.-]*")  # what no path, hub id or prefix can be taken for
_TAKEN = ("random",)  # as weights, it means none


def plugin_rows(known: Collection[str]) -> list[ModelCard]:
    """Collect the rows of other packages, and register their families.

    Args:
        known: names that are taken.

    Returns:
        The rows that can be used, in the order of the entry points' names.
    """
    found: dict[str, ModelCard] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            families, cards = _ask(entry)
        except Exception as error:  # another package's code: anything may be wrong with it
            _warn(entry, f"gives no models: {type(error).__name__}: {error}")
            continue
        for family in families:
            _register(family, entry)
        for card in cards:
            why = _wrong(card, {*known, *found})
            if why:
                _warn(entry, f"gives the model {quoted(card.name)}, {why}; it is left out")
            else:
                found[card.name] = card
    return list(found.values())


def _ask(entry: EntryPoint) -> tuple[list[Family], list[ModelCard]]:
    given: Any = entry.load()
    families = list(given.families()) if hasattr(given, "families") else []
    rows: Any = given.rows if hasattr(given, "rows") else given
    cards = list(rows())
    _check_types(families, Family)
    _check_types(cards, ModelCard)
    return families, cards


def _check_types(found: Iterable[object], expected: type) -> None:
    for thing in found:
        if not isinstance(thing, expected):
            raise TypeError(f"expected {expected.__name__}, came {type(thing).__name__}")


def _register(family: Family, entry: EntryPoint) -> None:
    if FAMILIES.setdefault(family.name, family) != family:
        _warn(
            entry, f"gives the family {quoted(family.name)}, which there is already; it is left out"
        )


def _wrong(card: ModelCard, taken: Collection[str]) -> str:
    """Say why a row cannot be used; "" where it can."""
    if card.name in taken or card.name in _TAKEN:
        return "a name that is taken"
    if not _NAME.fullmatch(card.name):
        return "a name with other signs than letters, digits, _, - and ."
    try:
        family_of(card)
    except ModelError as error:
        return f"which cannot be built: {error}"
    return ""


def _warn(entry: EntryPoint, what: str) -> None:
    package = entry.dist.name if entry.dist is not None else entry.value
    _log.warning("the entry point %s of the package %s %s", entry.name, package, what)
