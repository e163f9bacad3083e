"""What steadying makes of the answers to the demo's drive, which the poses of the robot carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import ESTIMATES
from depth_anything_ros.core.panels import TILE_WIDTH
from depth_anything_ros.tools.demo_bag import AnsweredImage
from depth_anything_ros.tools.steady_answers import Answers
from depth_anything_ros.tools.steady_benchmark import steadied
from depth_anything_ros.tools.steady_panel import time_row
from depth_anything_ros.tools.steady_scores import Judge
from depth_anything_ros.tools.steady_sequences import PosedSequence

_METHOD = "motion"
# Larger ones take seconds to score.
_WIDTH = 320
# How far down the picture the row is that is shown over time: below the horizon.
_ROW = 0.6
_FIGURES = ("tae", "abs_rel", "edges")


@dataclass(frozen=True, eq=False)
class SteadiedDrive:
    """A drive, plain and steadied.

    Attributes:
        figures: of ``plain`` and ``steadied``, by name.
        row: of the panel.
    """

    figures: dict[str, Any]
    row: NDArray[np.uint8]


def steadied_drive(
    images: Sequence[AnsweredImage], T_world_camera: NDArray[np.float64]
) -> SteadiedDrive | None:
    """Steady the answers to a drive, and score both.

    Args:
        images: of it, with truth and camera.
        T_world_camera: float64 (n, 4, 4), by the numbers of the images.

    Returns:
        None where fewer than two images were answered.
    """
    answers = _answers(images, T_world_camera)
    if answers is None:
        return None
    found, used = steadied(answers, _METHOD)
    judge, figures = Judge(answers.sequence), dict[str, Any]()
    for name, estimates in (("plain", answers.estimates), ("steadied", found)):
        scores = judge.figures(estimates)
        values = {key: float(getattr(scores, key)) for key in _FIGURES}
        figures[name] = {k: round(v, 4) if np.isfinite(v) else None for k, v in values.items()}
    notes = [f"TAE {figures[name]['tae'] or 0:.1f} %" for name in ("plain", "steadied")]
    row = time_row(
        "robot over time",
        (list(answers.sequence.rgb), answers.estimates, found),
        len(found) // 2,
        _ROW,
        (notes[0], f"by {_METHOD}, {notes[1]}"),
        TILE_WIDTH,
    )
    return SteadiedDrive({"method": _METHOD, "used": used, **figures}, row)


def steadied_in_words(figures: dict[str, Any]) -> str:
    """Say in a line what steadying changed."""
    plain, steady = figures["plain"], figures["steadied"]
    said = [
        f"{title} {plain[key]:.{digits}f} to {steady[key]:.{digits}f}{unit}"
        for key, title, digits, unit in (
            ("tae", "temporal alignment error", 1, " %"),
            ("abs_rel", "AbsRel", 3, ""),
        )
        if plain[key] is not None and steady[key] is not None
    ]
    return f"Steadied by {figures['method']}: {', '.join(said) or 'nothing to compare'}."


def _answers(
    images: Sequence[AnsweredImage], T_world_camera: NDArray[np.float64]
) -> Answers | None:
    """Return pictures, truth and answers, made small."""
    kept = [image for image in images if image.truth is not None and image.camera is not None]
    if len(kept) < 2:
        return None
    camera = kept[0].camera
    truths = [image.truth.depth_m for image in kept if image.truth is not None]
    if camera is None:
        return None
    width = min(_WIDTH, camera.width)
    size = (width, max(round(camera.height * width / camera.width), 1))

    def small(values: NDArray[Any]) -> NDArray[Any]:
        # Nearest neighbour: depth is not to be mixed across edges.
        return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT))

    truth = np.stack([small(depth) for depth in truths])
    sequence = PosedSequence(
        "drive",
        camera.scaled(*size),
        np.stack([cv2.resize(i.rgb, size, interpolation=cv2.INTER_AREA) for i in kept]),
        truth,
        np.zeros(truth.shape, np.uint8),
        T_world_camera[[image.number for image in kept]],
        tuple(image.stamp_ns for image in kept),
        is_still=False,
    )
    estimates = [ESTIMATES[i.result.kind](small(i.result.values), sequence.camera) for i in kept]
    return Answers("the depth node", sequence, estimates)
