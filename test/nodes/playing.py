"""A node that plays, in the test's own process, and all that it publishes."""

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import PATIENCE_S, RELIABLE, wait_until


class Playing:
    """Make a node of a class with these parameters, and keep the messages of its topics."""

    def __init__(self, kind, topics, **parameters):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        where = {"context": self.context, "namespace": f"/{kind.__name__.lower()}"}
        self.listener, self.node = rclpy.create_node("listener", **where), None
        self.messages = {name: [] for name in topics}
        for name, message_type in topics.items():
            keep = self.messages[name].append
            self.listener.create_subscription(message_type, name, keep, RELIABLE)
        try:
            given = {"wait_for_subscribers": 1, **parameters}
            overrides = [Parameter(name, value=value) for name, value in given.items()]
            self.node = kind(parameter_overrides=overrides, **where)
        except Exception:
            self.close()
            raise
        for node in (self.listener, self.node):
            self.executor.add_node(node)

    def until(self, condition, timeout_s=PATIENCE_S):
        """Spin until a condition holds."""

        def spun():
            self.executor.spin_once(timeout_sec=0.05)
            return condition()

        wait_until(spun, timeout_s)
        return self.messages

    def to_the_end(self, **counts):
        """Spin until it has finished and so many messages of each topic are there."""
        return self.until(
            lambda: (
                self.node.playback.finished
                and all(len(self.messages[name]) == count for name, count in counts.items())
            )
        )

    def close(self):
        self.executor.shutdown()
        for node in (self.node, self.listener):
            if node is not None:
                node.destroy_node()
        self.context.try_shutdown()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
