"""The images of one camera: what comes in, what goes out, and how that went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.camera_lookup import CameraLookup
from depth_anything_ros.core.errors import (
    CameraError,
    DepthAnythingError,
    first_line,
    printable,
    trace,
)
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.following_subscription import FollowingSubscription
from depth_anything_ros.nodes.health import FaultLog, HealthMonitor
from depth_anything_ros.nodes.outputs import CameraOutputs
from depth_anything_ros.nodes.steadiness import Steadiness

# No stamp is earlier.
_BEFORE_ALL_NS = -(1 << 63)
# CameraInfo comes just after its image: let the first image wait that long.
FIRST_CAMERA_INFO_S = 0.25


@dataclass(frozen=True, eq=False)
class Frame:
    """An image on its way to an answer.

    Attributes:
        stream: the camera's.
        message: any message with a header.
        since: the time of its arrival, on the monotonic clock.
        epoch: how often the time of its stream had jumped backwards by then.
        age_s: the time from its stamp to its arrival, on the node's clock.
    """

    stream: CameraStream
    message: Any
    since: float
    epoch: int
    age_s: float

    @property
    def header(self) -> Header:
        """The header, which goes out with the answer."""
        return self.message.header

    @property
    def stamp_ns(self) -> int:
        """The stamp."""
        return stamp_of(self.message)

    def drop(self, reason: str) -> None:
        """Count it among those that get no answer."""
        self.stream.health.dropped(reason)

    def answered(self, times: StageTimes | None = None) -> None:
        """Count it among those that were answered, with the times of its stages."""
        self.stream.health.answered(self.since, times)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count it as dropped where the block raises, and say why; then go on."""
        try:
            yield
        except DepthAnythingError as error:
            self.stream.dropped(error.reason, str(error))
        except Exception as error:  # out of memory, a lost device, or a bug: go on
            self.stream.dropped_for(error)


