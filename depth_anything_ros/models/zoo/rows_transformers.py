"""Models of the ``transformers`` library: a family with no rows, but cards made of files."""

from __future__ import annotations

from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.family import MODELS, Family

PREFIX = "hf:"
FAMILY = "transformers"


def families() -> list[Family]:
    """Return the family."""
    network, files = (
        f"{MODELS}.networks.transformers_models",
        f"{MODELS}.weights.transformers_files",
    )
    return [
        Family(  # the library knows the names of its files, see ``fill``
            FAMILY,
            "transformers",
            f"{network}:TransformersDepth",
            f"{MODELS}.weights.layouts:no_layout",
            "those of transformers",
            prepare=f"{network}:prepare",
            finish=f"{network}:at_image",
            prompt=f"{network}:prompt_input",
            fill=f"{files}:fill",
            prefix=PREFIX,
            card=f"{files}:transformers_card",
        )
    ]


def rows() -> list[ModelCard]:
    """Return none: a folder or a repo is named, not a row."""
    return []
