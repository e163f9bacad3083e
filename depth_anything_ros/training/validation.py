"""Scores of a network on pictures that it is not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.models.networks.preprocess import network_size
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.training.augment import crop_and_resize
from depth_anything_ros.training.data import collate
from depth_anything_ros.training.losses import align_least_squares
from depth_anything_ros.training.objective import Answer, metric_depth, normalise, read_answer
from depth_anything_ros.training.recipe import Validation
from depth_anything_ros.training.samples import Batch, FolderSource, Sample, Source
from depth_anything_ros.training.world_pool import WorldPool

_DELTA1 = 1.25
# A picture counts where at least so many pixels of its ground truth are known.
_LEAST_PIXELS = 10


@dataclass(frozen=True)
class Panel:
    """What there is to look at of one picture, on the CPU.

    Attributes:
        rgb: uint8 (H, W, 3).
        prediction: float32 (H, W): 1 / metres, or disparity aligned to it.
        truth: float32 (H, W): 1 / metres, 0 in the sky, NaN unknown.
    """

    rgb: Tensor
    prediction: Tensor
    truth: Tensor


class HeldOut:
    """Pictures to validate on, kept in memory as batches of one size each."""

    def __init__(self, settings: Validation, card: ModelCard, device: str) -> None:
        self._card, self._settings = card, settings
        source: Source
        if settings.path:
            source = FolderSource(Path(settings.path))
            count = min(settings.views or source.count, source.count)
        else:
            first, count = settings.first_seed, settings.views
            source = WorldPool(first, count, settings.width, settings.height, device=device)
        samples = [self._fitted(source.get(index)) for index in range(count)]
        self.batches = list(_by_size(samples, settings.batch_size))

    def _fitted(self, sample: Sample) -> Sample:
        height, width = sample.rgb.shape[:2]
        least = min(self._settings.width, self._settings.height)
        new = network_size(width, height, least, self._card.multiple)
        return crop_and_resize(sample, (0, 0, width, height), *new)

    @torch.no_grad()
    def score(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Score a network; see ``picture_scores`` for the names. Means over pictures."""
        rows = []
        for batch, answer in self._answers(network, device):
            rows.append(picture_scores(self._card, answer, batch, self._settings.max_m))
        if not rows:
            return {}
        columns = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        return {name: float(values.nanmean()) for name, values in columns.items()}

    @torch.no_grad()
    def panels(self, network: nn.Module, device: torch.device, count: int) -> list[Panel]:
        """Return panels of the first pictures."""
        found: list[Panel] = []
        for batch, answer in self._answers(network, device):
            found += make_panels(self._card, answer, batch)
            if len(found) >= count:
                break
        return found[:count]

    def _answers(self, network: nn.Module, device: torch.device) -> Iterator[tuple[Batch, Answer]]:
        for kept in self.batches:
            batch = kept.to(device)
            yield batch, read_answer(self._card, network(normalise(batch.image, self._card)))


def _by_size(samples: Iterable[Sample], batch_size: int) -> Iterator[Batch]:
    sizes: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        sizes.setdefault(sample.rgb.shape, []).append(sample)
    for same in sizes.values():
        for first in range(0, len(same), batch_size):
            yield collate(same[first : first + batch_size])


def picture_scores(
    card: ModelCard, answer: Answer, batch: Batch, max_m: float
) -> dict[str, Tensor]:
    """Score each picture of a batch by itself.

    ``abs_rel`` (mean of |d - d*| / d*) and ``delta1`` (share of max(d / d*, d* / d) < 1.25; Eigen
    et al. 2014, arXiv:1406.2283) of metric depth as it is; ``aligned_`` the same after a fit of
    scale and shift to 1 / d* by least squares; ``disparity_`` the same of a disparity head.

    Args:
        card: of the model.
        answer: of its network.
        batch: with ground truth.
        max_m: farthest ground truth that counts, and farthest aligned depth.

    Returns:
        (B,) each; NaN of a picture without ground truth.
    """
    truth = batch.depth_m
    mask = truth.isfinite() & (truth > 0) & (truth <= max_m)
    mask = mask & (mask.flatten(1).sum(1) >= _LEAST_PIXELS)[:, None, None]
    scores: dict[str, Tensor] = {}
    depth = metric_depth(card, answer, batch.focal_px)
    if depth is not None:
        scores |= _errors("", depth, truth, mask)
        inverse = depth.clamp(min=1e-3).reciprocal()
        scores |= _errors("aligned_", aligned_depth(inverse, truth, mask, max_m), truth, mask)
    if answer.disparity is not None and (depth is None or answer.sky_logit is not None):
        fitted = aligned_depth(answer.disparity, truth, mask, max_m)
        scores |= _errors("disparity_", fitted, truth, mask)
    if answer.sky_logit is not None:
        scores["sky_accuracy"] = _sky_accuracy(answer.sky_logit, truth)
    return scores


def _errors(prefix: str, depth: Tensor, truth: Tensor, mask: Tensor) -> dict[str, Tensor]:
    count = mask.flatten(1).sum(1)
    count = torch.where(count > 0, count, torch.nan)
    relative = torch.where(mask, (depth - truth).abs() / truth, 0)
    ratio = torch.maximum(depth / truth, truth / depth)
    return {
        f"{prefix}abs_rel": relative.flatten(1).sum(1) / count,
        f"{prefix}delta1": (mask & (ratio < _DELTA1)).flatten(1).sum(1) / count,
    }


def _sky_accuracy(logit: Tensor, truth: Tensor) -> Tensor:
    known = ~truth.isnan()
    right = known & ((logit > 0) == truth.isinf())
    return right.flatten(1).sum(1) / known.flatten(1).sum(1)


def aligned_depth(disparity: Tensor, truth: Tensor, mask: Tensor, max_m: float) -> Tensor:
    """Fit scale and shift of each picture's disparity to 1 / truth; return metres (B, H, W)."""
    scale, shift = align_least_squares(disparity.double(), truth.double().reciprocal(), mask)
    inverse = scale[:, None, None] * disparity + shift[:, None, None]
    return inverse.clamp(min=1 / max_m).reciprocal().float()


def make_panels(card: ModelCard, answer: Answer, batch: Batch) -> list[Panel]:
    """Prepare all pictures of a batch for looking at."""
    inverse = batch.depth_m.reciprocal()
    depth = metric_depth(card, answer, batch.focal_px)
    if depth is not None:
        predicted = depth.clamp(min=1e-3).reciprocal()
        if answer.sky_logit is not None:
            predicted = torch.where(answer.sky_logit > 0, 0, predicted)
    else:
        assert answer.disparity is not None
        aligned = (answer.disparity.double(), inverse.double(), batch.depth_m.isfinite())
        scale, shift = align_least_squares(*aligned)
        predicted = (scale[:, None, None] * answer.disparity + shift[:, None, None]).float()
    rgb = (batch.image * 255).round().byte().permute(0, 2, 3, 1).cpu()
    return [
        Panel(*parts) for parts in zip(rgb, predicted.float().cpu(), inverse.cpu(), strict=True)
    ]


def draw_panels(panels: list[Panel]) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Draw a row for each panel: picture, prediction, ground truth, in one range of colours."""
    rows = []
    for panel in panels:
        truth = panel.truth.numpy()
        known = truth[np.isfinite(truth)]
        low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
        limits = (float(low), float(high))
        painted = [colorize(v, limits=limits) for v in (panel.prediction.numpy(), truth)]
        rows.append(np.concatenate((panel.rgb.numpy(), *painted), axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, 4, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows
    ]
    return np.concatenate(padded)
