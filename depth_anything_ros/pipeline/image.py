"""From an image and its camera to what a network is given, and the grid that is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.rectification import Rectifier
from depth_anything_ros.core.stage_times import StageTimes

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class RectifiedImage:
    """An image as the network is given it, and the grid that is published.

    Attributes:
        rgb: uint8 (height, width, 3).
        camera: the camera of exactly this image; None where it is not known.
        valid: bool (height, width), False where rectification saw nothing; None if all is seen.
        treatment: what was done to the image and why, in a sentence.
        turn: float64 (3, 3), from the optical frame of the image as it came to that of this one,
            as stereo rectification turns it; None where the two are one.
        size: the (width, height) that is published, of the same view; None is the image's own.
        source: the camera's name among those of one pipeline.
        times: seconds of the stages of its way.
    """

    rgb: NDArray[np.uint8]
    camera: Camera | None
    valid: NDArray[np.bool_] | None = None
    treatment: str = ""
    turn: NDArray[np.float64] | None = None
    size: Size | None = None
    source: str = ""
    times: StageTimes = field(default_factory=StageTimes)

    @property
    def published_size(self) -> Size:
        """Width and height of what is published."""
        return self.size or (self.rgb.shape[1], self.rgb.shape[0])

    @property
    def published_camera(self) -> Camera | None:
        """The camera of what is published."""
        return self.camera and self.camera.scaled(*self.published_size)

    def published_rgb(self) -> NDArray[np.uint8]:
        """Return the colours of what is published: means over what each of its pixels covers."""
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


class ImageRectifier:
    """Rectify the images of one camera where a policy asks for it.

    The maps are kept until the camera changes, and so is the reason why there are none.
    """

    def __init__(self) -> None:
        self._rectifier: Rectifier | None = None
        self._refused: tuple[Camera, CameraError] | None = None

    def rectified(
        self, rgb: NDArray[np.uint8], camera: Camera, policy: str, is_rectified: bool = False
    ) -> RectifiedImage:
        """Return an image as the network is to see it.

        Its camera says the same by K and by P, whatever the policy.

        Args:
            rgb: uint8 (height, width, 3).
            camera: the camera of the image as it came.
            policy: ``auto``, ``always``, ``already`` or ``never``, as of ``DepthOptions``.
            is_rectified: whether the image is known to come rectified, which ``auto`` respects.

        Raises:
            CameraError: where the camera cannot be rectified.
        """
        policy, why = _policy(camera, policy, is_rectified)
        turn = _turn(camera)
        if policy == "already":
            treatment = f"taken as rectified already, P is its camera {why}"
            return RectifiedImage(rgb, camera.rectified(), None, treatment, turn)
        if policy == "never":
            return RectifiedImage(rgb, camera.as_taken(), None, f"kept as it came {why}")
        rectifier = self._rectifier_of(camera)
        treatment = f"rectified to the pinhole of P {why}"
        return RectifiedImage(
            rectifier.rectify(rgb), rectifier.camera, rectifier.valid, treatment, turn
        )

    def _rectifier_of(self, camera: Camera) -> Rectifier:
        if self._refused is not None and self._refused[0] == camera:
            raise self._refused[1].anew()
        if self._rectifier is None or self._rectifier.source != camera:
            try:
                self._rectifier = Rectifier(camera)
            except CameraError as error:  # the maps take long: not again for each image
                self._refused = (camera, error.anew())
                raise
        return self._rectifier


def _turn(camera: Camera) -> NDArray[np.float64] | None:
    R = np.array(camera.R).reshape(3, 3)
    return None if np.array_equal(R, np.eye(3)) else R


def takes_as_rectified(policy: str, is_rectified: bool) -> bool:
    """Say whether a policy takes images for rectified as they come, whatever D says."""
    return policy == "already" or (policy == "auto" and is_rectified)


def _policy(camera: Camera, policy: str, is_rectified: bool) -> tuple[str, str]:
    """Return what auto means for a camera, and why."""
    hint = "; where the pictures come rectified, set rectify to already"
    if policy != "auto":
        bends = policy != "already" and camera.is_distorted
        return policy, f"(rectify: {policy}){', by K and D' + hint if bends else ''}"
    if is_rectified:
        return "already", "(rectify: auto, of a topic named image_rect*)"
    if camera.is_distorted:
        return "always", f"(rectify: auto, D is not zero){hint}"
    if camera == camera.as_taken():
        return "never", "(rectify: auto, D is zero)"
    return "never", (
        "(rectify: auto, D is zero): K is its camera, and P, which is another, is left out; "
        "set rectify to already where P is the pictures' camera, or to always to turn to it"
    )


class Network(Protocol):
    """What knows the size of a network's input, as a DepthEstimator does."""

    def network_size(self, width: int, height: int) -> Size:
        """Return the (width, height) that images of a size are resized to."""
        ...


def output_size(asked: str, image: Size, network: Network) -> Size | None:
    """Return the (width, height) to publish; None where that is the image's.

    Args:
        asked: ``image``, ``network``, or the length of the shorter side in pixels; the longer side
            keeps the aspect, but for rounding.
        image: (width, height) in pixels. No grid is finer.
        network: asked only where its size is wanted.
    """
    width, height = image
    if asked == "image":
        return None
    if asked == "network":
        size = network.network_size(width, height)
    else:
        scale = int(asked) / min(width, height)
        size = (round(scale * width), round(scale * height))
    is_coarser = size != image and size[0] <= width and size[1] <= height
    return size if is_coarser else None


def halved(rgb: NDArray[np.uint8], *least: Size) -> NDArray[np.uint8]:
    """Halve an image as often as both sides are even and stay at least twice those of all sizes.

    Means of 2×2 pixels: that takes a hundredth of the time of what follows on a large image, and
    a network whose input is still half as large sees hardly another one.

    Args:
        rgb: uint8 (height, width, 3).
        least: (width, height) each of which has to fit in twice.
    """
    height, width = rgb.shape[:2]
    least_width, least_height = (4 * max(sides) for sides in zip(*least, strict=True))
    while width % 2 == height % 2 == 0 and width >= least_width and height >= least_height:
        width, height = width // 2, height // 2
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return rgb
