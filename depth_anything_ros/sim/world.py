"""Views of the procedural world: for each seed a place, a camera in it, and its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.path import camera_mount
from depth_anything_ros.sim.photometry import develop, sample_photometry
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.scene import Scene

# Raised when another picture comes out of the same seed, so that caches are not mixed.
VERSION = 5
HFOV_DEG = (36.0, 110.0)
# Horizontal field of view in degrees, and width / height, of usual cameras: those that cars carry
# (KITTI, nuScenes and others), and those of robots and hands.
_OUTDOORS = ((81.4, 3.31), (65.0, 1.78), (49.0, 1.6), (60.0, 1.78), (90.0, 1.78), (69.0, 1.33))
_INDOORS = ((63.0, 1.33), (57.0, 1.33), (69.0, 1.78), (87.0, 1.78), (75.0, 1.33), (42.0, 1.5))
_USUAL = 0.65  # share of cameras that are one of these; the others are drawn evenly
_CUT = 0.6  # share of pictures wider than the views that are cut to them, and not pressed
_NEAREST_M = 0.2
_OBJECTS = 8  # that a view should show; walls and floor count
_TRIES = 10
# Views that are rendered together: on a CPU, more only fall out of its caches.
_AT_ONCE = {"cpu": 1}
_DISTORTED = 0.15  # share of cameras with a lens that bends lines


@dataclass(frozen=True)
class Views:
    """A batch of pictures with their exact depth.

    Attributes:
        rgb: uint8 (views, height, width, 3).
        depth_m: float32 (views, height, width), metres along Z; +Inf is the sky, NaN where the
            lens has no ray.
        instance: int32 (views, height, width), number of the object; 0 where there is none.
        cameras: one a view.
        T_world_camera: float64 (views, 4, 4), takes points of the optical frame to the world.
        kinds: the kind of place of each view.
    """

    rgb: Tensor
    depth_m: Tensor
    instance: Tensor
    cameras: tuple[Camera, ...]
    T_world_camera: NDArray[np.float64]
    kinds: tuple[str, ...]

    @property
    def sky(self) -> Tensor:
        """Where there is sky: bool (views, height, width)."""
        return self.depth_m.isinf()


def views(
    seeds: Sequence[int],
    width: int,
    height: int,
    device: torch.device | str = "cpu",
    kind: str | None = None,
) -> Views:
    """Render one view for each seed; the same seed gives the same view on the same device.

    Args:
        seeds: 0 or more, one a view.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        device: where rays are traced and the tensors of the answer live.
        kind: of place, a key of ``places.PLACES``; None draws one.
    """
    at_once = _AT_ONCE.get(torch.device(device).type, 32)
    parts = [
        _views(seeds[i : i + at_once], width, height, device, kind)
        for i in range(0, len(seeds), at_once)
    ]
    return Views(
        torch.cat([part.rgb for part in parts]),
        torch.cat([part.depth_m for part in parts]),
        torch.cat([part.instance for part in parts]),
        tuple(camera for part in parts for camera in part.cameras),
        np.concatenate([part.T_world_camera for part in parts]),
        tuple(kind for part in parts for kind in part.kinds),
    )


def _views(
    seeds: Sequence[int], width: int, height: int, device: torch.device | str, kind: str | None
) -> Views:
    rngs = [np.random.default_rng((seed, 1)) for seed in seeds]
    scenes = [build_scene(seed, kind) for seed in seeds]
    cameras = [
        _camera(rng, width, height, _OUTDOORS if scene.sky else _INDOORS)
        for rng, scene in zip(rngs, scenes, strict=True)
    ]
    poses = np.stack([_pose(*args) for args in zip(rngs, scenes, cameras, strict=True)])
    seen = Renderer(scenes, device).view(cameras, poses)
    pictures = [
        develop(light, sample_photometry(rng), seed)
        for light, rng, seed in zip(seen.light, rngs, seeds, strict=True)
    ]
    kinds = tuple(scene.kind for scene in scenes)
    return Views(
        torch.stack(pictures).to(device),
        seen.depth_m,
        seen.instance,
        tuple(cameras),
        poses,
        kinds,
    )


def _camera(
    rng: np.random.Generator, width: int, height: int, usual: Sequence[tuple[float, float]]
) -> Camera:
    """Draw a camera: a usual one, if it is in the range, or any; some with a lens that bends."""
    any_deg, jitter, k1 = rng.uniform(*HFOV_DEG), rng.uniform(0.97, 1.03), rng.uniform(-0.08, 0.05)
    aspect, (lens_deg, lens_aspect) = width / height, usual[int(rng.integers(len(usual)))]
    is_usual, is_cut, is_bent = rng.random(3) < (_USUAL, _CUT, _DISTORTED)
    aside = rng.uniform(-0.35, 0.35)
    spare = max(lens_aspect / aspect - 1, 0.0) if is_cut else 0.0
    half = math.tan(math.radians(lens_deg * jitter) / 2) / (1 + spare)
    found = math.degrees(2 * math.atan(half))
    if not (is_usual and HFOV_DEG[0] <= found <= HFOV_DEG[1]):
        found, spare = any_deg, 0.0
    camera = Camera.from_hfov(width, height, float(found))
    fx, skew, cx, *rest = camera.K
    # A cut is anywhere in the picture of the lens, though not at its very ends.
    cx += width * spare * aside
    # As far as no lens of 110° folds: r² is at most about 3.
    D = (float(k1), 0.0, 0.0, 0.0, 0.0) if is_bent else ()
    return Camera(width, height, (fx, skew, float(cx), *rest), D)


def _pose(rng: np.random.Generator, scene: Scene, camera: Camera) -> NDArray[np.float64]:
    """Draw poses until one looks at something, and at nothing that touches the lens."""
    best, best_score = np.eye(4), -math.inf
    probe = camera.scaled(14, 14).rays()
    probe = np.where(np.isnan(probe), (0.0, 0.0, 1.0), probe)
    # Four bundles: the narrower ones are, the less they may touch.
    probe = probe.reshape(2, 7, 2, 7, 3).swapaxes(1, 2).reshape(4, 49, 3)
    world = World([scene])
    for _ in range(_TRIES):
        low, high = scene.stand[rng.integers(len(scene.stand))]
        yaw = scene.gaze + rng.normal(0, 0.3) if scene.gaze is not None else rng.uniform(-3.2, 3.2)
        x, y, z = rng.uniform(low, high)
        pitch, roll = rng.uniform(*scene.pitch), rng.normal(0, 0.04)
        pose = camera_mount(x, y, z, roll, pitch, yaw)
        score = _openness(world, probe, pose)
        if score > best_score:
            best, best_score = pose, score
        if score >= 1:
            break
    return best


def _openness(world: World, probe: NDArray[np.float64], pose: NDArray[np.float64]) -> float:
    """Rate a pose: 1 where nothing is too near, and there is more to see than sky and a wall."""
    directions = probe @ pose[:3, :3].T
    length = np.linalg.norm(directions, axis=-1, keepdims=True)
    rays = torch.from_numpy(directions / length).float()
    origins = torch.from_numpy(pose[:3, 3]).float().expand_as(rays).contiguous()
    hit = world.trace(origins, rays, torch.zeros(len(rays), dtype=torch.int64))
    depth = hit.distance / torch.from_numpy(length[..., 0]).float()
    found = hit.primitive >= 0
    if not bool(found.any()):
        return -2.0
    near = depth[found]
    seen = int(world.instance[hit.primitive[found]].unique().numel())
    enough = min(1.0, seen / _OBJECTS) * min(1.0, float(found.float().mean()) / 0.3)
    free = min(1.0, float(near.min()) / _NEAREST_M)
    return free * enough * min(1.0, float(near.median()) / 0.5)
