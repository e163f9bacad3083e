"""What the demo found: checks, scores and latency of each bag, a panel, clouds, a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros import __version__
from depth_anything_ros.core.cloud import BackProjector, Cloud, write_ply
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap, Estimate
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.evaluation import Alignment, Comparison, DepthRange, compare
from depth_anything_ros.core.metrics import Scores, score
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.models.weights.find import RANDOM
from depth_anything_ros.tools.demo_bag import (
    Frame,
    Recorded,
    T_camera_lidar,
    answer_name,
    floats,
    frames,
    lidar_sweeps,
    read_bag,
)
from depth_anything_ros.tools.demo_panel import panel_row, stacked

# What counts, and what every prediction is clamped to.
RANGE = DepthRange(1e-3, 80.0)
EDGE_JUMP = 0.05
BASELINES = ("mean_depth", "best_constant", "best_plane")
# A LiDAR's point agrees with the ground truth at its pixel within this share of it. Points at edges
# and behind glass and mirrors do not, so that not all of them can.
LIDAR_TOLERANCE = 0.05
LIDAR_SHARE = 0.8
RANDOM_WARNING = "RANDOM WEIGHTS: depth, clouds and scores show only that it runs"


@dataclass(frozen=True, eq=False)
class Scored:
    """A frame and how its answer compares with the truth; None where there is no truth.

    Attributes:
        anchored: scores of the depth that a LiDAR anchored; None where there is none.
    """

    frame: Frame
    comparison: Comparison | None
    anchored: Scores | None = None


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
        topics = read_bag(output / "bag" / name)
        scored = [_scored(f, is_calibrated) for f in frames(topics, output / "input")]
        said = _said(topics)
        report |= {"estimator": said.get("model", "unknown"), "gives": _gives(scored)}
        report["alignment"] = str(_alignment(scored[-1].frame.result))
        counted = _counts(topics, said, before)
        part, shown = _part(output, name, topics, scored, counted), _median(scored)
        report["sources"][name] = part
        note = RANDOM_WARNING.partition(":")[0] if weights == RANDOM else model
        rows.append(panel_row(name, shown.frame, shown.comparison, note, shown.anchored))
        before = _drops(said)
    report["passed"] = all(all(p["checks"].values()) for p in report["sources"].values())
    write_picture(output / "panel.png", stacked(rows)[..., ::-1])
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _part(
    output: Path,
    name: str,
    topics: dict[str, Recorded],
    scored: Sequence[Scored],
    counted: dict[str, Any],
) -> dict[str, Any]:
    """Return what the report says of one bag, and write its cloud."""
    answered = topics["depth/camera_info"]
    part = {
        **counted,
        "topics": {topic: len(recorded.stamps) for topic, recorded in sorted(topics.items())},
        "checks": _checks(topics, counted["drops"]),
        "encoding": topics[answer_name(topics)].last.encoding,
        "frame_id": answered.last.header.frame_id,
        "stamps_intact": sum(stamp in topics["image"].stamps for stamp in answered.stamps),
        "ground_truth": scored[-1].frame.truth is not None,
        "frames_scored": sum(one.comparison is not None for one in scored),
        "scores": _mean_scores(scored),
        "cloud": _write_cloud(output / f"{name}.ply", topics, scored[-1]),
    }
    if "lidar/points" in topics:
        part["lidar"] = lidar = _lidar_agreement(topics, output / "input")
        agrees = lidar["points"] > 0 and lidar["share_within"] >= LIDAR_SHARE
        part["checks"]["LiDAR agrees with the ground truth"] = agrees
    return part


def summary(report: dict[str, Any]) -> Sequence[str]:
    """Return the report in a few lines."""
    lines = [report["estimator"]]
    for name, part in report["sources"].items():
        latency = part["latency_ms"]
        failed = [check for check, passed in part["checks"].items() if not passed]
        lines += [
            "",
            f"{name}: {part['frames_in']} pictures in, {part['frames_out']} answered, "
            f"drops: {part['drops'] or 'none'}; "
            f"picture to answer p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms",
            f"  checks failed: {', '.join(failed)}" if failed else "  all checks passed",
        ]
        if "lidar" in part:
            lines.append(f"  {_lidar_line(part['lidar'])}")
        if part["scores"] is not None:
            lines += [f"  {line}" for line in _table(part["scores"])]
    return [*lines, "", report["warning"]] if "warning" in report else lines


def _table(scores: dict[str, dict[str, float] | None]) -> list[str]:
    titles = {
        "metric": "metres as they come",
        "anchored": "anchored by the LiDAR",
        "aligned": "after scale and shift",
        "mean_depth": "baseline: mean depth",
        "best_constant": "baseline: best constant",
        "best_plane": "baseline: best plane",
    }
    lines = [f"{'':24}{'AbsRel':>8}{'δ1':>8}{'RMSE':>10}"]
    for key, title in titles.items():
        values = scores[key]
        if values is not None:
            lines.append(
                f"{title:24}{values['abs_rel']:8.3f}{values['delta1']:8.3f}{values['rmse']:8.3f} m"
            )
    return lines


def _lidar_line(lidar: dict[str, Any]) -> str:
    if not lidar["points"]:
        return "no LiDAR point falls into the picture"
    return (
        f"LiDAR against the ground truth: {lidar['points']} points, median error "
        f"{lidar['median_error_m'] * 1000:.0f} mm, {lidar['share_within']:.1%} within "
        f"{LIDAR_TOLERANCE:.0%}"
    )


def _gives(scored: Sequence[Scored]) -> str:
    result = scored[-1].frame.result
    if isinstance(result, DepthMap):
        return "metres"
    return f"{'disparity' if isinstance(result, DisparityMap) else 'depth'} without scale"


def _alignment(result: Estimate) -> Alignment:
    """Return how an answer is brought to the truth: in what it is affine in."""
    return Alignment(space="depth" if isinstance(result, AffineDepthMap) else "disparity")


def _scored(frame: Frame, is_calibrated: bool) -> Scored:
    """Compare with the truth; metres of an assumed camera mean nothing."""
    if frame.truth is None:
        return Scored(frame, None)
    anchored = None
    if frame.anchored is not None:
        clamped = RANGE.clamped(frame.anchored)
        anchored = score(clamped, frame.truth.depth_m, RANGE.mask(frame.truth))
    try:
        alignment = _alignment(frame.result)
        comparison = compare(frame.result, frame.truth, RANGE, is_calibrated, alignment)
        return Scored(frame, comparison, anchored)
    except DepthAnythingError as error:
        if error.reason != "degenerate_fit":
            raise
        return Scored(frame, None)


def _median(scored: Sequence[Scored]) -> Scored:
    """Return the frame with the median AbsRel after alignment: neither the best nor the worst."""

    def abs_rel(one: Scored) -> float:
        return 0.0 if one.comparison is None else one.comparison.aligned.abs_rel

    return sorted(scored, key=abs_rel)[len(scored) // 2]


def _mean_scores(scored: Sequence[Scored]) -> dict[str, dict[str, float] | None] | None:
    """Return the mean over the frames of each score; None where none has a truth."""
    comparisons = [one.comparison for one in scored if one.comparison is not None]
    if not comparisons:
        return None
    means: dict[str, dict[str, float] | None] = {}
    for name in ("metric", "aligned", *BASELINES):
        scores = [getattr(comparison, name) for comparison in comparisons]
        means[name] = _mean([s for s in scores if s is not None])
    means["anchored"] = _mean([one.anchored for one in scored if one.anchored is not None])
    return means


def _mean(scores: Sequence[Scores]) -> dict[str, float] | None:
    rows = [asdict(one) for one in scores]
    return (
        {key: round(float(np.mean([r[key] for r in rows])), 4) for key in rows[0]} if rows else None
    )


def _said(topics: dict[str, Recorded]) -> dict[str, str]:
    """Return the depth node's last diagnostics."""
    said = {}
    arrays = topics["/diagnostics"].by_stamp.values() if "/diagnostics" in topics else ()
    for status in (status for array in arrays for status in array.status):
        if status.name.endswith("depth_node: depth"):
            said = {value.key: value.value for value in status.values}
    return said


