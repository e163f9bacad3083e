"""What Nav2 would make of this package's depth: false and missed obstacles on simulated drives.

A robot with a camera and a 16-ring LiDAR drives through places of the simulator. Of each picture,
depth of several kinds goes into a local costmap by Nav2's rules, as a plain cloud and by what
obstacles_node sends, and is compared with what stands there.

    python benchmark/navigation.py --frames 60 --output navigation.json
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from depth_scan_rule import depth_scan
from nav2_rules import LETHAL, Grid, Source, VoxelGrid, points_inside
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.pipeline.anchor import NO_POINTS, AnchorPipeline
from depth_anything_ros.pipeline.answer import CloudMaker
from depth_anything_ros.pipeline.ground import CameraMount
from depth_anything_ros.pipeline.obstacles import ObstaclePipeline, PlanarScan, Surroundings
from depth_anything_ros.pipeline.options import (
    AnchoringOptions,
    CloudOptions,
    GroundAndObstacleOptions,
)
from depth_anything_ros.pipeline.steadying import Moment
from depth_anything_ros.sim.lidar_patterns import find_pattern
from depth_anything_ros.sim.path import Drive
from depth_anything_ros.sim.photometry import develop
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.robot import MILD, Robot, T_camera_lidar, sensor_mounts
from depth_anything_ros.tools.options import parse_size
from depth_anything_ros.tools.progress import say

PLACES = ("office", "warehouse", "street")
KINDS = ("true", "short", "tiny", "anchored", "ground")
# As points, by obstacles_node, and by depthimage_to_laserscan with its defaults.
WAYS = ("cloud", "obstacles", "depth scan")
SHORT = 0.8
RATE_HZ = 5.0
# As the demo has it: of no training.
SEED = 2_000_000_000
HEIGHT_M, HFOV_DEG = 0.5, 70.0
MAP_M, CELL_M = 12.0, 0.05
# Within this of the camera, cells and obstacles count.
CELLS_WITHIN_M, OBJECTS_WITHIN_M = 5.0, 4.0
# What stands: as obstacles_node has it by default. A thing is as tall as its highest point.
LOWEST_M, HIGHEST_M, TALL_M = 0.1, 2.0, 0.3
# A mark so near to what stands is of it, and a thing so near to a mark was not missed; a mark
# farther than EDGE_M is misplaced.
FOUND_M, EDGE_M = 0.3, 0.1
# Smaller in the picture, of 640x480 pixels, a thing is not looked for.
PIXELS = 150
# A cloud straight into a layer needs a least height of its own.
CLOUD = Source(min_height=0.05, max_height=HIGHEST_M)
OBSTACLES = Source()
SCAN = Source(raytrace_min_range=1.0)
STOP = np.array(((1.4, 0.3), (1.4, -0.3), (0.0, -0.3), (0.0, 0.3)))

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """A picture, what is there, and what the LiDAR says, (N, 3) in the optical frame."""

    rgb: NDArray[np.uint8]
    depth: DepthMap
    instance: NDArray[np.int32]
    ranges: Floats
    stamp_ns: int


def drive(place: str, frames: int, size: tuple[int, int], seed: int = SEED) -> Iterator[View]:
    """Render a drive, a picture at a time."""
    scene = build_scene(seed, place)
    T_base_camera, T_base_lidar = sensor_mounts(HEIGHT_M, 0.0)
    path = Drive(scene.path, T_base_camera=T_base_camera, T_base_lidar=T_base_lidar)
    camera = Camera.from_hfov(*size, HFOV_DEG)
    robot, pattern = Robot(scene, camera, path), find_pattern("spinning_16")
    to_camera = T_camera_lidar(HEIGHT_M, 0.0)
    for number in range(frames):
        t, noise = number / RATE_HZ, (seed + 1) * 10_000 + number
        seen = robot._renderer.view([camera], path.T_world_camera(t)[None])
        sweep = robot.sweep(pattern, t, noise)
        yield View(
            develop(seen.light[0], MILD, noise).numpy(),
            DepthMap(seen.depth_m[0].numpy(), camera),
            seen.instance[0].numpy(),
            sweep.points @ to_camera[:3, :3].T + to_camera[:3, 3],
            round(t * 1e9),
        )


class Depths:
    """Depth of each kind, of the pictures of one drive.

    Args:
        estimator: of metres.
    """

    def __init__(self, estimator: DepthEstimator) -> None:
        self._estimator = estimator
        options = AnchoringOptions()
        by_ground = replace(options, ground=replace(options.ground, use="fallback"))
        self._anchoring = {"anchored": AnchorPipeline(options), "ground": AnchorPipeline(by_ground)}
        self._points = {"anchored": True, "ground": False}

    def of(self, view: View, kinds: Sequence[str]) -> dict[str, DepthMap]:
        """Return depth by its kind; without one that could not be anchored."""
        camera, true = view.depth.camera, view.depth
        found = {"true": true, "short": DepthMap(true.depth_m * np.float32(SHORT), camera)}
        if set(kinds) - set(found):
            metres = self._estimator.infer(view.rgb, camera).metric
            assert metres is not None
            found["tiny"] = metres
            for name, pipeline in self._anchoring.items():
                points = view.ranges if self._points[name] else NO_POINTS
                answer, _ = pipeline.anchor(metres, points, Moment(view.stamp_ns), mount=MOUNT)
                if answer is not None and isinstance(answer.estimate, DepthMap):
                    found[name] = answer.estimate
        return {name: found[name] for name in kinds if name in found}


MOUNT = CameraMount.pitched(HEIGHT_M, 0.0)
T_BASE_CAMERA = sensor_mounts(HEIGHT_M, 0.0)[0]
ORIGIN = T_BASE_CAMERA[:3, 3]


def to_base(points: Floats) -> Floats:
    """Take points of the optical frame to the robot's, on the ground, by the camera's mount."""
    with np.errstate(invalid="ignore"):
        return np.asarray(points @ T_BASE_CAMERA[:3, :3].T + ORIGIN)


def scan_points(scan: PlanarScan) -> Floats:
    """Return the points of a scan as inf_is_valid has them, in the robot's frame."""
    bearings = scan.angle_min + scan.angle_step * np.arange(len(scan.ranges_m))
    ranges = np.where(np.isposinf(scan.ranges_m), scan.max_m - 1e-4, scan.ranges_m)
    flat = np.stack((np.cos(bearings) * ranges, np.sin(bearings) * ranges), axis=1)
    return np.column_stack((flat, np.zeros(len(ranges)))) + ORIGIN


