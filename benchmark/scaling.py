"""How time grows with pixels, cameras, cloud points and LiDAR points.

Sizes of a part take turns; the exponent of the growth is fitted.

    python benchmark/scaling.py --plot scaling.png --output scaling.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.core.anchoring import LocalOptions, anchored
from depth_anything_ros.core.anchors import AnchorOptions, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.tools.model_benchmark import picture
from depth_anything_ros.tools.shared_options import add_shared
from depth_anything_ros.tools.timing import (
    in_turn,
    machine,
    markdown,
    middle_and_tail,
    publish,
)

# Heights of pictures of 4:3 whose sides are multiples of 14, so that the network sees as many
# pixels as the picture has.
HEIGHTS = (84, 126, 168, 252, 336, 504)
CAMERAS = (1, 2, 4, 8)
CAMERA_HEIGHT = 168
CLOUD_WIDTHS = (160, 320, 640, 1280, 1920)
LIDAR_POINTS = (500, 2000, 8000, 32000, 128000)
LIDAR_PICTURE = (640, 480)
HFOV_DEG = 70.0
# Of the largest sizes, where what is constant weighs least.
TAIL = 3
HEADING = ("of", "size", "median (ms)", "p95 (ms)", "per unit (µs)")
Ways = Mapping[float, Callable[[], object]]


@dataclass(frozen=True)
class Model:
    """What answers the pictures: as of ``load_estimator``."""

    name: str
    weights: str
    device: str
    engine: str
    precision: str

    def load(self, input_size: int) -> DepthEstimator:
        """Load it for a size of the network's input, in pixels."""
        facts = (self.weights, self.device, self.engine, self.precision)
        return load_estimator(self.name, *facts, input_size)


@dataclass
class Curve:
    """Times against sizes.

    Attributes:
        name: of what grows.
        unit: of its size, plural.
        times_ms: of the runs, by size.
    """

    name: str
    unit: str
    times_ms: dict[float, list[float]] = field(default_factory=dict)

    @property
    def medians(self) -> tuple[list[float], list[float]]:
        """Sizes, and the medians of their times in milliseconds."""
        return list(self.times_ms), [float(np.median(t)) for t in self.times_ms.values()]

    def exponents(self) -> tuple[float, float]:
        """Fit time = a · size^k to all sizes, and to the largest three; return both k."""
        sizes, medians = self.medians
        return exponent(sizes, medians), exponent(sizes[-TAIL:], medians[-TAIL:])

    def as_json(self) -> dict[str, Any]:
        """Return it as a mapping."""
        sizes, medians = self.medians
        whole, tail = self.exponents()
        return {
            "of": self.name,
            "unit": self.unit,
            "sizes": sizes,
            "median_ms": [float(f"{value:.4g}") for value in medians],
            "exponent": round(whole, 3),
            "exponent_of_largest": round(tail, 3),
        }


def measure(model: Model, parts: Sequence[str], runs: int) -> list[Curve]:
    """Measure the parts; the sizes of each take turns.

    Args:
        model: that answers pictures.
        parts: of ``PARTS``.
        runs: of each size that are timed.
    """
    found = []
    for part in parts:
        unit, prepare = PARTS[part]
        ways = prepare(model)
        times = in_turn({str(size): way for size, way in ways.items()}, runs)
        found.append(Curve(part, unit, dict(zip(ways, times.values(), strict=True))))
    return found


