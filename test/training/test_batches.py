import math
import threading
from contextlib import closing
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from lesson import write_sample

from depth_anything_ros.core.errors import RecipeError, SourceError
from depth_anything_ros.training.augment import STRONG, AugmentOptions
from depth_anything_ros.training.batches import Batches, BatchStream, Drawn, collate, open_source
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Losses, Recipe, Source
from depth_anything_ros.training.samples import FolderSource, Sample
from depth_anything_ros.training.world_pool import WorldPool

SIZES = [(56, 42, 1.0), (42, 56, 1.0)]
STILL = AugmentOptions(flip=0, jitter=0, grayscale=0, blur=0, min_area=1)


@pytest.fixture
def folders(tmp_path):
    """Two folders: three metric pictures, three pseudo-labelled ones."""
    rng = np.random.default_rng(0)
    metric, relative = tmp_path / "metric", tmp_path / "relative"
    for folder in (metric, relative):
        folder.mkdir()
    for i in range(3):
        rgb = rng.integers(0, 256, (48, 64, 3), np.uint8)
        label = rng.uniform(1, 9, (48, 64)).astype(np.float32)
        write_sample(metric, f"p{i}", rgb, depth_m=label)
        write_sample(relative, f"p{i}", rgb, disparity=label)
    return FolderSource(metric), FolderSource(relative)


def stream(folders, **changes):
    metric, relative = folders
    drawn = [Drawn(metric), Drawn(relative, options=STRONG)]
    settings = {"drawn": drawn, "sizes": SIZES, "batch_size": 4, "seed": 5}
    return BatchStream(**(settings | changes))


def still(folders, *weights):
    """Draw pictures with no changes."""
    return [Drawn(folder, w, STILL) for folder, w in zip(folders, weights, strict=True)]


def same(one, other):
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return all(
        a.shape == b.shape and torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in pairs
    )


def test_a_batch_is_a_function_of_its_step_alone(folders):
    one, other = stream(folders), stream(folders)
    for step in (3, 9, 1):
        other.batch(step)
    assert same(one.batch(7), one.batch(7)) and same(one.batch(7), other.batch(7))
    assert not same(one.batch(7), one.batch(8))
    assert not same(one.batch(7), stream(folders, seed=6).batch(7))


def test_a_resumed_stream_goes_on_where_the_first_one_stopped(folders):
    with closing(stream(folders).prefetch(0, 3)) as batches:
        unbroken = [next(batches) for _ in range(9)]
    with closing(stream(folders).prefetch(6, 1)) as batches:
        resumed = [next(batches) for _ in range(3)]
    assert all(same(a, b) for a, b in zip(unbroken[6:], resumed, strict=True))
    assert same(unbroken[2], stream(folders).batch(2))


def test_ranks_draw_other_pictures_of_one_size(folders):
    ranks = [stream(folders, rank=r, world_size=2) for r in range(2)]
    for step in range(8):
        one, other = (rank.batch(step) for rank in ranks)
        assert one.image.shape == other.image.shape and not same(one, other)


def test_sizes_and_sources_come_by_their_weights(folders):
    made = stream(folders, sizes=[(56, 42, 3.0), (42, 56, 1.0)])
    wide = np.mean([made.size(step) == (56, 42) for step in range(2000)])
    assert wide == pytest.approx(0.75, abs=0.04)
    made = BatchStream(still(folders, 3, 1), SIZES, 8, 0)
    has_depth = [~made.batch(s).depth_m.isnan().flatten(1).all(1) for s in range(60)]
    assert torch.cat(has_depth).float().mean() == pytest.approx(0.75, abs=0.07)


def test_what_a_batch_holds(folders):
    batch = stream(folders, batch_size=16, sizes=[(56, 42, 1.0)]).batch(0)
    assert batch.image.shape == (16, 3, 42, 56) and batch.image.dtype == torch.float32
    assert batch.image.min() >= 0 and 0.9 < batch.image.max() <= 1
    assert batch.depth_m.shape == batch.disparity.shape == batch.region.shape == (16, 42, 56)
    metric = ~batch.depth_m.isnan().flatten(1).all(1)
    assert 0 < metric.sum() < 16
    assert batch.disparity[metric].isnan().all() and batch.disparity[~metric].isfinite().all()
    # Only pseudo-labelled pictures are mixed.
    assert batch.region.any() and not batch.region[metric].any()
    assert not stream(folders, drawn=still(folders, 1, 1)).batch(0).region.any()


def test_channels_and_labels_are_in_place():
    rgb = np.zeros((2, 3, 3), np.uint8)
    rgb[1, 2] = (255, 51, 0)
    depth = np.arange(6, dtype=np.float32).reshape(2, 3)
    batch = collate([Sample(rgb, depth, None, 120.0), Sample(rgb)])
    assert batch.image[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert batch.depth_m[0].tolist() == depth.tolist() and batch.depth_m[1].isnan().all()
    assert batch.focal_px[0] == 120 and math.isnan(batch.focal_px[1])
    assert batch.disparity.isnan().all()


def test_an_error_of_a_thread_is_raised_and_the_threads_end(folders, tmp_path):
    (tmp_path / "metric" / "p1_depth.npy").write_bytes(b"damaged")
    before = threading.active_count()
    with (
        pytest.raises(SourceError, match="p1_depth"),
        closing(stream(folders).prefetch(0, 2)) as batches,
    ):
        for _ in range(50):
            next(batches)
    assert threading.active_count() == before


def test_closing_early_ends_the_threads(folders):
    before = threading.active_count()
    batches = stream(folders).prefetch(0, 3)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_wrong_arguments_are_refused(folders):
    for drawn in ([], still(folders, 0, 0)):
        with pytest.raises(SourceError, match="weights of sources"):
            stream(folders, drawn=drawn)
    with pytest.raises(SourceError, match="weights of sizes"):
        stream(folders, sizes=[])


def test_shares_of_sizes_change_by_a_straight_line(folders):
    """A fourth number is the share at the last step; before it, the two are mixed."""
    sizes = [(56, 42, 3, 0), (42, 56, 1, 1), (28, 28, 0, 3)]
    made = stream(folders, sizes=sizes, steps=8000)

    def shares(first):
        drawn = [made.size(step) for step in range(first, first + 1000)]
        return [np.mean([size == known for size in drawn]) for known in (s[:2] for s in sizes)]

    # Shares of 3/4, 1/4, 0 become 0, 1/4, 3/4: at step t of 8000, 3/4 (1 - t / 8000) and so on.
    assert shares(0) == pytest.approx([0.75 * 15 / 16, 0.25, 0.75 / 16], abs=0.045)
    assert shares(3500) == pytest.approx([0.375, 0.25, 0.375], abs=0.045)
    assert shares(7000) == pytest.approx([0.75 / 16, 0.25, 0.75 * 15 / 16], abs=0.045)
    assert made.size(0) != (28, 28)
    assert all(made.size(step) != (56, 42) for step in range(8000, 8200))  # and no farther


def test_a_share_without_a_fourth_number_stays(folders):
    with_four = stream(folders, sizes=[(56, 42, 1, 1), (42, 56, 3, 3)], steps=50)
    without = stream(folders, sizes=[(56, 42, 1), (42, 56, 3)])
    assert [with_four.size(s) for s in range(99)] == [without.size(s) for s in range(99)]
    with pytest.raises(SourceError, match="weights of sizes"):
        stream(folders, sizes=[(56, 42, 1, 0)])


# Of a recipe

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