def grown(cells: Bools, metres: float) -> Bools:
    """Return the cells that are so near to some."""
    count = round(metres / CELL_M)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * count + 1, 2 * count + 1))
    return cv2.dilate(cells.astype(np.uint8), kernel).astype(bool)


class Truth:
    """What a view shows, on the cells of a map.

    Attributes:
        stands: bool (x, y), where something stands.
        free: bool (x, y), where the ground is seen, nothing stands, and the camera is near.
        things: what stands near, by its number: its cells and its height.
        points: of all that stands, (N, 3).
    """

    def __init__(self, view: View) -> None:
        camera = view.depth.camera
        assert camera is not None
        points = to_base(camera.rays() * view.depth.depth_m[..., None])
        known = np.isfinite(points).all(axis=2)
        height = np.where(known, points[..., 2], np.nan)
        self._grid = Grid(MAP_M, CELL_M)
        self.standing = (height > LOWEST_M) & (height < HIGHEST_M)
        self.stands = self._cells(points[self.standing])
        low = self._cells(points[(height > 0.02) & (height < HIGHEST_M)])
        ground = self._cells(points[np.abs(height) < 0.02])
        near = self._near()
        self.free = grown(ground, 2 * CELL_M) & ~grown(low, CELL_M) & near
        self.points = points[self.standing]
        self.things = dict(self._things(view, points))

    def _cells(self, points: Floats) -> Bools:
        found = np.zeros_like(self._grid.costs, bool)
        cells = self._grid.cells(points)
        found[tuple(cells[self._grid.inside(cells)].T)] = True
        return found

    def _near(self) -> Bools:
        middles = self._grid.low + CELL_M * (np.arange(self._grid.count) + 0.5)
        away = np.hypot(middles[:, None] - ORIGIN[0], middles[None] - ORIGIN[1])
        return np.asarray(away < CELLS_WITHIN_M)

    def _things(self, view: View, points: Floats) -> Iterator[tuple[int, tuple[Bools, float]]]:
        least = PIXELS * view.instance.size / (640 * 480)
        for number in np.unique(view.instance[self.standing]):
            own = points[self.standing & (view.instance == number)]
            away = np.hypot(own[:, 0] - ORIGIN[0], own[:, 1] - ORIGIN[1])
            if len(own) >= least and away.min() < OBJECTS_WITHIN_M:
                near = own[away < OBJECTS_WITHIN_M]
                yield int(number), (self._cells(near), float(own[:, 2].max()))


