"""Networks of torch as models of OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from depth_anything_ros.core.errors import DepthAnythingError, ModelError, first_line
from depth_anything_ros.engines.openvino_library import core, library
from depth_anything_ros.engines.outputs import FlatNetwork, names_of
from depth_anything_ros.engines.quiet import quiet_exporters
from depth_anything_ros.engines.shared_copy import shared_copy
from depth_anything_ros.engines.traceable import traceable
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.inference import InFloat32

_LAYERS = ("Convolution", "GroupConvolution", "MatMul")
_ATTENTION = "ScaledDotProductAttention"
_FEW_TOKENS = 256
_MARKED = "marked"


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
        An openvino.Model of float32 (batch, 3, height, width) to the ``parts`` of a
        ``NetworkOutput``, with its ``names``.

    Raises:
        ModelError: (``engine``) where OpenVINO is not installed, or torch or OpenVINO cannot
            export the network.
    """
    openvino = library()
    height, width = size or (estimator.input_size, estimator.input_size)
    batch = torch.zeros(2 if dynamic else 1, 3, height, width)
    free = (dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO),) if dynamic else None
    network = FlatNetwork(shared_copy(estimator.network), estimator.card).eval()
    try:
        with quiet_exporters(), torch.no_grad(), traceable():
            program = torch.export.export(network, (batch,), dynamic_shapes=free, strict=False)
            model = openvino.convert_model(program)
            model.reshape(_input_shape(program))
            _split_group_norms(model)
            _split_small_attention(model)
            # The network's own names, and that of the input, in place of torch's.
            model.inputs[0].set_names({"image"})
            names = names_of(estimator, (height, width))
            for output, name in zip(model.outputs, names, strict=True):
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


def _split_small_attention(model: Any) -> None:  # noqa: ANN401 - openvino.Model
    """Put products of three axes in the place of attention of a fixed shape that has few tokens.

    What the CPU's compiler makes of four axes is wrong where there are as many tokens as heads
    (OpenVINO 2026.4.1), and saves time only where there are many.
    """
    ops = library().opset13
    for attention in [op for op in model.get_ops() if op.get_type_name() == _ATTENTION]:
        shape, *others = (port.get_partial_shape() for port in attention.inputs())
        # Plain attention of tokens to themselves: with no mask and no scale of its own.
        is_plain = others == [shape, shape] and not attention.get_attributes()["causal"]
        if shape.is_dynamic or not is_plain:
            continue
        *whole, tokens, size = shape.to_shape()
        if tokens > _FEW_TOKENS:
            continue
        flat = np.array([-1, tokens, size], np.int64)
        query, key, value = (
            ops.reshape(port.get_source_output(), flat, False) for port in attention.inputs()
        )
        scaled = ops.multiply(query, np.float32(size**-0.5))
        shares = ops.softmax(ops.matmul(scaled, key, False, True), -1)
        mixed = ops.matmul(shares, value, False, False)
        again = np.array([*whole, tokens, size], np.int64)
        attention.output(0).replace(ops.reshape(mixed, again, False).output(0))


def write(model: Any, path: Path, halved: bool = False) -> None:  # noqa: ANN401 - openvino.Model
    """Write a network.

    Args:
        model: an openvino.Model.
        path: of the .xml; weights go into a .bin beside it.
        halved: whether weights are written in float16.
    """
    library().save_model(model, path, compress_to_fp16=halved)


def exact_layers(model: Any, network: nn.Module) -> list[str]:  # noqa: ANN401 - openvino.Model
    """Return the names of the layers that are computed in float32, whatever the rest is.

    The last ones, for in bfloat16 depth near 4 m would have steps of 3 cm; and those of the
    network's ``InFloat32``, which are known by their weights: OpenVINO has no names for them.
    """
    exact = {
        values.numpy(force=True).tobytes()
        for module in network.modules()
        if isinstance(module, InFloat32)
        for values in module.parameters()
    }
    found = [op.get_friendly_name() for op in model.get_ops() if _weights(op) in exact]
    return [*found, *last_layers(model)]


