"""``depth_anything evaluate``: score a model against ground truth, beside what needs no model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.tools.progress import Progress
from depth_anything_ros.tools.render_world import parse_size

if TYPE_CHECKING:
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.tools.evaluation import Picture

# Far from the seeds of training (from 0) and of validation (from 1,000,000,000).
FIRST_SEED = 2_000_000_000
OUTPUT = Path("out/evaluate")


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a model on the procedural world or on real recordings",
        description="Score a model against ground truth: metres as they come, and after scale "
        "and shift were aligned, beside the mean depth, the best constant and the best plane "
        "that can be fitted to the ground truth. Writes report.json and pictures.csv.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--world", type=int, metavar="N", help="N views of the procedural world")
    source.add_argument("--data", type=Path, metavar="FOLDER", help="folder of recordings")
    parser.add_argument("--model", default="tiny", help="name of the zoo")
    parser.add_argument(
        "--weights", default="", help="path, zoo name, hub id or random; without it, its own"
    )
    parser.add_argument("--download", action="store_true", help="fetch weights from the hub")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--input-size", type=int, default=0, help="shorter side of its input [px]; 0: its own"
    )
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help="seed of the first view of the world"
    )
    parser.add_argument("--size", default="320x240", help="of the views of the world [px]")
    parser.add_argument("--min-depth", type=float, default=1e-3, help="nearest that counts [m]")
    parser.add_argument("--max-depth", type=float, default=80.0, help="farthest that counts [m]")
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder to write, with panels to look at; without it, {OUTPUT} and no panels",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate; return the exit status."""
    from depth_anything_ros.core.evaluation import DepthRange
    from depth_anything_ros.models import find_card
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.models.weights import resolve_weights, sha256_of
    from depth_anything_ros.tools import evaluation, evaluation_report

    counted = DepthRange(options.min_depth, options.max_depth)
    _check_world(options)
    left_out: list[str] = []
    frames = [] if options.data is None else evaluation.frames_under(options.data, left_out)
    output = _folder(options.output or OUTPUT)
    path = resolve_weights(options.weights, find_card(options.model), options.download)
    sha256 = "" if path is None else sha256_of(path)
    estimator = DepthEstimator(
        options.model,
        options.weights,
        options.device,
        input_size=options.input_size,
        download=options.download,
    )
    print(estimator.description, flush=True)
    job = evaluation.Evaluation(estimator, counted, output / "panels" if options.output else None)
    progress = Progress(len(frames) or options.world, "pictures")
    for picture in evaluation.recorded(frames) if frames else _world(options, estimator):
        job.add(picture)
        progress.add(1)
    progress.end()
    settings = _settings(options, estimator.description, sha256)
    left_out += job.left_out
    result = evaluation_report.Result(settings, job.rows, left_out, by_group=not frames)
    print("\n".join(evaluation_report.lines(result)))
    for path in evaluation_report.write(result, output):
        print(f"written: {path}")
    return 0


def _check_world(options: argparse.Namespace) -> None:
    if options.world is not None and options.world < 1:
        raise ParameterError("--world must be 1 or more")
    if options.first_seed < 0:
        raise ParameterError("--first-seed must be 0 or more")
    parse_size(options.size)


def _folder(path: Path) -> Path:
    """Make the folder to write before the work, so that nothing is lost for the lack of it."""
    folder = path.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(f"cannot make the folder {folder}: {error}") from error
    return folder


def _world(options: argparse.Namespace, estimator: DepthEstimator) -> Iterator[Picture]:
    from depth_anything_ros.tools.evaluation import world

    width, height = parse_size(options.size)
    device = str(estimator.device) if estimator.device.type == "cuda" else "cpu"
    return world(options.first_seed, options.world, width, height, device)


def _settings(options: argparse.Namespace, description: str, sha256: str) -> dict[str, Any]:
    if options.data is not None:
        source: dict[str, Any] = {"data": str(options.data)}
    else:
        source = {"world": options.world, "first_seed": options.first_seed, "size": options.size}
    return {
        "source": source,
        "model": options.model,
        "weights": options.weights,
        "weights_sha256": sha256,
        "estimator": description,
        "range_m": [options.min_depth, options.max_depth],
    }
