"""What the demo's bag holds: checks, scores, a panel to look at, a cloud, a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros import __version__
from depth_anything_ros.core.alignment import depth_from_disparity, fit_scale_shift
from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.cloud import BackProjector, Cloud, write_ply
from depth_anything_ros.core.colormap import colorize, nearness
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, DepthAnythingError
from depth_anything_ros.core.metrics import abs_rel
from depth_anything_ros.core.recording import Calibration, load_calibration, load_depth
from depth_anything_ros.core.rectification import Rectifier
from depth_anything_ros.tools.demo import NAMESPACE

MAX_ALIGNED_M = 100.0
TILE_WIDTH = 560
CAPTION_HEIGHT = 56
EDGE_JUMP = 0.05


@dataclass
class Recorded:
    """The messages of one topic.

    Attributes:
        stamps: header stamps, ns.
        times: when the recorder received them, ns since the epoch.
        frame_ids: those that occurred.
        last: the newest message.
    """

    stamps: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    frame_ids: set[str] = field(default_factory=set)
    last: Any = None


def read_bag(path: Path) -> dict[str, Recorded]:
    """Read a bag into its topics, by name without the demo's namespace."""
    types = get_typestore(Stores.ROS2_JAZZY)
    topics: dict[str, Recorded] = {}
    with Reader(path) as reader:
        for connection, time_ns, data in reader.messages():
            message: Any = types.deserialize_cdr(data, connection.msgtype)
            topic = topics.setdefault(connection.topic.removeprefix(f"{NAMESPACE}/"), Recorded())
            stamp = message.header.stamp
            topic.stamps.append(stamp.sec * 1_000_000_000 + stamp.nanosec)
            topic.times.append(time_ns)
            topic.frame_ids.add(message.header.frame_id)
            topic.last = message
    return topics


def write_report(output: Path, model: str, weights: str) -> dict[str, Any]:
    """Check the bag under output, write panel, cloud and report.json, and return the report."""
    topics = read_bag(output / "bag")
    if "image" not in topics or "depth/camera_info" not in topics:
        raise DepthAnythingError(
            f"the bag {output / 'bag'} lacks the picture or its answer; it has {sorted(topics)} "
            f"(logs in {output / 'log'})"
        )
    scene = _scene(output / "input", topics)
    aligned, scores = _scores(scene)
    counts, answered = _counts(topics), topics["depth/camera_info"]
    report = {
        "version": __version__,
        "model": model,
        "weights": weights,
        "gives": "metres" if isinstance(scene.result, DepthMap) else "disparity without scale",
        **counts,
        "topics": {name: len(topic.stamps) for name, topic in sorted(topics.items())},
        "checks": _checks(topics, scene, counts["drops"]),
        "encoding": topics[_answer_name(topics)].last.encoding,
        "frame_id": answered.last.header.frame_id,
        "stamps_intact": sum(stamp in topics["image"].stamps for stamp in answered.stamps),
        "ground_truth": scene.truth is not None,
        **scores,
    }
    if weights == "random":
        report["warning"] = "random weights: depth, cloud and AbsRel show only that it runs"
    report["cloud"] = _write_cloud(output / "cloud.ply", topics, scene, aligned)
    report["passed"] = all(report["checks"].values())
    cv2.imwrite(str(output / "panel.png"), _panel(scene, report)[..., ::-1])
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def summary(report: dict[str, Any]) -> Sequence[str]:
    """Return the report in a few lines."""
    latency = report["latency_ms"]
    failed = [name for name, passed in report["checks"].items() if not passed]
    lines = [
        f"{report['frames_in']} pictures in, {report['frames_out']} answered, "
        f"drops: {report['drops'] or 'none'}",
        f"picture to answer: p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms",
        f"checks failed: {', '.join(failed)}" if failed else "all checks passed",
    ]
    if report["abs_rel_aligned"] is not None:
        lines.append(f"AbsRel after scale-and-shift alignment: {report['abs_rel_aligned']:.3f}")
    if "warning" in report:
        lines.append(report["warning"])
    return lines


@dataclass(frozen=True, eq=False)
class Scene:
    """The last frame: what was seen, what was answered, what is true, all on one grid."""

    rgb: NDArray[np.uint8]
    result: DepthMap | DisparityMap
    camera: Camera | None
    truth: DepthMap | None


