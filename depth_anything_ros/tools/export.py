"""``depth_anything export``: write a model as a file that other programs run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.core.errors import ModelError, ParameterError, quoted
from depth_anything_ros.tools.progress import say
from depth_anything_ros.tools.render_world import parse_size

if TYPE_CHECKING:  # heavy: the parser is built without them
    from depth_anything_ros.engines.export import Run
    from depth_anything_ros.models.estimator import DepthEstimator

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
_MB = 1_000_000


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "export",
        help="write a model as ONNX, for OpenVINO, or as a program of torch.export",
        description="Write a model as ONNX, for OpenVINO, or as a program of torch.export, and "
        "compare it with torch. Batch, height and width stay free, but see --fixed. Of any-view "
        "models, what they answer of single pictures is written.",
    )
    parser.add_argument("model", metavar="MODEL", help="see depth_anything models")
    parser.add_argument("--format", choices=SUFFIXES, default="onnx", help="of the file")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="to write")
    parser.add_argument(
        "--weights", default="", help="path, zoo name, hub id or random; the model's own"
    )
    parser.add_argument("--download", action="store_true", help="fetch weights from the hub")
    parser.add_argument("--size", metavar="HxW", help="of the network's input [px]")
    parser.add_argument(
        "--input-size", type=int, default=0, metavar="N", help="instead: as of the nodes [px]"
    )
    parser.add_argument(
        "--picture", default="640x480", metavar="WxH", help="of the camera, which it fits [px]"
    )
    parser.add_argument("--fixed", action="store_true", help="take no other size than this one")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")


def run(options: argparse.Namespace) -> int:
    """Export and compare; return the exit status."""
    for line in _export(options):
        say(line)
    return 0


def _export(options: argparse.Namespace) -> list[str]:
    _check(options)
    from depth_anything_ros.engines.export import TOLERANCES, check_size, difference, exportable

    estimator, sha256 = _load(options)
    size = _size(options, estimator)
    dynamic = not options.fixed
    check_size(estimator.card, size, dynamic, estimator.network)
    runner = _WRITERS[options.format](estimator, options, size, sha256)
    whole = options.format == "openvino"
    names = exportable(estimator, size, whole)[1]
    card = estimator.card
    sizes = f"any multiple of {card.multiple}" if dynamic else f"{size[1]}x{size[0]}"
    lines = [
        f"{options.output}: {card.name}, {options.format} in {options.precision}, "
        f"{_megabytes(options.output)}",
        f"  input    image, float32 (batch, 3, height, width), RGB in 0-1, minus {card.mean}, "
        f"over {card.std}",
        f"  size     {sizes}",
        f"  outputs  {', '.join(names)}",
        f"  licence  {card.licence} (of the weights)",
    ]
    if card.any_view:
        lines.append("  note     single pictures only: no poses, and no views together")
    for height, width, batch in _trials(card.multiple, size, dynamic):
        found = difference(estimator, runner, (height, width), batch, whole)
        lines.append(
            f"  check    {batch}x3x{height}x{width}: differs from torch by {found:.1e} of the range"
        )
        if found > TOLERANCES[options.precision]:
            raise ModelError(
                f"{options.output} differs from torch by {found:.1e} of the range at "
                f"{width}x{height}, more than {TOLERANCES[options.precision]:g}; use --precision "
                f"fp32, or report it",
                reason="export",
            )
    return lines


def _check(options: argparse.Namespace) -> None:
    output: Path = options.output
    suffix = SUFFIXES[options.format]
    if output.suffix != suffix:
        raise ParameterError(f"{output} must end in {suffix}, which is what is written")
    if output.exists():
        raise ParameterError(f"{output} is there already; remove it, or give another name")
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
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.models.weights.find import resolve_weights
    from depth_anything_ros.models.weights.hashes import sha256_of
    from depth_anything_ros.models.zoo import find_card

    card = find_card(options.model, options.download)
    path = resolve_weights(options.weights, card, options.download)
    weights = str(path) if path is not None else "random"
    estimator = DepthEstimator(card, weights, "cpu", "fp32", options.input_size)
    return estimator, sha256_of(path) if path is not None else ""


def _size(options: argparse.Namespace, estimator: DepthEstimator) -> tuple[int, int]:
    """Return height and width of the network's input."""
    import numpy as np

    from depth_anything_ros.models.zoo.families import family_of

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


def _onnx(
    estimator: DepthEstimator, options: argparse.Namespace, size: tuple[int, int], sha256: str
) -> Run:
    from depth_anything_ros.engines.export import export_onnx, onnx_run

    path, dynamic = options.output, not options.fixed
    export_onnx(estimator, path, size, dynamic, options.precision, sha256=sha256)
    return onnx_run(path)


def _program(
    estimator: DepthEstimator, options: argparse.Namespace, size: tuple[int, int], sha256: str
) -> Run:
    from depth_anything_ros.engines.export import export_program, program_run

    export_program(estimator, options.output, size, not options.fixed, sha256)
    return program_run(options.output)


def _openvino(
    estimator: DepthEstimator, options: argparse.Namespace, size: tuple[int, int], sha256: str
) -> Run:
    from depth_anything_ros.engines.export import export_openvino, openvino_run

    path, dynamic = options.output, not options.fixed
    export_openvino(estimator, path, size, dynamic, options.precision, sha256)
    return openvino_run(path)


_WRITERS = {"onnx": _onnx, "openvino": _openvino, "torch-export": _program}


def _trials(multiple: int, size: tuple[int, int], dynamic: bool) -> list[tuple[int, int, int]]:
    """Return height, width and batch to compare at: where the size is free, at another as well."""
    height, width = size
    trials = [(height, width, 1)]
    if dynamic:  # smaller, and of another aspect
        smaller, narrower = (max(side // 2 // multiple, 3) * multiple for side in (height, width))
        trials.append((narrower, smaller + multiple, 2))
    return trials


def _megabytes(path: Path) -> str:
    beside = (path.with_suffix(".bin"), path.with_name(f"{path.name}.data"))
    size = sum(file.stat().st_size for file in (path, *beside) if file.is_file())
    return f"{size / _MB:.0f} MB" if size >= 10 * _MB else f"{size / _MB:.1f} MB"