def _pictures(model: Model) -> Ways:
    return {height * height * 4 // 3: _infer(model.load(height), height, 1) for height in HEIGHTS}


def _cameras(model: Model) -> Ways:
    estimator = model.load(CAMERA_HEIGHT)
    return {count: _infer(estimator, CAMERA_HEIGHT, count) for count in CAMERAS}


def _infer(estimator: DepthEstimator, height: int, count: int) -> Callable[[], object]:
    rgb = picture(height * 4 // 3, height)
    camera = Camera.from_hfov(rgb.shape[1], rgb.shape[0], HFOV_DEG)
    return lambda: estimator.infer_batch([rgb] * count, [camera] * count)


def _clouds(_: Model) -> Ways:
    return {width * width * 3 // 4: _cloud(width, width * 3 // 4) for width in CLOUD_WIDTHS}


def _cloud(width: int, height: int) -> Callable[[], object]:
    camera, rgb = Camera.from_hfov(width, height, HFOV_DEG), picture(width, height)
    projector, depth = BackProjector(camera), DepthMap(_hills(width, height), camera)
    return lambda: projector.project(depth, rgb, edge_jump=0.05)


def _hills(width: int, height: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return smooth depth of 2 to 20 m, float32 (height, width)."""
    values = picture(width, height)[..., 0].astype(np.float32)
    return np.asarray(values * np.float32(18 / 255) + 2, np.float32)


def _lidar(_: Model) -> Ways:
    return {count: _anchor(count) for count in LIDAR_POINTS}


def _anchor(count: int) -> Callable[[], object]:
    """Anchor a relative prediction by so many points: choose, fit, correct, as the node does."""
    width, height = LIDAR_PICTURE
    camera, truth, rng = Camera.from_hfov(*LIDAR_PICTURE, HFOV_DEG), _hills(*LIDAR_PICTURE), _rng()
    columns, rows = rng.integers(0, width, count), rng.integers(0, height, count)
    depth = truth[rows, columns] * rng.normal(1, 0.005, count).astype(np.float32)
    points = camera.rays()[rows, columns] * depth[:, None]
    prediction = np.asarray(0.7 * (1 / truth) ** 1.1 + 0.1, np.float32)

    def run() -> DepthMap:
        anchors = select_anchors(points, camera, prediction, AnchorOptions())
        seen = prediction[anchors.indices]
        fit = fit_scale_shift(seen, anchors.depth_m, method="log_ransac")
        return DepthMap(anchored(prediction, fit, anchors, LocalOptions("kriging")).depth_m)

    return run


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


# Of each part: the unit of its size, and what is to be timed by size.
PARTS: Mapping[str, tuple[str, Callable[[Model], Ways]]] = {
    "pictures": ("pixels", _pictures),
    "cameras": (f"pictures of {CAMERA_HEIGHT * 4 // 3}x{CAMERA_HEIGHT}", _cameras),
    "clouds": ("points", _clouds),
    "LiDAR": ("points", _lidar),
}


def lines(curves: Sequence[Curve]) -> list[str]:
    """Return the table, and beneath it the exponents."""
    rows = []
    for curve in curves:
        for size, times in curve.times_ms.items():
            median, p95 = middle_and_tail(times)
            cells = (f"{size:g}" if size < 1e6 else f"{size:.0f}", f"{median:.2f}", f"{p95:.2f}")
            rows.append([f"{curve.name} ({curve.unit})", *cells, f"{1e3 * median / size:.4g}"])
    said = []
    for curve in curves:
        whole, tail = curve.exponents()
        said.append(
            f"{curve.name}: time grows with size to the power of {whole:.2f}; of the largest "
            f"{TAIL} sizes, {tail:.2f}"
        )
    return [*markdown(HEADING, rows), "", *said]


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Fit times = a · sizes^k by least squares of the logarithms; return k."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draw time against size, one panel a curve, both axes logarithmic.

    Args:
        curves: at least one.
        path: of the PNG to write.
    """
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, curve in zip(grid, curves, strict=False):
        _draw(axes, curve)
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=130)


def _draw(axes: Any, curve: Curve) -> None:  # noqa: ANN401 - matplotlib's Axes
    sizes, medians = curve.medians
    p95 = [middle_and_tail(times)[1] for times in curve.times_ms.values()]
    power = curve.exponents()[0]
    factor = np.exp(np.mean(np.log(medians)) - power * np.mean(np.log(sizes)))
    fitted = factor * np.asarray(sizes, float) ** power
    axes.plot(sizes, fitted, "--", color="tab:grey", label=f"fit: size$^{{{power:.2f}}}$")
    axes.vlines(sizes, medians, p95, color="tab:blue", alpha=0.5, label="median to p95")
    axes.plot(sizes, medians, "o", color="tab:blue", label="median")
    axes.set(xscale="log", yscale="log", title=curve.name, xlabel=curve.unit, ylabel="ms")
    names = [f"{size:g}" if size < 1e4 else f"{size / 1e3:.4g}k" for size in sizes]
    axes.set_xticks(sizes, names, rotation=30)
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(labelsize="x-small", which="both")
    axes.grid(which="both", alpha=0.25)
    axes.legend(fontsize="small", loc="lower right")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to measure")
    parser.add_argument("--engine", default="torch", help="as of the parameter of depth_node")
    parser.add_argument("--precision", default="auto", help="as of the parameter of depth_node")
    parser.add_argument("--runs", type=int, default=10, help="of each size, timed")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    add_shared(parser, "--model", "--weights", "--device")
    options = parser.parse_args(words)
    facts = machine()
    model = Model(options.model, options.weights, options.device, options.engine, options.precision)
    curves = measure(model, options.parts, options.runs)
    publish(facts, lines(curves), [curve.as_json() for curve in curves], options.output)
    if options.plot is not None:
        plot(curves, options.plot)
        print(f"written: {options.plot}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
