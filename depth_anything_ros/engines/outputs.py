"""Between what networks answer and the plain tuples of tensors that exported graphs return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
