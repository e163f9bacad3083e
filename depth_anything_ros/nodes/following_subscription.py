"""Subscribe as reliably and as durably as a topic's publishers allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from depth_anything_ros.nodes.parameters import overrides_of

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


@dataclass(frozen=True)
class Offer:
    """What publishers of a topic offer, all of them."""

    reliability: ReliabilityPolicy
    durability: DurabilityPolicy

    def __str__(self) -> str:
        latched = " and transient local" if self.durability == LATCHED else ""
        return f"{self.reliability.name.lower().replace('_', ' ')}{latched}"


def best_common(profiles: list[QoSProfile]) -> Offer:
    """Return the most that a subscription may ask for and still hear every publisher.

    A reliable subscription gets nothing from a best-effort publisher, and one that is transient
    local (latched) nothing from a volatile publisher; a volatile one does not get what a
    latched publisher said before.
    """
    hasty = any(profile.reliability == BEST_EFFORT for profile in profiles)
    latched = bool(profiles) and all(profile.durability == LATCHED for profile in profiles)
    return Offer(BEST_EFFORT if hasty else RELIABLE, LATCHED if latched else VOLATILE)


class FollowingSubscription:
    """A subscription to the newest message of a topic that follows what its publishers offer.

    Best effort and volatile suit any publisher, but a picture is larger than Fast DDS's default
    shared memory and travels in fragments: with one fragment lost, so is the picture. Of 30
    pictures of 640x480, a best-effort subscription got none and a reliable one all. And a driver
    may publish its CameraInfo once, latched, before anybody listens.
    A user's overrides (``qos_overrides.<topic>.subscription.reliability``, ``.durability``) are
    final. The topic is a resolved name.
    ``depth`` messages wait at most: more than the newest where several nodes publish what the
    others do not.
    ``on_missed`` is called with the number of messages that were published before the one that
    comes, and never came: replaced by it while this process was busy, or lost on the way. Only
    where a topic has one publisher, and the middleware numbers messages (Fast DDS does, from Jazzy
    on; Cyclone DDS does not).
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = 1,
        on_missed: Callable[[int], None] | None = None,
    ) -> None:
        self._node, self._depth = node, depth
        self._callback, self._on_missed = callback, on_missed
        self._message_type, self._topic = message_type, topic
        prefix, given = f"qos_overrides.{topic}.subscription.", overrides_of(node)
        self._overridden = [one.name for one in fields(Offer) if prefix + one.name in given]
        self._said_mixed = False
        self.offer = self._offered()
        self._subscription = self._subscribe()

    def _offered(self) -> Offer:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        durabilities = {publisher.qos_profile.durability for publisher in publishers}
        if len(durabilities) > 1 and not self._said_mixed:
            self._said_mixed = True
            self._node.get_logger().warning(
                f"some publishers of {self._topic} are transient local and others volatile: what "
                "the former said before this node subscribed is not heard; make them all alike"
            )
        return best_common([publisher.qos_profile for publisher in publishers])

    def _subscribe(self) -> Any:  # noqa: ANN401 - rclpy's Subscription
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=self._depth, **vars(self.offer))
        # A policy that is declared is fixed for the node's life: not those that are followed.
        kinds = [QoSPolicyKind[name.upper()] for name in ("history", "depth", *self._overridden)]
        # Of the last message: its number, and who published it where there is but one publisher.
        self._number = 0
        self._publisher: tuple[int, ...] | None = None
        callback = self._callback if self._on_missed is None else self._take
        return self._node.create_subscription(
            self._message_type,
            self._topic,
            callback,
            qos,
            qos_overriding_options=QoSOverridingOptions(kinds),
        )

    def _take(self, message: Any, info: dict[str, Any]) -> None:  # noqa: ANN401 - any message
        number = info.get("publication_sequence_number")
        if number is not None:
            self._count_missed(number)
        self._callback(message)

    def _count_missed(self, number: int) -> None:
        last, self._number = self._number, number
        if number == last + 1 and self._publisher is not None:
            return
        # Each publisher numbers its own: a gap counts where it is the one of the last message.
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        known = self._publisher
        self._publisher = tuple(publishers[0].endpoint_gid) if len(publishers) == 1 else None
        if self._on_missed and self._publisher == known is not None and number > last + 1:
            self._on_missed(number - last - 1)

    def adapt(self) -> None:
        """Subscribe anew where the publishers that are there now ask for it."""
        final = {name: getattr(self.offer, name) for name in self._overridden}
        offered = replace(self._offered(), **final)
        if offered == self.offer:
            return
        self.offer = offered
        self.destroy()
        self._subscription = self._subscribe()
        self._node.get_logger().info(
            f"subscribed to {self._topic} anew as {offered}, like its publishers"
        )

    def destroy(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)
