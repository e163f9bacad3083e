"""OpenVINO: CPUs of any maker, and GPUs and NPUs of Intel (the extra ``openvino``).

A network is exported by torch, converted, and compiled for the device.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.errors import ModelError, first_line
from depth_anything_ros.engines.by_size import Size
from depth_anything_ros.engines.cache import Cache
from depth_anything_ros.engines.engine import unsupported
from depth_anything_ros.engines.graph_engine import GraphEngine
from depth_anything_ros.engines.openvino_library import core, device_name, library, precisions
from depth_anything_ros.engines.openvino_model import (
    convert,
    exact_layers,
    first_layers,
    mark_exact,
    write,
)
from depth_anything_ros.engines.quantise import calibration_inputs, quantised
from depth_anything_ros.models.estimator import DepthEstimator

_GRAPH_FILE = "graph.xml"
_BLOBS = "*.blob"  # what OpenVINO writes of compiled networks
# Another one where what is kept is made in another way.
_FORMAT = "7"
# OpenVINO's word for the type of each precision.
_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_FASTEST = ("bf16", "fp16", "fp32")


class _Graph:
    """A network that is compiled for one size of input."""

    def __init__(self, model: Any, device: str, properties: dict[str, Any]) -> None:  # noqa: ANN401
        openvino = library()
        # Pictures come with their channels last, as cameras give them: so no copy is made.
        steps = openvino.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        compiled = core().compile_model(steps.build(), device, properties)
        self._request = compiled.create_infer_request()
        self._tensor = openvino.Tensor
        self._shapes = [tuple(output.shape)[1:] for output in compiled.outputs]

    def run(self, batch: Tensor) -> list[Tensor]:
        """Answer float32 (batch, 3, height, width), one picture after the other.

        The network writes into memory that is new at each call, and so the caller's own.
        """
        pictures = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())
        answers = [torch.empty(len(pictures), *shape) for shape in self._shapes]
        for index in range(len(pictures)):
            picture = self._tensor(pictures[index : index + 1], shared_memory=True)
            self._request.set_input_tensor(picture)
            for output, answer in enumerate(answers):
                part = self._tensor(answer[index : index + 1].numpy(), shared_memory=True)
                self._request.set_output_tensor(output, part)
            self._request.infer()
        return answers


class OpenVinoEngine(GraphEngine[Any, _Graph]):
    """The network in OpenVINO; see GraphEngine.

    Args:
        estimator: whose network it is, on the CPU.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        device: see ``device_name``.
        pictures: uint8 (height, width, 3), RGB, that int8 is calibrated with; () for those of
            the simulator and synthetic ones. Pictures of the camera at hand are better.
        cache: folder of converted networks; see ``cache_folder``.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        precision: str,
        device: str = "cpu",
        pictures: Iterable[NDArray[np.uint8]] = (),
        cache: Path | None = None,
    ) -> None:
        self._device = device_name(device)
        self._properties = _properties(precision, device)
        self._pictures = pictures
        super().__init__(
            estimator, "openvino", precision, device or "cpu", Cache("openvino", cache)
        )

    def _facts(self) -> list[str]:
        facts: list[str] = [_FORMAT, library().__version__]
        # The same file serves all floating-point types, which are chosen when it is compiled.
        return [*facts, "int8", _hash_of(self._pictures)] if self.precision == "int8" else facts

    def _exported(self, size: Size) -> Any:  # noqa: ANN401
        model = convert(self._estimator, size, dynamic=False)
        exact = exact_layers(model, self._estimator.network)
        if self.precision == "int8":
            inputs = calibration_inputs(self._estimator, size, self._pictures)
            # 8 bits of a picture's range are more than a grey level: the first layer in them
            # doubles the error of tiny.
            model = quantised(model, inputs, [*first_layers(model), *exact])
        mark_exact(model, exact)
        return model

    def _write(self, network: Any, folder: Path) -> None:  # noqa: ANN401
        write(network, folder / _GRAPH_FILE)

    def _read(self, folder: Path, size: Size) -> _Graph:
        """Compile what is in a folder of the cache, where OpenVINO keeps what it compiled."""
        before = set(folder.glob(_BLOBS))
        try:
            model = core().read_model(folder / _GRAPH_FILE)
            return _Graph(model, self._device, {**self._properties, "CACHE_DIR": str(folder)})
        except RuntimeError:  # the disk is full, as a rule
            for blob in set(folder.glob(_BLOBS)) - before:
                blob.unlink()
            return self._opened_in_memory(core().read_model(folder / _GRAPH_FILE), size)

    def _opened_in_memory(self, network: Any, size: Size) -> _Graph:  # noqa: ANN401
        try:
            return _Graph(network, self._device, self._properties)
        except RuntimeError as error:  # of the driver, or of the compiler
            raise ModelError(
                f"OpenVINO cannot compile {self._estimator.card.name} in {self.precision} for "
                f"{self.device}: {first_line(error)}; use engine torch",
                reason="engine",
            ) from error

    def _answered(self, graph: _Graph, batch: Tensor) -> list[Tensor]:
        return graph.run(batch)


def _properties(precision: str, device: str) -> dict[str, Any]:
    """Return what to compile with: for the least time of one picture."""
    known = precisions(device)
    if precision not in known:
        raise unsupported("openvino", precision, device or "cpu", f"auto or {', '.join(known)}")
    floats = precision
    if precision == "int8":
        floats = next(name for name in _FASTEST if name in known)
    found: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device_name(device) != "NPU":  # which has no choice
        found["INFERENCE_PRECISION_HINT"] = _TYPES[floats]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if device_name(device) == "CPU" and threads.isdecimal():  # as torch does
        found["INFERENCE_NUM_THREADS"] = int(threads)
    return found


def _hash_of(pictures: Iterable[NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


def make(
    estimator: DepthEstimator,
    precision: str = "auto",
    device: str = "cpu",
    pictures: Iterable[NDArray[np.uint8]] = (),
    cache: Path | None = None,
) -> OpenVinoEngine:
    """Make the engine of an estimator.

    Args:
        estimator: whose network it is, on the CPU.
        precision: ``auto`` (bf16 or fp16 where the device has it, never int8), ``fp32``,
            ``bf16``, ``fp16`` or ``int8``.
        device: see ``device_name``.
        pictures: see OpenVinoEngine.
        cache: see OpenVinoEngine.

    Raises:
        ModelError: (``engine``) where OpenVINO is not installed; (``device``) on a device that it
            does not find, or an estimator on another; (``precision``) where the device does not
            compute it.
    """
    if estimator.device.type != "cpu":
        raise ModelError(
            f"engine openvino takes pictures from the CPU, and the estimator is on "
            f"{estimator.device}; use device cpu, gpu or npu",
            reason="device",
        )
    if precision == "auto":
        known = precisions(device)
        precision = next(name for name in _FASTEST if name in known)
    return OpenVinoEngine(estimator, precision, device, tuple(pictures), cache)
