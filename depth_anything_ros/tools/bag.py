"""``depth_anything bag``: answer the pictures of rosbag2s, and write them into others."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from depth_anything_ros.core.errors import DepthAnythingError, ParameterError, SourceError
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.tools.bag_extraction import run_extraction
from depth_anything_ros.tools.bag_job import Facts, Job, file_starts
from depth_anything_ros.tools.bag_reading import (
    Bag,
    CameraTopics,
    Contents,
    check_ranges_topics,
    find_cameras,
    look_through,
)
from depth_anything_ros.tools.bag_writing import Parts
from depth_anything_ros.tools.options import check_least
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.tools.ray_cluster import spread

_BAG_SUFFIXES = (".mcap", ".db3")


def run(options: argparse.Namespace) -> int:
    """Write bags with depth, or a folder to train on; return the exit status."""
    if (options.output is None) == (options.extract is None):
        raise ParameterError("name either the bag to write, OUT, or a folder: --extract DIR")
    check_least("--images-per-file", options.images_per_file)
    check_least("--batch", options.batch)
    bags = bags_under(options.bag)
    if options.extract is not None:
        if len(bags) > 1:
            raise ParameterError("--extract takes one bag at a time")
        with Bag(bags[0]) as bag:
            return run_extraction(bag, cameras_of(bag, options), options)
    is_one = bags == [options.bag]
    outputs = [options.output if is_one else options.output / bag.stem for bag in bags]
    tasks = [Task(bag, output) for bag, output in zip(bags, outputs, strict=True)]
    if is_one and outputs[0].exists():
        shutil.rmtree(Parts(outputs[0]).folder, ignore_errors=True)
        raise ParameterError(f"{outputs[0]} is there already; remove it, or give another name")
    left = [task for task in tasks if not task.output.exists()]
    if len(left) < len(tasks):
        say(f"{len(tasks) - len(left)} of {len(tasks)} bags are done")
    if options.ray:
        check_least("--workers", options.workers, 0)
        return _ended(_by_cluster([task.absolute() for task in left], options))
    worker = BagWorker(options)
    if is_one:
        return _ended([worker.answer(tasks[0])])
    return _ended(worker(task) for task in left)


def bags_under(path: Path) -> list[Path]:
    """Return a bag, or those in a folder of bags, by name."""
    if not path.is_dir() or (path / "metadata.yaml").is_file():
        return [path]
    inner = sorted(path.iterdir())
    found = [p for p in inner if (p / "metadata.yaml").is_file() or p.suffix in _BAG_SUFFIXES]
    if not found:
        raise SourceError(f"no bag in {path}: expected metadata.yaml, there or in folders below")
    return found


def cameras_of(bag: Bag, options: argparse.Namespace) -> list[CameraTopics]:
    """Find the cameras that the options ask for, and say which they are."""
    check_ranges_topics(bag, options.lidar)
    cameras = find_cameras(bag, options.image, options.camera_info)
    for camera in cameras:
        say(f"{camera.image} with {camera.info or 'no CameraInfo'}")
    return cameras


@dataclass(frozen=True)
class Task:
    """A bag to answer, or one of the files of its answer.

    Attributes:
        bag: to read.
        output: the bag that becomes of it.
        file: its number; None is all of them.
    """

    bag: Path
    output: Path
    file: int | None = None

    def absolute(self) -> Task:
        """Return it with paths that are the same for all processes."""
        return replace(self, bag=self.bag.absolute(), output=self.output.absolute())


@dataclass(frozen=True)
class BagOutcome:
    """What became of a task: lines to say, and the exit status that it asks for."""

    task: Task
    lines: tuple[str, ...] = ()
    status: int = 0


class BagWorker:
    """Answers bags one after the other by one model, which is loaded when it is first needed.

    Args:
        options: of the verb.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    @cached_property
    def estimator(self) -> DepthEstimator:
        """The model."""
        o = self._options
        asked = (o.model, o.weights, o.device, o.engine, o.precision, o.input_size, o.download)
        estimator = load_estimator(*asked)
        say(estimator.description)
        return estimator

    def __call__(self, task: Task) -> BagOutcome:
        """Answer a bag of several; what is wrong with it is its outcome."""
        try:
            return self.answer(task)
        except DepthAnythingError as error:
            return BagOutcome(task, (f"{task.bag}: {error}",), 1)

    def answer(self, task: Task) -> BagOutcome:
        """Answer a bag.

        Raises:
            DepthAnythingError: where it cannot be read or its answer not be written.
        """
        with Bag(task.bag) as bag:
            cameras = cameras_of(bag, self._options)
            contents = contents_of(bag, cameras, self._options)
            job = Job(bag, cameras, contents, self.estimator, self._options)
            parts = Parts(task.output)
            parts.claim(job.made_of())
            if task.file is not None:
                with Progress(0, "pictures") as progress:
                    job.write_file(parts, task.file, {}, progress)
                return BagOutcome(task)
            job.write(parts)
        return finished(task, parts, len(job.starts))


def contents_of(bag: Bag, cameras: Sequence[CameraTopics], options: argparse.Namespace) -> Contents:
    """Look through a bag; refuse one without pictures."""
    say(f"looking through {bag.path}")
    with_frames = bool(options.lidar) or options.steady == "motion"
    contents = look_through(bag, cameras, with_frames)
    if not contents.times:
        raise SourceError(f"no picture in {bag.path} on {', '.join(c.image for c in cameras)}")
    return contents


def finished(task: Task, parts: Parts, count: int) -> BagOutcome:
    """Put the files of a bag together."""
    facts = Facts.of(note for note in map(parts.done, range(count)) if note is not None)
    parts.assemble(count)
    return BagOutcome(task, (*facts.lines(), f"written: {parts.path}"), 1 if facts.skipped else 0)


def _by_cluster(tasks: Sequence[Task], options: argparse.Namespace) -> Iterator[BagOutcome]:
    """Spread bags over a cluster, which sees the same files by the same paths.

    Of a bag that no LiDAR anchors and that is not steadied, each file is a work of its own; what
    is remembered goes on from file to file, so that others are answered by one process each.
    """
    is_whole = bool(options.lidar) or options.steady != "off"
    counts, spread_out = dict[Task, int](), list[Task]()
    for task in tasks:
        if is_whole:
            spread_out.append(task)
            continue
        try:
            with Bag(task.bag) as bag:
                contents = contents_of(bag, cameras_of(bag, options), options)
        except DepthAnythingError as error:
            yield BagOutcome(task, (f"{task.bag}: {error}",), 1)
            continue
        counts[task] = len(file_starts(contents.times, options.images_per_file))
        parts = Parts(task.output)
        missing = [number for number in range(counts[task]) if parts.done(number) is None]
        spread_out += [replace(task, file=number) for number in missing]
    results = spread(spread_out, partial(BagWorker, options), options.ray, options.workers)
    unit = "bags" if is_whole else "files"
    with closing(results), Progress(len(spread_out), unit) as progress:
        for outcome in results:
            yield outcome
            progress.add(1)
    for task, count in counts.items():
        parts = Parts(task.output)
        if all(parts.done(number) is not None for number in range(count)):
            yield finished(task, parts, count)


def _ended(outcomes: Iterable[BagOutcome]) -> int:
    status = 0
    for outcome in outcomes:
        say(*outcome.lines)
        status = max(status, outcome.status)
    return status