def _drops(said: dict[str, str]) -> dict[str, int]:
    return {key.removeprefix("dropped: "): int(n) for key, n in said.items() if "dropped" in key}


def _counts(
    topics: dict[str, Recorded], said: dict[str, str], before: dict[str, int]
) -> dict[str, Any]:
    """Count frames and measure from a picture's stamp to the reception of its answer."""
    answers = topics["depth/camera_info"]
    latency_ms = (np.array(answers.times) - np.array(answers.stamps)) / 1e6
    p50, p95 = np.percentile(latency_ms, (50, 95))
    new = {reason: n - before.get(reason, 0) for reason, n in _drops(said).items()}
    return {
        "frames_in": len(topics["image"].stamps),
        "frames_out": len(answers.stamps),
        "drops": {reason: n for reason, n in new.items() if n},
        "latency_ms": {"p50": round(float(p50), 1), "p95": round(float(p95), 1)},
    }


def _checks(topics: dict[str, Recorded], drops: dict[str, int]) -> dict[str, bool]:
    """Check what every user of the topics relies on."""
    asked, answered = topics["image"], topics["depth/camera_info"]
    outputs = {
        name: topic
        for name, topic in topics.items()
        if name.startswith(("depth/", "disparity/", "affine_depth/")) or name == "points"
    }
    name = answer_name(topics)
    message, info = topics[name].last, answered.last
    answers = [floats(one) for one in topics[name].by_stamp.values()]
    is_metric = name.startswith("depth")
    checks = {
        "every picture answered or its drop counted": len(asked.stamps)
        == len(answered.stamps) + sum(drops.values()),
        "every output has the stamp of its picture": all(
            t.stamps == answered.stamps and set(t.stamps) <= set(asked.stamps)
            for t in outputs.values()
        ),
        "frame_id intact": all(t.frame_ids == asked.frame_ids for t in outputs.values()),
        "encoding 32FC1": message.encoding == "32FC1",
        "camera_info has the depth's size": (info.width, info.height)
        == (message.width, message.height),
        "no zero and no negative depth": not is_metric or not any((a <= 0).any() for a in answers),
        "answer is not constant": bool(np.nanstd(answers[-1][np.isfinite(answers[-1])]) > 0),
    }
    if "ground_truth/depth" in topics:
        truth = topics["ground_truth/depth"]
        checks["ground truth has the stamp of its picture"] = (
            truth.stamps == asked.stamps and truth.frame_ids == asked.frame_ids
        )
    return checks


