"""Timers that go on where simulated time stands still, and a word about time that never came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

# A simulator or a bag may be started a moment after the node.
_PATIENCE_S = 3.0
_LOOK_S = 1.0


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Any:  # noqa: ANN401
    """Create a timer of the machine's time, whatever the node's clock does."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


class ClockWatch:
    """Notice where a node is told to follow /clock and nothing comes on it; warn once.

    Attributes:
        problem: a sentence; "" where there is time.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._since = time.monotonic()
        self._said = False
        self.problem = ""
        self._timer = steady_timer(node, _LOOK_S, self._look)

    def _look(self) -> None:
        clock, now = self._node.get_clock(), time.monotonic()
        if not clock.ros_time_is_active or clock.now().nanoseconds:
            self._since, self.problem = now, ""
            return
        if now - self._since < _PATIENCE_S:
            return
        self.problem = (
            f"use_sim_time is true and nothing has come on /clock for {now - self._since:.0f} s, "
            "so the node's time stands at 0: publish it (ros2 bag play --clock, a simulator), or "
            "set use_sim_time to false"
        )
        if not self._said:
            self._said = True
            self._node.get_logger().warning(self.problem)
