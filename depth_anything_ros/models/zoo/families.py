"""The families of networks, of this package and of others."""

from __future__ import annotations

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.models.zoo import (
    rows_depth_anything,
    rows_depth_anything_3,
    rows_diffusers,
    rows_midas,
    rows_tiny,
    rows_transformers,
)
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import Family

# Modules of rows and families, in the order in which users see them.
MODULES = (
    rows_tiny,
    rows_depth_anything,
    rows_depth_anything_3,
    rows_midas,
    rows_diffusers,
    rows_transformers,
)
FAMILIES: dict[str, Family] = {
    family.name: family for module in MODULES for family in module.families()
}


def family_of(card: ModelCard) -> Family:
    """Return the family of a card.

    Raises:
        ModelError: (``unknown_family``), which a row of another package may ask for.
    """
    family = FAMILIES.get(card.family)
    if family is None:
        raise ModelError(
            f"{card.name} is of the family {quoted(card.family)}; known: {', '.join(FAMILIES)}",
            reason="unknown_family",
        )
    return family