def _weights(layer: Any) -> bytes | None:  # noqa: ANN401 - openvino.Node
    """Return the weights of a convolution or product; None of any other layer."""
    if layer.get_type_name() not in _LAYERS:
        return None
    source = layer.input(1).get_source_output().get_node()
    while source.get_type_name() in ("Reshape", "Transpose"):
        source = source.input(0).get_source_output().get_node()
    is_constant = source.get_type_name() == "Constant"
    return bytes(source.data.tobytes()) if is_constant else None


def mark_exact(model: Any, names: Sequence[str]) -> None:  # noqa: ANN401 - openvino.Model
    """Have layers computed in float32, and what a shortcut adds to them.

    The CPU's compiler makes a convolution and the shortcut's sum one, and fails where the sum is to
    be of another type ("object is not initialized", OpenVINO 2026.4.1).

    The mark is an attribute of OpenVINO's files that its Python cannot set: so each layer is read
    anew from a file of its own, in memory.
    """
    layers = [op for op in model.get_ops() if op.get_friendly_name() in names]
    biased = {op.get_friendly_name(): op for layer in layers for op in _sums_of(layer)}
    sums = {op.get_friendly_name(): op for bias in biased.values() for op in _sums_of(bias)}
    for layer in [*layers, *sums.values()]:
        alone = core().read_model(_file_of(layer).encode(), b"")
        (marked,) = (op for op in alone.get_ops() if op.get_friendly_name() == _MARKED)
        for port, other in zip(marked.inputs(), layer.inputs(), strict=True):
            port.replace_source_output(other.get_source_output())
        marked.set_friendly_name(layer.get_friendly_name())
        layer.output(0).replace(marked.output(0))
    model.validate_nodes_and_infer_types()


def _sums_of(layer: Any) -> list[Any]:  # noqa: ANN401 - openvino.Node
    """Return the sums that a layer's output goes into."""
    ends = [end.get_node() for output in layer.outputs() for end in output.get_target_inputs()]
    return [op for op in ends if op.get_type_name() == "Add"]


def _file_of(layer: Any) -> str:  # noqa: ANN401 - openvino.Node
    """Return OpenVINO's XML of a model that is one layer of float32, marked as precise."""
    ports = [_port(index, port) for index, port in enumerate(layer.inputs())]
    count, out = len(ports), _port(len(ports), layer.output(0))
    inputs = "".join(
        f'<layer id="{index}" name="{index}" type="Parameter" version="opset1"><data '
        f'shape="{",".join(_sides(port))}" element_type="f32"/><output>{ports[index]}</output>'
        "</layer>"
        for index, port in enumerate(layer.inputs())
    )
    facts = " ".join(f'{name}="{_text(fact)}"' for name, fact in layer.get_attributes().items())
    edges = "".join(
        f'<edge from-layer="{index}" from-port="{index}" to-layer="{count}" to-port="{index}"/>'
        for index in range(count)
    )
    return (
        f'<?xml version="1.0"?><net name="marked" version="11"><layers>{inputs}'
        f'<layer id="{count}" name="{_MARKED}" type="{layer.get_type_name()}" version="opset1">'
        f'<data {facts}/><rt_info><attribute name="precise" version="0"/></rt_info>'
        f"<input>{''.join(ports)}</input><output>{out}</output></layer>"
        f'<layer id="{count + 1}" name="end" type="Result" version="opset1">'
        f"<input>{out}</input></layer></layers><edges>{edges}"
        f'<edge from-layer="{count}" from-port="{count}" to-layer="{count + 1}" '
        f'to-port="{count}"/></edges></net>'
    )


def _port(index: int, port: Any) -> str:  # noqa: ANN401 - openvino's
    sides = "".join(f"<dim>{side}</dim>" for side in _sides(port))
    return f'<port id="{index}" precision="FP32">{sides}</port>'


def _sides(port: Any) -> list[str]:  # noqa: ANN401 - openvino's
    shape = port.get_partial_shape()
    return ["-1" if side.is_dynamic else str(side.get_length()) for side in shape]


def _text(fact: Any) -> str:  # noqa: ANN401 - a number, a list of them, a word or a truth
    if isinstance(fact, bool):
        return str(fact).lower()
    return ",".join(map(str, fact)) if isinstance(fact, (list, tuple)) else str(fact)


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
