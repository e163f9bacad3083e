"""Find the pictures of several cameras that were taken together."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Pictures of a camera that wait for those of slower ones: they are large.
_KEPT = 5


class SynchronisedSets(Generic[Item]):
    """Put items of several cameras together by their stamps. Not for two threads at once.

    To each item that comes, the nearest of every other camera is chosen. Where cameras are
    triggered together, a difference of less than half of their period can hold no wrong neighbour.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[int, Item]]] = {}

    def add(
        self,
        camera: str,
        stamp_ns: int,
        item: Item,
        awaited: Collection[str],
        max_offset_ns: int,
    ) -> tuple[list[Item], list[Item]]:
        """Take an item and return the set that it completes, and the items that get none.

        Args:
            camera: of the item.
            stamp_ns: of the item.
            item: a picture.
            awaited: the cameras that a set needs one item of, beside this one.
            max_offset_ns: between the first and the last stamp of a set.

        Returns:
            The set, in the order of awaited, or nothing; and what will not be in any.
        """
        insort(self._waiting.setdefault(camera, []), (stamp_ns, item), key=lambda pair: pair[0])
        chosen = {}
        for name in dict.fromkeys((*awaited, camera)):
            near = self._waiting.get(name)
            if near:
                chosen[name] = min(near, key=lambda pair: abs(pair[0] - stamp_ns))
        stamps = [stamp for stamp, _ in chosen.values()]
        if not chosen.keys() >= set(awaited) or max(stamps) - min(stamps) > max_offset_ns:
            return [], self._forget(camera, len(self._waiting[camera]) - _KEPT)
        left_out = []
        for name, pair in chosen.items():
            left_out += self._forget(name, self._waiting[name].index(pair))
            del self._waiting[name][0]
        return [item for _, item in chosen.values()], left_out

    def _forget(self, camera: str, count: int) -> list[Item]:
        """Drop the items of a camera with the earliest stamps, and return them."""
        waiting, count = self._waiting[camera], max(count, 0)
        left_out = [item for _, item in waiting[:count]]
        del waiting[:count]
        return left_out

    def clear(self, camera: str) -> list[Item]:
        """Drop all items of a camera, and return them."""
        return [item for _, item in self._waiting.pop(camera, [])]
