"""ONNX Runtime: CPUs, and NVIDIA's GPUs by CUDA or TensorRT (the extras ``onnx``, ``tensorrt``).

What is not on the CPU here was written by ONNX Runtime's documentation, and never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.core.errors import ModelError, first_line
from depth_anything_ros.engines.by_size import Size
from depth_anything_ros.engines.cache import Cache
from depth_anything_ros.engines.engine import unsupported, version_of
from depth_anything_ros.engines.export import INPUT, OPSET, OnnxNetwork, Target, onnx_network
from depth_anything_ros.engines.graph_engine import GraphEngine
from depth_anything_ros.engines.onnx_library import onnxruntime_library
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.estimator import DepthEstimator

_GRAPH_FILE = "graph.onnx"
_PRECISIONS = {
    ("onnxruntime", "cpu"): ("fp32",),  # 16 bits are computed in 32, with casts between
    ("onnxruntime", "cuda"): ("fp16", "fp32"),
    ("tensorrt", "cuda"): ("fp16", "fp32"),
}
_PROVIDERS = {
    ("onnxruntime", "cpu"): "CPUExecutionProvider",
    ("onnxruntime", "cuda"): "CUDAExecutionProvider",
    ("tensorrt", "cuda"): "TensorrtExecutionProvider",
}
# Pictures at a time that an engine of TensorRT is built for.
_MOST_PICTURES = 8
# What an exported graph depends on, besides the network.
_EXPORTERS = ("onnx", "onnxscript")


class OnnxEngine(GraphEngine[OnnxNetwork, Any]):
    """The network in ONNX Runtime, for batches of any size; see GraphEngine.

    Args:
        estimator: whose network it is.
        name: ``onnxruntime`` or ``tensorrt``.
        precision: ``fp32`` or ``fp16``.
        device: ``cpu``, ``cuda`` or ``cuda:N``, on which the batches are.
        cache: folder of exported networks; see ``cache_folder``.

    Raises:
        ModelError: ``engine`` where ONNX Runtime is not installed, or has no provider for the
            device; ``precision``.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        name: str,
        precision: str,
        device: torch.device,
        cache: Path | None = None,
    ) -> None:
        self._runtime = onnxruntime_library(name)
        precision = _check_precision(name, precision, device)
        self._provider = _check_provider(self._runtime, name, device)
        self._on = device
        super().__init__(estimator, name, precision, str(device), Cache("onnx", cache))

    def _facts(self) -> list[str]:
        versions = [str(self._runtime.__version__), *map(version_of, _EXPORTERS)]
        return [*versions, str(OPSET), self._graph_precision]

    @property
    def _graph_precision(self) -> str:
        """The precision of the file: TensorRT chooses by itself what is in 16 bits."""
        return "fp32" if self.name == "tensorrt" else self.precision

    def _exported(self, size: Size) -> OnnxNetwork:
        return onnx_network(self._estimator, Target(size, False, self._graph_precision, whole=True))

    def _write(self, network: OnnxNetwork, folder: Path) -> None:
        network.save(folder / _GRAPH_FILE)

    def _read(self, folder: Path, size: Size) -> Any:  # noqa: ANN401
        return self._session(str(folder / _GRAPH_FILE), size, folder)

    def _opened_in_memory(self, network: OnnxNetwork, size: Size) -> Any:  # noqa: ANN401
        graph = network.serialized()
        try:
            return self._session(graph, size, None)
        except Exception as error:  # of ONNX Runtime, which has no base class
            raise ModelError(
                f"ONNX Runtime cannot run {self._estimator.card.name} in {self.precision} on "
                f"{self.device}: {first_line(error)[:300]}; use engine auto or torch",
                reason="engine",
            ) from error

    def _answered(self, graph: Any, batch: Tensor) -> list[Tensor]:  # noqa: ANN401
        batch = batch.to(torch.float32).contiguous()
        if self._on.type == "cuda":
            return self._bound_run(graph, batch)
        # The arrays are new at each run, and so the caller's own.
        answers: list[Any] = graph.run(None, {INPUT: batch.cpu().numpy()})
        return [torch.from_numpy(answer) for answer in answers]

    def _bound_run(self, session: Any, batch: Tensor) -> list[Tensor]:  # noqa: ANN401
        """Run with input and outputs in the device's memory."""
        where = {"device_type": "cuda", "device_id": self._on.index or 0}
        answers = []
        binding = session.io_binding()
        binding.bind_input(
            INPUT,
            element_type=np.float32,
            shape=tuple(batch.shape),
            buffer_ptr=batch.data_ptr(),
            **where,
        )
        for output in session.get_outputs():
            # The batch is what has no number: the graph is of one size.
            shape = [side if isinstance(side, int) else len(batch) for side in output.shape]
            answers.append(torch.empty(shape, dtype=torch.float32, device=batch.device))
            binding.bind_output(
                output.name,
                element_type=np.float32,
                shape=tuple(shape),
                buffer_ptr=answers[-1].data_ptr(),
                **where,
            )
        torch.cuda.current_stream(batch.device).synchronize()  # the batch is there
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return answers

    def _session(self, graph: str | bytes, size: Size, folder: Path | None) -> Any:  # noqa: ANN401
        """Open a session of a file, or of its contents; what it keeps goes to the folder."""
        options = self._runtime.SessionOptions()
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = torch.get_num_threads()  # physical cores, or what was set
        # Threads that wait for the next picture would take the cores from the rest of the node.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        providers = self._providers(folder, size)
        return self._runtime.InferenceSession(graph, options, providers=providers)

    def _providers(self, folder: Path | None, size: Size) -> list[Any]:
        index = str(self._on.index or 0)
        cuda = (
            "CUDAExecutionProvider",
            {"device_id": index, "cudnn_conv_algo_search": "HEURISTIC"},
        )
        if self._provider == "CPUExecutionProvider":
            return [self._provider]
        if self._provider == "CUDAExecutionProvider":
            return [cuda]
        height, width = size
        shapes = {
            name: f"{INPUT}:{count}x3x{height}x{width}"
            for name, count in (("min", 1), ("opt", 1), ("max", _MOST_PICTURES))
        }
        options = {
            "device_id": index,
            "trt_fp16_enable": str(self.precision == "fp16"),
            "trt_layer_norm_fp32_fallback": "True",
            **{f"trt_profile_{name}_shapes": shape for name, shape in shapes.items()},
        }
        if folder is not None:
            options |= {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": str(folder / f"tensorrt_{self.precision}"),
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": str(folder),
            }
        return [(self._provider, options), cuda]


