"""What the demo found: checks, scores and latency of each bag, a panel, clouds, a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros import __version__
from depth_anything_ros.core.cloud import BackProjector, Cloud
from depth_anything_ros.core.cloud_files import write_cloud
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.evaluation import Alignment, Comparison, DepthRange, compare
from depth_anything_ros.core.metrics import Scores, score
from depth_anything_ros.core.panels import stacked
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.models.weights.find import RANDOM
from depth_anything_ros.tools.demo_bag import (
    SWEEPS,
    TRUTH,
    AnsweredImage,
    DemoBag,
    T_camera_lidar,
    T_world_camera,
    floats,
)
from depth_anything_ros.tools.demo_panel import panel_row
from depth_anything_ros.tools.demo_steady import SteadiedDrive, steadied_drive, steadied_in_words
from depth_anything_ros.tools.evaluation import own_space

# What counts, and what every prediction is clamped to.
RANGE = DepthRange(1e-3, 80.0)
EDGE_JUMP = 0.05
# A LiDAR's point agrees with the ground truth at its pixel within this share of it. Points at edges
# and behind glass and mirrors do not, so that not all of them can.
LIDAR_TOLERANCE = 0.05
LIDAR_SHARE = 0.8
RANDOM_WARNING = "RANDOM WEIGHTS: depth, clouds and scores show only that it runs"
# Of the scores, how a table names them.
_SCORES = {
    "metric": "metres as they come",
    "anchored": "anchored by the LiDAR",
    "aligned": "after scale and shift",
    "mean_depth": "baseline: mean depth",
    "best_constant": "baseline: best constant",
    "best_plane": "baseline: best plane",
}


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """An image and how its answer compares with the truth; None where there is no truth.

    Attributes:
        image: with its answer.
        comparison: of the answer.
        anchored: scores of the depth that a LiDAR anchored; None where there is none.
    """

    image: AnsweredImage
    comparison: Comparison | None
    anchored: Scores | None = None

    def scores(self, name: str) -> Scores | None:
        """Return the scores of one line of the table, where there are any."""
        if name == "anchored":
            return self.anchored
        found: Scores | None = getattr(self.comparison, name, None)
        return found


def write_report(
    output: Path, model: str, weights: str, calibrated: dict[str, bool]
) -> dict[str, Any]:
    """Check and score the bags under output; write panel, clouds and report.json.

    Args:
        output: folder of the demo.
        model: that ran.
        weights: as they were asked for.
        calibrated: the names of the bags in order, and whether the camera of each is known.

    Returns:
        What report.json holds.
    """
    report: dict[str, Any] = {"version": __version__, "model": model, "weights": weights}
    if weights == RANDOM:
        report["warning"] = RANDOM_WARNING
    report |= {"range_m": [RANGE.min_m, RANGE.max_m], "sources": {}}
    rows, before = [], dict[str, int]()
    for name, is_calibrated in calibrated.items():
        bag = DemoBag(output / "bag" / name)
        scored = [_scored(image, is_calibrated) for image in bag.images(output / "input")]
        said, result = _diagnostics(bag), scored[-1].image.result
        report |= {"estimator": said.get("model", "unknown"), "gives": _gives(result)}
        report["alignment"] = str(_alignment(result))
        drops = _drops(said)
        new = {reason: n - before.get(reason, 0) for reason, n in drops.items()}
        before = drops
        new = {reason: n for reason, n in new.items() if n}
        report["sources"][name] = _source(output, name, bag, scored, new)
        note = RANDOM_WARNING.partition(":")[0] if weights == RANDOM else model
        shown = _median(scored)
        rows.append(panel_row(name, shown.image, shown.comparison, note, shown.anchored))
        drive = _steadied(bag, output / "input", [one.image for one in scored])
        if drive is not None:
            report["sources"][name]["steadied"] = drive.figures
            rows.append(drive.row)
    report["passed"] = all(all(p["checks"].values()) for p in report["sources"].values())
    write_picture(output / "panel.png", stacked(rows)[..., ::-1])
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _source(
    output: Path, name: str, bag: DemoBag, scored: Sequence[ScoredImage], drops: dict[str, int]
) -> dict[str, Any]:
    """Return what the report says of one bag, and write its cloud."""
    asked, answered = bag.topics["image"], bag.topics["depth/camera_info"]
    latency_ms = (np.array(answered.times) - np.array(answered.stamps)) / 1e6
    p50, p95 = (round(float(value), 1) for value in np.percentile(latency_ms, (50, 95)))
    found = {
        "frames_in": len(asked.stamps),
        "frames_out": len(answered.stamps),
        "drops": drops,
        "latency_ms": {"p50": p50, "p95": p95},
        "topics": {topic: len(one.stamps) for topic, one in sorted(bag.topics.items())},
        "checks": _checks(bag, drops),
        "encoding": bag.topics[bag.answer].last.encoding,
        "frame_id": answered.last.header.frame_id,
        "stamps_intact": sum(stamp in asked.stamps for stamp in answered.stamps),
        "ground_truth": scored[-1].image.truth is not None,
        "frames_scored": sum(one.comparison is not None for one in scored),
        "scores": (scores := _mean_scores(scored)),
        "in_words": _in_words(scores),
        "cloud": _write_cloud(output / f"{name}.ply", bag, scored[-1]),
    }
    if SWEEPS in bag.topics:
        found["lidar"] = lidar = _lidar_agreement(bag, output / "input")
        agrees = lidar["points"] > 0 and lidar["share_within"] >= LIDAR_SHARE
        found["checks"]["LiDAR agrees with the ground truth"] = agrees
    return found


def _steadied(bag: DemoBag, folder: Path, images: list[AnsweredImage]) -> SteadiedDrive | None:
    """Steady what was answered on a drive; None of what is none."""
    if TRUTH not in bag.topics:
        return None
    poses = T_world_camera(folder)
    return steadied_drive([image for image in images if image.number < len(poses)], poses)


def summary(report: dict[str, Any]) -> Iterator[str]:
    """Return the report in a few lines."""
    yield report["estimator"]
    for name, part in report["sources"].items():
        latency = part["latency_ms"]
        failed = [check for check, passed in part["checks"].items() if not passed]
        yield ""
        yield (
            f"{name}: {part['frames_in']} pictures in, {part['frames_out']} answered, "
            f"drops: {part['drops'] or 'none'}; "
            f"picture to answer p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms"
        )
        yield f"  checks failed: {', '.join(failed)}" if failed else "  all checks passed"
        if "lidar" in part:
            yield f"  {_lidar_line(part['lidar'])}"
        if part["scores"] is not None:
            yield f"  {'':24}{'AbsRel':>8}{'δ1':>8}{'RMSE':>10}"
            for key, title in _SCORES.items():
                if v := part["scores"][key]:
                    numbers = f"{v['abs_rel']:8.3f}{v['delta1']:8.3f}{v['rmse']:8.3f} m"
                    yield f"  {title:24}{numbers}"
            yield f"  {part['in_words']}"
        if "steadied" in part:
            yield f"  {steadied_in_words(part['steadied'])}"
    if "warning" in report:
        yield ""
        yield report["warning"]


def _lidar_line(lidar: dict[str, Any]) -> str:
    if not lidar["points"]:
        return "no LiDAR point falls into the picture"
    return (
        f"LiDAR against the ground truth: {lidar['points']} points, median error "
        f"{lidar['median_error_m'] * 1000:.0f} mm, {lidar['share_within']:.1%} within "
        f"{LIDAR_TOLERANCE:.0%}"
    )


def _gives(result: Estimate) -> str:
    return "metres" if result.metric is not None else f"{own_space(result.kind)} without scale"


def _alignment(result: Estimate) -> Alignment:
    return Alignment(space=own_space(result.kind))


def _scored(image: AnsweredImage, is_calibrated: bool) -> ScoredImage:
    """Compare with the truth; metres of an assumed camera mean nothing."""
    if image.truth is None:
        return ScoredImage(image, None)
    anchored = None
    if image.anchored is not None:
        clamped = RANGE.clamped(image.anchored)
        anchored = score(clamped, image.truth.depth_m, RANGE.mask(image.truth))
    try:
        alignment = _alignment(image.result)
        comparison = compare(image.result, image.truth, RANGE, is_calibrated, alignment)
        return ScoredImage(image, comparison, anchored)
    except DepthAnythingError as error:
        if error.reason != "degenerate_fit":
            raise
        return ScoredImage(image, None)


def _median(scored: Sequence[ScoredImage]) -> ScoredImage:
    """Return the image with the median AbsRel after alignment: neither the best nor the worst."""

    def abs_rel(one: ScoredImage) -> float:
        return 0.0 if one.comparison is None else one.comparison.aligned.abs_rel

    return sorted(scored, key=abs_rel)[len(scored) // 2]


def _mean_scores(scored: Sequence[ScoredImage]) -> dict[str, dict[str, float] | None] | None:
    """Return the mean over the images of each score; None where none has a truth."""
    if all(one.comparison is None for one in scored):
        return None
    means: dict[str, dict[str, float] | None] = {}
    for name in _SCORES:
        rows = [asdict(found) for one in scored if (found := one.scores(name)) is not None]
        means[name] = (
            {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}
            if rows
            else None
        )
    return means


def _in_words(scores: dict[str, dict[str, float] | None] | None) -> str:
    """Say what the AbsRel of an answer mean; "" where there are none."""
    off = {name: f"{v['abs_rel']:.0%}" for name, v in (scores or {}).items() if v is not None}
    if not off:
        return ""
    said = [f"metres are off by {off['metric']} on average"] if "metric" in off else []
    if "anchored" in off:
        said.append(f"anchored by the LiDAR, by {off['anchored']}")
    said.append(f"with the scale and shift that fit the truth best, by {off['aligned']}")
    said.append(f"a plane that sees no picture, by {off['best_plane']}")
    return f"{'; '.join(said)}.".capitalize()


def _diagnostics(bag: DemoBag) -> dict[str, str]:
    """Return the depth node's last diagnostics."""
    said = {}
    if "/diagnostics" in bag.topics:
        for array in bag.topics["/diagnostics"].by_stamp.values():
            for status in array.status:
                if status.name.endswith("depth_node: depth"):
                    said = {value.key: value.value for value in status.values}
    return said


