"""Several pictures of one scene to depth that agrees, and to poses: models of any view.

What goes into the network and what is made of its answer follow src/depth_anything_3/api.py,
utils/alignment.py, utils/io/input_processor.py and model/da3.py of
ByteDance-Seed/Depth-Anything-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap
from depth_anything_ros.core.errors import CameraError, ImageError, ModelError
from depth_anything_ros.core.poses import (
    baseline,
    inverse,
    rigid_poses,
    rotation_of_quaternion,
    similarity,
)
from depth_anything_ros.models.networks.depth_anything_3 import ViewsOutput
from depth_anything_ros.models.networks.output import NOT_SKY_BELOW, DepthWithSky
from depth_anything_ros.models.zoo.card import ModelCard

Reals = NDArray[np.float64]

# Cameras that are nearer to each other than this see no depth by their poses.
MIN_BASELINE_M = 0.01
# The network takes poses in units of the median distance to the first camera, or of this.
_LEAST_UNIT_M = 0.1
# Pixels by which depth is scaled to metres: by how many at least, and from which depths on.
_FEWEST_PIXELS = 11
_LEAST_DEPTH = 1e-3
_LEAST_METRES = 1e-2


@dataclass(frozen=True, eq=False)
class ViewEstimate:
    """What is known of one picture among several.

    Attributes:
        depth: at the size of the picture, or the one asked for; NaN where the network did not see
            it, and +Inf in the sky where the model knows it. An AffineDepthMap of these models has
            no shift: all views of one answer, and the translations of their poses, are metres
            times the same factor.
            Its camera is the given one, or else the estimated pinhole.
        confidence: float32 (height, width), 1 or more; larger is surer. It has no unit.
        T_world_camera: float64 (4, 4), takes points of the optical frame to the world: of the
            given poses, or else the first camera's frame.
    """

    depth: DepthMap | AffineDepthMap
    confidence: NDArray[np.float32]
    T_world_camera: Reals


@dataclass(frozen=True)
class Window:
    """The middle of a resized picture, which is what the network sees of it.

    Attributes:
        picture: width and height of the picture, in pixels, or of what it is answered as.
        resized: width and height that it was resized to.
        left: columns cut off at the left.
        top: rows cut off at the top.
        width: of the window.
        height: of the window.
    """

    picture: tuple[int, int]
    resized: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    def camera(self, camera: Camera) -> Camera:
        """Return the camera of the window, of the picture's."""
        return camera.scaled(*self.resized).cropped(self.left, self.top, self.width, self.height)

    def picture_camera(self, K: Reals) -> Camera:
        """Return the pinhole of the picture, of the window's K (3, 3)."""
        shifted = K.copy()
        shifted[:2, 2] += (self.left, self.top)
        return Camera(*self.resized, tuple(shifted.ravel())).scaled(*self.picture)

    def at_picture(self, maps: Tensor) -> Tensor:
        """Resize (channels, height, width) bilinearly to the picture; NaN where it was cut off.

        Borders fall on borders, as they did when the picture was resized.
        """
        right = self.resized[0] - self.width - self.left
        bottom = self.resized[1] - self.height - self.top
        maps = functional.pad(maps, (self.left, right, self.top, bottom), value=torch.nan)
        size = (self.picture[1], self.picture[0])
        if maps.shape[-2:] == size:
            return maps
        return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


@torch.inference_mode()
def views_of(
    output: ViewsOutput,
    metric: DepthWithSky | None,
    windows: Sequence[Window],
    cameras: Sequence[Camera] | None = None,
    T_world_camera: Reals | None = None,
) -> list[ViewEstimate]:
    """Make views of what the network answered.

    Args:
        output: of n pictures.
        metric: what a metric network answered of the same pictures, (n, h, w): metres for each
            pixel of focal length, and the sky; None where there is no such network.
        windows: what it saw of each.
        cameras: of the pictures, where they are calibrated.
        T_world_camera: (n, 4, 4), where the poses are known; the answer is scaled to them.

    Raises:
        CameraError: (``baseline``) where known poses are of one place, and there is no metric
            network.
        ModelError: (``baseline``, ``sky``) on an answer that makes no geometry.
    """
    known = None if cameras is None else _intrinsics(windows, cameras)
    height, width = output.depth.shape[-2:]
    found, K = cameras_from_encoding(output.pose_encoding.cpu().numpy(), width, height)
    K = K if known is None else known
    factor = _factor(output, metric, found, K, T_world_camera)
    kind = AffineDepthMap if metric is None and T_world_camera is None else DepthMap
    if T_world_camera is None:
        T_world_camera = inverse(found[0]) @ found
        T_world_camera[:, :3, 3] *= factor
    if cameras is None:
        cameras = [window.picture_camera(k) for window, k in zip(windows, K, strict=True)]
    sky = torch.zeros_like(output.depth) if metric is None else metric.sky
    maps = torch.stack((factor * output.depth, output.depth_conf, sky), dim=1)
    views = []
    for index, (window, camera) in enumerate(zip(windows, cameras, strict=True)):
        depth, confidence = _at_picture(window, *maps[index])
        camera = camera.scaled(*window.picture)
        views.append(ViewEstimate(kind(depth, camera), confidence, T_world_camera[index]))
    return views


