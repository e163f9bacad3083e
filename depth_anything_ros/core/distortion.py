"""Lens distortion and its inverse on normalised image coordinates, for the models of CameraInfo.

A normalised point is (x, y) = (X / Z, Y / Z) in the camera's optical frame, without unit.
``plumb_bob`` and ``rational_polynomial`` are one model with 0, 4, 5, 8, 12 or 14 coefficients in
OpenCV's order (k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y); ``equidistant`` is the fisheye
model of Kannala and Brandt (PAMI 2006) with k1..k4.

A polynomial turns back beyond some angle, where two rays would share a pixel. Both directions
answer NaN there: no point behind that fold lands in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A normalised radius that no perspective picture reaches: 85 degrees off the axis.
_MAX_RADIUS = float(np.tan(np.deg2rad(85.0)))
_TABLE_SIZE = 4096
_NEWTON_STEPS = 12
# Of a normalised coordinate: 1e-9 is 2e-6 px at a focal length of 2,000 px.
_TOLERANCE = 1e-9


def distort(xy: Array, model: str, coefficients: tuple[float, ...]) -> Array:
    """Map ideal normalised points to distorted ones, both (..., 2); NaN beyond the fold."""
    if not any(coefficients):
        return xy
    if model == "equidistant":
        return _distort_equidistant(xy, coefficients)
    lens = _lens(coefficients)
    distorted = lens.tilted(_distort_brown(xy, lens))
    beyond = np.sum(xy * xy, axis=-1) > lens.max_radius**2
    return np.where(beyond[..., None], np.nan, distorted)


def undistort(xy: Array, model: str, coefficients: tuple[float, ...]) -> Array:
    """Map distorted normalised points to ideal ones, both (..., 2); NaN where there is none."""
    if not any(coefficients):
        return xy
    if model == "equidistant":
        return _undistort_equidistant(xy, coefficients)
    return _undistort_brown(xy, _lens(coefficients))


@dataclass(frozen=True, eq=False)
class _Lens:
    """The 14 coefficients of the rational model, its fold and a radial table to start from."""

    numerator: Array  # 1, k1, k2, k3 in powers of r²
    denominator: Array  # 1, k4, k5, k6
    tangential: tuple[float, float]  # p1, p2
    prism: tuple[float, float, float, float]  # s1..s4
    tilt: Array | None  # 3×3 homography of the tilted sensor, None without tilt
    max_radius: float
    table_radius: Array
    table_distorted: Array

    def tilted(self, xy: Array) -> Array:
        return xy if self.tilt is None else _homography(self.tilt, xy)

    def untilted(self, xy: Array) -> Array:
        return xy if self.tilt is None else _homography(np.asarray(np.linalg.inv(self.tilt)), xy)


@lru_cache(maxsize=32)
def _lens(coefficients: tuple[float, ...]) -> _Lens:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tau_x, tau_y = (
        *coefficients,
        *(0.0,) * (14 - len(coefficients)),
    )
    numerator = np.array([1.0, k1, k2, k3])
    denominator = np.array([1.0, k4, k5, k6])
    limit = _rational_limit(numerator, denominator)
    # Uniform in angle: dense near the axis, where pixels are.
    radius = np.tan(np.linspace(0.0, np.arctan(limit), _TABLE_SIZE))
    return _Lens(
        numerator,
        denominator,
        (p1, p2),
        (s1, s2, s3, s4),
        _tilt_homography(tau_x, tau_y) if tau_x or tau_y else None,
        limit,
        radius,
        radius * _ratio(numerator, denominator, radius**2)[0],
    )


def _rational_limit(numerator: Array, denominator: Array) -> float:
    """Return the radius up to which r·N(r²)/M(r²) grows, at most 85 degrees off the axis."""
    poly = np.polynomial.polynomial
    slope = poly.polymul(numerator, denominator)
    turn = poly.polysub(
        poly.polymul(poly.polyder(numerator), denominator),
        poly.polymul(numerator, poly.polyder(denominator)),
    )
    slope = poly.polyadd(slope, poly.polymul([0.0, 2.0], turn))
    roots = [*_positive_roots(slope), *_positive_roots(denominator), _MAX_RADIUS**2]
    return float(np.sqrt(min(roots))) * (1 - 1e-9)  # a pole itself has no value


def _positive_roots(ascending: NDArray[np.floating]) -> list[float]:
    # Below 1e-15 a coefficient moves no pixel, but its roots overflow.
    ascending = np.where(np.abs(ascending) < 1e-15, 0.0, ascending)
    roots = np.polynomial.polynomial.polyroots(np.trim_zeros(ascending, "b"))
    return [float(r.real) for r in roots if abs(r.imag) < 1e-9 * (1 + abs(r.real)) and r.real > 0]


def _ratio(numerator: Array, denominator: Array, s: Array) -> tuple[Array, Array]:
    """Return N(s)/M(s) and its derivative by s = r²."""
    poly = np.polynomial.polynomial
    n, m = poly.polyval(s, numerator), poly.polyval(s, denominator)
    dn = poly.polyval(s, poly.polyder(numerator))
    dm = poly.polyval(s, poly.polyder(denominator))
    return n / m, (dn * m - n * dm) / (m * m)


def _distort_brown(xy: Array, lens: _Lens) -> Array:
    """Apply the radial, tangential and thin-prism terms (OpenCV, calib3d; Brown 1966)."""
    x, y = xy[..., 0], xy[..., 1]
    s = x * x + y * y
    radial, _ = _ratio(lens.numerator, lens.denominator, s)
    p1, p2 = lens.tangential
    s1, s2, s3, s4 = lens.prism
    return np.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x) + s * (s1 + s2 * s),
            y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y + s * (s3 + s4 * s),
        ),
        axis=-1,
    )


def _newton_step(xy: Array, error: Array, lens: _Lens) -> Array:
    """Return the step that the Jacobian of ``_distort_brown`` at xy asks for."""
    x, y = xy[..., 0], xy[..., 1]
    s = x * x + y * y
    radial, slope = _ratio(lens.numerator, lens.denominator, s)
    p1, p2 = lens.tangential
    s1, s2, s3, s4 = lens.prism
    cross = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + 2 * x * (s1 + 2 * s2 * s)
    xy_ = cross + 2 * y * (s1 + 2 * s2 * s)
    yx = cross + 2 * x * (s3 + 2 * s4 * s)
    yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + 2 * y * (s3 + 2 * s4 * s)
    ex, ey = error[..., 0], error[..., 1]
    determinant = xx * yy - xy_ * yx
    return np.stack((yy * ex - xy_ * ey, xx * ey - yx * ex), axis=-1) / determinant[..., None]


def _undistort_brown(xy: Array, lens: _Lens) -> Array:
    """Invert the model by Newton's method, started from the inverse of its radial part."""
    target = lens.untilted(xy)
    distorted_radius = np.hypot(target[..., 0], target[..., 1])
    radius = np.interp(distorted_radius, lens.table_distorted, lens.table_radius)
    scale = np.divide(
        radius, distorted_radius, out=np.ones_like(radius), where=distorted_radius > 0
    )
    with np.errstate(all="ignore"):  # beyond the fold the steps may run away; dropped below
        ideal = target * scale[..., None]
        for _ in range(_NEWTON_STEPS):
            error = _distort_brown(ideal, lens) - target
            if np.nanmax(np.abs(error), initial=0.0) < _TOLERANCE * 1e-3:
                break
            ideal = ideal - _newton_step(ideal, error, lens)
        error = np.abs(_distort_brown(ideal, lens) - target).max(axis=-1)
        inside = np.sum(ideal * ideal, axis=-1) <= lens.max_radius**2
    good = (error < _TOLERANCE) & inside
    return np.where(good[..., None], ideal, np.nan)


