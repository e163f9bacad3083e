"""Around the model: from a decoded picture to its view, and from an answer to what is published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector, Cloud
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap, Estimate
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.rectification import Rectifier
from depth_anything_ros.nodes.depth_parameters import CloudParameters, DepthParameters
from depth_anything_ros.nodes.messages import Outgoing


@dataclass(frozen=True, eq=False)
class View:
    """A picture on the grid that is published.

    Attributes:
        rgb: uint8 (height, width, 3).
        camera: of exactly this picture; None where it is not known.
        valid: bool (height, width), False where rectification saw nothing; None if all is seen.
    """

    rgb: NDArray[np.uint8]
    camera: Camera | None
    valid: NDArray[np.bool_] | None = None


class DepthPipeline:
    """Rectify the pictures of one camera, and finish and back-project their depth.

    What depends on the camera alone (maps, rays) is kept until the camera changes.

    Args:
        input_is_rectified: the pictures come rectified already (a topic named image_rect*), so
            that P, not K and D, is their camera where the policy is auto.

    Attributes:
        depth_out: of the messages that depth goes out in.
        cloud_out: of those that the cloud goes out in, whose memory it is made in.
    """

    def __init__(self, input_is_rectified: bool) -> None:
        self._input_is_rectified = input_is_rectified
        self._rectifier: Rectifier | None = None
        self._refused: tuple[Camera, CameraError] | None = None
        self._projector: BackProjector | None = None
        self.depth_out, self.cloud_out = Outgoing(Image), Outgoing(PointCloud2)

    def view(self, rgb: NDArray[np.uint8], camera: Camera, rectify: str) -> View:
        """Rectify a picture where the policy (auto, always, never) asks for it.

        Raises:
            CameraError: where the camera cannot be rectified.
        """
        if rectify == "auto" and self._input_is_rectified:
            return View(rgb, camera.rectified())
        if rectify == "never" or (rectify == "auto" and not camera.is_distorted):
            return View(rgb, camera)
        rectifier = self._rectifier_of(camera)
        return View(rectifier.rectify(rgb), rectifier.camera, rectifier.valid)

    def _rectifier_of(self, camera: Camera) -> Rectifier:
        if self._refused is not None and self._refused[0] == camera:
            raise self._refused[1].anew()
        if self._rectifier is None or self._rectifier.source != camera:
            try:
                self._rectifier = Rectifier(camera)
            except CameraError as error:  # the maps take long: not again for each picture
                self._refused = (camera, error.anew())
                raise
        return self._rectifier

    def finished(self, result: Estimate, view: View, parameters: DepthParameters) -> Estimate:
        """Return an answer with NaN where rectification saw nothing, and within the range."""
        if isinstance(result, DisparityMap):
            return DisparityMap(_masked(result.disparity, view.valid), result.camera)
        if isinstance(result, AffineDepthMap):
            return AffineDepthMap(_masked(result.depth, view.valid), result.camera)
        limits = parameters.range
        limited = result.limited(limits.min_m, limits.max_m)
        if view.valid is None:
            return limited
        return DepthMap(_masked(limited.depth_m, view.valid), result.camera)

    def cloud(self, depth: DepthMap, view: View, parameters: CloudParameters) -> Cloud | None:
        """Back-project a depth map; None without a camera.

        An organized cloud is made in the memory of ``cloud_out``, and lasts until the next.
        """
        if view.camera is None:
            return None
        projector = self._projector
        if (
            projector is None
            or projector.camera != view.camera
            or projector.stride != parameters.stride
        ):
            projector = self._projector = BackProjector(view.camera, parameters.stride)
        return projector.project(
            depth,
            view.rgb if parameters.color else None,
            organized=parameters.organized,
            edge_jump=parameters.edge_jump,
            allocate=self.cloud_out.memory if parameters.organized else None,
        )


def _masked(values: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    return values if valid is None else np.where(valid, values, np.float32(np.nan))
