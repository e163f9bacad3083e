"""A disk that is full, without a right to mount one."""

import resource
from contextlib import contextmanager


@contextmanager
def files_of_at_most(bytes_):
    """Where a file would grow larger, writing fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
