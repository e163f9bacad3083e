"""Compare one answer of a model with ground truth, as it is, aligned, and beside baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import ScaleShift, depth_from_disparity, fit_scale_shift
from depth_anything_ros.core.baselines import best_constant, best_plane, mean_depth
from depth_anything_ros.core.colormap import nearness
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import DepthAnythingError, ParameterError
from depth_anything_ros.core.metrics import Scores, score

# Written into every report: a score says nothing without it.
ALIGNMENT = "least squares of scale and shift in disparity (MiDaS eq. 4), per picture"


@dataclass(frozen=True)
class DepthRange:
    """The true depth that counts, which is also what every prediction is clamped to, in metres."""

    min_m: float
    max_m: float

    def __post_init__(self) -> None:
        if not 0 < self.min_m < self.max_m < float("inf"):
            raise ParameterError(
                f"the depth that counts is from {self.min_m} to {self.max_m} m; the first must be "
                "positive, and less than the second"
            )

    def mask(self, truth: DepthMap) -> NDArray[np.bool_]:
        """Say which pixels count: those whose true depth is known and within the range."""
        return (truth.depth_m >= self.min_m) & (truth.depth_m <= self.max_m)

    def clamped(self, depth: DepthMap) -> NDArray[np.float32]:
        """Return depth in the range, as papers score it; NaN, where a model underflowed, is near.

        No pixel escapes its score: +Inf (beyond range, or sky) counts as max_m.
        """
        known = np.nan_to_num(depth.depth_m, nan=self.min_m, posinf=self.max_m)
        return np.asarray(np.clip(known, self.min_m, self.max_m), np.float32)


@dataclass(frozen=True, eq=False)
class Comparison:
    """One answer beside the truth.

    Attributes:
        metric: scores of metres as they came; None of an answer without metres.
        aligned: scores after ``ALIGNMENT``.
        mean_depth, best_constant, best_plane: scores of the baselines (``core.baselines``).
        aligned_depth: what ``aligned`` is of.
        fit: the alignment; scale 0 where the answer had no shape, so that a constant was left.
    """

    metric: Scores | None
    aligned: Scores
    mean_depth: Scores
    best_constant: Scores
    best_plane: Scores
    aligned_depth: DepthMap
    fit: ScaleShift

    @property
    def plane_ratio(self) -> float:
        """AbsRel after alignment over that of the best plane; below 1 the model saw something."""
        plane = self.best_plane.abs_rel
        return self.aligned.abs_rel / plane if plane > 0 else float("nan")


def compare(
    answer: DepthMap | DisparityMap, truth: DepthMap, counted: DepthRange, is_metric: bool = True
) -> Comparison:
    """Score an answer; all scores are over the same pixels, clamped to the same range.

    Args:
        answer: of a model, on the grid of the truth.
        truth: metres along Z, NaN unknown, +Inf sky.
        counted: the depths that count.
        is_metric: False for depth whose scale means nothing, for example of an assumed camera.

    Raises:
        DepthAnythingError: (``degenerate_fit``) where no pixel counts.
    """
    mask, depth = counted.mask(truth), truth.depth_m
    constant = best_constant(depth, mask)
    disparity = DisparityMap(nearness(answer), answer.camera)
    fit = _fit(disparity, depth, mask)
    aligned = DepthMap(counted.clamped(depth_from_disparity(disparity, fit, counted.max_m)))
    metric = None
    if is_metric and isinstance(answer, DepthMap):
        metric = score(counted.clamped(answer), depth, mask)
    return Comparison(
        metric,
        score(aligned.depth_m, depth, mask),
        score(mean_depth(depth, mask), depth, mask),
        score(constant, depth, mask),
        score(best_plane(depth, mask, counted.max_m), depth, mask),
        aligned,
        fit,
    )


def _fit(
    disparity: DisparityMap, truth_m: NDArray[np.float32], mask: NDArray[np.bool_]
) -> ScaleShift:
    """Align; an answer of one value only, which has no shape, becomes the best constant."""
    inverse = np.zeros(truth_m.shape)
    inverse[mask] = 1 / truth_m[mask].astype(np.float64)
    try:
        answered = mask & np.isfinite(disparity.disparity)
        return fit_scale_shift(disparity.disparity, inverse, answered)
    except DepthAnythingError as error:
        if error.reason != "degenerate_fit":
            raise
        return ScaleShift(0.0, float(np.mean(inverse[mask])), int(mask.sum()))
