"""A network as a file that other programs run: ONNX, or a program of torch.export.

The input is ``image``, float32 (batch, 3, height, width), normalised. An output is float32 (batch,
height, width), named ``disparity``, or ``depth`` and, where the network knows it, ``sky``.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import DepthAnythingError, ModelError, first_line
from depth_anything_ros.engines.onnx_library import onnx_library, onnxruntime_library
from depth_anything_ros.engines.outputs import FlatNetwork
from depth_anything_ros.engines.quiet import quiet_exporters
from depth_anything_ros.engines.shared_copy import shared_copy
from depth_anything_ros.engines.traceable import exporting, traceable
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import Exportable, NetworkOutput
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.models.zoo.family import function

OPSET = 18  # the least that torch's exporter writes by itself
INPUT = "image"
# Largest differences from torch in float32, as shares of the range of an answer.
TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2}
# Patches a side, at least, of a graph of dynamic size: one or two lead to other graphs.
_LEAST_PATCHES, _MOST_PATCHES = 3, 300
# protobuf's limit is 2 GB; beyond, weights lie beside the graph.
_MOST_BYTES = 1_700_000_000
Run = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


def exportable(
    estimator: DepthEstimator, size: tuple[int, int], whole: bool = False
) -> tuple[FlatNetwork, list[str]]:
    """Return an estimator's network on the CPU with plain outputs, and their names.

    Args:
        estimator: whose network it is; it stays as it is, and shares its weights on the CPU.
        size: height and width of an input to try it with.
        whole: whether to answer all that the network does, and not only what the model is for.

    Raises:
        ModelError: (``input_size``) on a size that the network does not take.
    """
    card = estimator.card
    network = shared_copy(_exportable(estimator.network, card).network, on_cpu=True)
    with torch.inference_mode():
        answer = NetworkOutput.of(network(torch.zeros(1, 3, *size)), card.kind)
    public = ("disparity",) if card.kind == "relative" else ("depth", "sky")
    names = [name for name in answer.names if whole or name in public]
    return FlatNetwork(network, card, names).eval(), names


def _exportable(network: nn.Module, card: ModelCard) -> Exportable:
    """Return what can be exported of a card's network."""
    export = family_of(card).export
    if not export:
        raise ModelError(
            f"{card.name} cannot be exported: torch alone runs it, as its own package does",
            reason="export",
        )
    found: Exportable = function(export)(network)
    return found


def check_size(card: ModelCard, size: tuple[int, int], dynamic: bool, network: nn.Module) -> None:
    """Refuse a size that a network does not take, or cannot be free of.

    Raises:
        ModelError: (``input_size``).
    """
    height, width = size
    if height % card.multiple or width % card.multiple or min(size) <= 0:
        raise ModelError(
            f"{card.name} takes sides that are multiples of {card.multiple}, got {width}x{height}",
            reason="input_size",
        )
    if dynamic and not _exportable(network, card).any_size:
        raise ModelError(
            f"{card.name} cannot be exported with a dynamic size, for its attention has tables of "
            f"places on one grid; give --fixed, and export once for each size",
            reason="input_size",
        )
    if dynamic and min(size) < _LEAST_PATCHES * card.multiple:
        raise ModelError(
            f"a dynamic size of {card.name} begins at {_LEAST_PATCHES * card.multiple} pixels a "
            f"side, got {width}x{height}; give --fixed",
            reason="input_size",
        )


def traced(
    network: FlatNetwork, card: ModelCard, size: tuple[int, int], dynamic: bool
) -> torch.export.ExportedProgram:
    """Trace a network, with a batch of any size.

    Args:
        network: of ``exportable``.
        card: of the model.
        size: height and width of the input.
        dynamic: whether they stay free, as multiples of the card's.

    Raises:
        ModelError: ``input_size`` as ``check_size``; ``export`` where torch cannot trace it.
    """
    check_size(card, size, dynamic, network.network)
    dim = torch.export.Dim
    most = _exportable(network.network, card).most_images
    free: dict[int, Any] = {0: dim("batch", min=1, max=most)}
    if dynamic:
        for axis, name in ((2, "rows"), (3, "columns")):
            patches = dim(name, min=_LEAST_PATCHES, max=_MOST_PATCHES)
            free[axis] = card.multiple * patches if card.multiple > 1 else patches
    batch = torch.zeros(2, 3, *size)
    try:
        with quiet_exporters(), traceable() if dynamic else exporting, torch.no_grad():
            return torch.export.export(
                network, (batch,), dynamic_shapes={INPUT: free}, strict=False
            )
    except Exception as error:  # torch's tracer lets through errors of any class
        how = "with a dynamic size" if dynamic else f"at {size[1]}x{size[0]}"
        hint = "; give --fixed" if dynamic else ""
        raise ModelError(
            f"torch cannot export {card.name} {how}: {_short_line(error)}{hint}", reason="export"
        ) from error


