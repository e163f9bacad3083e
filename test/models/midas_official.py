"""MiDaS's releases, written out name by name: what midas_layout.py is tested against.

Names and shapes of isl-org/MiDaS with timm 0.6.12 (its environment.yaml) and, for v2.1 small, of
rwightman/gen-efficientnet-pytorch. Nothing here uses the package's rules. `TINY` are cards of the
same networks with few channels.
"""

import zlib
from dataclasses import replace

import numpy as np
import torch

from depth_anything_ros.models.zoo.rows_midas import rows

CARDS = {card.name: card for card in rows()}
# Width, blocks, heads and side of the grid; channels of the maps; features; channels of the head.
_WIDE = ((256, 512, 1024, 1024), 256, (256, 32))
_VITS = {
    "dpt_large_384": (1024, 24, 16, 24, *_WIDE),
    "dpt_beit_large_384": (1024, 24, 16, 24, *_WIDE),
    "dpt_beit_large_512": (1024, 24, 16, 32, *_WIDE),
    "dpt_hybrid_384": (768, 12, 12, 24, (256, 512, 768, 768), 256, (256, 32)),
    "tiny_vit": (64, 4, 2, 6, (16, 24, 32, 40), 16, (16, 32)),
    "tiny_beit": (64, 4, 2, 6, (16, 24, 32, 40), 16, (16, 32)),
    "tiny_hybrid": (64, 4, 2, 6, (256, 512, 48, 48), 16, (16, 32)),
}
# Width, blocks and heads of the stages; side of the grid, and window; features and head.
_SWINS = {
    "dpt_swin2_tiny_256": (96, (2, 2, 6, 2), (3, 6, 12, 24), 64, 16, 256, (256, 32)),
    "dpt_swin2_large_384": (192, (2, 2, 18, 2), (6, 12, 24, 48), 96, 24, 256, (256, 32)),
    "tiny_swin": (24, (2, 2, 2, 2), (1, 2, 4, 8), 32, 8, 16, (16, 32)),
}
# Widths and heads of the stages, width of a key; features and head.
_LEVITS = {
    "dpt_levit_224": ((384, 512, 768), (6, 9, 12), 32, 256, (64, 8)),
    "tiny_levit": ((32, 48, 64), (2, 3, 4), 8, 16, (4, 8)),
}
_VIT_ARGUMENTS = (("embed_dim", 64), ("depth", 4), ("num_heads", 2))


def _tiny(name, width, out_channels, size, features, head, arguments, **others):
    card = CARDS[name]
    options = {**dict(card.options), "head": head}
    return replace(
        card,
        width=width,
        out_channels=out_channels,
        trained_size=size,
        input_size=size,
        features=features,
        options=tuple(options.items()),
        timm_overrides=arguments,
        **others,
    )


def _tiny_vit(name, size):
    width, _, _, _, channels, features, head = _VITS[size]
    taps = {"tapped_layers": (0, 1, 2, 3)}
    return _tiny(name, width, channels, 96, features, head, _VIT_ARGUMENTS, **taps)


_SWIN_ARGUMENTS = (
    ("embed_dim", 24),
    ("depths", (2, 2, 2, 2)),
    ("num_heads", (1, 2, 4, 8)),
    ("window_size", 8),
)
_LEVIT_ARGUMENTS = (("embed_dim", (32, 48, 64)), ("num_heads", (2, 3, 4)), ("key_dim", 8))
TINY = {
    "tiny_vit": _tiny_vit("dpt_large_384", "tiny_vit"),
    "tiny_hybrid": _tiny_vit("dpt_hybrid_384", "tiny_hybrid"),
    "tiny_beit": _tiny_vit("dpt_beit_large_384", "tiny_beit"),
    "tiny_swin": _tiny(
        "dpt_swin2_tiny_256", 0, (24, 48, 96, 192), 128, 16, (16, 32), _SWIN_ARGUMENTS
    ),
    "tiny_levit": _tiny("dpt_levit_224", 0, (32, 48, 64, 0), 224, 16, (4, 8), _LEVIT_ARGUMENTS),
    "midas_v21_small": CARDS["midas_v21_small"],
}


