"""Stands in for bondpy, whose messages (bond/msg/Status) come with a ROS distribution alone.

The names and the order of calls are those of bond_core's branch ros2, bondpy/bondpy/bondpy.py.
"""

from std_msgs.msg import String


class Bond:
    def __init__(self, node, topic, bond_id, on_broken=None, on_formed=None):
        self.node, self.id, self.is_shutdown = node, bond_id, False
        self.heartbeat_timeout = 4.0
        self.pub = node.create_publisher(String, topic, 1)
        self._topic = topic

    def start(self):
        assert self.heartbeat_timeout > 1e6, "the node is not to look after its manager"
        self.sub = self.node.create_subscription(String, self._topic, lambda _: None, 1)
        self.node.get_logger().info(f"bond {self.id} on {self.sub.topic_name}")

    def shutdown(self):
        self.sub.destroy()
        self.pub.publish(String(data=f"{self.id} ends"))
        self.pub.destroy()
        self.node.get_logger().info(f"bond {self.id} ends")
