"""The qualities of service of this package's topics, by name."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

# Small inputs, from any driver: a best-effort subscription hears every publisher.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
# Reliable, because a reliable subscriber (RViz) gets nothing from a best-effort publisher.
OUTPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
)


def create_output(node: Node, message_type: type, topic: str) -> Any:  # noqa: ANN401
    """Create a publisher as ``OUTPUT`` says, whose QoS a user may override."""
    return node.create_publisher(
        message_type,
        topic,
        OUTPUT,
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
