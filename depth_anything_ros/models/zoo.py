"""The table of models, and a look-up that suggests near names."""

from __future__ import annotations

import difflib

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models import rows_depth_anything, rows_own
from depth_anything_ros.models.card import ModelCard

CARDS: dict[str, ModelCard] = {
    card.name: card for rows in (rows_own, rows_depth_anything) for card in rows.rows()
}


def card_names(tests: bool = False) -> list[str]:
    """List the zoo names, in the table's order; the tiny test models only if asked for."""
    return [card.name for card in CARDS.values() if tests or not card.is_test]


def find_card(name: str) -> ModelCard:
    """Return the card of a zoo name.

    Raises:
        ModelError: (``unknown_model``) with the nearest names.
    """
    card = CARDS.get(name)
    if card is None:
        near = difflib.get_close_matches(name, card_names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(card_names())}"
        raise ModelError(f"there is no model {name!r}; {hint}", reason="unknown_model")
    return card
