"""How many threads torch takes on a CPU, for one part of the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def few_threads(threads: int) -> int:
    """Return how many of so many threads prepare pictures and finish answers: half of them.

    Between its steps, a thread of torch waits by counting in a loop. Where all cores do so, they
    are missing to the network's other engine and to the processes that send and receive: on two
    cores, preparing took 2.2 ms instead of 5, and a picture a seventh less of CPU time.
    """
    return max(1, threads // 2)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let this thread's torch work in so many threads on the CPU, until the context ends."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
