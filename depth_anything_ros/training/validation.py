"""Scores of a network on pictures that it is not trained on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.metrics import score
from depth_anything_ros.core.panels import color_limits, stacked
from depth_anything_ros.core.robust import least_squares
from depth_anything_ros.models.networks.preprocess import network_size
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.training.augment import crop_and_resize
from depth_anything_ros.training.batches import collate
from depth_anything_ros.training.objective import BatchAnswer, metric_depth, normalise, read_answer
from depth_anything_ros.training.recipe import Validation
from depth_anything_ros.training.samples import Batch, FolderSource, Sample, SampleSource
from depth_anything_ros.training.world_pool import WorldPool

# Nearer depth, in metres, is drawn and aligned as this.
_NEAREST_M = 1e-3
# A picture counts where at least so many pixels of its ground truth are known.
_LEAST_PIXELS = 10


@dataclass(frozen=True)
class Panel:
    """What there is to look at of one picture.

    Attributes:
        rgb: uint8 (H, W, 3).
        prediction: float32 (H, W): 1 / metres, or disparity aligned to it.
        truth: float32 (H, W): 1 / metres, 0 in the sky, NaN unknown.
    """

    rgb: NDArray[np.uint8]
    prediction: NDArray[np.float32]
    truth: NDArray[np.float32]


class HeldOut:
    """Pictures to validate on, kept in memory as batches of one size each."""

    def __init__(self, settings: Validation, card: ModelCard, device: str) -> None:
        self._card, self._settings = card, settings
        source: SampleSource
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
        rows = [
            picture_scores(self._card, answer, batch, self._settings.max_m)
            for batch, answer in self._answers(network, device)
        ]
        if not rows:
            return {}
        columns = {name: [value for row in rows for value in row[name]] for name in rows[0]}
        return {name: float(torch.tensor(column).nanmean()) for name, column in columns.items()}

    @torch.no_grad()
    def panels(self, network: nn.Module, device: torch.device, count: int) -> list[Panel]:
        """Return panels of the first pictures."""
        found: list[Panel] = []
        for batch, answer in self._answers(network, device):
            found += make_panels(self._card, answer, batch)
            if len(found) >= count:
                break
        return found[:count]

    def _answers(
        self, network: nn.Module, device: torch.device
    ) -> Iterator[tuple[Batch, BatchAnswer]]:
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
    card: ModelCard, answer: BatchAnswer, batch: Batch, max_m: float
) -> dict[str, list[float]]:
    """Score each picture of a batch by itself.

    ``abs_rel`` and ``delta1`` (see ``core.metrics``) of metric depth as it is; ``aligned_`` the
    same after a fit of scale and shift to 1 / d* by least squares; ``disparity_`` the same of a
    disparity head; and ``sky_accuracy``.

    Args:
        card: of the model.
        answer: of its network.
        batch: with ground truth.
        max_m: farthest ground truth that counts, and farthest aligned depth.

    Returns:
        A number for each picture; NaN of one without ground truth.
    """
    depth = metric_depth(card, answer, batch.focal_px)
    depths = {} if depth is None else {"": _array(depth)}
    disparities = {} if depth is None else {"aligned_": 1 / _array(depth).clip(min=_NEAREST_M)}
    if answer.disparity is not None and (depth is None or answer.sky_logit is not None):
        disparities["disparity_"] = _array(answer.disparity)
    scores: dict[str, list[float]] = defaultdict(list)
    for place, truth in enumerate(_array(batch.depth_m)):
        counted = (truth > 0) & (truth <= max_m)
        counted &= np.count_nonzero(counted) >= _LEAST_PIXELS
        found = {name: values[place][counted] for name, values in depths.items()}
        for name, values in disparities.items():
            inverse = _aligned(values[place], truth, counted)[counted]
            found[name] = 1 / inverse.clip(min=1 / max_m)
        for name, values in found.items():
            result = score(values, truth[counted])
            scores[f"{name}abs_rel"].append(result.abs_rel)
            scores[f"{name}delta1"].append(result.delta1)
        if answer.sky_logit is not None:
            known = ~np.isnan(truth)
            right = (_array(answer.sky_logit[place]) > 0) == np.isinf(truth)
            scores["sky_accuracy"].append(float(right[known].mean()) if known.any() else math.nan)
    return scores


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().numpy(), np.float64)


def _aligned(
    disparity: NDArray[np.float64], truth_m: NDArray[np.float64], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a disparity by the scale and shift that bring it to 1 / truth where that counts."""
    line = least_squares(disparity[counted], 1 / truth_m[counted])
    return line.scale * disparity + line.shift


def make_panels(card: ModelCard, answer: BatchAnswer, batch: Batch) -> list[Panel]:
    """Prepare all pictures of a batch for looking at."""
    truth, depth = _array(batch.depth_m), metric_depth(card, answer, batch.focal_px)
    if depth is not None:
        predicted = 1 / _array(depth).clip(min=_NEAREST_M)
        if answer.sky_logit is not None:
            predicted[_array(answer.sky_logit) > 0] = 0
    else:
        assert answer.disparity is not None
        pairs = zip(_array(answer.disparity), truth, strict=True)
        predicted = np.stack([_aligned(d, t, np.isfinite(t) & (t > 0)) for d, t in pairs])
    rgb = (batch.image * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    parts = (rgb, predicted.astype(np.float32), (1 / truth).astype(np.float32))
    return [Panel(*one) for one in zip(*parts, strict=True)]


def draw_panels(panels: list[Panel]) -> NDArray[np.uint8]:
    """Draw a row for each panel: picture, prediction, ground truth, in one range of colours."""
    rows = []
    for panel in panels:
        limits = color_limits(panel.truth)
        painted = [colorize(v, limits=limits) for v in (panel.prediction, panel.truth)]
        rows.append(np.concatenate((panel.rgb, *painted), axis=1))
    return stacked(rows, gap=4)
