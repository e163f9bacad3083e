"""The published layouts, written out name by name: what layouts.py is tested against.

Names and shapes from DepthAnything/Depth-Anything-V2 (dinov2.py, dpt.py, util/blocks.py), and for
transformers from models/depth_anything. Nothing here uses the package's rules.
"""

import torch


def official_shapes(width, depth, features, out_channels, swiglu=False):
    """Every name in an official .pth file, with its shape."""
    return {
        **_official_encoder(width, depth, swiglu),
        **_official_decoder(width, features, out_channels),
    }


def _official_encoder(width, depth, swiglu):
    shapes = {
        "pretrained.cls_token": (1, 1, width),
        "pretrained.pos_embed": (1, 1370, width),
        "pretrained.mask_token": (1, width),
        "pretrained.patch_embed.proj.weight": (width, 3, 14, 14),
        "pretrained.patch_embed.proj.bias": (width,),
        "pretrained.norm.weight": (width,),
        "pretrained.norm.bias": (width,),
    }
    hidden = (int(width * 4 * 2 / 3) + 7) // 8 * 8 if swiglu else width * 4
    up, down = ("w12", "w3") if swiglu else ("fc1", "fc2")
    up_width = 2 * hidden if swiglu else hidden
    for block in range(depth):
        name = f"pretrained.blocks.{block}"
        for norm in ("norm1", "norm2"):
            shapes[f"{name}.{norm}.weight"] = shapes[f"{name}.{norm}.bias"] = (width,)
        for linear, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            (f"mlp.{up}", up_width, width),
            (f"mlp.{down}", width, hidden),
        ):
            shapes[f"{name}.{linear}.weight"] = (rows, columns)
            shapes[f"{name}.{linear}.bias"] = (rows,)
        shapes[f"{name}.ls1.gamma"] = shapes[f"{name}.ls2.gamma"] = (width,)
    return shapes


