"""The demo's panel: image, depth, ground truth and error of each source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.evaluation import Comparison
from depth_anything_ros.core.metrics import Scores
from depth_anything_ros.core.panels import ERROR_RANGE, Tile, color_limits, painted_error, row_of
from depth_anything_ros.tools.demo_bag import AnsweredImage

# What an answer is called above its picture, by kind.
WHAT = {
    "metric": "depth",
    "relative": "disparity (relative)",
    "affine_depth": "affine depth (no metres)",
}


def panel_row(
    name: str,
    image: AnsweredImage,
    comparison: Comparison | None,
    note: str,
    anchored: Scores | None = None,
) -> NDArray[np.uint8]:
    """Set image and answer side by side, and ground truth and errors where there is a truth.

    An answer has the colours of its own range, which its note says: in those of the truth, one of
    another scale would be all bright or all black. The error beside it shows what the scale costs.

    Args:
        name: of the source.
        image: to show, with its answer.
        comparison: of the answer with its truth.
        note: goes with the answer.
        anchored: scores of the depth that a LiDAR anchored, where there is one.
    """
    answer, truth = image.result, image.truth
    limits = None if truth is None else color_limits(truth.nearness())
    size = f"{image.rgb.shape[1]} x {image.rgb.shape[0]}"
    tiles = [Tile(image.rgb, name, size)]
    own = f"{note}, {_range(answer)}"
    tiles.append(Tile(colorize(answer.nearness()), WHAT[answer.kind], own))
    if truth is None:
        return row_of(tiles)
    painted = colorize(truth.nearness(), limits=limits)
    note = f"{_range(truth)}, near is bright, unknown is black"
    tiles.append(Tile(painted, "ground truth", note))
    known = np.isfinite(truth.depth_m)
    if comparison is not None:
        tiles.append(_error(image, truth.depth_m, known, comparison))
    if image.anchored is not None and anchored is not None:
        painted = colorize(image.anchored.nearness(), limits=limits)
        tiles.append(Tile(painted, "anchored by the LiDAR", "in the colours of the truth"))
        error = painted_error(image.anchored.depth_m, truth.depth_m, known)
        tiles.append(Tile(error, "error, anchored", f"AbsRel {anchored.abs_rel:.3f}"))
    return row_of(tiles)


def _range(answer: Estimate) -> str:
    """Say from where to where the colours of an answer go."""
    low, high = color_limits(answer.nearness())
    if answer.metric is None or not 0 <= low < high:
        return "in the colours of its own range"
    return f"from {1 / high:.2g} m to {f'{1 / low:.2g} m' if low else 'the sky'}"


def _error(
    image: AnsweredImage,
    truth_m: NDArray[np.float32],
    known: NDArray[np.bool_],
    comparison: Comparison,
) -> Tile:
    """Paint the error of the metres as they come, or else after alignment."""
    title, depth, text = "error after alignment", comparison.aligned_depth, ""
    if comparison.metric is not None and image.result.metric is not None:
        title, depth = "error", image.result.metric
        text = f"AbsRel {comparison.metric.abs_rel:.3f}, "
    text += (
        f"aligned {comparison.aligned.abs_rel:.3f}, best plane {comparison.best_plane.abs_rel:.3f}"
    )
    return Tile(painted_error(depth.depth_m, truth_m, known), f"{title}, {ERROR_RANGE}", text)
