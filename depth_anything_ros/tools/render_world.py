"""``depth_anything render-world``: fill a cache with views of the procedural world."""

from __future__ import annotations

import argparse
import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import ParameterError, quoted
from depth_anything_ros.tools.progress import Progress

LARGEST_SIDE = 16_384  # pixels, as of a recipe
LARGEST_SEED = 2**53  # likewise
_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "render-world",
        help="render views of the procedural world ahead of training",
        description="Render views of the procedural world into a cache that training reads. "
        "Shards that are there already are left as they are, so it may be stopped and started "
        "again, and run while a training reads the same cache.",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--count", type=int, required=True, help="number of views")
    parser.add_argument("--size", default="308x210", help="of a view, WIDTHxHEIGHT [px]")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first view")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def run(options: argparse.Namespace) -> int:
    """Render what is missing; return the exit status."""
    from depth_anything_ros.training.world_pool import WorldPool

    width, height = parse_size(options.size)
    for name, least in (("count", 1), ("workers", 1), ("first_seed", 0)):
        if getattr(options, name) < least:
            raise ParameterError(f"--{name.replace('_', '-')} must be {least} or more")
    check_seeds(options.first_seed, options.count)
    arguments = (options.first_seed, options.count, width, height, options.output)
    pool = WorldPool(*arguments, options.device)
    missing = [number for number in range(pool.shard_count) if not pool.has_shard(number)]
    present = pool.shard_count - len(missing)
    print(f"{present} of {pool.shard_count} shards are there; {len(missing)} to render", flush=True)
    progress = Progress(sum(pool.views_in(number) for number in missing), "views")
    if options.workers == 1:
        for number in missing:
            progress.add(sum(pool.render_ahead(number, number + 1)))
    else:
        for views in _in_processes((*arguments, options.device), missing, options.workers):
            progress.add(views)
    progress.end()
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of a text such as 308x210.

    Raises:
        ParameterError: where it is none.
    """
    sides = _SIZE.fullmatch(text.lower())
    if sides is None or max(map(int, sides.groups())) > LARGEST_SIDE:
        raise ParameterError(
            f"{quoted(text)} is no size; expected WIDTHxHEIGHT, for example 308x210, of at most "
            f"{LARGEST_SIDE} px"
        )
    return int(sides[1]), int(sides[2])


def check_seeds(first_seed: int, count: int) -> None:
    """Refuse views whose seeds the world's generators do not take.

    Raises:
        ParameterError: naming the option.
    """
    if not 0 <= first_seed <= LARGEST_SEED - count:
        raise ParameterError(
            f"--first-seed must be 0 or more, and the last view's at most {LARGEST_SEED}; got "
            f"{quoted(first_seed)} and {quoted(count)} views"
        )


def _in_processes(arguments: tuple[Any, ...], missing: list[int], workers: int) -> Iterator[int]:
    """Render shards in processes of their own; yield the views of each when it is done."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with CUDA is broken
    with ProcessPoolExecutor(workers, context) as pool:
        waiting: set[Future[int]] = {pool.submit(_render, arguments, n) for n in missing}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _render(arguments: tuple[Any, ...], number: int) -> int:
    import torch

    from depth_anything_ros.training.world_pool import WorldPool

    torch.set_num_threads(1)  # the other processes have the other cores
    return sum(WorldPool(*arguments).render_ahead(number, number + 1))