def _lidar_agreement(topics: dict[str, Recorded], folder: Path) -> dict[str, Any]:
    """Compare LiDAR points with the true depth at their pixels, where both are of one time."""
    errors, relative, transform = [], [], T_camera_lidar(folder)
    for points, truth, camera in lidar_sweeps(topics):
        measured = project_lidar(points, transform, camera)
        known = np.isfinite(measured) & np.isfinite(truth.depth_m)
        errors.append(np.abs(measured[known] - truth.depth_m[known]))
        relative.append(errors[-1] / truth.depth_m[known])
    count = sum(len(one) for one in errors)
    if not count:
        return {"points": 0}
    return {
        "points": count,
        "median_error_m": round(float(np.median(np.concatenate(errors))), 4),
        "share_within": round(float(np.mean(np.concatenate(relative) <= LIDAR_TOLERANCE)), 4),
        "tolerance": LIDAR_TOLERANCE,
    }


def _write_cloud(path: Path, topics: dict[str, Recorded], scored: Scored) -> dict[str, Any]:
    """Write the published cloud, or that of the aligned disparity; say which it is."""
    frame, comparison = scored.frame, scored.comparison
    if "points" in topics:
        message = topics["points"].last
        columns = message.point_step // 4
        shape = (message.height, message.width, columns)
        values = np.ascontiguousarray(message.data).view(np.float32).reshape(shape)
        source, cloud = "points as published", Cloud(values, message.is_dense)
    elif comparison is not None and frame.camera is not None:
        source = f"{_gives([scored])}, aligned to the ground truth (no cloud is published)"
        aligned = DepthMap(comparison.aligned_depth.depth_m, frame.camera)
        cloud = BackProjector(frame.camera).project(aligned, frame.rgb, edge_jump=EDGE_JUMP)
    else:
        why = "no metres without ground truth" if frame.camera else "the camera is not known"
        return {"source": f"none: {why}"}
    return {"source": source, "points": write_ply(path, cloud, f"depth_anything_ros: {source}")}
