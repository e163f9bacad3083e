"""Our networks against the package depth-anything-3, with the same random weights.

Run with -s for the figures of doc/models.md.
"""

import pytest
import torch
from da3_reference import (
    MODEL_REGISTRY,
    Published,
    config_name,
    fill,
    load_config,
    predict,
    reference,
)
from safetensors.torch import save_model

from depth_anything_ros.models.networks.build import empty_network
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.families import family_of

# Height and width: neither is the trained grid.
FAMILY = "Depth Anything 3"
SIZES = [(70, 98), (112, 112)]
ROWS = [
    "da3_metric_large",
    "da3_mono_large",
    "da3_small",
    "da3_base",
    "da3_large",
    "da3_giant",
    "da3_nested_giant_large",
]
# Of the metadata of the published files, as projects that have them count it.
PUBLISHED_PARAMETERS = {
    "da3_small": 34_299_463,
    "da3_base": 135_366_599,
    "da3_large": 410_941_767,
}
TOLERANCE = 1e-4  # of the output's range, from the issue


def _pictures(count, size):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def _poses(count):
    """Cameras that are turned by any angle, world -> camera, with another focal length a side."""
    generator = torch.Generator().manual_seed(2)
    turned, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    extrinsics = torch.eye(4).repeat(count, 1, 1)
    extrinsics[:, :3, :3] = turned * turned.det()[:, None, None]
    extrinsics[:, :3, 3] = torch.randn(count, 3, generator=generator)
    intrinsics = torch.tensor([[90.0, 0, 40], [0, 80, 50], [0, 0, 1]]).repeat(count, 1, 1)
    return extrinsics, intrinsics


def _difference(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    spread = expected.max() - expected.min()
    assert spread > 0.1  # else anything would be near
    return ((found - expected).abs().max() / spread).item()


@torch.inference_mode()
def _differences(official, network, card, count, size, posed=False):
    pictures = _pictures(count, size)
    if card.option("network") == "single_view":
        found, expected = network(pictures).parts, predict(official, pictures)
        names = ("depth", "sky")
    else:
        cameras = _poses(count) if posed else ()
        found, expected = network.views(pictures, *cameras), predict(official, pictures, *cameras)
        names = ("depth", "depth_conf", "ray", "ray_conf", "pose_encoding")
    return [_difference(f, expected[name]) for f, name in zip(found, names, strict=True)]


def _load(card, folder):
    """The official network, and ours from a file that the official package would write."""
    published = Published(card)
    fill(published)
    save_model(published, folder / "model.safetensors")
    network = empty_network(card).eval()
    load_weights(network, card, folder)
    return published.model, network


REFERENCE = "`depth-anything-3`"


def test_same_depth_and_sky(tmp_path, parity):
    card = find_card("test_da3_metric")
    official, network = _load(card, tmp_path)

    found = [_differences(official, network, card, 2, size) for size in SIZES]

    parity(FAMILY, "metric, mono: depth, sky; tiny width", REFERENCE, SIZES, map(max, found))
    assert max(map(max, found)) <= TOLERANCE


@pytest.mark.parametrize("posed", [False, True])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_same_views(tmp_path, count, posed, parity):
    card = find_card("test_da3_any")
    official, network = _load(card, tmp_path)

    found = [_differences(official, network, card, count, size, posed) for size in SIZES]

    given = "poses given" if posed else "no poses given"
    what = f"any view, N = {count}, {given}: depth, confidence, rays, pose; tiny width"
    parity(FAMILY, what, REFERENCE, SIZES, map(max, found))
    assert max(map(max, found)) <= TOLERANCE


def test_same_parts_of_a_nested_network(tmp_path):
    card = find_card("test_da3_nested")
    official, network = _load(card, tmp_path)

    views = _differences(official.da3, network, find_card("test_da3_any"), 3, SIZES[0])
    metric = card.option("metric")
    single = _differences(official.da3_metric, network, metric, 3, SIZES[0])

    assert max(views + single) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["da3_small", "da3_base", "da3_metric_large"])
