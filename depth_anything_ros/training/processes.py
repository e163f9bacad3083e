"""The processes of one run: a single one, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from depth_anything_ros.core.errors import TrainingError
from depth_anything_ros.models.device import choose_device

# The first process validates and saves while the others wait for it.
_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """One process among all of the run.

    Attributes:
        rank: of this one, 0 for the one that logs and saves.
        count: of all.
        device: that this one computes on.
        group: a gloo group for words between the hosts; None for a single process.
    """

    rank: int
    count: int
    device: torch.device
    group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    def any_of(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all of them must ask."""
        if self.group is None:
            return flag
        votes = torch.tensor(int(flag))
        dist.all_reduce(votes, dist.ReduceOp.MAX, group=self.group)
        return bool(votes)

    def mean_of(self, values: list[float]) -> list[float]:
        """Return the means of numbers over all processes; all of them must ask."""
        if self.group is None:
            return values
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums, group=self.group)
        means: list[float] = (sums / self.count).tolist()
        return means


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun's environment names; a single one without it.

    Raises:
        TrainingError: where the device named cannot be shared out to several processes.
        ModelError: (``device``).
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, choose_device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device)
    if chosen.type == "mps" or (chosen.type == "cuda" and chosen.index is not None):
        raise TrainingError(
            f"device {device} is one device and torchrun started {count} processes; use cpu, cuda "
            f"or auto"
        )
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{local}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, count, chosen, dist.new_group(backend="gloo", timeout=_PATIENCE))
    finally:
        dist.destroy_process_group()
