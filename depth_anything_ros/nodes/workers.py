"""The threads of a node beside its executor: to answer, to publish, and to load."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
# After it was told to end; what is busy outside of Python goes on until it is done.
_PATIENCE_S = 1.0


class Worker(Generic[Item]):
    """A thread that answers the newest item of each sender; the executor puts and goes on.

    It takes all that waits at once: however often one sender writes, none waits longer than one
    round. Where it overlaps, a second thread publishes what it has found while it goes on, one
    round behind at most.

    Args:
        name: the beginning of the threads' names.
        newness: compares items; of equal ones what is put last is the newest.
    """

    def __init__(self, name: str, newness: Callable[[Item], Any] = lambda _: 0) -> None:
        self._name, self._newness = name, newness
        self._ready = threading.Condition()
        self._items: dict[str, Item] = {}
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._publisher: ThreadPoolExecutor | None = None
        self._published: Future[None] | None = None

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

    def discard(self, sender: str) -> Item | None:
        """Take back what waits of a sender, and return it."""
        with self._ready:
            return self._items.pop(sender, None)

    def start(
        self,
        answer: Callable[[list[Item]], None],
        overlaps: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin to answer.

        Args:
            answer: called in the thread with all that waits, the longest waiting first; it is not
                to raise, and publishes by ``deliver``.
            overlaps: whether a second thread publishes.
            goes_on: asked before each round; False ends the thread.
        """
        if overlaps:
            self._publisher = ThreadPoolExecutor(1, f"{self._name}_publisher")
        self._thread = threading.Thread(
            target=self._work, args=(answer, goes_on), name=f"{self._name}_worker", daemon=True
        )
        self._thread.start()

    def _work(self, answer: Callable[[list[Item]], None], goes_on: Callable[[], bool]) -> None:
        while (items := self._take()) is not None and goes_on():
            answer(items)
            del items  # and what they hold, before the next come

    def _take(self) -> list[Item] | None:
        with self._ready:
            self._ready.wait_for(lambda: self._is_closed or self._items)
            if self._is_closed:
                return None
            items, self._items = list(self._items.values()), {}
            return items

    def deliver(self, publish: Callable[[], None]) -> None:
        """Publish what was found, here or beside what comes next; in order, and none is lost."""
        if self._publisher is None:
            publish()
            return
        if self._published is not None:
            self._published.result()
        self._published = self._publisher.submit(publish)

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> list[Item]:
        """End the threads once what they have is out, and return what nobody took."""
        with self._ready:
            self._is_closed = True
            items, self._items = list(self._items.values()), {}
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self._publisher is not None:
            self._publisher.shutdown()
        return items


class Background:
    """Run work in a thread, beside an executor that must stay free.

    The interpreter's end waits for the thread: libraries may crash where it stops amid their work.

    Args:
        name: of the thread.
        work: which is not to raise.
        done: called in the thread after the work, unless it was told to stop.
    """

    def __init__(self, name: str, work: Callable[[], None], done: Callable[[], object]) -> None:
        self._work, self._done = work, done
        self._lock = threading.Lock()
        self._stopped = self._ended = False
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        try:
            try:
                self._work()
            finally:
                with self._lock:  # nothing is raised in it any more
                    self._ended = True
        except KeyboardInterrupt:
            return
        if not self._stopped:
            self._done()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs still."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Raise KeyboardInterrupt in the work, as Ctrl-C does in a main thread, and wait a moment.

        What the work is doing outside of Python it ends first.
        """
        with self._lock:
            self._stopped = True
            if not self._ended and self._thread.ident is not None:
                ident = ctypes.c_ulong(self._thread.ident)
                interrupt = ctypes.py_object(KeyboardInterrupt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, interrupt)
        self._thread.join(_PATIENCE_S)
