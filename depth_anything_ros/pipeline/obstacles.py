"""From depth in metres to the ground and what stands on it, one picture after the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.ground_filter import GroundFilterOptions, GroundState, follow
from depth_anything_ros.core.obstacles import (
    ObstacleFinder,
    ObstacleLimits,
    Obstacles,
    level_axes,
    scan,
)
from depth_anything_ros.pipeline.ground import CameraMount, GroundSearch, why_none
from depth_anything_ros.pipeline.options import GroundAndObstacleOptions


@dataclass(frozen=True, eq=False)
class PlanarScan:
    """Ranges around a camera in a level frame: x ahead, y to the left, z against gravity.

    Attributes:
        ranges_m: float32 (bearings,), +Inf where nothing stands, NaN where nothing is known.
        angle_min: of the first, radians, left is positive.
        angle_step: from one to the next.
        max_m: what stands farther is not in it.
    """

    ranges_m: NDArray[np.float32]
    angle_min: float
    angle_step: float
    max_m: float


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The ground of a picture and what stands on it.

    Attributes:
        obstacles: as points, in the optical frame.
        scan: as ranges.
        ground: what the ground is like, in words.
        is_seen: whether the ground was found in this picture, or lately; else it is where the
            camera's mount has it.
    """

    obstacles: Obstacles
    scan: PlanarScan
    ground: str
    is_seen: bool


class ObstaclePipeline:
    """Tell what stands on the ground in the pictures of one camera.

    The ground is found in each picture, in its own metres, so that a wrong scale lifts no floor.
    Where it is not seen, the last one is held for a second, and then it is where the mount has it.

    Args:
        options: what is asked of it.

    Attributes:
        options: what is asked of pictures to come; may be replaced at any time.
    """

    def __init__(self, options: GroundAndObstacleOptions | None = None) -> None:
        self.options = options or GroundAndObstacleOptions()
        self._search = GroundSearch()
        self._finder: ObstacleFinder | None = None
        self._epoch, self._state = 0, GroundState()

    def look(
        self,
        depth: DepthMap,
        mount: CameraMount,
        stamp_ns: int,
        epoch: int = 0,
        wants_ground: bool = True,
    ) -> Surroundings:
        """Return the ground and what stands on it.

        Args:
            depth: with its camera.
            mount: of the camera on the robot.
            stamp_ns: the stamp of the picture.
            epoch: counts the backward jumps of time; with another one, all starts anew.
            wants_ground: whether points of the ground are wanted, too.

        Raises:
            CameraError: (``uncalibrated``) on depth without a camera.
        """
        if depth.camera is None:
            raise CameraError(
                "depth without its camera shows no ground: pixels have no rays in it",
                reason="uncalibrated",
            )
        if epoch != self._epoch:
            self._epoch, self._state = epoch, GroundState()
        found = self._search.find(depth, mount, self.options.ground)
        self._state = state = follow(self._state, found, mount.up, stamp_ns, GroundFilterOptions())
        normal, height = state.plane(mount.up) if state.ok else (mount.up, mount.height_m)
        if state.ok:
            said = f"height {height:.2f} m in this depth, the camera is {mount.height_m:.2f} m up"
            said = said if found.ok else f"held: {said}; {why_none(found)}"
        else:
            said = f"not seen, taken from the camera's height: {why_none(found)}"
        obstacles = self._finder_of(depth).find(depth, normal, height, wants_ground)
        return Surroundings(obstacles, self._scan(depth, obstacles, normal), said, state.ok)

    def _finder_of(self, depth: DepthMap) -> ObstacleFinder:
        limits, finder = ObstacleLimits(**asdict(self.options.obstacles)), self._finder
        assert depth.camera is not None  # looked at before
        if finder is None or (finder.camera, finder.limits) != (depth.camera, limits):
            finder = self._finder = ObstacleFinder(depth.camera, limits)
        return finder

    def _scan(
        self, depth: DepthMap, obstacles: Obstacles, normal: NDArray[np.float64]
    ) -> PlanarScan:
        """Return the scan over the camera's field of view, level."""
        assert depth.camera is not None  # looked at before
        _, ahead, left = level_axes(normal)
        corners = np.array(
            [(u, v) for u in (0, depth.camera.width - 1) for v in (0, depth.camera.height - 1)]
        )
        rays = depth.camera.unproject(corners.astype(np.float64))
        half = float(np.nanmax(np.abs(np.arctan2(rays @ left, rays @ ahead))))
        step = np.radians(self.options.scan.step_deg)
        count = 2 * int(half / step) + 1
        ranges = scan(obstacles.planar, obstacles.bearings, -(count // 2) * step, step, count)
        return PlanarScan(ranges, -(count // 2) * step, step, self.options.obstacles.max_m)
