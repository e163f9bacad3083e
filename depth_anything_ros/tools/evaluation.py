"""What ``depth_anything evaluate`` does to each picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Space
from depth_anything_ros.core.boundaries import boundary_scores
from depth_anything_ros.core.camera import ASSUMED_HFOV_DEG, Camera
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import DepthMap, Estimate, Kind
from depth_anything_ros.core.errors import SourceError, printable
from depth_anything_ros.core.evaluation import (
    LEAST_SQUARES,
    Alignment,
    Comparison,
    DepthRange,
    compare,
)
from depth_anything_ros.core.metrics import METRICS
from depth_anything_ros.core.panels import (
    ERROR_RANGE,
    TILE_WIDTH,
    Tile,
    color_limits,
    painted_error,
    row_of,
    spread,
)
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.core.recording import RecordedFrame, frames_of, recordings_under
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.sim.world import views

# With fewer, an alignment of two numbers says nothing.
LEAST_PIXELS = 10
_SPARSE = 0.3
# Its dark end is not black, so that far points differ from unknown ones.
_COLORS = "turbo"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A picture with its ground truth on the same grid.

    Attributes:
        name: of the picture.
        group: what it is averaged with: the recording, or the kind of place.
        rgb: uint8 (height, width, 3).
        camera: None where it is not known.
        truth: metres along Z, NaN unknown, +Inf sky.
        knows_sky: whether the truth says where the sky is.
    """

    name: str
    group: str
    rgb: NDArray[np.uint8]
    camera: Camera | None
    truth: DepthMap
    knows_sky: bool = False


@dataclass(frozen=True)
class ImageScores:
    """The scores of one picture; the names of the values are the columns of the CSV.

    Attributes:
        name: of the picture.
        group: what it is averaged with.
        values: scores by column.
        aligned_by: the method that answered, which is a simpler one than was asked for where the
            picture did not determine that.
    """

    name: str
    group: str
    values: dict[str, float]
    aligned_by: str = ""


def world(
    first_seed: int, count: int, width: int, height: int, device: str
) -> Iterator[LabelledImage]:
    """Render views of the procedural world, one after the other."""
    for seed in range(first_seed, first_seed + count):
        seen = views([seed], width, height, device)
        truth = DepthMap(seen.depth_m[0].cpu().numpy(), seen.cameras[0])
        rgb = seen.rgb[0].cpu().numpy()
        yield LabelledImage(
            f"seed {seed}", seen.kinds[0], rgb, seen.cameras[0], truth, knows_sky=True
        )


def frames_under(folder: Path, left_out: list[str]) -> list[RecordedFrame]:
    """List the frames with ground truth of all recordings under a folder.

    Args:
        folder: a recording, or a folder of recordings.
        left_out: gets a line for each thing that cannot be used.

    Raises:
        SourceError: where nothing can be used, or a recording is broken.
    """
    recordings, others = recordings_under(folder)
    left_out += [f"{printable(path.name)}: no calibration" for path in others]
    frames = [frame for path in recordings for frame in frames_of(path)]
    left_out += [f"{_name(frame)}: no ground truth" for frame in frames if not frame.has_truth]
    with_truth = [frame for frame in frames if frame.has_truth]
    if not with_truth:
        raise SourceError(f"no frame under {folder} has ground truth ({'; '.join(left_out)})")
    return with_truth


def recorded(frames: Iterable[RecordedFrame]) -> Iterator[LabelledImage]:
    """Read frames, one after the other, rectified where depth_node would rectify them."""
    for frame in frames:
        rgb, truth = frame.read_rectified()
        yield LabelledImage(_name(frame), frame.recording, rgb, truth.camera, truth)


def _name(frame: RecordedFrame) -> str:
    only = frame.name in ("color", "image")
    return frame.recording if only else f"{frame.recording}/{frame.name}"


