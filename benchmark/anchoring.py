"""Metric depth from a few measured points: methods × sources × points × outliers.

Predictions are fitted to a few points of the ground truth by each method, and scored on the others:
distorted true depth and a model's predictions of the procedural world, and of real recordings where
a folder of them is given.

    python benchmark/anchoring.py --world 20 --data recordings --output table.csv
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core import robust
from depth_anything_ros.core.alignment import Method as Fitting
from depth_anything_ros.core.alignment import fit_scale_shift, metres
from depth_anything_ros.core.anchoring import LocalMethod, LocalOptions, anchored
from depth_anything_ros.core.anchors import AnchorOptions, Anchors, anchors_of_depth
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.evaluation import DepthRange
from depth_anything_ros.core.metrics import score
from depth_anything_ros.core.robust import line_at
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.tools.evaluation import LabelledImage, frames_under, recorded, world
from depth_anything_ros.tools.options import parse_size
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.tools.shared_options import add_shared

POINTS = (16, 100, 500, 5000)
OUTLIERS = (0.0, 0.3, 0.5)
COUNTED = DepthRange(0.1, 80.0)
REFERENCE = "least_squares"
# Of real ground truth, half of the points are fitted to at most: the others are scored.
_FIT_SHARE = 0.5
# The known distortion of disparity; see `distorted`.
_GAMMA = (0.8, 1.25)
_WARP = 0.2
_NOISE = 0.01

Array = NDArray[np.float32]
# From a prediction and anchors to metres.
Method = Callable[[Array, Anchors], Array]


def _global(name: Fitting) -> Method:
    def run(prediction: Array, anchors: Anchors) -> Array:
        rows, columns = anchors.indices
        fit = fit_scale_shift(prediction[rows, columns], anchors.depth_m, method=name)
        return np.asarray(fit.apply(prediction), np.float32)

    return run


def _least_squares(prediction: Array, anchors: Anchors) -> Array:
    """Fit every point alike, whatever comes out: what all others are compared with."""
    rows, columns = anchors.indices
    seen = prediction[rows, columns].astype(np.float64)
    line = robust.least_squares(seen, 1 / anchors.depth_m.astype(np.float64))
    return metres(line_at(prediction, line.scale, line.shift), "disparity")


def _local(name: LocalMethod) -> Method:
    def run(prediction: Array, anchors: Anchors) -> Array:
        rows, columns = anchors.indices
        fit = fit_scale_shift(prediction[rows, columns], anchors.depth_m, method="log_ransac")
        return anchored(prediction, fit, anchors, LocalOptions(name)).depth_m

    return run


METHODS: Mapping[str, Method] = {
    REFERENCE: _least_squares,
    "trimmed": _global("trimmed"),
    "huber": _global("huber"),
    "ransac": _global("ransac"),
    "log_ransac": _global("log_ransac"),
    "spline": _global("spline"),
    "lwlr": _local("lwlr"),
    "kriging": _local("kriging"),
}


class Setting(NamedTuple):
    """One line of the table, but for the method."""

    source: str
    points: int
    outliers: float


@dataclass
class Cell:
    """What one method gave at one setting, picture by picture."""

    abs_rel: list[float] = field(default_factory=list)
    rmse: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


class AnchoringBenchmark:
    """Scores of every method at every setting, as pictures come.

    Args:
        estimator: whose predictions are anchored.
    """

    def __init__(self, estimator: DepthEstimator) -> None:
        self.estimator = estimator
        self.cells: dict[Setting, dict[str, Cell]] = {}
        self._pictures = 0

    def add_view(self, picture: LabelledImage) -> None:
        """Measure a view of the procedural world: its truth distorted, and the model's answer."""
        rng = np.random.default_rng(self._pictures)
        mask = COUNTED.mask(picture.truth)
        self._add("distorted", distorted(picture.truth.depth_m, mask, rng), picture)
        self._add("model", self._predict(picture), picture)
        self._pictures += 1

    def add_recorded(self, picture: LabelledImage) -> None:
        """Measure the model's answer to a real picture."""
        if picture.camera is not None:
            self._add("real", self._predict(picture), picture)
            self._pictures += 1

    def _predict(self, picture: LabelledImage) -> Array:
        return self.estimator.infer(picture.rgb, picture.camera).nearness()

    def _add(self, source: str, prediction: Array, picture: LabelledImage) -> None:
        usable = COUNTED.mask(picture.truth) & np.isfinite(prediction)
        rows, columns = np.nonzero(usable)
        for points in POINTS:
            if points > _FIT_SHARE * rows.size:
                continue
            # One draw for all shares of outliers: their table lines differ by nothing else.
            rng = np.random.default_rng((self._pictures, points))
            chosen = rng.permutation(rows.size)[:points]
            sparse = np.full(prediction.shape, np.nan, np.float32)
            place = (rows[chosen], columns[chosen])
            sparse[place] = picture.truth.depth_m[place]
            scored = usable & np.isnan(sparse)
            for share in OUTLIERS:
                wrong = chosen[: round(share * points)]
                measured = sparse.copy()
                measured[rows[wrong], columns[wrong]] = np.exp(
                    rng.uniform(np.log(0.5), np.log(COUNTED.max_m), wrong.size)
                )
                setting = Setting(source, points, share)
                self._measure(setting, prediction, measured, picture, scored)

    def _measure(
        self,
        setting: Setting,
        prediction: Array,
        measured: Array,
        picture: LabelledImage,
        scored: NDArray[np.bool_],
    ) -> None:
        truth = picture.truth.depth_m
        cells = self.cells.setdefault(setting, {name: Cell() for name in METHODS})
        for name, method in METHODS.items():
            started = time.perf_counter()
            anchors = anchors_of_depth(measured, prediction, AnchorOptions())
            depth = method(prediction, anchors)
            cells[name].ms.append(1e3 * (time.perf_counter() - started))
            depth = COUNTED.clamped(DepthMap(depth))
            scores = score(depth, truth, scored)
            cells[name].abs_rel.append(scores.abs_rel)
            cells[name].rmse.append(scores.rmse)

    def lines(self) -> list[str]:
        """Return the table: means over the pictures, milliseconds as medians."""
        heading = f"{'source':<10}{'points':>7}{'outliers':>9}  {'method':<14}"
        found = [f"{heading}{'AbsRel':>8}{'RMSE':>8}{'of LSQ':>8}{'ms':>7}"]
        for setting, cells in sorted(self.cells.items()):
            reference = float(np.mean(cells[REFERENCE].rmse))
            for name, cell in cells.items():
                error = float(np.mean(cell.rmse))
                found.append(
                    f"{setting.source:<10}{setting.points:>7}{setting.outliers:>9.0%}  {name:<14}"
                    f"{np.mean(cell.abs_rel):>8.3f}{error:>8.2f}{error / reference:>8.2f}"
                    f"{np.median(cell.ms):>7.1f}"
                )
        return found

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow((*Setting._fields, "method", "images", "abs_rel", "rmse_m", "ms"))
            for setting, cells in sorted(self.cells.items()):
                for name, cell in cells.items():
                    means = (f"{np.mean(values):.5f}" for values in (cell.abs_rel, cell.rmse))
                    writer.writerow(
                        (*setting, name, len(cell.rmse), *means, f"{np.median(cell.ms):.2f}")
                    )


