"""From image messages and their CameraInfo to what a depth pipeline is given."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.image_decoding import ImageDecoder
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.camera_stream import Frame
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.pipeline.image import RectifiedImage, takes_as_rectified

if TYPE_CHECKING:
    from depth_anything_ros.pipeline.depth import DepthPipeline

# Beyond, an image's stamp is of another clock than the node's.
_LONGEST_TRANSPORT_S = 10.0


class ImageReader:
    """Decode images and prepare them with their cameras; say what is odd about them.

    Args:
        pipeline: prepares them.
    """

    def __init__(self, pipeline: DepthPipeline) -> None:
        self._pipeline = pipeline
        self._decoders: dict[str, ImageDecoder] = defaultdict(ImageDecoder)

    def read(self, frame: Frame, p: DepthParameters) -> RectifiedImage:
        """Return what the network is given; on its own, without a cloud, if need be.

        Raises:
            ImageError: where it cannot be decoded.
            CameraError: where the camera cannot be used and is needed.
        """
        stream, header, times = frame.stream, frame.header, _times_before(frame)
        decoder, pipeline = self._decoders[stream.name], self._pipeline
        with times.of("decode"):
            rgb = decoder.decode(frame.message, p.image)
        stream.doubts = decoder.doubts
        for cause, text in stream.doubts.items():
            stream.say_once(cause, f"{stream.image_topic}: {text}")
        height, width = rgb.shape[:2]
        is_rectified = is_rectified_topic(stream.image_topic)
        as_rectified = takes_as_rectified(p.rectify, is_rectified)
        any_frame = not p.camera.check_frame_id
        try:
            camera = stream.camera_of(header.frame_id, width, height, any_frame, as_rectified)
            image = pipeline.prepare(rgb, camera, stream.name, is_rectified, times)
        except CameraError as error:
            stream.problem = f"{error}; {pipeline.without_camera}"
            problem = f"{stream.resolved('camera_info')}: {stream.problem}"
            if pipeline.drops_uncalibrated:
                raise CameraError(problem, error.reason) from error
            stream.say_fault(error.reason, problem)
            return pipeline.prepare(rgb, None, stream.name, times=times)
        stream.tell_once(f"{stream.image_topic}: each picture is {image.treatment}")
        return image


def _times_before(frame: Frame) -> StageTimes:
    """Return how long an image travelled and waited; not the former where the clocks differ."""
    times = StageTimes()
    if 0 <= frame.age_s < _LONGEST_TRANSPORT_S:
        times.add("transport", frame.age_s)
    times.add("wait", time.monotonic() - frame.since)
    return times


def is_rectified_topic(topic: str) -> bool:
    """Say whether a topic's name follows the convention of image_proc for rectified images."""
    base = topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    return base.startswith("image_rect")
