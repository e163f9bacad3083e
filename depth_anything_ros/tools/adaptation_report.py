"""What ``depth_anything adapt`` says of what it did: a report, a card, and a few words."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_anything_ros import __version__
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import write_atomically
from depth_anything_ros.models.zoo.card import ModelCard

# The scores that are told, by their names in evaluate's report, and how they are written.
_TOLD = {
    "metric_abs_rel": ("AbsRel", ".3f"),
    "metric_delta1": ("δ1", ".3f"),
    "metric_rmse": ("RMSE", ".2f"),
    "aligned_abs_rel": ("AbsRel aligned", ".3f"),
}


@dataclass(eq=False)
class Adaptation:
    """What was done and found.

    Attributes:
        card: of the model.
        weights: that it began with.
        before: scores of these on the held-out part, by the names of evaluate's report.
        after: scores of the ones that were chosen, likewise.
        validation: scores on the part that chose, by candidate.
        chosen: of the candidates.
        steps: of training.
        pictures: by part.
        sha256: of the weights that are handed over; "" where none are.
    """

    card: ModelCard
    weights: Path
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    validation: dict[str, dict[str, float]] = field(default_factory=dict)
    chosen: str = ""
    steps: int = 0
    pictures: dict[str, int] = field(default_factory=dict)
    sha256: str = ""

    @property
    def is_better(self) -> bool:
        """Say whether the held-out part is answered better than before."""
        return self.after["metric_abs_rel"] < self.before["metric_abs_rel"]


def written(
    found: Adaptation, folder: Path, options: argparse.Namespace, camera: Camera | None
) -> list[str]:
    """Write report.json and, with weights, card.md; return what to say."""
    report = _report(found, options, camera)
    write_atomically(
        folder / "report.json", json.dumps(report, indent=1, default=str).encode(), SourceError
    )
    lines = [*_table(found), f"written: {folder / 'report.json'}"]
    card, weights = folder / "card.md", (folder / "weights.safetensors").resolve()
    card.unlink(missing_ok=True)
    if not found.is_better:
        return [
            *lines,
            "no weights are handed over: on the held-out part they are no better than before "
            "(more minutes, or a longer drive through more of the place, may help)",
        ]
    write_atomically(card, "\n".join(_card(found, report)).encode(), SourceError)
    line = f'/**: {{ros__parameters: {{model: {found.card.name}, weights: "{weights}"}}}}'
    return [*lines, f"written: {card}, {weights}", "for the node's params_file:", line]


def _report(
    found: Adaptation, options: argparse.Namespace, camera: Camera | None
) -> dict[str, Any]:
    return {
        "version": __version__,
        "model": found.card.name,
        "weights_before": str(found.weights),
        "weights_sha256": found.sha256,
        "handed_over": found.is_better,
        "bag": str(options.bag),
        "minutes": options.minutes,
        "steps": found.steps,
        "pictures": found.pictures,
        "camera": None
        if camera is None
        else {"width": camera.width, "height": camera.height, "hfov_deg": camera.hfov_deg},
        "chosen": found.chosen,
        "held_out": {"before": found.before, "after": found.after},
        "validation": found.validation,
    }


def _table(found: Adaptation) -> list[str]:
    lines = ["on the last fifth of the bag, which was not trained on:"]
    for name, scores in (("before", found.before), (f"after, {found.chosen}", found.after)):
        told = "  ".join(f"{title} {scores[key]:{form}}" for key, (title, form) in _TOLD.items())
        lines.append(f"  {name}: {told}")
    return lines


def _card(found: Adaptation, report: dict[str, Any]) -> list[str]:
    camera, counts = report["camera"] or {}, found.pictures
    size = f"{camera.get('width')}x{camera.get('height')} px"
    rows = (
        f"| {name} | {s['metric_abs_rel']:.3f} | {s['metric_delta1']:.3f} "
        f"| {s['metric_rmse']:.2f} |"
        for name, s in (("before", found.before), ("after", found.after))
    )
    return [
        f"# {found.card.name}, adapted",
        "",
        f"Weights of {found.card.name} (family {found.card.family}), {found.chosen} on a recording "
        f"by depth_anything_ros {__version__}.",
        "",
        f"- Licence: {found.card.licence}, that of the weights it began with.",
        f"- File: weights.safetensors, sha256 {found.sha256}.",
        f"- Trained on {counts['train']} pictures in {found.steps} steps, chosen by "
        f"{counts['validate']}, scored on the {counts['held_out']} of the last fifth in time.",
        f"- Camera, as rectified: {size}, {camera.get('hfov_deg', 0.0):.0f} deg across. For "
        "another camera, or another mount of it, adapt again.",
        "",
        "Metres on the held-out part, by the points of the recording (means over pictures):",
        "",
        "| | AbsRel | δ1 | RMSE [m] |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