class Shapes(dict):
    """Names and shapes, with short ways to add what comes together."""

    def affine(self, name, *shape):
        """Add a linear layer or a convolution, with a bias for each of its outputs."""
        self[f"{name}.weight"], self[f"{name}.bias"] = shape, shape[:1]

    def norm(self, name, channels):
        self[f"{name}.weight"] = self[f"{name}.bias"] = (channels,)

    def batch_norm(self, name, channels):
        self.norm(name, channels)
        self[f"{name}.running_mean"] = self[f"{name}.running_var"] = (channels,)
        self[f"{name}.num_batches_tracked"] = ()


def official_shapes(name):
    """Every name in a release, with its shape: of a row of the zoo, or of a tiny one."""
    if name in _VITS:
        return _vit(name, *_VITS[name])
    if name in _SWINS:
        return _swin(*_SWINS[name])
    if name in _LEVITS:
        return _levit(*_LEVITS[name])
    return _small()


def _vit(name, width, depth, heads, side, channels, features, head):
    shapes, kind = Shapes(), "beit" if "beit" in name else "vit"
    shapes["pretrained.model.cls_token"] = (1, 1, width)
    if kind == "vit":
        shapes["pretrained.model.pos_embed"] = (1, side * side + 1, width)
    if "hybrid" in name:
        _resnet(shapes)
        shapes.affine("pretrained.model.patch_embed.proj", width, 1024, 1, 1)
    else:
        shapes.affine("pretrained.model.patch_embed.proj", width, 3, 16, 16)
    for index in range(depth):
        block = f"pretrained.model.blocks.{index}"
        _block(shapes, block, width)
        if kind == "vit":
            shapes.affine(f"{block}.attn.qkv", 3 * width, width)
            continue
        shapes[f"{block}.attn.qkv.weight"] = (3 * width, width)
        for vector in ("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias"):
            shapes[f"{block}.{vector}"] = (width,)
        shapes[f"{block}.attn.relative_position_bias_table"] = ((2 * side - 1) ** 2 + 3, heads)
        shapes[f"{block}.attn.relative_position_index"] = (side * side + 1, side * side + 1)
    shapes.norm("pretrained.model.norm" if kind == "vit" else "pretrained.model.fc_norm", width)
    shapes.affine("pretrained.model.head", 1000, width)
    for index, wide in enumerate(channels):
        if "hybrid" in name and index < 2:
            continue
        post = f"pretrained.act_postprocess{index + 1}"
        shapes.affine(f"{post}.0.project.0", width, 2 * width)
        shapes.affine(f"{post}.3", wide, width, 1, 1)
        kernel = {0: 4, 1: 2, 3: 3}.get(index)
        if kernel:
            shapes.affine(f"{post}.4", wide, wide, kernel, kernel)
    _decoder(shapes, channels, [features] * 4, [features] * 4, head)
    return shapes


def _block(shapes, block, width):
    for norm in ("norm1", "norm2"):
        shapes.norm(f"{block}.{norm}", width)
    shapes.affine(f"{block}.attn.proj", width, width)
    shapes.affine(f"{block}.mlp.fc1", 4 * width, width)
    shapes.affine(f"{block}.mlp.fc2", width, 4 * width)


def _resnet(shapes):
    """ResNetV2 of 3, 4 and 9 bottlenecks, with group norms."""
    backbone, came = "pretrained.model.patch_embed.backbone", 64
    shapes[f"{backbone}.stem.conv.weight"] = (64, 3, 7, 7)
    shapes.norm(f"{backbone}.stem.norm", 64)
    for stage, (depth, narrow) in enumerate(((3, 64), (4, 128), (9, 256))):
        for index in range(depth):
            block = f"{backbone}.stages.{stage}.blocks.{index}"
            if index == 0:
                shapes[f"{block}.downsample.conv.weight"] = (4 * narrow, came, 1, 1)
                shapes.norm(f"{block}.downsample.norm", 4 * narrow)
            shapes[f"{block}.conv1.weight"] = (narrow, came, 1, 1)
            shapes[f"{block}.conv2.weight"] = (narrow, narrow, 3, 3)
            shapes[f"{block}.conv3.weight"] = (4 * narrow, narrow, 1, 1)
            for norm, channels in enumerate((narrow, narrow, 4 * narrow), start=1):
                shapes.norm(f"{block}.norm{norm}", channels)
            came = 4 * narrow


