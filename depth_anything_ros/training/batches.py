"""From the sources of a recipe to batches, each of which is a pure function of its step."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.errors import RecipeError, SourceError
from depth_anything_ros.core.files import user_path
from depth_anything_ros.training.augment import (
    RENDERED,
    STRONG,
    AugmentOptions,
    augment,
    cutmix,
)
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Recipe, Source
from depth_anything_ros.training.samples import Batch, FolderSource, Sample, SampleSource
from depth_anything_ros.training.world_pool import VIEWS_IN_MEMORY, WorldPool

READY_BATCHES = 4
# Ends the seeds of what all ranks draw alike; a seed of two numbers would be that of rank 0.
_SHARED = 1 << 31
_AUGMENTATIONS = {
    "none": AugmentOptions(min_area=1.0, flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0),
    "weak": AugmentOptions(),
    "strong": STRONG,
    "rendered": RENDERED,
}


class Drawn(NamedTuple):
    """A source to draw from, its share of the pictures (any positive number), and its changes."""

    source: SampleSource
    weight: float = 1.0
    options: AugmentOptions = AugmentOptions()


@dataclass
class BatchStream:
    """Batches of random views of samples from several sources.

    Attributes:
        drawn: what to draw from.
        sizes: (width, height, weight) of the batches; each batch has one of them, the same on all
            ranks. Multiples of the network's patch. A fourth number is the weight at the last
            step, which the first turns into by a straight line.
        batch_size: pictures in a batch of one rank.
        seed: of everything that is drawn.
        rank: of this process.
        world_size: number of processes.
        steps: of the run, for weights that change.
        pins: whether batches are in page-locked memory, for fast copies to CUDA.

    Raises:
        SourceError: where weights are not positive numbers.
    """

    drawn: Sequence[Drawn]
    sizes: Sequence[Sequence[float]]
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    steps: int = 1
    pins: bool = False

    def __post_init__(self) -> None:
        self._shares = _shares("sources", [drawn.weight for drawn in self.drawn])
        self._first_shares = _shares("sizes", [size[2] for size in self.sizes])
        self._last_shares = _shares("sizes", [size[-1] for size in self.sizes])

    def size(self, step: int) -> tuple[int, int]:
        """Return width and height of the pictures of a step, the same on all ranks."""
        rng = np.random.default_rng((self.seed, step, _SHARED))
        done = min(step / self.steps, 1.0)
        shares = (1 - done) * self._first_shares + done * self._last_shares
        width, height, *_ = self.sizes[rng.choice(len(self.sizes), p=shares)]
        return int(width), int(height)

    def batch(self, step: int) -> Batch:
        """Make the batch of a step: the same one whenever, and on whichever thread, it is made."""
        width, height = self.size(step)
        rng = np.random.default_rng((self.seed, self.rank, step))
        places = rng.choice(len(self.drawn), self.batch_size, p=self._shares)
        chosen = [self.drawn[place] for place in places]
        first = (step * self.world_size + self.rank) * self.batch_size
        samples = []
        for number, (source, _, options) in enumerate(chosen, first):
            sample = source.get(source.draw(rng, number))
            samples.append(augment(sample, width, height, rng, options))
        probability = np.array([drawn.options.cutmix for drawn in chosen])
        batch = collate(samples)
        batch = cutmix(batch, rng, probability) if probability.any() else batch
        return batch.pinned() if self.pins else batch

    def prefetch(self, first_step: int, workers: int = 1) -> Generator[Batch, None, None]:
        """Yield the batches from a step on, in order, made ahead by threads.

        OpenCV and numpy let other threads run while they work; at least READY_BATCHES wait. An
        error of a thread is raised here, at its step. Close the iterator (``contextlib.closing``)
        to stop the threads.
        """
        ahead = max(READY_BATCHES, workers)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
        try:
            waiting = deque(
                pool.submit(self.batch, step) for step in range(first_step, first_step + ahead)
            )
            for step in count(first_step + ahead):
                batch = waiting.popleft().result()
                waiting.append(pool.submit(self.batch, step))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _shares(what: str, weights: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(weights, np.float64)
    if not values.size or (values < 0).any() or not values.sum() > 0:
        raise SourceError(f"the weights of {what} are {list(weights)}; expected positive numbers")
    return np.asarray(values / values.sum(), np.float64)


def collate(samples: Sequence[Sample]) -> Batch:
    """Put samples of one size into a batch; labels that a sample lacks are NaN."""
    shape = samples[0].rgb.shape[:2]
    unknown = np.full(shape, np.nan, np.float32)

    def stacked(labels: Iterable[NDArray[np.float32] | None]) -> Tensor:
        return torch.from_numpy(np.stack([unknown if x is None else x for x in labels]))

    pictures = torch.from_numpy(np.stack([sample.rgb for sample in samples]))
    return Batch(
        pictures.permute(0, 3, 1, 2).contiguous().float().div_(255),
        stacked(sample.depth_m for sample in samples),
        stacked(sample.disparity for sample in samples),
        torch.tensor([sample.focal_px for sample in samples], dtype=torch.float32),
        torch.zeros((len(samples), *shape), dtype=torch.bool),
    )


def open_source(source: Source, device: str) -> SampleSource:
    """Open a source of a recipe; a world is rendered on the device.

    Raises:
        RecipeError: where a world would be rendered again and again.
        SourceError: where a folder or a cache cannot be read.
    """
    if source.kind != "world":
        return FolderSource(Path(source.path))
    cache = user_path(source.cache) if source.cache else None
    comes_back = source.count > VIEWS_IN_MEMORY or (
        not source.count and (source.reuse > 1 or source.first_views > 0)
    )
    if cache is None and comes_back:
        raise RecipeError(
            f"a world of {source.count or 'endless'} views that come more than once needs a cache: "
            f"only {VIEWS_IN_MEMORY} views are kept in memory; set sources.N.cache to a folder"
        )
    return WorldPool(
        source.first_seed,
        source.count,
        source.width,
        source.height,
        cache,
        device=device,
        reuse=source.reuse,
        first_views=source.first_views,
    )


class Batches:
    """The batches of this process: ``accumulate`` for each step.

    The passes of a step are numbered over all processes, so that n processes and n times as many
    passes in one process see the same pictures.
    """

    def __init__(self, recipe: Recipe, processes: Processes, multiple: int) -> None:
        for width, height, *_ in recipe.sizes:
            if width % multiple or height % multiple:
                raise RecipeError(
                    f"sizes has {width}x{height}; {recipe.model} needs multiples of {multiple}"
                )
        self._device = device = processes.device
        drawn = [
            Drawn(open_source(source, str(device)), source.weight, _AUGMENTATIONS[source.augment])
            for source in recipe.sources
        ]
        self.has_regions = any(one.options.cutmix for one in drawn)
        self._workers = max(1, recipe.workers // recipe.accumulate)
        first = processes.rank * recipe.accumulate
        self._streams = [
            BatchStream(
                drawn,
                recipe.sizes,
                recipe.batch_size,
                recipe.seed,
                number,
                recipe.accumulate * processes.count,
                recipe.steps,
                pins=device.type == "cuda",
            )
            for number in range(first, first + recipe.accumulate)
        ]

    @contextmanager
    def start(self, step: int) -> Iterator[Iterator[list[Batch]]]:
        """Yield an iterator over the batches of each step from one on; threads end with it."""
        with ExitStack() as stack:
            streams = [
                stack.enter_context(closing(stream.prefetch(step, self._workers)))
                for stream in self._streams
            ]
            yield ([b.to(self._device) for b in batches] for batches in zip(*streams, strict=True))
