"""The threads of a node beside its executor: to answer, to publish, and to load."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Task = Callable[[], None]
# After it was told to end; what is busy outside of Python goes on until it is done.
_PATIENCE_S = 1.0


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


class HandOver:
    """Run tasks in another thread, one after the other, as they are given.

    There is one at most: who gives the next waits until the one before has ended. So a picture is
    never more than one behind, and all stay in order.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._task: Task | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def give(self, task: Task) -> None:
        """Wait until the thread is free, and have it run a task, which is not to raise.

        Raises:
            RuntimeError: where the thread has ended, closed or by a task that raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._task is None or self._closed)
            if self._closed:
                raise RuntimeError(f"{self._thread.name} has ended")
            self._task = task
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread after the task that it has, and wait for that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (task := self._next()) is not None:
                task()
                del task  # and what it holds, before the next comes
                with self._changed:
                    self._task = None
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._task is not None)
            return self._task


class Worker(Generic[Item]):
    """A thread that answers what waits, and, where it overlaps, a second that publishes.

    Args:
        name: what the threads are named after.
        answer: called in the first thread with all that waits, the longest waiting first. It is
            not to raise, and leaves publishing to ``deliver``.
        newness: of an item, see ``Mailbox``.
        overlaps: whether the second thread publishes while the first goes on.
        goes_on: asked before each round; False ends the worker.

    Attributes:
        mailbox: what it takes its items from.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[list[Item]], None],
        newness: Callable[[Item], Any],
        overlaps: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.mailbox: Mailbox[Item] = Mailbox(newness)
        self._answer, self._goes_on = answer, goes_on
        self._hand_over = HandOver(f"{name}_publisher") if overlaps else None
        self._thread = threading.Thread(target=self._work, name=f"{name}_worker", daemon=True)

    def start(self) -> None:
        """Begin to take items."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def deliver(self, publish: Task) -> None:
        """Publish what was found, here or beside what comes next."""
        if self._hand_over is None:
            publish()
        else:
            self._hand_over.give(publish)

    def stop(self) -> list[Item]:
        """End the threads once what they have is out, and return what nobody took."""
        left = self.mailbox.close()
        if self._thread.ident is not None:
            self._thread.join()
        if self._hand_over is not None:
            self._hand_over.close()
        return left

    def _work(self) -> None:
        while (items := self.mailbox.take()) is not None and self._goes_on():
            self._answer(items)


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
