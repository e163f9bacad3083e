"""Load the model of a node, and say what to do where that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import (
    DepthAnythingError,
    ModelError,
    first_line,
    printable,
    trace,
)
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger

    from depth_anything_ros.models import DepthEstimator


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to answer.

    Attributes:
        wanted: the arguments of load_estimator.
        estimator: made by them.
        full_size: that its input should have, and has, unless memory was too small.
        is_rig: it answers several cameras together.
    """

    wanted: Mapping[str, Any]
    estimator: DepthEstimator
    full_size: int
    is_rig: bool


def load_model(
    make: Callable[..., DepthEstimator],
    wanted: Mapping[str, Any],
    cameras: int,
    logger: RcutilsLogger,
) -> LoadedModel | str:
    """Load a model for so many cameras, in any thread.

    Args:
        make: load_estimator, or what takes its place.
        wanted: its arguments.
        cameras: how many.
        logger: of the node.

    Returns:
        The model, or in a sentence, which is logged, why there is none.
    """
    try:
        estimator = make(**wanted)
        is_rig = estimator.card.any_view and cameras > 1
        _warm_up(estimator, cameras, is_rig, logger)
    except Exception as error:  # rclpy would swallow it: say it, whatever it is
        problem = f"cannot load the model: {_reason(error)}"
        expected = isinstance(error, (DepthAnythingError, ImportError, OSError))
        expected = expected or is_short_of_memory(error)
        logger.error(problem if expected else f"{problem}\n{trace()}")
        return problem
    return LoadedModel(wanted, estimator, wanted["input_size"] or estimator.card.input_size, is_rig)


def _reason(error: Exception) -> str:
    if is_short_of_memory(error):
        return f"{SHORT_OF_MEMORY} ({first_line(error)})"
    if isinstance(error, ImportError):
        return f"{printable(error)}; install what the README names beside rosdep's packages"
    return printable(error)


def _warm_up(estimator: DepthEstimator, cameras: int, is_rig: bool, logger: RcutilsLogger) -> None:
    """Infer once, so that no picture waits for what a first inference sets up."""
    try:
        camera = Camera.from_hfov(640, 480, 90.0)  # any: some models cannot do without
        picture = np.zeros((480, 640, 3), np.uint8)
        if is_rig:
            estimator.infer_views([picture] * cameras, [camera] * cameras)
        else:
            estimator.infer(picture, camera)
    except ModelError as error:  # weights that answer NaN: pictures may fare better
        logger.warning(f"the first inference, of a black picture: {error}")
