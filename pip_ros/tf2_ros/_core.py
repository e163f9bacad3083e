"""Hold a forest of frames over time and find the transform between two of them.

The rules are those of tf2::BufferCore of ROS 2 Jazzy.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger

from tf2_ros._exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros._rigid import Rigid

MAX_DEPTH = 1000
_NORM_TOLERANCE = 0.01
_HINT = (
    "This is the tf2_ros of pip_ros: it has only transforms given to it in this process, by a "
    "StaticTransformBroadcaster or by Buffer.set_transform and set_transform_static. Give it "
    "this one, or use a ROS distribution to receive /tf and /tf_static"
)


@dataclass(frozen=True)
class Link:
    """Where a frame is in its parent at a time, in ns."""

    stamp: int
    parent: str
    transform: Rigid

    def same_as(self, other: "Link") -> bool:
        """Say whether both hold the same data."""
        return (
            (self.stamp, self.parent) == (other.stamp, other.parent)
            and np.array_equal(self.transform.rotation, other.transform.rotation)
            and np.array_equal(self.transform.translation, other.transform.translation)
        )


@dataclass
class StaticHistory:
    """The one link of a frame that does not move; `clear` leaves it."""

    link: Link | None = None

    def insert(self, link: Link) -> bool:
        """Replace the link."""
        self.link = Link(0, link.parent, link.transform)
        return True

    def at(self, _stamp: int) -> Link | None:
        """Return the link, for any time."""
        return self.link

    @property
    def latest(self) -> Link | None:
        """Return the link."""
        return self.link

    def clear(self) -> None:
        """Keep the link."""


@dataclass
class MovingHistory:
    """The links of a frame that moves, in the order of their stamps."""

    span: int
    links: list[Link] = field(default_factory=list)

    def insert(self, link: Link) -> bool:
        """Add a link; refuse one that is older than the newest by more than the span."""
        if self.links:
            oldest = self.links[-1].stamp - self.span
            self.links = [kept for kept in self.links if kept.stamp >= oldest]
            if link.stamp < oldest:
                return False
        at = bisect_right(self.links, link.stamp, key=lambda kept: kept.stamp)
        if not any(link.same_as(kept) for kept in self.links if kept.stamp == link.stamp):
            self.links.insert(at, link)
        return True

    def at(self, stamp: int) -> Link:
        """Return the link at a time, interpolated; 0 is the newest."""
        if not self.links:
            raise ExtrapolationException(f"no data for time {_seconds(stamp)}: it was cleared")
        first, last = self.links[0], self.links[-1]
        if stamp in (0, last.stamp):
            return last
        if not first.stamp <= stamp <= last.stamp:
            side = "past" if stamp < first.stamp else "future"
            raise ExtrapolationException(
                f"lookup would require extrapolation into the {side}: requested time "
                f"{_seconds(stamp)}, data from {_seconds(first.stamp)} to {_seconds(last.stamp)}"
            )
        if stamp == first.stamp:
            return first
        newer = bisect_right(self.links, stamp, key=lambda kept: kept.stamp)
        return _between(self.links[newer - 1], self.links[newer], stamp)

    @property
    def latest(self) -> Link | None:
        """Return the newest link."""
        return self.links[-1] if self.links else None

    def clear(self) -> None:
        """Forget all links."""
        self.links.clear()


HistoryType: TypeAlias = type[StaticHistory] | type[MovingHistory]


def _between(older: Link, newer: Link, stamp: int) -> Link:
    if older.parent != newer.parent:
        return older
    ratio = (stamp - older.stamp) / (newer.stamp - older.stamp)
    return Link(stamp, older.parent, older.transform.towards(newer.transform, ratio))


def _seconds(stamp: int) -> str:
    return f"{stamp / 1e9:.6f}"


class BufferCore:
    """Hold transforms and find the one between two frames at a time, in ns; 0 is the newest."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._lock = threading.RLock()
        # A frame that is only a parent has no history.
        self._frames: dict[str, StaticHistory | MovingHistory | None] = {}

    def clear(self) -> None:
        """Forget the transforms that move; static ones stay, and so do the names of frames."""
        with self._lock:
            for history in self._frames.values():
                if history is not None:
                    history.clear()

    def _store(self, msg: TransformStamped, authority: str, kind: HistoryType) -> None:
        """Keep a transform; an invalid one is logged and left out, as by tf2."""
        problem = _problem(msg)
        if problem is None:
            problem = self._insert(msg, kind)
        if problem is not None:
            get_logger("tf2").error(
                f"ignored the transform from {msg.header.frame_id!r} to {msg.child_frame_id!r} "
                f"of {authority!r}: {problem}"
            )

    def _insert(self, msg: TransformStamped, kind: HistoryType) -> str | None:
        child, parent = _strip(msg.child_frame_id), _strip(msg.header.frame_id)
        stamp = msg.header.stamp.sec * 1_000_000_000 + msg.header.stamp.nanosec
        with self._lock:
            history = self._frames.get(child)
            if not isinstance(history, kind):
                moving = kind is MovingHistory
                history = MovingHistory(self._span) if moving else StaticHistory()
                self._frames[child] = history
            self._frames.setdefault(parent, None)
            assert history is not None
            if history.insert(Link(stamp, parent, Rigid.from_msg(msg.transform))):
                return None
        return f"its time {_seconds(stamp)} is older than all that is kept"

    def _find(self, target: str, source: str, stamp: int) -> tuple[Rigid, int]:
        """Return the transform of points in `source` to `target`, and the time it is for.

        Raises the child of TransformException that tf2 raises.
        """
        with self._lock:
            if target == source:
                return Rigid.identity(), stamp or self._latest_stamp(target)
            self._require(target, "target_frame")
            self._require(source, "source_frame")
            stamp = stamp or self._latest_common_stamp(target, source)
            return self._walk(target, source, stamp), stamp

    def _latest_stamp(self, frame: str) -> int:
        history = self._frames.get(frame)
        link = history.latest if history is not None else None
        return link.stamp if link is not None else 0

    def _require(self, frame: str, argument: str) -> None:
        if not frame or frame.startswith("/"):
            raise InvalidArgumentException(
                f"{argument} is {frame!r}: a tf2 frame id is not empty and has no leading '/'"
            )
        if frame not in self._frames:
            raise LookupException(f"{argument} {frame!r} does not exist. {_HINT}")

    def _latest_common_stamp(self, target: str, source: str) -> int:
        """Return the newest time for which all moving links between two frames have data."""
        up_source, up_target = list(self._newest(source)), list(self._newest(target))
        above_source = [source] + [link.parent for link in up_source]
        above_target = [target] + [link.parent for link in up_target]
        common = next((frame for frame in above_target if frame in above_source), None)
        if common is None:
            raise self._not_connected(target, source)
        links = up_source[: above_source.index(common)] + up_target[: above_target.index(common)]
        return min((link.stamp for link in links if link.stamp), default=0)

    def _newest(self, frame: str) -> Iterator[Link]:
        """Go up from a frame by the newest link of each."""
        for _ in range(MAX_DEPTH + 1):
            history = self._frames.get(frame)
            link = history.latest if history is not None else None
            if link is None:
                return
            yield link
            frame = link.parent
        raise LookupException(f"the tf tree is invalid: it has a loop above {frame!r}")

    def _walk(self, target: str, source: str, stamp: int) -> Rigid:
        """Go up from the source to the target or the root, then from the target to there."""
        source_up, top, reason = self._climb(source, target, stamp)
        if top == target:
            return source_up
        target_up, end, target_reason = self._climb(target, top, stamp)
        if end == top:
            return target_up.inverse() @ source_up
        missing = target_reason or reason
        if missing is None:
            raise self._not_connected(target, source)
        raise ExtrapolationException(
            f"{missing}, when looking up the transform from frame {source!r} to frame {target!r}"
        )

    def _climb(
        self, frame: str, goal: str, stamp: int
    ) -> tuple[Rigid, str, TransformException | None]:
        """Go up until the goal, the root, or a frame without data at the time, and say which."""
        total = Rigid.identity()
        for _ in range(MAX_DEPTH + 1):
            history = self._frames.get(frame)
            if frame == goal or history is None:
                return total, frame, None
            try:
                link = history.at(stamp)
            except ExtrapolationException as reason:
                return total, frame, reason
            assert link is not None
            total = link.transform @ total
            frame = link.parent
        raise LookupException(f"the tf tree is invalid: it has a loop above {frame!r}")

    def _not_connected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"{target!r} and {source!r} are not in the same tree of frames. {_HINT}"
        )


def _strip(frame: str) -> str:
    return frame[1:] if frame.startswith("/") else frame


def _problem(msg: TransformStamped) -> str | None:
    """Return why a transform cannot be kept, or None."""
    child, parent = _strip(msg.child_frame_id), _strip(msg.header.frame_id)
    if not child or not parent:
        return "a frame id is empty"
    if child == parent:
        return "a frame cannot be its own parent"
    q, t = msg.transform.rotation, msg.transform.translation
    if np.isnan([q.x, q.y, q.z, q.w, t.x, t.y, t.z]).any():
        return "it has a NaN"
    if abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1.0) >= _NORM_TOLERANCE:
        return f"its quaternion ({q.x}, {q.y}, {q.z}, {q.w}) has not length 1"
    return None
