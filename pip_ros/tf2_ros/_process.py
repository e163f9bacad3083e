"""Carry transforms from the broadcasters to the listeners of this process.

Static ones go as by /tf_static: what a broadcaster sent last also reaches listeners that come
later, as long as the broadcaster's node lives. Those that move go as by /tf, to who is there.
"""

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from geometry_msgs.msg import TransformStamped
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node


class Receiver(Protocol):
    """What takes transforms: a buffer."""

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take one that moves."""

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take one that does not."""


@dataclass(eq=False)
class Publication:
    """What a broadcaster of a node sent last."""

    node: "weakref.ref[Node]"
    transforms: Sequence[TransformStamped] = ()


@dataclass(eq=False)
class Subscription:
    """A buffer that a listener of a node fills. It is the node that keeps the listener alive."""

    node: "weakref.ref[Node]"
    receiver: "weakref.ref[Receiver]"

    def deliver(self, transforms: Sequence[TransformStamped], moving: bool = False) -> None:
        """Give transforms to the buffer."""
        receiver = self.receiver()
        if receiver is not None:
            take = receiver.set_transform if moving else receiver.set_transform_static
            for transform in transforms:
                take(transform, "default_authority")


@dataclass
class StaticTopic:
    """All broadcasters and listeners of the process."""

    publications: list[Publication] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def publish(self, publication: Publication, transforms: Sequence[TransformStamped]) -> None:
        """Give transforms to all listeners, and keep them for those to come."""
        with self.lock:
            self._forget_the_dead()
            publication.transforms = transforms
            if publication not in self.publications:
                self.publications.append(publication)
            for subscription in self.subscriptions:
                subscription.deliver(transforms)

    def pass_on(self, transforms: Sequence[TransformStamped]) -> None:
        """Give transforms that move to all listeners; none is kept."""
        with self.lock:
            self._forget_the_dead()
            for subscription in self.subscriptions:
                subscription.deliver(transforms, moving=True)

    def subscribe(self, subscription: Subscription) -> None:
        """Give what was sent so far, and all that will be."""
        with self.lock:
            self._forget_the_dead()
            self.subscriptions.append(subscription)
            for publication in self.publications:
                subscription.deliver(publication.transforms)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Give nothing more."""
        with self.lock:
            if subscription in self.subscriptions:
                self.subscriptions.remove(subscription)

    def _forget_the_dead(self) -> None:
        self.publications = [p for p in self.publications if _lives(p.node)]
        self.subscriptions = [
            s for s in self.subscriptions if _lives(s.node) and s.receiver() is not None
        ]


def _lives(reference: "weakref.ref[Node]") -> bool:
    node = reference()
    if node is None or not node.context.ok():
        return False
    try:
        with node.handle:
            return True
    except InvalidHandle:
        return False


STATIC_TOPIC = StaticTopic()
