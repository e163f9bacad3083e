"""One piece of work in a thread of its own, which Ctrl-C can end."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

# After it was told to end; what is busy outside of Python goes on until it is done.
_PATIENCE_S = 1.0


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
