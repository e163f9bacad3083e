"""The camera model of sensor_msgs/CameraInfo as one immutable value.

Pixel (0, 0) has its centre at the coordinates (0, 0), as in OpenCV and ROS: a picture of width w
reaches from -0.5 to w - 0.5. Every resize or crop of a picture goes through ``Camera``, so that
intrinsics and pixels never disagree.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.distortion import distort, undistort
from depth_anything_ros.core.errors import CameraError, quoted

DISTORTION_MODELS = {
    "plumb_bob": (0, 4, 5, 8, 12, 14),
    "rational_polynomial": (0, 4, 5, 8, 12, 14),
    "equidistant": (0, 4),
}
# Far beyond any lens; larger ones overflow.
_MAX_COEFFICIENT = 1e6
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# Of what a camera is made of; D has any length.
_SHAPES: dict[str, tuple[int, ...]] = {"K": (3, 3), "D": (), "R": (3, 3), "P": (3, 4)}
# Fields of view that cameras have; others come of units that are not pixels, or of another size.
PLAUSIBLE_VIEW_DEG = (5.0, 170.0)
# Of a side of the picture, from its middle: principal points beyond this in both are of no lens.
_CORNER = 0.45
# Of a camera of which nothing is known, where some answer is better than none.
ASSUMED_HFOV_DEG = 60.0


@dataclass(frozen=True)
class Camera:
    """A calibrated camera with its lens and its rectification.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        K: 9 numbers, row-major: intrinsics of the distorted picture, in pixels. This and the
            three below are taken as any sequence or array of numbers, K and R also as (3, 3), P
            as (3, 4).
        D: distortion coefficients; none, or all zero, means an ideal pinhole.
        distortion_model: ``plumb_bob``, ``rational_polynomial`` or ``equidistant``; any other
            name becomes ``plumb_bob`` where no coefficient says anything.
        R: 9 numbers: rotation from the camera to its rectified frame. None, or all zero, means
            identity.
        P: 12 numbers: projection of the rectified picture, in pixels. None, or all zero, means K.
        frame_id: of the optical frame (REP 103: x right, y down, z forward).

    Raises:
        CameraError: on a size, K, R or D that no camera has; with reason ``uncalibrated`` where
            K[0] is 0, which is how CameraInfo says so.
    """

    width: int
    height: int
    K: tuple[float, ...]
    D: tuple[float, ...] = ()
    distortion_model: str = "plumb_bob"
    R: tuple[float, ...] = _IDENTITY
    P: tuple[float, ...] = ()
    frame_id: str = ""

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            object.__setattr__(self, name, _numbers(name, getattr(self, name), shape))
        for name in ("width", "height"):
            object.__setattr__(self, name, _pixels(name, getattr(self, name)))
        if self.width < 1 or self.height < 1:
            raise CameraError(
                f"camera size is {self.width}x{self.height}; width and height must be positive",
                reason="camera_size",
            )
        self._check_intrinsics()
        self._check_distortion()
        if not any(self.R):
            object.__setattr__(self, "R", _IDENTITY)
        self._check_rotation()
        if not self.P or self.P[0] <= 0 or self.P[5] <= 0:
            object.__setattr__(self, "P", _projection(self.K))
        if not all(map(math.isfinite, self.P)):
            raise CameraError(f"camera P has values that are not numbers: {self.P}")

    def _check_intrinsics(self) -> None:
        if not self.K or not all(map(math.isfinite, self.K)):
            raise CameraError(f"camera K must be 9 finite numbers, got {self.K}")
        if self.K[0] == 0:
            raise CameraError(
                "the camera is not calibrated (K[0] is 0); calibrate it, or set "
                "camera.fallback_hfov_deg to assume a pinhole",
                reason="uncalibrated",
            )
        if self.K[0] < 0 or self.K[4] <= 0:
            raise CameraError(f"focal lengths must be positive, got {self.K[0]} and {self.K[4]} px")

    def _check_distortion(self) -> None:
        model = self.distortion_model
        if model not in DISTORTION_MODELS and not any(self.D):
            object.__setattr__(self, "distortion_model", "plumb_bob")
            return
        if model not in DISTORTION_MODELS:
            raise CameraError(
                f"unknown distortion model {quoted(model)}; known are "
                f"{', '.join(DISTORTION_MODELS)}. Pictures that come rectified need none (rectify: "
                "already)",
                reason="distortion_model",
            )
        if len(self.D) not in DISTORTION_MODELS[model] and any(self.D):
            raise CameraError(
                f"{model} takes {DISTORTION_MODELS[model]} coefficients, got {len(self.D)}",
                reason="distortion_model",
            )
        if not all(abs(value) <= _MAX_COEFFICIENT for value in self.D):
            raise CameraError(
                f"camera D must be numbers of at most {_MAX_COEFFICIENT:g}, got {self.D}",
                reason="distortion_model",
            )

    def _check_rotation(self) -> None:
        rotation = np.array(self.R).reshape(3, 3)
        is_orthogonal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2)
        if not is_orthogonal or np.linalg.det(rotation) < 0:
            raise CameraError(f"camera R must be a rotation of 9 numbers, got {self.R}")

    @classmethod
    def from_info(cls, info: Any) -> Camera:  # noqa: ANN401 - any object with CameraInfo's fields
        """Make the camera of the picture that a CameraInfo belongs to by its own word.

        ROI and binning are folded in, in CameraInfo's order: K and P are those of the full
        sensor; the ROI is cut from it, then binned. Of pictures that are otherwise made see
        ``core.sensor``.

        Args:
            info: a sensor_msgs/CameraInfo, or any object with its fields.
        """
        camera = cls.of_sensor(info)
        roi = info.roi
        if roi.width and roi.height:
            camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
        return camera.binned(max(info.binning_x, 1), max(info.binning_y, 1))

    @classmethod
    def of_sensor(cls, info: Any, has_lens: bool = True) -> Camera:  # noqa: ANN401 - as above
        """Make the camera of the full sensor of a CameraInfo, its ROI and binning left out.

        Args:
            info: as of ``from_info``.
            has_lens: False leaves D and its model out.
        """
        D, model = (info.d, info.distortion_model) if has_lens else ((), "plumb_bob")
        frame_id = info.header.frame_id
        return cls(info.width, info.height, info.k, D, model, info.r, info.p, frame_id)

    @classmethod
    def from_hfov(cls, width: int, height: int, hfov_deg: float, frame_id: str = "") -> Camera:
        """Assume an ideal pinhole with square pixels, centred, of a horizontal field of view."""
        if not 0 < hfov_deg < 180:
            raise CameraError(f"a pinhole's hfov is between 0 and 180 degrees, got {hfov_deg}")
        focal = width / 2 / math.tan(math.radians(hfov_deg) / 2)
        K = (focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0)
        return cls(width, height, K, frame_id=frame_id)

    @property
    def is_distorted(self) -> bool:
        """Say whether any coefficient bends straight lines.

        All zero means an ideal pinhole, for ``equidistant`` too, as in image_geometry.
        """
        return any(self.D)

    @property
    def hfov_deg(self) -> float:
        """Horizontal field of view of the pinhole K, in degrees, the lens left out."""
        left, right = (self.K[2] + 0.5) / self.K[0], (self.width - 0.5 - self.K[2]) / self.K[0]
        return math.degrees(math.atan(left) + math.atan(right))

    def doubts(self) -> str:
        """Say what of K is no camera's as a rule; "" where nothing is.

        That is a field of view outside of 5 to 170 degrees, or a principal point outside the
        picture or in a corner of it, as where K is of a picture of twice the size, or in units that
        are not pixels. It is meant for the full sensor: a crop of one may be like this.
        """
        fx, _, cx, _, fy, cy, *_ = self.K
        size = f"{self.width}x{self.height}"
        said = []
        low, high = PLAUSIBLE_VIEW_DEG
        # A line camera sees little across its line: a view is narrow by its longer side. And seen
        # from the middle: beside it a view is half at most, however short the focal length.
        longer = max(self.width, self.height)
        narrow = min(_view_deg(longer, f) for f in (fx, fy))
        wide = max(_view_deg(self.width, fx), _view_deg(self.height, fy))
        if narrow < low or wide > high:
            said.append(
                f"focal lengths of {fx:.4g} and {fy:.4g} px see "
                f"{narrow if narrow < low else wide:.4g} deg of {size} pixels, "
                f"and cameras see {low:g} to {high:g}"
            )
        # Of the picture's sides, from its middle: 0.5 is the border.
        off = ((cx + 0.5) / self.width - 0.5, (cy + 0.5) / self.height - 0.5)
        point = f"the principal point ({cx:.4g}, {cy:.4g})"
        if max(map(abs, off)) > 0.5:
            said.append(f"{point} is outside the picture of {size}")
        elif min(map(abs, off)) >= _CORNER:
            said.append(f"{point} is in a corner of the picture of {size}")
        return "; ".join(said)

    def fits(self, width: int, height: int) -> bool:
        """Say whether a picture of this size is this camera's picture, resized as a whole."""
        return same_aspect((self.width, self.height), (width, height))

    def scaled(self, width: int, height: int) -> Camera:
        """Return the camera of this camera's picture resized to width × height.

        A resize keeps the picture's outer border, not the centre of its first pixel, so the
        principal point moves by half a pixel: c' = (c + 0.5)·s - 0.5.
        """
        if (width, height) == (self.width, self.height):
            return self
        if width < 1 or height < 1:
            raise CameraError(f"cannot scale a camera to {width}x{height}", reason="camera_size")
        return self._resized(width, height, width / self.width, height / self.height)

    def binned(self, x: int, y: int) -> Camera:
        """Return the camera of a picture whose pixels are blocks of x × y of this one's.

        Columns and rows that fill no block are cut off, so the scale is 1 / x and 1 / y exactly.
        """
        if (x, y) == (1, 1):
            return self
        if not (1 <= x <= self.width and 1 <= y <= self.height):
            raise CameraError(
                f"cannot bin a picture of {self.width}x{self.height} by {x}x{y}",
                reason="camera_size",
            )
        return self._resized(self.width // x, self.height // y, 1 / x, 1 / y)

    def _resized(self, width: int, height: int, sx: float, sy: float) -> Camera:
        def scale(row_x: Sequence[float], row_y: Sequence[float]) -> tuple[list[float], ...]:
            x, y = [v * sx for v in row_x], [v * sy for v in row_y]
            x[2] += 0.5 * sx - 0.5
            y[2] += 0.5 * sy - 0.5
            return x, y

        kx, ky = scale(self.K[:3], self.K[3:6])
        px, py = scale(self.P[:4], self.P[4:8])
        K, P = (*kx, *ky, *self.K[6:]), (*px, *py, *self.P[8:])
        return replace(self, width=width, height=height, K=K, P=P)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """Return the camera of the window of width × height at column x, row y."""
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise CameraError(
                f"the window {width}x{height} at ({x}, {y}) leaves the picture of "
                f"{self.width}x{self.height}",
                reason="camera_size",
            )
        K, P = list(self.K), list(self.P)
        for matrix, row in ((K, 3), (P, 4)):
            matrix[2] -= x
            matrix[row + 2] -= y
        return replace(self, width=width, height=height, K=tuple(K), P=tuple(P))

    def as_taken(self) -> Camera:
        """Return the camera of the picture as the lens made it, whose P says what K says.

        K and D stay; R becomes the identity and P that of K, with the same baseline in its fourth
        column. So whoever reads K and whoever reads P see the same rays.
        """
        K, P = self.K, self.P
        zoom_x, zoom_y = K[0] / P[0], K[4] / P[5]
        row_x, row_y = (*K[:3], zoom_x * P[3]), (*K[3:6], zoom_y * P[7])
        return replace(self, R=_IDENTITY, P=(*row_x, *row_y, *K[6:], 0.0))

    def rectified(self) -> Camera:
        """Return the ideal pinhole of the rectified picture: K and P from P, no D, no R."""
        p = self.P
        K = (p[0], p[1], p[2], p[4], p[5], p[6], p[8], p[9], p[10])
        return replace(self, K=K, D=(0.0,) * 5, distortion_model="plumb_bob", R=_IDENTITY, P=self.P)

    def rays(self) -> NDArray[np.float64]:
        """Return for each pixel centre the point of its ray at Z = 1.

        Returns:
            float64 (height, width, 3), the last component 1; NaN where the lens model has no ray.
            A depth along Z times this is the point in the optical frame.
        """
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        return self.unproject(np.stack((u, v), axis=-1).astype(np.float64))

    def unproject(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points at Z = 1 that pixels (..., 2) see, as (..., 3); NaN where none."""
        fx, skew, cx, _, fy, cy, *_ = self.K
        y = (pixels[..., 1] - cy) / fy
        x = (pixels[..., 0] - cx - skew * y) / fx
        ideal = undistort(np.stack((x, y), axis=-1), self.distortion_model, self.D)
        one = np.where(np.isnan(ideal[..., :1]), np.nan, 1.0)
        return np.concatenate((ideal, one), axis=-1)

    def project(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the pixel coordinates (..., 2) of points (..., 3) in the optical frame.

        NaN for points at or behind the camera's plane and for those beyond the lens model's fold;
        coordinates outside the picture are answered as they are.
        """
        points = np.asarray(points, np.float64)
        z = points[..., 2:]
        with np.errstate(all="ignore"):
            ideal = np.where(z > 0, points[..., :2] / z, np.nan)
            bent = distort(ideal, self.distortion_model, self.D)
            fx, skew, cx, _, fy, cy, *_ = self.K
            x, y = bent[..., 0], bent[..., 1]
            return np.stack((fx * x + skew * y + cx, fy * y + cy), axis=-1)

    def rectification_maps(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return what ``cv2.remap`` needs to make the picture of ``rectified()`` from this one.

        Returns:
            map_x, map_y: float32 (height, width): where each rectified pixel lies in the picture.
            valid: bool (height, width): False where it lies outside, so nothing was seen.
        """
        rays = self.rectified().rays() @ np.array(self.R).reshape(3, 3)  # R transposed, by row
        pixels = self.project(rays)
        x, y = pixels[..., 0], pixels[..., 1]
        with np.errstate(invalid="ignore"):
            valid = (x >= -0.5) & (x <= self.width - 0.5) & (y >= -0.5) & (y <= self.height - 0.5)
        # Far outside, so that remap fills with its border value.
        x, y = np.where(valid, x, -10.0), np.where(valid, y, -10.0)
        return x.astype(np.float32), y.astype(np.float32), valid


def same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Say whether two sizes (width, height) have one aspect, but for a pixel of rounding."""
    by_height = abs(other[0] - one[0] * other[1] / one[1])
    by_width = abs(other[1] - one[1] * other[0] / one[0])
    return min(by_height, by_width) <= 1.0


def _view_deg(side: int, focal: float) -> float:
    """Return the angle that a pinhole sees of so many pixels, its axis in their middle."""
    return 2 * math.degrees(math.atan(side / 2 / focal))


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> tuple[float, ...]:  # noqa: ANN401
    """Return the numbers of an array, row by row; () where there are none.

    Raises:
        CameraError: where they are no numbers, or not as many or otherwise laid out than a shape.
    """
    wanted = f"{math.prod(shape)} numbers, flat or {shape}" if shape else "numbers in a row"
    try:
        found = np.asarray(() if values is None else values)
        if np.iscomplexobj(found):
            raise TypeError("complex numbers")
        numbers = [float(value) for value in found.ravel()]
    except (TypeError, ValueError) as error:
        raise CameraError(f"camera {name} must be {wanted}, got {values!r:.200}") from error
    is_flat = sum(side > 1 for side in found.shape) <= 1
    is_matrix = found.shape == shape or (is_flat and len(numbers) == math.prod(shape))
    if numbers and not (is_matrix if shape else is_flat):
        raise CameraError(f"camera {name} must be {wanted}, got an array of shape {found.shape}")
    return tuple(numbers)


def _pixels(name: str, value: Any) -> int:  # noqa: ANN401 - any kind of whole number
    """Return a length as int; CameraError where it is no whole number."""
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        is_whole = int(value) == value
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        raise CameraError(
            f"camera {name} must be a whole number of pixels, got {value!r:.200}",
            reason="camera_size",
        )
    return int(value)


def _projection(K: Sequence[float]) -> tuple[float, ...]:
    return (*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0)
