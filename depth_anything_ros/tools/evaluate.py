"""``depth_anything evaluate``: score a model against ground truth, beside what needs no model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.core.errors import ParameterError, SourceError
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.tools.render_world import check_seeds, parse_size

if TYPE_CHECKING:
    from depth_anything_ros.core.alignment import Space
    from depth_anything_ros.core.evaluation import Alignment
    from depth_anything_ros.core.protocols import Protocol
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.tools.evaluation import Picture

# Far from the seeds of training (from 0) and of validation (from 1,000,000,000).
FIRST_SEED = 2_000_000_000
OUTPUT = Path("out/evaluate")
# What --data is, and the protocol that its papers use; none scores pairs only.
DATASETS = {"folder": "range", "nyu": "nyu", "kitti_eigen": "kitti_garg", "da2k": ""}
PAIRS = "da2k"


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a model on the procedural world, on recordings or on a data set",
        description="Score a model against ground truth: metres as they come, and after they "
        "were aligned, beside the mean depth, the best constant and the best plane that can be "
        "fitted to the ground truth. Writes report.json and pictures.csv.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--world", type=int, metavar="N", help="N views of the procedural world")
    source.add_argument(
        "--data", type=Path, metavar="PATH", help="what --dataset says: a folder, or a .mat file"
    )
    _add_dataset(parser)
    _add_scoring(parser)
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
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder to write, with panels to look at; without it, {OUTPUT} and no panels",
    )


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        choices=tuple(DATASETS),
        default="folder",
        help="what --data is: folder, of recordings; nyu, nyu_depth_v2_labeled.mat; kitti_eigen, "
        "the folder of KITTI's raw dates; da2k, the folder of annotations.json",
    )
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="its pictures: nyu, splits.mat or numbers from 1, without it all; kitti_eigen, the "
        "list of files",
    )
    parser.add_argument(
        "--annotated",
        type=Path,
        metavar="FOLDER",
        help="annotated depth of kitti_eigen; without it, the LiDAR's sweeps",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--protocol",
        help="what counts: range (to 80 m), nyu (10 m, Eigen's crop), kitti_garg and kitti_eigen "
        "(80 m and crop), eth3d (72 m) or tum (10 m); without it, the data set's own",
    )
    parser.add_argument("--min-depth", type=float, help="nearest that counts [m] instead")
    parser.add_argument("--max-depth", type=float, help="farthest that counts [m] instead")
    parser.add_argument(
        "--align",
        default="least_squares",
        metavar="METHOD",
        help="before scoring: none, least_squares, median_mad, trimmed, huber, ransac, log_ransac, "
        "scale_only or spline",
    )
    parser.add_argument(
        "--align-space",
        metavar="SPACE",
        help="where answer and truth are on one line: disparity, depth or log_depth; without it "
        "disparity, and depth for a model of affine depth",
    )


@dataclass(frozen=True)
class _Source:
    """Pictures to come: how many, and whether the table has a line for each group of them."""

    count: int
    pictures: Iterator[Picture]
    by_group: bool


def run(options: argparse.Namespace) -> int:
    """Evaluate; return the exit status."""
    _check_source(options)
    if options.data is not None and options.dataset == PAIRS:
        return _run_pairs(options)
    from depth_anything_ros.models import find_card
    from depth_anything_ros.tools import evaluation, evaluation_report

    protocol, alignment = _scoring(options)
    if alignment.method == "none" and find_card(options.model, options.download).kind != "metric":
        raise ParameterError(f"{options.model} answers no metres, so --align none scores nothing")
    left_out: list[str] = []
    source = None if options.data is None else _data(options, left_out)
    output = _folder(options.output or OUTPUT)
    estimator, settings = _estimator(options)
    source = source or _world(options, estimator)
    panels = output / "panels" if options.output else None
    job = evaluation.Evaluation(estimator, protocol, panels, alignment)
    _each(job.add, source.pictures, source.count)
    settings |= {"range_m": [protocol.min_m, protocol.max_m], "protocol": asdict(protocol)}
    left_out += job.left_out
    _check_scored(job.rows, left_out)
    result = evaluation_report.Result(settings, job.rows, left_out, source.by_group, alignment)
    say(*evaluation_report.lines(result))
    for path in evaluation_report.write(result, output):
        say(f"written: {path}")
    return 0


def _run_pairs(options: argparse.Namespace) -> int:
    from depth_anything_ros.tools import pair_evaluation
    from depth_anything_ros.tools.da2k import da2k_pictures

    left_out: list[str] = []
    pictures = da2k_pictures(options.data, left_out)
    output = _folder(options.output or OUTPUT)
    estimator, settings = _estimator(options)
    job = pair_evaluation.PairEvaluation(estimator)
    _each(job.add, pictures, len(pictures))
    _check_scored(job.rows, left_out)
    say(*pair_evaluation.lines(job.rows, left_out))
    for path in pair_evaluation.write(settings, job.rows, left_out, output):
        say(f"written: {path}")
    return 0


def _each(add: Callable[[Any], None], pictures: Iterable[Any], count: int) -> None:
    progress = Progress(count, "pictures")
    for picture in pictures:
        add(picture)
        progress.add(1)
    progress.end()


def _check_scored(rows: Sequence[object], left_out: Sequence[str]) -> None:
    if not rows:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        raise SourceError(f"no picture could be scored: {'; '.join(left_out[:3])}{more}")


def _check_source(options: argparse.Namespace) -> None:
    if options.world is not None and options.world < 1:
        raise ParameterError("--world must be 1 or more")
    check_seeds(options.first_seed, options.world or 0)
    parse_size(options.size)
    if options.world is not None and options.dataset != "folder":
        raise ParameterError(f"--dataset {options.dataset} needs its files: --data, not --world")
    if options.dataset == "kitti_eigen" and options.split is None:
        raise ParameterError("--dataset kitti_eigen needs the list of its files: --split FILE")
    if options.split is not None and options.dataset not in ("nyu", "kitti_eigen"):
        raise ParameterError(f"--dataset {options.dataset} has no --split")
    if options.annotated is not None and options.dataset != "kitti_eigen":
        raise ParameterError(f"--dataset {options.dataset} has no --annotated")
    if options.dataset == PAIRS and options.protocol:
        raise ParameterError(f"--dataset {PAIRS} scores pairs of points and has no --protocol")


def _scoring(options: argparse.Namespace) -> tuple[Protocol, Alignment]:
    """Return what counts and how answers are aligned."""
    from depth_anything_ros.core.evaluation import Alignment
    from depth_anything_ros.core.protocols import find_protocol
    from depth_anything_ros.models import find_card

    protocol = find_protocol(options.protocol or DATASETS[options.dataset])
    limits = {"min_m": options.min_depth, "max_m": options.max_depth}
    protocol = replace(protocol, **{name: m for name, m in limits.items() if m is not None})
    is_affine = find_card(options.model, options.download).kind == "affine_depth"
    space: Space = "depth" if is_affine else "disparity"
    return protocol, Alignment(options.align, options.align_space or space)


def _estimator(options: argparse.Namespace) -> tuple[DepthEstimator, dict[str, Any]]:
    """Load the model; return it, and what was asked, for the report."""
    from depth_anything_ros.models import find_card
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.models.weights.find import resolve_weights, sha256_of

    path = resolve_weights(
        options.weights, find_card(options.model, options.download), options.download
    )
    sha256 = "" if path is None else sha256_of(path)
    estimator = DepthEstimator(
        options.model,
        options.weights,
        options.device,
        input_size=options.input_size,
        download=options.download,
    )
    say(estimator.description)
    return estimator, {
        "source": _asked(options),
        "model": options.model,
        "weights": options.weights,
        "weights_sha256": sha256,
        "estimator": estimator.description,
    }


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    if options.data is None:
        return {"world": options.world, "first_seed": options.first_seed, "size": options.size}
    paths = {"data": options.data, "split": options.split, "annotated": options.annotated}
    said = {name: str(path) for name, path in paths.items() if path is not None}
    return {"dataset": options.dataset, **said}


def _folder(path: Path) -> Path:
    """Make the folder to write before the work, so that nothing is lost for the lack of it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(f"cannot make the folder {path}: {error}") from error
    return path


def _data(options: argparse.Namespace, left_out: list[str]) -> _Source:
    """Find the pictures of a data set; a line of left_out says what of it cannot be used."""
    if options.dataset == "nyu":
        from depth_anything_ros.tools.nyu import nyu_labelled

        labelled = nyu_labelled(options.data, options.split)
        return _Source(len(labelled.numbers), labelled.pictures(), by_group=True)
    if options.dataset == "kitti_eigen":
        from depth_anything_ros.tools.kitti import kitti_frames, kitti_pictures

        listed = kitti_frames(options.data, options.split, left_out, options.annotated)
        return _Source(len(listed), kitti_pictures(listed), by_group=True)
    from depth_anything_ros.tools.evaluation import frames_under, recorded

    frames = frames_under(options.data, left_out)
    return _Source(len(frames), recorded(frames), by_group=False)


def _world(options: argparse.Namespace, estimator: DepthEstimator) -> _Source:
    from depth_anything_ros.tools.evaluation import world

    width, height = parse_size(options.size)
    device = str(estimator.device) if estimator.device.type == "cuda" else "cpu"
    pictures = world(options.first_seed, options.world, width, height, device)
    return _Source(options.world, pictures, by_group=True)
