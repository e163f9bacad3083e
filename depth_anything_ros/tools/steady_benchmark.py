"""``depth_anything benchmark steady``: how much steadier depth gets, and what that costs."""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.panels import stacked
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.pipeline.options import SteadyOptions
from depth_anything_ros.pipeline.steadying import Moment, Steadier
from depth_anything_ros.sim.places import PLACES
from depth_anything_ros.tools.options import check_known, check_least, parse_size
from depth_anything_ros.tools.progress import say
from depth_anything_ros.tools.steady_answers import (
    Answers,
    answered,
    distorted,
    distorted_disparity,
)
from depth_anything_ros.tools.steady_panel import time_row
from depth_anything_ros.tools.steady_scores import Judge
from depth_anything_ros.tools.steady_sequences import (
    RATE_HZ,
    PosedSequence,
    recorded,
    rendered,
)
from depth_anything_ros.tools.steady_table import OFF, Row, table
from depth_anything_ros.tools.timing import machine, publish

# What is wrong with the poses of motion.
FAULT_DEG, LATE_S = 2.0, 0.1
NO_POSE, TILTED, MOUNTED, LATE = "no_pose", "tilted", "mounted", "late"
METHODS = ("flow", "motion", NO_POSE, TILTED, MOUNTED, LATE)
# Answers that are made of the truth, by their words on the command line.
_MADE = {"truth": distorted, "disparity": distorted_disparity}
# Of the pictures that times are taken of.
TIMED_SIZE = (640, 480)
_WARM_UP = 5  # pictures
Load = Callable[[Path], PosedSequence]
_TILE, _ROW, _SHOWN = 240, 0.6, 0.7  # of the panels: width, row over time, picture


class Times(NamedTuple):
    """How long a picture takes, in milliseconds.

    Attributes:
        median: that passed.
        best: likewise.
        computing: median of what the thread computed meanwhile: on a machine that is busy with
            something else, less than what passed.
    """

    median: float
    best: float
    computing: float

    @classmethod
    def of(cls, passed: Sequence[float], computed: Sequence[float]) -> Times:
        """Sum up the times of pictures."""
        found = float(np.median(passed)), min(passed), float(np.median(computed))
        return cls(*(round(value, 2) for value in found))

    def __str__(self) -> str:
        """Return them in a line."""
        width, height = TIMED_SIZE
        return (
            f"{self.median:.1f} ms a picture of {width}x{height} on one thread (median; best "
            f"{self.best:.1f}, computing {self.computing:.1f})"
        )


def run(options: argparse.Namespace) -> int:
    """Measure as the command line says; return the exit status."""
    methods, sequences = _checked(options)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    cache, facts = options.cache or output / "cache", machine()
    rows: list[Row] = []
    panels: dict[str, list[NDArray[np.uint8]]] = {}
    for load in sequences:
        judge = Judge(load(cache))
        for name in options.answers.split(","):
            compared = Compared(judge, _answers(name, judge.sequence, cache), methods)
            say(compared.in_words)
            rows += compared.rows
            panels.setdefault(name, []).append(compared.panel())
    for name, panel in panels.items():
        write_picture(output / f"panel_{name}.png", stacked(panel, 4)[..., ::-1])
    with (output / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0].flat()))
        writer.writeheader()
        writer.writerows(row.flat() for row in rows)
    lines = table(rows)
    if options.runs:
        kept = [method for method in ("motion", "flow") if method in methods]
        times = timed(distorted(judge.sequence), kept, options.runs)
        facts["ms"] = {name: one._asdict() for name, one in times.items()}
        lines += ["", *(f"{name}: {one}" for name, one in times.items())]
    publish(facts, lines, [row.flat() for row in rows], output / "report.json")
    return 0


def _checked(options: argparse.Namespace) -> tuple[list[str], list[Load]]:
    """Return the methods and the sequences, which are not loaded yet.

    Raises:
        DepthAnythingError: on an option that makes no sense.
    """
    methods, size = options.methods.split(","), parse_size(options.size)
    check_known("method", methods, METHODS)
    places = [] if options.places == "none" else options.places.split(",")
    check_known("place", places, tuple(PLACES))
    check_least("--frames", options.frames, 2)
    check_least("--runs", options.runs, 0)
    for name in options.answers.split(","):
        if name not in _MADE:
            find_card(name)
    both = (True, False)
    loads: list[Load] = [
        partial(rendered, place, still, options.frames, size) for place in places for still in both
    ]
    loads += [partial(_recorded, folder, size) for folder in options.data]
    if not loads:
        raise ParameterError("there is nothing to measure: give --places or --data")
    return methods, loads


def _recorded(folder: Path, size: tuple[int, int], _cache: Path) -> PosedSequence:
    return recorded(folder, size)


def _answers(name: str, sequence: PosedSequence, cache: Path) -> Answers:
    return _MADE[name](sequence) if name in _MADE else answered(sequence, name, cache)


