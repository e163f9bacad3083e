"""What every way to run a network has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol

from torch import Tensor

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.networks.output import AnyOutput

ENGINES = ("torch", "openvino", "onnxruntime", "tensorrt")
ENGINE_PRECISIONS = ("fp32", "bf16", "fp16", "int8")

# Looks at what was made for one size of input, which the second argument runs, on a batch of that
# size. Raises ModelError where it answers wrong.
Judge = Callable[[Tensor, Callable[[Tensor], AnyOutput]], None]


@dataclass(frozen=True)
class EngineOptions:
    """What some engines can be told.

    Attributes:
        compiles: whether the engine torch compiles, which takes up to a minute and more.
        calibration: a picture, a folder of pictures, a sequence or a video that int8 is
            calibrated with, best of the camera at hand; "" for pictures of the simulator.
    """

    compiles: bool = False
    calibration: str = ""


class Engine(Protocol):
    """One network, ready to run in one way. ``run`` is called from one thread at a time.

    Attributes:
        name: ``torch``, ``openvino``, ``onnxruntime`` or ``tensorrt``.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``, of all but the last layer.
        device: that it runs on, as people write it.
        judge: of what it makes while pictures wait; the network as it is answers where that is
            refused. None takes it unseen.
    """

    name: str
    precision: str
    device: str
    judge: Judge | None

    def run(self, batch: Tensor) -> AnyOutput:
        """Answer what the network does.

        Args:
            batch: float32 (batch, 3, height, width), normalised, on the estimator's device.

        Returns:
            float32, on the device of the batch or on the CPU; the caller's own:
            the next call leaves it as it is.
        """
        ...

    def warm_up(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Do beforehand what a first picture would wait for.

        Args:
            sizes: (height, width) of the network's inputs to expect.
        """
        ...


def version_of(package: str) -> str:
    """Return the version of an installed package, which is not imported; "" where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def missing_extra(engine: str, package: str, extra: str) -> ModelError:
    """Return the error to raise where an engine's package is not installed."""
    return ModelError(
        f"engine {engine} needs {package}, which is not installed here: "
        f"{how_to_install(extra)}, or use engine auto or torch",
        reason="engine",
    )


def unsupported(engine: str, precision: str, device: str, instead: str) -> ModelError:
    """Return the error to raise where an engine does not compute a precision on a device."""
    return ModelError(
        f"engine {engine} does not compute in {precision} on {device}; use {instead}",
        reason="precision",
    )
