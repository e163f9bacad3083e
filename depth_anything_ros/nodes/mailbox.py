"""A slot for each sender between subscriptions and a worker: the newest of each wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Hand the newest item of each sender from one thread to another.

    The taker gets all that waits at once: however often one sender writes, none waits longer than
    one round.

    Args:
        newness: of an item, to compare; by default what is put last is the newest.
    """

    def __init__(self, newness: Callable[[Item], Any] = lambda _: 0) -> None:
        self._newness = newness
        self._ready = threading.Condition()
        self._items: dict[str, Item] = {}
        self._closed = False

    def put(self, sender: str, item: Item) -> Item | None:
        """Store a sender's item, and return the one that nobody will take.

        That is what waited before it; or itself, where what waits is newer.
        """
        with self._ready:
            waiting = self._items.get(sender)
            if waiting is not None and self._newness(item) < self._newness(waiting):
                return item
            # A key that is there keeps its place in the queue.
            self._items[sender] = item
            self._ready.notify()
            return waiting

    def take(self) -> list[Item] | None:
        """Wait for items and return all, the longest waiting first; None once closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._closed or self._items)
            items, self._items = list(self._items.values()), {}
            return None if self._closed else items

    def discard(self, sender: str) -> Item | None:
        """Empty the slot of a sender and return what was in it."""
        with self._ready:
            return self._items.pop(sender, None)

    def close(self) -> list[Item]:
        """Wake the taker for good, and return what was in the slots."""
        with self._ready:
            self._closed = True
            items, self._items = list(self._items.values()), {}
            self._ready.notify_all()
            return items
