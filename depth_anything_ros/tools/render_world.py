"""``depth_anything render-world``: fill a cache with views of the procedural world."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from depth_anything_ros.tools.options import check_least, check_seeds, parse_size
from depth_anything_ros.tools.progress import Progress
from depth_anything_ros.training.world_pool import WorldPool


def run(options: argparse.Namespace) -> int:
    """Render what is missing; return the exit status."""
    for option, value in (("--count", options.count), ("--workers", options.workers)):
        check_least(option, value)
    check_seeds(options.first_seed, options.count)
    size = parse_size(options.size)
    arguments = (options.first_seed, options.count, *size, options.output, options.device)
    pool = WorldPool(*arguments)
    missing = [number for number in range(pool.shard_count) if not pool.has_shard(number)]
    present = pool.shard_count - len(missing)
    print(f"{present} of {pool.shard_count} shards are there; {len(missing)} to render", flush=True)
    with Progress(sum(map(pool.views_in, missing)), "views") as progress:
        if options.workers == 1:
            for number in missing:
                progress.add(sum(pool.render_ahead(number, number + 1)))
        else:
            for views in _in_processes(arguments, missing, options.workers):
                progress.add(views)
    return 0


def _in_processes(arguments: tuple[Any, ...], missing: list[int], workers: int) -> Iterator[int]:
    """Render shards in processes of their own; yield the views of each when it is done."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with CUDA is broken
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            for done in as_completed([pool.submit(_render, arguments, n) for n in missing]):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _render(arguments: tuple[Any, ...], number: int) -> int:
    torch.set_num_threads(1)  # the other processes have the other cores
    return sum(WorldPool(*arguments).render_ahead(number, number + 1))
