"""What goes out of one camera: publishers by what an answer names, made use of where asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.compressed_depth import CompressedDepthOptions
from depth_anything_ros.core.depth import ESTIMATES, Kind
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.messages import (
    Outgoing,
    camera_info_message,
    cloud_message,
    compressed_depth_message,
    depth_message,
    image_message,
    points_message,
    scan_message,
)
from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.qos import OUTPUT_OVERRIDES, output_profile
from depth_anything_ros.pipeline.answer import Answer


class Style(NamedTuple):
    """How outputs are written: depth, its preview's colours, compressed depth, a scan's frame."""

    encoding: str = "32FC1"
    colormap: str = "inferno"
    compressed: CompressedDepthOptions = CompressedDepthOptions()
    scan_frame_id: str = ""


class CameraOutputs:
    """The publishers of one camera.

    Args:
        node: publishes.
        prefix: the beginning of their topics.

    Attributes:
        prefix: as given.
        publishers: by the names that they have in any camera's namespace.
    """

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        self.prefix = prefix
        self.publishers: dict[str, Outlet] = {}
        self._node = node
        # The memory of a message is that of the one before.
        self._image, self._cloud = Outgoing(Image), Outgoing(PointCloud2)

    def make(self, names: Sequence[str]) -> None:
        """Make the publishers, of ``OUTPUTS``."""
        for name in names:
            publisher = self._node.create_lifecycle_publisher(
                OUTPUTS[name].type,
                f"{self.prefix}{name}",
                output_profile(),
                qos_overriding_options=OUTPUT_OVERRIDES,
            )
            self.publishers[name] = Outlet(self._node, publisher)

    def destroy(self) -> None:
        """Give the publishers back."""
        for output in self.publishers.values():
            self._node.destroy_lifecycle_publisher(output.publisher)
        self.publishers = {}

    def wanted(self) -> set[str]:
        """Return the names of those that somebody subscribes to."""
        return {name for name, out in self.publishers.items() if out.get_subscription_count()}

    def held_up(self) -> str:
        """Return which of them a subscriber holds up; "" where none does."""
        problems = (output.problem() for output in self.publishers.values())
        return next(filter(None, problems), "")

    def publish(
        self, header: Header, answer: Answer, wanted: set[str], style: Style, times: StageTimes
    ) -> None:
        """Publish what is wanted of an answer and that it has, with the header of its image.

        Args:
            header: of the image.
            answer: to it.
            wanted: names of outputs; nothing is computed for others.
            style: how they are written.
            times: takes the stages ``depth``, ``preview``, ``cloud`` and ``publish``.
        """
        for name, publisher in self.publishers.items():
            if name in wanted:
                with times.of(OUTPUTS[name].stage):
                    message = OUTPUTS[name].write(self, header, answer, style)
                if message is not None:
                    with times.of("publish"):
                        publisher.publish(message)

    # What writes a message; None where the answer has nothing to say in it -------------------

    def _depth(self, header: Header, answer: Answer, style: Style) -> Image | None:
        if answer.estimate is None:
            return None
        return depth_message(header, answer.estimate, style.encoding, self._image)

    def _compressed_depth(
        self, header: Header, answer: Answer, style: Style
    ) -> CompressedImage | None:
        depth = None if answer.estimate is None else answer.estimate.metric
        if depth is None:
            return None
        return compressed_depth_message(header, depth, style.encoding, style.compressed)

    def _confidence(self, header: Header, answer: Answer, _style: Style) -> Image | None:
        if answer.confidence is None:
            return None
        return image_message(header, answer.confidence, "32FC1")

    def _preview(self, header: Header, answer: Answer, style: Style) -> Image | None:
        if answer.estimate is None:
            return None
        painted = colorize(answer.estimate.nearness(), style.colormap)
        return image_message(header, painted, "rgb8")

    def _points(self, header: Header, answer: Answer, _style: Style) -> PointCloud2 | None:
        cloud = answer.cloud(self._cloud.memory)
        return cloud and cloud_message(header, cloud, self._cloud)

    def _obstacles(self, header: Header, answer: Answer, _style: Style) -> PointCloud2 | None:
        found = answer.surroundings
        return found and points_message(header, found.obstacles.points)

    def _ground(self, header: Header, answer: Answer, _style: Style) -> PointCloud2 | None:
        found = answer.surroundings
        return found and points_message(header, found.obstacles.ground)

    def _scan(self, header: Header, answer: Answer, style: Style) -> LaserScan | None:
        found = answer.surroundings
        return found and scan_message(header, style.scan_frame_id, found.scan)

    def _camera_info(self, header: Header, answer: Answer, _style: Style) -> CameraInfo:
        return camera_info_message(header, answer.camera, answer.size)


class Output(NamedTuple):
    """A kind of output: its messages' type, the stage that writing them is, and what does."""

    type: type
    stage: str
    write: Callable[[CameraOutputs, Header, Answer, Style], Any]


_DEPTH = Output(Image, "depth", CameraOutputs._depth)
OUTPUTS = {
    "depth/image_rect": _DEPTH,
    "depth/image_rect/compressedDepth": Output(
        CompressedImage, "depth", CameraOutputs._compressed_depth
    ),
    "disparity/image_rect": _DEPTH,
    "affine_depth/image_rect": _DEPTH,
    "confidence/image": Output(Image, "depth", CameraOutputs._confidence),
    "depth/image_color": Output(Image, "preview", CameraOutputs._preview),
    "points": Output(PointCloud2, "cloud", CameraOutputs._points),
    "obstacles": Output(PointCloud2, "cloud", CameraOutputs._obstacles),
    "ground/points": Output(PointCloud2, "cloud", CameraOutputs._ground),
    "scan": Output(LaserScan, "cloud", CameraOutputs._scan),
    "depth/camera_info": Output(CameraInfo, "publish", CameraOutputs._camera_info),
}


def outputs_of(kind: Kind) -> tuple[str, ...]:
    """Return the names of what goes out of a kind of model, in the order of publishing."""
    metric = ("points", "depth/image_rect/compressedDepth") if kind == "metric" else ()
    return (
        f"{ESTIMATES[kind].name}/image_rect",
        "confidence/image",
        "depth/image_color",
        *metric,
        "depth/camera_info",
    )
