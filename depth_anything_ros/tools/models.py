"""``depth_anything models``: the zoo as a table, or one of its cards."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.tools.progress import say

if TYPE_CHECKING:  # heavy: the parser is built without them
    from depth_anything_ros.models.zoo.card import ModelCard

_HEADER = ("model", "gives", "size", "licence", "commercial", "here")
_FOCAL = "* needs the camera's focal length"
_LEGEND = (
    f"{_FOCAL}. commercial: whether the licence of the weights allows such use.",
    "here: whether the weights are on this machine; - where none were released.",
    f"More of one: {how_to_run('depth_anything', 'models NAME')}",
    f"To fetch it: {how_to_run('depth_anything', 'weights fetch NAME')}",
)
_FIT = {
    "shorter": "the shorter side {} px",
    "longer": "the longer side {} px",
    "nearest": "the side that is nearer to it {} px",
    "square": "{0} x {0} px",
}
_MEANING = {
    "relative": "without a unit: 1 / depth = s x disparity + t, s and t unknown",
    "affine_depth": "without a unit: depth = s x this + t, s and t unknown",
    "metric": "along the optical axis",
}


@dataclass(frozen=True)
class Row:
    """What users are told of a model.

    Attributes:
        card: its facts.
        family: its title.
        parameters: of the network; None where it needs a package that is not installed.
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


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "models",
        help="list the models that there are, or say all of one",
        description="List the zoo: what each model gives, its parameters, the licence of its "
        "weights, and whether they are on this machine. With a name, say all of that model.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of one model, or hf:REPO")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON")
    how.add_argument("--markdown", action="store_true", help="print the tables of doc/models.md")


def run(options: argparse.Namespace) -> int:
    """Print; return the exit status."""
    from depth_anything_ros.models.zoo import card_names, find_card

    if options.name:
        row = row_of(find_card(options.name))
        facts = as_json(row)
        if options.json:
            print(json.dumps(facts, indent=1))
        else:
            say(*card_lines(row))
        return 0
    rows = [row_of(find_card(name)) for name in card_names()]
    if options.json:
        print(json.dumps([as_json(row) for row in rows], indent=1))
    else:
        say(*(markdown_lines(rows) if options.markdown else table_lines(rows)))
    return 0


def row_of(card: ModelCard) -> Row:
    """Collect what users are told of a model."""
    from depth_anything_ros.core.errors import ModelError
    from depth_anything_ros.models.weights.find import cached_weights
    from depth_anything_ros.models.weights.identify import parameter_count
    from depth_anything_ros.models.zoo.families import family_of

    parameters: int | None = None
    with contextlib.suppress(ImportError, ModelError):  # where an extra is not installed
        parameters = parameter_count(card)
    return Row(card, family_of(card).title, parameters, cached_weights(card))


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
    elif card.kind != "relative" and _knows_sky(card):
        parts.append("sky")
    return ", ".join(parts)


def _knows_sky(card: ModelCard) -> bool:
    network = dict(card.options).get("network")
    return card.family == "depth_and_sky" or network in ("single_view", "nested")


def places(card: ModelCard) -> list[str]:
    """List where the official weights are."""
    release = str(dict(card.options).get("release", ""))
    found = [f"{card.bundled} in this package"] if card.bundled else []
    found += [f"{card.hub_repo}:{card.hub_file}"] if card.hub_repo else []
    return found + ([release] if release else [])


def table_lines(rows: list[Row]) -> list[str]:
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
    widths = [max(len(line[i]) for line in (_HEADER, *cells)) for i in range(len(_HEADER))]
    lines, family = [_aligned(_HEADER, widths)], ""
    for row, line in zip(rows, cells, strict=True):
        if row.family != family:
            family = row.family
            lines += ["", family]
        lines.append(_aligned(line, widths))
    return [*lines, "", *_LEGEND]


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    """Align the columns: text to the left, the size to the right."""
    parts = [
        cell.rjust(width) if i == 2 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def markdown_lines(rows: list[Row]) -> list[str]:
    """Lay the zoo out as tables in Markdown, one a family, without this machine's cache."""
    lines: list[str] = []
    family = ""
    for row in rows:
        if row.family != family:
            family = row.family
            lines += ["", f"### {family}", "", "| model | gives | parameters | licence | weights |"]
            lines.append("|---|---|---|---|---|")
        licence = row.card.licence + ("" if row.card.commercial else ", **not commercial**")
        where = "<br>".join(f"`{place}`" for place in places(row.card)) or "not released"
        answers = gives(row.card).replace("*", "\\*")
        lines.append(f"| `{row.card.name}` | {answers} | {row.size} | {licence} | {where} |")
    return [*lines[1:], "", f"\\{_FOCAL}."]


def card_lines(row: Row) -> list[str]:
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


def as_json(row: Row) -> dict[str, Any]:
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
