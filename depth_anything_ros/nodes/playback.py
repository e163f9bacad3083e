"""What nodes that play have in common: fixed parameters, a rate, an audience and an end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rclpy.duration import Duration
from rclpy.node import Node

from depth_anything_ros.nodes.guarded_services import guard_services
from depth_anything_ros.nodes.outlet import Audience, Outlet
from depth_anything_ros.nodes.parameters import START_ANEW, DeclaredParameters
from depth_anything_ros.nodes.qos import warn_of_idle_overrides
from depth_anything_ros.nodes.running import forward_logs
from depth_anything_ros.nodes.steady_time import ClockWatch, steady_timer

Parameters = TypeVar("Parameters")
# For what was published last to arrive.
_FAREWELL = Duration(seconds=2)


def fixed_parameters(node: Node, cls: type[Parameters]) -> Parameters:
    """Declare a node's parameters, none of which changes while it runs, and return their values.

    Its logs and services are then those of every node of this package, too.

    Raises:
        ParameterError: where a value given at start is not allowed.
    """
    forward_logs(node)
    declared = DeclaredParameters(node, cls, lambda: True, START_ANEW)
    guard_services(node, declared.as_declared)
    return declared.values


class Playback:
    """Call a node's step at a rate, from when its subscribers are there to its end.

    Create it when the node has its topics.

    Args:
        node: whose step it is.
        rate_hz: steps in a second of the machine's time: simulated time may stand still.
        outputs: whose last messages are to arrive before it has finished.
        audience: to wait for.
        step: publishes what is next; False where nothing was left.
        is_ready: says whether there is something to play.

    Attributes:
        finished: True after the last step.
    """

    def __init__(
        self,
        node: Node,
        rate_hz: float,
        outputs: Sequence[Outlet],
        audience: Audience,
        step: Callable[[], bool],
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.finished = self._begun = False
        self._outputs, self._audience = outputs, audience
        self._step, self._is_ready = step, is_ready
        self._timer = steady_timer(node, 1.0 / rate_hz, self._play)
        self._clock_watch = ClockWatch(node)
        warn_of_idle_overrides(node)

    def _play(self) -> None:
        self._begun = self._begun or (self._is_ready() and self._audience.is_there())
        if not self._begun or self.finished:
            return
        if not self._step():
            self.finished = True
            for output in self._outputs:
                output.wait_for_all_acked(_FAREWELL)