def check_views(
    card: ModelCard,
    count: int,
    cameras: Sequence[Camera] | None,
    poses: Sequence[ArrayLike] | None,
) -> Reals | None:
    """Refuse what makes no views, rather now than after the network.

    Args:
        card: of the model.
        count: of the pictures.
        cameras: of the pictures, where they are calibrated.
        poses: T_world_camera of each, where they are known.

    Returns:
        The poses, float64 (n, 4, 4).

    Raises:
        As ``DepthEstimator.infer_views``.
    """
    if not card.any_view:
        raise ModelError(
            f"{card.name} answers each picture by itself, so that their depths need not "
            "agree; choose a model of any view, such as da3_small",
            reason="single_view",
        )
    if not count:
        raise ImageError("there are no pictures; expected one or more", reason="count")
    if cameras is None and poses is not None:
        raise CameraError(
            "poses without cameras say nothing of where a pixel looks; give the cameras too",
            reason="uncalibrated",
        )
    if cameras is not None and len(cameras) != count:
        raise CameraError(
            f"{count} pictures need as many cameras, got {len(cameras)}", reason="count"
        )
    if poses is None:
        return None
    given = rigid_poses(poses, count)
    _poses_scale(given, card.kind == "metric")
    return given


def cut_to_middles(
    images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
) -> tuple[Tensor, list[Window]]:
    """Return the network's input (n, 3, h, w), and what it shows of each picture.

    The smallest height and the smallest width of all, cut out of the middle of each.

    Args:
        images: (1, 3, h, w) of each picture, resized and normalised.
        sizes: (width, height) of the pictures, or of what they are answered as.
    """
    height, width = (min(image.shape[axis] for image in images) for axis in (-2, -1))
    parts, windows = [], []
    for size, image in zip(sizes, images, strict=True):
        rows, columns = image.shape[-2:]
        top, left = (rows - height) // 2, (columns - width) // 2
        parts.append(image[..., top : top + height, left : left + width])
        windows.append(Window(size, (columns, rows), left, top, width, height))
    return torch.cat(parts), windows


def _intrinsics(windows: Sequence[Window], cameras: Sequence[Camera]) -> Reals:
    """Return K (n, 3, 3) of what the network sees."""
    pairs = zip(windows, cameras, strict=True)
    return np.array([window.camera(camera).K for window, camera in pairs]).reshape(-1, 3, 3)


def conditions_of(
    windows: Sequence[Window], cameras: Sequence[Camera] | None, poses: Reals | None
) -> list[Tensor]:
    """Return what a network is told of known cameras: extrinsics and intrinsics; none else."""
    if cameras is None or poses is None:
        return []
    known = (extrinsics_as_trained(poses), _intrinsics(windows, cameras))
    return [torch.from_numpy(values).float() for values in known]


