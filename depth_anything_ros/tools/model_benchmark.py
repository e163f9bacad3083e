"""``depth_anything benchmark model``: from an image in RGB to its depth map, by engine."""

from __future__ import annotations

import argparse
import gc
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import DepthAnythingError, ModelError
from depth_anything_ros.engines.loading import choose_by_timing, load_estimator
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.preprocess import network_size
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.tools.arithmetic import gflop, matrix_rates, matrix_side
from depth_anything_ros.tools.options import check_known, check_least, whole_numbers
from depth_anything_ros.tools.progress import say
from depth_anything_ros.tools.timing import (
    PeakMemory,
    in_turn,
    machine,
    markdown,
    middle_and_tail,
    publish,
)

AUTO = "auto"
# The engine torch, with torch.compile.
COMPILED = "compiled"
ENGINES = (AUTO, "torch", COMPILED, "openvino", "onnxruntime", "tensorrt")
SIZES = "252,518"
# What the speeds are compared with, where it is measured.
REFERENCE = "torch fp32"
HEADING = (
    "model",
    "network sees",
    "way",
    "median (ms)",
    "p95 (ms)",
    "of {}'s speed",
    "GFLOP/s",
    "memory (MB)",
    "difference max",
    "mean",
)
Array = NDArray[np.float32]
Way = Callable[[], Array]


@dataclass(frozen=True)
class ModelSetting:
    """What one part of the table is of.

    Attributes:
        model: of the zoo.
        input_size: of the network, in pixels.
        engines: to try, each in every precision but ``auto``, which chooses both.
        precisions: to try.
        device: as of DepthEstimator.
        runs: that are timed.
        calibration: pictures for int8, as of EngineOptions.
        picture_size: width and height of the picture, in pixels.
    """

    model: str
    input_size: int
    engines: Sequence[str]
    precisions: Sequence[str]
    device: str
    runs: int
    calibration: str = ""
    picture_size: tuple[int, int] = (640, 480)

    @property
    def ways(self) -> list[tuple[str, str]]:
        """Engines and precisions to try."""
        chosen = [(AUTO, AUTO)] if AUTO in self.engines else []
        named = (engine for engine in self.engines if engine != AUTO)
        return [*chosen, *itertools.product(named, self.precisions)]

    def load(self, weights: str, engine: str, precision: str) -> DepthEstimator:
        """Load this package's estimator.

        Raises:
            ModelError: (``fallback``) where something else than what is asked for came.
        """
        name, compiles = ("torch", True) if engine == COMPILED else (engine, False)
        estimator = load_estimator(
            self.model,
            weights,
            self.device,
            name,
            precision,
            self.input_size,
            compiles=compiles,
            calibration=self.calibration,
        )
        found = estimator.engine
        if engine != AUTO and (found.name, found.precision) != (name, precision):
            raise ModelError(f"not used: {found.why}", reason="fallback")
        return estimator


@dataclass(frozen=True)
class ModelRow:
    """A line of the table.

    Attributes:
        model: of the zoo.
        height, width: of what the network sees, in pixels.
        way: that runs it: the engine and precision asked for.
        note: what was loaded, or why it could not be.
        runs_ms: times of the runs, milliseconds; none where it does not run.
        gflop: that the network takes for one picture, 10⁹.
        memory_mb: that loading and the first answers took at most.
        difference: largest and mean difference to float32 in torch, as shares of its range.
        ratio: speed over that of the reference, by medians; None without one.
    """

    model: str
    height: int
    width: int
    way: str
    note: str
    gflop: float
    runs_ms: tuple[float, ...] = ()
    memory_mb: float = float("nan")
    difference: tuple[float, float] = (float("nan"), float("nan"))
    ratio: float | None = None

    def cells(self) -> list[str]:
        """Return the line as text."""
        start = [self.model, f"{self.height}x{self.width}", self.way]
        if not self.runs_ms:
            return [*start, *[""] * (len(HEADING) - len(start))]
        median, p95 = middle_and_tail(self.runs_ms)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        memory = f"{self.memory_mb:.0f}" if np.isfinite(self.memory_mb) else ""
        differences = [f"{value:.1e}" for value in self.difference]
        times = [f"{median:.1f}", f"{p95:.1f}"]
        return [*start, *times, ratio, f"{self.gflop / median * 1e3:.0f}", memory, *differences]

    def as_json(self) -> dict[str, Any]:
        """Return the line as a mapping, None for what is not known."""
        median, p95 = middle_and_tail(self.runs_ms) if self.runs_ms else (None, None)
        values = {
            "median_ms": median,
            "p95_ms": p95,
            "ratio": self.ratio,
            "gflop": self.gflop,
            "memory_mb": self.memory_mb,
            "max_difference": self.difference[0],
            "mean_difference": self.difference[1],
        }
        known = {k: v if v is not None and np.isfinite(v) else None for k, v in values.items()}
        rounded = {k: v if v is None else float(f"{v:.5g}") for k, v in known.items()}
        names = {name: getattr(self, name) for name in ("model", "height", "width", "way", "note")}
        return {**names, "runs": len(self.runs_ms), **rounded}


def measure(setting: ModelSetting) -> list[ModelRow]:
    """Load every engine, let them take turns, and return the lines.

    Raises:
        DepthAnythingError: where the model itself cannot be loaded.
    """
    bench = ModelBenchmark(setting, "" if find_card(setting.model).bundled else "random")
    bench.add_engines()
    return bench.rows(REFERENCE)


