import numpy as np
import pytest
import torch
from midas_official import CARDS, TINY, official_shapes, official_state
from official_layout import official_shapes as v2_shapes
from official_layout import random_state
from refusals import refused

from depth_anything_ros.core.errors import CheckpointError, ModelError
from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.networks.midas import Midas
from depth_anything_ros.models.networks.midas_encoders import relative_position_bias
from depth_anything_ros.models.networks.preprocess import preprocess
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.weights.midas_layout import to_ours
from depth_anything_ros.models.zoo import find_card

SQUARE_ONLY = {"tiny_swin": 128, "tiny_levit": 224}
# Tensors of each, counted in the module trees of the official code with timm 0.6.12.
TENSORS = {
    "midas_v21_small": 482,
    "dpt_large_384": 368,
    "dpt_hybrid_384": 368,
    "dpt_beit_large_512": 487,
    "dpt_beit_large_384": 487,
    "dpt_swin2_large_384": 477,
    "dpt_swin2_tiny_256": 273,
    "dpt_levit_224": 465,
}
# What the official code answers at [20::56, 30::56] of `_picture` with the weights of
# `official_state`: isl-org/MiDaS at 4545977 with timm 0.6.12 and geffnet 1.0.2, in float64. In
# float32, random weights make up to 1 % of the order in which sums are taken.
OFFICIAL_ANSWERS = {
    ("midas_v21_small", 256, 256): (
        (616.864273, 615.864336, 578.23487, 732.08195, 397.865013),
        (820.930709, 657.860695, 807.735309, 823.786751, 470.516688),
        (458.646494, 486.911205, 583.022686, 700.932815, 524.198827),
        (627.699858, 430.983361, 540.297368, 440.82736, 457.858349),
        (490.309563, 589.55933, 552.436493, 618.158989, 282.928722),
    ),
    ("midas_v21_small", 192, 256): (
        (614.113163, 562.586085, 537.056021, 565.405713, 445.369182),
        (504.629061, 623.034301, 664.771831, 608.520331, 399.578542),
        (515.105645, 467.466843, 624.902333, 501.582903, 377.36674),
        (322.226945, 234.745323, 373.925506, 448.90741, 261.32881),
    ),
    ("dpt_levit_224", 224, 224): (
        (7942952.26, 12421308.7, 14588951.4, 14033844.0),
        (9032209.38, 15239222.6, 17166250.3, 16298408.6),
        (9652189.35, 15195690.3, 17694398.3, 16959163.3),
        (9689727.02, 14396853.8, 16873778.4, 14252505.1),
    ),
}


def _picture(height, width, batch=1):
    noise = np.random.default_rng(1).standard_normal((batch, 3, height, width), np.float32)
    return torch.from_numpy(noise)


def _filled(name, card):
    network = empty_network(card).eval()
    network.load_state_dict(to_ours(official_state(name)))
    return network


def _sizes(name):
    side = SQUARE_ONLY.get(name)
    return [(side, side)] if side else [(96, 96), (64, 128), (32, 32)]


@pytest.mark.parametrize("name", CARDS)
def test_official_names_and_shapes_are_ours(name):
    shapes = official_shapes(name)
    with torch.device("meta"):
        expected = Midas(CARDS[name]).state_dict()
        released = {parameter: torch.empty(shape) for parameter, shape in shapes.items()}

    found = to_ours(released)

    assert len(released) == TENSORS[name]
    assert {parameter: values.shape for parameter, values in found.items()} == {
        parameter: values.shape for parameter, values in expected.items()
    }


@pytest.mark.parametrize(("name", "height", "width"), OFFICIAL_ANSWERS)
def test_same_answers_as_the_official_code(name, height, width, parity):
    network = _filled(name, CARDS[name]).double()
    network.decoder.head3.float()  # which takes float32 whatever comes

    with torch.inference_mode():
        found = network(_picture(height, width).double())[0, 20::56, 30::56]

    expected = torch.tensor(OFFICIAL_ANSWERS[name, height, width])
    difference = ((found - expected).abs().max() / (expected.max() - expected.min())).item()
    parity(
        "MiDaS",
        f"`{name}`",
        "recorded answers of the official code",
        [(height, width)],
        [difference],
    )
    assert difference <= 1e-4


@pytest.mark.parametrize("name", TINY)
def test_an_official_file_loads_by_name(name, tmp_path):
    state = official_state(name)
    torch.save(state, tmp_path / "release.pt")
    network = empty_network(TINY[name])

    load_weights(network, TINY[name], tmp_path / "release.pt")

    expected = to_ours(state)
    assert set(expected) == set(network.state_dict())
    for parameter, values in network.state_dict().items():
        assert torch.equal(values, expected[parameter]), parameter