def test_same_answers_at_the_real_width(name, parity):
    card = find_card(name)
    official = reference(card)
    fill(official)
    with torch.device("meta"):
        network = family_of(card).build(card).eval()
    network.load_state_dict(family_of(card).to_ours(official.state_dict()), assign=True)

    sizes = ((3, (56, 84)), (1, (70, 70)))
    found = [_differences(official, network, card, count, size) for count, size in sizes]

    texts = [f"{height}×{width} (N = {count})" for count, (height, width) in sizes]
    parity(FAMILY, f"`{name}`", REFERENCE, texts, map(max, found))
    assert max(map(max, found)) <= TOLERANCE


def _names_in_the_file(published):
    """Names and shapes of a file of safetensors: of tensors that are one, the first name only."""
    first = {}
    for name, values in sorted(published.state_dict(keep_vars=True).items()):
        first.setdefault(id(values), (name, values))
    return dict(first.values())


@pytest.mark.parametrize("name", ROWS)
def test_published_files_have_the_names_and_shapes_of_our_network(name):
    card = find_card(name)
    with torch.device("meta"):
        published = _names_in_the_file(Published(card))
        network = family_of(card).build(card)

    ours = family_of(card).to_ours(published)

    assert {n: v.shape for n, v in ours.items()} == {
        n: v.shape for n, v in network.state_dict().items()
    }
    if name in PUBLISHED_PARAMETERS:
        count = sum(values.numel() for values in published.values())
        assert count == PUBLISHED_PARAMETERS[name]


@pytest.mark.parametrize("name", ROWS[:-1])
def test_the_rows_have_the_facts_of_the_official_configurations(name):
    card = find_card(name)
    config = load_config(MODEL_REGISTRY[config_name(card)])

    assert config.net.name == f"vit{card.encoder[0].lower()}"
    assert tuple(config.net.out_layers) == card.tapped_layers
    assert tuple(config.head.out_channels) == card.out_channels
    assert config.head.features == card.features
    start = dict(card.options).get("alternate_from", -1)
    assert {config.net[k] for k in ("alt_start", "qknorm_start", "rope_start")} == {start}
    assert config.net.cat_token == card.any_view == ("cam_dec" in config)


def test_the_nested_row_has_both_parts_of_the_official_configuration():
    card = find_card("da3_nested_giant_large")
    config = load_config(MODEL_REGISTRY[config_name(card)])

    assert tuple(config.anyview.net.out_layers) == card.tapped_layers
    assert config.anyview.net.alt_start == card.option("alternate_from")
    assert tuple(config.metric.net.out_layers) == card.option("metric").tapped_layers


def test_mono_and_metric_cannot_be_told_apart_by_their_names():
    """Why provenance.py has to look at the config.json beside a file."""
    with torch.device("meta"):
        shapes = [
            {name: values.shape for name, values in reference(find_card(row)).state_dict().items()}
            for row in ("da3_metric_large", "da3_mono_large")
        ]

    assert shapes[0] == shapes[1]


def test_the_last_norm_of_dinov2_would_fail(tmp_path):
    """That the tolerance sees where the official code differs from DINOv2."""
    card = find_card("test_da3_metric")
    official, network = _load(card, tmp_path)
    network.encoder.vit.norm.eps = 0.01

    assert max(_differences(official, network, card, 1, SIZES[0])) > TOLERANCE


def test_another_reference_picture_would_fail(tmp_path):
    card = find_card("test_da3_any")
    official, network = _load(card, tmp_path)
    pictures = _pictures(3, SIZES[0])

    with torch.inference_mode():
        swapped = predict(official, pictures)["depth"]
        network.encoder.vit.camera_token.copy_(network.encoder.vit.camera_token.flip(1))
        found = network.views(pictures).depth

    assert _difference(found, swapped) > 100 * TOLERANCE
