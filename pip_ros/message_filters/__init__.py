"""Pair messages by their stamps: a stand-in for the Python message_filters of ROS 2 Jazzy.

For machines without a ROS distribution; never installed beside one. It has the traps of the real
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
from typing import Any

from rclpy.duration import Duration
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "SimpleFilter", "Subscriber", "TimeSynchronizer"]

Queue = dict[int, Any]


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the real one
        super().__init__()
        self.node, self.topic = args[0], args[2]
        kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(*args[1:], self.callback, **kwargs)

    def callback(self, msg: object) -> None:
        """Take a message from the subscription."""
        self.signalMessage(msg)


class TimeSynchronizer(SimpleFilter):
    """Call back with one message of each input when their stamps are equal.

    `queue_size` is how many messages each input keeps while they wait for the others.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        # Before the inputs are connected: from then on a message may come on another thread.
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.queues: list[Queue] = [{} for _ in fs]
        for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True)):
            source.registerCallback(self.add, queue, index)

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int) -> None:  # noqa: ANN401
        """Queue a message with a header, and call back for every set that is complete."""
        with self.lock:
            stamp = Time.from_msg(msg.header.stamp).nanoseconds
            my_queue[stamp] = msg
            while len(my_queue) > self.queue_size:
                del my_queue[min(my_queue)]
            for stamps in self._complete(stamp, my_queue_index):
                chosen = list(zip(self.queues, stamps, strict=True))
                self.signalMessage(*[queue[one] for queue, one in chosen])
                for queue, one in chosen:
                    del queue[one]

    def _complete(self, _stamp: int, _index: int) -> Iterable[Sequence[int]]:
        """Return the stamps, one of each queue, of every set that is complete."""
        common = set(self.queues[0]).intersection(*self.queues[1:])
        return [[stamp] * len(self.queues) for stamp in sorted(common)]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Call back with one message of each input when their stamps differ by less than `slop` s.

    Less, not at most: a slop of 0 never matches. The message that has just come is always part
    of the set; of the others those nearest to it in time are tried first. Older messages that
    found no partner stay queued. Messages without a header are not in this stand-in.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        if allow_headerless:
            raise NotImplementedError("the message_filters of pip_ros synchronizes headers only")
        self.slop = Duration(seconds=slop)
        super().__init__(fs, queue_size)

    def _complete(self, stamp: int, index: int) -> Iterable[Sequence[int]]:
        slop = self.slop.nanoseconds
        near = [
            sorted((s for s in queue if abs(s - stamp) <= slop), key=lambda s: abs(s - stamp))
            for queue in self.queues
        ]
        near[index] = [stamp]
        for stamps in itertools.product(*near):
            # A stamp can have left its own queue at once, when it was the smallest of a full one.
            if stamp in self.queues[index] and max(stamps) - min(stamps) < slop:
                return [stamps]
        return []
