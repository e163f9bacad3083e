"""LiDARs and range sensors: where their beams go, and what comes back in a scene.

A LiDAR's frame is REP 103's: x forward, y left, z up. Its pose is any matrix T_world_lidar
(``path.mount``); it stands still during a sweep.

How a beam comes back, as plainly as it can be said:

- A matte surface sends back a number of photons with mean ``photons`` · albedo · cos(incidence) ·
  (max_m / range)² (the LiDAR range equation); the beam is lost where the Poisson number is 0,
  whose probability is exp(-mean). So losses rise with range and with grazing incidence.
- Glass and mirrors answer by themselves near the perpendicular only (Foster et al., VisAGGE,
  ICRA 2013), here with probability exp(-(angle / 5°)² / 2), and never below 2 % for dust. Else
  the beam goes on: straight on through glass, unbent; by reflection at a mirror, and then its
  point lies behind the mirror, at the length of the whole way, which is a false return.
- ``dropout`` loses a share of all beams. What is left has Gaussian noise along the beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.lidar_patterns import LidarPattern
from depth_anything_ros.sim.scene import Finish

# Judgement: how wide around the perpendicular a smooth surface is seen, and its dust.
_LOBE_RAD = np.deg2rad(5.0)
_DUST = 0.02
# A way by more mirrors and panes than this is lost.
_LONGEST_WAY = 3
# Rays in a bundle, and the least cosine to its axis: World.trace is fast for narrow ones.
_BUNDLE_SIZES = (128, 16, 1)
_BUNDLE_COSINE = 0.5
_RAYS_AT_ONCE = 1 << 15


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a LiDAR measured in one sweep: one row for each of N beams that came back.

    Attributes:
        points: float32 (N, 3), metres in the LiDAR's frame.
        ring: uint16 (N,), row of the beam, 0 the lowest.
        time_s: float32 (N,), since the sweep began.
        intensity: float32 (N,), reflectivity in percent, 0-100, range taken out and incidence
            not (VLP-16 User Manual: diffuse surfaces give 0-100).
        beam: int64 (N,), index into the pattern and into the two arrays below.
        ranges: float32 (beams,), range of every beam; by REP 117 -Inf where nearer than min_m
            and +Inf where nothing came back. For LaserScan and Range.
        true_range_m: float32 (beams,), distance of the first surface on each beam's axis, be it
            glass or mirror; +Inf where there is none.
    """

    points: NDArray[np.float32]
    ring: NDArray[np.uint16]
    time_s: NDArray[np.float32]
    intensity: NDArray[np.float32]
    beam: NDArray[np.int64]
    ranges: NDArray[np.float32]
    true_range_m: NDArray[np.float32]


def scan(
    world: World, pattern: LidarPattern, T_world_lidar: NDArray[np.float64], seed: int = 0
) -> Sweep:
    """Measure a scene with one sweep.

    Args:
        world: of one scene, on any device.
        pattern: of the beams; ``pattern.ideal()`` has no noise and loses nothing.
        T_world_lidar: float64 (4, 4), pose of the LiDAR.
        seed: of noise and losses; the same seed gives the same sweep on the same device.
    """
    rng = np.random.default_rng(seed)
    rays = pattern.rays()
    echoes = _echoes(world, pattern, T_world_lidar, rays.reshape(-1, 3), rng)
    count, samples = rays.shape[:2]
    ranges, chosen = _reading(echoes.range_m.reshape(count, samples), pattern.merge_m)
    # Noise and losses are drawn for all beams, so that those of one do not hang on others.
    noise, lost = rng.standard_normal(count), rng.random(count) < pattern.dropout
    measured = np.where(np.isfinite(ranges), ranges, 0.0)
    ranges = ranges + np.hypot(pattern.sigma_m, pattern.sigma_relative * measured) * noise
    ranges[lost | (ranges > pattern.max_m)] = np.inf
    ranges[ranges < pattern.min_m] = -np.inf
    beam = np.flatnonzero(np.isfinite(ranges))
    ray = beam * samples + chosen[beam]
    return Sweep(
        points=(pattern.directions[beam] * ranges[beam, None]).astype(np.float32),
        ring=pattern.ring[beam],
        time_s=pattern.time_s[beam],
        intensity=(100 * echoes.reflectivity[ray]).astype(np.float32),
        beam=beam,
        ranges=ranges.astype(np.float32),
        true_range_m=echoes.first_m.reshape(count, samples)[:, 0].astype(np.float32),
    )


@dataclass(frozen=True, eq=False)
class _Echoes:
    """What comes back along each of R rays; range_m and first_m are +Inf where nothing does."""

    range_m: NDArray[np.float64]
    first_m: NDArray[np.float64]
    reflectivity: NDArray[np.float64]