@pytest.mark.parametrize(
    ("name", "other"),
    [("tiny_vit", "tiny_hybrid"), ("tiny_vit", "tiny_beit"), ("tiny_swin", "tiny_levit")],
)
def test_a_file_of_another_encoder_is_refused(name, other, tmp_path):
    torch.save(official_state(other), tmp_path / "release.pt")

    with pytest.raises(CheckpointError, match=TINY[name].name):
        load_weights(empty_network(TINY[name]), TINY[name], tmp_path / "release.pt")


def test_a_file_of_another_family_is_refused_both_ways(tmp_path):
    torch.save(random_state(v2_shapes(48, 4, 16, (8, 12, 16, 24))), tmp_path / "v2.pth")
    floats = {name: v for name, v in official_state("tiny_vit").items() if v.is_floating_point()}
    torch.save(floats, tmp_path / "midas.pt")
    card = find_card("test_relative")

    with pytest.raises(CheckpointError, match=r"not a checkpoint of MiDaS|dpt_large_384"):
        load_weights(empty_network(TINY["tiny_vit"]), TINY["tiny_vit"], tmp_path / "v2.pth")
    with pytest.raises(CheckpointError, match=r"not a checkpoint of Depth Anything V2|is MiDaS"):
        load_weights(empty_network(card), card, tmp_path / "midas.pt")


def test_layouts_of_others_are_not_taken():
    others = [
        ["pretrained.cls_token", "depth_head.scratch.layer1_rn.weight"],
        ["backbone.embeddings.cls_token", "neck.convs.0.weight", "head.conv1.weight"],
        ["encoder.vit.cls_token", "decoder.head1.weight"],
        ["conv.weight"],
    ]

    assert [to_ours({name: torch.zeros(1) for name in names}) for names in others] == [None] * 4


@pytest.mark.parametrize("name", TINY)
def test_own_names_are_taken_as_they_are(name):
    with torch.device("meta"):
        state = Midas(TINY[name]).state_dict()

    assert to_ours(state).keys() == state.keys()


@pytest.mark.parametrize("name", SQUARE_ONLY)
def test_a_size_that_an_encoder_does_not_take_is_refused(name):
    network = random_network(TINY[name]).eval()
    side = SQUARE_ONLY[name]

    with refused(ModelError, "input_size", rf"{side}x{side} pixels only, got {side}x64"):
        network(_picture(64, side))


def test_bias_by_position_is_the_table_where_the_grid_is_its_own():
    side, heads = 3, 2
    table = torch.randn((2 * side - 1) ** 2 + 3, heads)

    bias = relative_position_bias(table, side, side, side)

    for query in range(side * side):
        for key in range(side * side):
            down, right = query // side - key // side, query % side - key % side
            entry = (down + side - 1) * (2 * side - 1) + right + side - 1
            torch.testing.assert_close(bias[:, 1 + query, 1 + key], table[entry])
    assert torch.equal(bias[:, 0, 1:], table[-3, :, None].expand(-1, side * side))
    assert torch.equal(bias[:, 1:, 0], table[-2, :, None].expand(-1, side * side))
    assert torch.equal(bias[:, 0, 0], table[-1])


def test_bias_by_position_depends_on_the_offset_only_on_any_grid():
    bias = relative_position_bias(torch.randn(25 + 3, 1), 3, 2, 4)[0, 1:, 1:].view(2, 4, 2, 4)

    assert torch.equal(bias[0, 0, 1, 2], bias[0, 1, 1, 3])
    assert torch.equal(bias[1, 3, 0, 1], bias[1, 2, 0, 0])
    assert not torch.equal(bias[0, 0, 1, 2], bias[1, 2, 0, 0])


@pytest.mark.parametrize(
    ("name", "expected"),  # of a picture of 640 x 480, by midas/transforms.py
    [
        ("midas_v21_small", (256, 192)),
        ("dpt_large_384", (512, 384)),
        ("dpt_hybrid_384", (512, 384)),
        ("dpt_beit_large_512", (672, 512)),
        ("dpt_beit_large_384", (512, 384)),
        ("dpt_swin2_tiny_256", (256, 256)),
        ("dpt_swin2_large_384", (384, 384)),
        ("dpt_levit_224", (224, 224)),
    ],
)
def test_pictures_are_prepared_as_the_official_code_does(name, expected):
    card = CARDS[name]
    rgb = np.full((480, 640, 3), (255, 0, 51), np.uint8)

    image = preprocess(rgb, card, card.input_size, torch.device("cpu"))

    assert image.shape == (1, 3, expected[1], expected[0])
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if name == "midas_v21_small":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    colour = [(v - m) / s for v, m, s in zip((1.0, 0.0, 0.2), mean, std, strict=True)]
    assert image[0, :, 5, 7].tolist() == pytest.approx(colour, abs=1e-5)


def test_rows_are_free_for_any_use_and_say_where_the_release_is():
    for card in CARDS.values():
        assert (card.licence, card.commercial, card.kind) == ("MIT", True, "relative")
        release = card.option("release")
        assert release.startswith("https://github.com/isl-org/MiDaS/releases/download/v")
        assert card.name in release
        assert bool(card.hub_repo) == bool(card.hub_file)
