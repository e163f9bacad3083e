"""Names of parameters: from the layouts in which checkpoints are published to this package's.

Pure functions from state dict to state dict. A name that no rule knows is kept, so that whoever
loads the result finds it as unexpected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

StateDict = dict[str, Tensor]
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

# Weights that published files hold and that nothing runs: the mask token of DINOv2's training,
# and the unit for a skip connection of the lowest fusion level, which has none.
_OFFICIAL_UNUSED = r"pretrained\.mask_token|depth_head\.scratch\.refinenet4\.resConfUnit1\..*"
_HF_UNUSED = r"backbone\.embeddings\.mask_token|neck\.fusion_stage\.layers\.0\.residual_layer1\..*"


def _level(match: re.Match[str]) -> str:
    """Count levels from 0 where the official names count from 1."""
    return f"decoder.level.{int(match[1]) - 1}."


def _official_fusion(match: re.Match[str]) -> str:
    return f"decoder.fusion.{int(match[1]) - 1}."


def _hf_fusion(match: re.Match[str]) -> str:
    """Count levels from the finest, where transformers counts from the coarsest."""
    return f"decoder.fusion.{3 - int(match[1])}."


# DepthAnything/Depth-Anything-V2: depth_anything_v2/dpt.py, dinov2.py and util/blocks.py.
_OFFICIAL: Rules = (
    (r"^pretrained\.", "encoder.vit."),
    (r"^(encoder\.vit\.blocks\.\d+\.mlp\.)w12\.", r"\1fc1."),  # SwiGLU, of Giant
    (r"^(encoder\.vit\.blocks\.\d+\.mlp\.)w3\.", r"\1fc2."),
    (r"^depth_head\.projects\.", "decoder.reassemble.project."),
    (r"^depth_head\.resize_layers\.", "decoder.reassemble.resample."),
    (r"^depth_head\.scratch\.layer([1-4])_rn\.", _level),
    (r"^depth_head\.scratch\.refinenet([1-4])\.", _official_fusion),
    (r"^(decoder\.fusion\.\d\.)resConfUnit1\.", r"\1skip."),
    (r"^(decoder\.fusion\.\d\.)resConfUnit2\.", r"\1refine."),
    (r"^(decoder\.fusion\.\d\.)out_conv\.", r"\1project."),
    (r"^depth_head\.scratch\.output_conv1\.", "decoder.head1."),
    (r"^depth_head\.scratch\.output_conv2\.0\.", "decoder.head2."),
    (r"^depth_head\.scratch\.output_conv2\.2\.", "decoder.head3."),
)

# huggingface/transformers: models/depth_anything and models/dinov2, the names in -hf files.
_HF: Rules = (
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "encoder.vit.patch_embed.proj."),
    (r"^backbone\.embeddings\.cls_token$", "encoder.vit.cls_token"),
    (r"^backbone\.embeddings\.position_embeddings$", "encoder.vit.pos_embed"),
    (r"^backbone\.encoder\.layer\.", "encoder.vit.blocks."),
    (r"^backbone\.layernorm\.", "encoder.vit.norm."),
    (r"^(encoder\.vit\.blocks\.\d+\.)attention\.output\.dense\.", r"\1attn.proj."),
    (r"^(encoder\.vit\.blocks\.\d+\.)layer_scale([12])\.lambda1$", r"\1ls\2.gamma"),
    (r"^(encoder\.vit\.blocks\.\d+\.mlp\.)weights_in\.", r"\1fc1."),  # SwiGLU, of Giant
    (r"^(encoder\.vit\.blocks\.\d+\.mlp\.)weights_out\.", r"\1fc2."),
    (r"^neck\.reassemble_stage\.layers\.(\d)\.projection\.", r"decoder.reassemble.project.\1."),
    (r"^neck\.reassemble_stage\.layers\.(\d)\.resize\.", r"decoder.reassemble.resample.\1."),
    (r"^neck\.convs\.", "decoder.level."),
    (r"^neck\.fusion_stage\.layers\.([0-3])\.", _hf_fusion),
    (r"^(decoder\.fusion\.\d\.)residual_layer1\.", r"\1skip."),
    (r"^(decoder\.fusion\.\d\.)residual_layer2\.", r"\1refine."),
    (r"^(decoder\.fusion\.\d\.)projection\.", r"\1project."),
    (r"^(decoder\.fusion\.\d\.(?:skip|refine)\.conv)olution", r"\1"),
    (r"^head\.conv([123])\.", r"decoder.head\1."),
)
_HF_QUERY = re.compile(r"^(encoder\.vit\.blocks\.\d+\.)attention\.attention\.query\.(weight|bias)$")


def rename(state: Mapping[str, Tensor], rules: Rules, unused: str) -> StateDict:
    """Apply every rule in turn to every name; leave out those that fully match ``unused``."""
    renamed = {}
    for name, values in state.items():
        if re.fullmatch(unused, name):
            continue
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = values
    return renamed


def from_official(state: Mapping[str, Tensor]) -> StateDict:
    """Rename the parameters of an official ``.pth`` file."""
    return rename(state, _OFFICIAL, _OFFICIAL_UNUSED)


def from_hf(state: Mapping[str, Tensor]) -> StateDict:
    """Rename the parameters of a ``-hf`` file, and stack query, key and value, in that order."""
    renamed = rename(state, _HF, _HF_UNUSED)
    for name in list(renamed):
        match = _HF_QUERY.match(name)
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if match and all(part in renamed for part in parts):
            stacked = torch.cat([renamed.pop(part) for part in parts])
            renamed[f"{match[1]}attn.qkv.{match[2]}"] = stacked
    return renamed


def has_all(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> bool:
    """Say whether each of the prefixes begins some name."""
    return all(any(name.startswith(prefix) for name in state) for prefix in prefixes)


def own_names(state: Mapping[str, Tensor]) -> StateDict | None:
    """Recognise the names that this package's trainer writes; None where they are others."""
    return dict(state) if has_all(state, ("encoder.lite.", "decoder.")) else None


def to_ours(state: Mapping[str, Tensor]) -> StateDict | None:
    """Recognise the layout by its names, and rename; None where the layout is unknown."""
    for prefixes, convert in (
        (("pretrained.", "depth_head."), from_official),
        (("backbone.", "neck."), from_hf),
    ):
        if has_all(state, prefixes):
            return convert(state)
    return dict(state) if has_all(state, ("encoder.vit.", "decoder.")) else None
