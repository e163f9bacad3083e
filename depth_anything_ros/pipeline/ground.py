"""The ground as an anchor: where it is seen, the height of the camera gives metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.ground import Ground, GroundFinder, GroundLimits
from depth_anything_ros.pipeline.options import GroundAnchorOptions, GroundOptions

# Points of a ground that is sure, so many as a LiDAR of few rings has in view.
_MOST_POINTS = 500
# Of the lean that a picture shows, so much is taken for the robot's nodding. The rest is the
# network's: its floors lean by some 3 degrees, which moves the foot of their plane, and so the
# scale, by half; a robot nods by 1 at most.
_NODDING = 0.25
_WHY_NOT = {
    "unseen": "hardly anything is seen below the horizon",
    "no_plane": "too little of what is seen is on one plane",
    "tilted": "the plane that is seen is no floor: a slope, a stair or a wall",
    "holes": "much lies below the plane that is seen, as around a table",
    "uneven": "it is not flat",
    "narrow": "too short a stretch of it is seen",
}


@dataclass(frozen=True, eq=False)
class CameraMount:
    """Where a camera is on its robot.

    Attributes:
        height_m: above the ground.
        up: float64 (3,), unit, against gravity, in the optical frame.
    """

    height_m: float
    up: NDArray[np.float64]

    @classmethod
    def pitched(cls, height_m: float, pitch_deg: float) -> CameraMount:
        """Return the mount of a camera that looks down by an angle and does not lean over."""
        pitch = np.radians(pitch_deg)
        return cls(height_m, np.array([0.0, -np.cos(pitch), -np.sin(pitch)]))

    @classmethod
    def on_base(cls, T_base_camera: NDArray[np.float64]) -> CameraMount:
        """Return the mount of a pose over a frame on the ground, z upwards, float64 (4, 4)."""
        up = T_base_camera[2, :3]
        return cls(float(T_base_camera[2, 3]), up / np.linalg.norm(up))


class GroundSearch:
    """Find the ground in the pictures of one camera; its rays are kept until it changes."""

    def __init__(self) -> None:
        self._finder: GroundFinder | None = None

    def find(self, estimate: Estimate, mount: CameraMount, options: GroundOptions) -> Ground:
        """Return the ground of an estimate, which has its camera."""
        finder, camera = self._finder, estimate.camera
        assert camera is not None  # a prediction without one is refused before
        limits = GroundLimits(max_tilt_deg=options.max_tilt_deg)
        is_same = finder is not None and (finder.camera, finder.limits) == (camera, limits)
        if finder is None or not is_same or finder.up @ mount.up < 1 - 1e-9:
            finder = self._finder = GroundFinder(camera, mount.up, limits)
        return finder.find(estimate, mount.height_m)


def anchor_points(
    ground: Ground, mount: CameraMount, options: GroundAnchorOptions
) -> tuple[NDArray[np.float64], str]:
    """Return points of the ground (N, 3), metres in the optical frame, and what it is like.

    The surer it is, the more they are; there are none where it may not anchor.

    Args:
        ground: as it was found.
        mount: of the camera.
        options: when the ground may anchor.
    """
    none = np.empty((0, 3))
    if not ground.ok:
        return none, f"not used: {why_none(ground)}"
    ground = ground.leaning(mount.up, _NODDING)
    said = f"height {ground.height:.2f} m, confidence {ground.confidence:.2f}"
    if ground.confidence < options.min_confidence:
        return none, f"not used: {said}; ground.min_confidence is {options.min_confidence:g}"
    points = ground.points(mount.height_m)
    count = max(1, round(_MOST_POINTS * ground.confidence))
    return points[:: max(1, len(points) // count)], f"used: {said}"


def why_none(ground: Ground) -> str:
    """Say why no ground was found, in words."""
    return _WHY_NOT[ground.reason]
