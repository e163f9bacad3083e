"""The model of a node: loaded in a thread, taken by the executor, given back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from depth_anything_ros.core.errors import (
    DepthAnythingError,
    ModelError,
    first_line,
    printable,
    trace,
)
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.nodes.transitions import Work

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator
    from depth_anything_ros.pipeline.depth import DepthPipeline


class ModelSlot:
    """Hold the model of a node, or say why there is none.

    Args:
        make: load_estimator, or what takes its place.
        logger: the node's.

    Attributes:
        pipeline: what answers by the model; None where there is none.
        problem: why loading failed, in a sentence; "" where it did not.
    """

    def __init__(self, make: Callable[..., DepthEstimator], logger: RcutilsLogger) -> None:
        self.pipeline: DepthPipeline | None = None
        self.problem = ""
        self._make, self._logger = make, logger
        self._loaded: tuple[Mapping[str, Any], int] | None = None
        self._made: DepthPipeline | None = None
        self._is_tried = False

    def is_of(self, wanted: Mapping[str, Any], cameras: int) -> bool:
        """Say whether the model is loaded that these arguments make."""
        return self.pipeline is not None and self._loaded == (wanted, cameras)

    def loading(self, wanted: Mapping[str, Any], cameras: int) -> Work:
        """Return what loads a model, in any thread; ``take`` it then.

        Args:
            wanted: the arguments of load_estimator.
            cameras: how many cameras are to be served.
        """
        self.problem, self._made, self._is_tried = "", None, False
        self._loaded = (wanted, cameras)
        self._logger.info(f"loading {printable(wanted['model'], 200)}")

        def load() -> None:
            self._is_tried = True
            try:
                self._made = self._load(wanted, cameras)
            except Exception as error:  # rclpy would swallow it: say it, whatever it is
                self.problem = f"cannot load the model: {_reason(error)}"
                expected = isinstance(error, (DepthAnythingError, ImportError, OSError))
                expected = expected or is_short_of_memory(error)
                self._logger.error(self.problem if expected else f"{self.problem}\n{trace()}")

        return load

    def _load(self, wanted: Mapping[str, Any], cameras: int) -> DepthPipeline:
        # Not at the top: torch takes seconds, in which the node should be there and stoppable.
        from depth_anything_ros.pipeline.depth import DepthPipeline

        estimator = self._make(**wanted)
        is_rig = estimator.card.any_view and cameras > 1
        full_size = wanted["input_size"] or estimator.card.input_size
        pipeline = DepthPipeline(estimator, is_rig=is_rig, full_size=full_size)
        try:
            pipeline.warm_up(cameras)
        except ModelError as error:  # weights that answer NaN: images may fare better
            self._logger.warning(f"the first inference, of a black picture: {error}")
        return pipeline

    def take(self, wanted: Mapping[str, Any], cameras: int) -> DepthPipeline | None:
        """Return what answers from now on, loaded now unless it was; None where that failed."""
        if not self._is_tried:
            self.loading(wanted, cameras)()
        self.pipeline, self._made, self._is_tried = self._made, None, False
        if self.pipeline is None:
            self.problem = self.problem or "loading was interrupted"
            gc.collect()  # what it had loaded by then
        return self.pipeline

    def device(self) -> str:
        """Return what the model runs on; "" where there is none."""
        return str(self.pipeline.estimator.device) if self.pipeline else ""

    def facts(self) -> dict[str, str]:
        """Return what diagnostics say of the model."""
        if self.pipeline is None:
            return {"model": "none"}
        estimator = self.pipeline.estimator
        engine = estimator.engine
        return {
            "model": estimator.description,
            "engine": f"{engine.name} {engine.precision}",
            "why this engine": engine.why or "asked for, or the only one",
            "input size (px)": str(estimator.input_size),
        }

    def shortage(self) -> str:
        """Say that memory was short for the size that was asked for; "" where it was not."""
        if self.pipeline is None or self.pipeline.estimator.input_size >= self.pipeline.full_size:
            return ""
        return (
            f"out of memory on {self.device()}: the input size is "
            f"{self.pipeline.estimator.input_size} instead of {self.pipeline.full_size}; set "
            "input_size to it or choose a smaller model"
        )

    def release(self) -> None:
        """Give the model back."""
        self.pipeline = None
        gc.collect()  # the weights' memory now, not at some later collection


def _reason(error: Exception) -> str:
    if is_short_of_memory(error):
        return f"{SHORT_OF_MEMORY} ({first_line(error)})"
    if isinstance(error, ImportError):
        return f"{printable(error)}; install what the README names beside rosdep's packages"
    return printable(error)
