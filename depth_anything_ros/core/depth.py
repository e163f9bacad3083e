"""The three answers a model can give. Three types, so that no other one passes for metres."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, ImageError

Kind = Literal["metric", "relative", "affine_depth"]
Map = TypeVar("Map", bound="Estimate")


class Estimate(ABC):
    """What a model says of an image: one number a pixel, and the rules of such numbers.

    Attributes:
        kind: the kind of model that answers so.
        name: the word for its values in the names of topics and files.
        unit: the unit of its values; "" where the scale is unknown.
        space: what its values are affine in, where they are aligned with the truth.
        field: the attribute that holds its values.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    unit: ClassVar[str] = ""
    space: ClassVar[Literal["disparity", "depth"]] = "depth"
    field: ClassVar[str] = "depth"
    camera: Camera | None

    def __post_init__(self) -> None:
        self._check()

    @property
    def values(self) -> NDArray[np.float32]:
        """The numbers, float32 (height, width)."""
        found: NDArray[np.float32] = getattr(self, self.field)
        return found

    @abstractmethod
    def nearness(self) -> NDArray[np.float32]:
        """Return numbers that are larger where things are nearer, NaN where they are unknown."""

    @abstractmethod
    def farness(self) -> NDArray[np.float32]:
        """Return numbers that are larger where things are farther, NaN where they are unknown."""

    @property
    def metric(self) -> DepthMap | None:
        """The map itself where its values are metres, which alone make a cloud; else None."""
        return None

    def masked(self: Map, valid: NDArray[np.bool_] | None) -> Map:
        """Return the map with NaN where ``valid`` (height, width) is False; itself where None."""
        if valid is None:
            return self
        return self.with_values(np.where(valid, self.values, np.float32(np.nan)))

    def limited(self: Map, min_m: float, max_m: float) -> Map:
        """Return the map within a range in metres: itself where it knows none."""
        return self

    def with_values(self: Map, values: NDArray[np.float32]) -> Map:
        """Return a map of the same type and camera with other values, of the same shape."""
        make: Callable[[NDArray[np.float32], Camera | None], Map] = type(self)
        return make(values, self.camera)

    def _check(self) -> None:
        what, values, camera = self.field, self.values, self.camera
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
class DepthMap(Estimate):
    """Depth along the optical axis (REP 118).

    Attributes:
        depth_m: float32 (height, width), metres along Z. NaN is unknown and +Inf is beyond
            range, the sky included (REP 117). Never 0 or negative.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    kind, name, unit, field = "metric", "depth", "m", "depth_m"

    depth_m: NDArray[np.float32]
    camera: Camera | None = None

    @property
    def metric(self) -> DepthMap:
        """The map itself."""
        return self

    def nearness(self) -> NDArray[np.float32]:
        """Return 1 / depth, 0 beyond range."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(1.0 / self.depth_m, np.float32)

    def farness(self) -> NDArray[np.float32]:
        """Return the depth in metres."""
        return self.depth_m

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
class DisparityMap(Estimate):
    """Inverse depth up to an unknown scale and shift per picture (MiDaS, eq. 1; no unit).

    1 / depth = s * disparity + t, with s > 0 and t unknown: larger is nearer, and 0 is not
    infinitely far. It has no way to a depth topic, a cloud or a metric score but through a fit of
    s and t (``core.alignment``).

    Attributes:
        disparity: float32 (height, width), finite where the network answered, else NaN.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    kind, name, space, field = "relative", "disparity", "disparity", "disparity"

    disparity: NDArray[np.float32]
    camera: Camera | None = None

    def nearness(self) -> NDArray[np.float32]:
        """Return the disparity."""
        return self.disparity

    def farness(self) -> NDArray[np.float32]:
        """Return 1 / disparity, +Inf at 0 and below."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / np.maximum(self.disparity, 0), np.float32)


@dataclass(frozen=True, eq=False)
class AffineDepthMap(Estimate):
    """Depth along Z up to an unknown scale and shift per picture (no unit).

    metres = s * depth + t, with s > 0 and t unknown: larger is farther. It is fitted in depth, not
    in inverse depth as a DisparityMap is, and like that has no other way to metres.

    Attributes:
        depth: float32 (height, width). NaN is unknown and +Inf is the sky, where the model knows
            it.
        camera: the camera of exactly this pixel grid, or None where it is not known.
    """

    kind, name = "affine_depth", "affine_depth"

    depth: NDArray[np.float32]
    camera: Camera | None = None

    def nearness(self) -> NDArray[np.float32]:
        """Return -depth."""
        return -self.depth

    def farness(self) -> NDArray[np.float32]:
        """Return the depth without scale."""
        return self.depth


# The type of a kind's answers, made of their values and camera.
ESTIMATES: dict[Kind, type[DepthMap] | type[DisparityMap] | type[AffineDepthMap]] = {
    "metric": DepthMap,
    "relative": DisparityMap,
    "affine_depth": AffineDepthMap,
}
