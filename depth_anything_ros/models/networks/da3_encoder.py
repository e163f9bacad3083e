"""The encoders of Depth Anything 3's any-view networks: pictures that attend to each other.

Source of the facts: src/depth_anything_3/model of ByteDance-Seed/Depth-Anything-3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks.dinov2 import DinoV2
from depth_anything_ros.models.zoo.card import ModelCard

from timm.layers.mlp import Mlp  # isort: skip
from timm.models.vision_transformer import Block  # isort: skip

# Fewer pictures than this are taken in the order given (utils/constants.py).
_CHOICE_FROM = 3
_ROPE_BASE = 100.0
_CAMERA_BLOCKS = 4
_CAMERA_HEADS = 16
_POSE_CHANNELS = 9  # translation, quaternion, two fields of view
# Vertical and horizontal, in radians, of a network with random weights.
_FIRST_FIELD_OF_VIEW = (0.8, 1.0)


class Rotation:
    """Rotary position embedding in two dimensions (model/dinov2/layers/rope.py).

    Half of a head's channels are turned by the row and half by the column (Su et al. 2021,
    arXiv:2104.09864, 3.4.2).

    Args:
        positions: (n, 2): row and column of each token.
        size: channels of a head; a multiple of 4.
    """

    def __init__(self, positions: Tensor, size: int) -> None:
        exponent = torch.arange(0, size // 2, 2, device=positions.device) / (size // 2)
        angle = positions.float()[..., None] * _ROPE_BASE**-exponent  # (n, 2, size / 4)
        angle = angle.repeat(1, 1, 2).flatten(1)
        self.cosine, self.sine = angle.cos(), angle.sin()

    def __call__(self, heads: Tensor) -> Tensor:
        """Turn (batch, heads, n, size)."""
        first, second = heads.unflatten(-1, (2, 2, -1)).unbind(-2)
        turned = torch.stack((-second, first), dim=-2).flatten(-3)
        return heads * self.cosine + turned * self.sine


class ViewEncoder(DinoV2):
    """DINOv2 whose later blocks let the pictures of a scene attend to each other, in turns.

    From block ``start`` on, the class token is replaced by what is known of the camera, queries
    and keys are normalised and turned by their positions, and every odd block attends over all
    pictures of a scene. ``DinoVisionTransformer`` in model/dinov2/vision_transformer.py.
    """

    def __init__(self, card: ModelCard, start: int) -> None:
        super().__init__(card)
        self.start = start
        for block in self.vit.blocks[start:]:
            attention = block.attn
            attention.q_norm = nn.LayerNorm(attention.head_dim)
            attention.k_norm = nn.LayerNorm(attention.head_dim)
        # Not the 1e-6 of DINOv2: the official code leaves torch's own value in these norms.
        self.vit.norm.eps = 1e-5
        # Of the reference picture, and of all others.
        self.vit.camera_token = nn.Parameter(torch.randn(1, 2, card.width))

    def forward(  # type: ignore[override]  # scenes, where DinoV2 takes pictures
        self, images: Tensor, camera: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Encode the pictures of scenes.

        Args:
            images: (scenes, views, 3, height, width), normalised, both sides multiples of the
                patch size.
            camera: (scenes, views, width) where the poses are known.

        Returns:
            Four of (scenes * views, rows * columns, 2 * width): tokens before and after the
            pictures attended to each other; and the camera's of (scenes * views, 2 * width).
        """
        rows, columns = (side // self.patch_size for side in images.shape[-2:])
        tokens = self._embed(images, rows, columns)
        scenes, views = tokens.shape[:2]
        alone, everyone = self._rotations(rows, columns, views, images.device)
        scene = torch.arange(scenes, device=images.device)[:, None]
        order = torch.arange(views, device=images.device).expand(scenes, -1)
        found, last = [], None
        for index, block in enumerate(self.vit.blocks):
            if index == self.start - 1 and views >= _CHOICE_FROM and camera is None:
                order = reference_first(tokens[:, :, 0])
                tokens = tokens[scene, order]
            if index == self.start:
                tokens = torch.cat((self._cameras(camera, tokens), tokens[:, :, 1:]), dim=2)
            if index < self.start:
                tokens = local = _by(block, tokens, 0, None)
            elif index % 2 == 0:
                tokens = local = _by(block, tokens, 0, alone)
            else:
                tokens = _by(block, tokens, 1, everyone)
            if index in self.tapped_layers:
                back = order.argsort(dim=1)
                both = torch.cat((local, self.vit.norm(tokens)), dim=-1)[scene, back]
                found.append(both[:, :, 1:].flatten(0, 1))
                last = torch.cat((local, tokens), dim=-1)[scene, back, 0].flatten(0, 1)
        assert last is not None  # there are four tapped layers
        return found, last

    def _embed(self, images: Tensor, rows: int, columns: int) -> Tensor:
        """Cut pictures into (scenes, views, 1 + rows * columns, width)."""
        patches = self.vit.patch_embed(images.flatten(0, 1)).flatten(1, 2)
        class_token = self.vit.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((class_token, patches), dim=1) + self._position_embedding(rows, columns)
        embedded: Tensor = tokens.unflatten(0, images.shape[:2])
        return embedded

    def _rotations(
        self, rows: int, columns: int, views: int, device: torch.device
    ) -> tuple[Rotation, Rotation]:
        """Say where tokens are: within a picture; and all alike, where pictures are compared."""
        grid = 1 + torch.cartesian_prod(
            torch.arange(rows, device=device), torch.arange(columns, device=device)
        )
        camera = torch.zeros(1, 2, device=device)
        size = self.vit.blocks[0].attn.head_dim
        alike = torch.cat((camera, torch.ones_like(grid))).repeat(views, 1)
        return Rotation(torch.cat((camera, grid)), size), Rotation(alike, size)

    def _cameras(self, camera: Tensor | None, tokens: Tensor) -> Tensor:
        """Return (scenes, views, 1, width): what is known of the cameras."""
        scenes, views = tokens.shape[:2]
        if camera is None:
            reference, other = self.vit.camera_token.expand(scenes, -1, -1).split(1, dim=1)
            camera = torch.cat((reference, other.expand(-1, views - 1, -1)), dim=1)
        return camera[:, :, None].to(tokens.dtype)


def _by(block: Any, tokens: Tensor, level: int, rotation: Rotation | None) -> Tensor:  # noqa: ANN401
    """Run one of timm's blocks over (scenes, views, n, width): by picture (0) or by scene (1)."""
    sizes = tokens.shape[level : level + 2]
    flat: Tensor = tokens.flatten(level, level + 1)
    if rotation is None:
        flat = block(flat)
    else:
        attention = block.attn
        heads = attention.qkv(block.norm1(flat)).unflatten(-1, (3, attention.num_heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        queries, keys = rotation(attention.q_norm(queries)), rotation(attention.k_norm(keys))
        mixed = functional.scaled_dot_product_attention(queries, keys, values.to(keys.dtype))
        flat = flat + block.ls1(attention.proj(mixed.transpose(1, 2).flatten(2)))
        flat = flat + block.ls2(block.mlp(block.norm2(flat)))
    answer: Tensor = flat.unflatten(level, sizes)
    return answer


def reference_first(class_tokens: Tensor) -> Tensor:
    """Order the pictures of a scene: the most ordinary one, then the others as they come.

    ``saddle_balanced`` in model/reference_view_selector.py: the picture whose similarity to the
    others, norm and variance are nearest to the middle of their ranges.

    Args:
        class_tokens: (scenes, views, width), two views or more.

    Returns:
        (scenes, views): indices of the pictures.
    """
    norm = class_tokens.norm(dim=-1)
    unit = class_tokens / norm[..., None]
    likeness = (unit @ unit.transpose(1, 2)).sum(-1) - 1  # without a picture's own
    score = torch.zeros_like(norm)
    for value in (likeness / (norm.shape[1] - 1), norm, unit.var(dim=-1)):
        low, high = value.amin(1, keepdim=True), value.amax(1, keepdim=True)
        score += ((value - low) / (high - low + 1e-8) - 0.5).abs()
    index = torch.arange(norm.shape[1], device=norm.device)
    return (index != score.argmin(1)[:, None]).int().argsort(dim=1, stable=True)


class CameraEncoder(nn.Module):
    """Known poses to tokens (model/cam_enc.py)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pose_branch = Mlp(_POSE_CHANNELS, width // 2, width)
        self.token_norm = nn.LayerNorm(width)
        self.trunk = nn.Sequential(
            *(
                Block(
                    width,
                    _CAMERA_HEADS,
                    qkv_bias=True,
                    init_values=0.01,
                    norm_layer=nn.LayerNorm,
                )
                for _ in range(_CAMERA_BLOCKS)
            )
        )
        self.trunk_norm = nn.LayerNorm(width)

    def forward(self, extrinsics: Tensor, intrinsics: Tensor, size: torch.Size) -> Tensor:
        """Encode (n, 4, 4) world -> camera and (n, 3, 3) of pictures of a size to (n, width)."""
        pose = pose_encoding(extrinsics.float(), intrinsics.float(), *size)
        # The cameras of a scene attend to each other.
        tokens = self.trunk(self.token_norm(self.pose_branch(pose))[None])
        encoded: Tensor = self.trunk_norm(tokens[0])
        return encoded


class CameraDecoder(nn.Module):
    """Camera tokens to pose encodings (model/cam_dec.py)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.translation = nn.Linear(width, 3)
        self.quaternion = nn.Linear(width, 4)
        self.field_of_view = nn.Linear(width, 2)

    @torch.no_grad()
    def reset_first_answer(self) -> None:
        """Set the last biases to a camera of a usual field of view that looks ahead."""
        self.quaternion.bias.copy_(torch.tensor((0.0, 0.0, 0.0, 1.0)))
        self.field_of_view.bias.copy_(torch.tensor(_FIRST_FIELD_OF_VIEW))

    def forward(self, tokens: Tensor) -> Tensor:
        """Decode (n, width) to (n, 9), as of ViewsOutput."""
        hidden = self.hidden(tokens)
        field_of_view = self.field_of_view(hidden).relu()
        return torch.cat((self.translation(hidden), self.quaternion(hidden), field_of_view), -1)


def pose_encoding(extrinsics: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Encode cameras (``extri_intri_to_pose_encoding`` in model/utils/transform.py).

    Of (n, 4, 4) world -> camera and (n, 3, 3) of an image of height x width, whose principal point
    is not told: (n, 9), as of ViewsOutput, with w >= 0.
    """
    turned = extrinsics[:, :3, :3].transpose(1, 2)
    moved = -(turned @ extrinsics[:, :3, 3:])[..., 0]
    focal = torch.stack((intrinsics[:, 1, 1], intrinsics[:, 0, 0]), dim=-1)
    half = torch.tensor((height / 2, width / 2), dtype=focal.dtype, device=focal.device)
    return torch.cat((moved, quaternion(turned), 2 * (half / focal).atan()), dim=-1)


def quaternion(rotation: Tensor) -> Tensor:
    """Turn (n, 3, 3) rotation matrices into (n, 4) quaternions x, y, z, w with w >= 0.

    The symmetric matrix 4 q qT is linear in R (Shepperd 1978, doi:10.2514/3.55767b); each of its
    rows is a multiple of q, and the one with the largest diagonal is the best conditioned.
    """
    diagonal = rotation.diagonal(dim1=1, dim2=2)
    product = rotation + rotation.transpose(1, 2)
    axis = rotation.transpose(1, 2) - rotation
    real = torch.stack((axis[:, 1, 2], axis[:, 2, 0], axis[:, 0, 1]), dim=-1)
    trace = diagonal.sum(-1, keepdim=True)
    product = product + torch.diag_embed(1 - trace.expand_as(diagonal))
    upper = torch.cat((product, real[..., None]), dim=-1)
    lower = torch.cat((real, 1 + trace), dim=-1)[:, None]
    rows = torch.cat((upper, lower), dim=1)
    best = rows.diagonal(dim1=1, dim2=2).argmax(-1)
    found = functional.normalize(rows[torch.arange(len(rows), device=rows.device), best], dim=-1)
    return torch.where(found[:, 3:] < 0, -found, found)