def _swin(width, depths, heads, side, window, features, head):
    shapes, model = Shapes(), "pretrained.model"
    shapes.affine(f"{model}.patch_embed.proj", width, 3, 4, 4)
    shapes.norm(f"{model}.patch_embed.norm", width)
    channels = [width * 2**stage for stage in range(4)]
    for stage, (depth, wide) in enumerate(zip(depths, channels, strict=True)):
        for index in range(depth):
            block = f"{model}.layers.{stage}.blocks.{index}"
            _block(shapes, block, wide)
            shapes[f"{block}.attn.logit_scale"] = (heads[stage], 1, 1)
            shapes[f"{block}.attn.q_bias"] = shapes[f"{block}.attn.v_bias"] = (wide,)
            shapes[f"{block}.attn.qkv.weight"] = (3 * wide, wide)
            shapes.affine(f"{block}.attn.cpb_mlp.0", 512, 2)
            shapes[f"{block}.attn.cpb_mlp.2.weight"] = (heads[stage], 512)
            # Windows are shifted in every second block, where there is more than one.
            if index % 2 and side // 2**stage > window:
                windows = (side // 2**stage // window) ** 2
                shapes[f"{block}.attn_mask"] = (windows, window**2, window**2)
        if stage < 3:
            shapes[f"{model}.layers.{stage}.downsample.reduction.weight"] = (2 * wide, 4 * wide)
            shapes.norm(f"{model}.layers.{stage}.downsample.norm", 2 * wide)
    shapes.norm(f"{model}.norm", channels[3])
    shapes.affine(f"{model}.head", 1000, channels[3])
    _decoder(shapes, channels, [features] * 4, [features] * 4, head)
    return shapes


def _levit(widths, heads, key, features, head):
    shapes, model = Shapes(), "pretrained.model"
    for index, divisor in enumerate((8, 4, 2, 1)):
        came = 3 if index == 0 else widths[0] // (2 * divisor)
        layer, wide = f"{model}.patch_embed.{2 * index}", widths[0] // divisor
        shapes[f"{layer}.c.weight"] = (wide, came, 3, 3)
        shapes.batch_norm(f"{layer}.bn", wide)

    def linear(layer, wide, came):
        shapes[f"{layer}.c.weight"] = (wide, came)
        shapes.batch_norm(f"{layer}.bn", wide)

    def perceptron(place, wide):
        linear(f"{model}.blocks.{place}.m.0", 2 * wide, wide)
        linear(f"{model}.blocks.{place}.m.2", wide, 2 * wide)

    def biases(block, number, queries, keys):
        shapes[f"{block}.attention_biases"] = (number, keys)
        shapes[f"{block}.attention_bias_idxs"] = (queries, keys)

    place, places = 0, (196, 49, 16)  # of a picture of 224 x 224: 14, 7 and 4 a side
    for stage, wide in enumerate(widths):
        for _ in range(4):
            block = f"{model}.blocks.{place}.m"
            biases(block, heads[stage], places[stage], places[stage])
            linear(f"{block}.qkv", heads[stage] * 4 * key, wide)
            linear(f"{block}.proj.1", wide, heads[stage] * 2 * key)
            perceptron(place + 1, wide)
            place += 2
        if stage < 2:
            block, number = f"{model}.blocks.{place}", wide // key
            biases(block, number, places[stage + 1], places[stage])
            linear(f"{block}.kv", number * 5 * key, wide)
            linear(f"{block}.q.1", number * key, wide)
            linear(f"{block}.proj.1", widths[stage + 1], number * 4 * key)
            perceptron(place + 1, widths[stage + 1])
            place += 2
    for classifier in ("head", "head_dist"):
        shapes.batch_norm(f"{model}.{classifier}.bn", widths[-1])
        shapes.affine(f"{model}.{classifier}.l", 1000, widths[-1])
    for layer, (came, wide) in ((0, (1, 2)), (2, (2, 4))):
        name = f"scratch.stem_transpose.{layer}"
        shapes[f"{name}.c.weight"] = (features // came, features // wide, 3, 3)
        shapes.batch_norm(f"{name}.bn", features // wide)
    _decoder(shapes, widths, [features] * 3, [features] * 3, head)
    return shapes


# Place in the release, blocks, kernel, channels (EfficientNet-Lite3).
_SMALL_STAGES = (
    ("layer1.4", 3, 3, 32),
    ("layer2.0", 3, 5, 48),
    ("layer3.0", 5, 3, 96),
    ("layer3.1", 5, 5, 136),
    ("layer4.0", 6, 5, 232),
    ("layer4.1", 1, 3, 384),
)


def _small():
    shapes, came = Shapes(), 24
    shapes["pretrained.layer1.0.weight"] = (32, 3, 3, 3)
    shapes.batch_norm("pretrained.layer1.1", 32)
    first = "pretrained.layer1.3.0"
    shapes[f"{first}.conv_dw.weight"] = (32, 1, 3, 3)
    shapes[f"{first}.conv_pw.weight"] = (24, 32, 1, 1)
    shapes.batch_norm(f"{first}.bn1", 32)
    shapes.batch_norm(f"{first}.bn2", 24)
    for place, depth, kernel, wide in _SMALL_STAGES:
        for index in range(depth):
            block = f"pretrained.{place}.{index}"
            shapes[f"{block}.conv_pw.weight"] = (6 * came, came, 1, 1)
            shapes[f"{block}.conv_dw.weight"] = (6 * came, 1, kernel, kernel)
            shapes[f"{block}.conv_pwl.weight"] = (wide, 6 * came, 1, 1)
            for norm, channels in enumerate((6 * came, 6 * came, wide), start=1):
                shapes.batch_norm(f"{block}.bn{norm}", channels)
            came = wide
    features = [64, 128, 256, 512]
    _decoder(shapes, (32, 48, 136, 384), features, [64, 64, 128, 256], (64, 32))
    return shapes


def _decoder(shapes, channels, features, out, head):
    for level, (came, wide, left) in enumerate(zip(channels, features, out, strict=True), start=1):
        shapes[f"scratch.layer{level}_rn.weight"] = (wide, came, 3, 3)
        fusion = f"scratch.refinenet{level}"
        shapes.affine(f"{fusion}.out_conv", left, wide, 1, 1)
        for unit in ("resConfUnit1", "resConfUnit2"):  # the coarsest level's first is unused
            for conv in ("conv1", "conv2"):
                shapes.affine(f"{fusion}.{unit}.{conv}", wide, wide, 3, 3)
    taken, hidden = head
    shapes.affine("scratch.output_conv.0", taken // 2, taken, 3, 3)
    shapes.affine("scratch.output_conv.2", hidden, taken // 2, 3, 3)
    shapes.affine("scratch.output_conv.4", 1, hidden, 1, 1)


_TABLES = ("relative_position_index", "attention_bias_idxs", "num_batches_tracked")


def official_state(name):
    """A release with random weights, by name and so in any order the same."""
    state = {}
    for parameter, shape in official_shapes(name).items():
        if parameter.endswith(_TABLES):
            state[parameter] = torch.zeros(shape, dtype=torch.int64)
        else:
            state[parameter] = torch.from_numpy(values(parameter, shape))
    return state


def values(name, shape):
    """Float32 values of which none are alike, so that no wrong mapping can hide.

    Gains and variances are 0.5 to 1.5, biases and tables have a deviation of 0.1 and 0.5, other
    weights keep the variance of what they pass on; the last convolution's are positive, so that
    the ReLU after it passes all.
    """
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if (
        name.endswith("running_var")
        or "gamma_" in name
        or (name.endswith("weight") and len(shape) == 1)
    ):
        return generator.random(shape, np.float32) + np.float32(0.5)
    found = generator.standard_normal(shape, np.float32)
    if name.endswith(("bias", "running_mean")):
        return found * np.float32(0.1)
    if name.endswith(("_token", "pos_embed", "_table", "attention_biases", "scale", "attn_mask")):
        return found * np.float32(0.5)
    if name == "scratch.output_conv.4.weight":
        found = np.abs(found)
    return found * np.float32((2 / np.prod(shape[1:])) ** 0.5)
