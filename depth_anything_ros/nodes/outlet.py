"""Publishers and their subscribers: one that holds them up, and those that are waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node

# No message takes so long to hand over to a transport that has room for it.
BLOCKED_S = 1.0
# A status of once a second is to tell of a publish that has ended since.
_REMEMBERED_S = 10.0
_SAID_EVERY_S = 60.0
# After the last awaited subscriber came: those of other topics may be a moment later.
SETTLE_S = 1.0


class Outlet:
    """Publish, and say how long that was blocked.

    With Fast DDS's default shared memory, one subscriber that is frozen fills it, and publishing
    a large message to all others then waits for seconds.

    Args:
        node: that publishes.
        publisher: of rclpy.

    Attributes:
        publisher: that was given.
    """

    def __init__(self, node: Node, publisher: Any) -> None:  # noqa: ANN401 - of any message
        self.publisher = publisher
        self._node = node
        self._since: float | None = None
        self._ended, self._took_s = float("-inf"), 0.0
        self._said = float("-inf")

    def publish(self, message: Any) -> None:  # noqa: ANN401 - of its type
        """Publish a message."""
        begun = self._since = time.monotonic()
        try:
            self.publisher.publish(message)
        finally:
            self._since, now = None, time.monotonic()
        if now - begun >= BLOCKED_S:
            self._ended, self._took_s = now, now - begun
            if now - self._said > _SAID_EVERY_S:
                self._said = now
                self._node.get_logger().warning(self.problem())

    def get_subscription_count(self) -> int:
        """Return how many subscribers there are."""
        return int(self.publisher.get_subscription_count())

    def wait_for_all_acked(self, timeout: Duration) -> bool:
        """Wait until all that was published has arrived."""
        return bool(self.publisher.wait_for_all_acked(timeout))

    def problem(self) -> str:
        """Return that publishing is blocked, or was a moment ago; "" where it is not."""
        now, since = time.monotonic(), self._since
        took_s = now - since if since is not None else 0.0
        if took_s < BLOCKED_S:
            took_s = self._took_s if now - self._ended < _REMEMBERED_S else 0.0
        if not took_s:
            return ""
        return (
            f"publish blocked for {took_s:.1f} s on {self.publisher.topic_name}: a subscriber does "
            "not take its messages (is one frozen?); use config/fastdds_large_messages.xml in "
            "every process, so that it holds up nobody"
        )


class Audience:
    """Tell when enough subscribers are there, and have been for a moment.

    Args:
        publishers: each of which should have them: a picture without its camera is of no use.
        awaited: subscribers of each; 0 waits for nobody.
    """

    def __init__(self, publishers: Sequence[Any], awaited: int) -> None:
        self._publishers = publishers
        self._awaited = awaited
        self._complete_since: float | None = None

    def is_there(self) -> bool:
        """Say whether to begin; call it until it is true."""
        if not self._awaited:
            return True
        now = time.monotonic()
        if min(p.get_subscription_count() for p in self._publishers) < self._awaited:
            self._complete_since = None
            return False
        if self._complete_since is None:
            self._complete_since = now
        return now - self._complete_since >= SETTLE_S
