"""The qualities of service of this package's topics, by name."""

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.parameters import OVERRIDES, did_you_mean, overrides_of

# From any driver: a best-effort subscription hears every publisher.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
# What a user may override of an output.
OUTPUT_OVERRIDES = QoSOverridingOptions(
    [QoSPolicyKind[name] for name in ("HISTORY", "DEPTH", "RELIABILITY", "DURABILITY")]
)


def output_profile() -> QoSProfile:
    """Return the QoS of an output, to be given to one alone: rclpy writes the overrides into it.

    Reliable, because a reliable subscriber (RViz) gets nothing from a best-effort publisher.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
    )


def create_output(node: Node, message_type: type, topic: str) -> Outlet:
    """Create a publisher as ``output_profile`` says, whose QoS a user may override."""
    options = {"qos_overriding_options": OUTPUT_OVERRIDES}
    return Outlet(node, node.create_publisher(message_type, topic, output_profile(), **options))


def warn_of_idle_overrides(node: Node) -> None:
    """Name the overrides given at start that no topic of the node takes: ROS drops them silently.

    Call it when the node has its topics.
    """
    names = [name for name in overrides_of(node) if name.startswith(OVERRIDES)]
    known = [name for name in node.get_parameters_by_prefix("") if name.startswith(OVERRIDES)]
    for name in names:
        if name not in known:
            node.get_logger().warning(
                f"{name} does nothing: no topic of this node takes it (name the topic in full, "
                f"after remapping){did_you_mean(name, known)}"
            )
