"""Keep what came lately by its stamp, to find what belongs to a picture."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A span may be long and a sensor fast: no more than this.
_MOST = 1024


@dataclass(frozen=True, eq=False)
class _Kept(Generic[Item]):
    """An item with its stamp (ns), when it came (ns, of another clock), and its size in bytes."""

    stamp_ns: int
    arrived_ns: int
    size: int
    item: Item


class StampBuffer(Generic[Item]):
    """The items of one topic in the order of their stamps (ns). Not for two threads at once.

    What came last is kept unless it is too old by its stamp, whatever its size.

    Args:
        span_ns: an item whose stamp is older than the newest by more than this is forgotten, and
            one that came before what comes by more than this: stamps may stand still.
        max_bytes: of all items; what came first goes first.

    Attributes:
        is_cut: whether the bytes have cost an item that the span would have kept.
    """

    def __init__(self, span_ns: int, max_bytes: int) -> None:
        self._span_ns = span_ns
        self._max_bytes = max_bytes
        self._kept: list[_Kept[Item]] = []
        self.is_cut = False

    def __len__(self) -> int:
        return len(self._kept)

    def is_jump(self, stamp_ns: int) -> bool:
        """Say whether time jumped backwards to a stamp (a bag that loops).

        One that is older than the newest by less than the span was late.
        """
        return bool(self._kept) and stamp_ns < self._kept[-1].stamp_ns - self._span_ns

    def put(self, stamp_ns: int, item: Item, arrived_ns: int, size: int) -> None:
        """Keep an item, in the place of one of the same stamp; what is too old now is forgotten.

        Args:
            stamp_ns: of the item.
            item: to keep.
            arrived_ns: on a clock that never goes back.
            size: bytes.
        """
        first_ns = arrived_ns - self._span_ns
        kept = [k for k in self._kept if k.arrived_ns >= first_ns and k.stamp_ns != stamp_ns]
        at = bisect_left(kept, stamp_ns, key=_stamp_ns)
        kept.insert(at, _Kept(stamp_ns, arrived_ns, size, item))
        oldest_ns = kept[-1].stamp_ns - self._span_ns
        self._kept = kept[bisect_left(kept, oldest_ns, key=_stamp_ns) :]
        self._cut()

    def _cut(self) -> None:
        """Forget what came first until there are not too many, nor too many bytes."""
        total = sum(one.size for one in self._kept)
        is_large = total > self._max_bytes
        while len(self._kept) > 1 and (len(self._kept) > _MOST or total > self._max_bytes):
            first = min(self._kept, key=lambda one: one.arrived_ns)
            total -= first.size
            self._kept.remove(first)
        self.is_cut |= is_large

    def nearest(self, stamp_ns: int) -> tuple[int, Item] | None:
        """Return how much later (ns) than a stamp the nearest item is, and the item."""
        if not self._kept:
            return None
        at = bisect_left(self._kept, stamp_ns, key=_stamp_ns)
        near = self._kept[max(at - 1, 0) : at + 1]
        best = min(near, key=lambda one: abs(one.stamp_ns - stamp_ns))
        return best.stamp_ns - stamp_ns, best.item

    def is_due(self, stamp_ns: int, within_ns: int) -> bool:
        """Say whether, at the pace of the last two, one near a stamp has yet to come."""
        if len(self._kept) < 2:
            return False
        before, newest = (one.stamp_ns for one in self._kept[-2:])
        period = newest - before
        steps = max(-((newest - stamp_ns + within_ns) // period), 1)
        return newest + steps * period <= stamp_ns + within_ns

    def clear(self) -> None:
        """Forget all items."""
        self._kept = []
        self.is_cut = False


def _stamp_ns(kept: _Kept[Item]) -> int:
    return kept.stamp_ns
