"""scale_anchor_node, which also broadcasts as tf what the test sends on ``/tf_relay``.

The tf2_ros of pip_ros reaches its own process only; where there is /tf, this goes over it.
"""

import sys

from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from depth_anything_ros.nodes.answering_node import autostart
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.scale_anchor_node import ScaleAnchorNode


def relay(node):
    """Broadcast what comes, once the node spins; a stamp of 0 is that of a static one."""
    moving, static = TransformBroadcaster(node), StaticTransformBroadcaster(node)

    def pass_on(transform):
        stamp = transform.header.stamp
        broadcaster = moving if stamp.sec or stamp.nanosec else static
        broadcaster.sendTransform(transform)

    node.create_subscription(TransformStamped, "/tf_relay", pass_on, QoSProfile(depth=10))
    autostart(node)


if __name__ == "__main__":
    sys.exit(run_node(ScaleAnchorNode, start=relay))