def _official_decoder(width, features, out_channels):
    convolutions = {
        "resize_layers.0": (out_channels[0], out_channels[0], 4, 4),
        "resize_layers.1": (out_channels[1], out_channels[1], 2, 2),
        "resize_layers.3": (out_channels[3], out_channels[3], 3, 3),
        "scratch.output_conv1": (features // 2, features, 3, 3),
        "scratch.output_conv2.0": (32, features // 2, 3, 3),
        "scratch.output_conv2.2": (1, 32, 1, 1),
    }
    for i, channels in enumerate(out_channels):
        convolutions[f"projects.{i}"] = (channels, width, 1, 1)
        refinenet = f"scratch.refinenet{i + 1}"
        convolutions[f"{refinenet}.out_conv"] = (features, features, 1, 1)
        for unit in ("resConfUnit1", "resConfUnit2"):  # of all four: refinenet4's first is unused
            for conv in ("conv1", "conv2"):
                convolutions[f"{refinenet}.{unit}.{conv}"] = (features, features, 3, 3)
    shapes = {
        f"depth_head.scratch.layer{i + 1}_rn.weight": (features, channels, 3, 3)
        for i, channels in enumerate(out_channels)
    }
    for name, shape in convolutions.items():
        shapes[f"depth_head.{name}.weight"] = shape
        shapes[f"depth_head.{name}.bias"] = (shape[0],)
    return shapes


def random_state(shapes, seed=0):
    """Weights of which none is 0, 1 or alike, so that no wrong mapping can hide.

    Gains and layer scales are 0.1 to 1, position embeddings and biases have a deviation of 0.3
    and 0.1, and other weights keep the variance of what they pass on.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        if name.endswith(("gamma", "lambda1")) or ("norm" in name and name.endswith("weight")):
            values = 0.1 + 0.9 * torch.rand(shape, generator=generator)
        elif name.endswith(("token", "pos_embed", "position_embeddings")):
            values *= 0.3
        elif name.endswith("bias"):
            values *= 0.1
        else:
            values *= (2 / values[0].numel()) ** 0.5
        if "output_conv2.2" in name:
            values *= 0.1  # a sigmoid that saturates would hide differences, or blow them up
        state[name] = values
    return state


def hf_from_official(state, depth):
    """The same weights under the names of transformers' DepthAnythingForDepthEstimation."""
    hf = {
        "backbone.embeddings.cls_token": state["pretrained.cls_token"],
        "backbone.embeddings.mask_token": state["pretrained.mask_token"],
        "backbone.embeddings.position_embeddings": state["pretrained.pos_embed"],
    }

    def put(hf_name, name, kinds=("weight", "bias")):
        for kind in kinds:
            hf[f"{hf_name}.{kind}"] = state[f"{name}.{kind}"]

    put("backbone.embeddings.patch_embeddings.projection", "pretrained.patch_embed.proj")
    put("backbone.layernorm", "pretrained.norm")
    for block in range(depth):
        _put_block(hf, state, put, block)
    for i in range(4):
        head = "depth_head"
        put(f"neck.reassemble_stage.layers.{i}.projection", f"{head}.projects.{i}")
        if i != 2:
            put(f"neck.reassemble_stage.layers.{i}.resize", f"{head}.resize_layers.{i}")
        put(f"neck.convs.{i}", f"{head}.scratch.layer{i + 1}_rn", ("weight",))
        fusion, refinenet = f"neck.fusion_stage.layers.{i}", f"{head}.scratch.refinenet{4 - i}"
        put(f"{fusion}.projection", f"{refinenet}.out_conv")
        for unit in (1, 2):
            for conv in (1, 2):
                put(
                    f"{fusion}.residual_layer{unit}.convolution{conv}",
                    f"{refinenet}.resConfUnit{unit}.conv{conv}",
                )
    put("head.conv1", "depth_head.scratch.output_conv1")
    put("head.conv2", "depth_head.scratch.output_conv2.0")
    put("head.conv3", "depth_head.scratch.output_conv2.2")
    return hf


def _put_block(hf, state, put, block):
    ours, theirs = f"pretrained.blocks.{block}", f"backbone.encoder.layer.{block}"
    put(f"{theirs}.norm1", f"{ours}.norm1")
    put(f"{theirs}.norm2", f"{ours}.norm2")
    put(f"{theirs}.attention.output.dense", f"{ours}.attn.proj")
    put(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1")
    put(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2")
    for scale in (1, 2):
        hf[f"{theirs}.layer_scale{scale}.lambda1"] = state[f"{ours}.ls{scale}.gamma"]
    for kind in ("weight", "bias"):
        parts = state[f"{ours}.attn.qkv.{kind}"].chunk(3)
        for name, part in zip(("query", "key", "value"), parts, strict=True):
            hf[f"{theirs}.attention.attention.{name}.{kind}"] = part.clone()


def interpolate_as_official(embedding, height, width):
    """The official position embedding for a picture of height x width pixels.

    An independent transcription of the formula in depth_anything_v2/dinov2.py: torch's bicubic
    kernel written out, sampling at (i + 0.5) / scale - 0.5 with scale = (patches + 0.1) / 37.
    """
    patches = embedding[0, 1:].reshape(37, 37, -1).double()
    if height == width == 518:
        return embedding
    rows = _cubic_matrix(height // 14) @ patches.flatten(1)
    columns = _cubic_matrix(width // 14)
    grid = torch.einsum("xj,yjc->yxc", columns, rows.unflatten(1, (37, -1)))
    return torch.cat((embedding[:, :1], grid.flatten(0, 1)[None].to(embedding)), dim=1)


def _cubic_matrix(patches, side=37, a=-0.75):
    """(patches, side): bicubic weights with the edge repeated (Keys 1981, a = -0.75)."""
    position = (torch.arange(patches, dtype=torch.float64) + 0.5) * side / (patches + 0.1) - 0.5
    matrix = torch.zeros(patches, side, dtype=torch.float64)
    for offset in (-1, 0, 1, 2):
        tap = position.floor().long() + offset
        x = (position - tap).abs()
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        weight = torch.where(x <= 1, near, far)
        matrix[torch.arange(patches), tap.clamp(0, side - 1)] += weight
    return matrix
