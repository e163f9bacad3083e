"""Look up transforms between frames: a stand-in for the Python tf2_ros of ROS 2 Jazzy.

For machines without a ROS distribution; never installed beside one. The rules are those of
tf2::BufferCore, for what depth_anything_ros calls.

PyPI has no tf2_msgs, so nothing here reaches /tf or /tf_static: a buffer with a `TransformListener`
gets the transforms of the broadcasters OF THIS PROCESS, within `sendTransform` and on the sender's
thread, with no node spinning. Static ones reach listeners that come later, too, for as long as
their broadcaster lives. Transforms of other processes need a ROS distribution.
"""

import bisect
import math
import threading
import weakref
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import Transform, TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]

Matrix = NDArray[np.float64]

_NORM_TOLERANCE = 0.01
_NO_WAIT = Duration()
_HINT = (
    "This is the tf2_ros of pip_ros, which knows the transforms that are sent in this process: use "
    "a ROS distribution to receive /tf and /tf_static"
)


class TransformException(Exception):  # noqa: N818 - tf2's names
    """Say that a transform is not available: the parent of all others here."""


class ConnectivityException(TransformException):
    """Say that two frames are in trees without a connection."""


class LookupException(TransformException):
    """Say that a frame does not exist, or that the tree has a loop."""


class ExtrapolationException(TransformException):
    """Say that the time asked for is outside the times of the data."""


@dataclass
class _Frame:
    """Where a frame is in its parent.

    Attributes:
        is_static: whether what is known holds at any time.
        links: stamp (ns), parent and matrix (4, 4), by stamp; one where it is static.
    """

    is_static: bool
    links: list[tuple[int, str, Matrix]] = field(default_factory=list)

    @property
    def newest(self) -> int | None:
        """Stamp of the newest link; None where it is static."""
        return None if self.is_static else self.links[-1][0]

    def put(self, stamp: int, parent: str, matrix: Matrix, span: int) -> bool:
        """Keep a link and what is not older than the newest by more than a span; False: too old."""
        kept = {} if self.is_static else {one[0]: one for one in self.links}
        kept[stamp] = stamp, parent, matrix
        oldest = max(kept) - span
        self.links = [kept[key] for key in sorted(kept) if key >= oldest]
        return stamp >= oldest

    def at(self, stamp: int) -> tuple[str, Matrix]:
        """Return parent and matrix at a time, interpolated; 0 is the newest."""
        first, last = self.links[0][0], self.links[-1][0]
        if self.is_static or stamp in (0, last):
            return self.links[-1][1:]
        if not first <= stamp <= last:
            side = "past" if stamp < first else "future"
            raise ExtrapolationException(
                f"lookup would require extrapolation into the {side}: requested time "
                f"{stamp / 1e9:.6f}, data from {first / 1e9:.6f} to {last / 1e9:.6f}"
            )
        newer = bisect.bisect_right(self.links, stamp, key=lambda one: one[0])
        (before, parent, start), (after, other, end) = self.links[newer - 1 : newer + 1]
        if parent != other:
            return parent, start
        return parent, _between(start, end, (stamp - before) / (after - before))


