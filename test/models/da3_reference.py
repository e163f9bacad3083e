"""Networks of the package depth-anything-3 for our cards: what test_da3_parity.py compares with.

The package's own DinoV2 knows four sizes; its inner class takes any.
"""

import pytest
import torch

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before the reference

# The reference needs xformers, open3d and more for what is not tested here, so it is installed by
# `pip install --no-deps depth-anything-3`; einops, omegaconf, addict and imageio are test extras.
pytest.importorskip("depth_anything_3.model.da3", reason="pip install --no-deps depth-anything-3")

from depth_anything_3.cfg import load_config  # noqa: F401 - for the tests
from depth_anything_3.model.cam_dec import CameraDec
from depth_anything_3.model.cam_enc import CameraEnc
from depth_anything_3.model.da3 import DepthAnything3Net
from depth_anything_3.model.dinov2.dinov2 import DinoV2
from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer
from depth_anything_3.model.dpt import DPT
from depth_anything_3.model.dualdpt import DualDPT
from depth_anything_3.model.gsdpt import GSDPT
from depth_anything_3.registry import MODEL_REGISTRY  # noqa: F401 - for the tests

BLOCKS = {"Small": 12, "Base": 12, "Large": 24, "Giant": 40}
GAUSSIANS = 38  # channels, from configs/da3-giant.yaml


def reference(card):
    """The official network of a card of one network, with the initial values of its layers."""
    encoder, sizes = _encoder(card), {"features": card.features, "out_channels": card.out_channels}
    if card.option("network") == "single_view":
        return DepthAnything3Net(encoder, DPT(card.width, output_dim=1, **sizes)).eval()
    network = DepthAnything3Net(
        encoder,
        DualDPT(2 * card.width, output_dim=2, **sizes),
        CameraDec(2 * card.width),
        CameraEnc(card.width),
    )
    if card.encoder == "Giant":
        network.gs_head = GSDPT(2 * card.width, output_dim=GAUSSIANS, **sizes)
    return network.eval()


class Published(torch.nn.Module):
    """As ``DepthAnything3`` of api.py, whose file is published: the network is called model."""

    def __init__(self, card):
        super().__init__()
        if card.option("network") == "nested":
            self.model = torch.nn.Module()
            self.model.da3 = reference(card)
            self.model.da3_metric = reference(card.option("metric"))
        else:
            self.model = reference(card)


def config_name(card):
    """The ``model_name`` of a released row, in the official config.json and for its own class."""
    return card.hub_repo.split("/")[1].removesuffix("-1.1").lower()


def _encoder(card):
    start = dict(card.options).get("alternate_from", -1)
    overrides = dict(card.timm_overrides)
    encoder = DinoV2.__new__(DinoV2)
    torch.nn.Module.__init__(encoder)
    encoder.out_layers = list(card.tapped_layers)
    encoder.pretrained = DinoVisionTransformer(
        img_size=518,
        patch_size=14,
        embed_dim=card.width,
        depth=overrides.get("depth") or BLOCKS[card.encoder],
        num_heads=overrides.get("num_heads") or card.width // 64,
        ffn_layer="swiglufused" if card.encoder == "Giant" else "mlp",
        drop_path_uniform=True,  # the other way reads a tensor's value, which is none on "meta"
        alt_start=start,
        qknorm_start=start,
        rope_start=start,
        cat_token=start >= 0,
    )
    return encoder


@torch.no_grad()
def fill(network, seed=0):
    """Weights of which none is 0, 1 or alike, so that no wrong mapping can hide."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in network.named_parameters():
        if values.ndim == 1 and name.endswith("bias"):
            values.normal_(0, 0.1, generator=generator)
        elif values.ndim == 1:
            values.uniform_(0.3, 1, generator=generator)
        elif name.endswith(("token", "pos_embed")):
            values.normal_(0, 0.3, generator=generator)
        else:
            values.normal_(0, values[0].numel() ** -0.5, generator=generator)
    return network


def predict(network, pictures, extrinsics=None, intrinsics=None):
    """What the parts of the official network answer of (n, 3, h, w), as a dict.

    Its own forward drops the rays, or the pose encoding, and writes over the sky's depth.
    """
    size, camera = pictures.shape[-2:], None
    if extrinsics is not None:
        camera = network.cam_enc(extrinsics[None], intrinsics[None], size)
    tokens, _ = network.backbone(pictures[None], cam_token=camera, export_feat_layers=[])
    answer = {
        name: values[0] for name, values in network.head(tokens, *size, patch_start_idx=0).items()
    }
    if network.cam_dec is not None:
        answer["pose_encoding"] = network.cam_dec(tokens[-1][1])[0]
    return answer
