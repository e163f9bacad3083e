"""One slot between a subscription and a worker: the newest message wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Hand the newest item from one thread to another."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Store an item and return whether one that nobody took was replaced."""
        with self._ready:
            replaced = self._item is not None
            self._item = item
            self._ready.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for an item and return it; None once the mailbox is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return None if self._closed else item

    def discard(self) -> bool:
        """Empty the slot and return whether there was an item."""
        with self._ready:
            had, self._item = self._item is not None, None
            return had

    def close(self) -> None:
        """Wake the taker for good; what is in the slot is dropped."""
        with self._ready:
            self._closed = True
            self._item = None
            self._ready.notify_all()
