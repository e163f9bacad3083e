"""Ask a model for several pictures at once, so that one that is wrong costs no other its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.nodes.depth_pipeline import View

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator


def infer_apart(estimator: DepthEstimator, views: Sequence[View]) -> list[Estimate | Exception]:
    """Answer views of any cameras, each on its own, in batches where the model takes them.

    Returns:
        For each view what the model answers, or what it raises for this one alone.
    """
    if not views:
        return []
    try:
        return list(estimator.infer_batch([v.rgb for v in views], [v.camera for v in views]))
    except Exception as error:  # the caller is to raise it, where it counts what it drops
        if len(views) == 1:
            return [error]
    return [answer for view in views for answer in infer_apart(estimator, [view])]


def infer_together(
    estimator: DepthEstimator,
    views: Sequence[View],
    T_rig_camera: Sequence[NDArray[np.float64]],
) -> list[Estimate | Exception]:
    """Answer views of one scene, at one time, by an any-view model that is told the poses.

    Args:
        estimator: of an any-view model.
        views: of calibrated cameras.
        T_rig_camera: float64 (4, 4) each, which takes points of the optical frame to one frame.

    Returns:
        For each view its depth in metres, by the poses, or what the model raises for all.
    """
    cameras: list[Camera] = [view.camera for view in views if view.camera is not None]
    try:
        answers = estimator.infer_views([view.rgb for view in views], cameras, T_rig_camera)
    except Exception as error:  # as above
        return [error for _ in views]
    return [answer.depth for answer in answers]
