"""Rows and tables of the benchmark of steady depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from depth_anything_ros.tools.steady_scores import FIGURES, Figures
from depth_anything_ros.tools.timing import markdown

OFF = "off"
HEADING = (
    "answers",
    "method",
    "flicker",
    "TAE",
    "AbsRel",
    "δ1",
    "edges F1",
    "contrast",
    "moving",
    "appearing",
    "uncovered",
    "worst AbsRel",
)


@dataclass(frozen=True)
class Row:
    """What one method makes of the answers to one sequence.

    Attributes:
        sequence: its name.
        answers: their name.
        method: ``off``, or one of METHODS.
        figures: scores.
        used: how many pictures were steadied how.
    """

    sequence: str
    answers: str
    method: str
    figures: Figures
    used: dict[str, int]

    def flat(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        figures = {name: _rounded(value) for name, value in asdict(self.figures).items()}
        start = {"sequence": self.sequence, "answers": self.answers, "method": self.method}
        return {**start, **figures, "used": "; ".join(f"{n} {how}" for how, n in self.used.items())}


def table(rows: Sequence[Row]) -> list[str]:
    """Return means over sequences: of ``off`` as they are, of a method the change in per cent.

    TAE is of the sequences whose camera moves, flicker of the others. The last column is the
    largest change of AbsRel of any sequence.
    """
    cells = []
    for answers in dict.fromkeys(row.answers for row in rows):
        methods = dict.fromkeys(row.method for row in rows)
        by_method = {
            method: [row for row in rows if (row.answers, row.method) == (answers, method)]
            for method in methods
        }
        plain = _means(by_method[OFF])
        for method, ours in by_method.items():
            means = _means(ours)
            if method == OFF:
                said, worst = [f"{value:.3g}" for value in plain.values()], ""
            else:
                said = [_change(means[name], plain[name]) for name in FIGURES]
                worst = _worst(ours, by_method[OFF])
            known = [
                text if math.isfinite(means[name]) else ""
                for name, text in zip(FIGURES, said, strict=True)
            ]
            cells.append([answers if method == OFF else "", method, *known, worst])
    return markdown(HEADING, cells)


def _worst(rows: Sequence[Row], off: Sequence[Row]) -> str:
    pairs = [(row.figures.abs_rel, one.figures.abs_rel) for row, one in zip(rows, off, strict=True)]
    return _change(*max(pairs, key=lambda pair: pair[0] / pair[1]))


def _change(value: float, before: float) -> str:
    return f"{100 * (value / before - 1):+.1f}" if before else ""


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean of each figure; TAE of those that have no flicker, where there are any."""
    moving = [row for row in rows if not math.isfinite(row.figures.flicker)] or rows
    found = {}
    for name in FIGURES:
        values = [float(getattr(row.figures, name)) for row in (moving if name == "tae" else rows)]
        known = [value for value in values if math.isfinite(value)]
        found[name] = float(np.mean(known)) if known else float("nan")
    return found


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