class Compared:
    """The answers to one sequence, as they come and by each method.

    Args:
        judge: of the sequence.
        answers: to it.
        methods: of METHODS.

    Attributes:
        rows: scores, of ``off`` first.
    """

    def __init__(self, judge: Judge, answers: Answers, methods: Sequence[str]) -> None:
        self._answers, self._best = answers, "motion" if "motion" in methods else methods[0]
        name = answers.sequence.name
        self.rows = [Row(name, answers.name, OFF, judge.figures(answers.estimates), {})]
        for method in methods:
            estimates, used = steadied(answers, method)
            figures = judge.figures(estimates)
            self.rows.append(Row(name, answers.name, method, figures, used))
            if method == self._best:
                self._shown = estimates

    @property
    def in_words(self) -> str:
        """What happens to the first figure there is, in a line."""
        names = [name for name in ("flicker", "tae") if math.isfinite(self._off(name))]
        said = [f"{row.method} {getattr(row.figures, names[0]):.2f}" for row in self.rows if names]
        sequence = self._answers.sequence.name
        return f"{sequence}, {self._answers.name}: {(names or ['nothing'])[0]} {', '.join(said)}"

    def _off(self, name: str) -> float:
        return float(getattr(self.rows[0].figures, name))

    def panel(self) -> NDArray[np.uint8]:
        """Draw picture, plain and steadied answer of one time, and a row of each over time."""
        answers, sequence = self._answers, self._answers.sequence
        best = next(row for row in self.rows if row.method == self._best)
        plain, steady = (f"TAE {row.figures.tae:.2f}" for row in (self.rows[0], best))
        return time_row(
            sequence.name,
            (list(sequence.rgb), answers.estimates, self._shown),
            round(_SHOWN * (len(sequence.rgb) - 1)),
            _ROW,
            (plain, f"{self._best}, {steady}"),
            _TILE,
        )


def steadied(answers: Answers, method: str) -> tuple[list[Estimate], dict[str, int]]:
    """Steady the answers to a sequence.

    Args:
        answers: in order.
        method: of METHODS.

    Returns:
        The steadied answers, and how many were steadied how.
    """
    steadier = steadier_of(method)
    sequence, found, used = answers.sequence, [], dict[str, int]()
    moments = _moments(sequence, method)
    for estimate, moment, rgb in zip(answers.estimates, moments, sequence.rgb, strict=True):
        answer = steadier.steady(estimate, moment, rgb)
        report = answer.report
        how = f"{report.status} by {report.method}" if report.method else report.status
        used[how] = used.get(how, 0) + 1
        found.append(answer.estimate)
    return found, used


def steadier_of(method: str) -> Steadier:
    """Return what steadies by a method of METHODS."""
    return Steadier(SteadyOptions(method="flow" if method == "flow" else "motion"))


def _moments(sequence: PosedSequence, method: str) -> list[Moment]:
    poses, stamps = sequence.T_world_camera, sequence.stamps_ns
    if method in ("flow", NO_POSE):
        return [Moment(stamp, no_pose="there is none") for stamp in stamps]
    rng = np.random.default_rng(0)
    if method == TILTED:
        poses = np.stack([pose @ _tilt(rng) for pose in poses])
    elif method == MOUNTED:
        poses = poses @ _tilt(rng)
    elif method == LATE:
        before = np.array(stamps) - round(1e9 * LATE_S)
        nearest = np.abs(before[:, None] - np.array(stamps)).argmin(1)
        poses = poses[nearest]
    return [Moment(stamp, 0, pose) for stamp, pose in zip(stamps, poses, strict=True)]


def _tilt(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a turn by FAULT_DEG about an axis of any direction, as float64 (4, 4)."""
    axis = rng.normal(size=3)
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(math.radians(FAULT_DEG) * axis / np.linalg.norm(axis))[0]
    return turn


def timed(answers: Answers, methods: Sequence[str], runs: int) -> dict[str, Times]:
    """Time pictures of TIMED_SIZE on one thread, by method.

    Args:
        answers: to a sequence; they and its pictures are enlarged, and shown to and fro.
        methods: of METHODS.
        runs: pictures that count, of each method.
    """
    sequence = answers.sequence
    camera = sequence.camera.scaled(*TIMED_SIZE)
    maps = [cv2.resize(estimate.values, TIMED_SIZE) for estimate in answers.estimates]
    rgb = [cv2.resize(picture, TIMED_SIZE) for picture in sequence.rgb]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        found: dict[str, Times] = {}
        last = len(maps) - 1
        for method in methods:
            poses = [moment.T_fixed_camera for moment in _moments(sequence, method)]
            steadier, passed, computed = steadier_of(method), list[float](), list[float]()
            for index in range(runs + _WARM_UP):
                at = last - abs(last - index % (2 * last))
                stamp = round(index * 1e9 / RATE_HZ)
                moment = Moment(stamp, 0, poses[at], "" if poses[at] is not None else "none")
                estimate = DepthMap(np.asarray(maps[at], np.float32), camera)
                picture = np.asarray(rgb[at], np.uint8)
                began, started = time.perf_counter(), time.thread_time()
                steadier.steady(estimate, moment, picture)
                computed.append(1e3 * (time.thread_time() - started))
                passed.append(1e3 * (time.perf_counter() - began))
            found[method] = Times.of(passed[_WARM_UP:], computed[_WARM_UP:])
        return found
    finally:
        cv2.setNumThreads(threads)
