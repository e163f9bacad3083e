"""An endless stream of batches in which each batch is a pure function of its step."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.training.augment import AugmentOptions, augment, cutmix
from depth_anything_ros.training.samples import Batch, Sample, Source

READY_BATCHES = 4
# Ends the seeds of what all ranks draw alike; a seed of two numbers would be that of rank 0.
_SHARED = 1 << 31


class Drawn(NamedTuple):
    """A source to draw from, its share of the pictures (any positive number), and its changes."""

    source: Source
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
