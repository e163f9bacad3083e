"""Pictures turned upright as their files say, and their cameras with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError

# What is done to the stored pixels by the value of EXIF's orientation (EXIF 2.3, 4.6.4): the
# matrix that takes a place relative to the middle, x right and y down, to where it is shown.
_TURNS = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror pixels (height, width, ...) as an orientation of 1 to 8 says."""
    (across, _), (_, down) = turn = _TURNS[orientation]
    if across == down == 0:
        pixels = pixels.swapaxes(0, 1)
        across, down = turn[0][1], turn[1][0]
    return np.ascontiguousarray(pixels[:: int(down), :: int(across)])


def upright_camera(camera: Camera, orientation: int) -> Camera:
    """Return the camera of the picture that ``upright`` makes of a camera's.

    With the turn A, u' = A·u + t, rays become A·x, K becomes A·K·Aᵀ about the turned principal
    point, and the tangential coefficients, which are a vector in the image, turn as one.

    Raises:
        CameraError: (``orientation``) on a sensor that is tilted against its lens, or skewed.
    """
    if orientation == 1:
        return camera
    A = np.array(_TURNS[orientation], np.float64)
    is_lying = bool(A[0, 1])
    size = (camera.width, camera.height)
    shown = size[::-1] if is_lying else size
    K, P = np.reshape(camera.K, (3, 3)), np.reshape(camera.P, (3, 4))
    if camera.K[1] and is_lying:
        raise CameraError(
            "the camera's K has a skew, and its picture lies on its side: turn the pictures and "
            "calibrate them as they stand",
            reason="orientation",
        )
    turn = np.eye(3)
    turn[:2, :2] = A
    # c' - middle' = A (c - middle)
    back, forth = np.eye(3), np.eye(3)
    back[:2, 2] = [-(side - 1) / 2 for side in size]
    forth[:2, 2] = [(side - 1) / 2 for side in shown]
    move = forth @ turn @ back
    wide = np.eye(4)
    wide[:3, :3] = turn
    return replace(
        camera,
        width=shown[0],
        height=shown[1],
        K=(move @ K @ turn.T).ravel().tolist(),
        D=_turned_lens(camera, A),
        R=(turn @ np.reshape(camera.R, (3, 3)) @ turn.T).ravel().tolist(),
        P=(move @ P @ wide.T).ravel().tolist(),
    )


def _turned_lens(camera: Camera, A: NDArray[np.float64]) -> tuple[float, ...]:
    D = list(camera.D)
    if camera.distortion_model == "equidistant" or len(D) < 4:
        return camera.D
    if any(D[12:14]):
        raise CameraError(
            "the camera's sensor is tilted against its lens (D[12] or D[13]), which is not turned "
            "with its picture: turn the pictures and calibrate them as they stand",
            reason="orientation",
        )
    D[3], D[2] = A @ (D[3], D[2])  # what they add is p2·r², p1·r² and along the ray
    if len(D) >= 12:
        (D[8], D[10]), (D[9], D[11]) = A @ (D[8], D[10]), A @ (D[9], D[11])
    return tuple(float(value) for value in D)
