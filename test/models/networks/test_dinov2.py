import pytest
import torch
from official_layout import interpolate_as_official

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.networks.dinov2 import DinoV2, interpolate_position_embedding
from depth_anything_ros.models.zoo import find_card

CARD = find_card("test_relative")


@pytest.fixture
def encoder():
    return random_network(CARD).encoder.eval()


def _picture(rows, columns):
    return torch.randn(1, 3, 14 * rows, 14 * columns, generator=torch.Generator().manual_seed(0))


def _uncached(encoder, picture):
    with torch.enable_grad():
        return [features.detach() for features in encoder(picture)]


def _cached(encoder, picture):
    with torch.inference_mode():
        return [features.clone() for features in encoder(picture)]


def _same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("size", [(518, 686), (686, 518), (252, 336), (28, 700), (28, 28)])
def test_position_embedding_is_the_official_formula(size):
    embedding = torch.randn(1, 1370, 8, generator=torch.Generator().manual_seed(0))

    found = interpolate_position_embedding(embedding, size[0] // 14, size[1] // 14)

    assert found.shape == (1, 1 + size[0] // 14 * (size[1] // 14), 8)
    # 5e-5: torch computes where to sample in float32.
    torch.testing.assert_close(found, interpolate_as_official(embedding, *size), rtol=0, atol=5e-5)


def test_position_embedding_by_size_differs_visibly():
    """What transformers does, and what the weights were not tuned with."""
    embedding = torch.randn(1, 1370, 8, generator=torch.Generator().manual_seed(0))
    grid = embedding[:, 1:].unflatten(1, (37, 37)).permute(0, 3, 1, 2)

    by_size = torch.nn.functional.interpolate(grid, (18, 24), mode="bicubic")
    ours = interpolate_position_embedding(embedding, 18, 24)[:, 1:]

    assert (by_size.flatten(2).transpose(1, 2) - ours).abs().max() > 0.1


def test_the_trained_grid_gets_the_embedding_itself():
    embedding = torch.randn(1, 1370, 8)

    assert interpolate_position_embedding(embedding, 37, 37) is embedding


def test_as_many_patches_on_another_grid_are_interpolated():
    embedding = torch.randn(1, 1370, 8)

    found = interpolate_position_embedding(embedding, 1, 1369)

    assert found.shape == embedding.shape
    assert not torch.equal(found, embedding)


def test_maps_have_the_shape_of_the_grid_of_patches(encoder):
    maps = _cached(encoder, _picture(3, 5))

    assert [tuple(features.shape) for features in maps] == [(1, 48, 3, 5)] * 4


def test_only_blocks_up_to_the_last_tapped_are_run():
    card = find_card("test_relative")
    encoder = DinoV2(card).eval()
    encoder.tapped_layers = (0, 1, 1, 2)
    del encoder.vit.blocks[3]

    assert len(_cached(encoder, _picture(2, 2))) == 3


def test_cached_equals_uncached_at_every_size(encoder):
    for rows, columns in [(3, 5), (5, 3), (37, 37), (3, 5), (2, 2), (4, 4), (6, 2), (3, 5)]:
        picture = _picture(rows, columns)
        assert _same(_cached(encoder, picture), _uncached(encoder, picture))


def test_cache_is_used_and_stays_small(encoder):
    first = None
    for columns in range(2, 12):
        with torch.inference_mode():
            embedding = encoder._position_embedding(2, columns)
            assert encoder._position_embedding(2, columns) is embedding
            first = embedding if first is None else first
    assert len(encoder._cache._entries) == 4
    with torch.inference_mode():
        assert encoder._position_embedding(2, 2) is not first


def _optimiser_step(encoder):
    for parameter in encoder.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(encoder.parameters(), lr=0.1).step()


def _load(encoder, assign):
    other = random_network(CARD, seed=1).encoder
    encoder.load_state_dict(other.state_dict(), assign=assign)


@pytest.mark.parametrize(
    "change",
    [
        _optimiser_step,
        lambda encoder: _load(encoder, assign=False),
        lambda encoder: _load(encoder, assign=True),
        lambda encoder: encoder.double().float(),
        lambda encoder: (
            encoder.to("meta")
            .to_empty(device="cpu")
            .load_state_dict(random_network(CARD, seed=2).encoder.state_dict())
        ),
    ],
    ids=["optimiser step", "load", "load by assignment", "dtype", "device"],
)
def test_cache_is_not_stale_after(change, encoder):
    picture = _picture(3, 5)
    _cached(encoder, picture)

    change(encoder)

    assert _same(_cached(encoder, picture), _uncached(encoder, picture))


def test_cache_is_left_alone_in_training(encoder):
    encoder.train()(_picture(3, 5))

    assert not encoder._cache._entries
