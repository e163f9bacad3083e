"""How steady, how right and how late depth over time is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import metres
from depth_anything_ros.core.boundaries import boundary_contrast, boundary_scores
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.evaluation import DepthRange
from depth_anything_ros.core.metrics import score
from depth_anything_ros.core.robust import least_squares
from depth_anything_ros.core.temporal import SeenPair, flicker, seen_pairs, temporal_alignment_error
from depth_anything_ros.tools.steady_sequences import APPEARS, PosedSequence

# What counts, and what every prediction is clamped to.
RANGE = DepthRange(1e-3, 80.0)
# What steadies begins by learning: how steady it is counts from then on.
START_S = 1.0
# Pictures for which a thing counts as new, and what it uncovered as uncovered: where delay and
# trails would be.
_NEW = 5
# F1 is slow: of every so many pictures.
_F1_STEP = 4
# A line is fitted to every so many pixels.
_STEP = 7


@dataclass(frozen=True)
class Figures:
    """What depth over time scores, means over its pictures; NaN where there is nothing to score.

    The first two are of the pictures after the first ``START_S`` seconds.

    Attributes:
        flicker: standard deviation over time of ln depth of a still point, camera still, per cent.
        tae: temporal alignment error, per cent.
        abs_rel: as of ``core.metrics``.
        delta1: likewise.
        edges: boundary F1 of ``core.boundaries``.
        contrast: share of the true steps at boundaries, likewise.
        moving: AbsRel within things that move.
        appearing: AbsRel within things that appear, in the first pictures in which they are there.
        uncovered: AbsRel of what such things have uncovered in the last pictures.
    """

    flicker: float
    tae: float
    abs_rel: float
    delta1: float
    edges: float
    contrast: float
    moving: float
    appearing: float
    uncovered: float


FIGURES = tuple(field.name for field in fields(Figures))


class Judge:
    """The truth of a sequence, against which depth over time is held.

    Args:
        sequence: with true depth.
    """

    def __init__(self, sequence: PosedSequence) -> None:
        self.sequence = sequence
        stamps = np.array(sequence.stamps_ns)
        begun = np.flatnonzero(stamps >= stamps[0] + 1e9 * START_S)
        # Of a short sequence, all counts.
        self._first = int(begun[0]) if len(begun) > len(stamps) / 2 else 0
        self._known = [RANGE.mask(DepthMap(truth)) for truth in sequence.truth_m]
        moving, appearing = sequence.moving, sequence.things == APPEARS
        first = int(appearing.any((1, 2)).argmax())
        appearing[first + _NEW :] = False
        self._appearing = list(appearing)
        self._uncovered = [
            moving[max(0, i - _NEW) : i].any(0) & ~moving[i] for i in range(len(moving))
        ]

    @cached_property
    def _pairs(self) -> list[SeenPair]:
        one = self.sequence
        moving = [mask | ~known for mask, known in zip(one.moving, self._known, strict=True)]
        pairs = seen_pairs(list(one.truth_m), one.camera, one.T_world_camera, moving)
        return [pair for pair in pairs if min(pair.one, pair.other) >= self._first]

    def figures(self, estimates: Sequence[Estimate]) -> Figures:
        """Score an answer of each picture; those without metres by one line for all of them."""
        depths, truths = self.depths_m(estimates), self.sequence.truth_m
        rows = [
            score(depth, truth, known)
            for depth, truth, known in zip(depths, truths, self._known, strict=True)
        ]
        pairs = list(zip(depths, truths, strict=True))
        things = self.sequence.things
        still = ~self.sequence.moving.any(0) & np.all(self._known, 0)
        standing = self.sequence.is_still
        return Figures(
            100.0 * flicker(depths[self._first :], still) if standing else float("nan"),
            temporal_alignment_error(depths, self.sequence.camera, self._pairs),
            _mean([row.abs_rel for row in rows]),
            _mean([row.delta1 for row in rows]),
            _mean([boundary_scores(depth, truth).f1 for depth, truth in pairs[::_F1_STEP]]),
            _mean([boundary_contrast(depth, truth) for depth, truth in pairs]),
            self._within(depths, list((things > 0) & (things != APPEARS))),
            self._within(depths, self._appearing),
            self._within(depths, self._uncovered),
        )

    def depths_m(self, estimates: Sequence[Estimate]) -> list[NDArray[np.float32]]:
        """Return metres of each picture, clamped to what counts."""
        if estimates[0].metric is not None:
            maps = [DepthMap(estimate.values) for estimate in estimates]
            return [RANGE.clamped(depth) for depth in maps]
        space = estimates[0].space
        values = np.stack([estimate.values for estimate in estimates])
        known = np.stack(self._known) & np.isfinite(values)
        x = values[known][::_STEP].astype(np.float64)
        y = self.sequence.truth_m[known][::_STEP].astype(np.float64)
        line = least_squares(x, 1 / y if space == "disparity" else y)
        fitted = [DepthMap(metres(line.at(value), space)) for value in values]
        return [RANGE.clamped(depth) for depth in fitted]

    def _within(
        self, depths: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]]
    ) -> float:
        """Return AbsRel within masks, a mean over the pictures that have any such pixel."""
        found = []
        truths = self.sequence.truth_m
        for depth, truth, mask, known in zip(depths, truths, masks, self._known, strict=True):
            counted = mask & known
            if counted.any():
                found.append(score(depth, truth, counted).abs_rel)
        return _mean(found)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