def _check_precision(name: str, precision: str, device: torch.device) -> str:
    known = _PRECISIONS.get((name, device.type))
    if known is None:
        raise ModelError(f"engine {name} does not run on {device}; use torch", reason="engine")
    if precision == "auto":
        return known[0]
    if precision not in known:
        raise unsupported(name, precision, str(device), f"auto or {' or '.join(known)}")
    return precision


def _check_provider(runtime: Any, name: str, device: torch.device) -> str:  # noqa: ANN401
    wanted = _PROVIDERS[name, device.type]
    found: list[str] = runtime.get_available_providers()
    if wanted not in found:
        raise ModelError(
            f"this onnxruntime ({runtime.__version__}) has no {wanted}, but {', '.join(found)}; "
            f"in its place, pip install onnxruntime-gpu, or use engine auto or torch",
            reason="engine",
        )
    return wanted


def make(
    estimator: DepthEstimator, precision: str, device: str = "", tensorrt: bool = False
) -> OnnxEngine:
    """Make the engine of an estimator.

    Args:
        estimator: whose network it is.
        precision: ``auto``, ``fp32`` or, on CUDA, ``fp16``.
        device: ``cpu``, ``cuda`` or ``cuda:N``, where the estimator's batches are; "" for its own.
        tensorrt: whether TensorRT is to run the network, which takes minutes to build for a size.

    Raises:
        ModelError: as OnnxEngine.
    """
    on = choose_device(device) if device else estimator.device
    return OnnxEngine(estimator, "tensorrt" if tensorrt else "onnxruntime", precision, on)
