"""What an engine makes for one size of input each, in another thread while torch answers."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor

from depth_anything_ros.core.errors import first_line

_log = logging.getLogger(__name__)

Size = tuple[int, int]
Key = TypeVar("Key", bound=Hashable)
Graph = TypeVar("Graph")
# Graphs that are kept: each holds all weights once more.
_MOST = 4
# What comes so often among the last ones is that of a stream, and worth the time.
_ASKED = 2
_REMEMBERED = 256
# Where all places are taken, something else takes one only if it comes so many times as often.
# After that, and after one that cannot be made, nothing is made for so many askings, which double
# each time: pictures of ever other sizes would keep a core busy for ever.
_WORTH = 2
_FIRST_PAUSE = 32
_LONGEST_PAUSE = 1 << 14


class Places(Generic[Key, Graph]):
    """The graphs of a few keys, those that are asked for most; for one thread at a time."""

    def __init__(self) -> None:
        self._graphs: OrderedDict[Key, Graph] = OrderedDict()
        self._recent: deque[Key] = deque(maxlen=_REMEMBERED)
        self._askings = 0
        self._free_from, self._pause = 0, _FIRST_PAUSE

    def __contains__(self, key: Key) -> bool:
        return key in self._graphs

    def get(self, key: Key) -> Graph | None:
        """Return the graph of a key, None where there is none; it counts as asked for."""
        self._askings += 1
        self._recent.append(key)
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
        return graph

    def is_due(self, key: Key) -> bool:
        """Say whether a key that has no graph comes often enough for one."""
        asked = self._recent.count(key)
        if asked < _ASKED or self._askings < self._free_from:
            return False
        if len(self._graphs) < _MOST:
            return True
        return asked >= _WORTH * self._recent.count(self._rarest())

    def put(self, key: Key, graph: Graph) -> None:
        """Keep a graph, in the place of the one that is asked for least if all are taken."""
        if len(self._graphs) >= _MOST and key not in self._graphs:
            del self._graphs[self._rarest()]
            self.back_off()
        self._graphs[key] = graph

    def back_off(self) -> None:
        """Have nothing due for a while, and twice as long the next time."""
        self._free_from = self._askings + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def drop(self, key: Key) -> None:
        """Forget the graph of a key, if there is one."""
        self._graphs.pop(key, None)

    def _rarest(self) -> Key:
        return min(self._graphs, key=self._recent.count)  # the first of equals: not used longest


class ByKey(Generic[Key, Graph]):
    """Graphs of one network, which one thread makes, one after the other.

    Args:
        make: makes one; it is called for one key at a time.
        what: is made, for the log.
        named: the name of a key, for the log.
        check: raises where what was made for a key while pictures wait answers one of them wrong.
    """

    def __init__(
        self,
        make: Callable[[Key], Graph],
        what: str,
        named: Callable[[Key], str] = str,
        check: Callable[[Key, Graph, Tensor], None] | None = None,
    ) -> None:
        self._make, self._what, self._named, self._check = make, what, named, check
        self._places: Places[Key, Graph] = Places()
        self._failed: deque[Key] = deque(maxlen=_REMEMBERED)
        self._wanted: Key | None = None
        self._using = threading.Lock()
        self._making = threading.Lock()

    def get(self, key: Key, picture: Callable[[], Tensor] | None = None) -> Graph | None:
        """Return the graph of a key; where there is none, None, and make it if it comes often.

        Args:
            key: of the graph.
            picture: copies the network's input that it is wanted for, which it is checked on.
        """
        with self._using:
            graph = self._places.get(key)
            # One at a time: what else is wanted comes again.
            is_idle = self._wanted is None and key not in self._failed
            if graph is not None or not is_idle or not self._places.is_due(key):
                return graph
            self._wanted = key
        sample = picture() if picture is not None else None
        _log.info("making %s for %s; torch answers", self._what, self._named(key))
        # No daemon: until Python 3.14, one that comes back from C++ while the interpreter ends
        # aborts the process. So its end waits for what is being made.
        threading.Thread(
            target=self._make_later,
            args=(key, sample),
            name=f"{self._what} being made",
            daemon=False,
        ).start()
        return None

    def ensure(self, key: Key) -> None:
        """Make the graph of a key now, unless there is one.

        Raises:
            Whatever making it does.
        """
        with self._making:
            self._make_missing(key, None)

    def _make_missing(self, key: Key, sample: Tensor | None) -> None:
        with self._using:
            if key in self._places:
                return
        graph = self._make(key)
        if self._check is not None and sample is not None:
            self._check(key, graph, sample)
        with self._using:
            self._places.put(key, graph)

    def _make_later(self, key: Key, sample: Tensor | None) -> None:
        try:
            with self._making:
                if threading.main_thread().is_alive():  # else the process ends
                    self._make_missing(key, sample)
        except Exception as error:  # of a compiler or a driver; torch goes on
            _log.warning("torch goes on for %s: %s", self._named(key), first_line(error))
            with self._using:
                self._failed.append(key)
                self._places.back_off()
        finally:
            with self._using:
                self._wanted = None


class BySize(ByKey[Size, Graph]):
    """Graphs by the (height, width) of the network's input in pixels.

    Args:
        make: makes one; it is called for one size at a time.
        what: is made, for the log.
        check: as of ByKey.
    """

    def __init__(
        self,
        make: Callable[[Size], Graph],
        what: str,
        check: Callable[[Size, Graph, Tensor], None] | None = None,
    ) -> None:
        super().__init__(make, what, lambda size: f"{size[1]}x{size[0]}", check)