def distorted(
    depth_m: NDArray[np.floating], mask: NDArray[np.bool_], rng: np.random.Generator
) -> Array:
    """Return true depth as a relative model might see it.

    Disparity to a power (gamma), times a smooth warp of ±20 % over the picture, with noise, and
    an unknown scale and shift.

    Args:
        depth_m: (height, width), metres.
        mask: where it is known; elsewhere the farthest known is taken.
        rng: that draws the distortion.

    Returns:
        float32 (height, width), disparity with no unit.
    """
    height, width = depth_m.shape
    inverse = np.zeros(depth_m.shape, np.float32)
    inverse[mask] = 1 / depth_m[mask]
    inverse[~mask] = inverse[mask].min()
    largest = float(inverse.max())
    shape = (inverse / largest) ** rng.uniform(*_GAMMA)
    coarse = rng.uniform(-_WARP, _WARP, (4, 5)).astype(np.float32)
    warp = 1 + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = 1 + _NOISE * rng.standard_normal(depth_m.shape)
    scale, shift = np.exp(rng.uniform(-2, 2)), rng.uniform(-0.2, 0.5)
    return np.asarray(scale * (shape * warp * noise + shift), np.float32)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--world", type=int, default=20, help="views of the procedural world")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of recordings")
    parser.add_argument("--size", default="640x480", help="of the views of the world [px]")
    parser.add_argument("--output", type=Path, help="CSV file to write")
    shared = ("--model", "--weights", "--device", "--first-seed")
    add_shared(parser, *shared, model="tiny_relative")
    options = parser.parse_args(words)
    frames = [] if options.data is None else frames_under(options.data, [])
    estimator = DepthEstimator(options.model, options.weights, options.device)
    say(estimator.description)
    bench = AnchoringBenchmark(estimator)
    size = parse_size(options.size)
    with Progress(options.world + len(frames), "images") as progress:
        for picture in world(options.first_seed, options.world, *size, "cpu"):
            bench.add_view(picture)
            progress.add(1)
        for picture in recorded(frames):
            bench.add_recorded(picture)
            progress.add(1)
    say(*bench.lines())
    if options.output is not None:
        bench.write(options.output)
        say(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
