"""The table of models, and a look-up that suggests near names."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Mapping

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import FAMILIES, MODULES
from depth_anything_ros.models.zoo.family import function
from depth_anything_ros.models.zoo.plugins import plugin_rows


class _Cards(Mapping[str, ModelCard]):
    """The rows by name: this package's, then those of others.

    It is filled when it is first looked into: a package that adds rows may import this one, and be
    imported by it. Rows that it makes from rows of this package see those only.
    """

    def __init__(self) -> None:
        self._cards: dict[str, ModelCard] = {}
        self._filling = threading.RLock()

    def _filled(self) -> dict[str, ModelCard]:
        with self._filling:
            if not self._cards:
                self._cards.update(
                    (card.name, card) for module in MODULES for card in module.rows()
                )
                self._cards.update((card.name, card) for card in plugin_rows(self._cards))
        return self._cards

    def __getitem__(self, name: str) -> ModelCard:
        return self._filled()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._filled())

    def __len__(self) -> int:
        return len(self._filled())


CARDS: Mapping[str, ModelCard] = _Cards()


def card_names(tests: bool = False) -> list[str]:
    """List the zoo names, in the table's order; the tiny test models only if asked for."""
    return [card.name for card in CARDS.values() if tests or not card.is_test]


def find_card(name: str, download: bool = False) -> ModelCard:
    """Return the card of a zoo name, or of a model that transformers saved (``hf:...``).

    Args:
        name: as above.
        download: whether the hub may be asked about a repo where its cache lacks it.

    Raises:
        ModelError: (``unknown_model``) with the nearest names; and as ``transformers_card``.
        CheckpointError: as ``transformers_card``.
    """
    for family in FAMILIES.values():
        if family.prefix and name.startswith(family.prefix):
            made: ModelCard = function(family.card)(name, download)
            return made
    card = CARDS.get(name)
    if card is None:
        near = difflib.get_close_matches(name, card_names(), n=3, cutoff=0.5)
        listed = f"{how_to_run('depth_anything', 'models')} lists them"
        hint = f"did you mean {' or '.join(near)}?" if near else listed
        raise ModelError(f"there is no model {quoted(name)}; {hint}", reason="unknown_model")
    return card
