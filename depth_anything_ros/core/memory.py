"""Tell an error of a machine that is short of memory from what it looks like."""

from __future__ import annotations

import errno

SHORT_OF_MEMORY = (
    "this machine is short of memory: stop what else uses it, raise the limit of the process "
    "(ulimit -v, MemoryMax of systemd, --memory of a container), or choose a smaller model"
)
# As said by the loader of libraries, pthreads, and the allocators of C++, torch and OpenVINO.
_SAID = (
    "cannot allocate memory",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "failed to map segment",
    "failed to allocate memory",
    "unable to allocate",
    "bad allocation",
    "bad_alloc",
    "can't start new thread",
    "resource temporarily unavailable",
)


def is_short_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the machine has no memory left for this process.

    Where memory ends while a library is imported, that is an ImportError, and while a thread is
    started a RuntimeError; what an error was raised from counts too.
    """
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, MemoryError) or getattr(current, "errno", None) == errno.ENOMEM:
            return True
        text = str(current).lower()
        if any(said in text for said in _SAID):
            return True
        seen.append(current)
        current = current.__cause__ or current.__context__
    return False