def _scene(folder: Path, topics: dict[str, Recorded]) -> Scene:
    image, info = topics["image"].last, topics["depth/camera_info"].last
    rgb = np.ascontiguousarray(image.data.reshape(image.height, image.width, 3)[..., ::-1])
    camera = _camera(info)
    result = _result(topics, camera)
    file = next(iter(sorted(folder.glob("calib*"))), None)
    if file is None:
        return Scene(rgb, result, camera, None)
    calibration = load_calibration(file)
    source = calibration.camera
    if source is not None and source.fits(image.width, image.height):
        source = source.scaled(image.width, image.height)
    truth = _truth(folder, calibration, image.width, image.height)
    if source is not None and source.is_distorted and camera is not None:
        rectifier = Rectifier(source)
        rgb = rectifier.rectify(rgb)
        truth = rectifier.rectify_depth(truth) if truth is not None else None
    return Scene(rgb, result, camera, truth)


def _truth(folder: Path, calibration: Calibration, width: int, height: int) -> DepthMap | None:
    """Read the depth picture at the picture's size; None where there is none of its aspect."""
    path = folder / (calibration.depth_file or "")
    if calibration.depth_scale_m is None or not path.is_file():
        return None
    depth = load_depth(path, calibration.depth_scale_m).depth_m
    if not same_aspect((depth.shape[1], depth.shape[0]), (width, height)):
        return None
    # Nearest neighbour: depth is not to be mixed across edges.
    resized = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    return DepthMap(np.asarray(resized, np.float32))


def _camera(info: Any) -> Camera | None:  # noqa: ANN401 - rosbags' CameraInfo
    try:
        return Camera.from_info(info)
    except CameraError as error:
        if error.reason == "uncalibrated":
            return None
        raise


def _result(topics: dict[str, Recorded], camera: Camera | None) -> DepthMap | DisparityMap:
    name = _answer_name(topics)
    message = topics[name].last
    values = message.data.view(np.float32).reshape(message.height, message.width).copy()
    return DepthMap(values, camera) if name.startswith("depth") else DisparityMap(values, camera)


def _answer_name(topics: dict[str, Recorded]) -> str:
    return "depth/image_rect" if "depth/image_rect" in topics else "disparity/image_rect"


def _counts(topics: dict[str, Recorded]) -> dict[str, Any]:
    """Count frames and measure from a picture's stamp to the reception of its answer."""
    answers = topics["depth/camera_info"]
    latency_ms = (np.array(answers.times) - np.array(answers.stamps)) / 1e6
    said = {}
    for status in topics["/diagnostics"].last.status if "/diagnostics" in topics else ():
        said = {v.key: v.value for v in status.values}
    drops = {key.removeprefix("dropped: "): int(n) for key, n in said.items() if "dropped" in key}
    p50, p95 = np.percentile(latency_ms, (50, 95))
    return {
        "estimator": said.get("model", "unknown"),
        "frames_in": len(topics["image"].stamps),
        "frames_out": len(answers.stamps),
        "drops": drops,
        "latency_ms": {"p50": round(float(p50), 1), "p95": round(float(p95), 1)},
    }


def _checks(topics: dict[str, Recorded], scene: Scene, drops: dict[str, int]) -> dict[str, bool]:
    """Check what every user of the topics relies on."""
    asked = topics["image"]
    outputs = {
        name: topic
        for name, topic in topics.items()
        if name.startswith(("depth/", "disparity/")) or name == "points"
    }
    message, info = topics[_answer_name(topics)].last, topics["depth/camera_info"].last
    answer = scene.result
    values = answer.depth_m if isinstance(answer, DepthMap) else answer.disparity
    positive = (values[~np.isnan(values)] > 0).all() if isinstance(answer, DepthMap) else True
    return {
        "every picture answered or its drop counted": len(asked.stamps)
        == len(topics["depth/camera_info"].stamps) + sum(drops.values()),
        "every output has the stamp of its picture": all(
            t.stamps == topics["depth/camera_info"].stamps and set(t.stamps) <= set(asked.stamps)
            for t in outputs.values()
        ),
        "frame_id intact": all(t.frame_ids == asked.frame_ids for t in outputs.values()),
        "encoding 32FC1": message.encoding == "32FC1",
        "camera_info has the depth's size": (info.width, info.height)
        == (message.width, message.height),
        "no zero and no negative depth": bool(positive),
        "answer is not constant": bool(np.nanstd(values[np.isfinite(values)]) > 0),
    }


