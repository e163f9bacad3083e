"""The table, the CSV and the JSON of ``depth_anything evaluate``."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros import __version__
from depth_anything_ros.core.evaluation import LEAST_SQUARES, Alignment
from depth_anything_ros.tools.evaluation import ImageScores

CLAMPED = "predictions are clamped to the range; sky and beyond range count as its end"
_WORST = "aligned_abs_rel"
# Blocks of the table, and of each column the heading and the format.
_TABLE = {
    "metric": {
        "metric_abs_rel": ("AbsRel", ".3f"),
        "metric_delta1": ("δ1", ".3f"),
        "metric_rmse": ("RMSE", ".2f"),
    },
    "aligned": {
        "aligned_abs_rel": ("AbsRel", ".3f"),
        "aligned_delta1": ("δ1", ".3f"),
        "aligned_rmse": ("RMSE", ".2f"),
    },
    "AbsRel of baselines": {
        "mean_depth_abs_rel": ("mean", ".3f"),
        "best_constant_abs_rel": ("const", ".3f"),
        "best_plane_abs_rel": ("plane", ".3f"),
    },
    "": {
        "plane_ratio": ("ratio", ".2f"),
        "boundary_f1": ("edges", ".3f"),
        "sky_accuracy": ("sky", ".3f"),
    },
}
_WIDTH = 7
_NAMED = 10  # pictures in one line


@dataclass(frozen=True)
class EvaluationResult:
    """All that was found.

    Attributes:
        settings: what was asked, for the JSON.
        rows: one a picture.
        left_out: a line for each thing that was not scored.
        by_group: whether the table has a line a group rather than a line a picture.
        alignment: that the aligned scores are after.
    """

    settings: dict[str, Any]
    rows: Sequence[ImageScores]
    left_out: Sequence[str]
    by_group: bool
    alignment: Alignment = LEAST_SQUARES


def means(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each column over the rows that have it; NaN of a column that none has.

    ``plane_ratio`` is the ratio of the two means, not the mean of ratios, which easy pictures
    would rule.
    """
    rows = list(rows)
    found: dict[str, float] = {}
    for name in rows[0] if rows else ():
        known = [row[name] for row in rows if not math.isnan(row[name])]
        found[name] = float(np.mean(known)) if known else math.nan
    if found.get("best_plane_abs_rel"):
        found["plane_ratio"] = found["aligned_abs_rel"] / found["best_plane_abs_rel"]
    return found


def group_means(rows: Iterable[ImageScores]) -> dict[str, dict[str, float]]:
    """Return the means of each group, worst first."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row.values)
    found = {group: means(values) for group, values in groups.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1][_WORST]))


def lines(result: EvaluationResult) -> list[str]:
    """Return the table, worst first, the means below, and what was left out."""
    groups, count = group_means(result.rows), Counter(row.group for row in result.rows)
    if result.by_group:
        body = [(f"{name} ({count[name]})", values) for name, values in groups.items()]
    else:
        body = [(row.name, row.values) for row in worst_first(result.rows)]
    end = [(f"mean of {len(result.rows)} pictures", means(row.values for row in result.rows))]
    if not result.by_group and len(groups) < len(result.rows):
        end.append((f"mean of {len(groups)} recordings", means(groups.values())))
    width = max(len(name) for name, _ in (*body, *end))
    titles = (f"{name:<{_WIDTH * len(columns) - 1}}" for name, columns in _TABLE.items())
    names = _cells([heading for heading, _ in columns.values()] for columns in _TABLE.values())
    heading = [f"{'':{width}} | {' | '.join(titles)}".rstrip(), " " * width + names]
    above, below = (
        [name.ljust(width) + _numbers(values) for name, values in part] for part in (body, end)
    )
    return [*heading, *above, "-" * len(heading[1]), *below, *_notes(result)]


def _notes(result: EvaluationResult) -> Iterator[str]:
    yield f"alignment: {result.alignment}"
    asked = ("", result.alignment.method)
    if simpler := [row.name for row in result.rows if row.aligned_by not in asked]:
        yield f"aligned by a simpler method: {_some(simpler)}"
    yield from (f"left out: {line}" for line in result.left_out)
    if swapped := [row.name for row in result.rows if row.values["scale"] < 0]:
        yield f"aligned upside down, scale below 0: {_some(swapped)}"


def worst_first(rows: Iterable[ImageScores]) -> list[ImageScores]:
    """Sort pictures by AbsRel after alignment."""
    return sorted(rows, key=lambda row: -row.values[_WORST])


def write(result: EvaluationResult, folder: Path) -> list[Path]:
    """Write report.json and pictures.csv into a folder that exists; return their paths."""
    rows = worst_first(result.rows)
    groups = group_means(rows)
    content = {
        "version": __version__,
        **result.settings,
        "alignment": str(result.alignment),
        "align": {"method": result.alignment.method, "space": result.alignment.space},
        "aligned_by": dict(Counter(row.aligned_by for row in rows).most_common()),
        "clamped": CLAMPED,
        "pictures": len(rows),
        "pictures_with_metres": sum(not math.isnan(r.values["metric_abs_rel"]) for r in rows),
        "mean": _said_all(means(row.values for row in rows)),
        "mean_over_groups": _said_all(means(groups.values())),
        "groups": {name: _said_all(values) for name, values in groups.items()},
        "worst_first": [_row(row) for row in rows],
        "left_out": list(result.left_out),
    }
    return write_files(content, [_row(row) for row in rows], folder)


def write_files(report: dict[str, Any], rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write report.json, and the rows as pictures.csv; return their paths."""
    path, table = folder / "report.json", folder / "pictures.csv"
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of other bytes
    with table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["name", "group"])
        writer.writeheader()
        writer.writerows(rows)
    return [path, table]


def _row(row: ImageScores) -> dict[str, Any]:
    values = _said_all(row.values)
    return {"name": row.name, "group": row.group, "aligned_by": row.aligned_by, **values}


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _cells(blocks: Iterable[Iterable[str]]) -> str:
    return "".join(f" |{''.join(text.rjust(_WIDTH) for text in block)}" for block in blocks)


def _numbers(values: dict[str, float]) -> str:
    def text(name: str, form: str) -> str:
        return "-" if math.isnan(values[name]) else format(values[name], form)

    blocks = (columns.items() for columns in _TABLE.values())
    return _cells([text(name, form) for name, (_, form) in block] for block in blocks)


def said(value: float) -> float | None:
    """Return a value as files keep it: whole, or of six digits; nothing for no number."""
    if isinstance(value, int):
        return value
    return None if math.isnan(value) else float(f"{value:.6g}")


def _said_all(values: dict[str, float]) -> dict[str, float | None]:
    return {name: said(value) for name, value in values.items()}