@dataclass
class Evaluation:
    """Scores of one model, picture by picture.

    Attributes:
        estimator: the model.
        counted: true depths that count.
        panels: folder of the pictures to look at; None draws none.
        alignment: how answers are brought to the truth.
        rows: the scores so far.
        left_out: a line for each picture that could not be scored.
    """

    estimator: DepthEstimator
    counted: DepthRange
    panels: Path | None = None
    alignment: Alignment = LEAST_SQUARES
    rows: list[ImageScores] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, picture: LabelledImage) -> None:
        """Infer and score a picture."""
        if np.count_nonzero(self.counted.mask(picture.truth)) < LEAST_PIXELS:
            self.left_out.append(
                f"{picture.name}: fewer than {LEAST_PIXELS} pixels with ground truth from "
                f"{self.counted.min_m:g} to {self.counted.max_m:g} m"
            )
            return
        is_assumed = picture.camera is None and self.estimator.card.focal_scaled
        if is_assumed and self.alignment.method == "none":
            self.left_out.append(f"{picture.name}: no metres, for its camera is not known")
            return
        camera = assumed_camera(picture.rgb) if is_assumed else picture.camera
        answer = self.estimator.infer(picture.rgb, camera)
        comparison = compare(answer, picture.truth, self.counted, not is_assumed, self.alignment)
        values = _values(comparison, answer, picture)
        self.rows.append(ImageScores(picture.name, picture.group, values, comparison.used))
        if self.panels is not None:
            self.panels.mkdir(exist_ok=True)
            path = self.panels / f"{picture.name.replace('/', '_').replace(' ', '_')}.png"
            write_picture(path, panel(picture, comparison, self.counted)[..., ::-1])


def own_space(kind: Kind) -> Space:
    """Return where the answers of a kind of model are on one line with the truth."""
    return "depth" if kind == "affine_depth" else "disparity"


def assumed_camera(rgb: NDArray[np.uint8]) -> Camera:
    """Return a camera for a model that needs one, of a picture whose camera is not known."""
    height, width = rgb.shape[:2]
    return Camera.from_hfov(width, height, ASSUMED_HFOV_DEG)


def _values(comparison: Comparison, answer: Estimate, picture: LabelledImage) -> dict[str, float]:
    """Flatten scores into the columns of the CSV; NaN where a model has no such answer."""
    values: dict[str, float] = {"pixels": comparison.aligned.pixels}
    for prefix, scores in (("metric", comparison.metric), ("aligned", comparison.aligned)):
        for name in METRICS:
            values[f"{prefix}_{name}"] = np.nan if scores is None else getattr(scores, name)
    for name in ("mean_depth", "best_constant", "best_plane"):
        values[f"{name}_abs_rel"] = getattr(comparison, name).abs_rel
    values["plane_ratio"] = comparison.plane_ratio
    values["scale"], values["shift"] = comparison.fit.scale, comparison.fit.shift
    values["boundary_f1"] = _boundary_f1(comparison.aligned_depth, picture.truth)
    values["sky_accuracy"] = _sky_accuracy(answer, picture)
    return values


def _boundary_f1(aligned: DepthMap, truth: DepthMap) -> float:
    """Return how well edges of depth are met; NaN where the truth has no neighbours."""
    if np.mean(~np.isnan(truth.depth_m)) < _SPARSE:
        return float("nan")
    return boundary_scores(aligned.depth_m, truth.depth_m).f1


def _sky_accuracy(answer: Estimate, picture: LabelledImage) -> float:
    """Return the share of pixels that are rightly called sky, or not sky; NaN if none is known."""
    known = ~np.isnan(picture.truth.depth_m)
    if not picture.knows_sky or answer.metric is None or not known.any():
        return float("nan")
    right = np.isposinf(answer.values) == np.isposinf(picture.truth.depth_m)
    return float(np.mean(right[known]))


def panel(picture: LabelledImage, comparison: Comparison, counted: DepthRange) -> NDArray[np.uint8]:
    """Draw image, aligned depth, ground truth and error, the depths in one range of colours."""
    mask, truth_m = counted.mask(picture.truth), picture.truth.depth_m
    inverse = picture.truth.nearness()
    limits = color_limits(inverse[mask])
    is_sparse = np.mean(np.isfinite(truth_m)) < _SPARSE
    radius = truth_m.shape[1] // TILE_WIDTH + 1 if is_sparse else 0
    scores, metric, aligned = comparison.aligned, comparison.metric, comparison.aligned_depth
    as_is = "no metres" if metric is None else f"metric AbsRel {metric.abs_rel:.3f}"
    beside = f"AbsRel {scores.abs_rel:.3f}, best plane {comparison.best_plane.abs_rel:.3f}"
    painted = colorize(aligned.nearness(), _COLORS, limits)
    truth = colorize(spread(inverse, radius), _COLORS, limits)
    error = painted_error(aligned.depth_m, truth_m, mask, radius)
    return row_of(
        (
            Tile(picture.rgb, picture.name, as_is),
            Tile(painted, "aligned depth", beside),
            Tile(truth, "ground truth", f"{scores.pixels} pixels, near is red, black is unknown"),
            Tile(error, "error, aligned", ERROR_RANGE),
        )
    )