@dataclass
class Tally:
    """Sums over pictures of one kind of depth, one way of it to Nav2."""

    frames: int = 0
    free: int = 0
    false: int = 0
    misplaced: int = 0
    things: int = 0
    missed: int = 0
    low_things: int = 0
    low_missed: int = 0
    cleared: int = 0
    false_stops: int = 0
    missed_stops: int = 0
    voxel_false: int = 0
    points: list[int] = field(default_factory=list)

    def judge(self, truth: Truth, marked: Bools, voxels: Bools) -> None:
        """Count what layers marked against what is there."""
        self.frames += 1
        self.free += int(truth.free.sum())
        wrong = truth.free & ~grown(truth.stands, FOUND_M)
        self.misplaced += int((marked & truth.free & ~wrong & ~grown(truth.stands, EDGE_M)).sum())
        self.false += int((marked & wrong).sum())
        self.voxel_false += int((voxels & wrong).sum())
        near = grown(marked, FOUND_M)
        for cells, height in truth.things.values():
            is_missed = not (cells & near).any()
            if height >= TALL_M:
                self.things, self.missed = self.things + 1, self.missed + is_missed
            else:
                self.low_things += 1
                self.low_missed += is_missed

    def figures(self) -> dict[str, float]:
        """Return shares, and means a picture."""
        frames = max(self.frames, 1)
        return {
            "pictures": self.frames,
            "false cells": self.false / frames,
            "false cells (%)": 100 * self.false / max(self.free, 1),
            "misplaced cells (%)": 100 * self.misplaced / max(self.free, 1),
            "false cells, voxel layer": self.voxel_false / frames,
            "obstacles": self.things,
            "missed (%)": 100 * self.missed / max(self.things, 1),
            "low obstacles": self.low_things,
            "low missed (%)": 100 * self.low_missed / max(self.low_things, 1),
            "free cells cleared (%)": 100 * self.cleared / max(self.free, 1),
            "false stops": self.false_stops,
            "missed stops": self.missed_stops,
            "points, most": max(self.points, default=0),
        }


