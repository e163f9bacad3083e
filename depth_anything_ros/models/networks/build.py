"""From a model card to its network: empty, or with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of


@runtime_checkable
class FirstAnswer(Protocol):
    """A network whose last layers say what it answers before it has learnt."""

    def reset_first_answer(self) -> None:
        """Set them, whatever their weights are."""
        ...


class _NothingWritten(TorchFunctionMode):
    """Leave out what is written into tensors on ``meta``: it is lost, and costs torch's compiler.

    Its import takes as long as torch's own. Elsewhere all is written: who draws until the values
    are within bounds would draw for ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - of any function
        """Call a function of torch, unless it writes."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):  # in place; of torch.nn.init too
            written = args[0] if args else kwargs["tensor"]
            if written.is_meta:
                return written
        return func(*args, **kwargs)


def empty_network(card: ModelCard) -> nn.Module:
    """Build a card's network on the CPU with memory that nothing has been written to.

    Initial values that a checkpoint overwrites take seconds for a large model.
    """
    with torch.device("meta"), _NothingWritten():
        network = family_of(card).build(card)
    return network.to_empty(device="cpu")


def untrained_network(card: ModelCard, seed: int = 0) -> nn.Module:
    """Build a card's network on the CPU with the initial values that training starts from.

    The same for the same seed; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return family_of(card).build(card)


def random_network(card: ModelCard, seed: int = 0) -> nn.Module:
    """Build a card's network with random weights, the same for the same seed.

    Raises:
        ModelError: (``weights``) of a network that only its file of weights describes.
    """
    network = empty_network(card)
    if next(network.parameters(), None) is None:
        raise ModelError(
            f"{card.name} is described by its file of weights, so it has no random ones; give "
            f"that file, or leave weights empty",
            reason="weights",
        )
    randomise(network, torch.Generator().manual_seed(seed))
    # With biases of 0 the sky would be everywhere, and a field of view nothing.
    if isinstance(network, FirstAnswer):
        network.reset_first_answer()
    return network


@torch.no_grad()
def randomise(network: nn.Module, generator: torch.Generator) -> None:
    """Fill a network with random weights whose answers vary over the picture and stay positive.

    Weights keep the variance of what they pass on (He et al. 2015, arXiv:1502.01852), gains are
    1 (0.1 for layer scales, so that deep encoders stay near their input), and biases 0. The last
    convolution is given no negative weight: what comes in is 0 or more, so a ReLU that follows
    never dies; and it is scaled down, so that a sigmoid does not saturate.
    """
    parameters = dict(network.named_parameters())
    for name, values in parameters.items():
        if values.ndim == 1:
            is_gain = name.endswith(("weight", "scale"))
            values.fill_(0.1 if "gamma" in name.rpartition(".")[2] else float(is_gain))
        elif ("embed" in name and values.ndim == 3) or name.endswith("token"):
            values.normal_(0, 0.1, generator=generator)
        else:
            values.normal_(0, values[0].numel() ** -0.5, generator=generator)
    last = [values for values in parameters.values() if values.ndim == 4][-1]
    last.abs_().mul_(0.25)