def _tilt_homography(tau_x: float, tau_y: float) -> Array:
    """Return the 3×3 homography of a sensor tilted by tau (radians; OpenCV, calib3d)."""
    cx, sx, cy, sy = np.cos(tau_x), np.sin(tau_x), np.cos(tau_y), np.sin(tau_y)
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    r = about_y @ about_x
    keep_z = np.array([[r[2, 2], 0, -r[0, 2]], [0, r[2, 2], -r[1, 2]], [0, 0, 1]])
    return np.asarray(keep_z @ r, np.float64)


def _homography(matrix: Array, xy: Array) -> Array:
    mapped = xy @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[..., :2] / mapped[..., 2:], np.float64)


@lru_cache(maxsize=32)
def _equidistant_limit(coefficients: tuple[float, ...]) -> float:
    """Return the angle (radians) up to which theta_d(theta) grows, at most 90 degrees."""
    slope = np.array([1.0, *(c * (2 * i + 3) for i, c in enumerate(coefficients))])
    return float(np.sqrt(min([*_positive_roots(slope), (np.pi / 2) ** 2])))


def _theta_distorted(theta: Array, coefficients: tuple[float, ...]) -> tuple[Array, Array]:
    """Return theta_d = theta·(1 + k1·theta² + …) and its derivative."""
    poly = np.polynomial.polynomial
    even = np.array([1.0, *coefficients])
    slope = even * (2 * np.arange(len(even)) + 1)
    square = theta * theta
    value = theta * poly.polyval(square, even)
    return np.asarray(value), np.asarray(poly.polyval(square, slope), np.float64)


def _distort_equidistant(xy: Array, coefficients: tuple[float, ...]) -> Array:
    radius = np.hypot(xy[..., 0], xy[..., 1])
    theta = np.arctan(radius)
    distorted, _ = _theta_distorted(theta, coefficients)
    distorted = np.where(theta > _equidistant_limit(coefficients), np.nan, distorted)
    scale = np.divide(distorted, radius, out=np.ones_like(radius), where=radius > 0)
    return np.asarray(xy * scale[..., None])


def _undistort_equidistant(xy: Array, coefficients: tuple[float, ...]) -> Array:
    distorted = np.hypot(xy[..., 0], xy[..., 1])
    limit = _equidistant_limit(coefficients)
    table = np.linspace(0.0, limit, _TABLE_SIZE)
    theta = np.interp(distorted, _theta_distorted(table, coefficients)[0], table)
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            value, slope = _theta_distorted(theta, coefficients)
            theta = np.clip(theta - (value - distorted) / slope, 0.0, limit)
        error = np.abs(_theta_distorted(theta, coefficients)[0] - distorted)
    # 90 degrees off the axis and more has no point at Z = 1.
    good = (error < _TOLERANCE) & (theta < np.pi / 2 - 1e-6)
    radius = np.where(good, np.tan(theta), np.nan)
    scale = np.divide(radius, distorted, out=np.ones_like(radius), where=distorted > 0)
    return np.asarray(xy * scale[..., None])
