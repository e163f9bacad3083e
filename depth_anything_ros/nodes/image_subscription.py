"""Subscribe to pictures as reliably as their publishers allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


class ImageSubscription:
    """A subscription to the newest message of a topic that follows its publishers' reliability.

    Best effort suits any publisher, but a picture is larger than Fast DDS's default shared
    memory and travels in fragments: with one fragment lost, so is the picture. Of 30 pictures of
    640x480, a best-effort subscription got none and a reliable one all. A reliable subscription
    gets nothing from a best-effort publisher, so it is reliable unless one of those is there.
    A user's override (``qos_overrides.<topic>.subscription.reliability``) is final.

    Args:
        node: to subscribe with.
        message_type: of the topic.
        topic: its resolved name.
        callback: called with each message.
    """

    def __init__(
        self, node: Node, message_type: type, topic: str, callback: Callable[[Any], None]
    ) -> None:
        self._node = node
        self._arguments = (message_type, topic, callback)
        self._topic = topic
        override = f"qos_overrides.{topic}.subscription.reliability"
        self._is_overridden = override in getattr(node, "_parameter_overrides", {})
        self.reliability = self._wanted()
        self._subscription = self._subscribe()

    def _wanted(self) -> ReliabilityPolicy:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        hasty = any(p.qos_profile.reliability == BEST_EFFORT for p in publishers)
        return BEST_EFFORT if hasty else RELIABLE

    def _subscribe(self) -> Any:  # noqa: ANN401 - rclpy's Subscription
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=self.reliability)
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if self._is_overridden:
            kinds.append(QoSPolicyKind.RELIABILITY)
        return self._node.create_subscription(
            *self._arguments, qos, qos_overriding_options=QoSOverridingOptions(kinds)
        )

    def adapt(self) -> None:
        """Subscribe anew where the publishers that are there now ask for it."""
        wanted = self._wanted()
        if wanted == self.reliability or self._is_overridden:
            return
        self.reliability = wanted
        self.destroy()
        self._subscription = self._subscribe()
        self._node.get_logger().info(
            f"subscribed to {self._topic} anew as {wanted.name.lower()}, like its publishers"
        )

    def destroy(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)
