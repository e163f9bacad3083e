"""What stands on the ground: obstacles of a depth map, thinned, and as a planar scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import depth_edges
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, check_ranges
from depth_anything_ros.core.ground import cross

Floats = NDArray[np.float32]
# In the box around all points; of more, their numbers are sorted, which takes longer.
_MOST_VOXELS = 1 << 22
# Of a plane that leans by less than half a degree, bearings are hardly others.
_SAME_LEAN = np.cos(np.radians(0.5))


@dataclass(frozen=True)
class ObstacleLimits:
    """What is an obstacle.

    Attributes:
        min_height_m: lower things are driven over.
        max_height_m: higher ones are driven under.
        relative_margin: what is added to min_height_m with each metre of distance. A plane that is
            off level by an angle lifts the ground by that angle's tangent times the distance; a
            wrong scale lifts nothing, as the plane is found in the same depth.
        max_m: farther things are not looked at.
        voxel_m: edge of the cubes of which each gives one point; 0 keeps all.
        edge_jump: as of ``depth_edges``, of the far side; 0 keeps flying pixels.
        stride: every n-th pixel is looked at, in both directions.

    Raises:
        ParameterError: where one is out of its range.
    """

    min_height_m: float = 0.1
    max_height_m: float = 2.0
    relative_margin: float = 0.03
    max_m: float = 8.0
    voxel_m: float = 0.1
    edge_jump: float = 0.05
    stride: int = 2

    def __post_init__(self) -> None:
        ranges = {
            "max_height_m": self.max_height_m > self.min_height_m,
            "relative_margin": 0 <= self.relative_margin < 1,
            "max_m": self.max_m > 0,
            "voxel_m": self.voxel_m >= 0,
            "edge_jump": self.edge_jump >= 0,
            "stride": self.stride >= 1,
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class Obstacles:
    """What a depth map says of the ground and what stands on it.

    Attributes:
        points: float32 (N, 3), obstacles, metres in the optical frame, one a voxel.
        ground: float32 (M, 3), likewise, of the ground.
        planar: float32 (K, 2), where all pixels of obstacles are on the ground's plane: ahead and
            to the left of the camera, metres; not thinned.
        bearings: float32 (L,), of all pixels of which anything is known, to the left, radians.
    """

    points: Floats
    ground: Floats
    planar: Floats
    bearings: Floats


class ObstacleFinder:
    """Tell obstacles from the ground in depth maps of one camera; its rays are kept.

    Args:
        camera: of the depth maps.
        limits: what is an obstacle.

    Raises:
        CameraError: from ``find``, on a depth map of another camera.
    """

    def __init__(self, camera: Camera, limits: ObstacleLimits) -> None:
        self.camera = camera
        self.limits = limits
        step = limits.stride
        rows, columns = np.mgrid[0 : camera.height : step, 0 : camera.width : step]
        pixels = np.stack((columns, rows), axis=-1).astype(np.float64)
        self._rays = camera.unproject(pixels).astype(np.float32)
        self._length2 = np.einsum("...i,...i", self._rays, self._rays)
        self._lost = ~np.isfinite(self._rays[..., 0])
        self._looked: tuple[NDArray[np.float64], Floats] | None = None

    def find(
        self,
        depth: DepthMap,
        normal: NDArray[np.float64],
        height_m: float,
        wants_ground: bool = True,
    ) -> Obstacles:
        """Return what stands above the plane of the ground.

        Args:
            depth: of the camera; +Inf is free, NaN unknown.
            normal: of the ground, unit, upwards, in the optical frame.
            height_m: of the camera above the ground, in the depth's own metres.
            wants_ground: whether to return points of the ground, too.
        """
        limits, step = self.limits, self.limits.stride
        if depth.depth_m.shape != (self.camera.height, self.camera.width):
            raise CameraError(
                f"the depth map of {depth.depth_m.shape[::-1]} is not of this camera of "
                f"{(self.camera.width, self.camera.height)}; make an ObstacleFinder for it",
                reason="camera_size",
            )
        z = depth.depth_m[::step, ::step]
        up, ahead, left = (axis.astype(np.float32) for axis in level_axes(normal))
        known = ~(np.isnan(z) | self._lost)
        if limits.edge_jump > 0:
            edges = depth_edges(depth.depth_m, limits.edge_jump, far_side_only=True)
            known &= ~edges[::step, ::step]
        near = known & (z < limits.max_m)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf are not near
            rise = self._rays @ up
            above = z * rise + np.float32(height_m)
            distance = z * np.sqrt(np.maximum(self._length2 - rise * rise, 0))
            relative = np.float32(limits.relative_margin) * distance
        margin = np.float32(limits.min_height_m) + relative
        points = self._points(z, near & (above > margin) & (above < limits.max_height_m))
        ground = near & (np.abs(above) <= margin) if wants_ground else np.zeros_like(near)
        return Obstacles(
            thinned(points, limits.voxel_m),
            thinned(self._points(z, ground), limits.voxel_m),
            np.stack((points @ ahead, points @ left), axis=1),
            self._bearings(normal)[known],
        )

    def _points(self, z: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """Return the points (N, 3) of chosen pixels; only theirs are copied, which takes time."""
        index = np.flatnonzero(chosen)
        points = self._rays.reshape(-1, 3).take(index, axis=0)
        points *= z.reshape(-1).take(index)[:, None]
        return points

    def _bearings(self, normal: NDArray[np.float64]) -> Floats:
        """Return the bearings of all rays; those of a plane that hardly leans otherwise do."""
        if self._looked is None or self._looked[0] @ normal < _SAME_LEAN:
            _, ahead, left = (axis.astype(np.float32) for axis in level_axes(normal))
            self._looked = (normal, _polar(self._rays @ ahead, self._rays @ left)[0])
        return self._looked[1]


def level_axes(
    normal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return up, ahead and left of a camera over a plane (REP 103), unit, in the optical frame.

    Ahead is where the camera looks, on the plane; of one that looks straight down, where the top
    of its picture is.
    """
    ahead = np.array([0.0, 0.0, 1.0])
    ahead -= (ahead @ normal) * normal
    if np.linalg.norm(ahead) < 1e-3:
        ahead = np.array([0.0, -1.0, 0.0])
        ahead -= (ahead @ normal) * normal
    ahead /= np.linalg.norm(ahead)
    return normal, ahead, cross(normal, ahead)


