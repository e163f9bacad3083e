"""recorder_node: write what other nodes publish to a rosbag2 in MCAP, byte for byte.

For machines without a ROS distribution, which have no ``ros2 bag``; the demo runs it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros.core.errors import ParameterError, SourceError
from depth_anything_ros.core.options import fixed
from depth_anything_ros.nodes.playback import fixed_parameters
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.steady_time import steady_timer

# Of the node's own machinery, not of its job.
LEFT_OUT = ("/rosout", "/parameter_events", "/transition_event")
DISCOVERY_S = 0.1
QUEUE = 50


@dataclass(frozen=True)
class RecorderParameters:
    """Everything that a user can set on recorder_node."""

    bag: str = fixed("", "Folder to write; it must not exist yet.")
    nodes: str = fixed(
        "depth_node,player_node",
        "Names of the nodes to record, with commas; of another namespace, after it and a slash.",
    )
    quiet_s: float = fixed(
        0.0,
        "Stop when nothing has come for this long after the first message and, by their "
        "diagnostics, no node works on a picture; 0 records until it is stopped.",
        unit="s",
        low=0.0,
        high=3600.0,
    )


class RecorderNode(Node):
    """Find every topic of some nodes and record it as it comes."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("recorder_node", **kwargs)
        self.parameters = fixed_parameters(self, RecorderParameters)
        path = Path(self.parameters.bag)
        if not self.parameters.bag:
            raise ParameterError("parameter bag is empty: give a folder to write")
        if path.exists():
            raise SourceError(f"the bag {path} exists already; remove it or name another")
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._recorded: dict[str, Any] = {}
        self._last_message: float | None = None
        # By node: when its diagnostics came, and how many pictures it had neither answered nor
        # dropped.
        self._pending: dict[str, tuple[float, int]] = {}
        self._timer = steady_timer(self, DISCOVERY_S, self._record_new_topics)

    @property
    def finished(self) -> bool:
        """Say whether it has been quiet for long enough, and not because a node is slow."""
        quiet, last = self.parameters.quiet_s, self._last_message
        if not quiet or last is None or time.monotonic() - last <= quiet:
            return False
        return all(said > last and pending <= 0 for said, pending in self._pending.values())

    def destroy_node(self) -> None:
        """Close the bag before the node goes."""
        self._writer.close()
        super().destroy_node()

    def _nodes(self) -> Iterator[tuple[str, str]]:
        """Return name and namespace of each node that is recorded."""
        for given in self.parameters.nodes.split(","):
            inner, _, name = given.rpartition("/")
            yield name, f"{self.get_namespace().rstrip('/')}/{inner}".rstrip("/") or "/"

    def _record_new_topics(self) -> None:
        for name, namespace in self._nodes():
            try:
                topics = self.get_publisher_names_and_types_by_node(name, namespace)
            except NodeNameNonExistentError:
                continue
            for topic, (type_name, *_) in topics:
                if not topic.endswith(LEFT_OUT) and topic not in self._recorded:
                    self._record(topic, type_name)

    def _record(self, topic: str, type_name: str) -> None:
        package, _, name = type_name.split("/")
        message_type = getattr(importlib.import_module(f"{package}.msg"), name)
        connection = self._writer.add_connection(topic, type_name, typestore=self._types)

        def write(data: bytes) -> None:
            self._writer.write(connection, time.time_ns(), data)
            if topic == "/diagnostics":  # which never falls silent
                self._read_status(deserialize_message(data, message_type))
            else:
                self._last_message = time.monotonic()

        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=QUEUE, reliability=ReliabilityPolicy.RELIABLE
        )
        self._recorded[topic] = self.create_subscription(message_type, topic, write, qos, raw=True)
        self.get_logger().info(f"recording {topic}")

    def _read_status(self, array: DiagnosticArray) -> None:
        # Not of others on the same network, who may be slow for ever.
        names = [f"{space.strip('/')}/{name}".lstrip("/") for name, space in self._nodes()]
        for status in array.status:
            said = {pair.key: pair.value for pair in status.values}
            if "frames in" in said and status.name.partition(":")[0] in names:
                done = (n for key, n in said.items() if key.startswith(("frames out", "dropped: ")))
                pending = int(said["frames in"]) - sum(map(int, done))
                self._pending[status.name] = (time.monotonic(), pending)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it has been quiet or is stopped."""
    return run_node(RecorderNode, args, until=lambda node: node.finished)


if __name__ == "__main__":
    raise SystemExit(main())