def lines(rows: Sequence[ModelRow], reference: str) -> list[str]:
    """Return the table, and beneath it what was loaded or why not."""
    heading = [word.format(reference) for word in HEADING]
    table = markdown(heading, [row.cells() for row in rows if row.runs_ms])
    notes = [f"{row.model} {row.height}x{row.width}, {row.way}: {row.note}" for row in rows]
    return [*table, "", *notes]


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Return smooth random colours, uint8 (height, width, 3), the same for the same size."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


class ModelBenchmark:
    """The ways of one setting: those of this package's engines, and any other that is added.

    Args:
        setting: what is measured.
        weights: that all ways have.
    """

    def __init__(self, setting: ModelSetting, weights: str) -> None:
        self._setting, self._weights = setting, weights
        self.rgb = picture(*setting.picture_size)
        width, height = setting.picture_size
        self._camera = Camera.from_hfov(width, height, 70.0)
        exact = DepthEstimator(setting.model, weights, setting.device, "fp32", setting.input_size)
        self._device, self._exact = str(exact.device), exact.infer(self.rgb, self._camera).values
        card = exact.card
        width, height = network_size(width, height, exact.input_size, card.multiple, card.fit)
        work = gflop(exact.network, (height, width))
        self._row = ModelRow(card.name, height, width, "", "", work)
        self._rows: dict[str, ModelRow] = {}
        self._ways: dict[str, Way] = {}

    def leave_out(self, name: str, why: str) -> None:
        """List a way that does not run."""
        self._rows[name] = replace(self._row, way=name, note=why)

    def add(self, name: str, load: Callable[[], tuple[Way, str]]) -> None:
        """Load a way; list why where it cannot be."""
        gc.collect()
        try:
            with PeakMemory(self._device) as memory:
                way, note = load()
                answer = [way() for _ in range(2)][-1]
        except (DepthAnythingError, ImportError, RuntimeError) as error:
            self.leave_out(name, f"cannot: {(str(error).strip().splitlines() or [''])[0]}")
            return
        difference = relative_difference(answer, self._exact)
        self._ways[name] = way
        self._rows[name] = replace(
            self._row, way=name, note=note, memory_mb=memory.mb, difference=difference
        )

    def add_engines(self) -> None:
        """Load this package's estimator with each engine and precision of the setting."""
        for engine, precision in self._setting.ways:
            name = engine if engine == AUTO else f"{engine} {precision}"
            self.add(name, partial(self._load, engine, precision))

    def _load(self, engine: str, precision: str) -> tuple[Way, str]:
        estimator = self._setting.load(self._weights, engine, precision)
        return lambda: estimator.infer(self.rgb, self._camera).values, estimator.description

    def rows(self, reference: str) -> list[ModelRow]:
        """Let the ways take turns; return their lines."""
        times = in_turn(self._ways, self._setting.runs)
        base = times.get(reference)
        for name, runs_ms in times.items():
            ratio = float(np.median(base) / np.median(runs_ms)) if base else None
            self._rows[name] = replace(self._rows[name], runs_ms=tuple(runs_ms), ratio=ratio)
        return list(self._rows.values())


def relative_difference(answer: Array, exact: Array) -> tuple[float, float]:
    """Return the largest and the mean difference as shares of the exact answer's range.

    Where both are finite; an answer that is finite elsewhere than the exact one counts as a
    difference of the whole range there.
    """
    known, other = np.isfinite(exact), np.isfinite(answer)
    both = known & other
    if not both.any():
        return (float("nan"), float("nan"))
    span = float(np.ptp(exact[both])) or 1.0
    difference = np.where(known != other, 1.0, 0.0)
    difference[both] = np.abs(answer[both] - exact[both]) / span
    return float(difference.max()), float(difference.mean())


def run(
    options: argparse.Namespace,
    measure: Callable[[ModelSetting], list[ModelRow]] = measure,
    reference: str = REFERENCE,
) -> int:
    """Measure as the command line says; return the exit status.

    Args:
        options: of ``parsers.add_model_benchmark``.
        measure: one setting.
        reference: the way that speeds are compared with.
    """
    models, engines, precisions = (
        getattr(options, name).split(",") for name in ("models", "engines", "precisions")
    )
    check_known("engine", engines, ENGINES)
    check_least("--runs", options.runs)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.choose:
        return _choose(options, models)
    sizes = whole_numbers(options.sizes or SIZES, "--sizes")
    facts, rows = machine(), []
    facts["threads"] = torch.get_num_threads()
    device = str(choose_device(options.device))
    facts["gflops"] = matrix_rates(device, precisions)
    shared = (engines, precisions, options.device, options.runs, options.calibration)
    for model, size in itertools.product(models, sizes):
        print(f"{model}, input size {size or 'default'}", flush=True)
        rows += measure(ModelSetting(model, size, *shared))
    rates = ", ".join(f"{rate:.0f} in {name}" for name, rate in facts["gflops"].items())
    side = matrix_side(device)
    said = f"matrices of {side} x {side} are multiplied at so many GFLOP/s by torch: {rates}"
    table = [said, *lines(rows, reference)]
    publish(facts, table, [row.as_json() for row in rows], options.output)
    return 0


def _choose(options: argparse.Namespace, models: Sequence[str]) -> int:
    """Have ``engine: auto`` take what is the fastest here."""
    sizes = whole_numbers(options.sizes or "0", "--sizes")
    for model, size in itertools.product(models, sizes):
        say(f"{model}, input size {size or 'default'}")
        ranked = choose_by_timing(model, options.weights, options.device, input_size=size)
        if not ranked:
            raise ModelError(f"no engine runs {model} on {options.device}", reason="engine")
        for engine, seconds in ranked:
            say(f"  {engine.name} {engine.precision}: {1e3 * seconds:.1f} ms")
        say(f"  engine: auto takes {ranked[0][0].name} from now on")
    return 0
