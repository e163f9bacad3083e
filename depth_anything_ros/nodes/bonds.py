"""A bond with a lifecycle manager (Nav2's), which notices by it that a node has died."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from rclpy.node import Node

TOPIC = "bond"
# The manager looks after the node, not the node after the manager: Nav2's own nodes have their
# side's timeout off as well (bond_disable_heartbeat_timeout).
_NEVER_S = 10.0 * 365 * 24 * 3600


class Bond:
    """One side of a bond, by bondpy, as long as a node is active.

    The other side is the manager's, which names the bond as it names the node: relative to its own
    namespace, where its topic is, too. So a node in a namespace below it needs a remapping of the
    topic alone (``bond:=/bond``).

    Args:
        node: that is managed.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        topic = node.resolve_topic_name(TOPIC)
        outer = topic.rpartition("/")[0] + "/"
        name = node.get_fully_qualified_name()
        self._bond: Any = importlib.import_module("bondpy.bondpy").Bond(
            node, TOPIC, name.removeprefix(outer)
        )
        self._bond.heartbeat_timeout = _NEVER_S
        self._bond.start()

    def end(self) -> None:
        """Tell the manager that it ends, and give back what it took of the node."""
        self._bond.shutdown()
        # bondpy destroys both itself, and leaves them in the node's lists.
        self._node.destroy_subscription(self._bond.sub)
        self._node.destroy_publisher(self._bond.pub)


def form_bond(node: Node) -> Bond | None:
    """Start a bond of a node that has become active; None where bondpy is not installed."""
    if importlib.util.find_spec("bondpy") is None:
        return None
    return Bond(node)
