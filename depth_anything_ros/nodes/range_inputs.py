"""Subscribe to what measures ranges, and find the measurements that belong to a picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, LaserScan, PointCloud, PointCloud2, Range

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.range_messages import (
    check_size,
    held_bytes,
    points_of,
)
from depth_anything_ros.nodes.camera_stream import stamp_of
from depth_anything_ros.nodes.following_subscription import FollowingSubscription
from depth_anything_ros.nodes.scale_anchor_parameters import RangeSyncParameters
from depth_anything_ros.nodes.stamp_buffer import StampBuffer
from depth_anything_ros.nodes.steady_time import steady_timer

TOPICS: dict[str, type] = {
    "lidar/points": PointCloud2,
    "landmarks": PointCloud,
    "scan": LaserScan,
    "range": Range,
    "sparse_depth": Image,
}
# A sensor that was silent for so long is waited for no more.
_SILENT_S = 1.0
# How often it looks who publishes ranges.
_FOLLOW_S = 0.5


@dataclass(frozen=True, eq=False)
class RangeMessage:
    """One message of a range sensor.

    Attributes:
        topic: one of ``TOPICS``.
        frame_id: of its points.
        message: itself; None where it was too large to be kept.
        max_points: more are not read.
        problem: why it was not kept.
    """

    topic: str
    frame_id: str
    message: Any
    max_points: int
    problem: str = ""

    def readable(self) -> Any:  # noqa: ANN401 - one of TOPICS
        """Return the message.

        Raises:
            DepthAnythingError: where it was not kept.
        """
        if self.problem:
            raise DepthAnythingError(self.problem, "too_large")
        return self.message

    @cached_property
    def points(self) -> NDArray[np.floating]:
        """Points (N, 3) in its frame, not all finite; read once, as pictures may share them.

        Raises:
            DepthAnythingError: with the reason ``bad_cloud`` or ``too_large``.
        """
        return points_of(self.readable(), self.max_points)


class RangeInputs:
    """Keep what range sensors said lately. Callbacks only keep; a worker asks and reads.

    Args:
        node: to subscribe with.
        sync: how long and how much to keep of each topic.
        on_jump: called with a topic whose stamps jumped backwards, and the stamp (ns) they jumped
            to, once the messages of before are forgotten.
    """

    def __init__(
        self, node: Node, sync: RangeSyncParameters, on_jump: Callable[[str, int], None]
    ) -> None:
        self._came = threading.Condition()
        self._on_jump = on_jump
        self._names = {name: str(node.resolve_topic_name(name)) for name in TOPICS}
        self._max_points = sync.max_points
        limits = round(sync.history_s * 1e9), sync.history_mb * 1_000_000
        self._buffers = {name: StampBuffer[RangeMessage](*limits) for name in TOPICS}
        self._arrived_s: dict[str, float] = {}
        self._subscriptions = [
            FollowingSubscription(node, kind, self._names[name], partial(self._keep, name))
            for name, kind in TOPICS.items()
        ]
        self._node, self._timer = node, steady_timer(node, _FOLLOW_S, self._follow)

    def _keep(self, name: str, message: Any) -> None:  # noqa: ANN401 - one of TOPICS
        stamp_ns, buffer = stamp_of(message), self._buffers[name]
        if buffer.is_jump(stamp_ns):
            with self._came:
                buffer.clear()
            self._on_jump(self._names[name], stamp_ns)
        item = self._checked(name, message)
        size = held_bytes(message) if item.message is not None else 0
        with self._came:
            buffer.put(stamp_ns, item, time.monotonic_ns(), size)
            self._arrived_s[name] = time.monotonic()
            self._came.notify_all()

    def _checked(self, name: str, message: Any) -> RangeMessage:  # noqa: ANN401 - one of TOPICS
        """Return what is to be kept of a message."""
        facts = name, message.header.frame_id
        try:
            check_size(message, self._max_points)
        except DepthAnythingError as error:  # as text: its traceback would hold the message
            return RangeMessage(*facts, None, self._max_points, str(error))
        return RangeMessage(*facts, message, self._max_points)

    def at(self, stamp_ns: int, max_offset_s: float, wait_s: float) -> list[RangeMessage]:
        """Return the nearest message of each topic that is near enough to a stamp.

        Waits for up to ``wait_s`` where there is none but, at the pace of a sensor, one is due.
        """
        within_ns = round(max_offset_s * 1e9)
        with self._came:
            self._came.wait_for(
                lambda: self._near(stamp_ns, within_ns) or not self._is_due(stamp_ns, within_ns),
                wait_s,
            )
            return self._near(stamp_ns, within_ns)

    def _near(self, stamp_ns: int, within_ns: int) -> list[RangeMessage]:
        nearest = (buffer.nearest(stamp_ns) for buffer in self._buffers.values())
        return [found[1] for found in nearest if found is not None and abs(found[0]) <= within_ns]

    def _is_due(self, stamp_ns: int, within_ns: int) -> bool:
        since = time.monotonic() - _SILENT_S
        alive = (name for name, arrived in self._arrived_s.items() if arrived > since)
        return any(self._buffers[name].is_due(stamp_ns, within_ns) for name in alive)

    def why_none(self, stamp_ns: int) -> str:
        """Say why no message is near a stamp."""
        now, offsets = time.monotonic(), {}
        with self._came:
            cut = {name for name, buffer in self._buffers.items() if buffer.is_cut}
            for name, buffer in self._buffers.items():
                found = buffer.nearest(stamp_ns)
                if found is not None:
                    offsets[name] = found[0] / 1e9
        if not offsets:
            return f"no ranges yet on {', '.join(self._names.values())}"
        name = min(offsets, key=lambda name: abs(offsets[name]))
        silent_s = now - self._arrived_s[name]
        if silent_s > _SILENT_S:
            return f"no ranges on {self._names[name]} for {silent_s:.1f} s"
        side = "after" if offsets[name] > 0 else "before"
        if side == "after" and name in cut:
            return (
                f"the nearest stamp kept of {self._names[name]} is {offsets[name]:.3f} s after "
                "the picture's: sync.history_mb holds no more of its messages"
            )
        return (
            f"the nearest stamp on {self._names[name]} is {abs(offsets[name]):.3f} s {side} the "
            "picture's: are the clocks one? See sync.max_offset_s and sync.wait_s"
        )

    def forget(self) -> None:
        """Drop all messages, as their time has jumped away."""
        with self._came:
            for buffer in self._buffers.values():
                buffer.clear()

    def _follow(self) -> None:
        """Follow what the publishers that are there now offer."""
        for subscription in self._subscriptions:
            subscription.adapt()

    def destroy(self) -> None:
        """End the subscriptions."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            subscription.destroy()
