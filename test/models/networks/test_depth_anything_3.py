import dataclasses
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from official_layout import official_shapes, random_state
from refusals import refused

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap
from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.networks.da3_encoder import (
    quaternion,
    reference_first,
)
from depth_anything_ros.models.networks.depth_anything_3 import prepare
from depth_anything_ros.models.weights import da3_layout, layouts
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import CARDS, find_card

ROWS = [card for card in CARDS.values() if card.family == "depth_anything_3"]
CPU = torch.device("cpu")


def _pictures(count=3, size=(56, 84)):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def _network(name="test_da3_any"):
    network = random_network(find_card(name)).eval()
    network.reset_first_answer()
    return network


def _noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_rows_are_the_official_ones():
    places = {card.name: (card.hub_repo, card.licence) for card in ROWS if not card.is_test}

    assert places == {
        "da3_metric_large": ("depth-anything/DA3METRIC-LARGE", "Apache-2.0"),
        "da3_mono_large": ("depth-anything/DA3MONO-LARGE", "Apache-2.0"),
        "da3_small": ("depth-anything/DA3-SMALL", "Apache-2.0"),
        "da3_base": ("depth-anything/DA3-BASE", "Apache-2.0"),
        "da3_large": ("depth-anything/DA3-LARGE-1.1", "CC-BY-NC-4.0"),
        "da3_giant": ("depth-anything/DA3-GIANT-1.1", "CC-BY-NC-4.0"),
        "da3_nested_giant_large": ("depth-anything/DA3NESTED-GIANT-LARGE-1.1", "CC-BY-NC-4.0"),
    }


@pytest.mark.parametrize("card", ROWS, ids=lambda card: card.name)
def test_only_metric_rows_need_the_focal_length_and_only_single_view_rows_one_picture(card):
    assert card.canonical_focal_px == (300 if card.kind == "metric" else None)
    assert card.any_view == (card.option("network") != "single_view")
    assert (card.output, card.input_size, card.fit) == ("exp", 504, "longer")


def test_any_view_takes_a_batch_as_pictures_of_different_scenes():
    network, pictures = _network(), _pictures()

    with torch.inference_mode():
        together, batch = network.views(pictures).depth, network(pictures)
        alone = torch.cat([network.views(picture[None]).depth for picture in pictures])

    torch.testing.assert_close(batch, alone)
    assert (together - alone).abs().max() > 1e-3


def test_of_two_pictures_the_first_is_the_reference():
    network, pictures = _network(), _pictures(2)

    with torch.inference_mode():
        found, turned = network.views(pictures).depth, network.views(pictures.flip(0)).depth

    assert (found - turned.flip(0)).abs().max() > 1e-3


def test_gradients_reach_every_parameter():
    network = _network().train()
    poses = (torch.eye(4).repeat(3, 1, 1), 60 * torch.eye(3).repeat(3, 1, 1))

    for found in (network.views(_pictures()), network.views(_pictures(), *poses)):
        sum((values * torch.randn_like(values)).sum() for values in found).backward()

    for parameter, values in network.named_parameters():
        assert values.grad is not None, parameter
        assert values.grad.isfinite().all(), parameter
        assert values.grad.abs().sum() > 0, parameter


def test_metric_depth_is_metres_at_300_px_times_the_focal_length():
    rgb = _noise(60, 80)
    estimator = DepthEstimator("test_da3_metric", "random", "cpu", "fp32", input_size=84)
    near, far = (Camera(80, 60, (f, 0, 40, 0, f, 30, 0, 0, 1)) for f in (100.0, 200.0))

    first, second = estimator.infer(rgb, near).depth_m, estimator.infer(rgb, far).depth_m

    finite = np.isfinite(first)
    assert finite.any()
    np.testing.assert_allclose(second[finite], 2 * first[finite], rtol=1e-5)
    image = prepare(rgb, estimator.card, 84, CPU)  # 84 x 63 has 84 x 70 as its nearest multiple
    assert image.shape == (1, 3, 70, 84)
    with torch.inference_mode():
        raw = estimator.network(image).depth[0]
    focal_px = (100 * 84 / 80 + 100 * 70 / 60) / 2
    for row in (0, -1):  # corners are not interpolated
        for column in (0, -1):
            if np.isfinite(first[row, column]):
                metres = raw[row, column].item() * focal_px / 300
                assert first[row, column] == pytest.approx(metres, rel=1e-4)


def test_any_view_alone_is_affine_depth():
    estimator = DepthEstimator("test_da3_any", "random", "cpu", "fp32", input_size=84)

    assert isinstance(estimator.infer(_noise(60, 80)), AffineDepthMap)


