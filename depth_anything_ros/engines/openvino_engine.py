"""OpenVINO: CPUs of any maker, and GPUs and NPUs of Intel (the extra ``openvino``).

A network is exported by torch for one size of picture, converted, and compiled for the device; a
graph of fixed shapes runs faster than one of any shape, and a camera has one. What was converted
is kept on the disk, so that a next start takes less time.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import DepthAnythingError, ModelError, first_line, quoted
from depth_anything_ros.engines.by_size import BySize
from depth_anything_ros.engines.cache import cache_folder, hash_of
from depth_anything_ros.engines.engine import missing_extra, unsupported
from depth_anything_ros.engines.outputs import FlatNetwork, Form, form_of
from depth_anything_ros.engines.quantise import calibration_inputs, quantised
from depth_anything_ros.engines.shared_copy import shared_copy
from depth_anything_ros.engines.traceable import traceable
from depth_anything_ros.models.estimator import DepthEstimator, Output

_log = logging.getLogger(__name__)

_GRAPH_FILE = "graph.xml"
_PRECISE = '<rt_info><attribute name="precise" version="0"/></rt_info>'
# Another one where what is kept is made in another way.
_FORMAT = "3"
# OpenVINO's capability, and its word for the type, of each precision. What int8 leaves in floating
# point is computed in 16 bits where the device can.
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_FASTEST = ("bf16", "fp16", "fp32")
_LAYERS = ("Convolution", "MatMul")


def library() -> ModuleType:
    """Import OpenVINO.

    Raises:
        ModelError: (``engine``) where it is not installed.
    """
    # It and NNCF count their uses at their makers' unless this is missing, which they take.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise missing_extra("openvino", "openvino", "openvino") from None
    module: ModuleType = openvino
    return module


@functools.cache
def core() -> Any:  # noqa: ANN401 - openvino.Core
    """Return the Core of this process.

    There is one, and it stays. With each, its CPU plug-in gives the thread another stack for
    signals, and takes it back with the last network of that Core. With two that do not end in
    reverse order the thread is left with a stack that is no more, and its next signal, such as
    Ctrl-C or the end of a child, kills the process without a word.

    Raises:
        ModelError: (``engine``) where OpenVINO is not installed.
    """
    return library().Core()


def device_name(device: str) -> str:
    """Return OpenVINO's name of a device.

    Args:
        device: ``cpu``, ``gpu``, ``gpu.N`` or ``npu``, with ``intel:`` before it or not; "" is
            the CPU.

    Raises:
        ModelError: (``device``) where OpenVINO finds no such device; (``engine``) where it is
            not installed.
    """
    name = device.lower().removeprefix("intel:").upper() or "CPU"
    found: list[str] = core().available_devices
    if name not in found and f"{name}.0" not in found:
        raise ModelError(
            f"OpenVINO finds no device {quoted(device)}, but {', '.join(found).lower()}; use "
            "cpu, or "
            f"install Intel's driver of the device and give this process access to it",
            reason="device",
        )
    return name


def precisions(device: str) -> list[str]:
    """List what OpenVINO computes on a device: some of ``fp32``, ``bf16``, ``fp16``, ``int8``.

    Raises:
        ModelError: as ``device_name``.
    """
    name = device_name(device)
    capabilities = core().get_property(name, "OPTIMIZATION_CAPABILITIES")
    return [precision for precision, word in _CAPABILITIES.items() if word in capabilities]


def convert(
    estimator: DepthEstimator, size: tuple[int, int] | None = None, dynamic: bool = True
) -> Any:  # noqa: ANN401 - openvino.Model, which need not be installed
    """Convert an estimator's network to OpenVINO, in float32.

    Args:
        estimator: whose network it is; the network stays as it is.
        size: height and width of the input, in pixels; None is a square of the estimator's input
            size.
        dynamic: whether batch, height and width may be others at run time, as far as the network
            takes them; else they are 1 and size.

    Returns:
        An openvino.Model of float32 (batch, 3, height, width) to what ``outputs.flat`` returns;
        its outputs have the names of ``outputs.form_of``.

    Raises:
        ModelError: (``engine``) where OpenVINO is not installed, or torch or OpenVINO cannot
            export the network.
    """
    openvino = library()
    height, width = size or (estimator.input_size, estimator.input_size)
    batch = torch.zeros(2 if dynamic else 1, 3, height, width)
    free = (dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO),) if dynamic else None
    network = FlatNetwork(shared_copy(estimator.network)).eval()
    try:
        with torch.no_grad(), traceable():
            program = torch.export.export(network, (batch,), dynamic_shapes=free, strict=False)
            model = openvino.convert_model(program)
            model.reshape(_input_shape(program))
            _split_group_norms(model)
            # The network's own names, and that of the input, in place of torch's.
            model.inputs[0].set_names({"image"})
            form = form_of(_answer(estimator, height, width), estimator.card)
            for output, name in zip(model.outputs, form.names, strict=True):
                output.set_names({name})
    except DepthAnythingError:
        raise
    except Exception as error:
        raise ModelError(
            f"{estimator.card.name} cannot be converted to OpenVINO at {width}x{height}: "
            f"{first_line(error)}; use engine torch",
            reason="engine",
        ) from error
    return model


def _input_shape(program: torch.export.ExportedProgram) -> list[int]:
    """Return the shape of the input that was exported, with -1 where it is free."""
    name = program.graph_signature.user_inputs[0]
    node = next(node for node in program.graph.nodes if node.name == name)
    return [side if isinstance(side, int) else -1 for side in node.meta["val"].shape]


def _split_group_norms(model: Any) -> None:  # noqa: ANN401 - openvino.Model
    """Put a normalisation and a product in the place of each group normalisation.

    One of fixed shape that a residual is added to makes the CPU's compiler crash the process
    (OpenVINO 2026.4.1).
    """
    ops = library().opset13
    for norm in [op for op in model.get_ops() if op.get_type_name() == "GroupNormalization"]:
        maps, scale, shift = (port.get_source_output() for port in norm.inputs())
        facts = norm.get_attributes()
        grouped = np.array([0, facts["num_groups"], -1], np.int64)
        flat_maps = ops.reshape(maps, grouped, special_zero=True)
        axes = np.array([2], np.int64)
        normal = ops.mvn(flat_maps, axes, True, facts["epsilon"], "inside_sqrt")
        whole = ops.reshape(normal, ops.shape_of(maps), special_zero=False)
        channels = np.array([1, -1, 1, 1], np.int64)
        scale, shift = (
            ops.reshape(values, channels, special_zero=False) for values in (scale, shift)
        )
        norm.output(0).replace(ops.add(ops.multiply(whole, scale), shift).output(0))


@torch.inference_mode()
def _answer(estimator: DepthEstimator, height: int, width: int) -> Output:
    return estimator.run_network(torch.zeros(1, 3, height, width))


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


class OpenVinoEngine:
    """The network in OpenVINO, compiled for each size of input.

    Where a size comes that is not compiled for yet, torch answers; if it comes again, the graph
    for it is compiled in another thread.

    Args:
        estimator: whose network it is, on the CPU.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        device: see ``device_name``.
        pictures: uint8 (height, width, 3), RGB, that int8 is calibrated with; () for those of
            the simulator and synthetic ones. Pictures of the camera at hand are better.
        cache: folder of converted networks; see ``cache_folder``.
    """

    name = "openvino"

    def __init__(
        self,
        estimator: DepthEstimator,
        precision: str,
        device: str = "cpu",
        pictures: Iterable[NDArray[np.uint8]] = (),
        cache: Path | None = None,
    ) -> None:
        self.precision = precision
        self.device = device or "cpu"
        self._estimator = estimator
        self._device = device_name(device)
        self._properties = _properties(precision, device)
        self._pictures = pictures
        self._cache = cache or cache_folder("openvino")
        self._weights = ""
        self._form: Form | None = None
        self._graphs = BySize(self._compiled, f"{estimator.card.name} in OpenVINO")

    @torch.inference_mode()
    def run(self, batch: Tensor) -> Output:
        """Answer what the network does; see ``engine.Engine``."""
        graph = self._graphs.get((batch.shape[-2], batch.shape[-1]))
        if graph is None or self._form is None:
            return self._estimator.run_network(batch)
        return self._form.like(graph.run(batch))

    def warm_up(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Compile for sizes (height, width) of the network's input, and run each once.

        Raises:
            ModelError: (``engine``) where the network cannot be converted or compiled.
        """
        for size in sizes:
            self._graphs.ensure(size)
            self.run(torch.zeros(1, 3, *size))

    def _compiled(self, size: tuple[int, int]) -> _Graph:
        if self._form is None:
            self._form = form_of(_answer(self._estimator, *size), self._estimator.card)
        folder = self._cache / self._key(size)
        model = _read(folder)
        if model is None:
            model = _save(self._converted(size), folder)
        properties = {**self._properties, "CACHE_DIR": str(folder)}
        try:
            return _Graph(model, self._device, properties)
        except RuntimeError as error:  # of the driver, or of the compiler
            raise ModelError(
                f"OpenVINO cannot compile {self._estimator.card.name} in {self.precision} for "
                f"{self.device}: {first_line(error)}; use engine torch",
                reason="engine",
            ) from error

    def _converted(self, size: tuple[int, int]) -> Any:  # noqa: ANN401
        model = convert(self._estimator, size, dynamic=False)
        if self.precision != "int8":
            return model
        inputs = calibration_inputs(self._estimator, size, self._pictures)
        # 8 bits of a picture's range are more than a grey level: the first layer in them doubles
        # the error of tiny.
        return quantised(model, inputs, [*first_layers(model), *last_layers(model)])

    def _key(self, size: tuple[int, int]) -> str:
        """Return a name for everything that a converted network depends on."""
        self._weights = self._weights or hash_of(self._estimator.network)
        facts = [_FORMAT, __version__, library().__version__, torch.__version__, self._weights]
        facts += [repr(self._estimator.card), str(size)]
        # The same file serves all floating-point types, which are chosen when it is compiled.
        if self.precision == "int8":
            facts += ["int8", _hash_of_pictures(self._pictures)]
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
        name = self._estimator.card.name.replace("/", "_").replace(":", "_")[-40:]
        return f"{name}-{size[1]}x{size[0]}-{digest[:16]}"


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
    if device_name(device) == "CPU" and threads.isdigit():  # as torch does
        found["INFERENCE_NUM_THREADS"] = int(threads)
    return found


