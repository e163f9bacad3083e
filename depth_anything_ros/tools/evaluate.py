"""``depth_anything evaluate``: score a model against ground truth, beside what needs no model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import ParameterError, SourceError
from depth_anything_ros.core.evaluation import Alignment
from depth_anything_ros.core.protocols import Protocol, find_protocol
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.tools import evaluation, evaluation_report, pair_evaluation
from depth_anything_ros.tools.da2k import da2k_pictures
from depth_anything_ros.tools.kitti import kitti_frames, kitti_pictures
from depth_anything_ros.tools.nyu import nyu_labelled
from depth_anything_ros.tools.options import check_least, check_seeds, parse_size
from depth_anything_ros.tools.parsers import DATASETS, EVALUATED
from depth_anything_ros.tools.progress import Progress, say

PAIRS = "da2k"


@dataclass(frozen=True)
class _Dataset:
    """Pictures to come: how many, and whether the table has a line for each group of them."""

    count: int
    pictures: Iterator[evaluation.LabelledImage]
    by_group: bool


def run(options: argparse.Namespace) -> int:
    """Evaluate; return the exit status."""
    _check_source(options)
    card, left_out = find_card(options.model, options.download), list[str]()
    if options.data is not None and options.dataset == PAIRS:
        return _run_pairs(options, card, left_out)
    protocol, alignment = _scoring(options, card)
    source = None if options.data is None else _data(options, left_out)
    output = _folder(options.output or EVALUATED)
    estimator, settings = _estimator(options, card)
    source = source or _world(options, estimator)
    panels = output / "panels" if options.output else None
    job = evaluation.Evaluation(estimator, protocol, panels, alignment)
    _each(job.add, source.pictures, source.count)
    settings |= {"range_m": [protocol.min_m, protocol.max_m], "protocol": asdict(protocol)}
    left_out += job.left_out
    _check_scored(job.rows, left_out)
    result = evaluation_report.EvaluationResult(
        settings, job.rows, left_out, source.by_group, alignment
    )
    say(*evaluation_report.lines(result))
    return _written(evaluation_report.write(result, output))


def _run_pairs(options: argparse.Namespace, card: ModelCard, left_out: list[str]) -> int:
    pictures = da2k_pictures(options.data, left_out)
    output = _folder(options.output or EVALUATED)
    estimator, settings = _estimator(options, card)
    job = pair_evaluation.PairEvaluation(estimator)
    _each(job.add, pictures, len(pictures))
    _check_scored(job.rows, left_out)
    say(*pair_evaluation.lines(job.rows, left_out))
    return _written(pair_evaluation.write(settings, job.rows, left_out, output))


def _written(paths: Iterable[Path]) -> int:
    say(*(f"written: {path}" for path in paths))
    return 0


def _each(add: Callable[[Any], None], pictures: Iterable[Any], count: int) -> None:
    with Progress(count, "pictures") as progress:
        for picture in pictures:
            add(picture)
            progress.add(1)


def _check_scored(rows: Sequence[object], left_out: Sequence[str]) -> None:
    if not rows:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        raise SourceError(f"no picture could be scored: {'; '.join(left_out[:3])}{more}")


def _check_source(options: argparse.Namespace) -> None:
    if options.world is not None:
        check_least("--world", options.world)
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


def _scoring(options: argparse.Namespace, card: ModelCard) -> tuple[Protocol, Alignment]:
    """Return what counts and how answers are aligned."""
    protocol = find_protocol(options.protocol or DATASETS[options.dataset])
    limits = {"min_m": options.min_depth, "max_m": options.max_depth}
    protocol = replace(protocol, **{name: m for name, m in limits.items() if m is not None})
    space = options.align_space or evaluation.own_space(card.kind)
    alignment = Alignment(options.align, space)
    if alignment.method == "none" and card.kind != "metric":
        raise ParameterError(f"{options.model} answers no metres, so --align none scores nothing")
    return protocol, alignment


def _estimator(
    options: argparse.Namespace, card: ModelCard
) -> tuple[DepthEstimator, dict[str, Any]]:
    """Load the model; return it, and what was asked, for the report."""
    path = resolve_weights(options.weights, card, options.download)
    sha256 = "" if path is None else sha256_of(path)
    asked = {"input_size": options.input_size, "download": options.download}
    estimator = DepthEstimator(options.model, options.weights, options.device, **asked)
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


def _data(options: argparse.Namespace, left_out: list[str]) -> _Dataset:
    """Find the pictures of a data set; a line of left_out says what of it cannot be used."""
    if options.dataset == "nyu":
        labelled = nyu_labelled(options.data, options.split)
        return _Dataset(len(labelled.numbers), labelled.pictures(), by_group=True)
    if options.dataset == "kitti_eigen":
        listed = kitti_frames(options.data, options.split, left_out, options.annotated)
        return _Dataset(len(listed), kitti_pictures(listed), by_group=True)

    frames = evaluation.frames_under(options.data, left_out)
    return _Dataset(len(frames), evaluation.recorded(frames), by_group=False)


def _world(options: argparse.Namespace, estimator: DepthEstimator) -> _Dataset:
    width, height = parse_size(options.size)
    device = str(estimator.device) if estimator.device.type == "cuda" else "cpu"
    pictures = evaluation.world(options.first_seed, options.world, width, height, device)
    return _Dataset(options.world, pictures, by_group=True)
