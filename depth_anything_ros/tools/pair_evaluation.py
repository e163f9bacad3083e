"""``depth_anything evaluate --dataset da2k``: how many pairs of points are in the right order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros import __version__
from depth_anything_ros.core.frames import read_picture
from depth_anything_ros.core.pairs import PairScores, score_pairs
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.tools.da2k import PairedImage
from depth_anything_ros.tools.evaluation import assumed_camera
from depth_anything_ros.tools.evaluation_report import said, write_files


@dataclass(frozen=True)
class PairRow:
    """The pairs of one picture."""

    name: str
    group: str
    scores: PairScores


@dataclass
class PairEvaluation:
    """Pairs of one model, picture by picture.

    Attributes:
        estimator: the model.
        rows: the scores so far.
    """

    estimator: DepthEstimator
    rows: list[PairRow] = field(default_factory=list)

    def add(self, picture: PairedImage) -> None:
        """Infer and score a picture."""
        rgb = np.ascontiguousarray(read_picture(picture.path, upright=True)[..., ::-1])
        # The scale that the camera of a metric model gives changes no order.
        camera = assumed_camera(rgb) if self.estimator.card.focal_scaled else None
        scores = score_pairs(self.estimator.infer(rgb, camera), picture.nearer, picture.farther)
        self.rows.append(PairRow(picture.name, picture.group, scores))


def total(rows: Iterable[PairRow]) -> PairScores:
    """Return the pairs of all rows together."""
    scores = [row.scores for row in rows]
    return PairScores(sum(one.right for one in scores), sum(one.pairs for one in scores))


def by_group(rows: Iterable[PairRow]) -> dict[str, PairScores]:
    """Return the pairs of each group, worst first."""
    groups: dict[str, list[PairRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    found = {group: total(members) for group, members in groups.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].accuracy))


def lines(rows: Sequence[PairRow], left_out: Sequence[str]) -> list[str]:
    """Return the table, worst first, all pairs below, and what was left out."""
    ends = {f"all pairs of {len(rows)} pictures": total(rows)}
    shown = by_group(rows)
    width = max(len(name) for name in (*shown, *ends))
    heading = " " * width + "  pairs  right  accuracy"
    body, end = (
        [f"{n:{width}}{s.pairs:7}{s.right:7}{s.accuracy:10.3f}" for n, s in part.items()]
        for part in (shown, ends)
    )
    return [heading, *body, "-" * len(heading), *end, *(f"left out: {line}" for line in left_out)]


def write(
    settings: dict[str, Any], rows: Sequence[PairRow], left_out: Sequence[str], folder: Path
) -> list[Path]:
    """Write report.json and pictures.csv into a folder that exists; return their paths."""
    groups = by_group(rows)
    found = [
        {"name": row.name, "group": row.group, **_values(row.scores)}
        for row in sorted(rows, key=lambda row: row.scores.accuracy)
    ]
    accuracies = [one.accuracy for one in groups.values()]
    report = {
        "version": __version__,
        **settings,
        "pictures": len(rows),
        "all_pairs": _values(total(rows)),
        "mean_over_groups": said(float(np.mean(accuracies))),
        "groups": {group: _values(scores) for group, scores in groups.items()},
        "worst_first": found,
        "left_out": list(left_out),
    }
    return write_files(report, found, folder)


def _values(scores: PairScores) -> dict[str, float | None]:
    return {"pairs": scores.pairs, "right": scores.right, "accuracy": said(scores.accuracy)}
