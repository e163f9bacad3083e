"""From a picture to a depth or disparity map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import ESTIMATES, Estimate
from depth_anything_ros.core.errors import CameraError, ModelError
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.models.any_view import (
    ViewEstimate,
    check_views,
    conditions_of,
    cut_to_middles,
    views_of,
)
from depth_anything_ros.models.device import PRECISIONS, choose_device, choose_precision, to_host
from depth_anything_ros.models.networks.build import empty_network, random_network
from depth_anything_ros.models.networks.depth_anything_3 import AnyViewNetwork, ViewsOutput
from depth_anything_ros.models.networks.inference import for_inference
from depth_anything_ros.models.networks.output import AnyOutput, DepthWithSky, NetworkOutput
from depth_anything_ros.models.threads import few_threads, torch_threads
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.load import load_weights
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.families import family_of
from depth_anything_ros.models.zoo.family import function

_log = logging.getLogger(__name__)
# What runs one on float32 (batch, 3, h, w) of the estimator's device.
Runner = Callable[[Tensor], AnyOutput]

Size = tuple[int, int]

MIN_INPUT_SIZE = 28  # two patches a side: the decoder halves the grid once
# A sigmoid this close to 1 says "as far as I can tell, or farther", as the sky does.
SATURATION = 0.98
HOW_TO_CALIBRATE = (
    "calibrate the camera, or set camera.fallback_hfov_deg to assume a pinhole, or choose the "
    "model tiny_relative, which needs no camera"
)


@dataclass(frozen=True)
class Running:
    """What runs a network.

    Attributes:
        name: ``torch``, or of another engine.
        precision: of all but the last layer.
        device: that it runs on.
        why: it does, and not another; "" where nobody chose.
    """

    name: str
    precision: str
    device: str
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.device} in {self.precision} by {self.name}{why}"


class DepthEstimator:
    """One loaded model on one device. ``infer`` may be called from one thread at a time.

    Args:
        model: a zoo name, ``hf:`` and a repo or folder of transformers, or a card.
        weights: ``""`` for the card's own from the hub cache, ``random``, a path, a zoo name, or
            a hub id; see ``weights.resolve_weights``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        input_size: length in pixels that the picture is resized to, by the card's ``fit``; 0 for
            the card's. Both sides are rounded to the card's multiple.
        download: whether weights may be fetched from the hub where the cache lacks them.

    Attributes:
        card: what the model is.
        network: the loaded network, in float32 and eval mode.
        device: that it is on.
        precision: ``fp32``, ``bf16`` or ``fp16``, of all but the last layer.
        input_size: as above, never 0.
        runner: what runs the network on pictures; None is ``run_network``.
        threads: of torch for the network on a CPU, those of the thread that loads it; half of
            them prepare pictures and finish answers.
        times: seconds of the stages ``pre``, ``net`` and ``post`` of what it was asked, until
            somebody takes them (``inference`` of ``infer_views``). On a GPU, what the network has
            not done when its call returns counts as ``post``.
        engine: the name and precision of what runs, and why that does (see
            ``engines.loading.load_estimator``).

    Raises:
        ModelError: on an unknown model, device, precision or input size.
        CheckpointError: on weights that cannot be found or loaded.
    """

    def __init__(
        self,
        model: str | ModelCard,
        weights: str = "",
        device: str = "auto",
        precision: str = "auto",
        input_size: int = 0,
        download: bool = False,
    ) -> None:
        self.card = find_card(model, download) if isinstance(model, str) else model
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.input_size = _check_input_size(input_size, self.card)
        network, source = _load(self.card, weights, download)
        network = for_inference(network, family_of(self.card).float32)
        network.eval().requires_grad_(False)
        # Convolutions are faster so; torch's annotations lack the argument.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(self.device)
        self.threads = torch.get_num_threads()
        self.runner: Runner | None = None  # a method of its own would keep it from being freed
        self.times = StageTimes()
        self.engine = Running("torch", self.precision, str(self.device))
        self._source = source
        self._network_sizes: dict[tuple[int, int, int], Size] = {}

    @property
    def description(self) -> str:
        """All of the above in one line."""
        return (
            f"{self.card.name} ({self.card.kind}), weights {self._source}, on {self.engine}, "
            f"input size {self.input_size}"
        )

    def infer(
        self,
        rgb: NDArray[np.uint8],
        camera: Camera | None = None,
        prompt_m: NDArray[np.float32] | None = None,
    ) -> Estimate:
        """Estimate the depth of a picture, at the size of the picture.

        Args:
            rgb: uint8 (height, width, 3).
            camera: of exactly this picture; it is handed through to the map. A model whose depth
                is scaled by the focal length (``card.focal_scaled``) cannot do without.
            prompt_m: a LiDAR's depth of this picture for a model that is prompted by one, as of
                ``core.depth_prompt.dense_prompt``. With it the answer is a DepthMap.

        Returns:
            A DepthMap from a metric model, where 0.98 of the maximum depth and more, and the sky
            where the model knows it, are +Inf; a DisparityMap from a relative one; an
            AffineDepthMap from one of affine depth, where the sky is +Inf.

        Raises:
            ImageError: on a picture of another shape or type, or one that is too narrow;
                ``prompt`` on a prompt with no depth in it.
            CameraError: ``camera_size`` where the camera has another size than the picture,
                ``uncalibrated`` where the model needs one and there is none.
            ModelError: ``non_finite`` where the network answers NaN or Inf; ``prompt`` where it
                takes none.
        """
        if prompt_m is None:
            return self.infer_batch([rgb], [camera])[0]
        self._check_camera(rgb, camera)
        with torch_threads(few_threads(self.threads)):
            prompt = function(family_of(self.card).prompt)(prompt_m, self.card, self.device)
            answer = self._predict(self.prepared(rgb), prompt)
            return self._answer(answer, camera, rgb.shape[:2], "metric")

    def infer_batch(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera | None],
        sizes: Sequence[Size | None] | None = None,
    ) -> list[Estimate]:
        """Estimate the depth of several pictures, of equal size to the network in one go.

        Args:
            pictures: each as of ``infer``.
            cameras: of the pictures, one each.
            sizes: (width, height) that each is to be answered at, on the grid of the picture as
                resized to it, border on border; None is the picture's own.

        Returns:
            What ``infer`` answers, in the order of the pictures, with cameras of these sizes.

        Raises:
            As ``infer``; of the first picture that is wrong.
        """
        for rgb, camera in zip(pictures, cameras, strict=True):
            self._check_camera(rgb, camera)
        with torch_threads(few_threads(self.threads)):
            return self._infer_batch(pictures, cameras, sizes or [None] * len(pictures))

    def _infer_batch(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera | None],
        sizes: Sequence[Size | None],
    ) -> list[Estimate]:
        with self.times.of("pre"):
            images = [self.prepared(rgb) for rgb in pictures]
            batches: dict[tuple[torch.Size, bool], list[int]] = {}
            told = [self._intrinsics(*pair) for pair in zip(images, cameras, strict=True)]
            for index, image in enumerate(images):
                batches.setdefault((image.shape, told[index] is None), []).append(index)
        found: dict[int, Estimate] = {}
        for indices in batches.values():
            K = [matrix for index in indices if (matrix := told[index]) is not None]
            beside = [torch.cat(K)] if K else []
            answer = self._predict(torch.cat([images[index] for index in indices]), *beside)
            with self.times.of("post"):
                for row, index in enumerate(indices):
                    camera, own = cameras[index], pictures[index].shape[1::-1]
                    size = sizes[index] or own
                    if camera is not None:
                        camera = camera.scaled(*size)
                    # The official code aligns corners when it enlarges; another grid is a resize.
                    found[index] = self._answer(
                        answer.row(row), camera, size[::-1], align_corners=size == own
                    )
        return [found[index] for index in range(len(images))]

    def infer_views(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera] | None = None,
        poses: Sequence[ArrayLike] | None = None,
        sizes: Sequence[Size | None] | None = None,
    ) -> list[ViewEstimate]:
        """Estimate depth and poses of pictures of one scene together, so that they agree.

        Args:
            images: each as of ``infer``; where sizes differ, the middle that all of them have.
            cameras: of the pictures; None estimates pinholes.
            poses: T_world_camera of each, (4, 4) in metres; needs cameras.
            sizes: as of ``infer_batch``.

        Returns:
            One view a picture: in metres where there are poses, whose baselines scale it, and
            from a nested model; else up to one factor.

        Raises:
            As ``infer``; ModelError (``single_view``) on a model of single pictures; CameraError
            (``baseline``) on poses within 1 cm of each other, but from a nested model.
        """
        given = check_views(self.card, len(images), cameras, poses)
        for rgb, camera in zip(images, cameras or (), strict=False):
            self._check_camera(rgb, camera)
        own = [(rgb.shape[1], rgb.shape[0]) for rgb in images]
        asked = [size or mine for size, mine in zip(sizes or own, own, strict=True)]
        with self.times.of("inference"):
            batch, windows = cut_to_middles([self.prepared(rgb) for rgb in images], asked)
            output, metric = self._predict_views(batch, conditions_of(windows, cameras, given))
            return views_of(output, metric, windows, cameras, given)

    @torch.inference_mode()
    def _predict_views(
        self, images: Tensor, conditions: Sequence[Tensor]
    ) -> tuple[ViewsOutput, DepthWithSky | None]:
        """Run an any-view network; its metric part answers metres for a focal length of 1 px."""
        dtype, metric = PRECISIONS[self.precision], None
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            told = [values.to(self.device) for values in conditions]
            output: ViewsOutput = cast(AnyViewNetwork, self.network).views(images, *told)
            if self.card.canonical_focal_px is not None:
                answer = self.network(images)
                metric = DepthWithSky(answer.depth / self.card.canonical_focal_px, answer.sky)
        for part in (*output, *(metric or ())):
            self._check_finite((part,))
        return output, metric

    def _check_camera(self, rgb: NDArray[np.uint8], camera: Camera | None) -> None:
        if camera is None and self.card.focal_scaled:
            raise CameraError(
                f"{self.card.name} gives no depth in metres without the camera's focal length; "
                f"{HOW_TO_CALIBRATE}",
                reason="uncalibrated",
            )
        if camera is not None and rgb.shape[:2] != (camera.height, camera.width):
            raise CameraError(
                f"picture has shape {rgb.shape} and its camera is "
                f"{camera.width}x{camera.height}; scale the camera with Camera.scaled() first",
                reason="camera_size",
            )

    @torch.inference_mode()
    def run_network(self, images: Tensor, *prompt: Tensor, exact: bool = False) -> NetworkOutput:
        """Run the network itself, layer by layer.

        Args:
            images: float32 (batch, 3, h, w), normalised, on the device.
            prompt: of ``prompt_input``, where the model takes one; or K, where its family does.
            exact: whether in float32, whatever the precision is.

        Returns:
            What the network answers.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        dtype = PRECISIONS[self.precision]
        is_rounded = dtype != torch.float32 and not exact
        autocast = torch.autocast(self.device.type, dtype, enabled=is_rounded)
        with autocast, torch_threads(self.threads):
            answer: AnyOutput = self.network(images, *prompt)
        return NetworkOutput.of(answer, self.card.kind)

    def network_size(self, width: int, height: int) -> Size:
        """Return (width, height) of the network's input for pictures of a size.

        Raises:
            ImageError: on a size that it takes none of.
        """
        key = (width, height, self.input_size)
        if key not in self._network_sizes:
            # Every family has rules of its own; one blank picture a size says what comes of them.
            image = self.prepared(np.zeros((height, width, 3), np.uint8))
            self._network_sizes[key] = (image.shape[-1], image.shape[-2])
        return self._network_sizes[key]

    def _intrinsics(self, image: Tensor, camera: Camera | None) -> Tensor | None:
        """Return K of a network's input, (1, 3, 3), for a network that takes it."""
        if camera is None or not family_of(self.card).intrinsics:
            return None
        seen = camera.scaled(image.shape[-1], image.shape[-2])
        return torch.tensor(seen.K, dtype=torch.float32, device=self.device).view(1, 3, 3)

    def prepared(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return the network's input for a picture, float32 (1, 3, h, w) on the device."""
        return family_of(self.card).preparation(rgb, self.card, self.input_size, self.device)

    @torch.inference_mode()
    def _predict(self, images: Tensor, *prompt: Tensor) -> NetworkOutput:
        """Answer (batch, 3, h, w), and a prompt or K where the model takes it: no engine does."""
        with self.times.of("net"):
            if prompt or self.runner is None:
                answer = self.run_network(images, *prompt)
            else:
                answer = NetworkOutput.of(self.runner(images), self.card.kind)
        with self.times.of("post"):
            self._check_finite(answer.parts)
        return answer

    @torch.inference_mode()
    def _answer(
        self,
        answer: NetworkOutput,
        camera: Camera | None,
        size: tuple[int, ...],
        kind: Kind | None = None,
        align_corners: bool = True,
    ) -> Estimate:
        """Turn what the network said of one picture, (1, h, w) each, into a map of a size."""
        kind, height, width = kind or self.card.kind, size[0], size[1]
        finish = function(family_of(self.card).finish)
        values = finish(answer, self.card, kind, camera, height, width, align_corners)
        values = _beyond_range(values, self.card)
        return ESTIMATES[kind](to_host(values).numpy(), camera)

    def _check_finite(self, parts: Sequence[Tensor]) -> None:
        if bool(torch.stack([part.isfinite().all() for part in parts]).all()):
            return
        total = sum(part.numel() for part in parts)
        bad = total - sum(int(part.isfinite().sum()) for part in parts)
        raise ModelError(
            f"{self.card.name} answered {bad} of {total} values as NaN or Inf in "
            f"{self.engine.precision} ({self.engine.name}); try precision fp32, and check the "
            "weights",
            reason="non_finite",
        )


def _check_input_size(input_size: int, card: ModelCard) -> int:
    if input_size == 0:
        return card.input_size
    if input_size < MIN_INPUT_SIZE:
        raise ModelError(
            f"input size {input_size} is too small; use 0 for the model's own "
            f"({card.input_size}), or at least {MIN_INPUT_SIZE}",
            reason="input_size",
        )
    return input_size


def _load(card: ModelCard, weights: str, download: bool) -> tuple[nn.Module, str]:
    """Build and fill a network; say where its weights come from."""
    path = resolve_weights(weights, card, download)
    if path is None:
        _log.warning("%s runs with RANDOM weights, as asked: its answers mean nothing", card.name)
        return random_network(card), "random"
    network = empty_network(card)
    load_weights(network, card, path)
    return network, str(path)


def _beyond_range(values: Tensor, card: ModelCard) -> Tensor:
    """Mark metric depth at the end of the model's range as +Inf, and an underflow to 0 as NaN."""
    if card.kind != "metric" or card.max_depth_m is None:
        return values
    end = SATURATION * card.max_depth_m
    least, most = values.aminmax()  # a tenth of the time of a masked_fill
    if not most < end:
        values = values.masked_fill(values >= end, torch.inf)
    return values if least > 0 else values.masked_fill(values <= 0, torch.nan)
