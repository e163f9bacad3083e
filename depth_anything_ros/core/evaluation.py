"""Compare one answer of a model with ground truth, as it is, aligned, and beside baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import (
    METHODS,
    SPACES,
    Method,
    Space,
    fit_scale_shift,
    metres,
)
from depth_anything_ros.core.baselines import best_constant, best_plane, mean_depth
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.metrics import Scores, score
from depth_anything_ros.core.robust import Line, least_squares

# What the methods are called in a report, and whose they are.
_SAID = {
    "least_squares": ("least squares of scale and shift", " (MiDaS eq. 4)"),
    "median_mad": ("median and mean absolute deviation", " (MiDaS eq. 5 and 6)"),
    "trimmed": ("least squares of scale and shift, 20 % trimmed,", ""),
    "huber": ("Huber's loss of scale and shift", ""),
    "ransac": ("RANSAC of scale and shift", ""),
    "log_ransac": ("RANSAC of scale and shift by truncated errors of log depth", ""),
    "scale_only": ("least absolute residuals of the scale alone", ""),
    "spline": ("a rising spline of ten knots", ""),
}


@dataclass(frozen=True)
class Alignment:
    """What brings an answer to the metres of the truth before it is scored.

    Attributes:
        method: of ``core.alignment``, or ``none``, which takes metres as they came.
        space: where answer and truth are on one line.

    Raises:
        ParameterError: an unknown method or space.
    """

    method: Method | Literal["none"] = "least_squares"
    space: Space = "disparity"

    def __post_init__(self) -> None:
        for value, known in ((self.method, ("none", *METHODS)), (self.space, SPACES)):
            if value not in known:
                raise ParameterError(f"no alignment {value!r}; expected {', '.join(known)}")

    def __str__(self) -> str:
        """Return what stands in every report, for a score says nothing without it."""
        if self.method == "none":
            return "none, metres as they came"
        what, source = _SAID[self.method]
        return f"{what} in {self.space.replace('_', ' ')}{source}, per picture"


LEAST_SQUARES = Alignment()


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
        aligned: scores after the alignment.
        mean_depth, best_constant, best_plane: scores of the baselines (``core.baselines``).
        aligned_depth: what ``aligned`` is of.
        fit: the alignment; scale 0 where the answer had no shape, so that a constant was left.
        used: the method that answered (``core.alignment.Fit.used``), ``constant`` or ``none``.
    """

    metric: Scores | None
    aligned: Scores
    mean_depth: Scores
    best_constant: Scores
    best_plane: Scores
    aligned_depth: DepthMap
    fit: Line
    used: str = "least_squares"

    @property
    def plane_ratio(self) -> float:
        """AbsRel after alignment over that of the best plane; below 1 the model saw something."""
        plane = self.best_plane.abs_rel
        return self.aligned.abs_rel / plane if plane > 0 else float("nan")


def compare(
    answer: Estimate,
    truth: DepthMap,
    counted: DepthRange,
    is_metric: bool = True,
    alignment: Alignment = LEAST_SQUARES,
) -> Comparison:
    """Score an answer; all scores are over the same pixels, clamped to the same range.

    Args:
        answer: of a model, on the grid of the truth.
        truth: metres along Z, NaN unknown, +Inf sky.
        counted: the depths that count.
        is_metric: False for depth whose scale means nothing, for example of an assumed camera.
        alignment: how the answer is brought to the truth.

    Raises:
        DepthAnythingError: (``degenerate_fit``) where no pixel counts.
        ParameterError: where an answer without metres is to be scored without an alignment, or
            affine depth with one in disparity.
    """
    mask, depth = counted.mask(truth), truth.depth_m
    constant = best_constant(depth, mask)
    metric = None
    if is_metric and answer.metric is not None:
        metric = score(counted.clamped(answer.metric), depth, mask)
    elif alignment.method == "none":
        raise ParameterError(
            "an answer without metres cannot be scored without an alignment; choose one of "
            f"{', '.join(METHODS)}"
        )
    if answer.kind == "affine_depth" and alignment.space == "disparity":
        raise ParameterError("affine depth is on no line with disparity: align it in depth")
    fitted, fit, used = _aligned(answer, depth, mask, alignment)
    aligned = DepthMap(counted.clamped(DepthMap(fitted)))
    return Comparison(
        metric,
        score(aligned.depth_m, depth, mask),
        score(mean_depth(depth, mask), depth, mask),
        score(constant, depth, mask),
        score(best_plane(depth, mask, counted.max_m), depth, mask),
        aligned,
        fit,
        used,
    )


def _aligned(
    answer: Estimate,
    truth_m: NDArray[np.float32],
    mask: NDArray[np.bool_],
    alignment: Alignment,
) -> tuple[NDArray[np.float32], Line, str]:
    """Return metres, the line that gave them, and the method that answered.

    Least squares are the bare line and not ``fit_scale_shift``, so that an answer that swaps near
    and far shows in a negative scale.
    """
    space = alignment.space
    prediction = answer.nearness() if space == "disparity" else answer.farness()
    if alignment.method == "none":
        unfitted, unknown = np.zeros(mask.size, np.bool_), np.full((2, 2), np.nan)
        return answer.farness(), Line(1.0, 0.0, unfitted, unknown), "none"
    if alignment.method != "least_squares":
        fit = fit_scale_shift(prediction, truth_m, mask, alignment.method, space)
        if fit.ok:
            line = Line(fit.scale, fit.shift, fit.inliers, fit.covariance)
            return fit.apply(prediction), line, fit.used
    x, y = _in_space(prediction, space), _in_space(truth_m[mask], space)
    if space == "disparity":
        y = 1 / y
    answered = np.isfinite(x[mask])
    line = least_squares(x[mask][answered], y[answered])
    if line.scale and alignment.method == "least_squares":
        return metres(line.at(x), space), line, "least_squares"
    # An answer of one value only, which has no shape, becomes the best constant.
    line = least_squares(np.zeros(y.size), y)
    return metres(np.where(np.isnan(x), np.nan, line.shift), space), line, "constant"


def _in_space(values: NDArray[np.float32], space: Space) -> NDArray[np.float64]:
    """Return values in float64, their logarithm in ``log_depth``."""
    with np.errstate(divide="ignore"):
        found = values.astype(np.float64)
        return np.log(found) if space == "log_depth" else found
