"""The demo's panel: picture, depth, ground truth and error of each source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.colormap import colorize, nearness
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.evaluation import Comparison
from depth_anything_ros.core.metrics import Scores
from depth_anything_ros.tools.demo_bag import Frame
from depth_anything_ros.tools.panels import row, tile

TILE_WIDTH = 480
# What an answer is called above its picture.
WHAT = {
    DepthMap: "depth",
    DisparityMap: "disparity (relative)",
    AffineDepthMap: "affine depth (no metres)",
}
LARGEST_ERROR = 0.5  # of the true depth
_PERCENTILES = (2, 98)


def panel_row(
    name: str,
    frame: Frame,
    comparison: Comparison | None,
    note: str,
    anchored: Scores | None = None,
) -> NDArray[np.uint8]:
    """Set picture and answer side by side, and ground truth and error where there is a truth.

    Depth that a LiDAR anchored, and its error, come after those of the answer.

    Metres and truth share their colours, so that a wrong scale is seen; a disparity has its own.

    Args:
        name: of the source.
        frame: to show.
        comparison: of its answer with its truth.
        note: goes with the answer.
        anchored: scores of the depth that a LiDAR anchored, where there is one.
    """
    size = f"{frame.rgb.shape[1]} x {frame.rgb.shape[0]}"
    is_metric = isinstance(frame.result, DepthMap)
    what = WHAT[type(frame.result)]
    limits = None if frame.truth is None else _limits(nearness(frame.truth))
    painted = colorize(nearness(frame.result), limits=limits if is_metric else None)
    if is_metric and limits is not None:
        note = f"{note}, in the colours of the truth"
    drawn = [(frame.rgb, name, size), (painted, what, note)]
    if frame.truth is not None:
        truth = colorize(nearness(frame.truth), limits=limits)
        drawn.append((truth, "ground truth", "near is bright; black is unknown or the sky"))
        if comparison is not None:
            drawn.append(_error(frame, frame.truth.depth_m, comparison))
        if frame.anchored is not None and anchored is not None:
            painted = colorize(nearness(frame.anchored), limits=limits)
            drawn.append((painted, "anchored by the LiDAR", "in the colours of the truth"))
            error = _painted_error(frame.anchored.depth_m, frame.truth.depth_m)
            drawn.append((error, "error, anchored", f"AbsRel {anchored.abs_rel:.3f}"))
    return row([tile(rgb, title, text, TILE_WIDTH) for rgb, title, text in drawn])


def stacked(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Set rows one below the other; shorter ones end in black."""
    width = max(one.shape[1] for one in rows)
    padded = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in rows]
    return np.concatenate(padded)


def _limits(inverse: NDArray[np.float32]) -> tuple[float, float]:
    """Return where the colours of the truth begin and end."""
    known = inverse[np.isfinite(inverse)]
    low, high = np.percentile(known, _PERCENTILES) if known.size else (0.0, 1.0)
    return float(low), float(high)


def _error(
    frame: Frame, truth_m: NDArray[np.float32], comparison: Comparison
) -> tuple[NDArray[np.uint8], str, str]:
    """Paint |depth - truth| / truth of the metres as they come, or else after alignment."""
    title, depth_m, scores = "error after alignment", comparison.aligned_depth.depth_m, None
    if comparison.metric is not None and isinstance(frame.result, DepthMap):
        title, depth_m, scores = "error", frame.result.depth_m, comparison.metric
    as_it_is = "" if scores is None else f"AbsRel {scores.abs_rel:.3f}, "
    text = (
        f"{as_it_is}aligned {comparison.aligned.abs_rel:.3f}, "
        f"best plane {comparison.best_plane.abs_rel:.3f}"
    )
    title = f"{title}, 0 to {LARGEST_ERROR:.0%} of the true depth"
    return _painted_error(depth_m, truth_m), title, text


def _painted_error(depth_m: NDArray[np.float32], truth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(truth_m)
    error = np.full(truth_m.shape, np.nan, np.float32)
    error[known] = np.abs(depth_m[known] - truth_m[known]) / truth_m[known]
    shown = np.minimum(error, LARGEST_ERROR)  # +Inf too is an error
    return colorize(shown, "viridis", (0.0, LARGEST_ERROR))
