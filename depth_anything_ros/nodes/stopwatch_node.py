"""stopwatch_node: a camera that says when a picture leaves, or a listener that notes arrivals.

Two processes of it, one in each role, time what runs between them; ``depth_anything benchmark
node`` does so. Both clocks are that of the machine. The camera ends by itself, the listener when it
is told to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.options import fixed
from depth_anything_ros.nodes.camera_stream import stamp_of
from depth_anything_ros.nodes.messages import camera_info_message, image_message
from depth_anything_ros.nodes.outlet import Audience
from depth_anything_ros.nodes.playback import fixed_parameters
from depth_anything_ros.nodes.qos import NEWEST, create_output, output_profile
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.steady_time import steady_timer

# What a listener may be told to listen to. Pictures it takes as depth_node does.
TOPICS = {
    "image": (Image, NEWEST),
    "depth/image_rect": (Image, output_profile()),
    "points": (PointCloud2, output_profile()),
}
HFOV_DEG = 70.0
# A camera stays for so long after its last picture, which may still be on its way.
LINGER_S = 1.0


@dataclass(frozen=True)
class StopwatchParameters:
    """Everything that a user can set on stopwatch_node."""

    role: str = fixed("camera", "What to do.", choices=("camera", "listener"))
    output: str = fixed("", "JSON file to write at the end.")
    width: int = fixed(640, "Of a camera's pictures.", unit="px", low=1, high=8192)
    height: int = fixed(480, "Of a camera's pictures.", unit="px", low=1, high=8192)
    rate_hz: float = fixed(30.0, "Of a camera's pictures.", unit="Hz", low=0.1, high=1000.0)
    count: int = fixed(300, "How many pictures a camera publishes.", low=1, high=1_000_000)
    topics: tuple[str, ...] = fixed(tuple(TOPICS), "That a listener listens to.")
    reliable: bool = fixed(
        False, "A listener asks for every picture again that is lost; depth_node takes what comes."
    )


class CameraRole:
    """Publish one picture again and again, with the time at which it leaves as its stamp.

    Args:
        node: that it is a part of.
        parameters: of the node.
    """

    def __init__(self, node: Node, parameters: StopwatchParameters) -> None:
        self._node, self._count = node, parameters.count
        self._stamps_ns: list[int] = []
        self._last = 0.0
        size, header = (parameters.width, parameters.height), Header(frame_id="camera")
        camera = Camera.from_hfov(*size, HFOV_DEG, "camera")
        self._info = camera_info_message(header, camera, size)
        self._image = image_message(header, _picture(*size), "bgr8")
        self._info_out = create_output(node, CameraInfo, "camera_info")
        self._image_out = create_output(node, Image, "image")
        self._audience = Audience([self._image_out], 1)
        self._timer = steady_timer(node, 1.0 / parameters.rate_hz, self._publish)

    @property
    def finished(self) -> bool:
        """Say whether all is published and has had time to arrive."""
        is_last = len(self._stamps_ns) == self._count
        return is_last and time.monotonic() - self._last > LINGER_S

    def found(self) -> dict[str, Any]:
        """Return the stamps of what was published, in nanoseconds."""
        return {"published": self._stamps_ns}

    def _publish(self) -> None:
        begun = bool(self._stamps_ns)
        if len(self._stamps_ns) == self._count or not (begun or self._audience.is_there()):
            return
        if not begun:
            self._node.get_logger().info("publishing")
        stamp = self._node.get_clock().now()
        self._info.header.stamp = self._image.header.stamp = stamp.to_msg()
        self._info_out.publish(self._info)
        self._image_out.publish(self._image)
        self._stamps_ns.append(stamp.nanoseconds)
        self._last = time.monotonic()


class ListenerRole:
    """Note the stamp and the time of arrival of every message, and what diagnostics say.

    Args:
        node: that it is a part of.
        parameters: of the node.
    """

    def __init__(self, node: Node, parameters: StopwatchParameters) -> None:
        unknown = [name for name in parameters.topics if name not in TOPICS]
        if unknown or not parameters.topics:
            raise ParameterError(
                f"topics has {', '.join(unknown) or 'nothing'}; known are {', '.join(TOPICS)}"
            )
        self._received: dict[str, list[tuple[int, int]]] = {name: [] for name in parameters.topics}
        self._statuses: list[tuple[int, dict[str, str]]] = []
        for name, rows in self._received.items():
            kind, qos = TOPICS[name]
            qos = output_profile() if parameters.reliable else qos
            node.create_subscription(kind, name, partial(self._note, rows), qos)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._keep_status, 10)
        node.get_logger().info(f"listening to {', '.join(parameters.topics)}")

    @property
    def finished(self) -> bool:
        """Say no: it cannot know what is still to come."""
        return False

    def found(self) -> dict[str, Any]:
        """Return stamps and times of arrival in nanoseconds, and the statuses with their times."""
        return {"received": self._received, "statuses": self._statuses}

    def _note(self, rows: list[tuple[int, int]], message: Any) -> None:  # noqa: ANN401 - of any type
        rows.append((stamp_of(message), time.time_ns()))

    def _keep_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {"name": status.name, **{v.key: v.value for v in status.values}}
            self._statuses.append((time.time_ns(), values))


class StopwatchNode(Node):
    """One end of what is timed."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("stopwatch_node", **kwargs)
        p = fixed_parameters(self, StopwatchParameters)
        if not p.output:
            raise ParameterError("parameter output is empty: give a JSON file to write")
        self._output = Path(p.output)
        is_camera = p.role == "camera"
        self.role = CameraRole(self, p) if is_camera else ListenerRole(self, p)

    def destroy_node(self) -> None:
        """Write what was found before the node goes."""
        self._output.write_text(json.dumps(self.role.found()) + "\n")
        super().destroy_node()


def _picture(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return smooth random colours, uint8 (height, width, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until all is published, or it is told to stop."""
    return run_node(StopwatchNode, args, until=lambda node: node.role.finished)


if __name__ == "__main__":
    raise SystemExit(main())
