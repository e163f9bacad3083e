"""The buffer of transforms that nodes ask."""

import time as system_time
from typing import Literal, TypeAlias, overload

from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.time import Time

from tf2_ros._core import BufferCore, MovingHistory, StaticHistory
from tf2_ros._exceptions import TransformException

_AnyTime: TypeAlias = Time | TimeMsg

_NO_WAIT = Duration()
_POLL_S = 0.02
_DEFAULT_CACHE = Duration(seconds=10)


class Buffer(BufferCore):
    """Hold the transforms of this process and find the one between two frames.

    Transforms that move are kept for `cache_time`, 10 s by default. With a `node` they are
    forgotten when its clock jumps back by a second or more (a bag that loops).
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__((_DEFAULT_CACHE if cache_time is None else cache_time).nanoseconds)
        self.clock = Clock() if node is None else node.get_clock()
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True
        )
        self.jump_handle = self.clock.create_jump_callback(
            threshold, post_callback=self.time_jump_callback
        )

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget the transforms that move, because their times are of another run."""
        get_logger("tf2_buffer").warning("time jumped back: clearing the tf buffer")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep where a child frame is in its parent at header.stamp.

        An invalid one (NaN, quaternion not of length 1, no frame id) is logged and left out.
        """
        self._store(transform, authority, MovingHistory)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Keep where a child frame is in its parent at any time; it replaces an earlier one."""
        self._store(transform, authority, StaticHistory)

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: _AnyTime,
        timeout: Duration = _NO_WAIT,
    ) -> TransformStamped:
        """Return the transform that takes points in the source frame to the target frame.

        Time 0 is the newest for which there is data; the stamp of the result is the time it is
        for. While it waits for up to `timeout` it blocks its thread. Raises LookupException,
        ConnectivityException, ExtrapolationException or InvalidArgumentException.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        rigid, stamp = self._find(target_frame, source_frame, _nanoseconds(time))
        result = TransformStamped(child_frame_id=source_frame)
        result.header.frame_id = target_frame
        # Not by rclpy's Time, which refuses a negative one.
        result.header.stamp.sec, result.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        result.transform = rigid.to_msg()
        return result

    @overload
    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: _AnyTime,
        timeout: Duration = ...,
        return_debug_tuple: Literal[False] = ...,
    ) -> bool: ...

    @overload
    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: _AnyTime,
        timeout: Duration = ...,
        *,
        return_debug_tuple: Literal[True],
    ) -> tuple[bool, str]: ...

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: _AnyTime,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Say whether `lookup_transform` would succeed, waiting for up to `timeout`.

        With `return_debug_tuple` also why not, or "".
        """
        stamp = _nanoseconds(time)
        end = system_time.monotonic() + timeout.nanoseconds / 1e9
        reason = self._reason(target_frame, source_frame, stamp)
        while reason and system_time.monotonic() < end:
            system_time.sleep(_POLL_S)
            reason = self._reason(target_frame, source_frame, stamp)
        return (not reason, reason) if return_debug_tuple else not reason

    def _reason(self, target: str, source: str, stamp: int) -> str:
        """Return why there is no transform, or ""."""
        try:
            self._find(target, source, stamp)
        except TransformException as reason:
            return str(reason)
        return ""


def _nanoseconds(time: _AnyTime) -> int:
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    if hasattr(time, "nanoseconds"):
        return int(time.nanoseconds)
    raise TypeError(f"time is a {type(time).__name__}: expected rclpy or builtin_interfaces Time")
