"""What a node says of each of its cameras on /diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode

from depth_anything_ros.core.errors import printable
from depth_anything_ros.nodes.camera_stream import CameraStream
from depth_anything_ros.nodes.health import Health
from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.steady_time import ClockWatch, steady_timer

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
# Characters of what a status says, and of each of its values.
_LONGEST = 1000
# Drops that are the design at work, not a fault.
EXPECTED_DROPS = frozenset({"newer_frame", "missed", "late", "no_subscriber", "deactivated"})
# A level and the sentence that goes with it.
Said = tuple[bytes, str]


class Status:
    """Publish once a second how a node does by each of its cameras.

    Args:
        node: publishes.
        task: what the node does, in a word, for the name of its status.
        streams: returns its cameras.
        judge: returns the level and the sentence of one camera.
        facts: returns the key-value pairs that are the node's own.
        hardware: returns what the network runs on.
    """

    def __init__(
        self,
        node: LifecycleNode,
        task: str,
        streams: Callable[[], Sequence[CameraStream]],
        judge: Callable[[CameraStream, Health], Said],
        facts: Callable[[], dict[str, str]],
        hardware: Callable[[], str] = str,
    ) -> None:
        self._node, self._task, self._streams = node, task, streams
        self._judge, self._facts, self._hardware = judge, facts, hardware
        self._outlet = Outlet(node, node.create_publisher(DiagnosticArray, "/diagnostics", 1))
        self._clock_watch = ClockWatch(node)
        # Not of the node's clock: simulated time may stand still.
        self._timer = steady_timer(node, 1.0, self._publish)

    def _publish(self) -> None:
        array = DiagnosticArray(status=[self.of(stream) for stream in self._streams()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._outlet.publish(array)

    def of(self, stream: CameraStream) -> DiagnosticStatus:
        """Return the status of a camera, with what has happened since the last."""
        health = stream.health.look()
        level, message = self._judge(stream, health)
        held_up = stream.outputs.held_up() or self._outlet.problem()
        if held_up and level != ERROR:
            level, message = WARN, held_up  # and no wonder if no image came in
        if self._clock_watch.problem:
            level = WARN if level == OK else level
            message = f"{message}; {self._clock_watch.problem}"
        values = self._facts() | stream.steadiness.values()
        values |= {"clock jumps": str(stream.clock_jumps), **health.values()}
        name = f"{self._node.get_fully_qualified_name().lstrip('/')}: {self._task}"
        name += f" of {stream.name}" if stream.name else ""
        status = DiagnosticStatus(level=level, name=name, hardware_id=self._hardware())
        status.message = printable(message, _LONGEST)
        status.values = [
            KeyValue(key=key, value=printable(value, _LONGEST)) for key, value in values.items()
        ]
        return status


def dropped_for(stream: CameraStream, drops: Mapping[str, int]) -> str:
    """Return how many images were dropped for which reason, and why the last of each was."""
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(drops.items()))
    why = [stream.faults[reason] for reason in sorted(drops) if reason in stream.faults]
    return "; ".join([f"pictures dropped: {listed}", *why])
