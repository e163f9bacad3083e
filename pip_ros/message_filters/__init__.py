"""Pair messages by their stamps: a stand-in for the Python message_filters of ROS 2 Jazzy.

For machines without a ROS distribution; never installed beside one. It covers `SimpleFilter`,
`Subscriber`, `TimeSynchronizer` and `ApproximateTimeSynchronizer`, with the traps of the real
package, because callers must live with them:

- Callbacks run inside the synchronizer's lock: a slow callback blocks every input, and one that
  feeds a message to the same synchronizer waits for itself for ever.
- A full queue drops its smallest stamp, not its oldest message. After a jump back in time (a bag
  that loops) the new messages are dropped at once until the stamps pass the old ones: build a new
  synchronizer.

One thing differs: a callback that raises does not leave the lock locked.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any, TypeAlias, cast

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "SimpleFilter", "Subscriber", "TimeSynchronizer"]

Queue: TypeAlias = dict[int, Any]


class SimpleFilter:
    """Pass messages on to registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., object], tuple[object, ...]]] = {}

    def registerCallback(self, cb: Callable[..., object], *args: object) -> int:  # noqa: N802
        """Call `cb(*messages, *args)` for every output; return the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: object) -> None:  # noqa: N802
        """Give messages to all callbacks, in the order of their registration."""
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """Pass the messages of a topic on: `Subscriber(node, msg_type, topic, **options)`.

    Options are those of `node.create_subscription`, by keyword; `qos_profile` is 10 by default.
    The subscription itself is the attribute `sub`.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()
        self.node = cast(Node, args[0])
        self.topic = cast(str, args[2])
        kwargs.setdefault("qos_profile", 10)
        create = cast(Callable[..., Subscription], self.node.create_subscription)
        self.sub = create(*args[1:], self.callback, **kwargs)

    def callback(self, msg: object) -> None:
        """Take a message from the subscription."""
        self.signalMessage(msg)

    def getTopic(self) -> str:  # noqa: N802
        """Return the topic as it was given, neither resolved nor remapped."""
        return self.topic


class TimeSynchronizer(SimpleFilter):
    """Call back with one message of each input when their stamps are equal.

    `queue_size` is how many messages each input keeps while they wait for the others.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        # Before the inputs are connected: from then on a message may come on another thread.
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:  # noqa: N802
        """Listen to these filters, with empty queues."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:  # noqa: ANN401
        """Queue a message with a header, and call back for every stamp that is complete."""
        with self.lock:
            self._keep(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            complete = reduce(set.intersection, [set(queue) for queue in self.queues])
            for stamp in sorted(complete):
                self._release([stamp] * len(self.queues))

    def _keep(self, stamp: int, msg: object, queue: Queue) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _release(self, stamps: Iterable[int]) -> None:
        """Call back with the messages of these stamps, one of each queue, and forget them."""
        chosen = list(zip(self.queues, stamps, strict=True))
        self.signalMessage(*[queue[stamp] for queue, stamp in chosen])
        for queue, stamp in chosen:
            del queue[stamp]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Call back with one message of each input when their stamps differ by less than `slop` s.

    Less, not at most: a slop of 0 never matches. The message that has just come is always part
    of the set; of the others those nearest to it in time are tried first. Older messages that
    found no partner stay queued. With `allow_headerless` a message without header gets the
    time of arrival; without it, it is dropped with a warning.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        # Before the inputs are connected, as in TimeSynchronizer.
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        super().__init__(fs, queue_size)

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:  # noqa: ANN401
        """Queue a message, and call back if it completes a set."""
        stamp = self._stamp(msg)
        if stamp is None:
            return
        with self.lock:
            self._keep(stamp, msg, my_queue)
            match = self._match(stamp, my_queue_index)
            if match is not None:
                self._release(match)

    def _stamp(self, msg: Any) -> int | None:  # noqa: ANN401
        """Return the stamp in ns; None if there is none and none may be made up."""
        if hasattr(msg, "header") and hasattr(msg.header, "stamp"):
            stamp = msg.header.stamp
            time = stamp if hasattr(stamp, "nanoseconds") else Time.from_msg(stamp)
            return cast(int, time.nanoseconds)
        if self.allow_headerless:
            return cast(int, ROSClock().now().nanoseconds)
        get_logger("message_filters_approx").warning(
            f"dropped a {type(msg).__name__}: it has no header.stamp to synchronize by; "
            "allow_headerless=True takes the time of arrival instead"
        )
        return None

    def _match(self, stamp: int, index: int | None) -> list[int] | None:
        """Return a stamp of each queue, all within the slop and with `stamp` at `index`."""
        slop = self.slop.nanoseconds
        near = []
        for other, queue in enumerate(self.queues):
            if other == index:
                near.append([stamp])
                continue
            within = [s for s in queue if abs(s - stamp) <= slop]
            near.append(sorted(within, key=lambda s: abs(s - stamp)))
        for stamps in itertools.product(*near):
            # A stamp can have left its own queue at once, when it was the smallest of a full one.
            present = all(s in q for s, q in zip(stamps, self.queues, strict=True))
            if present and max(stamps) - min(stamps) < slop:
                return list(stamps)
        return None