def test_reference_first_of_several_scenes():
    tokens = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(3))

    together = reference_first(tokens)

    assert torch.equal(together, torch.cat([reference_first(scene[None]) for scene in tokens]))
    assert (together.sort(dim=1).values == torch.arange(5)).all()
    assert len({int(first) for first in together[:, 0]}) > 1  # not always the same


def _rotation(x, y, z, w):
    """The matrix of a unit quaternion, written out (Shepperd 1978)."""
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(x * x for x in q) > 0.01))
def test_quaternions_of_any_rotation(values):
    length = sum(x * x for x in values) ** 0.5
    expected = torch.tensor([x / length for x in values])

    found = quaternion(_rotation(*expected.tolist())[None])[0]

    assert found[3] >= 0
    # Of half a turn (w = 0) both signs are right.
    assert min((found - expected).abs().max(), (found + expected).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (378, 504)),
        ((640, 480), (504, 378)),
        ((1080, 1920), (280, 504)),  # 283.5 -> 284 -> 280
        ((504, 504), (504, 504)),
        ((375, 1242), (154, 504)),  # 152.2 -> 152 -> 154
        ((100, 120), (420, 504)),
        ((63, 504), (70, 504)),  # a half goes up
    ],
)
def test_the_longer_side_becomes_504_and_both_multiples_of_14(size, expected):
    card = find_card("da3_small")

    assert prepare(_noise(*size), card, card.input_size, CPU).shape == (1, 3, *expected)


@pytest.mark.parametrize(
    "size", [(480, 640), (270, 480), (100, 120), (375, 1242), (504, 300), (720, 405), (1080, 1920)]
)
def test_pictures_as_the_official_package_prepares_them(size):
    processor = pytest.importorskip(
        "depth_anything_3.utils.io.input_processor", reason="pip install --no-deps depth-anything-3"
    ).InputProcessor()
    card, rgb = find_card("da3_small"), _noise(*size)
    rgb[: size[0] // 2] = 255 * (np.indices((size[0] // 2, size[1])).sum(0) // 9 % 2)[..., None]

    expected = processor([rgb], num_workers=1)[0]

    found = prepare(rgb, card, card.input_size, CPU)
    assert found.shape == expected.shape
    in_bytes = (found - expected).abs() * torch.tensor(card.std).view(3, 1, 1) * 255
    assert in_bytes.max() < 1.5 + 1e-3
    assert in_bytes.mean() < 0.05


def test_names_without_the_prefix_of_the_official_class_are_known_too():
    state = {"backbone.pretrained.cls_token": torch.zeros(1), "head.norm.weight": torch.ones(1)}
    prefixed = {f"model.{name}": values for name, values in state.items()}

    assert da3_layout.to_ours(state) == da3_layout.to_ours(prefixed)
    assert set(da3_layout.to_ours(state)) == {"encoder.vit.cls_token", "decoder.norm.weight"}


def test_other_families_are_not_taken_for_this_one():
    v2 = dict.fromkeys(official_shapes(48, 1, 16, (8, 12, 16, 24)), torch.zeros(1))
    v3 = {"model.backbone.pretrained.cls_token": torch.zeros(1), "model.head.x": torch.zeros(1)}

    assert da3_layout.to_ours(v2) is None
    assert layouts.to_ours(v3) is None


@pytest.mark.parametrize(
    ("file_of", "name", "reason"),
    [
        ("test_da3_any", "test_da3_metric", "other_model"),
        ("test_da3_metric", "test_da3_any", "other_model"),
        ("test_da3_metric", "test_da3_nested", "other_model"),
        ("test_da3_any", "da3_small", "other_size"),
        ("test_da3_any", "test_relative", "other_model"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, file_of, name, reason):
    torch.save(_network(file_of).state_dict(), tmp_path / "weights.pth")
    card = find_card(name)

    with torch.device("meta"):
        network = empty_network(card) if card.is_test else torch.nn.Linear(1, 1)
    with refused(CheckpointError, reason, name):
        load_weights(network, card, tmp_path / "weights.pth")


def test_an_official_file_of_v2_is_refused(tmp_path):
    torch.save(random_state(official_shapes(48, 4, 16, (8, 12, 16, 24))), tmp_path / "v2.pth")
    card = find_card("test_da3_metric")

    with pytest.raises(CheckpointError, match=r"v2.pth.*Depth Anything V2.*Depth Anything 3"):
        load_weights(empty_network(card), card, tmp_path / "v2.pth")


def test_cards_with_a_card_inside_can_be_keys():
    nested = find_card("da3_nested_giant_large")

    assert {nested: 1}[dataclasses.replace(nested)] == 1
    assert nested.option("metric") == find_card("da3_metric_large")


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("depth_anything_ros").setLevel(logging.ERROR)
    yield
    logging.getLogger("depth_anything_ros").setLevel(logging.NOTSET)