class Comparison:
    """Nav2's layers on one drive after another.

    Args:
        estimator: of metres.
        kinds: of depth.
        options: of obstacles_node; its defaults where None.

    Attributes:
        tallies: by place, kind of depth and way.
        scan_errors: of the scan on true depth, metres, by place.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        kinds: Sequence[str] = KINDS,
        options: GroundAndObstacleOptions | None = None,
    ) -> None:
        self._estimator, self._kinds = estimator, kinds
        self._options = options or GroundAndObstacleOptions()
        self.tallies: dict[tuple[str, str, str], Tally] = defaultdict(Tally)
        self.scan_errors: dict[str, list[Floats]] = defaultdict(list)

    def add(self, place: str, views: Iterator[View]) -> None:
        """Drive once."""
        depths = Depths(self._estimator)
        looking = {kind: ObstaclePipeline(self._options) for kind in self._kinds}
        clouds = CloudMaker()
        for view in views:
            truth = Truth(view)
            for kind, depth in depths.of(view, self._kinds).items():
                found = looking[kind].look(depth, MOUNT, view.stamp_ns)
                if kind == "true":
                    self.scan_errors[place].append(scan_error(found, truth))
                assert depth.camera is not None
                cloud = clouds.cloud(CloudOptions(organized=False), None, None, depth, depth.camera)
                row = depth_scan(depth.depth_m, np.array(depth.camera.P))
                points = {
                    "cloud": to_base(cloud.points[0]),
                    "obstacles": to_base(found.obstacles.points),
                    "depth scan": row.points() + ORIGIN,
                }
                for way, seen in points.items():
                    source = CLOUD if way == "cloud" else OBSTACLES
                    _judge(self.tallies[place, kind, way], truth, seen, source)
                self.tallies[place, kind, "obstacles"].cleared += _cleared(found, truth)


def _judge(tally: Tally, truth: Truth, points: Floats, source: Source) -> None:
    layer, voxels = Grid(MAP_M, CELL_M), VoxelGrid(MAP_M, CELL_M)
    layer.mark(points, ORIGIN, source)
    voxels.mark(points, ORIGIN, source)
    tally.judge(truth, layer.costs == LETHAL, voxels.costs == LETHAL)
    tally.points.append(len(points))
    stops = points_inside(points, STOP, source.min_height, source.max_height) >= 3
    should = points_inside(truth.points, STOP, LOWEST_M, HIGHEST_M) > 0
    tally.false_stops += stops and not should
    tally.missed_stops += should and not stops


def _cleared(found: Surroundings, truth: Truth) -> int:
    """Return how many free cells of a map full of obstacles the scan clears."""
    layer = Grid(MAP_M, CELL_M)
    layer.costs[:] = LETHAL
    layer.clear(scan_points(found.scan), ORIGIN, SCAN)
    return int(((layer.costs != LETHAL) & truth.free).sum())


def scan_error(found: Surroundings, truth: Truth) -> Floats:
    """Return by how much ranges of a scan are off, metres; of bearings where both see something.

    The ideal scan is of each bearing the nearest true point of what stands high enough for its
    distance.
    """
    scan, limits = found.scan, GroundAndObstacleOptions().obstacles
    flat = truth.points - ORIGIN
    away = np.hypot(flat[:, 0], flat[:, 1])
    high = truth.points[:, 2] > limits.min_height_m + limits.relative_margin * away
    flat, away = flat[high & (away < scan.max_m)], away[high & (away < scan.max_m)]
    at = np.rint((np.arctan2(flat[:, 1], flat[:, 0]) - scan.angle_min) / scan.angle_step)
    ideal = np.full(len(scan.ranges_m), np.inf)
    inside = (at >= 0) & (at < len(ideal))
    np.minimum.at(ideal, at[inside].astype(int), away[inside])
    both = np.isfinite(ideal) & np.isfinite(scan.ranges_m)
    return np.asarray(scan.ranges_m[both] - ideal[both])


def report(comparison: Comparison) -> dict[str, Any]:
    """Return the figures, by place, kind of depth and way."""
    table: dict[str, Any] = {}
    for (place, kind, way), tally in comparison.tallies.items():
        table.setdefault(place, {}).setdefault(kind, {})[way] = tally.figures()
    for place, errors in comparison.scan_errors.items():
        off = np.abs(np.concatenate(errors))
        if not len(off):  # nothing stands there
            continue
        table[place]["scan of true depth"] = {
            "within 5 cm (%)": 100 * float((off < 0.05).mean()),
            "median (m)": float(np.median(off)),
            "p95 (m)": float(np.percentile(off, 95)),
        }
    return table


def rows(table: dict[str, Any]) -> Iterator[str]:
    """Return a table of Markdown."""
    shown = (
        "false cells",
        "false cells (%)",
        "misplaced cells (%)",
        "missed (%)",
        "free cells cleared (%)",
        "points, most",
    )
    yield f"| place | depth | way | {' | '.join(shown)} |"
    yield f"|---|---|---|{'---|' * len(shown)}"
    for place, kinds in table.items():
        for kind in KINDS:
            for way in WAYS:
                if kind in kinds:
                    figures = " | ".join(f"{kinds[kind][way][name]:.4g}" for name in shown)
                    yield f"| {place} | {kind} | {way} | {figures} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--places", nargs="+", default=list(PLACES))
    parser.add_argument("--frames", type=int, default=60, help="of each place (default 60)")
    parser.add_argument("--size", type=parse_size, default=(640, 480), help="of the pictures")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="of depth")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args(arguments)
    comparison = Comparison(DepthEstimator("tiny", device="cpu"), options.kinds)
    for place in options.places:
        comparison.add(place, drive(place, options.frames, options.size))
    table = report(comparison)
    for line in rows(table):
        say(line)
    if options.output:
        options.output.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
