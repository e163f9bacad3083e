"""Depth Anything 3 (Lin et al. 2025, arXiv:2511.10647): single view, any view, and both nested.

Source of the facts: src/depth_anything_3/model of ByteDance-Seed/Depth-Anything-3. The options of
a card: ``network`` is ``single_view``, ``any_view`` or ``nested``; ``alternate_from`` the first
block in which pictures attend to each other; ``metric`` the card of a nested network's second
part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.models.networks.da3_encoder import CameraDecoder, CameraEncoder, ViewEncoder
from depth_anything_ros.models.networks.dinov2 import DinoV2
from depth_anything_ros.models.networks.dpt import (
    HEAD_CHANNELS,
    Pyramid,
    convolve_in_float32,
    fuse,
    fusions,
    resize,
)
from depth_anything_ros.models.networks.output import DepthWithSky, Exportable, NetworkOutput
from depth_anything_ros.models.networks.preprocess import normalisation, preprocess, resized
from depth_anything_ros.models.zoo.card import Four, ModelCard

# The convolutions of the ray head before its answer.
_RAY_CONVOLUTIONS = 5
_RAY_CHANNELS = 7  # direction, origin, and the logarithm of confidence - 1
# Pictures that are decoded at a time, as in the official code: their maps are large.
_DECODED_TOGETHER = 8
# Wavelengths of the decoder's position embedding go up to this, and it is this strong.
_LONGEST_WAVE = 100.0
_POSITION_STRENGTH = 0.1
_FIRST_SKY = -1.0


class ViewsOutput(NamedTuple):
    """What an any-view network answers of n pictures of one scene, all float32.

    The world is that of the given extrinsics, or the camera of the picture that the network chose
    as its reference; lengths are in one unknown unit.

    Attributes:
        depth: (n, height, width) along Z of each camera, more than 0.
        depth_conf: (n, height, width), 1 or more; larger is surer.
        rays: (n, 4/7 height, 4/7 width, 6): direction, of any length, and origin of the ray of
            each place, in the world.
        ray_conf: (n, 4/7 height, 4/7 width), 1 or more.
        pose_encoding: (n, 9), camera -> world: translation, quaternion x, y, z, w of any length,
            vertical and horizontal field of view in radians (0 or more).
    """

    depth: Tensor
    depth_conf: Tensor
    rays: Tensor
    ray_conf: Tensor
    pose_encoding: Tensor


class AnyViewNetwork(Protocol):
    """What a network of an any-view card does besides answering pictures one by one."""

    def views(
        self, images: Tensor, extrinsics: Tensor | None = None, intrinsics: Tensor | None = None
    ) -> ViewsOutput:
        """Predict from pictures (n, 3, h, w) of one scene, together."""
        ...


class SkyDecoder(Pyramid):
    """Tokens to depth and sky: ``DPT`` in model/dpt.py, with a head each on shared features."""

    def __init__(self, width: int, features: int, out_channels: Four, patch_size: int) -> None:
        super().__init__(width, features, out_channels)
        self.fusion = fusions(features)
        self.head1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.sky_head2 = nn.Conv2d(features // 2, HEAD_CHANNELS, 3, padding=1)
        self.sky_head3 = nn.Conv2d(HEAD_CHANNELS, 1, 1)
        self.head2 = nn.Conv2d(features // 2, HEAD_CHANNELS, 3, padding=1)
        self.head3 = nn.Conv2d(HEAD_CHANNELS, 1, 1)
        self.patch_size = patch_size

    def forward(self, maps: Sequence[Tensor]) -> DepthWithSky:
        """Decode four maps of (batch, width, rows, columns)."""
        rows, columns = maps[0].shape[-2:]
        fused = self.head1(fuse(self.fusion, self.levels(maps)))
        fused = resize(fused, rows * self.patch_size, columns * self.patch_size)
        log_depth = convolve_in_float32(self.head3, functional.relu(self.head2(fused)))
        sky = convolve_in_float32(self.sky_head3, functional.relu(self.sky_head2(fused)))
        return DepthWithSky(log_depth[:, 0].exp(), sky[:, 0].relu())


class RayDecoder(Pyramid):
    """Tokens to depth and rays, each with a confidence: ``DualDPT`` in model/dualdpt.py.

    The official network answers rays at three coarser sizes as well, which only training reads.
    """

    def __init__(self, width: int, features: int, out_channels: Four, patch_size: int) -> None:
        super().__init__(width, features, out_channels)
        half = features // 2
        self.norm = nn.LayerNorm(width)
        self.ray_fusion = fusions(features)
        self.ray_head1 = nn.Sequential(
            *(
                nn.Conv2d(*((half, features) if i % 2 else (features, half)), 3, padding=1)
                for i in range(_RAY_CONVOLUTIONS)
            )
        )
        self.ray_head2 = nn.Conv2d(half, HEAD_CHANNELS, 3, padding=1)
        self.ray_norm = nn.LayerNorm(HEAD_CHANNELS)
        self.ray_head3 = nn.Conv2d(HEAD_CHANNELS, _RAY_CHANNELS, 1)
        self.fusion = fusions(features)
        self.head1 = nn.Conv2d(features, half, 3, padding=1)
        self.head2 = nn.Conv2d(half, HEAD_CHANNELS, 3, padding=1)
        self.head3 = nn.Conv2d(HEAD_CHANNELS, 2, 1)
        self.patch_size = patch_size

    def forward(self, tokens: Sequence[Tensor], rows: int, columns: int) -> tuple[Tensor, ...]:
        """Decode four of (n, rows * columns, width) to the first four of ViewsOutput."""
        aspect = columns / rows
        pyramid = []
        for index, level in enumerate(self.level):
            maps = self.norm(tokens[index]).transpose(1, 2).unflatten(2, (rows, columns))
            maps = add_position(self.reassemble.project[index](maps), aspect)
            pyramid.append(level(self.reassemble.resample[index](maps)))
        fused = self.head1(fuse(self.fusion, pyramid))
        fused = resize(fused, rows * self.patch_size, columns * self.patch_size)
        fused = functional.relu(self.head2(add_position(fused, aspect)))
        depth = self.head3(fused).exp()
        rays_map = self.ray_head1(fuse(self.ray_fusion, pyramid))
        hidden = self.ray_head2(add_position(rays_map, aspect))
        hidden = functional.relu(self.ray_norm(hidden.movedim(1, -1)))
        rays = self.ray_head3(hidden.movedim(-1, 1)).movedim(1, -1)
        return depth[:, 0], depth[:, 1] + 1, rays[..., :6], rays[..., 6].exp() + 1


def add_position(maps: Tensor, aspect: float) -> Tensor:
    """Add to a map where each place is in the picture, as sines and cosines.

    Half of the channels for the column and half for the row, in units of half the diagonal from
    the centre: ``create_uv_grid`` and ``position_grid_to_embed`` in model/utils/head_utils.py.

    Args:
        maps: (n, channels, rows, columns); channels a multiple of 4.
        aspect: width of the picture over its height.

    Returns:
        Of the shape of maps.
    """
    waves = maps.shape[1] // 4
    exponent = torch.arange(waves, dtype=torch.float32, device=maps.device) / waves
    frequency = (_LONGEST_WAVE**-exponent)[:, None]
    diagonal = (aspect**2 + 1) ** 0.5
    halves = []
    for span, axis in ((aspect / diagonal, -1), (1 / diagonal, -2)):
        count = maps.shape[axis]
        end = span * (count - 1) / count
        phase = frequency * torch.linspace(-end, end, count, device=maps.device)
        wave = _POSITION_STRENGTH * torch.cat((phase.sin(), phase.cos()))
        halves.append(wave[:, None, :] if axis == -1 else wave[:, :, None])
    left, right = maps.chunk(2, dim=1)
    return torch.cat((left + halves[0], right + halves[1]), dim=1)


class SingleView(nn.Module):
    """DA3METRIC or DA3MONO: depth and sky of each picture by itself."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.encoder = DinoV2(card)
        # Not the 1e-6 of DINOv2: the official code leaves torch's own value in the last norm.
        self.encoder.vit.norm.eps = 1e-5
        self.decoder = SkyDecoder(card.width, card.features, card.out_channels, card.multiple)

    @torch.no_grad()
    def reset_first_answer(self) -> None:
        """Set the bias of the sky such that random weights see it in places at most."""
        bias = self.decoder.sky_head3.bias
        assert bias is not None  # nn.Conv2d's default
        bias.fill_(_FIRST_SKY)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Predict metres at a focal length of 300 px (DA3METRIC), or affine depth (DA3MONO)."""
        maps = self.encoder(image)
        with torch.autocast(image.device.type, enabled=False):  # as the official code does
            return NetworkOutput(*self.decoder([m.float() for m in maps]))


class AnyView(nn.Module):
    """DA3-SMALL to DA3-GIANT: depth, rays and poses of pictures that see one scene."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.encoder = ViewEncoder(card, card.option("alternate_from"))
        self.camera_encoder = CameraEncoder(card.width)
        self.camera_decoder = CameraDecoder(2 * card.width)
        self.decoder = RayDecoder(2 * card.width, card.features, card.out_channels, card.multiple)

    def reset_first_answer(self) -> None:
        """Set the biases such that random weights answer cameras that can be."""
        self.camera_decoder.reset_first_answer()

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth up to an unknown scale from (batch, 3, height, width), each by itself."""
        return self._decode(image[:, None], None).depth

    def views(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> ViewsOutput:
        """Predict from pictures of one scene, together.

        Args:
            images: (n, 3, height, width), normalised, both sides multiples of the patch size.
            extrinsics: (n, 4, 4), world -> camera, where the poses are known: the first is the
                identity, and the median distance of the cameras from it 1, as in training
                (``_normalize_extrinsics`` in api.py).
            intrinsics: (n, 3, 3) in pixels of images; with extrinsics only.
        """
        camera = None
        if extrinsics is not None and intrinsics is not None:
            with torch.autocast(images.device.type, enabled=False):
                camera = self.camera_encoder(extrinsics, intrinsics, images.shape[-2:])[None]
        return self._decode(images[None], camera)

    def _decode(self, images: Tensor, camera: Tensor | None) -> ViewsOutput:
        """Predict from (scenes, views, 3, height, width); the answers are of scenes * views."""
        tokens, camera = self.encoder(images, camera)
        rows, columns = (side // self.decoder.patch_size for side in images.shape[-2:])
        with torch.autocast(images.device.type, enabled=False):  # as the official code does
            parts = [
                self.decoder([part.float() for part in level], rows, columns)
                for level in zip(*(t.split(_DECODED_TOGETHER) for t in tokens), strict=True)
            ]
            pose = self.camera_decoder(camera.float())
        depth, depth_conf, rays, ray_conf = (torch.cat(part) for part in zip(*parts, strict=True))
        return ViewsOutput(depth, depth_conf, rays, ray_conf, pose)


class Nested(nn.Module):
    """DA3NESTED: an any-view network, and a metric one that says how long its unit is."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.any_view = AnyView(card)
        self.metric = SingleView(card.option("metric"))

    def reset_first_answer(self) -> None:
        """Do as both parts do."""
        self.any_view.reset_first_answer()
        self.metric.reset_first_answer()

    def forward(self, image: Tensor) -> NetworkOutput:
        """Predict from normalised pictures, each by itself: what the metric part answers."""
        answer: NetworkOutput = self.metric(image)
        return answer

    def views(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> ViewsOutput:
        """Predict from pictures of one scene, together, up to scale: as of AnyView."""
        return self.any_view.views(images, extrinsics, intrinsics)


def network(card: ModelCard) -> nn.Module:
    """Build the network of a card."""
    kinds: dict[str, Any] = {"single_view": SingleView, "any_view": AnyView, "nested": Nested}
    built: nn.Module = kinds[card.option("network")](card)
    return built


def exportable(network: nn.Module) -> Exportable:
    """Export what answers single images; of any-view networks so many as are decoded at a time."""
    if isinstance(network, AnyView):
        return Exportable(network, most_images=_DECODED_TOGETHER)
    return Exportable(network.metric if isinstance(network, Nested) else network)


def prepare(
    rgb: NDArray[np.uint8], card: ModelCard, input_size: int, device: torch.device
) -> Tensor:
    """Resize a picture in two steps and normalise it, as the official code does.

    First the longer side to input_size, then each side to the nearest multiple (a half goes up),
    both in whole values of 0 to 255: ``upper_bound_resize`` of InputProcessor in
    utils/io/input_processor.py.

    Arguments and errors are those of ``preprocess``.
    """
    whole = replace(card, multiple=1, mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
    picture = preprocess(rgb, whole, input_size, device).round().clamp(0, 255)
    height, width = (
        max((side + card.multiple // 2) // card.multiple, 1) * card.multiple
        for side in picture.shape[-2:]
    )
    picture = resized(picture, height, width, card.interpolation).round().clamp(0, 255)
    scale, shift = normalisation(card.mean, card.std, device)
    return torch.addcmul(shift, picture, scale)
