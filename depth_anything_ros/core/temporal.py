"""How steady depth is from picture to picture.

Pictures are of pinholes, or rectified: between two pixels, what is seen there lies on a plane, on
which 1 / depth is linear in the pixels, so that 1 / depth is what is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.core.poses import inverse

Depths = NDArray[np.float32]
Mask = NDArray[np.bool_]
# True depth that differs by more from what the other picture should see is of something else.
_SAME_WITHIN = 0.02
_ROUNDING = 0.01  # of a pixel's place, in pixels


@dataclass(frozen=True, eq=False)
class SeenPair:
    """What two pictures see both.

    Attributes:
        one: index of the picture that is carried into the other.
        other: index of that.
        T_other_one: float64 (4, 4), takes points of the camera of the one to that of the other.
        seen: bool (height, width), pixels of the one whose point the other sees too.
    """

    one: int
    other: int
    T_other_one: NDArray[np.float64]
    seen: Mask


def carried(
    depth_m: Depths, camera: Camera, T_other_camera: NDArray[np.float64]
) -> tuple[Depths, NDArray[np.float32]]:
    """Carry each pixel's point into another camera of the same lens.

    Args:
        depth_m: (height, width), metres.
        camera: pinhole of this grid, of both.
        T_other_camera: float64 (4, 4), takes points of this camera to the other.

    Returns:
        Its depth there, float32 (height, width), and its pixel there, float32 (height, width, 2),
        both NaN where it is not known or not in front of the other camera.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        points = camera.rays() * np.where(np.isfinite(depth_m), depth_m, np.nan)[..., None]
        points = points @ T_other_camera[:3, :3].T + T_other_camera[:3, 3]
        depth = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    return depth.astype(np.float32), camera.project(points).astype(np.float32)


def sampled(depth_m: Depths, pixels: NDArray[np.float32]) -> Depths:
    """Return depth between pixels, linear in 1 / depth; NaN outside and beside what is unknown.

    Args:
        depth_m: (height, width), metres, positive; +Inf is infinitely far.
        pixels: float32 (h, w, 2), x and y.
    """
    x, y = pixels[..., 0], pixels[..., 1]
    height, width = depth_m.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        near = cv2.remap(1.0 / depth_m, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = (x > -_ROUNDING) & (x < width - 1 + _ROUNDING)
        inside &= (y > -_ROUNDING) & (y < height - 1 + _ROUNDING)
        return np.where(inside, 1.0 / near, np.nan).astype(np.float32)


def seen_in_both(
    truth_m: Depths,
    other_m: Depths,
    camera: Camera,
    T_other_camera: NDArray[np.float64],
    moving: Mask | None = None,
    other_moving: Mask | None = None,
) -> Mask:
    """Return the pixels whose point another picture sees too: it stood still and nothing hides it.

    Args:
        truth_m: true depth (height, width), metres.
        other_m: the same of the other picture.
        camera: of both.
        T_other_camera: takes points of this camera to the other, if they stand still.
        moving: bool (height, width), what does not stand still here.
        other_moving: the same there.
    """
    depth, pixels = carried(truth_m, camera, T_other_camera)
    there = sampled(other_m, pixels)
    with np.errstate(invalid="ignore"):
        same = np.abs(there - depth) <= _SAME_WITHIN * depth
    if moving is not None:
        same &= ~moving
    if other_moving is not None:
        touched = cv2.remap(
            other_moving.astype(np.float32),
            pixels[..., 0],
            pixels[..., 1],
            cv2.INTER_LINEAR,
        )
        same &= touched == 0
    return np.asarray(same, np.bool_)


def seen_pairs(
    truths_m: Sequence[Depths],
    camera: Camera,
    T_world_camera: NDArray[np.float64],
    moving: Sequence[Mask] | None = None,
) -> list[SeenPair]:
    """Return what each two pictures in a row see both, from the first to the second and back.

    Args:
        truths_m: true depth, n of (height, width), metres.
        camera: pinhole of all pictures.
        T_world_camera: float64 (n, 4, 4).
        moving: what does not stand still, n of bool (height, width).

    Raises:
        ImageError: where the numbers of pictures differ.
    """
    if len(truths_m) != len(T_world_camera):
        raise ImageError(
            f"each picture has a true depth and a pose; got {len(truths_m)} depths and "
            f"{len(T_world_camera)} poses"
        )
    masks = [None] * len(truths_m) if moving is None else moving
    following = [(i, i + 1) for i in range(len(truths_m) - 1)]
    pairs = []
    for one, other in following + [(after, before) for before, after in following]:
        T = np.asarray(inverse(T_world_camera[other]) @ T_world_camera[one], np.float64)
        seen = seen_in_both(truths_m[one], truths_m[other], camera, T, masks[one], masks[other])
        pairs.append(SeenPair(one, other, T, seen))
    return pairs


def temporal_alignment_error(
    depths_m: Sequence[Depths], camera: Camera, pairs: Sequence[SeenPair]
) -> float:
    """Return the temporal alignment error (TAE) of a sequence, in per cent; less is better.

    Depth Any Video (arXiv 2410.10815) and Video Depth Anything (arXiv 2501.12375):
    100 / (2 (n - 1)) · Σ AbsRel(f(dᵢ, pᵢ), dᵢ₊₁) + AbsRel(f(dᵢ₊₁, pᵢ⁻¹), dᵢ), where f carries
    depth into the next picture by the known motion p of the camera. They round each point to the
    nearest pixel there; here the other picture is sampled between its pixels, so that the true
    depth of a plane has an error of 0. What counts is what both pictures see, by the true depth.

    Args:
        depths_m: (height, width) each, metres, on the grid of the truth. Pixels without depth are
            left out: fill them before.
        camera: pinhole of all pictures.
        pairs: of ``seen_pairs``.

    Returns:
        NaN where no two pictures in a row see the same.
    """
    errors = []
    for pair in pairs:
        depth, pixels = carried(depths_m[pair.one], camera, pair.T_other_one)
        there = sampled(depths_m[pair.other], pixels)
        with np.errstate(invalid="ignore"):
            error = (np.abs(depth - there) / there)[pair.seen]
        error = error[np.isfinite(error)]
        if error.size:
            errors.append(float(error.mean()))
    return 100.0 * float(np.mean(errors)) if errors else float("nan")


def flicker(depths_m: Sequence[Depths], still: Mask) -> float:
    """Return the mean over still points of the standard deviation over time of ln depth.

    Args:
        depths_m: n of (height, width), metres, of a camera that stands still.
        still: bool (height, width), what never moved.

    Returns:
        NaN where no still point has depth in all pictures.
    """
    total, squares = np.zeros(still.shape), np.zeros(still.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.log(depths_m[0]).astype(np.float64)
        for depth in depths_m:
            # About the first, so that rounding makes no root of a negative number.
            log = np.log(depth) - first
            total += log
            squares += log**2
        mean = total / len(depths_m)
        spread = np.sqrt(np.maximum(squares / len(depths_m) - mean**2, 0.0))[still]
    spread = spread[np.isfinite(spread)]
    return float(spread.mean()) if spread.size else float("nan")
