"""Ask a model for several pictures at once, so that one that is wrong costs no other its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import ModelError, first_line
from depth_anything_ros.nodes.depth_pipeline import View
from depth_anything_ros.nodes.output_grid import Size

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator

Answers = list[Estimate | Exception]


def infer_apart(estimator: DepthEstimator, views: Sequence[View]) -> Answers:
    """Answer views of any cameras, each on its own, in batches where the model takes them.

    Returns:
        For each view what the model answers, or what it raises for this one alone.
    """
    if not views:
        return []
    pictures, cameras = [view.rgb for view in views], [view.camera for view in views]
    try:
        return list(estimator.infer_batch(pictures, cameras, **_sizes(views)))
    except Exception as error:  # the caller is to raise it, where it counts what it drops
        if len(views) == 1:
            return [error]
    return [answer for view in views for answer in infer_apart(estimator, [view])]


def infer_together(
    estimator: DepthEstimator,
    views: Sequence[View],
    T_rig_camera: Sequence[NDArray[np.float64]],
) -> Answers:
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
        pictures = [view.rgb for view in views]
        answers = estimator.infer_views(pictures, cameras, T_rig_camera, **_sizes(views))
    except Exception as error:  # as above
        return [error for _ in views]
    return [answer.depth for answer in answers]


def _sizes(views: Sequence[View]) -> dict[str, Any]:
    """Return the argument that asks for other sizes than the pictures', where any view does."""
    sizes: list[Size | None] = [view.size for view in views]
    return {"sizes": sizes} if any(sizes) else {}


def infer_within_memory(estimator: DepthEstimator, ask: Callable[[], Answers]) -> Answers:
    """Ask a model; where its device has no memory left, once more for smaller pictures.

    The model keeps the smaller input size, unless it takes no other than its own.

    Args:
        estimator: that is asked.
        ask: which asks it, and answers with what it raises.

    Returns:
        Its answers; ModelError (``out_of_memory``) in the place of those for which the memory was
        too small still.
    """
    # Not at the top: torch takes seconds.
    from depth_anything_ros.engines.out_of_memory import is_out_of_memory, take_smaller_input

    answers = ask()
    if any(isinstance(one, Exception) and is_out_of_memory(one) for one in answers):
        answers.clear()  # their tracebacks hold the memory
        size = estimator.input_size
        take_smaller_input(estimator)
        answers = ask()
        if any(isinstance(one, ModelError) and one.reason == "input_size" for one in answers):
            estimator.input_size = size
    return [
        _short_of_memory(estimator, one)
        if isinstance(one, Exception) and is_out_of_memory(one)
        else one
        for one in answers
    ]


def _short_of_memory(estimator: DepthEstimator, error: Exception) -> ModelError:
    return ModelError(
        f"out of memory on {estimator.device} at input size {estimator.input_size} too: "
        f"{first_line(error)}; stop what else uses it, or choose a smaller model",
        reason="out_of_memory",
    )
