"""The facts of one model: what its network is made of, what it answers, whose weights it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from depth_anything_ros.core.depth import Kind as Kind

Activation = Literal["relu", "sigmoid", "exp"]
# What input_size is the length of: the shorter side, the longer side, the side that is the nearer
# to it by ratio, both sides of a square, or the shorter side of the 4:3 picture of as many pixels.
FitSide = Literal["shorter", "longer", "nearest", "square", "area"]
# Kernel of the resize: bicubic always, bicubic up and area down, or bilinear.
Interpolation = Literal["cubic", "area", "linear"]
Four = tuple[int, int, int, int]
Channels = tuple[float, float, float]

# Mean and standard deviation of ImageNet's RGB values in 0-1, as DINOv2 and all of its heads use.
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelCard:
    """One row of the zoo. Another checkpoint is another row, not another class.

    Attributes:
        name: the zoo name, which is what the user writes as ``model``.
        family: the network that the other fields are arguments of.
        kind: ``relative`` answers a DisparityMap, ``affine_depth`` an AffineDepthMap, ``metric`` a
            DepthMap.
        encoder: the encoder's size in words, for messages ("Small").
        width: channels of a token, by which a checkpoint of another size is recognised; 0 of an
            encoder that has none.
        timm_id: the encoder's name in timm.
        timm_overrides: keyword arguments that change that encoder, as pairs.
        tapped_layers: the four blocks (from 0) whose tokens the decoder takes; of a convolutional
            encoder its stages.
        features: channels of the decoder's fusion blocks.
        out_channels: channels of the four reassembled feature maps.
        trained_size: side in pixels of the square whose grid of patches the position embedding
            has.
        output: what follows the last convolution: ``relu``, ``sigmoid`` times max_depth_m, or
            ``exp``.
        any_view: whether it answers several pictures together, with their poses
            (``DepthEstimator.infer_views``).
        knows_sky: whether its network answers where the sky is.
        options: facts that only this family has, as pairs; its network's file names them. Of all,
            ``beside`` are the other files of hub_repo that the weights are of no use without.
        max_depth_m: the depth that a sigmoid of 1 means. It belongs to the checkpoint: another
            value rescales every answer. None where the model has no such bound.
        canonical_focal_px: the focal length at which the answer is metres; at any other it is to
            be multiplied by focal length / canonical_focal_px. None where it needs no camera.
        licence: SPDX identifier of the licence of the weights, not of this package; where SPDX has
            none, its name.
        hub_repo: the official weights on the Hugging Face hub; "" where none were released.
        hub_file: the file in hub_repo.
        sha256: hash of hub_file; "" where no trusted source for it is known.
        bundled: file of weights in this package's ``weights`` folder; "" where there is none.
        input_size: length in pixels that the picture is resized to, see fit.
        fit: which side of the picture becomes input_size; the other keeps the aspect, but of a
            ``square``, and ``area`` (see ``preprocess.network_size``).
        multiple: both sides of the network's input are multiples of it (the patch size).
        interpolation: of the resize: ``cubic``; ``area``, the mean over the area when shrinking
            and cubic when enlarging; or ``linear``.
        antialias: whether a picture is filtered before it is shrunk, as the weights were trained.
        mean, std: of RGB in 0-1, subtracted and divided by.
    """

    name: str
    family: str
    kind: Kind
    encoder: str
    licence: str
    width: int = 0
    timm_id: str = ""
    tapped_layers: Four = (0, 0, 0, 0)
    features: int = 0
    out_channels: Four = (0, 0, 0, 0)
    output: Activation = "relu"
    max_depth_m: float | None = None
    hub_repo: str = ""
    hub_file: str = ""
    sha256: str = ""
    bundled: str = ""
    canonical_focal_px: float | None = None
    timm_overrides: tuple[tuple[str, Any], ...] = ()
    trained_size: int = 518
    any_view: bool = False
    knows_sky: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    input_size: int = 518
    fit: FitSide = "shorter"
    multiple: int = 14
    interpolation: Interpolation = "cubic"
    antialias: bool = False
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD

    @property
    def commercial(self) -> bool:
        """Whether the licence of the weights allows commercial use; no where it is not known."""
        return "-NC" not in self.licence and not self.licence.startswith("LicenseRef-")

    def option(self, name: str) -> Any:  # noqa: ANN401 - a fact of any type
        """Return one of ``options``."""
        return dict(self.options)[name]

    @property
    def focal_scaled(self) -> bool:
        """Whether the answer becomes metres by the camera's focal length only."""
        return self.canonical_focal_px is not None

    @property
    def is_test(self) -> bool:
        """Whether this is a tiny model for tests, which user listings leave out."""
        return self.name.startswith("test_")
