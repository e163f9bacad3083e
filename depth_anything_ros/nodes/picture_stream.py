"""The pictures of one camera: what comes in, what goes out, and how that went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import printable
from depth_anything_ros.nodes.camera_lookup import CameraLookup
from depth_anything_ros.nodes.fault_log import FaultLog
from depth_anything_ros.nodes.following_subscription import FollowingSubscription
from depth_anything_ros.nodes.health import HealthMonitor
from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.qos import OUTPUT_OVERRIDES, output_profile

# No stamp is earlier.
_BEFORE_ALL_NS = -(1 << 63)
# CameraInfo comes just after its picture: let the first picture wait that long.
FIRST_CAMERA_INFO_S = 0.25


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture on its way to an answer.

    Attributes:
        stream: that it came by.
        message: any message with a header.
        since: when it came, on the monotonic clock.
        epoch: how often the time of its stream had jumped backwards by then.
        age_s: from its stamp to its arrival, on the node's clock.
    """

    stream: PictureStream
    message: Any
    since: float
    epoch: int
    age_s: float


class PictureStream:
    """One camera of a node, with the topics in and out that are its own.

    Args:
        node: to subscribe and publish with.
        name: what its topics begin with; "" for those of a node that has one camera.

    Attributes:
        lookup: of the CameraInfo that came.
        health: counts of its pictures.
        outputs: publishers by the names that they have in any camera's namespace.
        clock_jumps: how often time has jumped backwards.
        image_topic: resolved name; "" before the first subscription.
        problem: what is wrong with the camera of its newest picture, "" where nothing is.
        doubts: what may be wrong with its newest picture itself, by cause.
        faults: why a picture was dropped last, by the reason that is counted.
    """

    def __init__(self, node: LifecycleNode, name: str) -> None:
        self.name = name
        self.lookup = CameraLookup()
        self.health = HealthMonitor()
        self.outputs: dict[str, Outlet] = {}
        self.clock_jumps = 0
        self.image_topic = ""
        self.problem = ""
        self.doubts: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self._node = node
        self._fault_log = FaultLog(lambda text: node.get_logger().warning(text))
        self._said: set[str] = set()
        self._newest_ns = _BEFORE_ALL_NS
        self._waited = False
        self._subscriptions: list[FollowingSubscription] = []

    def topic(self, name: str) -> str:
        """Return the name of one of its topics, relative to the node's namespace."""
        return f"{self.name}/{name}" if self.name else name

    def resolved(self, name: str) -> str:
        """Return the full name of one of its topics, after remapping."""
        return str(self._node.resolve_topic_name(self.topic(name)))

    def say_once(self, cause: str, text: str) -> None:
        """Warn of a cause once an activation; diagnostics go on counting."""
        if cause not in self._said:
            self._said.add(cause)
            self._node.get_logger().warning(printable(text))

    def say_fault(self, cause: str, text: str) -> None:
        """Warn of a fault when it is new, and again when what is said of its cause changes."""
        self._fault_log.say(cause, printable(text))

    def picture_dropped(self, reason: str, why: str, trace: str = "") -> None:
        """Count a picture that gets no answer, and say why.

        Args:
            reason: a word, to count by.
            why: in one line.
            trace: what the log has in its place, where there is any.
        """
        self.health.dropped(reason)
        self.faults[reason] = why
        text = f"{self.image_topic}: picture dropped: {trace or why}"
        self._fault_log.say(reason, text, why)

    def tell_once(self, text: str) -> None:
        """Say what is done, once an activation."""
        if text not in self._said:
            self._said.add(text)
            self._node.get_logger().info(text)

    def camera_of(
        self,
        frame_id: str,
        width: int,
        height: int,
        any_frame: bool,
        is_rectified: bool = False,
    ) -> Camera:
        """Return the camera of a picture; what is odd about it is said once.

        What depth may be wrong by is the stream's problem as long as it lasts.

        Raises:
            CameraError: as ``CameraLookup.match``.
        """
        match = self.lookup.match(frame_id, width, height, any_frame, is_rectified)
        for remark in match.remarks:
            self.say_once(remark.cause, f"{self.resolved('camera_info')}: {remark.text}")
        self.problem = "; ".join(remark.text for remark in match.remarks if remark.is_doubt)
        return match.camera

    # In -------------------------------------------------------------------------------------

    def subscribe(
        self,
        message_type: type,
        image_topic: str,
        callback: Callable[[PictureStream, Any], None],
    ) -> None:
        """Subscribe to pictures and to their camera_info.

        Args:
            message_type: of the pictures.
            image_topic: resolved name.
            callback: called with this and each picture; it is to ``receive`` it.
        """
        self._said.clear()
        self._fault_log.clear()
        self.doubts, self.faults = {}, {}
        self.health.restart()
        self._newest_ns, self._waited = _BEFORE_ALL_NS, False
        self.problem, self.image_topic = "", image_topic
        inputs: tuple[tuple[type, str, Callable[[Any], None]], ...] = (
            (CameraInfo, self.resolved("camera_info"), self.lookup.update),
            (message_type, image_topic, partial(callback, self)),
        )
        for one in inputs:  # each is kept at once, to be given back were the next to fail
            self._subscriptions.append(FollowingSubscription(self._node, *one))

    def unsubscribe(self) -> None:
        """Undo ``subscribe``, were it half."""
        while self._subscriptions:
            self._subscriptions.pop().destroy()

    def adapt(self) -> None:
        """Follow what the publishers that are there now offer."""
        for subscription in self._subscriptions:
            subscription.adapt()

    def late_ns(self, stamp_ns: int) -> int:
        """Return how much earlier a stamp is than that of the newest picture; 0 where it is not."""
        return max(self._newest_ns - stamp_ns, 0)

    def receive(self, message: Any) -> Frame:  # noqa: ANN401 - any message with a header
        """Count a picture that came."""
        stamp_ns = stamp_of(message)
        self._newest_ns = max(self._newest_ns, stamp_ns)
        age_s = 1e-9 * (self._node.get_clock().now().nanoseconds - stamp_ns)
        return Frame(self, message, self.health.received(), self.clock_jumps, age_s)

    def restart_time(self) -> None:
        """Count a backward jump of time and take any stamp as the first."""
        self.clock_jumps += 1
        self._newest_ns = _BEFORE_ALL_NS
        self.health.restart()

    def wait_for_camera(self) -> None:
        """Let the first picture of an activation wait for the first camera_info."""
        if not self._waited:
            self._waited = True
            self.lookup.wait_for_first(FIRST_CAMERA_INFO_S)

    # Out ------------------------------------------------------------------------------------

    def make_outputs(self, types: dict[str, type]) -> None:
        """Make the publishers, by name."""
        for name, message_type in types.items():
            publisher = self._node.create_lifecycle_publisher(
                message_type,
                self.topic(name),
                output_profile(),
                qos_overriding_options=OUTPUT_OVERRIDES,
            )
            self.outputs[name] = Outlet(self._node, publisher)

    def destroy_outputs(self) -> None:
        """Give the publishers back."""
        for output in self.outputs.values():
            self._node.destroy_lifecycle_publisher(output.publisher)
        self.outputs = {}

    def wanted(self) -> set[str]:
        """Return the names of the outputs that somebody subscribes to."""
        return {name for name, out in self.outputs.items() if out.get_subscription_count()}

    def held_up(self) -> str:
        """Return which output a subscriber holds up; "" where none does."""
        problems = (output.problem() for output in self.outputs.values())
        return next(filter(None, problems), "")


def stamp_of(message: Any) -> int:  # noqa: ANN401 - any message with a header
    """Return a message's stamp in ns; not by rclpy's Time, which refuses a negative one."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
