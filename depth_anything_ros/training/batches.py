"""From the sources of a recipe to the batches of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.core.files import user_path
from depth_anything_ros.training.augment import RENDERED, STRONG, AugmentOptions
from depth_anything_ros.training.data import BatchStream, Drawn
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Recipe, Source
from depth_anything_ros.training.samples import Batch, FolderSource
from depth_anything_ros.training.samples import Source as SampleSource
from depth_anything_ros.training.world_pool import VIEWS_IN_MEMORY, WorldPool

_AUGMENTATIONS = {
    "none": AugmentOptions(min_area=1.0, flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0),
    "weak": AugmentOptions(),
    "strong": STRONG,
    "rendered": RENDERED,
}


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
