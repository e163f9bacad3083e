"""A second thread that ends what a first has begun, while the first begins the next."""

from __future__ import annotations

import threading
from collections.abc import Callable

Task = Callable[[], None]


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