def _hash_of_pictures(pictures: Iterable[NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


def _read(folder: Path) -> Any:  # noqa: ANN401 - openvino.Model
    """Read a converted network; None where there is none, or it is damaged."""
    file = folder / _GRAPH_FILE
    if not file.is_file():
        return None
    try:
        return core().read_model(file)
    except RuntimeError as error:
        _log.warning("%s is damaged and is made anew: %s", file, first_line(error))
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _save(model: Any, folder: Path) -> Any:  # noqa: ANN401 - openvino.Model
    """Save a converted network, all of it or nothing, and read it again."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            write(model, Path(made, folder.name, _GRAPH_FILE))
            Path(made, folder.name).rename(folder)
    except OSError as error:
        if not (folder / _GRAPH_FILE).is_file():  # another process was the first
            _log.warning("converted networks cannot be kept in %s: %s", folder.parent, error)
            with tempfile.TemporaryDirectory() as made:
                write(model, Path(made, _GRAPH_FILE))
                return _read(Path(made))
    return _read(folder)


def write(model: Any, path: Path, halved: bool = False) -> None:  # noqa: ANN401 - openvino.Model
    """Write a network, with its last layers marked to be computed in float32.

    In bfloat16, depth near 4 m would have steps of 3 cm. The mark is an attribute of OpenVINO's
    files that its Python does not have.

    Args:
        model: an openvino.Model.
        path: of the .xml; weights go into a .bin beside it.
        halved: whether weights are written in float16.
    """
    library().save_model(model, path, compress_to_fp16=halved)
    text = path.read_text()
    for name in last_layers(model):
        layer = re.compile(rf'(<layer [^>]*name="{re.escape(name)}"[^>]*>\s*<data [^>]*/>)')
        text = layer.sub(r"\1" + _PRECISE, text, count=1)
    path.write_text(text)


def first_layers(model: Any) -> list[str]:  # noqa: ANN401 - openvino.Model
    """Return the names of the convolutions and products that the picture goes into."""
    found: dict[str, None] = {}
    left = list(model.input().get_target_inputs())
    while left:
        layer = left.pop().get_node()
        if layer.get_type_name() in _LAYERS:
            found[layer.get_friendly_name()] = None
        else:
            left += [end for output in layer.outputs() for end in output.get_target_inputs()]
    return list(found)


def last_layers(model: Any) -> list[str]:  # noqa: ANN401 - openvino.Model
    """Return the names of the convolutions and products that the outputs come from."""
    found: dict[str, None] = {}
    left = [result.input(0) for result in model.get_results()]
    while left:
        layer = left.pop().get_source_output().get_node()
        if layer.get_type_name() in _LAYERS:
            found[layer.get_friendly_name()] = None
        else:
            left += layer.inputs()
    return list(found)


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
