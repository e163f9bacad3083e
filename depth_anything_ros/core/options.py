"""Options as fields of frozen dataclasses, which say of themselves what a user has to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import partial
from typing import Any


def parameter(default: Any, description: str, **facts: Any) -> Any:  # noqa: ANN401
    """Make a dataclass field that is an option, and a parameter of a node that contains it.

    Args:
        default: its value where nobody sets one.
        description: a sentence for people.
        facts: as of ``nodes.parameters.Spec``: unit, low, high, choices, static.
    """
    return field(default=default, metadata={"description": description, **facts})


# An option of a node none of whose parameters change while it runs.
fixed = partial(parameter, static=True)


def group(cls: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Make a dataclass field that is a group of options, joined to its name by a dot."""
    return field(default_factory=cls)
