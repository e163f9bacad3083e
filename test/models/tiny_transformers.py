"""Tiny depth models of transformers with random weights, saved as their official repos are."""

import numpy as np
import pytest
import torch

from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before transformers
from depth_anything_ros.models.networks.build import randomise

transformers = pytest.importorskip("transformers", reason="needs the extra hf")

_NECK = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}
_ON_14 = {
    "size": {"height": 112, "width": 112},
    "keep_aspect_ratio": True,
    "ensure_multiple_of": 14,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_VIT = {"hidden_size": 16, "num_attention_heads": 2}
_STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}


def _dinov2(layers=4, **options):
    return transformers.Dinov2Config(
        **_VIT, num_hidden_layers=layers, mlp_ratio=2, reshape_hidden_states=False, **options
    )


def _beit():
    return transformers.BeitConfig(
        **_VIT,
        **_STAGES,
        num_hidden_layers=4,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
    )


def _on_dinov2(config_class, kind, **options):
    backbone = _dinov2(image_size=56, patch_size=14, out_indices=[1, 2, 3, 4])
    return config_class(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        head_hidden_size=8,
        depth_estimation_type=kind,
        **_NECK,
        **options,
    )


def depth_anything(kind="relative", **options):
    config = _on_dinov2(transformers.DepthAnythingConfig, kind, **options)
    return config, transformers.DPTImageProcessor(**_ON_14)


def depth_anything_metric():
    return depth_anything("metric", max_depth=20)


def prompt_depth_anything():
    config = _on_dinov2(transformers.PromptDepthAnythingConfig, "metric")
    return config, transformers.PromptDepthAnythingImageProcessor(**_ON_14)


def dpt():
    """As Intel/dpt-large: a ViT, and squares."""
    config = transformers.DPTConfig(
        **_VIT,
        **_NECK,
        num_hidden_layers=4,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
    )
    return config, transformers.DPTImageProcessor(size={"height": 64, "width": 64})


def dpt_beit():
    """As Intel/dpt-beit-large-512."""
    config = transformers.DPTConfig(backbone_config=_beit(), **_NECK)
    return config, transformers.DPTImageProcessor(size={"height": 96, "width": 96})


def dpt_hybrid():
    """As Intel/dpt-hybrid-midas: a ResNet before the ViT."""
    config = transformers.DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        is_hybrid=True,
        backbone_out_indices=[0, 1, 2, 3],
        backbone_featmap_shape=[1, 32, 4, 4],
        backbone_config={
            "global_padding": "same",
            "layer_type": "bottleneck",
            "depths": [1, 1, 1],
            "out_features": ["stage1", "stage2", "stage3"],
            "embedding_dynamic_padding": True,
            "hidden_sizes": [8, 16, 32],
            "embedding_size": 8,
            "num_groups": 2,
        },
        neck_ignore_stages=[0, 1],
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=16,
    )
    return config, transformers.DPTImageProcessor(size={"height": 64, "width": 64})


def dpt_dinov2():
    """As facebook/dpt-dinov2-small-nyu: metres, and pictures padded instead of resized."""
    config = transformers.DPTConfig(
        backbone_config=_dinov2(image_size=56, patch_size=14, out_indices=[1, 2, 3, 4]),
        use_bias_in_fusion_residual=False,
        add_projection=True,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=256,
    )
    processor = transformers.DPTImageProcessor(
        do_resize=False,
        do_rescale=False,
        do_pad=True,
        size_divisor=14,
        image_mean=[123.675, 116.28, 103.53],
        image_std=[58.395, 57.12, 57.375],
    )
    return config, processor


def glpn():
    config = transformers.GLPNConfig(
        hidden_sizes=[8, 16, 16, 16],
        num_attention_heads=[1, 2, 2, 2],
        decoder_hidden_size=16,
        depths=[1, 1, 1, 1],
        max_depth=20,
    )
    return config, transformers.GLPNImageProcessor()


def zoedepth(**options):
    config = transformers.ZoeDepthConfig(
        **options,
        backbone_config=_beit(),
        bottleneck_features=16,
        num_attractors=[4, 2, 2, 1],
        bin_embedding_dim=16,
        num_relative_features=8,
        **_NECK,
    )
    size = {"height": 96, "width": 128}
    return config, transformers.ZoeDepthImageProcessor(size=size, ensure_multiple_of=32)


def zoedepth_of_two_ranges():
    """As Intel/zoedepth-nyu-kitti, which tells indoors from outdoors."""
    ranges = {"nyu": 10.0, "kitti": 80.0}
    return zoedepth(
        bin_configurations=[
            {"name": name, "n_bins": 16, "min_depth": 1e-3, "max_depth": max_depth}
            for name, max_depth in ranges.items()
        ],
        num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=32,
        patch_transformer_num_attention_heads=2,
    )


def depth_pro(use_fov_model=True):
    vit = {"model_type": "dinov2", "num_hidden_layers": 2, "mlp_ratio": 2, "patch_size": 4}
    vit |= _VIT | {"image_size": 16}
    config = transformers.DepthProConfig(
        patch_size=16,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.25, 0.5, 1],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[16, 16, 16],
        fusion_hidden_size=16,
        use_fov_model=use_fov_model,
        image_model_config=vit,
        patch_model_config=vit,
        fov_model_config=vit,
    )
    return config, transformers.DepthProImageProcessor(size={"height": 64, "width": 64})


def depth_pro_without_angle():
    return depth_pro(use_fov_model=False)


def tipsv2_dpt():
    backbone = transformers.Tipsv2VisionConfig(
        **_VIT,
        num_hidden_layers=4,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.Tipsv2DptConfig(backbone_config=backbone, num_depth_bins=16, **_NECK)
    return config, transformers.Tipsv2DptImageProcessor(size={"height": 84, "width": 84})


def random_model(config):
    """A model whose answers vary over the picture."""
    model = transformers.AutoModelForDepthEstimation.from_config(config).eval()
    randomise(model, torch.Generator().manual_seed(0))
    if config.model_type == "depth_pro":
        with torch.no_grad():
            model.head.layers[-2].weight.abs_()
            if config.use_fov_model:
                model.fov_model.head.layers[-1].bias.fill_(60)
    return model


def save(make, folder):
    """Save the model, its config and its processor; give the name under which it loads."""
    config, processor = make()
    random_model(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return f"hf:{folder}"


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def estimator(name, weights="", **options):
    return DepthEstimator(name, weights, "cpu", "fp32", **options)


def difference(found, expected):
    """The largest difference in parts of the range, over all but infinitely far pixels."""
    assert found.shape == expected.shape
    near = np.isfinite(found)
    assert near.mean() > 0.5
    spread = np.ptp(expected[near])
    assert spread > 0
    return np.abs(found - expected)[near].max() / spread
