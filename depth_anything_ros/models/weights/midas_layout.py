"""MiDaS's parameters: from the names in its releases, and in transformers' files, to ours.

Releases have the names of timm 0.6.12, which ``midas_encoders`` builds with later versions. They
hold heads and norms of classifiers that nothing runs, and tables that a network makes itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from depth_anything_ros.models.weights.layouts import (
    NECK,
    UNITS,
    Rules,
    counted,
    has_all,
    rename,
    stacked,
)
from depth_anything_ros.models.weights.read import StateDict

_OWN = re.compile(r"encoder\.(readout|swin|levit|efficientnet)\.")


# isl-org/MiDaS: midas/backbones/utils.py for the encoder's maps, midas/blocks.py for the decoder.
_OFFICIAL: Rules = (
    (
        r"^pretrained\.act_postprocess(\d)\.0\.project\.0\.",
        counted("encoder.readout.", ".project"),
    ),
    (r"^pretrained\.act_postprocess(\d)\.3\.", counted("encoder.reassemble.project.")),
    (r"^pretrained\.act_postprocess(\d)\.4\.", counted("encoder.reassemble.resample.")),
    (r"^scratch\.layer(\d)_rn\.", counted("decoder.level.")),
    (r"^scratch\.refinenet(\d)\.", counted("decoder.fusion.")),
    *UNITS,
    # A convolution and its norm are one layer there, and two here.
    (r"^scratch\.stem_transpose\.0\.c\.", "decoder.enlarge.0."),
    (r"^scratch\.stem_transpose\.0\.bn\.", "decoder.enlarge.1."),
    (r"^scratch\.stem_transpose\.2\.c\.", "decoder.enlarge.3."),
    (r"^scratch\.stem_transpose\.2\.bn\.", "decoder.enlarge.4."),
    (r"^scratch\.output_conv\.0\.", "decoder.head1."),
    (r"^scratch\.output_conv\.2\.", "decoder.head2."),
    (r"^scratch\.output_conv\.4\.", "decoder.head3."),
)
_TABLES = (
    r".*\.(relative_position_index|relative_coords_table|attention_bias_idxs|attn_mask|k_bias)"
)
_OFFICIAL_UNUSED = rf"pretrained\.model\.(head|head_dist|norm|fc_norm)\..*|{_TABLES}"

_VIT: Rules = ((r"^pretrained\.model\.", "encoder.vit."),)

_SWIN: Rules = (
    # timm 0.6 merges patches at the end of a stage, later versions at the start of the next.
    (
        r"^pretrained\.model\.layers\.(\d)\.downsample\.",
        counted("encoder.swin.layers.", ".downsample", 1),
    ),
    (r"^pretrained\.model\.", "encoder.swin."),
)

# timm 0.6 has all attentions and perceptrons of LeViT-384 in one list: four of each in a stage,
# then a downsampling attention with its perceptron.
_LEVIT_DEPTH = 4


def _levit_block(match: re.Match[str]) -> str:
    stage, place = divmod(int(match[1]), 2 * _LEVIT_DEPTH + 2)
    block, is_mlp = divmod(place, 2)
    if block == _LEVIT_DEPTH:
        part = "mlp" if is_mlp else "attn_downsample"
        return f"encoder.levit.stages.{stage + 1}.downsample.{part}."
    part = "mlp" if is_mlp else "attn"
    return f"encoder.levit.stages.{stage}.blocks.{block}.{part}."


_LEVIT: Rules = (
    # Between two convolutions of the stem, the list has an activation.
    (
        r"^pretrained\.model\.patch_embed\.(\d)\.",
        lambda match: f"encoder.levit.stem.conv{int(match[1]) // 2 + 1}.",
    ),
    (r"^pretrained\.model\.blocks\.(\d+)\.(?:m\.)?", _levit_block),
    (r"^(encoder\.levit\..*\.mlp\.)0\.", r"\1ln1."),
    (r"^(encoder\.levit\..*\.mlp\.)2\.", r"\1ln2."),
    (r"^(encoder\.levit\..*\.(?:q|proj)\.)1\.", r"\1ln."),
    (r"^(encoder\.levit\..*\.)c\.", r"\1linear."),
)
# What comes after the last tap.
_LEVIT_UNUSED = re.compile(r"encoder\.levit\.stages\.2\.blocks\.[1-9]\..*")

# midas/blocks.py puts the stem and the stages of EfficientNet-Lite3 into four layers.
_EFFICIENTNET: Rules = (
    (r"^pretrained\.layer1\.0\.", "encoder.efficientnet.conv_stem."),
    (r"^pretrained\.layer1\.1\.", "encoder.efficientnet.bn1."),
    (r"^pretrained\.layer1\.(\d)\.", counted("encoder.efficientnet.blocks.", add=-3)),
    (r"^pretrained\.layer2\.(\d)\.", counted("encoder.efficientnet.blocks.", add=2)),
    (r"^pretrained\.layer3\.(\d)\.", counted("encoder.efficientnet.blocks.", add=3)),
    (r"^pretrained\.layer4\.(\d)\.", counted("encoder.efficientnet.blocks.", add=5)),
)

_STEM = "encoder.vit.patch_embed.backbone.stem."
_STAGES = "encoder.vit.patch_embed.backbone.stages."
# huggingface/transformers: models/dpt; and models/bit, beit and swinv2 for the encoders.
_HF: Rules = (
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.convolution\.", f"{_STEM}conv."),
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.", _STEM),
    (r"^dpt\.embeddings\.backbone\.bit\.encoder\.stages\.(\d)\.layers\.", rf"{_STAGES}\1.blocks."),
    (r"^dpt\.embeddings\.position_embeddings$", "encoder.vit.pos_embed"),
    (r"^dpt\.embeddings\.projection\.", "encoder.vit.patch_embed.proj."),
    # Only Swin has a norm on its patches, and stages of layers.
    (r"^backbone\.embeddings\.norm\.", "encoder.swin.patch_embed.norm."),
    (
        r"^backbone\.encoder\.layers\.(\d)\.downsample\.",
        counted("encoder.swin.layers.", ".downsample", 1),
    ),
    (r"^backbone\.encoder\.layers\.", "encoder.swin.layers."),
    (r"^(encoder\.swin\..*\.attention\.)self\.", r"\1attention."),
    (r"^(?:dpt|backbone)\.embeddings\.(cls_token$|patch_embeddings\.)", r"encoder.vit.\1"),
    (r"^(?:dpt|backbone)\.encoder\.layer\.", "encoder.vit.blocks."),
    (r"^(encoder\..*)patch_embeddings\.projection\.", r"\1patch_embed.proj."),
    (r"^(encoder\..*\.)attention\.output\.dense\.", r"\1attn.proj."),
    (r"^(encoder\..*\.)attention\.attention\.", r"\1attn."),
    (r"^(encoder\..*\.attn\.)relative_position_bias\.", r"\1"),
    (r"^(encoder\..*\.attn\.)continuous_position_bias_mlp\.", r"\1cpb_mlp."),
    (r"^(encoder\..*\.)intermediate\.dense\.", r"\1mlp.fc1."),
    (r"^(encoder\..*\.)output\.dense\.", r"\1mlp.fc2."),
    (r"^(encoder\..*\.)layernorm_before\.", r"\1norm1."),
    (r"^(encoder\..*\.)layernorm_after\.", r"\1norm2."),
    (r"^(encoder\..*\.)lambda_([12])$", r"\1gamma_\2"),
    (r"^neck\.reassemble_stage\.readout_projects\.(\d)\.0\.", r"encoder.readout.\1.project."),
    (r"^neck\.reassemble_stage\.layers\.(\d)\.projection\.", r"encoder.reassemble.project.\1."),
    (r"^neck\.reassemble_stage\.layers\.(\d)\.resize\.", r"encoder.reassemble.resample.\1."),
    *NECK,
    (r"^head\.head\.0\.", "decoder.head1."),
    (r"^head\.head\.2\.", "decoder.head2."),
    (r"^head\.head\.4\.", "decoder.head3."),
)
_HF_UNUSED = (
    r"(dpt|backbone)\.(layernorm|pooler|hidden_states_norms)\..*|backbone\.embeddings\.mask_token"
    rf"|neck\.fusion_stage\.layers\.0\.residual_layer1\..*|{_TABLES}"
)


def _encoder_rules(state: Mapping[str, Tensor]) -> Rules:
    """Recognise the encoder of a release by names that only it has."""
    if any(name.startswith("pretrained.layer1.") for name in state):
        return _EFFICIENTNET
    if any(name.startswith("pretrained.model.layers.") for name in state):
        return _SWIN
    if any(name.startswith("pretrained.model.blocks.0.m.") for name in state):
        return _LEVIT
    return _VIT


def from_release(state: Mapping[str, Tensor]) -> StateDict:
    """Rename the parameters of a file of MiDaS's releases, and leave out what nothing runs."""
    # The coarsest level has nothing below it to add to, but a unit for it.
    levels = [
        int(match[1]) for name in state if (match := re.match(r"scratch\.refinenet(\d)", name))
    ]
    coarsest = rf"scratch\.refinenet{max(levels, default=4)}\.resConfUnit1\..*"
    rules = (*_encoder_rules(state), *_OFFICIAL)
    renamed = rename(state, rules, rf"{_OFFICIAL_UNUSED}|{coarsest}")
    return {name: values for name, values in renamed.items() if not _LEVIT_UNUSED.fullmatch(name)}