class Buffer:
    """Hold the transforms of this process and find the one between two frames.

    Transforms that move are kept for `cache_time`, 10 s by default. A `node`, with whose clock the
    real one jumps, is not in this stand-in.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        if node is not None:
            raise NotImplementedError("the tf2_ros of pip_ros has a Buffer without a node")
        self._span = (cache_time or Duration(seconds=10)).nanoseconds
        self._lock = threading.RLock()
        self._frames: dict[str, _Frame] = {}

    def clear(self) -> None:
        """Forget the transforms that move; static ones stay."""
        with self._lock:
            self._frames = {name: one for name, one in self._frames.items() if one.is_static}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep where a child frame is in its parent at header.stamp.

        An invalid one (NaN, quaternion not of length 1) is logged and left out, as is one that is
        older than all that is kept.
        """
        self._put(transform, False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Keep where a child frame is in its parent at any time; it replaces an earlier one."""
        self._put(transform, True)

    def _put(self, message: TransformStamped, is_static: bool) -> None:
        child, parent = (
            name.removeprefix("/") for name in (message.child_frame_id, message.header.frame_id)
        )
        q, t = message.transform.rotation, message.transform.translation
        problem = ""
        if not abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1.0) < _NORM_TOLERANCE:
            problem = f"its quaternion ({q.x}, {q.y}, {q.z}, {q.w}) has not length 1"
        elif np.isnan([t.x, t.y, t.z]).any() or not child or not parent or child == parent:
            problem = "it has a NaN, or not two frames"
        else:
            with self._lock:
                frame = self._frames.get(child)
                if frame is None or frame.is_static != is_static:
                    self._frames[child] = frame = _Frame(is_static)
                stamp = _nanoseconds(message.header.stamp)
                if not frame.put(stamp, parent, _matrix(message.transform), self._span):
                    problem = "its time is older than all that is kept"
        if problem:
            get_logger("tf2").error(f"ignored the transform of {child!r} in {parent!r}: {problem}")

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time | TimeMsg,
        timeout: Duration = _NO_WAIT,
    ) -> TransformStamped:
        """Return the transform that takes points in the source frame to the target frame.

        Time 0 is the newest for which there is data; the stamp of the result is the time it is
        for. To wait for up to `timeout` is not in this stand-in. Raises LookupException,
        ConnectivityException or ExtrapolationException.
        """
        if timeout.nanoseconds:
            raise NotImplementedError("the tf2_ros of pip_ros does not wait for a transform")
        stamp = _nanoseconds(time)
        with self._lock:
            if target_frame != source_frame:
                self._require(target_frame, source_frame)
            up, down, top, reason = self._ways(target_frame, source_frame, stamp)
            if top and not stamp:  # the newest that all links between the two have
                between = [*takewhile(top.__ne__, up), *takewhile(top.__ne__, down)]
                newest = [self._frames[name].newest for name in between]
                stamp = min((one for one in newest if one is not None), default=0)
                up, down, top, reason = self._ways(target_frame, source_frame, stamp)
        if not top:
            raise reason or self._not_connected(target_frame, source_frame)
        result = TransformStamped(child_frame_id=source_frame)
        result.header.frame_id = target_frame
        result.header.stamp.sec, result.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        result.transform = _transform(np.linalg.inv(down[top]) @ up[top])
        return result

    def _require(self, *names: str) -> None:
        known = {*self._frames, *(one[1] for held in self._frames.values() for one in held.links)}
        for name in names:
            if name not in known:
                raise LookupException(f"frame {name!r} does not exist. {_HINT}")

    def _ways(
        self, target: str, source: str, stamp: int
    ) -> tuple[dict[str, Matrix], dict[str, Matrix], str, TransformException | None]:
        """Return the ways up of both, the frame where they meet, "" if none, and why."""
        up, why_up = self._way_up(source, stamp)
        down, why_down = self._way_up(target, stamp)
        return up, down, next((name for name in up if name in down), ""), why_down or why_up

    def _way_up(
        self, name: str, stamp: int
    ) -> tuple[dict[str, Matrix], ExtrapolationException | None]:
        """Return what takes points of a frame to each frame above it, and what ended the way."""
        matrix = np.eye(4)
        found = {name: matrix}
        while name in self._frames:
            try:
                name, step = self._frames[name].at(stamp)
            except ExtrapolationException as reason:
                return found, reason
            if name in found:
                raise LookupException(f"the tf tree is invalid: it has a loop above {name!r}")
            found[name] = matrix = step @ matrix
        return found, None

    def _not_connected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"{target!r} and {source!r} are not in the same tree of frames. {_HINT}"
        )


class TransformBroadcaster:
    """Send transforms to every buffer of the process that has a `TransformListener` by then.

    There is no topic, so `qos` is taken and not used.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self._node = node

    def sendTransform(  # noqa: N802
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Send one transform or several."""
        with _LOCK:
            for listener in list(_LISTENERS):
                for one in _listed(transform):
                    listener.buffer.set_transform(one, "default_authority")


class StaticTransformBroadcaster:
    """Send static transforms to every buffer of the process that has a `TransformListener`.

    There is no topic, so `qos` is taken and not used.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self._node = node
        self.sent: list[TransformStamped] = []
        with _LOCK:
            _BROADCASTERS.add(self)

    def sendTransform(  # noqa: N802
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Send one transform or several."""
        sent = deepcopy(_listed(transform))
        with _LOCK:
            self.sent += sent
            for listener in list(_LISTENERS):
                listener.take(sent)


class TransformListener:
    """Give a buffer all transforms of the broadcasters of this process.

    There is no topic, so `qos`, `static_qos` and `spin_thread` are taken and not used.
    """

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        self.buffer, self.node = buffer, node
        with _LOCK:
            _LISTENERS.add(self)
            for broadcaster in list(_BROADCASTERS):
                self.take(broadcaster.sent)

    def take(self, static: Iterable[TransformStamped]) -> None:
        """Give static transforms to the buffer."""
        for one in static:
            self.buffer.set_transform_static(one, "default_authority")

    def unregister(self) -> None:
        """Give the buffer nothing more."""
        with _LOCK:
            _LISTENERS.discard(self)


_LOCK = threading.RLock()
_LISTENERS: "weakref.WeakSet[TransformListener]" = weakref.WeakSet()
_BROADCASTERS: "weakref.WeakSet[StaticTransformBroadcaster]" = weakref.WeakSet()


def _listed(transform: TransformStamped | Iterable[TransformStamped]) -> list[TransformStamped]:
    return list(transform) if isinstance(transform, Iterable) else [transform]


def _nanoseconds(time: Time | TimeMsg) -> int:
    if isinstance(time, TimeMsg):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    return int(time.nanoseconds)


def _matrix(message: Transform) -> Matrix:
    t, q = message.translation, message.rotation
    return _rigid(np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z]))


def _rigid(quaternion: Matrix, translation: Matrix) -> Matrix:
    """Return a 4×4 matrix: R = I + 2 w [v]x + 2 [v]x², with the quaternion (v, w)."""
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = translation
    return matrix


def _quaternion(matrix: Matrix) -> Matrix:
    """Return x, y, z, w >= 0 of a rotation: its eigenvector (Bar-Itzhack, 2000, equation 6)."""
    R = matrix[:3, :3]
    K = np.zeros((4, 4))
    K[:3, :3] = R + R.T - np.trace(R) * np.eye(3)
    K[3, :3] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    K[3, 3] = np.trace(R)
    quaternion: Matrix = np.linalg.eigh(K)[1][:, -1]  # of the lower triangle
    return quaternion if quaternion[3] >= 0 else -quaternion


def _transform(matrix: Matrix) -> Transform:
    message = Transform()
    q, t = message.rotation, message.translation
    q.x, q.y, q.z, q.w = map(float, _quaternion(matrix))
    t.x, t.y, t.z = map(float, matrix[:3, 3])
    return message


def _between(start: Matrix, end: Matrix, ratio: float) -> Matrix:
    """Interpolate linearly, and on the shorter arc of the rotation from start to end."""
    turn = _quaternion(start[:3, :3].T @ end[:3, :3])
    sine = float(np.linalg.norm(turn[:3]))
    half = math.atan2(sine, turn[3]) * ratio  # not by acos, which loses small angles
    turn[:3] *= math.sin(half) / sine if sine else 0.0
    turn[3] = math.cos(half)
    found = start @ _rigid(turn, np.zeros(3))
    found[:3, 3] = start[:3, 3] + ratio * (end[:3, 3] - start[:3, 3])
    return found