def _drops(said: dict[str, str]) -> dict[str, int]:
    return {key.removeprefix("dropped: "): int(n) for key, n in said.items() if "dropped" in key}


def _checks(bag: DemoBag, drops: dict[str, int]) -> dict[str, bool]:
    """Check what every user of the topics relies on."""
    topics = bag.topics
    asked, answered = topics["image"], topics["depth/camera_info"]
    prefixes = ("depth/", "disparity/", "affine_depth/")
    outputs = [one for name, one in topics.items() if name.startswith(prefixes) or name == "points"]
    message, info = topics[bag.answer].last, answered.last
    answers = [floats(one) for one in topics[bag.answer].by_stamp.values()]
    is_metric = bag.answer.startswith("depth")
    counted = len(answered.stamps) + sum(drops.values())
    of_pictures = set(answered.stamps) <= set(asked.stamps)
    checks = {
        "every picture answered or its drop counted": len(asked.stamps) == counted,
        "every output has the stamp of its picture": of_pictures
        and all(one.stamps == answered.stamps for one in outputs),
        "frame_id intact": all(one.frame_ids == asked.frame_ids for one in outputs),
        "encoding 32FC1": message.encoding == "32FC1",
        "camera_info has the depth's size": (info.width, info.height)
        == (message.width, message.height),
        "no zero and no negative depth": not is_metric or not any((a <= 0).any() for a in answers),
        "answer is not constant": bool(np.nanstd(answers[-1][np.isfinite(answers[-1])]) > 0),
    }
    if TRUTH in topics:
        truth = topics[TRUTH]
        same = truth.stamps == asked.stamps and truth.frame_ids == asked.frame_ids
        checks["ground truth has the stamp of its picture"] = same
    return checks


