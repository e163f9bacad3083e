"""An endless stream of batches in which each batch is a pure function of its step."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.training.augment import AugmentOptions, augment, cutmix
from depth_anything_ros.training.samples import Batch, Sample, Source

READY_BATCHES = 4
_LAST_STEP = 1 << 40
# Ends the seeds of what all ranks draw alike; a seed of two numbers would be that of rank 0.
_SHARED = 1 << 31


class BatchStream:
    """Batches of random views of samples from several sources.

    Args:
        sources: to draw from.
        weights: of the sources, any positive numbers: their shares of the pictures.
        sizes: (width, height, weight) of the batches; each batch has one of them, the same on all
            ranks. Multiples of the network's patch. A fourth number is the weight at the last
            step, which the first turns into by a straight line.
        batch_size: pictures in a batch of one rank.
        seed: of everything that is drawn.
        rank: of this process.
        world_size: number of processes.
        options: of the augmentation: one for all sources, or one for each.
        steps: of the run, for weights that change.

    Raises:
        SourceError: where there is no source, or not one weight and option for each.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        weights: Sequence[float],
        sizes: Sequence[Sequence[float]],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        options: AugmentOptions | Sequence[AugmentOptions] = AugmentOptions(),  # noqa: B008
        steps: int = 1,
    ) -> None:
        self.sources = tuple(sources)
        self.options = (
            (options,) * len(self.sources)
            if isinstance(options, AugmentOptions)
            else tuple(options)
        )
        if not self.sources or not len(self.sources) == len(weights) == len(self.options):
            raise SourceError(
                f"{len(self.sources)} sources, {len(weights)} weights and {len(self.options)} "
                f"augmentations; give at least one source, and one of each for each"
            )
        self._shares = _shares("sources", weights)
        self.sizes = tuple((int(width), int(height)) for width, height, *_ in sizes)
        self._first_shares = _shares("sizes", [size[2] for size in sizes])
        self._last_shares = _shares("sizes", [size[-1] for size in sizes])
        self._steps = steps
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size

    def size(self, step: int) -> tuple[int, int]:
        """Return width and height of the pictures of a step, the same on all ranks."""
        rng = np.random.default_rng((self.seed, step, _SHARED))
        done = min(step / self._steps, 1.0)
        shares = (1 - done) * self._first_shares + done * self._last_shares
        return self.sizes[rng.choice(len(self.sizes), p=shares)]

    def batch(self, step: int) -> Batch:
        """Make the batch of a step: the same one whenever, and on whichever thread, it is made."""
        width, height = self.size(step)
        rng = np.random.default_rng((self.seed, self.rank, step))
        chosen = rng.choice(len(self.sources), self.batch_size, p=self._shares)
        first = (step * self.world_size + self.rank) * self.batch_size
        samples = []
        for place, number in enumerate(chosen):
            source = self.sources[number]
            sample = source.get(source.draw(rng, first + place))
            samples.append(augment(sample, width, height, rng, self.options[number]))
        batch = collate(samples)
        probability = np.array([self.options[number].cutmix for number in chosen])
        return cutmix(batch, rng, probability) if probability.any() else batch

    def prefetch(
        self, first_step: int, workers: int = 1, processes: bool = False
    ) -> Generator[Batch, None, None]:
        """Yield the batches from a step on, made ahead in the background, in order.

        An error of a worker is raised here, at its step. Close the iterator
        (``contextlib.closing``) to stop the workers.

        Args:
            first_step: of the first batch.
            workers: threads or processes.
            processes: use processes (forked) instead of threads. Threads do for a CPU; an
                accelerator takes batches faster than one interpreter can hand them out. Sources
                that render on CUDA need threads.
        """
        if processes:
            return self._by_processes(first_step, workers)
        return self._by_threads(first_step, workers)

    def _by_threads(self, first_step: int, workers: int) -> Generator[Batch, None, None]:
        """OpenCV and numpy let other threads run while they work; at least 4 batches wait."""
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

    def _by_processes(self, first_step: int, workers: int) -> Generator[Batch, None, None]:
        loader = DataLoader(
            _Steps(self),
            batch_size=None,
            sampler=range(first_step, _LAST_STEP),
            num_workers=workers,
            prefetch_factor=-(-READY_BATCHES // workers),
            multiprocessing_context="fork",
        )
        for item in loader:
            if isinstance(item, DepthAnythingError):
                raise item
            yield Batch(*item)


class _Steps(Dataset[tuple[Tensor, ...] | DepthAnythingError]):
    """The stream as DataLoader wants it: an item is a batch."""

    def __init__(self, stream: BatchStream) -> None:
        self.stream = stream

    def __getitem__(self, step: int) -> tuple[Tensor, ...] | DepthAnythingError:
        try:
            batch = self.stream.batch(step)
        except DepthAnythingError as error:
            return error  # DataLoader would make a traceback of its one line
        return batch.image, batch.depth_m, batch.disparity, batch.focal_px, batch.region


def _shares(what: str, weights: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(weights, np.float64)
    if not values.size or (values < 0).any() or not values.sum() > 0:
        raise SourceError(f"the weights of {what} are {list(weights)}; expected positive numbers")
    return np.asarray(values / values.sum(), np.float64)


def collate(samples: Sequence[Sample]) -> Batch:
    """Put samples of one size into a batch; labels that a sample lacks are NaN."""
    height, width = samples[0].rgb.shape[:2]
    pictures = np.stack([sample.rgb for sample in samples])
    image = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float().div_(255)
    depth, disparity = np.full((2, len(samples), height, width), np.nan, np.float32)
    for place, sample in enumerate(samples):
        if sample.depth_m is not None:
            depth[place] = sample.depth_m
        if sample.disparity is not None:
            disparity[place] = sample.disparity
    return Batch(
        image,
        torch.from_numpy(depth),
        torch.from_numpy(disparity),
        torch.tensor([sample.focal_px for sample in samples], dtype=torch.float32),
        torch.zeros((len(samples), height, width), dtype=torch.bool),
    )
