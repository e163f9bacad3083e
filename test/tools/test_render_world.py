import pytest

from depth_anything_ros.training.world_pool import WorldPool


@pytest.fixture
def render(command):
    def run(output, *more):
        return command.says("render-world", "--output", output, "--size", "28x14", *more)

    return run


def test_it_fills_a_cache_and_goes_on(tmp_path, render):
    assert "66 of 66 views" in render(tmp_path, "--count", "66", "--first-seed", "7")
    pool = WorldPool(7, 66, 28, 14, tmp_path)
    assert pool.has_shard(0) and pool.has_shard(1)
    assert pool.get(65).rgb.shape == (14, 28, 3)
    said = render(tmp_path, "--count", "66", "--first-seed", "7")
    assert "2 of 2 shards are there; 0 to render" in said


@pytest.mark.slow
def test_processes_render_what_one_does(tmp_path, render):
    one, two = tmp_path / "one", tmp_path / "two"
    render(one, "--count", "66")
    render(two, "--count", "66", "--workers", "2")
    for number in (0, 1):
        for name in ("rgb", "depth", "focal"):
            file = f"shard_{number:06d}/{name}.npy"
            assert (one / file).read_bytes() == (two / file).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "308"), "'308' is no size"),
        (("--count", "0"), "--count must be 1 or more"),
        (("--workers", "0"), "--workers must be 1 or more"),
        (("--first-seed", "-1"), "--first-seed must be 0 or more"),
    ],
)
def test_options_that_make_no_sense(tmp_path, words, said, command):
    assert said in command.refuses("render-world", "--output", tmp_path, "--count", "1", *words)
