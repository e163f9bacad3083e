"""Keep what came lately by its stamp, to find what belongs to a picture."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A span may be long and a sensor fast: no more than this.
_MOST = 1024


class StampBuffer(Generic[Item]):
    """The items of one topic in the order of their stamps (ns). Not for two threads at once.

    Args:
        span_ns: an item that is older than the newest by more than this is forgotten.
    """

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._stamps: list[int] = []
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._stamps)

    def is_jump(self, stamp_ns: int) -> bool:
        """Say whether time jumped backwards to a stamp (a bag that loops).

        One that is older than the newest by less than the span was late.
        """
        return bool(self._stamps) and stamp_ns < self._stamps[-1] - self._span_ns

    def put(self, stamp_ns: int, item: Item) -> None:
        """Keep an item; what is too old now is forgotten."""
        at = bisect_right(self._stamps, stamp_ns)
        self._stamps.insert(at, stamp_ns)
        self._items.insert(at, item)
        old = bisect_left(self._stamps, self._stamps[-1] - self._span_ns)
        old = max(old, len(self._stamps) - _MOST)
        del self._stamps[:old], self._items[:old]

    def nearest(self, stamp_ns: int) -> tuple[int, Item] | None:
        """Return how much later (ns) than a stamp the nearest item is, and the item."""
        if not self._stamps:
            return None
        at = bisect_left(self._stamps, stamp_ns)
        near = range(max(at - 1, 0), min(at + 1, len(self._stamps)))
        best = min(near, key=lambda i: abs(self._stamps[i] - stamp_ns))
        return self._stamps[best] - stamp_ns, self._items[best]

    def is_due(self, stamp_ns: int, within_ns: int) -> bool:
        """Say whether, at the pace of the last two, one near a stamp has yet to come."""
        if len(self._stamps) < 2 or self._stamps[-1] == self._stamps[-2]:
            return False
        newest, period = self._stamps[-1], self._stamps[-1] - self._stamps[-2]
        steps = max(-((newest - stamp_ns + within_ns) // period), 1)
        return newest + steps * period <= stamp_ns + within_ns

    def clear(self) -> None:
        """Forget all items."""
        self._stamps.clear()
        self._items.clear()
