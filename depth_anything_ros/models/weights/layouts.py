"""Names of parameters: from the layouts in which checkpoints are published to this package's.

Pure functions from state dict to state dict. A name that no rule knows is kept, so that whoever
loads the result finds it as unexpected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from depth_anything_ros.models.weights.read import StateDict

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

# Weights that published files hold and that nothing runs: the mask token of DINOv2's training,
# and the unit for a skip connection of the lowest fusion level, which has none.
_OFFICIAL_UNUSED = r"pretrained\.mask_token|depth_head\.scratch\.refinenet4\.resConfUnit1\..*"
_HF_UNUSED = r"backbone\.embeddings\.mask_token|neck\.fusion_stage\.layers\.0\.residual_layer1\..*"


# Of each level of the decoder, under any prefix: midas/blocks.py, which all heads took over.
UNITS: Rules = (
    (r"\.resConfUnit1\.", ".skip."),
    (r"\.resConfUnit2\.", ".refine."),
    (r"\.out_conv\.", ".project."),
)
# The same in transformers, which counts levels from the coarsest.
NECK: Rules = (
    (r"^neck\.convs\.", "decoder.level."),
    (r"^neck\.fusion_stage\.layers\.([0-3])\.", lambda m: f"decoder.fusion.{3 - int(m[1])}."),
    (r"^(decoder\.fusion\.\d\.)residual_layer1\.", r"\1skip."),
    (r"^(decoder\.fusion\.\d\.)residual_layer2\.", r"\1refine."),
    (r"^(decoder\.fusion\.\d\.)projection\.", r"\1project."),
    (r"^(decoder\.fusion\.\d\.(?:skip|refine)\.conv)olution", r"\1"),
)
# Hidden layers of the feed-forward networks (SwiGLU) of Giant.
SWIGLU: Rules = (
    (r"(encoder\.vit\.blocks\.\d+\.mlp\.)(?:w12|weights_in)\.", r"\1fc1."),
    (r"(encoder\.vit\.blocks\.\d+\.mlp\.)(?:w3|weights_out)\.", r"\1fc2."),
)


def counted(before: str, after: str = "", add: int = -1) -> Callable[[re.Match[str]], str]:
    """Make a replacement that holds the number of its first group, with something added."""
    return lambda match: f"{before}{int(match[1]) + add}{after}."


# DepthAnything/Depth-Anything-V2: depth_anything_v2/dpt.py, dinov2.py and util/blocks.py.
_OFFICIAL: Rules = (
    (r"^pretrained\.", "encoder.vit."),
    *SWIGLU,
    (r"^depth_head\.projects\.", "decoder.reassemble.project."),
    (r"^depth_head\.resize_layers\.", "decoder.reassemble.resample."),
    (r"^depth_head\.scratch\.layer([1-4])_rn\.", counted("decoder.level.")),
    (r"^depth_head\.scratch\.refinenet([1-4])\.", counted("decoder.fusion.")),
    *UNITS,
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
    *SWIGLU,
    (r"^neck\.reassemble_stage\.layers\.(\d)\.projection\.", r"decoder.reassemble.project.\1."),
    (r"^neck\.reassemble_stage\.layers\.(\d)\.resize\.", r"decoder.reassemble.resample.\1."),
    *NECK,
    (r"^head\.conv([123])\.", r"decoder.head\1."),
)


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
    return stacked(rename(state, _HF, _HF_UNUSED), ".attention.attention.")


def stacked(renamed: StateDict, attention: str) -> StateDict:
    """Stack query, key and value of all blocks, where all three are there, in that order.

    Args:
        renamed: under our names, but for these; it is changed.
        attention: what comes before ``query`` in a name.
    """
    for query in [name for name in renamed if f"{attention}query." in name]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            values = torch.cat([renamed.pop(part) for part in parts])
            renamed[query.replace(f"{attention}query.", ".attn.qkv.")] = values
    return renamed


def has_all(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> bool:
    """Say whether each of the prefixes begins some name."""
    return all(any(name.startswith(prefix) for name in state) for prefix in prefixes)


def no_layout(state: Mapping[str, Tensor]) -> None:
    """Answer None: which names a file has is known to another library."""


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
