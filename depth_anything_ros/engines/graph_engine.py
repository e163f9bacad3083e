"""What engines have in common that make a graph of a network for each size of input.

A camera has one size of picture, and a graph of fixed shapes runs faster than one of any shape. It
is kept on the disk, so that a next start takes less time.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines.by_size import BySize, Size
from depth_anything_ros.engines.cache import Cache, hash_of, key_of
from depth_anything_ros.engines.engine import Judge
from depth_anything_ros.engines.outputs import names_of
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput

Network = TypeVar("Network")
Graph = TypeVar("Graph")
_NAMES_FILE = "names.json"


class GraphEngine(ABC, Generic[Network, Graph]):
    """The network in another library, with a graph for each size of input.

    Where a size comes that has no graph yet, torch answers; if it comes again, the graph is made
    in another thread. Where that answers wrong, torch goes on in float32.

    Args:
        estimator: whose network it is.
        name: of the engine.
        precision: of ``ENGINE_PRECISIONS``.
        device: that it runs on, as people write it.
        cache: where graphs are kept.
    """

    def __init__(
        self, estimator: DepthEstimator, name: str, precision: str, device: str, cache: Cache
    ) -> None:
        self.name, self.precision, self.device = name, precision, device
        self.judge: Judge | None = None
        self._estimator, self._cache = estimator, cache
        self._names: tuple[str, ...] = ()
        self._refused: set[Size] = set()
        self._graphs: BySize[Graph] = BySize(
            self._opened, f"{estimator.card.name} in {name}", self._check
        )

    @torch.inference_mode()
    def run(self, batch: Tensor) -> NetworkOutput:
        """Answer what the network does; see ``engine.Engine``."""
        size = batch.shape[-2], batch.shape[-1]
        graph = self._graphs.get(size, batch.clone)
        if graph is None or not self._names:
            return self._estimator.run_network(batch, exact=size in self._refused)
        return self._named(graph, batch)

    def _named(self, graph: Graph, batch: Tensor) -> NetworkOutput:
        return NetworkOutput.named(self._names, self._answered(graph, batch))

    def warm_up(self, sizes: Sequence[Size]) -> None:
        """Make graphs for sizes (height, width) of the network's input, and run each once.

        Raises:
            ModelError: where the network cannot be exported (``export``, ``engine``), or the
                library cannot run it (``engine``).
        """
        for size in sizes:
            self._graphs.ensure(size)
            self.run(torch.zeros(1, 3, *size, device=self._estimator.device))

    @abstractmethod
    def _facts(self) -> list[str]:
        """Return what an exported network depends on, besides the network and its size."""

    @abstractmethod
    def _exported(self, size: Size) -> Network:
        """Make in memory what is to be kept."""

    @abstractmethod
    def _write(self, network: Network, folder: Path) -> None:
        """Put it into an empty folder."""

    @abstractmethod
    def _read(self, folder: Path, size: Size) -> Graph:
        """Open what ``_write`` left, for which more may be written there."""

    @abstractmethod
    def _opened_in_memory(self, network: Network, size: Size) -> Graph:
        """Open an exported network without a disk."""

    @abstractmethod
    def _answered(self, graph: Graph, batch: Tensor) -> list[Tensor]:
        """Run a graph; the tensors are the caller's own."""

    def _check(self, size: Size, graph: Graph, sample: Tensor) -> None:
        if self.judge is None:
            return
        try:
            self.judge(sample, lambda batch: self._named(graph, batch))
        except ModelError:
            self._refused.add(size)
            raise

    def _opened(self, size: Size) -> Graph:
        def write(network: Network, folder: Path) -> None:
            # The same at all sizes, and on a large network a second to find out.
            self._names = self._names or names_of(self._estimator, size)
            (folder / _NAMES_FILE).write_text(json.dumps(self._names), encoding="utf-8")
            self._write(network, folder)

        def read(folder: Path) -> Graph:
            names = (folder / _NAMES_FILE).read_text(encoding="utf-8")
            self._names = tuple(json.loads(names))
            return self._read(folder, size)

        def without(network: Network) -> Graph:
            self._names = self._names or names_of(self._estimator, size)
            return self._opened_in_memory(network, size)

        return self._cache.opened(
            self._key(size), lambda: self._exported(size), write, read, without
        )

    def _key(self, size: Size) -> str:
        """Return a name for everything that a graph depends on."""
        facts = [__version__, torch.__version__, hash_of(self._estimator.network), *self._facts()]
        return key_of(self._estimator.card, size, facts)