@dataclass(frozen=True)
class Target:
    """What a network is exported as.

    Attributes:
        size: height and width of the input.
        dynamic: whether other sizes, and batches of more than one, may come.
        precision: ``fp32``, or ``fp16`` where the file can: in ONNX of all but the input, the
            outputs, and what comes after the last convolutions; for OpenVINO of the weights.
        whole: as of ``exportable``.
        sha256: of the file of weights, where it is known.
    """

    size: tuple[int, int]
    dynamic: bool = True
    precision: str = "fp32"
    whole: bool = False
    sha256: str = ""


def facts_of(estimator: DepthEstimator, target: Target) -> dict[str, str]:
    """Return what a file says about itself, as text."""
    card = estimator.card
    height, width = target.size
    return {
        "model": card.name,
        "package": f"depth_anything_ros {__version__}",
        "torch": torch.__version__,
        "kind": card.kind,
        "licence": card.licence,
        "mean": json.dumps(card.mean),
        "std": json.dumps(card.std),
        "multiple": str(card.multiple),
        "size": "dynamic" if target.dynamic else f"{width}x{height}",
        "precision": target.precision,
        "max_depth_m": "" if card.max_depth_m is None else f"{card.max_depth_m:g}",
        "canonical_focal_px": ""
        if card.canonical_focal_px is None
        else f"{card.canonical_focal_px:g}",
        "weights_sha256": target.sha256,
    }


@dataclass(frozen=True)
class OnnxNetwork:
    """A network as ONNX, in memory.

    Attributes:
        program: of torch, in float32.
        precision: that it is wanted in, ``fp32`` or ``fp16``.
        bytes_held: by its weights, in float32.
    """

    program: torch.onnx.ONNXProgram
    precision: str
    bytes_held: int

    def save(self, path: Path) -> None:
        """Write it; weights of more than 1.7 GB lie beside the file, in path + ``.data``."""
        self.program.save(path, external_data=self.bytes_held > _MOST_BYTES)
        if self.precision == "fp16":
            onnx = onnx_library()
            beside = self.bytes_held > 2 * _MOST_BYTES
            halved = _halved(onnx.load(str(path)))
            onnx.save(halved, str(path), save_as_external_data=beside, location=f"{path.name}.data")

    def serialized(self) -> bytes:
        """Return what ``save`` would write.

        Raises:
            ModelError: (``engine``) where that is more than protobuf can hold.
        """
        if self.bytes_held > _MOST_BYTES:
            raise ModelError(
                f"{self.bytes_held >> 20} MB of weights can be given to ONNX Runtime in files "
                f"only, and these cannot be written; make room for them, or use engine torch",
                reason="engine",
            )
        model = self.program.model_proto
        made: bytes = (_halved(model) if self.precision == "fp16" else model).SerializeToString()
        return made


def onnx_network(estimator: DepthEstimator, target: Target) -> OnnxNetwork:
    """Turn an estimator's network to ONNX.

    Raises:
        ModelError: ``engine`` where onnx or onnxscript is not installed; as ``traced``.
    """
    onnx_library()
    network, names = exportable(estimator, target.size, target.whole)
    program = traced(network, estimator.card, target.size, target.dynamic)
    with quiet_exporters(), exporting, torch.no_grad():
        exported = torch.onnx.export(
            program,
            (torch.zeros(2, 3, *target.size),),
            dynamo=True,
            input_names=[INPUT],
            output_names=names,
            opset_version=OPSET,
            verbose=False,
        )
    assert exported is not None  # with dynamo
    exported.model.metadata_props.update(facts_of(estimator, target))
    held = sum(tensor.nbytes for tensor in network.state_dict().values())
    return OnnxNetwork(exported, target.precision, held)


def export_onnx(estimator: DepthEstimator, path: Path, target: Target) -> Path:
    """Write an estimator's network as ONNX; see ``onnx_network`` and ``OnnxNetwork.save``."""
    network = onnx_network(estimator, target)
    with _written(path, path.with_name(f"{path.name}.data")):
        network.save(path)
    return path


@contextmanager
def _written(*paths: Path) -> Iterator[None]:
    """Have files written, or none of them.

    Raises:
        ModelError: (``export``) where they cannot be.
    """
    try:
        yield
    except DepthAnythingError:
        raise
    except Exception as error:  # of any library: C++ streams, protobuf and zip have their own
        for path in paths:
            path.unlink(missing_ok=True)
        free = shutil.disk_usage(paths[0].parent).free >> 20
        raise ModelError(
            f"{paths[0]} cannot be written: {_short_line(error)}; {free} MB are free there",
            reason="export",
        ) from error