def thinned(points: Floats, voxel_m: float) -> Floats:
    """Return the first point (N, 3) of each voxel; all of them where ``voxel_m`` is 0."""
    if not voxel_m or not len(points):
        return points
    x, y, z = np.floor(points.T / np.float32(voxel_m)).astype(np.int32)
    shape = [int(np.ptp(axis)) + 1 for axis in (x, y, z)]
    if np.prod(shape, dtype=np.float64) > _MOST_VOXELS:
        voxels = np.stack((x, y, z), axis=1)
        return np.asarray(points[np.sort(np.unique(voxels, axis=0, return_index=True)[1])])
    key = ((x - x.min()) * shape[1] + (y - y.min())) * shape[2] + (z - z.min())
    # Of several that are written to one place, the last stays: from behind, that is the first.
    numbers, first = np.arange(len(points), dtype=np.int32), np.empty(np.prod(shape), np.int32)
    first[key[::-1]] = numbers[::-1]
    return np.asarray(points[first[key] == numbers])


def _polar(ahead: Floats, left: Floats) -> tuple[Floats, Floats]:
    """Return bearings and distances; by half of the angle, a third of the time of arctan2."""
    distance = np.sqrt(ahead * ahead + left * left)
    with np.errstate(invalid="ignore", divide="ignore"):  # straight behind, which no camera sees
        return 2 * np.arctan(left / (distance + ahead)), distance


def scan(
    planar: Floats, bearings: Floats, angle_min: float, angle_step: float, count: int
) -> Floats:
    """Return the range to the nearest obstacle in each bearing (REP 117).

    Args:
        planar: float32 (K, 2), obstacles from where the scan is taken, ahead and left, metres.
        bearings: of all pixels of which anything is known, free ones too, radians.
        angle_min: bearing of the first number, radians, left is positive.
        angle_step: from one number to the next.
        count: of the numbers.

    Returns:
        float32 (count,), metres; +Inf where nothing stands, NaN where nothing is known.
    """
    ranges = np.full(count, np.nan, np.float32)
    seen = np.rint((bearings - angle_min) / angle_step).astype(np.intp)
    ranges[seen[(seen >= 0) & (seen < count)]] = np.inf
    bearing, distance = _polar(*planar.T)
    at = np.rint((bearing - angle_min) / angle_step)
    within = (at >= 0) & (at < count)
    index = at[within].astype(np.intp)
    ranges[index] = np.inf
    np.minimum.at(ranges, index, distance[within])
    return ranges
