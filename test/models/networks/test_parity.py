"""Our network against transformers' Depth Anything, with the same random weights.

Run with -s for the figures of doc/models.md.
"""

import dataclasses

import pytest
import torch
from official_layout import (
    hf_from_official,
    interpolate_as_official,
    official_shapes,
    random_state,
)
from safetensors.torch import save_file

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before transformers
from depth_anything_ros.models.networks.build import empty_network
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import find_card

transformers = pytest.importorskip("transformers", reason="needs the extra hf")

# Height and width: the trained grid, a 640x480 camera, and a portrait.
SIZES = [(518, 518), (518, 686), (434, 322)]
CARDS = [
    "depth_anything_v2_small",
    "depth_anything_v2_metric_indoor_small",
    "depth_anything_v2_base",
    "depth_anything_v1_small",
]
TOLERANCE = 1e-4  # of the output's range, from the issue


def _config(card):
    heads = card.width // 64
    backbone = transformers.Dinov2Config(
        image_size=518,
        patch_size=14,
        hidden_size=card.width,
        num_hidden_layers=12,
        num_attention_heads=heads,
        out_indices=[layer + 1 for layer in card.tapped_layers],  # 0 is the patch embedding
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    return transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=card.width,
        neck_hidden_sizes=list(card.out_channels),
        fusion_hidden_size=card.features,
        depth_estimation_type=card.kind,
        max_depth=int(card.max_depth_m or 1),
    )


def _interpolate_as_official(reference):
    """Make the reference resample its position embedding as the official code does.

    transformers resamples to a size; the official code, and so the weights' training, by the
    scale (patches + 0.1) / 37. It is the one known difference, and it is not ours to copy.
    """
    embeddings = reference.backbone.embeddings
    embeddings.interpolate_pos_encoding = lambda _, height, width: interpolate_as_official(
        embeddings.position_embeddings, height, width
    )


def _official_state(card):
    return random_state(official_shapes(card.width, 12, card.features, card.out_channels))


def _reference(card, state):
    reference = transformers.DepthAnythingForDepthEstimation(_config(card)).eval()
    return reference, hf_from_official(state, depth=12)


def _difference(reference, network, size):
    picture = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference(picture).predicted_depth
        found = network(picture)
    assert found.shape == expected.shape == (1, *size)
    spread = expected.max() - expected.min()
    assert spread > 0.05 * expected.max() > 0  # else anything would be near
    return ((found - expected).abs().max() / spread).item()


def _load_reference(card, folder):
    """Weights as transformers itself saves them, and its model that holds them."""
    torch.manual_seed(0)
    reference, state = _reference(card, _official_state(card))
    state = {name: values.contiguous() for name, values in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    reference.config.save_pretrained(folder)
    return transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval().float()


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_same_answers_as_transformers_from_both_layouts(name, tmp_path, parity):
    card = find_card(name)
    reference = _load_reference(card, tmp_path)
    torch.save(_official_state(card), tmp_path / card.hub_file)
    network, official = empty_network(card).eval(), empty_network(card)
    load_weights(network, card, tmp_path / "model.safetensors")
    load_weights(official, card, tmp_path / card.hub_file)
    _interpolate_as_official(reference)

    # Base takes seconds a picture: its landscape is a smaller one.
    sizes = [SIZES[0], (322, 434) if card.width > 384 else SIZES[1], SIZES[2]]
    if card.family == "depth_anything_v1":  # V2's network with other taps
        sizes = [(322, 322), (322, 434)]
    differences = [_difference(reference, network, size) for size in sizes]

    family = "Depth Anything V1" if card.family == "depth_anything_v1" else "Depth Anything V2"
    parity(family, f"`{name}`", "`transformers`", sizes, differences)
    assert max(differences) <= TOLERANCE
    for parameter, values in official.state_dict().items():
        assert torch.equal(values, network.state_dict()[parameter]), parameter


def test_resampling_by_size_alone_would_fail(tmp_path):
    """How far transformers is from the official code, and that the tolerance sees it."""
    card = find_card("depth_anything_v2_small")
    reference = _load_reference(card, tmp_path)
    network = empty_network(card).eval()
    load_weights(network, card, tmp_path)

    differences = [_difference(reference, network, size) for size in SIZES]

    print("\nposition embedding resampled by size: " + ", ".join(f"{d:.1e}" for d in differences))
    assert differences[0] <= TOLERANCE  # the trained grid: nothing to resample
    assert min(differences[1:]) > 10 * TOLERANCE


def test_tapping_the_layers_of_v1_would_fail(tmp_path):
    """The weights of V1 and V2 load into each other; only the answers tell."""
    card = find_card("depth_anything_v2_small")
    reference = _load_reference(card, tmp_path)
    _interpolate_as_official(reference)
    network = empty_network(dataclasses.replace(card, tapped_layers=(8, 9, 10, 11))).eval()
    load_weights(network, card, tmp_path)

    assert _difference(reference, network, (336, 448)) > 0.01


def test_files_saved_by_transformers_have_the_published_names(tmp_path):
    """That hf_from_official is the layout of real -hf files, not one that we made up."""
    from safetensors import safe_open

    card = find_card("depth_anything_v2_small")
    reference, state = _reference(card, _official_state(card))
    reference.save_pretrained(tmp_path)

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(state)
