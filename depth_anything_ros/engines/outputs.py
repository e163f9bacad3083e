"""Between what networks answer and the plain tuples of tensors that exported graphs return."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from depth_anything_ros.models.estimator import Output
from depth_anything_ros.models.zoo.card import ModelCard


@dataclass(frozen=True)
class Form:
    """How an answer is put together.

    Attributes:
        kind: class of the answer, a named tuple; None for one tensor alone.
        names: of the tensors that ``flat`` returns, in their order: ``depth``, ``disparity``,
            ``sky``, ...
    """

    kind: type[Any] | None
    names: tuple[str, ...]

    def like(self, tensors: Sequence[Tensor]) -> Output:
        """Put an answer together again, as the network would have it.

        Args:
            tensors: those that ``flat`` returns, in the order of ``names``.
        """
        if self.kind is None:
            return tensors[0]
        given = dict(zip(self.names, tensors, strict=True))
        empty = tensors[0].new_empty(len(tensors[0]), 0)
        answer: Output = self.kind(*(given.get(field, empty) for field in _fields(self.kind)))
        return answer

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        kind = "" if self.kind is None else f"{self.kind.__module__}:{self.kind.__qualname__}"
        path.write_text(json.dumps({"kind": kind, "names": self.names}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Form:
        """Read what ``save`` wrote, from a folder that is this user's own."""
        facts = json.loads(path.read_text(encoding="utf-8"))
        module, _, name = facts["kind"].partition(":")
        kind = getattr(importlib.import_module(module), name) if module else None
        return cls(kind, tuple(facts["names"]))


def _fields(kind: type[Any]) -> tuple[str, ...]:
    names: tuple[str, ...] = kind._fields
    return names


def flat(output: Output) -> tuple[Tensor, ...]:
    """Return the tensors of an answer; those that are empty (no field of view) are left out."""
    if isinstance(output, Tensor):
        return (output,)
    return tuple(part for part in output if part.numel())


def form_of(output: Output, card: ModelCard) -> Form:
    """Return how an answer of a card's network is put together.

    Args:
        output: what the network answered of any picture.
        card: of the model, which names an answer of one tensor: ``disparity`` or ``depth``.
    """
    if isinstance(output, Tensor):
        return Form(None, ("disparity" if card.kind == "relative" else "depth",))
    kind = type(output)
    parts = zip(_fields(kind), output, strict=True)
    return Form(kind, tuple(name for name, part in parts if part.numel()))


class FlatNetwork(nn.Module):
    """A network that answers a plain tuple, for tracing and export."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of what the network answers."""
        return flat(self.network(image))
