"""What a file of weights is: which models of the zoo it fits, by names, shapes and what it says."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import one_line
from depth_anything_ros.models.weights.provenance import Claim, claims_of
from depth_anything_ros.models.weights.read import StateDict, few, read_state_dict
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import FAMILIES, family_of

# What a network is filled from without loss of meaning: the 8-bit kinds need a scale beside them.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Identity:
    """What is known of a checkpoint.

    Attributes:
        path: of the file.
        cards: the rows of the zoo that it can be used with, in the zoo's order.
        families: names of the families by whose layout its names go, whether or not a row fits.
        size: of the encoder, where all cards agree ("Small"); "" else.
        kind: as of ModelCard, where all cards agree; "" else.
        layout: ``own`` names of this package's networks, or ``published`` ones.
        claims: what the file says about itself, in words.
        tensors, parameters: how many it holds.
        dtypes: of its tensors.
        reason: why no row can use it; "" where one can.
    """

    path: Path
    cards: tuple[str, ...]
    families: tuple[str, ...]
    size: str
    kind: str
    layout: str
    claims: tuple[str, ...]
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    reason: str


@functools.cache
def _network(card: ModelCard) -> nn.Module:
    """Build a network that has no memory, by a card without what its shape does not depend on."""
    with torch.device("meta"):
        return family_of(card).build(card)


def network_on_meta(card: ModelCard) -> nn.Module:
    """Build a card's network with names and shapes but no memory; quick, also for large ones."""
    return _network(replace(card, name="", licence="", hub_repo="", hub_file="", sha256=""))


def parameter_count(card: ModelCard) -> int:
    """Count the parameters of a card's network."""
    return sum(values.numel() for values in network_on_meta(card).parameters())


def layouts_of(found: StateDict) -> dict[str, StateDict]:
    """Rename a state dict by the rules of each family that knows its names; keys are families."""
    used = {card.family for card in CARDS.values()}
    renamed = {name: FAMILIES[name].to_ours(found) for name in FAMILIES if name in used}
    return {name: state for name, state in renamed.items() if state is not None}


def fitting_cards(found: StateDict, claimed: Iterable[str] = ()) -> list[ModelCard]:
    """Find the rows whose networks have just the names and shapes of a state dict.

    Args:
        found: as read from a file.
        claimed: further families to compare with, whose own names the file may have.
    """
    layouts = {name: found for name in claimed if name in FAMILIES} | layouts_of(found)
    return [
        card
        for card in CARDS.values()
        if card.family in layouts and _fits(layouts[card.family], card)
    ]


def _fits(state: StateDict, card: ModelCard) -> bool:
    token = state.get("encoder.vit.cls_token")
    if token is not None and token.shape[-1] != card.width:
        return False  # without building a network
    expected = network_on_meta(card).state_dict()
    return expected.keys() == state.keys() and all(
        values.shape == expected[name].shape for name, values in state.items()
    )


def identify(path: Path) -> Identity:
    """Say what a file of weights is.

    Raises:
        CheckpointError: as read_state_dict and claims_of, where it cannot be read.
    """
    found, claims = read_state_dict(path, integers=True), claims_of(path)
    claimed = {claim.family for claim in claims if claim.family}
    fitting = fitting_cards(found, claimed)
    layouts = layouts_of(found)
    cards, refusal = _allowed(fitting, path, found, layouts, claims)
    names = found.keys()
    own = any(names == network_on_meta(card).state_dict().keys() for card in cards)
    sizes, kinds = {card.encoder for card in cards}, {card.kind for card in cards}
    return Identity(
        path=path,
        cards=tuple(card.name for card in cards),
        families=tuple(dict.fromkeys((*(card.family for card in fitting), *layouts))),
        size=sizes.pop() if len(sizes) == 1 else "",
        kind=kinds.pop() if len(kinds) == 1 else "",
        layout="own" if own else "published",
        claims=tuple(str(claim) for claim in claims),
        tensors=len(found),
        parameters=sum(values.numel() for values in found.values()),
        dtypes=tuple(sorted({str(v.dtype).removeprefix("torch.") for v in found.values()})),
        reason="" if cards else refusal or _why_none(path, found, layouts, claims),
    )