def _scores(scene: Scene) -> tuple[DepthMap | None, dict[str, Any]]:
    """Score against ground truth: metres as they are, and after alignment in disparity."""
    scores: dict[str, Any] = {"abs_rel": None, "abs_rel_aligned": None, "alignment": None}
    if scene.truth is None:
        return None, scores
    truth, result = scene.truth.depth_m, scene.result
    disparity = DisparityMap(nearness(result), scene.camera)
    mask = np.isfinite(truth) & (truth > 0) & np.isfinite(disparity.disparity)
    try:
        with np.errstate(divide="ignore"):
            fit = fit_scale_shift(disparity.disparity, 1.0 / truth, mask)
    except DepthAnythingError as error:
        return None, {**scores, "alignment": str(error)}
    aligned = depth_from_disparity(disparity, fit, MAX_ALIGNED_M)
    scores["abs_rel_aligned"] = round(abs_rel(aligned.depth_m, truth, mask), 4)
    scores["alignment"] = {
        "method": "least squares of scale and shift in disparity (MiDaS eq. 4)",
        "scale": fit.scale,
        "shift": fit.shift,
        "pixels": fit.count,
    }
    if isinstance(result, DepthMap):
        in_range = mask & np.isfinite(result.depth_m)  # +Inf is an answer without metres
        if in_range.any():
            scores["abs_rel"] = round(abs_rel(result.depth_m, truth, in_range), 4)
    return aligned, scores


def _write_cloud(
    path: Path, topics: dict[str, Recorded], scene: Scene, aligned: DepthMap | None
) -> dict[str, Any]:
    """Write the published cloud, or that of the aligned disparity; say which it is."""
    if "points" in topics:
        message = topics["points"].last
        columns = message.point_step // 4
        shape = (message.height, message.width, columns)
        values = np.ascontiguousarray(message.data).view(np.float32).reshape(shape)
        source, cloud = "points as published", Cloud(values, message.is_dense)
    elif aligned is not None and scene.camera is not None:
        source = "disparity aligned to the ground truth (a relative model publishes no cloud)"
        cloud = BackProjector(scene.camera).project(aligned, scene.rgb, edge_jump=EDGE_JUMP)
    else:
        why = "no metres without ground truth" if scene.camera else "the camera is not known"
        return {"source": f"none: {why}"}
    return {"source": source, "points": write_ply(path, cloud, f"depth_anything_ros: {source}")}


def _panel(scene: Scene, report: dict[str, Any]) -> NDArray[np.uint8]:
    """Set picture, answer and ground truth side by side, each with its caption."""
    what = "depth" if isinstance(scene.result, DepthMap) else "disparity (relative)"
    random = " - RANDOM WEIGHTS" if report["weights"] == "random" else ""
    score = report["abs_rel_aligned"]
    note = report["model"] if score is None else f"{report['model']}, AbsRel aligned {score:.3f}"
    tiles = [
        _tile(scene.rgb, "picture", f"{scene.rgb.shape[1]} x {scene.rgb.shape[0]}"),
        _tile(colorize(nearness(scene.result)), f"{what}{random}", note),
    ]
    if scene.truth is not None:
        painted = colorize(nearness(scene.truth))
        tiles.append(_tile(painted, "ground truth", "near is bright, black is unknown"))
    return np.asarray(cv2.hconcat(tiles), np.uint8)


def _tile(rgb: NDArray[np.uint8], title: str, note: str) -> NDArray[np.uint8]:
    height = round(rgb.shape[0] * TILE_WIDTH / rgb.shape[1])
    picture = cv2.resize(rgb, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    caption = np.full((CAPTION_HEIGHT, TILE_WIDTH, 3), 24, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(caption, title, (10, 22), font, 0.62, (255, 255, 255), 1, cv2.LINE_AA)
    cv2.putText(caption, note, (10, 46), font, 0.48, (190, 190, 190), 1, cv2.LINE_AA)
    return np.asarray(cv2.vconcat([caption, picture]), np.uint8)
