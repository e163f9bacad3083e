import math
import threading
from contextlib import closing
from dataclasses import fields

import numpy as np
import pytest
import torch
from lesson import write_sample

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.training.augment import STRONG, AugmentOptions
from depth_anything_ros.training.data import BatchStream, Drawn, collate
from depth_anything_ros.training.samples import FolderSource, Sample

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
