"""From a map of rays to the camera that they are of.

Depth Anything 3 answers for each place p of the picture the ray that it sees along, with the
direction d = R K⁻¹ p and the origin t (Lin et al. 2025, arXiv:2511.10647, section 3.1). The
directions are a homography R K⁻¹ of the places, of which a QR decomposition is the rotation and
the intrinsics. src/depth_anything_3/utils/ray_utils.py of ByteDance-Seed/Depth-Anything-3 does the
same with two differences. It divides directions by their z, which blows up the noise of rays at a
right angle to the reference camera; here the angle between rays is fitted. And it takes the
homography apart as rotation times a *lower* triangle, which is right only where the principal
point is the middle of the picture: elsewhere it takes the offset for a turn. Not to assume the
middle costs some accuracy where it is true; known intrinsics bring it back, and more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ModelError

Reals = NDArray[np.float64]

# RANSAC, as in the reference: from the surest 30 % of the rays, 8 at a time, 100 times.
_SUREST = 0.3
_DRAW = 8
_DRAWS = 100
_INLIER_RAD = 0.2
_MOST_RAYS = 8000  # of one picture, to be fitted to; more make no difference


def cameras_from_rays(
    rays: NDArray[np.floating],
    confidence: NDArray[np.floating],
    width: int,
    height: int,
    known: Reals | None = None,
) -> tuple[Reals, Reals]:
    """Estimate poses and intrinsics from rays.

    Args:
        rays: (n, rows, columns, 6): direction, of any length, and origin of the ray of the centre
            of each place of a grid that covers the picture.
        confidence: (n, rows, columns), 0 or more: the weight of each ray.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        known: K (n, 3, 3) of the pictures where they are calibrated; only poses are estimated
            then.

    Returns:
        T_world_camera float64 (n, 4, 4), in the rays' unit, and K float64 (n, 3, 3) in pixels,
        without skew where it is estimated; the centre of the first pixel is at (0, 0).

    Raises:
        ModelError: (``rays``) where the rays are of no camera: all of one direction, or in a line.
    """
    # Takes places of a picture that reaches from -1 to 1 to pixels.
    unit = np.array(((width / 2, 0, width / 2 - 0.5), (0, height / 2, height / 2 - 0.5), (0, 0, 1)))
    poses = np.tile(np.eye(4), (len(rays), 1, 1))
    K = np.tile(np.eye(3), (len(rays), 1, 1)) if known is None else known
    for index, (bundle, weight) in enumerate(zip(rays, confidence, strict=True)):
        bundle, weight = bundle.astype(np.float64), weight.astype(np.float64)
        matched = _matched(bundle[..., :3], weight)
        if known is None:
            rotation, normal = _taken_apart(_homographies(*(x[None] for x in matched))[0])
            K[index] = unit @ normal
        else:
            rotation = _rotation(np.linalg.inv(known[index]) @ unit, *matched)
        poses[index, :3, :3] = rotation
        poses[index, :3, 3] = (bundle[..., 3:] * weight[..., None]).sum((0, 1)) / weight.sum()
    return poses, K


def _matched(directions: Reals, weight: Reals) -> tuple[Reals, Reals, Reals]:
    """Return places (k, 3), unit directions (k, 3) and weights (k,) that a homography explains."""
    rows, columns = weight.shape
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = (2 * np.arange(rows) + 1) / rows - 1
    places = np.stack((*np.meshgrid(x, y), np.ones((rows, columns))), axis=-1)
    step = math.ceil(math.sqrt(rows * columns / _MOST_RAYS))
    some = (slice(step // 2, None, step), slice(step // 2, None, step))
    p, d, w = places[some].reshape(-1, 3), directions[some].reshape(-1, 3), weight[some].ravel()
    d = d / np.maximum(np.linalg.norm(d, axis=-1, keepdims=True), 1e-12)
    surest = np.argsort(-w, kind="stable")[: max(_DRAW, int(_SUREST * len(w)))]
    draws = surest[np.random.default_rng(0).integers(len(surest), size=(_DRAWS, _DRAW))]
    tries = _homographies(p[draws], d[draws], w[draws])
    inliers = _agreement(tries, p, d) > math.cos(_INLIER_RAD)
    best = inliers[np.argmax(inliers @ w)]
    return p[best], d[best], w[best]


def _taken_apart(H: Reals) -> tuple[Reals, Reals]:
    """Return the rotation R and the intrinsics K without skew, (3, 3) each, of H ~ R K⁻¹."""
    Q, U = np.linalg.qr(H)
    signs = np.sign(np.diag(U))
    U = U * signs[:, None]
    if not (np.diag(U) > 1e-6 * np.abs(U).max()).all():
        raise ModelError(
            "the rays that the network answered are of no camera (their homography is singular); "
            'check the weights, or take pose_from="camera"',
            reason="rays",
        )
    K = np.linalg.inv(U / U[2, 2])
    K[0, 1] = 0
    return Q * signs, K


def _rotation(to_rays: Reals, places: Reals, directions: Reals, weight: Reals) -> Reals:
    """Return the rotation from the camera's own rays (Wahba's problem, by its SVD)."""
    own = places @ to_rays.T
    own /= np.linalg.norm(own, axis=-1, keepdims=True)
    U, _, Vt = np.linalg.svd((weight[:, None] * directions).T @ own)
    handed = np.array((1.0, 1.0, np.linalg.det(U) * np.linalg.det(Vt)))
    return np.asarray((U * handed) @ Vt, np.float64)


def _agreement(H: Reals, places: Reals, directions: Reals) -> Reals:
    """Return the cosines (m, k) between H · place and the directions."""
    expected = places @ np.swapaxes(H, -1, -2)
    length = np.maximum(np.linalg.norm(expected, axis=-1), 1e-12)
    return np.asarray((expected * directions).sum(-1) / length, np.float64)


def _homographies(places: Reals, directions: Reals, weight: Reals) -> Reals:
    """Fit H (m, 3, 3) to (m, k) pairs: the least Σ weight · |direction × H · place|² of unit H."""
    count, pairs = weight.shape
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    outer = weight[..., None, None] * places[..., :, None] * places[..., None, :]
    flat = across.reshape(count, pairs, 9).swapaxes(1, 2) @ outer.reshape(count, pairs, 9)
    normal = flat.reshape(count, 3, 3, 3, 3).transpose(0, 1, 3, 2, 4).reshape(count, 9, 9)
    H = np.linalg.eigh(normal)[1][:, :, 0].reshape(count, 3, 3)
    return np.asarray(H * np.where(np.linalg.det(H) < 0, -1, 1)[:, None, None], np.float64)