def _allowed(
    fitting: list[ModelCard],
    path: Path,
    found: StateDict,
    layouts: dict[str, StateDict],
    claims: list[Claim],
) -> tuple[list[ModelCard], str]:
    """Leave out the cards that the file's numbers or claims exclude; say why, of the last."""
    allowed, refusal = [], ""
    for card in fitting:
        state = layouts.get(card.family, found)
        wrong = other_kinds(state, network_on_meta(card).state_dict())
        said = f"{path} has the names of {card.name}: {kinds_said(wrong, state)}" if wrong else ""
        why = next(filter(None, (said, *(claim.refusal(path, card) for claim in claims))), "")
        if why:
            refusal = why
        else:
            allowed.append(card)
    shown = [card for card in allowed if not card.is_test]
    return shown or allowed, refusal


def _why_none(
    path: Path, found: StateDict, layouts: dict[str, StateDict], claims: list[Claim]
) -> str:
    said = f"; it is {claims[0]}" if claims else ""
    if not layouts:
        return (
            f"{path} is of no model in the zoo: its {len(found)} names begin with {few(found)}"
            f"{said}{_library(path)}"
        )
    titles = " or ".join(FAMILIES[name].title for name in layouts)
    card, state = _nearest(layouts)
    expected = network_on_meta(card).state_dict()
    return (
        f"{path} has names as of {titles}, but fits no model of it{said}: {card.name} is the "
        f"nearest, and of its {len(expected)} tensors the file has {_common(state, card)}"
    )


def _library(path: Path) -> str:
    """Advise the adapter of transformers, for a file of that library."""
    if not (path.parent / "config.json").is_file():
        return ""
    return (
        f"; there is a config.json beside it: if transformers wrote both, the model "
        f"hf:{path.parent} may run it"
    )


def _nearest(layouts: dict[str, StateDict]) -> tuple[ModelCard, StateDict]:
    cards = [card for card in CARDS.values() if card.family in layouts]
    card = max(cards, key=lambda card: _common(layouts[card.family], card))
    return card, layouts[card.family]


def _common(state: StateDict, card: ModelCard) -> int:
    """Count the tensors that a network and a file have in common, by name and shape."""
    expected = network_on_meta(card).state_dict()
    return sum(
        name in expected and values.shape == expected[name].shape for name, values in state.items()
    )


def described(cards: list[ModelCard]) -> str:
    """Name the family, or families, and the rows of a file: "tiny (tiny, tiny_relative)"."""
    titles = dict.fromkeys(family_of(card).title for card in cards)
    names = [card.name for card in cards]
    more = ", ..." if len(names) > 3 else ""
    return f"{' or '.join(titles)} ({', '.join(names[:3])}{more})"


def other_kinds(state: StateDict, expected: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors whose numbers a network would take and change: whole, complex, 8 bits.

    Args:
        state: name to tensor, under the names of the network.
        expected: its own state dict, of which kinds are read only.
    """
    return [
        f"{one_line(name, 60)} is {str(values.dtype).removeprefix('torch.')}"
        for name, values in state.items()
        if name in expected and not _can_fill(expected[name], values)
    ]


def _can_fill(expected: Tensor, values: Tensor) -> bool:
    if expected.is_floating_point():
        return values.dtype in _FLOATS
    return values.dtype == expected.dtype


def kinds_said(wrong: list[str], state: StateDict) -> str:
    """Say which tensors hold another kind of number than a network takes."""
    return (
        f"{len(wrong)} of {len(state)} tensors hold another kind of number: {few(wrong)}; expected "
        f"float16, bfloat16, float32 or float64"
    )
