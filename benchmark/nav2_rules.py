"""What layers of a costmap and the collision monitor make of points, by the rules of Nav2 Jazzy.

Written anew from what its sources do (1.3.12): ``obstacle_layer.cpp``, ``voxel_layer.cpp``,
``observation_buffer.cpp`` and ``costmap_2d.hpp`` of nav2_costmap_2d; ``pointcloud.cpp`` and
``polygon.cpp`` of nav2_collision_monitor. Points are in the map's frame, or the robot's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FREE, LETHAL = 0, 254
Floats = NDArray[np.floating[Any]]
Cell = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A source of observations: the bounds of a layer and of its source, in metres."""

    min_height: float = -1.0
    max_height: float = 3.0
    obstacle_max_range: float = 5.0
    raytrace_min_range: float = 0.0
    raytrace_max_range: float = 7.0

    def buffered(self, points: Floats) -> Floats:
        """Return the points (N, 3) that are kept at all: NaN and Inf are not, nor other heights."""
        finite = np.isfinite(points).all(axis=1)
        high = np.where(finite, points[:, 2], np.inf)
        return points[(high >= self.min_height) & (high <= self.max_height)]


class Grid:
    """The costs of an obstacle layer, of a square map around the origin.

    Args:
        size_m: of its sides.
        resolution: of a cell, metres.

    Attributes:
        costs: uint8 (x, y).
    """

    def __init__(self, size_m: float, resolution: float) -> None:
        self.resolution, self.count = resolution, round(size_m / resolution)
        self.low = -size_m / 2
        self.costs = np.full((self.count, self.count), FREE, np.uint8)

    def cells(self, points: Floats) -> NDArray[np.intp]:
        """Return the cells (N, 2) of points; those off the map are out of its bounds."""
        cells = np.floor((points[:, :2] - self.low) / self.resolution)
        return np.asarray(cells, np.intp)

    def inside(self, cells: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Say which cells are on the map."""
        return np.asarray(((cells >= 0) & (cells < self.count)).all(axis=1))

    def cell_distance(self, metres: float) -> int:
        """Return how many cells a distance is, rounded up."""
        return max(0, math.ceil(metres / self.resolution))

    def mark(self, points: Floats, origin: Floats, source: Source) -> None:
        """Make cells lethal that have a point within range of the sensor, seen from above."""
        points = source.buffered(points)
        cells = self.cells(points)
        (start,) = self.cells(origin[None])
        near = np.hypot(*(points[:, :2] - origin[:2]).T) <= source.obstacle_max_range
        steps = np.hypot(*(cells - start).T).astype(int)
        near &= steps <= self.cell_distance(source.obstacle_max_range)
        cells = cells[near & self.inside(cells)]
        self.costs[cells[:, 0], cells[:, 1]] = LETHAL

    def clear(self, points: Floats, origin: Floats, source: Source) -> None:
        """Free the cells on the way to each point."""
        (start,) = self.cells(origin[None])
        for point in source.buffered(points):
            self._trace((int(start[0]), int(start[1])), self._end(point, origin), source)

    def _end(self, point: Floats, origin: Floats) -> Cell:
        """Return the last cell of a ray, cut where it leaves the map."""
        ray, share = point[:2] - origin[:2], 1.0
        for axis in (0, 1):
            for bound in (self.low, -self.low - 1e-3):
                beyond = point[axis] < bound if bound < 0 else point[axis] > bound
                if beyond:
                    share = min(share, (bound - origin[axis]) / ray[axis])
        (end,) = self.cells((origin[:2] + share * ray)[None])
        x, y = np.clip(end, 0, self.count - 1)
        return int(x), int(y)

    def _trace(self, start: Cell, end: Cell, source: Source) -> None:
        """Free the cells of a line, from the least to the largest range (Bresenham)."""
        least = self.cell_distance(source.raytrace_min_range)
        most = self.cell_distance(source.raytrace_max_range)
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        if length < least:
            return
        x, y = start
        if length:
            x = int(start[0] + (end[0] - start[0]) / length * least)
            y = int(start[1] + (end[1] - start[1]) / length * least)
        dx, dy = end[0] - x, end[1] - y
        along, across = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
        x_leads, error = abs(dx) >= abs(dy), along // 2
        for _ in range(min(int(min(1.0, most / length) * along) if length else along, along)):
            self.costs[x, y] = FREE
            error += across
            aside = error >= along
            error -= along if aside else 0
            x += int(np.sign(dx)) if x_leads or aside else 0
            y += int(np.sign(dy)) if not x_leads or aside else 0
        self.costs[x, y] = FREE


class VoxelGrid(Grid):
    """A voxel layer: a column is lethal where any of its voxels is marked (mark_threshold 0).

    Args:
        size_m: of the map's sides.
        resolution: of a cell, metres.
        z_voxels: of a column; its first begins at height 0.
        z_resolution: of a voxel, metres.
    """

    def __init__(
        self, size_m: float, resolution: float, z_voxels: int = 16, z_resolution: float = 0.125
    ) -> None:
        super().__init__(size_m, resolution)
        self.z_resolution = z_resolution
        self.voxels = np.zeros((self.count, self.count, z_voxels), np.bool_)

    def _voxels(self, points: Floats) -> NDArray[np.intp]:
        z = np.floor(points[:, 2:] / self.z_resolution).astype(np.intp)
        return np.hstack((self.cells(points), z))

    def _known(self, voxels: NDArray[np.intp]) -> NDArray[np.intp]:
        return voxels[self.inside(voxels[:, :2]) & (voxels[:, 2] < self.voxels.shape[2])]

    def mark(self, points: Floats, origin: Floats, source: Source) -> None:
        """Mark voxels of points within range in space; what is below the lowest is in that."""
        points = source.buffered(points)
        points = points[np.linalg.norm(points - origin, axis=1) < source.obstacle_max_range]
        voxels = self._voxels(points)
        voxels[:, 2] = np.maximum(voxels[:, 2], 0)
        self.voxels[tuple(self._known(voxels).T)] = True
        self._sum_up()

    def clear(self, points: Floats, origin: Floats, source: Source) -> None:
        """Clear the voxels on the way to each point, but for the last two cells of it."""
        for point in source.buffered(points):
            ray = point - origin
            length = float(np.linalg.norm(ray))
            end = min(max(length - 2 * self.resolution, 0.0), source.raytrace_max_range)
            at = np.arange(source.raytrace_min_range, end, 0.2 * self.resolution)
            voxels = self._voxels(origin + at[:, None] * (ray / max(length, 1e-9)))
            self.voxels[tuple(self._known(voxels[voxels[:, 2] >= 0]).T)] = False
        self._sum_up()

    def _sum_up(self) -> None:
        self.costs = np.where(self.voxels.any(axis=2), LETHAL, FREE).astype(np.uint8)


def points_inside(
    points: Floats, polygon: Floats, min_height: float = -1.0, max_height: float = 3.0
) -> int:
    """Return how many points (N, 3), of the robot's frame, the collision monitor counts.

    Args:
        points: of a cloud.
        polygon: (corners, 2).
        min_height: of the source.
        max_height: of the source.
    """
    points = points[np.isfinite(points).all(axis=1)]
    points = points[(points[:, 2] >= min_height) & (points[:, 2] <= max_height)]
    x, y, within = points[:, 0], points[:, 1], np.zeros(len(points), np.bool_)
    for (x0, y0), (x1, y1) in zip(np.roll(polygon, 1, axis=0), polygon, strict=True):
        if y0 != y1:
            crosses = (y <= y0) == (y > y1)
            within ^= crosses & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) > x)
    return int(within.sum())
