"""What an engine makes for one size of input each, in another thread while torch answers."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

Size = tuple[int, int]
Graph = TypeVar("Graph")
# Sizes whose graphs are kept, those used last: each holds all weights once more.
_SIZES = 4
# A size that comes so often is that of a stream, and worth the time.
_ASKED = 2


class BySize(Generic[Graph]):
    """Graphs of one network by the (height, width) of its input in pixels.

    Args:
        make: makes one; it is called for one size at a time.
        what: is made, for the log.
    """

    def __init__(self, make: Callable[[Size], Graph], what: str) -> None:
        self._make, self._what = make, what
        self._graphs: OrderedDict[Size, Graph] = OrderedDict()
        self._asked: Counter[Size] = Counter()
        self._using = threading.Lock()
        self._making = threading.Lock()

    def get(self, size: Size) -> Graph | None:
        """Return the graph of a size; where there is none, None, and make it if it comes again."""
        with self._using:
            graph = self._graphs.get(size)
            if graph is not None:
                self._graphs.move_to_end(size)
                return graph
            self._asked[size] += 1
            is_due = self._asked[size] == _ASKED
        if is_due:
            _log.info("making %s for %dx%d; torch answers", self._what, size[1], size[0])
            # No daemon: until Python 3.14, one that comes back from C++ while the interpreter ends
            # aborts the process. So its end waits for what is being made.
            threading.Thread(
                target=self._make_later, args=(size,), name=f"{self._what} being made", daemon=False
            ).start()
        return None

    def ensure(self, size: Size) -> None:
        """Make the graph of a size now, unless there is one.

        Raises:
            Whatever making it does.
        """
        with self._making:
            self._make_missing(size)

    def _make_missing(self, size: Size) -> None:
        with self._using:
            if size in self._graphs:
                return
        graph = self._make(size)
        with self._using:
            self._graphs[size] = graph
            while len(self._graphs) > _SIZES:
                oldest, _ = self._graphs.popitem(last=False)
                del self._asked[oldest]

    def _make_later(self, size: Size) -> None:
        try:
            with self._making:
                if threading.main_thread().is_alive():  # else the process ends
                    self._make_missing(size)
        except Exception as error:  # of a compiler or a driver; torch goes on
            _log.warning("torch goes on for %dx%d: %s", size[1], size[0], error)
