"""The qualities of service of this package's topics, by name."""

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

# Small inputs, from any driver: a best-effort subscription hears every publisher.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
# Reliable, because a reliable subscriber (RViz) gets nothing from a best-effort publisher.
OUTPUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
)
