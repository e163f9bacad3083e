"""Fill a buffer with the transforms that this process sends."""

import weakref

from rclpy.node import Node
from rclpy.qos import QoSProfile

from tf2_ros._process import STATIC_TOPIC, Subscription
from tf2_ros.buffer import Buffer


class TransformListener:
    """Give a buffer all transforms of the broadcasters of this process.

    There is no topic, so `qos` and `static_qos` are taken and not used, and `spin_thread` starts
    no thread: transforms come without a node being spun. As in the real package it is the node
    that keeps the listener at work, until it is destroyed or `unregister` is called.
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
        self.buffer = buffer
        self.node = node
        self._subscription = Subscription(weakref.ref(node), weakref.ref(buffer))
        STATIC_TOPIC.subscribe(self._subscription)

    def unregister(self) -> None:
        """Give the buffer nothing more."""
        STATIC_TOPIC.unsubscribe(self._subscription)
