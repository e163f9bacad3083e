"""Our MiDaS against transformers' DPT, with the same random weights.

Run with -s for the figures of doc/models.md. LeViT and v2.1 small, which transformers lacks, are
compared in test_midas.py with values of the official code.
"""

from dataclasses import replace

import pytest
import torch
from midas_official import CARDS, TINY, values

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before transformers
from depth_anything_ros.models.networks.build import empty_network
from depth_anything_ros.models.weights.load import load_weights

transformers = pytest.importorskip("transformers", reason="needs the extra hf")

TOLERANCE = 1e-4  # of the output's range, from the issue
# The norms of timm, whose encoders the official code runs.
EPSILON = {"layer_norm_eps": 1e-6}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SIZES = {  # height and width: the trained grid, and others where the network takes them
    "tiny_vit": [(96, 96), (64, 128), (160, 96)],
    "tiny_hybrid": [(96, 96), (64, 128), (160, 96)],
    "tiny_beit": [(96, 96), (64, 128), (160, 96)],
    "tiny_swin": [(128, 128)],
    "tiny_swin_256": [(256, 256)],
    "dpt_hybrid_384": [(96, 160), (192, 192)],
}


def _card(name):
    if name == "tiny_swin_256":  # whose tables are of smaller windows, as those of Swin2-L
        small = TINY["tiny_swin"]
        arguments = (*small.timm_overrides, ("pretrained_window_sizes", (4, 4, 4, 2)))
        return replace(small, trained_size=256, timm_overrides=arguments)
    return TINY.get(name) or CARDS[name]


def _config(name, card):
    encoder = card.option("encoder")
    arguments = dict(card.timm_overrides)
    heads = {"num_attention_heads": arguments.get("num_heads", 12)}
    depth = {"num_hidden_layers": arguments.get("depth", 12)}
    vit = {"hidden_size": card.width, "intermediate_size": 4 * card.width, **heads, **depth}
    vit |= {"image_size": card.trained_size, **EPSILON}
    neck = {"neck_hidden_sizes": list(card.out_channels), "fusion_hidden_size": card.features}
    if encoder == "swin":
        swin = transformers.Swinv2Config(
            image_size=card.trained_size, out_features=STAGES, patch_size=4, **arguments
        )
        return transformers.DPTConfig(backbone_config=swin, **neck)
    if encoder == "beit":
        beit = transformers.BeitConfig(
            **vit,
            use_relative_position_bias=True,
            reshape_hidden_states=False,
            out_features=STAGES,
        )
        return transformers.DPTConfig(backbone_config=beit, **neck)
    side = card.trained_size // 16
    hybrid = {"is_hybrid": True, "backbone_featmap_shape": [1, 1024, side, side]}
    taps = {"backbone_out_indices": list(card.tapped_layers)}
    return transformers.DPTConfig(**vit, **neck, **taps, **(hybrid if encoder == "hybrid" else {}))


def _reference(name, card):
    reference = transformers.DPTForDepthEstimation(_config(name, card)).eval()
    state = {
        # By the official name of the last layer, of which values makes positive weights.
        parameter: torch.from_numpy(
            values(parameter.replace("head.head.4", "scratch.output_conv.4"), found.shape)
        )
        for parameter, found in reference.state_dict().items()
        if found.is_floating_point()
    }
    reference.load_state_dict(state, strict=False)
    return reference


def _say_size(reference, card, height, width):
    """Tell the reference what it does not hand on: that a grid of patches is not square."""
    if card.option("encoder") == "hybrid":
        reference.dpt.embeddings.image_size = (height, width)
    neck = type(reference.neck).forward
    grid = (height // card.option("patch"), width // card.option("patch"))
    reference.neck.forward = lambda maps, *_: neck(reference.neck, maps, *grid)


def _difference(reference, network, card, size):
    picture = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    _say_size(reference, card, *size)
    with torch.inference_mode():
        expected = reference(picture).predicted_depth
        found = network(picture)
    assert found.shape == expected.shape == (1, *size)
    spread = expected.max() - expected.min()
    assert spread > 0.5 * expected.mean() > 0  # else anything would be near
    return ((found - expected).abs().max() / spread).item()


@pytest.mark.parametrize("name", SIZES)
def test_same_answers_as_transformers(name, tmp_path, parity):
    card = _card(name)
    reference = _reference(name, card)
    reference.save_pretrained(tmp_path)
    network = empty_network(card).eval()
    load_weights(network, card, tmp_path / "model.safetensors")

    differences = [_difference(reference, network, card, size) for size in SIZES[name]]

    model = f"`{name}`" if name in CARDS else f"{name}, tiny width"
    parity("MiDaS", model, "`transformers`", SIZES[name], differences)
    assert max(differences) <= TOLERANCE
