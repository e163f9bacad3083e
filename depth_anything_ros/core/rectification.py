"""Undistort pictures once and for all frames of a camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, quoted


class Rectifier:
    """Turn pictures of a distorted camera into those of its rectified pinhole.

    The maps are computed once, so keep the object from frame to frame.

    Attributes:
        source: the camera of the pictures that come in.
        camera: ``source.rectified()``, the camera of the pictures that go out.
        valid: bool (height, width), False where a rectified pixel saw nothing.

    Raises:
        CameraError: (``rectification``) where no rectified pixel sees the picture.
    """

    def __init__(self, source: Camera) -> None:
        self.source = source
        self.camera = source.rectified()
        self._map_x, self._map_y, self.valid = source.rectification_maps()
        # In 1/32 of a pixel: takes 2/3 of the time and of the memory that floats do.
        self._maps = cv2.convertMaps(self._map_x, self._map_y, cv2.CV_16SC2)
        self._unseen = np.flatnonzero(~self.valid)
        if not self.valid.any():
            raise CameraError(
                f"rectification sees nothing of the picture: R and P of "
                f"{quoted(source.frame_id)} point "
                "elsewhere; calibrate again, or set rectify to never",
                reason="rectification",
            )

    def rectify(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the rectified picture, uint8 (height, width, 3), black where nothing was seen."""
        # Replicated, so that the outer half of a border pixel is not mixed with black.
        picture = cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture.reshape(-1, 3)[self._unseen] = 0
        return np.asarray(picture, np.uint8)

    def rectify_depth(self, depth: DepthMap) -> DepthMap:
        """Return a depth map of the source camera on the rectified grid, for comparisons.

        Nearest neighbour, for depth is not to be mixed across edges. R turns the optical axis, so
        Z changes with it: Z' = Z · (R · ray), third component.
        """
        pixels = np.stack((self._map_x, self._map_y), axis=-1).astype(np.float64)
        turned = self.source.unproject(pixels) @ np.array(self.source.R).reshape(3, 3)[2]
        near = cv2.remap(depth.depth_m, self._map_x, self._map_y, cv2.INTER_NEAREST)
        rectified = np.where(self.valid, near * turned, np.nan).astype(np.float32)
        return DepthMap(rectified, self.camera)