def from_transformers(state: Mapping[str, Tensor]) -> StateDict:
    """Rename the parameters of a file that transformers' DPTForDepthEstimation saved.

    Query, key and value are stacked in that order; where keys have no bias, the biases of queries
    and values stay apart.
    """
    renamed = stacked(rename(state, _HF, _HF_UNUSED), ".attn.")
    for query in [name for name in renamed if name.endswith(".attn.query.bias")]:
        attention = query.removesuffix("query.bias")
        if f"{attention}value.bias" in renamed:
            renamed[f"{attention}q_bias"] = renamed.pop(query)
            renamed[f"{attention}v_bias"] = renamed.pop(f"{attention}value.bias")
    if not any(name.startswith("encoder.swin.") for name in renamed):
        return renamed
    # transformers calls its patches as it does those of the others.
    patches = "encoder.vit.patch_embed."
    return {name.replace(patches, "encoder.swin.patch_embed."): v for name, v in renamed.items()}


def to_ours(state: Mapping[str, Tensor]) -> StateDict | None:
    """Recognise a layout of MiDaS by its names, and rename; None where it is another's."""
    for prefixes, convert in (
        (("pretrained.", "scratch."), from_release),
        (("head.head.", "neck."), from_transformers),
    ):
        if has_all(state, prefixes):
            return convert(state)
    own = any(_OWN.match(name) for name in state) and has_all(state, ("decoder.",))
    return dict(state) if own else None
