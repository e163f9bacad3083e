"""Send transforms that do not change to the buffers of this process."""

import weakref
from collections.abc import Iterable
from copy import deepcopy

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tf2_ros._process import STATIC_TOPIC, Publication


class StaticTransformBroadcaster:
    """Send static transforms to every buffer of the process that has a `TransformListener`.

    There is no topic, so `qos` is taken and not used. What was sent also reaches listeners that
    come later, until the node is destroyed.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self._node = node
        self._publication = Publication(weakref.ref(node))
        self._sent: dict[str, TransformStamped] = {}

    def sendTransform(  # noqa: N802
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Send one transform or several, together with all that were sent before.

        As in the real package of Jazzy the first one of a child frame stays: another one for the
        same frame is left out (a second broadcaster can replace it).
        """
        transforms = transform if isinstance(transform, Iterable) else [transform]
        for sent in transforms:
            self._sent.setdefault(sent.child_frame_id, sent)
        with self._node.handle:  # raises InvalidHandle when the node is destroyed
            STATIC_TOPIC.publish(self._publication, deepcopy(list(self._sent.values())))