def extrinsics_as_trained(T_world_camera: Reals) -> Reals:
    """Turn poses into what the network takes, world -> camera, float64 (n, 4, 4).

    The first is the identity, and the unit is the median distance to it (the lower one of two,
    the first's own 0 counted), or 0.1 m where that is less: ``_normalize_extrinsics`` in api.py.
    """
    relative = inverse(T_world_camera[0]) @ T_world_camera
    distances = np.sort(np.linalg.norm(relative[:, :3, 3], axis=1))
    relative[:, :3, 3] /= max(distances[(len(distances) - 1) // 2], _LEAST_UNIT_M)
    return inverse(relative)


def cameras_from_encoding(
    encoding: NDArray[np.floating], width: int, height: int
) -> tuple[Reals, Reals]:
    """Decode poses and intrinsics (``pose_encoding_to_extri_intri``, model/utils/transform.py).

    Args:
        encoding: (n, 9): translation, quaternion x, y, z, w, vertical and horizontal field of
            view in radians.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.

    Returns:
        T_world_camera float64 (n, 4, 4), in the network's unit, and K float64 (n, 3, 3) in pixels;
        the principal point is the middle of the picture, and the centre of the first pixel (0, 0).
    """
    values = encoding.astype(np.float64)
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = rotation_of_quaternion(values[:, 3:7])
    poses[:, :3, 3] = values[:, :3]
    K = np.tile(np.eye(3), (len(values), 1, 1))
    sides = np.array((width, height))
    K[:, [0, 1], [0, 1]] = sides / 2 / np.maximum(np.tan(values[:, [8, 7]] / 2), 1e-6)
    K[:, :2, 2] = (sides - 1) / 2
    return poses, K


def _poses_scale(given: Reals, is_metric: bool) -> bool:
    """Say whether poses (n, 4, 4) scale depth; CameraError where nothing does.

    Where their baseline is too short, a model that answers metres by itself does.
    """
    if baseline(given) >= MIN_BASELINE_M:
        return True
    if is_metric:
        return False
    raise CameraError(
        f"the {len(given)} camera(s) are within {MIN_BASELINE_M * 1000:g} mm of each other, so "
        "their poses say nothing of the scale of depth; leave the poses out to get depth up to a "
        "factor, or choose a model that answers metres by itself",
        reason="baseline",
    )


def _factor(
    output: ViewsOutput, metric: DepthWithSky | None, found: Reals, K: Reals, given: Reals | None
) -> float:
    """Return what makes metres of the network's unit; 1 where nothing says."""
    if given is not None and _poses_scale(given, metric is not None):
        scale = similarity(given[:, :3, 3], found[:, :3, 3]).scale
        if scale > 0:
            return 1 / scale
        raise ModelError(
            "the network places all cameras at one point, so its depth cannot be scaled to the "
            "poses; do the pictures overlap?",
            reason="baseline",
        )
    if metric is None:
        return 1.0
    return metric_factor(output, metric, (K[:, 0, 0] + K[:, 1, 1]) / 2)


def metric_factor(output: ViewsOutput, metric: DepthWithSky, focal_px: Reals) -> float:
    """Fit the factor from an any-view network's unit to metres, by least squares.

    To what a metric network answers where there is no sky, and where the any-view network is
    surer than in half of those pixels: ``_apply_depth_alignment`` in model/da3.py.

    Args:
        output: of n pictures.
        metric: of the same pictures: metres for each pixel of focal length, and the sky.
        focal_px: (n,), of what the networks saw.

    Raises:
        ModelError: (``sky``) where hardly a pixel is left.
    """
    focal = torch.from_numpy(focal_px).float().to(metric.depth.device)
    metres = metric.depth * focal[:, None, None]
    mask = metric.sky < NOT_SKY_BELOW
    sure = output.depth_conf[mask].sort().values
    if len(sure):
        mask &= output.depth_conf >= (sure[(len(sure) - 1) // 2] + sure[len(sure) // 2]) / 2
    mask &= (metres > _LEAST_METRES) & (output.depth > _LEAST_DEPTH)
    if int(mask.sum()) < _FEWEST_PIXELS:
        raise ModelError(
            f"only {int(mask.sum())} pixels show neither sky nor what is unsure, too few to tell "
            "the scale of depth; point a camera at something else than the sky",
            reason="sky",
        )
    a, b = metres[mask], output.depth[mask]
    return float((a @ b) / (b @ b))


def _at_picture(
    window: Window, depth: Tensor, confidence: Tensor, sky: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return depth and confidence at the picture's size.

    Depth is resized without what the network answers in the sky, as in ``beyond_sky``.
    """
    not_sky = (sky < NOT_SKY_BELOW).to(depth)
    parts = window.at_picture(torch.stack((depth * not_sky, not_sky, confidence, sky)))
    depth, weight, confidence, sky = parts
    is_sky = (sky >= NOT_SKY_BELOW) | (weight == 0)
    depth = depth / weight
    depth = depth.masked_fill(depth <= 0, torch.nan).masked_fill(is_sky, torch.inf)
    confidence = confidence.nan_to_num(1.0).masked_fill(is_sky, 1.0).clamp_min(1.0)
    return depth.cpu().numpy(), confidence.cpu().numpy()