class CameraStream:
    """One camera of a node, with the topics in and out that are its own.

    Args:
        node: subscribes and publishes.
        name: the beginning of its topics; "" for those of a node that has one camera.

    Attributes:
        lookup: the CameraInfo that came.
        health: counts of its images.
        outputs: its publishers.
        steadiness: how its depth is steadied.
        clock_jumps: how often time has jumped backwards.
        image_topic: resolved name; "" before the first subscription.
        problem: what is wrong with the camera of its newest image, "" where nothing is.
        doubts: what may be wrong with its newest image itself, by cause.
        faults: why an image was dropped last, by the reason that is counted.
    """

    def __init__(self, node: LifecycleNode, name: str) -> None:
        self.name = name
        self.lookup = CameraLookup()
        self.health = HealthMonitor()
        self.outputs = CameraOutputs(node, f"{name}/" if name else "")
        self.steadiness = Steadiness()
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

    def resolved(self, name: str) -> str:
        """Return the full name of one of its topics, after remapping."""
        return str(self._node.resolve_topic_name(f"{self.outputs.prefix}{name}"))

    # Said -----------------------------------------------------------------------------------

    def tell_once(self, text: str) -> None:
        """Say what is done, once an activation."""
        if text not in self._said:
            self._said.add(text)
            self._node.get_logger().info(text)

    def say_once(self, cause: str, text: str) -> None:
        """Warn of a cause once an activation; diagnostics go on counting."""
        if cause not in self._said:
            self._said.add(cause)
            self._node.get_logger().warning(printable(text))

    def say_fault(self, cause: str, text: str) -> None:
        """Warn of a fault when it is new, and again when what is said of its cause changes."""
        self._fault_log.say(cause, printable(text))

    def dropped(self, reason: str, why: str, trace: str = "") -> None:
        """Count an image that gets no answer, and say why.

        Args:
            reason: a word, to count by.
            why: in one line.
            trace: what the log has in its place, where there is any.
        """
        self.health.dropped(reason)
        self.faults[reason] = why
        text = f"{self.image_topic}: picture dropped: {trace or why}"
        self._fault_log.say(reason, text, why)

    def dropped_for(self, error: Exception) -> None:
        """Count an image that gets no answer for an error that nobody expected."""
        if is_short_of_memory(error):
            self.dropped("out_of_memory", SHORT_OF_MEMORY)
        elif self._node.context.ok():  # otherwise shut down while publishing
            self.dropped("inference", f"{type(error).__name__}: {first_line(error)}", trace())

    # In -------------------------------------------------------------------------------------

    def subscribe(
        self,
        message_type: type,
        image_topic: str,
        callback: Callable[[CameraStream, Any], None],
    ) -> None:
        """Subscribe to images and to their camera_info.

        Args:
            message_type: the type of the images.
            image_topic: resolved name.
            callback: called with this and each image; it is to ``receive`` it.
        """
        self._said.clear()
        self._fault_log.clear()
        self.doubts, self.faults = {}, {}
        self.health.restart()
        self.steadiness.clear()
        self._newest_ns, self._waited = _BEFORE_ALL_NS, False
        self.problem, self.image_topic = "", image_topic
        take = partial(callback, self)
        # Each is kept at once, to be given back were the next to fail.
        self._subscriptions.append(
            FollowingSubscription(
                self._node, CameraInfo, self.resolved("camera_info"), self.lookup.update
            )
        )
        self._subscriptions.append(
            FollowingSubscription(
                self._node, message_type, image_topic, take, on_missed=self.health.missed
            )
        )

    def unsubscribe(self) -> None:
        """Undo ``subscribe``, were it half."""
        while self._subscriptions:
            self._subscriptions.pop().destroy()

    def adapt(self) -> None:
        """Follow what the publishers that are there now offer."""
        for subscription in self._subscriptions:
            subscription.adapt()

    def late_ns(self, stamp_ns: int) -> int:
        """Return how much earlier a stamp is than that of the newest image; 0 where it is not."""
        return max(self._newest_ns - stamp_ns, 0)

    def receive(self, message: Any) -> Frame:  # noqa: ANN401 - any message with a header
        """Count an image that came."""
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
        """Let the first image of an activation wait for the first camera_info."""
        if not self._waited:
            self._waited = True
            self.lookup.wait_for_first(FIRST_CAMERA_INFO_S)

    def camera_of(
        self,
        frame_id: str,
        width: int,
        height: int,
        any_frame: bool,
        is_rectified: bool = False,
    ) -> Camera:
        """Return the camera of an image; what is odd about it is said once.

        What depth may be wrong by is the stream's problem as long as it lasts.

        Raises:
            CameraError: as ``CameraLookup.match``.
        """
        match = self.lookup.match(frame_id, width, height, any_frame, is_rectified)
        for remark in match.remarks:
            self.say_once(remark.cause, f"{self.resolved('camera_info')}: {remark.text}")
        self.problem = "; ".join(remark.text for remark in match.remarks if remark.is_doubt)
        return match.camera

    def camera_of_depth(self, frame: Frame, any_frame: bool) -> Camera:
        """Return the camera of an image that a node of this package has published.

        As it came: by K and D, whatever P and R would make of it.

        Raises:
            CameraError: naming the topic.
        """
        size = (frame.message.width, frame.message.height)
        try:
            return self.camera_of(frame.header.frame_id, *size, any_frame).as_taken()
        except CameraError as error:
            topic = self.resolved("camera_info")
            raise CameraError(f"{topic}: {error}", error.reason) from error


def drop(frames: Iterable[Frame] | None, reason: str) -> None:
    """Count images, if any, that get no answer."""
    for frame in frames or ():
        frame.drop(reason)


def newest_ns(frames: Sequence[Frame]) -> int:
    """Return the latest stamp of images that belong together."""
    return max(frame.stamp_ns for frame in frames)


def stamp_of(message: Any) -> int:  # noqa: ANN401 - any message with a header
    """Return a message's stamp in ns; not by rclpy's Time, which refuses a negative one."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
