"""Send transforms that change to the buffers of this process."""

from collections.abc import Iterable
from copy import deepcopy

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tf2_ros._process import STATIC_TOPIC


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
        transforms = transform if isinstance(transform, Iterable) else [transform]
        with self._node.handle:  # raises InvalidHandle when the node is destroyed
            STATIC_TOPIC.pass_on(deepcopy(list(transforms)))
