import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.sim.world import views
from depth_anything_ros.training.batches import BatchStream, Drawn
from depth_anything_ros.training.world_pool import METADATA, WorldPool

SIZE = (42, 28)


def pool(cache=None, count=6, first_seed=40, shard_views=4):
    return WorldPool(first_seed, count, *SIZE, cache, shard_views=shard_views)


def same(one, other):
    np.testing.assert_array_equal(one.rgb, other.rgb)
    np.testing.assert_array_equal(one.depth_m, other.depth_m)
    assert one.focal_px == other.focal_px


def test_a_view_is_that_of_its_seed(tmp_path):
    made = views([40 + 5], *SIZE)
    exact = made.depth_m[0].numpy()
    for source in (pool(), pool(tmp_path)):
        sample = source.get(5)
        np.testing.assert_array_equal(sample.rgb, made.rgb[0].numpy())
        np.testing.assert_array_equal(np.isinf(sample.depth_m), np.isinf(exact))
        finite = np.isfinite(exact)
        np.testing.assert_allclose(sample.depth_m[finite], exact[finite], rtol=5e-4)
        assert sample.focal_px == pytest.approx(made.cameras[0].K[0])
        assert sample.rgb.flags.writeable and sample.disparity is None


def test_another_pool_reads_the_shards_of_the_first(tmp_path):
    first = pool(tmp_path)
    samples = [first.get(i) for i in range(6)]
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    assert len(times) == 6 and len(list(tmp_path.iterdir())) == 3
    second = pool(tmp_path)
    for i in range(6):
        same(second.get(i), samples[i])
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    rgb = np.load(tmp_path / "shard_000001" / "rgb.npy")
    assert rgb.shape == (2, 28, 42, 3) and rgb.dtype == np.uint8  # the last shard is short


def test_rendering_ahead_leaves_what_is_there(tmp_path):
    made = pool(tmp_path, count=12)
    made.get(5)
    assert list(made.render_ahead(0, 3)) == [4, 4]
    assert list(made.render_ahead(0, 3)) == []
    assert [made.has_shard(n) for n in range(4)] == [True, True, True, False]


def test_threads_and_processes_render_a_shard_once(tmp_path):
    made, samples = pool(tmp_path), []
    threads = [threading.Thread(target=lambda: samples.append(made.get(2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sample in samples:
        same(sample, samples[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shard_000000", METADATA]


def test_a_killed_renderer_leaves_no_half_shard(tmp_path):
    code = (
        "import os, sys, numpy\n"
        "from pathlib import Path\n"
        "from depth_anything_ros.training.world_pool import WorldPool\n"
        "save = numpy.save\n"
        "def dying(path, values):\n"
        "    save(path, values)\n"
        "    if path.name == 'depth.npy': os._exit(9)\n"
        "numpy.save = dying\n"
        "WorldPool(40, 6, 42, 28, Path(sys.argv[1]), shard_views=4).get(0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert result.returncode == 9
    made = pool(tmp_path)
    assert not made.has_shard(0)
    same(made.get(1), pool().get(1))


def test_no_cache_and_no_end():
    endless = pool(count=0)
    assert endless.count == endless.shard_count == 0
    same(endless.get(9), pool(count=12).get(9))
    batch = BatchStream([Drawn(endless)], [(28, 28, 1)], 3, 0).batch(1)
    assert batch.image.shape == (3, 3, 28, 28) and (batch.depth_m > 0).any()
    with pytest.raises(IndexError):
        pool().get(6)


def test_a_cache_of_other_views_is_refused(tmp_path):
    pool(tmp_path)
    for other in ({"first_seed": 41}, {"shard_views": 8}):
        with pytest.raises(SourceError, match="choose another folder"):
            pool(tmp_path, **other)
    assert pool(tmp_path, count=99).count == 99  # more of the same
    found = json.loads((tmp_path / METADATA).read_text())
    (tmp_path / METADATA).write_text(json.dumps(found | {"world_version": 0}))
    with pytest.raises(SourceError, match="'world_version': 0"):
        pool(tmp_path)
    (tmp_path / METADATA).write_text("{")
    with pytest.raises(SourceError, match=r"cannot read .*world\.json"):
        pool(tmp_path)


def drawn(made, count, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([made.draw(rng, number) for number in range(count)])


def test_an_endless_world_is_walked_through():
    assert drawn(WorldPool(0, 0, *SIZE), 9).tolist() == list(range(9))


def test_of_a_world_with_an_end_any_view_is_drawn():
    indices = drawn(WorldPool(0, 5, *SIZE, reuse=3.0, first_views=2), 400)
    assert set(indices) == set(range(5)) and (np.diff(indices) < 0).any()


def test_an_endless_world_grows_while_views_come_again():
    """Of 10 + drawn / 4 views, any comes: at the end each has come about four times."""
    indices = drawn(WorldPool(0, 0, *SIZE, reuse=4.0, first_views=10), 4000)
    there = 10 + np.arange(4000) // 4
    assert (indices <= there).all() and set(indices[:40]) <= set(range(20))
    assert (indices[-100:] < 900).any() and (indices[-400:] > 900).any()
    times = 4000 / len(np.unique(indices))
    assert times == pytest.approx(4.0, rel=0.25)
    middle = indices[2000:2040] / there[2000:2040]
    assert middle.mean() == pytest.approx(0.5, abs=0.15)


def test_first_views_alone_are_drawn_at_random():
    indices = drawn(WorldPool(0, 0, *SIZE, first_views=50), 60)
    assert (indices <= 50 + np.arange(60)).all() and set(indices[:10]) != set(range(10))


def test_what_a_growing_world_gives_is_a_function_of_the_step(tmp_path):
    def batch(step):
        made = WorldPool(40, 0, *SIZE, tmp_path, shard_views=4, reuse=2.0, first_views=4)
        return BatchStream([Drawn(made)], [(28, 28, 1)], 3, 0).batch(step)

    one, other = batch(3), batch(3)
    assert torch.equal(one.image, other.image) and not torch.equal(one.image, batch(2).image)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "reading magic string"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((((", "cannot read"),
        (np.zeros((2, 14, 14, 3), np.float32), "holds float32 of shape"),
        (np.zeros((2, 14, 13, 3), np.uint8), "expected uint8 of"),
        (None, "it is no file"),
    ],
)
def test_a_shard_that_is_none_is_named(content, words, tmp_path):
    made = WorldPool(0, 2, 14, 14, tmp_path)
    path = tmp_path / "shard_000000" / "rgb.npy"
    path.parent.mkdir()
    if content is None:
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(SourceError, match=words) as caught:
        made.get(0)
    assert str(path) in str(caught.value) and f"remove the shard {path.parent}" in str(caught.value)
