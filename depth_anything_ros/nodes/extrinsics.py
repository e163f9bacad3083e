"""Where a sensor is, by tf2."""

from __future__ import annotations

import time

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from tf2_ros import Buffer, ExtrapolationException, TransformException, TransformListener

from depth_anything_ros.core.errors import DepthAnythingError, first_line, quoted
from depth_anything_ros.core.poses import rigid_matrix

_POLL_S = 0.005
# As long as tf2 keeps transforms.
_PATIENCE_S = 10.0


class TransformExtrinsics:
    """Ask tf2 where a sensor was at the time of a picture.

    Args:
        node: whose executor hears /tf and /tf_static.
        patience_s: after so long without a transform of any picture's time, those that are kept
            are forgotten: one odd stamp of the far future keeps out all that come after it.
    """

    def __init__(self, node: Node, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._found_s = time.monotonic()
        # Without the node, to which it would add a service for good; jumps are told by clear().
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def find(
        self,
        target_frame: str,
        sensor_frame: str,
        stamp: Time,
        timeout_s: float,
        instead: str = "",
    ) -> NDArray[np.float64]:
        """Return what maps points of the sensor's frame to the target's, float64 (4, 4).

        Waits, for the time given, only for a transform that is late: a frame that nobody has
        heard of may never come.

        Args:
            target_frame: its name.
            sensor_frame: its name.
            stamp: of the picture.
            timeout_s: how long is waited.
            instead: what a user may do instead of publishing a transform that is missing, for the
                message.

        Raises:
            DepthAnythingError: with the reason ``no_transform``.
        """
        # Not by the timeout of the buffer, which may count simulated time that stands still.
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self._buffer.lookup_transform(target_frame, sensor_frame, stamp)
                break
            except TransformException as error:
                is_late, now = isinstance(error, ExtrapolationException), time.monotonic()
                if is_late and now < deadline:
                    time.sleep(_POLL_S)
                    continue
                if is_late and now - self._found_s > self._patience_s:
                    self.clear()
                    self._found_s = now
                raise DepthAnythingError(
                    f"tf2 has no transform from {quoted(sensor_frame)} to {quoted(target_frame)} "
                    f"at the picture's stamp: {first_line(error)}; publish it{instead}",
                    reason="no_transform",
                ) from error
        self._found_s = time.monotonic()
        t, q = found.transform.translation, found.transform.rotation
        return rigid_matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))

    def clear(self) -> None:
        """Drop the transforms that move, as their time has jumped away."""
        self._buffer.clear()

    def destroy(self) -> None:
        """Hear no more of them."""
        self._listener.unregister()