def _halved(model: Any) -> Any:  # noqa: ANN401 - onnx's
    """Turn a graph to float16, but for its ends."""
    convert = onnxruntime_library(part="transformers.float16").convert_float_to_float16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights that are too small become 0
        return convert(model, keep_io_types=True, node_block_list=_last_nodes(model.graph))


def _last_nodes(graph: Any) -> list[str]:  # noqa: ANN401 - onnx's
    """Name the nodes from the last convolutions to the outputs, which stay in float32."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [output.name for output in graph.output]
    found: dict[str, None] = {}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if node.op_type != "Conv":
            waiting += list(node.input)
    return list(found)


def export_program(estimator: DepthEstimator, path: Path, target: Target) -> Path:
    """Write an estimator's network as a program that ``torch.export.load`` reads, in float32.

    Raises:
        ModelError: as ``traced``.
    """
    network, _ = exportable(estimator, target.size)
    program = traced(network, estimator.card, target.size, target.dynamic)
    facts = facts_of(estimator, target)
    contents = BytesIO()  # torch's writer of files ends the process where the disk is full
    with quiet_exporters():
        torch.export.save(program, contents, extra_files={"metadata.json": json.dumps(facts)})
    with _written(path):
        path.write_bytes(contents.getbuffer())
    return path


def export_openvino(estimator: DepthEstimator, path: Path, target: Target) -> Path:
    """Write an estimator's network for OpenVINO, with all that it answers.

    Args:
        estimator: whose network it is.
        path: of the .xml; the weights lie beside it, in a .bin.
        target: what it is exported as.

    Raises:
        ModelError: as ``openvino_model.convert``; ``input_size`` as ``check_size``.
    """
    from depth_anything_ros.engines import openvino_model

    check_size(estimator.card, target.size, target.dynamic, estimator.network)
    model = openvino_model.convert(estimator, target.size, target.dynamic)
    openvino_model.mark_exact(model, openvino_model.exact_layers(model, estimator.network))
    for name, fact in facts_of(estimator, target).items():
        model.set_rt_info(fact, ["depth_anything_ros", name])
    with _written(path, path.with_suffix(".bin")):
        openvino_model.write(model, path, halved=target.precision == "fp16")
    return path


def openvino_run(path: Path) -> Run:
    """Return what runs a model of OpenVINO on the CPU, in float32."""
    from depth_anything_ros.engines.openvino_library import core

    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core().compile_model(str(path), "CPU", hint)

    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = compiled(batch)
        return [np.asarray(found[output]) for output in compiled.outputs]

    return run


def onnx_run(path: Path) -> Run:
    """Return what runs an ONNX file on the CPU."""
    onnxruntime = onnxruntime_library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        answers: list[NDArray[np.float32]] = session.run(None, {INPUT: batch})
        return answers

    return run


def program_run(path: Path) -> Run:
    """Return what runs a program of torch.export on the CPU."""
    module = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [part.numpy() for part in module(torch.from_numpy(batch))]

    return run


def difference(
    estimator: DepthEstimator, run: Run, size: tuple[int, int], batch: int = 1, whole: bool = False
) -> float:
    """Compare an exported network with torch in float32, on random pictures.

    Args:
        estimator: whose network was exported.
        run: of the exported one.
        size: height and width of the pictures.
        batch: how many.
        whole: as it was exported.

    Returns:
        The largest difference of any output, as a share of the range of torch's answer.

    Raises:
        ModelError: (``export``) where it fails, or answers other shapes, NaN or Inf.
    """
    network, names = exportable(estimator, size, whole)
    noise = np.random.default_rng(0).standard_normal((batch, 3, *size), np.float32)
    with torch.inference_mode():
        expected = [part.numpy() for part in network(torch.from_numpy(noise))]
    try:
        found = run(noise)
    except Exception as error:  # of any runtime
        raise _wrong(estimator.card, size, _short_line(error)) from error
    shapes = [part.shape for part in expected], [part.shape for part in found]
    if shapes[0] != shapes[1]:
        raise _wrong(estimator.card, size, f"shapes {shapes[1]}, expected {shapes[0]}")
    worst = 0.0
    for name, right, part in zip(names, expected, found, strict=True):
        if not np.isfinite(part).all():
            raise _wrong(estimator.card, size, f"NaN or Inf in {name}")
        # An answer that is the same everywhere has no range; then its own size counts.
        span = float(np.ptp(right)) or float(np.abs(right).max()) or 1.0
        worst = max(worst, float(np.abs(part - right).max()) / span)
    return worst


def _wrong(card: ModelCard, size: tuple[int, int], what: str) -> ModelError:
    return ModelError(
        f"what was exported of {card.name} is wrong at {size[1]}x{size[0]}: {what}; this is a "
        f"bug, please report it with the versions of torch and of the runtime",
        reason="export",
    )


def _short_line(error: Exception) -> str:
    return first_line(error)[:300].rstrip(".:; ")