def _lidar_agreement(bag: DemoBag, folder: Path) -> dict[str, Any]:
    """Compare LiDAR points with the true depth at their pixels, where both are of one time."""
    errors, relative, transform = [np.empty(0)], [np.empty(0)], T_camera_lidar(folder)
    for points, truth, camera in bag.lidar_sweeps():
        measured = project_lidar(points, transform, camera)
        known = np.isfinite(measured) & np.isfinite(truth.depth_m)
        errors.append(np.abs(measured[known] - truth.depth_m[known]))
        relative.append(errors[-1] / truth.depth_m[known])
    error = np.concatenate(errors)
    if not error.size:
        return {"points": 0}
    return {
        "points": error.size,
        "median_error_m": round(float(np.median(error)), 4),
        "share_within": round(float(np.mean(np.concatenate(relative) <= LIDAR_TOLERANCE)), 4),
        "tolerance": LIDAR_TOLERANCE,
    }


def _write_cloud(path: Path, bag: DemoBag, scored: ScoredImage) -> dict[str, Any]:
    """Write the published cloud, or that of the aligned disparity; say which it is."""
    image, comparison = scored.image, scored.comparison
    if "points" in bag.topics:
        message = bag.topics["points"].last
        shape = (message.height, message.width, message.point_step // 4)
        values = np.ascontiguousarray(message.data).view(np.float32).reshape(shape)
        source, cloud = "points as published", Cloud(values, message.is_dense)
    elif comparison is not None and image.camera is not None:
        source = f"{_gives(image.result)}, aligned to the ground truth (no cloud is published)"
        aligned = DepthMap(comparison.aligned_depth.depth_m, image.camera)
        cloud = BackProjector(image.camera).project(aligned, image.rgb, edge_jump=EDGE_JUMP)
    else:
        why = "no metres without ground truth" if image.camera else "the camera is not known"
        return {"source": f"none: {why}"}
    return {"source": source, "points": write_cloud(path, cloud, f"depth_anything_ros: {source}")}
