"""``depth_anything models``: the zoo as a table, or one of its cards."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.models.weights.find import cached_weights
from depth_anything_ros.models.weights.identify import parameter_count
from depth_anything_ros.models.zoo import card_names, find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.tools.progress import say

_HEADER = ("model", "gives", "size", "licence", "commercial", "here")
_FOCAL = "* needs the camera's focal length"
_LEGEND = (
    f"{_FOCAL}. commercial: whether the licence of the weights allows such use.",
    "size: ? where the file of weights, or a package that is not installed, says it.",
    "here: whether the weights are on this machine; - where none were released.",
    f"More of one: {how_to_run('depth_anything', 'models NAME')}",
    f"To fetch it: {how_to_run('depth_anything', 'weights fetch NAME')}",
)
_FIT = {
    "shorter": "the shorter side {} px",
    "longer": "the longer side {} px",
    "nearest": "the side that is nearer to it {} px",
    "square": "{0} x {0} px",
    "area": "as many pixels as a 4:3 picture of {} px on the shorter side",
}
_MEANING = {
    "relative": "without a unit: 1 / depth = s x disparity + t, s and t unknown",
    "affine_depth": "without a unit: depth = s x this + t, s and t unknown",
    "metric": "along the optical axis",
}


@dataclass(frozen=True)
class ModelFacts:
    """What users are told of a model.

    Attributes:
        card: its facts.
        family: its title.
        parameters: of the network; None where it needs a package that is not installed, or its
            file of weights says it.
        weights: the file on this machine; None where it is not here.
    """

    card: ModelCard
    family: str
    parameters: int | None
    weights: Path | None

    @property
    def size(self) -> str:
        """The number of parameters in words."""
        if self.parameters is None:
            return "?"
        millions = self.parameters / 1e6
        return f"{millions / 1000:.2f} B" if millions >= 1000 else f"{millions:.1f} M"

    @property
    def state(self) -> str:
        """Whether the weights are on this machine: ``yes``, ``no``, ``-`` where there are none."""
        if self.weights is not None:
            return "yes"
        return "no" if places(self.card) else "-"


def run(options: argparse.Namespace) -> int:
    """Print; return the exit status."""
    rows = [
        facts_of(find_card(name)) for name in ([options.name] if options.name else card_names())
    ]
    if options.json:
        facts = [as_json(row) for row in rows]
        print(json.dumps(facts[0] if options.name else facts, indent=1))
    elif options.name:
        say(*card_lines(rows[0]))
    else:
        say(*(markdown_lines(rows) if options.markdown else table_lines(rows)))
    return 0


def facts_of(card: ModelCard) -> ModelFacts:
    """Collect what users are told of a model."""
    parameters: int | None = None
    with contextlib.suppress(ImportError, ModelError):  # where an extra is not installed
        parameters = parameter_count(card) or None
    return ModelFacts(card, family_of(card).title, parameters, cached_weights(card))


def gives(card: ModelCard) -> str:
    """Say in a few words what a model answers."""
    words = {"relative": "disparity", "affine_depth": "affine depth", "metric": "metres"}
    parts = [words[card.kind]]
    if card.max_depth_m is not None:
        parts[0] += f" to {card.max_depth_m:g} m"
    if card.focal_scaled:
        parts[0] += "*"
    if card.any_view:
        parts.append("poses")
    elif card.kind != "relative" and card.knows_sky:
        parts.append("sky")
    return ", ".join(parts)


def places(card: ModelCard) -> list[str]:
    """List where the official weights are."""
    release = str(dict(card.options).get("release", ""))
    found = [f"{card.bundled} in this package"] if card.bundled else []
    found += [f"{card.hub_repo}:{card.hub_file}"] if card.hub_repo else []
    return found + ([release] if release else [])


def table_lines(rows: list[ModelFacts]) -> list[str]:
    """Lay the zoo out as a table of at most 100 columns, by families."""
    cells = [
        (
            row.card.name,
            gives(row.card),
            row.size,
            row.card.licence,
            "yes" if row.card.commercial else "NO",
            row.state,
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_HEADER, *cells, strict=True)]
    aligns = "<<><<<"  # numbers to the right

    def aligned(line: tuple[str, ...]) -> str:
        parts = zip(line, aligns, widths, strict=True)
        return "  ".join(f"{cell:{align}{width}}" for cell, align, width in parts).rstrip()

    lines = [aligned(_HEADER)]
    for family, members in groupby(zip(rows, cells, strict=True), lambda pair: pair[0].family):
        lines += ["", family, *(aligned(line) for _, line in members)]
    return [*lines, "", *_LEGEND]


def markdown_lines(rows: list[ModelFacts]) -> list[str]:
    """Lay the zoo out as tables in Markdown, one a family, without this machine's cache."""
    lines: list[str] = []
    for family, members in groupby(rows, lambda row: row.family):
        lines += [f"### {family}", "", "| model | gives | parameters | licence | weights |"]
        lines.append("|---|---|---|---|---|")
        for row in members:
            licence = row.card.licence + ("" if row.card.commercial else ", **not commercial**")
            where = "<br>".join(f"`{place}`" for place in places(row.card)) or "not released"
            answers = gives(row.card).replace("*", "\\*")
            lines.append(f"| `{row.card.name}` | {answers} | {row.size} | {licence} | {where} |")
        lines.append("")
    return [*lines, f"\\{_FOCAL}."]


def card_lines(row: ModelFacts) -> list[str]:
    """Say all of one model."""
    card = row.card
    size = _FIT[card.fit].format(card.input_size)
    where = places(card)
    facts = [
        ("family", row.family),
        ("gives", f"{gives(card).replace('*', '')} ({_MEANING[card.kind]})"),
        ("needs", "the camera's focal length" if card.focal_scaled else ""),
        ("parameters", row.size),
        ("encoder", f"{card.encoder}: {card.timm_id}" if card.timm_id else card.encoder),
        ("input", f"{size}, multiples of {card.multiple}, {card.interpolation}"),
        ("licence", f"{card.licence}{'' if card.commercial else ', NO COMMERCIAL USE'}"),
        ("weights", where[0] if where else "not released: give the path of your own"),
        *(("", place) for place in where[1:]),
        ("sha256", card.sha256 or ("not pinned" if where and not card.bundled else "")),
        ("here", str(row.weights) if row.weights else _how_to_get(card) if where else ""),
    ]
    lines = [f"  {name:<12}{value}" for name, value in facts if value]
    return [card.name, *lines]


def _how_to_get(card: ModelCard) -> str:
    return f"no; run: {how_to_run('depth_anything', f'weights fetch {card.name}')}"


def as_json(row: ModelFacts) -> dict[str, Any]:
    """Return what is told of a model as JSON can hold it."""
    card = row.card
    return {
        "name": card.name,
        "family": row.family,
        "encoder": card.encoder,
        "kind": card.kind,
        "gives": gives(card).replace("*", ""),
        "needs_focal_length": card.focal_scaled,
        "any_view": card.any_view,
        "max_depth_m": card.max_depth_m,
        "parameters": row.parameters,
        "input_size": card.input_size,
        "fit": card.fit,
        "multiple": card.multiple,
        "licence": card.licence,
        "commercial": card.commercial,
        "places": places(card),
        "sha256": card.sha256,
        "weights": str(row.weights) if row.weights else None,
    }
