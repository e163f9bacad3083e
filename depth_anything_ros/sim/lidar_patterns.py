"""Where the beams of LiDARs and range sensors go: a table of facts, one row a sensor.

A LiDAR's frame is REP 103's: x forward, y left, z up.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ParameterError


@dataclass(frozen=True, eq=False)
class LidarPattern:
    """The beams of a LiDAR or range sensor, in the order in which they fire.

    Attributes:
        name: for messages.
        directions: float64 (beams, 3), unit vectors in the LiDAR's frame.
        ring: uint16 (beams,), row of each beam, 0 the lowest.
        time_s: float32 (beams,), when each fires, since the sweep began.
        rate_hz: sweeps in a second.
        min_m: a beam that would measure less measures nothing.
        max_m: likewise more.
        sigma_m: standard deviation of the range.
        sigma_relative: the part of it that grows with range, added in squares.
        dropout: share of beams that are lost for no reason, 0-1.
        photons: mean number that a white surface at max_m sends back face on; inf loses none.
        specular: whether glass and mirrors are more than matte surfaces.
        bundle: float64 (samples, 3), unit vectors that fill a beam whose axis is x, the first
            one its axis.
        merge_m: echoes of one bundle that are less than this behind its nearest are read as
            one, at their mean range; 0 gives the nearest.
    """

    name: str
    directions: NDArray[np.float64]
    ring: NDArray[np.uint16]
    time_s: NDArray[np.float32]
    rate_hz: float
    min_m: float
    max_m: float
    sigma_m: float
    sigma_relative: float = 0.0
    dropout: float = 0.01
    photons: float = 20.0
    specular: bool = True
    bundle: NDArray[np.float64] = field(default_factory=lambda: np.array([[1.0, 0.0, 0.0]]))
    merge_m: float = 0.0

    @property
    def azimuth_rad(self) -> NDArray[np.float64]:
        """Angle of each beam about z, from x towards y, (beams,)."""
        return np.asarray(np.arctan2(self.directions[:, 1], self.directions[:, 0]), np.float64)

    @property
    def elevation_rad(self) -> NDArray[np.float64]:
        """Angle of each beam above the x-y plane, (beams,)."""
        return np.arcsin(np.clip(self.directions[:, 2], -1, 1))

    def ideal(self) -> LidarPattern:
        """Return the same beams without noise and losses; glass and mirrors are as matte."""
        return replace(
            self, sigma_m=0.0, sigma_relative=0.0, dropout=0.0, photons=math.inf, specular=False
        )

    def rays(self) -> NDArray[np.float64]:
        """Return all rays, (beams, samples, 3): the bundle, turned along each beam."""
        azimuth, elevation = self.azimuth_rad, self.elevation_rad
        zero = np.zeros_like(azimuth)
        left = np.stack((-np.sin(azimuth), np.cos(azimuth), zero), axis=1)
        up = _unit(azimuth, elevation + np.pi / 2)
        frame = np.stack((self.directions, left, up), axis=1)
        return np.asarray(np.einsum("si,bij->bsj", self.bundle, frame), np.float64)


def _unit(azimuth: NDArray[np.float64], elevation: NDArray[np.float64]) -> NDArray[np.float64]:
    level = np.cos(elevation)
    return np.stack((level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)), axis=-1)


# Of the rings: lowest and highest elevation in degrees, columns at 10 Hz, min_m, max_m, sigma_m.
_SPINNING = {
    # Velodyne VLP-16 User Manual 63-9243: ±15°, 2° apart, 0.2° at 10 Hz, 100 m, ±3 cm "typical",
    # read as two sigma.
    16: (-15.0, 15.0, 1800, 0.5, 100.0, 0.015),
    # Velodyne HDL-32E User's Manual 63-9113: table of the firing order, -30.67° … 10.67° by 4/3°;
    # 100 m; ±2 cm, one sigma at 25 m.
    32: (-92 / 3, 32 / 3, 2160, 0.5, 100.0, 0.02),
    # Velodyne HDL-64E S2 User's Manual: +2° … -24.8°, 64 equal steps; 120 m; < 2 cm, one sigma.
    64: (-24.8, 2.0, 2080, 0.9, 120.0, 0.02),
}
# The lasers of a VLP-16 take 16 · 2.304 µs of each 55.296 µs (its User Manual, 9.4).
_FIRING_SHARE = 2 / 3


def spinning(rings: int, columns: int | None = None, rate_hz: float = 10.0) -> LidarPattern:
    """Return a turning LiDAR with the rings of a VLP-16, an HDL-32E or an HDL-64E.

    It begins behind, at the azimuth +180°, and turns clockwise. The lasers of a column look along
    one azimuth and fire by turns from the lower and from the upper half, from below, which is the
    order of the first two.

    Args:
        rings: 16, 32 or 64.
        columns: directions in a turn; None gives those of 10 Hz.
        rate_hz: turns in a second.

    Raises:
        ParameterError: on another number of rings.
    """
    if rings not in _SPINNING:
        raise ParameterError(f"a spinning LiDAR has 16, 32 or 64 rings here, got {rings}")
    lowest, highest, usual, min_m, max_m, sigma_m = _SPINNING[rings]
    columns = columns or usual
    order = np.arange(rings).reshape(2, -1).T.ravel()
    elevation = np.deg2rad(lowest + (highest - lowest) * order / (rings - 1))
    azimuth = np.pi - 2 * np.pi * np.arange(columns) / columns
    period = 1 / rate_hz / columns
    time = period * (np.arange(columns)[:, None] + _FIRING_SHARE * np.arange(rings) / rings)
    return LidarPattern(
        f"spinning_{rings}",
        _unit(np.repeat(azimuth, rings), np.tile(elevation, columns)),
        np.tile(order, columns).astype(np.uint16),
        time.ravel().astype(np.float32),
        rate_hz,
        min_m,
        max_m,
        sigma_m,
    )


def solid_state_raster(
    hfov_deg: float = 120.0,
    vfov_deg: float = 25.0,
    step_deg: float = 0.2,
    rate_hz: float = 10.0,
    name: str = "solid_state_raster",
) -> LidarPattern:
    """Return a LiDAR that looks forward and sweeps rows to and fro, from above.

    Defaults are those of the RoboSense RS-LiDAR-M1 (data sheet: 120° × 25°, 0.2°, 10 Hz, 0.5-200 m,
    ±5 cm one sigma), whose five overlapping channels become one raster. Beams are at the centres of
    cells of the field of view.
    """
    columns, rows = max(round(hfov_deg / step_deg), 1), max(round(vfov_deg / step_deg), 1)
    across = np.deg2rad(hfov_deg) * (0.5 - (np.arange(columns) + 0.5) / columns)
    down = np.deg2rad(vfov_deg) * (0.5 - (np.arange(rows) + 0.5) / rows)
    azimuth = np.tile(across, (rows, 1))
    azimuth[1::2] *= -1
    count = rows * columns
    return LidarPattern(
        name,
        _unit(azimuth.ravel(), np.repeat(down, columns)),
        np.repeat(np.arange(rows)[::-1], columns).astype(np.uint16),
        (np.arange(count) / count / rate_hz).astype(np.float32),
        rate_hz,
        min_m=0.5,
        max_m=200.0,
        sigma_m=0.05,
    )


def scan_2d(
    fov_deg: float = 270.0, step_deg: float = 0.25, rate_hz: float = 40.0, max_m: float = 30.0
) -> LidarPattern:
    """Return a planar scanner, counter-clockwise from -fov / 2 to fov / 2, both included.

    Defaults are those of the Hokuyo UTM-30LX (specification: 270°, 0.25°, 1081 steps, 25 ms, 0.1-30
    m; sigma 10 mm to 10 m and 30 mm to 30 m). ``Sweep.ranges`` are a LaserScan's.
    """
    count = round(fov_deg / step_deg) + 1
    step = np.arange(count)
    return LidarPattern(
        "scan_2d",
        _unit(np.deg2rad(step * step_deg - fov_deg / 2), np.zeros(count)),
        np.zeros(count, np.uint16),
        (step * step_deg / 360 / rate_hz).astype(np.float32),
        rate_hz,
        min_m=0.1,
        max_m=max_m,
        sigma_m=0.01,
        sigma_relative=0.001,
    )


def single_range(fov_deg: float = 2.0, max_m: float = 12.0) -> LidarPattern:
    """Return one cone of light that measures its nearest echo, as 19 rays of equal weight.

    Defaults are those of the Benewake TFmini-S (data sheet: 2°, 0.1-12 m, 100 Hz, ±6 cm to 6 m and
    ±1 % beyond, read as two sigma).
    """
    count = 19
    # Vogel's spiral: equal areas of a disc. The first is the axis.
    ray = np.arange(count)
    aside = np.tan(np.deg2rad(fov_deg) / 2) * np.sqrt(ray / (count - 1))
    angle = ray * np.pi * (3 - math.sqrt(5))
    bundle = np.stack((np.ones(count), aside * np.cos(angle), aside * np.sin(angle)), axis=1)
    return LidarPattern(
        "single_range",
        np.array([[1.0, 0.0, 0.0]]),
        np.zeros(1, np.uint16),
        np.zeros(1, np.float32),
        rate_hz=100.0,
        min_m=0.1,
        max_m=max_m,
        sigma_m=0.03,
        sigma_relative=0.005,
        bundle=bundle / np.linalg.norm(bundle, axis=1, keepdims=True),
    )


def tof_grid(zones: int = 8, fov_deg: float = 45.0, max_m: float = 4.0) -> LidarPattern:
    """Return a grid of zones × zones that measure at one time, row by row from the upper left.

    Defaults are those of the ST VL53L5CX (data sheet DS13754: 8 × 8 zones, 45° × 45°, 15 Hz, 2-400
    cm, about ±5 %, read as two sigma). Each zone is 3 × 3 rays over its field of view, and echoes
    within 0.6 m are read as one, for nearer targets are not told apart (its user manual UM2884).
    """
    width = np.deg2rad(fov_deg) / zones
    centre = width * ((zones - 1) / 2 - np.arange(zones))
    offset = np.array([(0, 0), *((a, e) for a in (-1, 0, 1) for e in (-1, 0, 1) if a or e)])
    return LidarPattern(
        "tof_grid",
        _unit(np.tile(centre, zones), np.repeat(centre, zones)),
        np.repeat(np.arange(zones)[::-1], zones).astype(np.uint16),
        np.zeros(zones * zones, np.float32),
        rate_hz=15.0,
        min_m=0.02,
        max_m=max_m,
        sigma_m=0.005,
        sigma_relative=0.025,
        bundle=_unit(*(offset * width / 3).T),
        merge_m=0.6,
    )


# solid_state_tall has the field of view of a Livox Avia (70.4° × 77.2°, 240,000 points/s, 190 m at
# 10 % reflectivity, 2 cm one sigma, by its user manual), whose rosettes become a raster.
PATTERNS: dict[str, LidarPattern] = {
    pattern.name: pattern
    for pattern in (
        spinning(16),
        spinning(32),
        spinning(64),
        solid_state_raster(),
        replace(
            solid_state_raster(70.4, 77.2, 0.475, name="solid_state_tall"),
            min_m=1.0,
            max_m=190.0,
            sigma_m=0.02,
        ),
        scan_2d(),
        single_range(),
        tof_grid(),
    )
}


def find_pattern(name: str) -> LidarPattern:
    """Return the pattern of a name; ParameterError with near names where there is none."""
    if name in PATTERNS:
        return PATTERNS[name]
    near = difflib.get_close_matches(name, PATTERNS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(PATTERNS)}"
    raise ParameterError(f"there is no LiDAR pattern {name!r}; {hint}")
