"""Poses of cameras as 4×4 matrices, and the similarity between two sets of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_anything_ros.core.errors import CameraError

_RIGID_WITHIN = 1e-3  # of a rotation's products; tf2 and calibration files keep far more digits
# From so many places on, half of them may be wrong.
ROBUST_FROM = 10
_STARTS = 20
_STEPS = 5


class Similarity(NamedTuple):
    """target = scale · rotation · source + translation.

    Attributes:
        scale: more than 0, or 0 where all targets are one point.
        rotation: float64 (3, 3).
        translation: float64 (3,).
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the targets (n, 3) of sources (n, 3)."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation, np.float64)


def rigid_poses(poses: Sequence[ArrayLike], count: int) -> NDArray[np.float64]:
    """Stack poses, and check that each is a rotation with a translation.

    Args:
        poses: T_world_camera of each camera, (4, 4), metres.
        count: how many there must be.

    Returns:
        float64 (count, 4, 4).

    Raises:
        CameraError: (``pose``) on another number of them, another shape, or no rigid transform.
    """
    if len(poses) != count or any(np.shape(pose) != (4, 4) for pose in poses):
        shapes = [np.shape(pose) for pose in poses]
        raise CameraError(
            f"{count} pictures need as many poses of shape (4, 4), got shapes {shapes}",
            reason="pose",
        )
    stacked = np.array(poses, np.float64).reshape(count, 4, 4)
    for index, pose in enumerate(stacked):
        R = pose[:3, :3]
        is_rigid = np.abs(R @ R.T - np.eye(3)).max() < _RIGID_WITHIN and np.linalg.det(R) > 0
        if not (is_rigid and np.isfinite(pose).all() and (pose[3] == (0, 0, 0, 1)).all()):
            raise CameraError(
                f"pose {index} is no rotation with a translation: {pose.tolist()}; expected "
                "T_world_camera, which takes points of the camera to the world",
                reason="pose",
            )
    return stacked


def inverse(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return T_b_a of rigid T_a_b, both (..., 4, 4)."""
    found = np.zeros_like(T)
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    found[..., :3, :3] = R
    found[..., :3, 3:] = -R @ T[..., :3, 3:]
    found[..., 3, 3] = 1
    return found


def rotation_of_quaternion(xyzw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotations (..., 3, 3) of quaternions (..., 4) x, y, z, w of any length but 0."""
    unit = xyzw / np.linalg.norm(xyzw, axis=-1, keepdims=True)
    vector, w = unit[..., :3], unit[..., 3, None, None]
    # Rodrigues: R v = v + 2 w (q × v) + 2 q × (q × v); the rows of -np.cross(I, q) are [q]×.
    cross = np.cross(vector[..., None, :], np.eye(3)).swapaxes(-1, -2)
    return np.asarray(np.eye(3) + 2 * w * cross + 2 * cross @ cross, np.float64)


def quaternion_of_rotation(R: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion (4,) x, y, z, w of the rotation nearest to a matrix (3, 3)."""
    axis = cv2.Rodrigues(R)[0].ravel()  # times the angle
    angle = float(np.linalg.norm(axis))
    half = np.sin(angle / 2) / angle if angle > 0 else 0.5
    return np.append(half * axis, np.cos(angle / 2))


def rigid_matrix(
    translation_m: Sequence[float], rotation_xyzw: Sequence[float]
) -> NDArray[np.float64]:
    """Return the 4×4 matrix of a translation and a quaternion of any length but 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_of_quaternion(np.asarray(rotation_xyzw, np.float64))
    matrix[:3, 3] = translation_m
    return matrix


def baseline(T_world_camera: NDArray[np.float64]) -> float:
    """Return the largest distance between two cameras of (n, 4, 4)."""
    centres = T_world_camera[:, :3, 3]
    return float(np.linalg.norm(centres[:, None] - centres[None], axis=-1).max())


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> Similarity:
    """Fit the similarity that takes places to other places, by least squares.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point
    patterns", eq. 40 to 42. Places on one line leave the rotation about it open, and two places
    are on one line; the scale is right even so. From 10 places on, the half of them that agrees
    best decides (least trimmed squares by concentration steps, Rousseeuw and Van Driessen 2006).

    Args:
        source: float64 (n, 3), not all one point.
        target: float64 (n, 3), in the same order.
    """
    fit = _umeyama(source, target)
    if len(source) < ROBUST_FROM:
        return fit
    half = (len(source) + 1) // 2
    rng = np.random.default_rng(0)
    starts = [rng.permutation(len(source))[:half] for _ in range(_STARTS)]
    fits = [fit, *(_umeyama(source[rows], target[rows]) for rows in starts)]
    best = min((_concentrated(fit, source, target, half) for fit in fits), key=lambda f: f[0])
    return best[1]


def _concentrated(
    fit: Similarity, source: NDArray[np.float64], target: NDArray[np.float64], half: int
) -> tuple[float, Similarity]:
    """Refit to the half with the least errors, some times; return their sum of squares too."""
    for _ in range(_STEPS):
        rows = np.argsort(_squares(fit, source, target), kind="stable")[:half]
        fit = _umeyama(source[rows], target[rows])
    return float(np.sort(_squares(fit, source, target))[:half].sum()), fit


def _squares(
    fit: Similarity, source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(((fit.apply(source) - target) ** 2).sum(1), np.float64)


def _umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> Similarity:
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred
    U, d, Vt = np.linalg.svd(covariance)
    handed = np.array((1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))))
    R = (U * handed) @ Vt
    spread = float((centred**2).sum())
    scale = float(d @ handed) / spread if spread > 0 else 0.0
    return Similarity(scale, R, target_mean - scale * R @ source_mean)
