"""The three answers a model can give. Three types, so that no other one passes for metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, ImageError


def _check_map(values: NDArray[np.float32], camera: Camera | None, what: str) -> None:
    if values.ndim != 2 or values.dtype != np.float32 or 0 in values.shape:
        raise ImageError(
            f"{what} must be a float32 array of shape (height, width), "
            f"got {values.dtype} of shape {values.shape}"
        )
    if camera is not None and values.shape != (camera.height, camera.width):
        raise CameraError(
            f"{what} is {values.shape[1]}x{values.shape[0]} and its camera is "
            f"{camera.width}x{camera.height}; scale the camera with Camera.scaled() first",
            reason="camera_size",
        )


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth along the optical axis (REP 118).

    Attributes:
        depth_m: float32 (height, width), metres along Z. NaN is unknown and +Inf is beyond
            range, the sky included (REP 117). Never 0 or negative.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    depth_m: NDArray[np.float32]
    camera: Camera | None = None

    def __post_init__(self) -> None:
        _check_map(self.depth_m, self.camera, "depth_m")

    def limited(self, min_m: float, max_m: float) -> DepthMap:
        """Return a map with depth below min_m set to NaN and above max_m to +Inf.

        Zero and negative values become NaN whatever min_m is; NaN and +Inf stay. Where nothing
        changes, the map itself is returned.
        """
        depth, least = self.depth_m, np.float32(min_m)
        near = depth < least if least > 0 else depth <= 0
        far = depth > max_m
        some_near, some_far = bool(near.any()), bool(far.any())
        if not (some_near or some_far):
            return self
        limited = depth.copy()
        if some_far:
            np.copyto(limited, np.float32(np.inf), where=far)
        if some_near:
            np.copyto(limited, np.float32(np.nan), where=near)
        return DepthMap(limited, self.camera)


@dataclass(frozen=True, eq=False)
class DisparityMap:
    """Inverse depth up to an unknown scale and shift per picture (MiDaS, eq. 1; no unit).

    1 / depth = s * disparity + t, with s > 0 and t unknown: larger is nearer, and 0 is not
    infinitely far. It has no way to a depth topic, a cloud or a metric score but through a fit of
    s and t (``core.alignment``).

    Attributes:
        disparity: float32 (height, width), finite where the network answered, else NaN.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    disparity: NDArray[np.float32]
    camera: Camera | None = None

    def __post_init__(self) -> None:
        _check_map(self.disparity, self.camera, "disparity")


@dataclass(frozen=True, eq=False)
class AffineDepthMap:
    """Depth along Z up to an unknown scale and shift per picture (no unit).

    metres = s * depth + t, with s > 0 and t unknown: larger is farther. It is fitted in depth, not
    in inverse depth as a DisparityMap is, and like that has no other way to metres.

    Attributes:
        depth: float32 (height, width). NaN is unknown and +Inf is the sky, where the model knows
            it.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    depth: NDArray[np.float32]
    camera: Camera | None = None

    def __post_init__(self) -> None:
        _check_map(self.depth, self.camera, "depth")


Estimate = DepthMap | DisparityMap | AffineDepthMap