def _echoes(
    world: World,
    pattern: LidarPattern,
    pose: NDArray[np.float64],
    rays: NDArray[np.float64],
    rng: np.random.Generator,
) -> _Echoes:
    """Follow each ray until a surface sends it back, or it is lost."""
    chance, detection = rng.random((_LONGEST_WAY, len(rays))), rng.random(len(rays))
    direction = torch.from_numpy(rays @ pose[:3, :3].T).to(world.device, world.dtype)
    origin = torch.from_numpy(pose[:3, 3]).to(world.device, world.dtype).expand_as(direction)
    albedo, finish = _optics(world)
    way = origin.new_zeros(len(rays))
    last = torch.full((len(rays),), -1, dtype=torch.int64, device=world.device)
    cosine, first = torch.ones_like(way), way
    going = torch.arange(len(rays), device=world.device)
    for step in range(_LONGEST_WAY):
        distance, surface = _trace(world, origin, direction)
        first = distance if step == 0 else first
        way[going] += distance
        hit = surface >= 0
        going, surface = going[hit], surface[hit]
        at = origin[hit] + distance[hit, None] * direction[hit]
        direction = direction[hit]
        normal = world.to_world(world.local(at, surface)[1], surface)
        incidence = (direction * normal).sum(-1).abs().clamp(max=1.0)
        smooth = (finish[surface] != Finish.MATTE) & pattern.specular
        drawn = torch.from_numpy(chance[step]).to(way)[going]
        back = ~smooth | (drawn < _direct(incidence))
        last[going[back]], cosine[going[back]] = surface[back], incidence[back]
        going, surface, origin, direction = (v[~back] for v in (going, surface, at, direction))
        mirror = (finish[surface] == Finish.MIRROR)[:, None]
        turned = direction - 2 * (direction * normal[~back]).sum(-1, True) * normal[~back]
        direction = torch.where(mirror, turned, direction)
        if not len(going):
            break
    reflectivity = (albedo[last] * cosine).cpu().double().numpy()
    range_m = np.where(last.cpu().numpy() >= 0, way.cpu().double().numpy(), np.inf)
    # Each ray of a bundle carries its share of the light.
    near = (pattern.max_m / np.where(np.isfinite(range_m), range_m, 1.0)) ** 2
    white = pattern.photons / len(pattern.bundle) * near
    range_m[detection < np.exp(-white * np.maximum(reflectivity, 1e-9))] = np.inf
    return _Echoes(range_m, first.cpu().double().numpy(), reflectivity)


def _optics(world: World) -> tuple[Tensor, Tensor]:
    """Return albedo and finish of all surfaces. Red is the nearest to a LiDAR's infrared."""
    albedo = [[min(max(s.material.colour[0], 0.0), 1.0)] for s in world.surfaces]
    return world._real(albedo, 1)[:, 0], world._whole([s.material.finish for s in world.surfaces])


def _direct(cosine: Tensor) -> Tensor:
    """Return the probability that a smooth surface answers by itself."""
    angle = torch.acos(cosine) / _LOBE_RAD
    return torch.exp(-angle.square() / 2).clamp_min(_DUST)


def _trace(world: World, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return distance and surface (R,) of rays (R, 3), traced in bundles of successive ones."""
    count = len(directions)
    bundles = _bundles(directions)
    hits = [
        world.trace(origins[i], directions[i], torch.zeros_like(i[:, 0]))
        for i in bundles.split(max(_RAYS_AT_ONCE // (8 + bundles.shape[1]), 1))
    ]
    distance = torch.cat([hit.distance for hit in hits]).view(-1)[:count]
    return distance, torch.cat([hit.primitive for hit in hits]).view(-1)[:count]


def _bundles(directions: Tensor) -> Tensor:
    """Return the rays of bundles (bundles, size), as large as all of them can be and be narrow.

    The last bundle is filled up with the last ray.
    """
    count = len(directions)
    for size in _BUNDLE_SIZES:
        whole = torch.arange(-(-count // size) * size, device=directions.device)
        index = whole.clamp_max(max(count - 1, 0)).view(-1, size)
        axis = torch.nn.functional.normalize(directions[index].mean(1, keepdim=True), dim=-1)
        if bool(((directions[index] * axis).sum(-1) >= _BUNDLE_COSINE).all()):
            break
    return index


def _reading(
    ranges: NDArray[np.float64], merge_m: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make one reading of the echoes of each beam (beams, samples).

    Returns:
        The range (beams,), +Inf where none came back, and the sample of the nearest echo.
    """
    nearest = ranges.min(axis=1, keepdims=True)
    merged = np.isfinite(ranges) & (ranges <= nearest + merge_m)
    total = np.where(merged, ranges, 0.0).sum(axis=1)
    mean = np.where(merged.any(axis=1), total / np.maximum(merged.sum(axis=1), 1), np.inf)
    return mean, ranges.argmin(axis=1)
