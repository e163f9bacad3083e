"""Tell an error of a machine that is short of memory from what it looks like."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

SHORT_OF_MEMORY = (
    "this machine is short of memory: stop what else uses it, raise the limit of the process "
    "(ulimit -v, MemoryMax of systemd, --memory of a container), or choose a smaller model"
)
# As said by the loader of libraries, pthreads, and the allocators of C++, torch and OpenVINO.
_SAID = (
    "cannot allocate memory",
    "can't allocate memory",
    "not enough memory",
    "failed to map segment",
    "failed to allocate memory",
    "unable to allocate",
    "bad allocation",
    "bad_alloc",
    "can't start new thread",
    "error return without exception set",  # of CPython, amid an import
)
# Of the limit, left over by a library that did not fit.
_NEAR = 0.15


def is_short_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the machine has no memory left for this process.

    Where memory ends while a library is imported, that is an ImportError of any words, and while a
    thread is started a RuntimeError; what an error was raised from counts too.
    """
    if isinstance(error, (ImportError, AttributeError, SystemError)) and _is_near_its_limit():
        return True
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, MemoryError) or getattr(current, "errno", None) == errno.ENOMEM:
            return True
        if says_memory_is_short(current):
            return True
        seen.append(current)
        current = current.__cause__ or current.__context__
    return False


def says_memory_is_short(error: BaseException) -> bool:
    """Say whether the text of an error is what an allocator says that has no memory left."""
    text = str(error).lower()
    return any(said in text for said in _SAID)


def _is_near_its_limit() -> bool:
    """Say whether this process has nearly all of the addresses that it may have (ulimit -v)."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return limit - pages * resource.getpagesize() < _NEAR * limit
