"""``depth_anything export``: write a model as a file that other programs run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth_anything_ros.core.errors import ModelError, ParameterError, quoted
from depth_anything_ros.engines.export import (
    TOLERANCES,
    Run,
    Target,
    check_size,
    difference,
    export_onnx,
    export_openvino,
    export_program,
    exportable,
    onnx_run,
    openvino_run,
    program_run,
)
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.tools.options import check_output, parse_size
from depth_anything_ros.tools.parsers import SUFFIXES
from depth_anything_ros.tools.progress import megabytes, say


def run(options: argparse.Namespace) -> int:
    """Export and compare; return the exit status."""
    _check(options)
    estimator, sha256 = _load(options)
    size = _size(options, estimator)
    check_size(estimator.card, size, not options.fixed, estimator.network)
    runner = _write(options, estimator, size, sha256)
    say(*_described(options, estimator, size), *_compared(options, estimator, runner, size))
    return 0


def _described(
    options: argparse.Namespace, estimator: DepthEstimator, size: tuple[int, int]
) -> Iterator[str]:
    card, file = estimator.card, options.output
    beside = (file.with_suffix(".bin"), file.with_name(f"{file.name}.data"))
    names = exportable(estimator, size, options.format == "openvino")[1]
    yield (
        f"{file}: {card.name}, {options.format} in {options.precision}, {megabytes(file, *beside)}"
    )
    yield (
        f"  input    image, float32 (batch, 3, height, width), RGB in 0-1, minus {card.mean}, "
        f"over {card.std}"
    )
    sizes = f"{size[1]}x{size[0]}" if options.fixed else f"any multiple of {card.multiple}"
    yield f"  size     {sizes}"
    yield f"  outputs  {', '.join(names)}"
    yield f"  licence  {card.licence} (of the weights)"
    if card.any_view:
        yield "  note     single pictures only: no poses, and no views together"


def _compared(
    options: argparse.Namespace, estimator: DepthEstimator, runner: Run, size: tuple[int, int]
) -> Iterator[str]:
    """Compare with torch; where the size is free, at another as well."""
    height, width = size
    trials = [(height, width, 1)]
    if not options.fixed:  # smaller, and of another aspect
        multiple = estimator.card.multiple
        smaller, narrower = (max(side // 2 // multiple, 3) * multiple for side in size)
        trials.append((narrower, smaller + multiple, 2))
    for height, width, batch in trials:
        whole = options.format == "openvino"
        found = difference(estimator, runner, (height, width), batch, whole)
        if found > TOLERANCES[options.precision]:
            raise ModelError(
                f"{options.output} differs from torch by {found:.1e} of the range at "
                f"{width}x{height}, more than {TOLERANCES[options.precision]:g}; use --precision "
                f"fp32, or report it",
                reason="export",
            )
        shape = f"{batch}x3x{height}x{width}"
        yield f"  check    {shape}: differs from torch by {found:.1e} of the range"


def _check(options: argparse.Namespace) -> None:
    output: Path = options.output
    check_output(output, SUFFIXES[options.format])
    if options.format == "torch-export" and options.precision != "fp32":
        raise ParameterError(
            "torch-export is written in fp32 only; run it under torch.autocast for 16 bits"
        )
    if options.size and options.input_size:
        raise ParameterError("give --size or --input-size, not both")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(f"cannot write {output}: {error}") from error


def _load(options: argparse.Namespace) -> tuple[DepthEstimator, str]:
    """Load a model in float32 on the CPU, and the sha256 of its file of weights."""
    card = find_card(options.model, options.download)
    path = resolve_weights(options.weights, card, options.download)
    weights, sha256 = ("random", "") if path is None else (str(path), sha256_of(path))
    return DepthEstimator(card, weights, "cpu", "fp32", options.input_size), sha256


def _size(options: argparse.Namespace, estimator: DepthEstimator) -> tuple[int, int]:
    """Return height and width of the network's input."""
    if options.size:
        return _two(options.size, "--size")
    width, height = _two(options.picture, "--picture")
    prepare = family_of(estimator.card).preparation
    rgb = np.zeros((height, width, 3), np.uint8)
    image = prepare(rgb, estimator.card, estimator.input_size, estimator.device)
    return image.shape[-2], image.shape[-1]


def _two(text: str, option: str) -> tuple[int, int]:
    try:
        return parse_size(text)
    except ParameterError as error:
        raise ParameterError(
            f"{option} takes two numbers as 518x686, got {quoted(text)}"
        ) from error


def _write(
    options: argparse.Namespace, estimator: DepthEstimator, size: tuple[int, int], sha256: str
) -> Run:
    """Write the file; return what runs it."""
    target = Target(size, not options.fixed, options.precision, sha256=sha256)
    write, runner = _WRITERS[options.format]
    return runner(write(estimator, options.output, target))


_WRITERS = {
    "onnx": (export_onnx, onnx_run),
    "openvino": (export_openvino, openvino_run),
    "torch-export": (export_program, program_run),
}
