"""The ground as an anchor: where it is seen, the height of the camera gives metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.ground import Ground, GroundFinder, GroundLimits
from depth_anything_ros.pipeline.options import GroundOptions

# Points of a ground that is sure, so many as a LiDAR of few rings has in view.
_MOST_POINTS = 500
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
        up: float64 (3,), against gravity, in the optical frame.
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
        return cls(float(T_base_camera[2, 3]), T_base_camera[2, :3].copy())


class GroundAnchor:
    """Make points of the ground in the pictures of one camera; its rays are kept."""

    def __init__(self) -> None:
        self._finder: GroundFinder | None = None

    def points(
        self, prediction: Estimate, mount: CameraMount, options: GroundOptions
    ) -> tuple[NDArray[np.float64], str]:
        """Return points of the ground (N, 3), metres in the optical frame, and what it is like.

        The surer it is, the more they are; there are none where it may not anchor.

        Args:
            prediction: with its camera.
            mount: of the camera.
            options: when the ground may anchor.
        """
        ground = self._found(prediction, mount, options)
        if not ground.ok:
            return np.empty((0, 3)), f"not used: {_WHY_NOT[ground.reason]}"
        said = f"height {ground.height:.2f} m, confidence {ground.confidence:.2f}"
        if ground.confidence < options.min_confidence:
            limit = f"ground.min_confidence is {options.min_confidence:g}"
            return np.empty((0, 3)), f"not used: {said}; {limit}"
        points = ground.points(mount.height_m)
        count = max(1, round(_MOST_POINTS * ground.confidence))
        return points[:: max(1, len(points) // count)], f"used: {said}"

    def _found(self, prediction: Estimate, mount: CameraMount, options: GroundOptions) -> Ground:
        finder, camera = self._finder, prediction.camera
        assert camera is not None  # a prediction without one is refused before
        limits = GroundLimits(max_tilt_deg=options.max_tilt_deg)
        up = mount.up / np.linalg.norm(mount.up)
        is_same = finder is not None and (finder.camera, finder.limits) == (camera, limits)
        if finder is None or not is_same or finder.up @ up < 1 - 1e-9:
            finder = self._finder = GroundFinder(camera, up, limits)
        return finder.find(prediction, mount.height_m)
