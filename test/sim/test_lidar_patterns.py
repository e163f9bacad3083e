"""Beams of the patterns: counts, angles, order and times, exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.sim.lidar_patterns import (
    PATTERNS,
    find_pattern,
    scan_2d,
    single_range,
    solid_state_raster,
    spinning,
    tof_grid,
)


def degrees(radians):
    return np.rad2deg(radians)


@pytest.mark.parametrize(
    ("rings", "lowest", "highest", "step"),
    [(16, -15, 15, 2), (32, -30.6667, 10.6667, 1.3333), (64, -24.8, 2, 26.8 / 63)],
)
def test_rings_have_the_elevations_of_the_manuals(rings, lowest, highest, step):
    pattern = spinning(rings, columns=36)
    assert len(pattern.directions) == rings * 36
    for ring in range(rings):
        of_ring = pattern.ring == ring
        assert of_ring.sum() == 36
        expected = np.full(36, lowest + ring * step)
        np.testing.assert_allclose(degrees(pattern.elevation_rad[of_ring]), expected, atol=2e-3)
    assert degrees(pattern.elevation_rad.max()) == pytest.approx(highest, abs=1e-4)


def test_a_spinning_lidar_turns_clockwise_from_behind():
    pattern = spinning(16, columns=8)
    azimuth = degrees(pattern.azimuth_rad).reshape(8, 16)
    expected = [180, 135, 90, 45, 0, -45, -90, -135]
    np.testing.assert_allclose(azimuth, np.tile(np.array(expected)[:, None], 16), atol=1e-9)


def test_a_vlp_16_fires_as_its_manual_says():
    pattern = spinning(16, columns=1808)
    first = degrees(pattern.elevation_rad[:16])
    manual = [-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15]
    np.testing.assert_allclose(first, manual, atol=1e-9)
    time_us = 1e6 * pattern.time_s
    assert time_us[1] == pytest.approx(2.304, rel=1e-3)
    assert time_us[16] == pytest.approx(55.296, rel=1e-3)


def test_an_hdl_32e_fires_its_banks_by_turns():
    first = degrees(spinning(32).elevation_rad[:6])
    np.testing.assert_allclose(first, [-30.67, -9.33, -29.33, -8.00, -28.00, -6.66], atol=0.01)


def test_a_raster_sweeps_rows_to_and_fro():
    pattern = solid_state_raster()
    assert len(pattern.directions) == 600 * 125
    azimuth = degrees(pattern.azimuth_rad).reshape(125, 600)
    elevation = degrees(pattern.elevation_rad).reshape(125, 600)
    np.testing.assert_allclose(azimuth[0, [0, 1, -1]], [59.9, 59.7, -59.9], atol=1e-9)
    np.testing.assert_allclose(azimuth[1], azimuth[0, ::-1], atol=1e-9)
    np.testing.assert_allclose(elevation[:, 0], 12.4 - 0.2 * np.arange(125), atol=1e-9)
    assert pattern.ring[0] == 124
    assert pattern.ring[-1] == 0


def test_a_scanner_covers_270_degrees_in_1081_steps():
    pattern = scan_2d()
    np.testing.assert_allclose(
        degrees(pattern.azimuth_rad), -135 + 0.25 * np.arange(1081), atol=1e-9
    )
    assert not pattern.elevation_rad.any()
    # Three quarters of a turn of 25 ms.
    assert pattern.time_s[-1] == pytest.approx(0.75 * 0.025)
    assert len(scan_2d(270, 0.5).directions) == 541


def test_a_cone_is_filled_to_its_edge():
    rays = single_range(fov_deg=10).rays()
    assert rays.shape == (1, 19, 3)
    angle = degrees(np.arccos(np.clip(rays[0, :, 0], -1, 1)))
    assert angle[0] == 0
    assert angle.max() == pytest.approx(5.0)
    np.testing.assert_allclose(rays[0].mean(axis=0)[1:], 0, atol=0.01)


def test_the_zones_of_a_grid_fill_its_field_of_view():
    pattern = tof_grid()
    np.testing.assert_allclose(
        degrees(pattern.azimuth_rad[:8]), 45 / 8 * (3.5 - np.arange(8)), atol=1e-9
    )
    np.testing.assert_allclose(
        degrees(pattern.elevation_rad[::8]), 45 / 8 * (3.5 - np.arange(8)), atol=1e-9
    )
    rays = pattern.rays()
    assert rays.shape == (64, 9, 3)
    middle = rays[24:32]  # each zone is three thirds wide
    azimuth = np.unique(degrees(np.arctan2(middle[..., 1], middle[..., 0])).round(1))
    thirds = 45 / 24 * (np.arange(24) - 11.5)
    assert max(np.abs(azimuth - a).min() for a in thirds) < 0.1
    assert np.abs(azimuth).max() == pytest.approx(thirds[-1], abs=0.1)


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_holds_together(name):
    pattern = find_pattern(name)
    assert pattern.name == name
    np.testing.assert_allclose(np.linalg.norm(pattern.rays(), axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose(pattern.rays()[:, 0], pattern.directions, atol=1e-9)
    assert np.all(np.diff(pattern.time_s) >= 0)
    assert 0 <= pattern.time_s[0] <= pattern.time_s[-1] < 1 / pattern.rate_hz
    assert 0 < pattern.min_m < pattern.max_m
    # A higher ring looks higher.
    order = np.argsort(pattern.ring, kind="stable")
    assert np.all(np.diff(pattern.elevation_rad[order]) >= -1e-9)


def test_a_beam_straight_up_has_a_frame():
    up = replace(single_range(), directions=np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(up.rays()[0, 0], [0, 0, 1], atol=1e-12)
    assert up.rays()[0, :, 2].min() == pytest.approx(math.cos(math.radians(1)))


def test_what_is_no_pattern_is_refused():
    with pytest.raises(ParameterError, match="did you mean spinning_16"):
        find_pattern("spining_16")
    with pytest.raises(ParameterError, match="known are spinning_16"):
        find_pattern("xyz")
    with pytest.raises(ParameterError, match="16, 32 or 64 rings here, got 40"):
        spinning(40)
