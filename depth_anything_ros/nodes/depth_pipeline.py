"""Around the model: from a decoded picture to its view, and from an answer to what is published."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector, Cloud
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.rectification import Rectifier
from depth_anything_ros.nodes.depth_parameters import CloudParameters, DepthParameters
from depth_anything_ros.nodes.messages import Outgoing
from depth_anything_ros.nodes.output_grid import Size
from depth_anything_ros.nodes.picture_messages import PictureDecoder


@dataclass(frozen=True, eq=False)
class View:
    """A picture as the network is given it, and the grid that is published.

    Attributes:
        rgb: uint8 (height, width, 3).
        camera: of exactly this picture; None where it is not known.
        valid: bool (height, width), False where rectification saw nothing; None if all is seen.
        treatment: what was done to the picture and why, in a sentence.
        size: (width, height) that is published, of the same view; None is the picture's.
    """

    rgb: NDArray[np.uint8]
    camera: Camera | None
    valid: NDArray[np.bool_] | None = None
    treatment: str = ""
    size: Size | None = None

    @property
    def published_size(self) -> Size:
        """Width and height of what is published."""
        return self.size or (self.rgb.shape[1], self.rgb.shape[0])

    @property
    def published_camera(self) -> Camera | None:
        """The camera of what is published."""
        return self.camera and self.camera.scaled(*self.published_size)

    @property
    def published_rgb(self) -> NDArray[np.uint8]:
        """The colours of what is published: means over what each of its pixels covers."""
        if self.size is None:
            return self.rgb
        return np.asarray(cv2.resize(self.rgb, self.size, interpolation=cv2.INTER_AREA), np.uint8)

    @property
    def published_valid(self) -> NDArray[np.bool_] | None:
        """Whether the middle of each published pixel was seen."""
        if self.size is None or self.valid is None:
            return self.valid
        seen = self.valid.view(np.uint8)
        return cv2.resize(seen, self.size, interpolation=cv2.INTER_NEAREST_EXACT) > 0


class DepthPipeline:
    """Decode and rectify the pictures of one camera, and finish and back-project their depth.

    What depends on the camera alone (maps, rays) is kept until the camera changes.

    Args:
        input_is_rectified: the pictures come rectified already (a topic named image_rect*), so
            that P, not K and D, is their camera where the policy is auto.

    Attributes:
        decoder: of the pictures.
        depth_out: of the messages that depth goes out in.
        cloud_out: of those that the cloud goes out in, whose memory it is made in.
    """

    def __init__(self, input_is_rectified: bool) -> None:
        self._input_is_rectified = input_is_rectified
        self._rectifier: Rectifier | None = None
        self._refused: tuple[Camera, CameraError] | None = None
        self._projector: BackProjector | None = None
        self.decoder = PictureDecoder()
        self.depth_out, self.cloud_out = Outgoing(Image), Outgoing(PointCloud2)

    def view(self, rgb: NDArray[np.uint8], camera: Camera, rectify: str) -> View:
        """Rectify a picture where the policy (auto, always, already, never) asks for it.

        The camera of the view says the same by K and by P, whatever the policy.

        Raises:
            CameraError: where the camera cannot be rectified.
        """
        policy, why = self._policy(camera, rectify)
        if policy == "already":
            treatment = f"taken as rectified already, P is its camera {why}"
            return View(rgb, camera.rectified(), None, treatment)
        if policy == "never":
            return View(rgb, camera.as_taken(), None, f"kept as it came {why}")
        rectifier = self._rectifier_of(camera)
        treatment = f"rectified to the pinhole of P {why}"
        return View(rectifier.rectify(rgb), rectifier.camera, rectifier.valid, treatment)

    def is_rectified(self, rectify: str) -> bool:
        """Say whether a policy takes the pictures as they come for rectified, whatever D says."""
        return rectify == "already" or (rectify == "auto" and self._input_is_rectified)

    def _policy(self, camera: Camera, rectify: str) -> tuple[str, str]:
        """Return what auto means for a camera, and why."""
        hint = "; where the pictures come rectified, set rectify to already"
        if rectify != "auto":
            bends = rectify != "already" and camera.is_distorted
            return rectify, f"(rectify: {rectify}){', by K and D' + hint if bends else ''}"
        if self._input_is_rectified:
            return "already", "(rectify: auto, of a topic named image_rect*)"
        if camera.is_distorted:
            return "always", f"(rectify: auto, D is not zero){hint}"
        if camera == camera.as_taken():
            return "never", "(rectify: auto, D is zero)"
        return "never", (
            "(rectify: auto, D is zero): K is its camera, and P, which is another, is left out; "
            "set rectify to already where P is the pictures' camera, or to always to turn to it"
        )

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
        limits = parameters.range
        return result.limited(limits.min_m, limits.max_m).masked(view.published_valid)

    def cloud(self, depth: DepthMap, view: View, parameters: CloudParameters) -> Cloud | None:
        """Back-project a depth map; None without a camera.

        An organized cloud is made in the memory of ``cloud_out``, and lasts until the next.
        """
        camera = view.published_camera
        if camera is None:
            return None
        projector = self._projector
        if projector is None or projector.camera != camera or projector.stride != parameters.stride:
            projector = self._projector = BackProjector(camera, parameters.stride)
        return projector.project(
            depth,
            view.published_rgb if parameters.color else None,
            organized=parameters.organized,
            edge_jump=parameters.edge_jump,
            allocate=self.cloud_out.memory if parameters.organized else None,
        )
