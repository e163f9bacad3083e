"""Depth of panoramas, by many views that overlap and are made to agree.

A teacher is surer of an ordinary view than of a wide one, and errs by another factor in each view.
Of a panorama it is asked all around: where views overlap, their answers give each other's scale,
and their mean is better than any. A label of any other view, however wide, is cut out of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera

Floats = NDArray[np.float64]

# What the teacher is asked: 27 views of 85 degrees, (pitch in degrees, views around) of each ring.
ASKED = Camera.from_hfov(352, 256, 85.0)
RINGS = ((0.0, 12), (35.0, 7), (-35.0, 8))
# Rows and columns of the depth of a panorama.
GRID = (512, 1024)
# Two views that share fewer places than this, of every 16th, say nothing of each other.
_LEAST_SHARED = 60
# The ground that the camera's height is measured by, in degrees below the horizon; and how far
# from its plane, in the logarithm of the range, a place may be to be taken for ground.
_GROUND_DEG, _GROUND_BAND = (30.0, 60.0), 0.3
_HORIZON_DEG = 2.0
# A view's 60th percentile of light is brought here, as a camera's exposure does.
_EXPOSED = 0.45
GAMMA = 2.2  # of coded pictures
# Beyond, a label is no better than the sky.
_FARTHEST_M = 500.0
_UNSURE_SKY = (0.25, 0.75)


@dataclass(frozen=True, eq=False)
class AnsweredView:
    """What a teacher answered of one view of a panorama.

    Attributes:
        camera: of the view, an ideal pinhole.
        rotation: float64 (3, 3), R_world_camera; x right, y down, z forward in both.
        depth_m: float32 (height, width), metres along Z; +Inf sky, NaN unknown.
    """

    camera: Camera
    rotation: Floats
    depth_m: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PanoramaDepth:
    """What all views say together, on an equirectangular grid.

    Attributes:
        nearness: float32 (rows, columns), 1 / range in metres; 0 in the sky and where no view was.
        sky: float32 (rows, columns), share of the views that see the sky.
        spread: standard deviation of the logarithm of the views' scales.
    """

    nearness: NDArray[np.float32]
    sky: NDArray[np.float32]
    spread: float


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> Floats:
    """Return R_world_camera (3, 3) of a camera that is turned right, then up, then rolled [rad]."""
    turns = ((0.0, yaw, 0.0), (pitch, 0.0, 0.0), (0.0, 0.0, roll))
    about_y, about_x, about_z = (cv2.Rodrigues(np.array(turn))[0] for turn in turns)
    return np.asarray(about_y @ about_x @ about_z, np.float64)


def rings() -> Iterator[Floats]:
    """Yield the rotations of the views that a teacher is asked."""
    for pitch, count in RINGS:
        for index in range(count):
            yield rotation(2 * math.pi * index / count, math.radians(pitch))


def directions(rows: int, columns: int) -> Floats:
    """Return the unit vectors (rows, columns, 3) of an equirectangular grid; its middle is +Z."""
    longitude = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * math.pi
    latitude = (0.5 - (np.arange(rows)[:, None] + 0.5) / rows) * math.pi
    flat = np.cos(latitude)
    down = np.broadcast_to(-np.sin(latitude), (rows, columns))
    return np.stack((flat * np.sin(longitude), down, flat * np.cos(longitude)), -1)


def cut(
    panorama: NDArray[Any],
    camera: Camera,
    R_world_camera: Floats,
    interpolation: int = cv2.INTER_LINEAR,
) -> NDArray[Any]:
    """Return what a camera sees of an equirectangular picture, (height, width[, channels])."""
    seen = camera.rays() @ R_world_camera.T
    seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
    rows, columns = panorama.shape[:2]
    x = (np.arctan2(seen[..., 0], seen[..., 2]) / (2 * math.pi) + 0.5) * columns - 0.5
    y = (np.arcsin(np.clip(seen[..., 1], -1, 1)) / math.pi + 0.5) * rows - 0.5
    # cv2 wraps rows as well: at the poles they are to end.
    y = np.clip(y, 0, rows - 1)
    return np.asarray(
        cv2.remap(
            panorama,
            x.astype(np.float32),
            y.astype(np.float32),
            interpolation,
            borderMode=cv2.BORDER_WRAP,
        )
    )


def exposed(
    light: NDArray[np.float32], camera: Camera, R_world_camera: Floats, gain: float = 1.0
) -> NDArray[np.uint8]:
    """Return the picture that a camera takes of a panorama: uint8 (height, width, 3).

    Args:
        light: float32 (rows, columns, 3), linear, in any unit.
        camera: that looks.
        R_world_camera: (3, 3).
        gain: on what its automatic exposure chooses.
    """
    seen = cut(light, camera, R_world_camera).mean(-1)
    scale = gain * _EXPOSED / max(float(np.percentile(seen, 60)), 1e-6)
    coded = np.clip(light * scale, 0, 1) ** (1 / GAMMA) * 255
    # Cubic only once it is clipped: beside a lamp it would ring.
    picture = cut(coded.astype(np.uint8), camera, R_world_camera, cv2.INTER_CUBIC)
    return np.asarray(picture, np.uint8)


def agree(views: Sequence[AnsweredView]) -> PanoramaDepth:
    """Bring views to one scale, and average 1 / range where they overlap.

    The scales are the least squares of the medians that pairs of views differ by; their geometric
    mean stays what it was.
    """
    grid = directions(*GRID)
    answers = [_on_grid(view, grid) for view in views]
    nearness, weight, sky = (np.stack(part) for part in zip(*answers, strict=True))
    scale = _log_scales(nearness[:, ::4, ::4], weight[:, ::4, ::4])
    total = np.maximum(weight.sum(0), 1e-6)
    of_solid = weight * (nearness > 0)
    brought = nearness * np.exp(-scale)[:, None, None]
    mean = (of_solid * brought).sum(0) / np.maximum(of_solid.sum(0), 1e-6)
    share = (weight * sky).sum(0) / total
    mean[share > 0.5] = 0
    return PanoramaDepth(mean.astype(np.float32), share.astype(np.float32), float(scale.std()))


def _on_grid(view: AnsweredView, grid: Floats) -> tuple[NDArray[np.float32], ...]:
    """Return 1 / range, the weight and the sky of a view on the grid; a weight of 0 outside."""
    camera = view.camera
    length = np.linalg.norm(camera.rays(), axis=-1)
    known = ~np.isnan(view.depth_m)
    nearness = np.where(known, 1 / (np.where(known, view.depth_m, 1) * length), 0)
    # Less towards the border, where a network sees less around a place.
    beside, above = (
        1 - np.abs((np.arange(n) + 0.5) / n * 2 - 1) for n in (camera.width, camera.height)
    )
    taper = np.clip(3 * np.minimum(beside[None], above[:, None]), 0, 1) + 0.02
    within = grid @ view.rotation
    pixels = camera.project(within).astype(np.float32)
    inside = (pixels >= 0) & (pixels <= (camera.width - 1, camera.height - 1))
    pixels[~inside.all(-1)] = -9  # far outside; NaN compares false
    across, down = pixels[..., 0], pixels[..., 1]
    parts = (nearness, taper * known, np.isposinf(view.depth_m))
    return tuple(
        np.asarray(cv2.remap(part.astype(np.float32), across, down, cv2.INTER_LINEAR), np.float32)
        for part in parts
    )


def _log_scales(nearness: NDArray[np.float32], weight: NDArray[np.float32]) -> Floats:
    count = len(nearness)
    matrix, vector = np.zeros((count, count)), np.zeros(count)
    usable = (nearness > 1 / _FARTHEST_M) & (weight > 0.1)
    logarithm = np.log(np.maximum(nearness, 1e-9))
    for i in range(count):
        for j in range(i):
            both = usable[i] & usable[j]
            shared = int(both.sum())
            if shared < _LEAST_SHARED:
                continue
            offset = shared * float(np.median(logarithm[i][both] - logarithm[j][both]))
            matrix[[i, j], [i, j]] += shared
            matrix[[i, j], [j, i]] -= shared
            vector[i] += offset
            vector[j] -= offset
    # Views that share nothing with others keep their scale, but for the mean.
    matrix += np.eye(count) * 1e-6 * max(float(matrix.trace()), 1.0)
    scale = np.linalg.solve(matrix, vector)
    return np.asarray(scale - scale.mean(), np.float64)


def bring_to_ground(
    depth: PanoramaDepth, height_m: float | None, level: bool
) -> tuple[PanoramaDepth, float]:
    """Give a panorama the scale of a camera that stands so high above the ground.

    Args:
        depth: of the panorama.
        height_m: of the camera, metres; None leaves the scale as it is.
        level: whether the ground is a plane: what is near it is brought onto it, smoothly.

    Returns:
        The same in that scale, and the height that the camera had in the scale before, NaN where
        no ground is seen below: then all is left as it was.
    """
    latitude = np.arcsin(-directions(*depth.nearness.shape)[..., 1])
    lowest, highest = (-math.radians(angle) for angle in reversed(_GROUND_DEG))
    below = (latitude > lowest) & (latitude < highest) & (depth.nearness > 0)
    if not below.any():
        return depth, math.nan
    drop = np.sin(-latitude)
    height = float(np.median(drop[below] / depth.nearness[below]))
    if height_m is None:
        return depth, height
    nearness = depth.nearness * (height / height_m)
    if level:
        plane = np.maximum(drop, 1e-6) / height_m
        apart = np.log(plane / np.maximum(nearness, 1e-9))
        share = np.exp(-((apart / _GROUND_BAND) ** 2))
        share[(latitude > -math.radians(_HORIZON_DEG)) | (nearness <= 0)] = 0
        nearness = nearness * np.exp(share * apart)
    return PanoramaDepth(nearness.astype(np.float32), depth.sky, depth.spread), height


def cut_depth(
    panorama: PanoramaDepth, camera: Camera, R_world_camera: Floats
) -> NDArray[np.float32]:
    """Return the depth that a camera sees: float32 (height, width), +Inf sky, NaN unknown."""
    nearness = cut(panorama.nearness, camera, R_world_camera)
    sky = cut(panorama.sky, camera, R_world_camera)
    # Beside what no view has seen, above and below, it is no mean of anything.
    solid = cut((panorama.nearness > 0).astype(np.float32), camera, R_world_camera) > 0.99
    length = np.linalg.norm(camera.rays(), axis=-1)
    depth: NDArray[Any] = 1 / np.maximum(nearness * length, 1 / _FARTHEST_M)
    depth[~solid] = np.nan
    depth[sky > _UNSURE_SKY[0]] = np.nan
    depth[sky >= _UNSURE_SKY[1]] = np.inf
    return depth.astype(np.float32)
