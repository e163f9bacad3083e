import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from lesson import write_sample

from depth_anything_ros.core.errors import RecipeError, SourceError
from depth_anything_ros.training.batches import Batches, open_source
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Losses, Recipe, Source
from depth_anything_ros.training.samples import FolderSource
from depth_anything_ros.training.world_pool import WorldPool

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


@pytest.fixture
def recipe(tmp_path):
    """Four pictures with depth of their own number, not cut or changed."""
    for number in range(4):
        rgb = np.full((28, 42, 3), 10 * number, np.uint8)
        write_sample(tmp_path, f"p{number}", rgb, np.full((28, 42), number + 1.0, np.float32))
    return Recipe(
        sources=(Source("folder", path=str(tmp_path), augment="none"),),
        losses=Losses(log_l1=1),
        sizes=((42, 28, 1), (28, 28, 1)),
        batch_size=3,
        steps=20,
        workers=2,
    )


def taken(recipe, processes, first=0, count=4):
    """Return the depth of each picture of each pass of the steps from one on."""
    made = []
    with Batches(recipe, processes, 14).start(first) as steps:
        for _, passes in zip(range(count), steps, strict=False):
            made.append([batch.depth_m[:, 0, 0].tolist() for batch in passes])
    return made


def test_processes_share_out_what_one_accumulates(recipe):
    one = taken(replace(recipe, accumulate=4), ALONE)
    two = [taken(replace(recipe, accumulate=2), Processes(rank, 2, CPU)) for rank in range(2)]
    assert one == [a + b for a, b in zip(*two, strict=True)]
    assert [len(passes) for passes in one] == [4, 4, 4, 4]
    assert len({tuple(depths) for passes in one for depths in passes}) > 8


def test_all_passes_of_a_step_have_one_size(recipe):
    with Batches(replace(recipe, accumulate=3), ALONE, 14).start(0) as steps:
        sizes = []
        for _, passes in zip(range(12), steps, strict=False):
            assert len({batch.image.shape for batch in passes}) == 1
            sizes.append(tuple(passes[0].image.shape[2:]))
    assert set(sizes) == {(28, 42), (28, 28)}


def test_steps_go_on_from_any_one(recipe):
    unbroken = taken(recipe, ALONE, count=8)
    assert taken(recipe, ALONE, first=5, count=3) == unbroken[5:]


def test_the_threads_end_with_the_steps(recipe):
    before = threading.active_count()
    with Batches(replace(recipe, accumulate=2), ALONE, 14).start(0) as steps:
        next(steps)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_a_change_of_sizes_reaches_the_end_of_the_recipe(recipe):
    """From one size only to the other only: the stream knows the steps of the recipe."""
    batches = Batches(replace(recipe, sizes=((42, 28, 1, 0), (28, 28, 0, 1))), ALONE, 14)
    with batches.start(0) as steps:
        assert next(steps)[0].image.shape[3] == 42
    with batches.start(20) as steps:
        assert next(steps)[0].image.shape[3] == 28


def test_only_strong_changes_paste_boxes(recipe):
    assert not Batches(recipe, ALONE, 14).has_regions
    strong = replace(recipe.sources[0], augment="strong")
    assert Batches(replace(recipe, sources=(recipe.sources[0], strong)), ALONE, 14).has_regions


def test_sizes_that_the_network_cannot_take(recipe):
    with pytest.raises(RecipeError, match=r"sizes has 42x30; tiny needs multiples of 14"):
        Batches(replace(recipe, sizes=((42, 28, 1), (42, 30, 1))), ALONE, 14)
    with pytest.raises(SourceError, match="weights of sizes"):
        Batches(replace(recipe, sizes=((42, 28, 1, 0),)), ALONE, 14)


def test_sources_are_opened_as_the_recipe_says(recipe, tmp_path):
    folder = open_source(recipe.sources[0], "cpu")
    assert isinstance(folder, FolderSource) and folder.count == 4
    cache = tmp_path / "cache"
    world = open_source(Source(first_seed=9, count=5, width=28, height=14, cache=str(cache)), "cpu")
    assert isinstance(world, WorldPool) and (world.count, world.first_seed) == (5, 9)
    assert world.get(0).rgb.shape == (14, 28, 3) and cache.is_dir()
    rng = np.random.default_rng(0)
    growing = open_source(Source(reuse=2.0, first_views=10, cache=str(tmp_path / "more")), "cpu")
    assert max(growing.draw(rng, 100) for _ in range(500)) == 60
    with pytest.raises(SourceError, match="there is no folder"):
        open_source(Source("pseudo", path=str(tmp_path / "absent")), "cpu")


def test_a_world_in_memory_holds_what_is_drawn_at_random():
    """Views that come again and again, and are not kept, would be rendered each time."""
    for source in (Source(count=256), Source(count=0)):  # all are kept; each comes once
        open_source(source, "cpu")
    for source in (Source(count=257), Source(reuse=3.0), Source(first_views=9)):
        with pytest.raises(RecipeError, match=r"more than once needs a cache.*sources\.N\.cache"):
            open_source(source, "cpu")
