"""The procedural world as an endless stream of samples, with a cache on disk.

The cache holds shards of neighbouring seeds, each a folder of plain ``.npy`` files that readers map
into memory. A shard appears under its name at once and whole, so several processes (ranks of a
training run, a renderer that works ahead) share one cache.
"""

from __future__ import annotations

import fcntl
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import SourceError, one_line
from depth_anything_ros.core.files import claim_folder, folder_atomically
from depth_anything_ros.sim.world import VERSION, views
from depth_anything_ros.training.samples import Sample, focal_of, mapped_array

SHARD_VIEWS = 64
METADATA = "world.json"
# float16 ends at 65504; nothing in the world is that far but the sky.
_FARTHEST_M = 6e4
_SHARDS_IN_MEMORY = 4
# Without a cache, those that are kept; of more, most would be rendered each time they are drawn.
VIEWS_IN_MEMORY = _SHARDS_IN_MEMORY * SHARD_VIEWS
_SHARDS_MAPPED = 4096


@dataclass(frozen=True, eq=False)
class _Shard:
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float16]
    focal: NDArray[np.float32]


@dataclass(eq=False)
class WorldPool:
    """Views of the procedural world by index: view i has the seed first_seed + i.

    Attributes:
        first_seed: of the view with index 0.
        count: number of views; 0 means without end.
        width: of the views, pixels.
        height: of the views, pixels.
        cache: folder of the shards, made if absent; None keeps a few shards in memory only.
        device: that renders, ``cpu`` or ``cuda``.
        shard_views: views in a shard.
        reuse: how often a view of a world without end is drawn, on average.
        first_views: of a world without end, that may be drawn at the very start.

    Raises:
        SourceError: where the cache was written for other views than these.
    """

    first_seed: int
    count: int
    width: int
    height: int
    cache: Path | None = None
    device: str = "cpu"
    shard_views: int = SHARD_VIEWS
    reuse: float = 1.0
    first_views: int = 0

    def __post_init__(self) -> None:
        self._shards: OrderedDict[int, _Shard] = OrderedDict()
        self._lock = threading.Lock()
        self._render_lock = threading.Lock()
        if self.cache is not None:
            self.cache.mkdir(parents=True, exist_ok=True)
            names = ("first_seed", "width", "height", "shard_views")
            made_of = {"world_version": VERSION} | {name: getattr(self, name) for name in names}
            claim_folder(self.cache / METADATA, made_of, "views")

    @property
    def shard_count(self) -> int:
        """Number of shards; 0 means without end."""
        return -(-self.count // self.shard_views)

    def draw(self, rng: np.random.Generator, drawn: int) -> int:
        """Return the index of the next view of a run that has drawn so many already.

        A world without end grows while it is trained on: of the views that are there so far, any
        may come. With a reuse of 1 and no first views, it is walked through.
        """
        if self.count:
            return int(rng.integers(self.count))
        if self.reuse == 1 and not self.first_views:
            return drawn
        return int(rng.integers(self.first_views + int(drawn / self.reuse) + 1))

    def get(self, index: int) -> Sample:
        """Return a view, rendering its shard if nobody has yet."""
        if index < 0 or (self.count and index >= self.count):
            raise IndexError(f"view {index} of {self.count or 'endless'}")
        number, place = divmod(index, self.shard_views)
        shard = self._shard(number)
        return Sample(
            np.array(shard.rgb[place]),
            shard.depth[place].astype(np.float32),
            None,
            float(shard.focal[place]),
        )

    def views_in(self, number: int) -> int:
        """Return the number of views of a shard: the last one may have fewer."""
        return len(self._seeds(number))

    def has_shard(self, number: int) -> bool:
        """Say whether a shard is in the cache."""
        return self.cache is not None and _folder_of(self.cache, number).is_dir()

    def render_ahead(self, first_shard: int, last_shard: int) -> Iterator[int]:
        """Render the shards first_shard ... last_shard - 1 that are not in the cache yet.

        Shards that another process is working on are left to it.

        Yields:
            The number of views of each shard that this call rendered, when it is written.
        """
        for number in range(first_shard, last_shard):
            if not self.has_shard(number) and self._render_to_cache(number, wait=False):
                yield self.views_in(number)

    def _shard(self, number: int) -> _Shard:
        with self._lock:
            shard = self._shards.get(number)
            if shard is not None:
                self._shards.move_to_end(number)
                return shard
        if self.cache is None:
            # One at a time: renderers that run side by side only take each other's cores.
            with self._render_lock:
                shard = self._shards.get(number) or self._render(number)
        else:
            if not self.has_shard(number):
                self._render_to_cache(number, wait=True)
            shape = self.views_in(number), self.height, self.width
            shard = _mapped(_folder_of(self.cache, number), shape)
        with self._lock:
            self._shards[number] = shard
            if len(self._shards) > (_SHARDS_MAPPED if self.cache else _SHARDS_IN_MEMORY):
                self._shards.popitem(last=False)
        return shard

    def _seeds(self, number: int) -> range:
        first = number * self.shard_views
        last = first + self.shard_views
        return range(
            self.first_seed + first,
            self.first_seed + (min(last, self.count) if self.count else last),
        )

    def _render(self, number: int) -> _Shard:
        made = views(list(self._seeds(number)), self.width, self.height, self.device)
        depth = made.depth_m.cpu().numpy()
        depth = np.where(depth > _FARTHEST_M, np.float32(np.inf), depth)
        focal = np.array([focal_of(camera) for camera in made.cameras], np.float32)
        return _Shard(made.rgb.cpu().numpy(), depth.astype(np.float16), focal)

    def _render_to_cache(self, number: int, wait: bool) -> bool:
        """Render a shard unless another thread or process does; say whether it was this one."""
        assert self.cache is not None
        folder = _folder_of(self.cache, number)
        with _lock_file(folder.with_suffix(".lock"), wait) as is_mine:
            if not is_mine or folder.is_dir():
                return False
            shard = self._render(number)
            try:
                with folder_atomically(folder) as part:
                    for name in ("rgb", "depth", "focal"):
                        np.save(part / f"{name}.npy", getattr(shard, name))
            except OSError as error:
                raise SourceError(
                    f"cannot write the shard {folder}: {error.strerror or one_line(error)}; make "
                    f"room on that disk, or choose another cache"
                ) from error
            return True


def _folder_of(cache: Path, number: int) -> Path:
    return cache / f"shard_{number:06d}"


def _mapped(folder: Path, shape: tuple[int, int, int]) -> _Shard:
    """Map the arrays of a shard of so many views, of a height and a width."""
    arrays = []
    for name, kind, wanted in (
        ("rgb", np.uint8, (*shape, 3)),
        ("depth", np.float16, shape),
        ("focal", np.float32, shape[:1]),
    ):
        try:
            values = mapped_array(folder / f"{name}.npy")
        except SourceError as error:
            raise SourceError(f"{error}; remove the shard {folder}") from error
        if values.dtype != kind or values.shape != wanted:
            raise SourceError(
                f"{folder / name}.npy holds {values.dtype} of shape {values.shape}, expected "
                f"{np.dtype(kind)} of {wanted}; remove the shard {folder}"
            )
        arrays.append(values)
    return _Shard(*arrays)


@contextmanager
def _lock_file(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock that ends with its process, however that ends; False where it is another's."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)
