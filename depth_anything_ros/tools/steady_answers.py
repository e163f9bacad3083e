"""What is to be steadied: true depth that jumps as a network's answers do, and such answers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import ESTIMATES, DepthMap, DisparityMap, Estimate
from depth_anything_ros.core.files import atomically
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.tools.steady_sequences import PosedSequence

TRUTH, RELATIVE = "distorted truth", "distorted disparity"
# Anew in each picture: a factor for all of it, up to so much; a smooth warp, as the standard
# deviation of ln depth at the knots of a grid; noise of each pixel, likewise.
SCALE_JITTER = 0.1
WARP, _KNOTS = 0.03, (4, 3)
NOISE = 0.02


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said of each picture of a sequence.

    Attributes:
        name: of what says it.
        sequence: that it is of.
        estimates: of each picture, on its grid.
    """

    name: str
    sequence: PosedSequence
    estimates: Sequence[Estimate]


def distorted(sequence: PosedSequence, seed: int = 0) -> Answers:
    """Return true depth as a metric model would answer that guesses the scale anew each time."""
    camera, rng = sequence.camera, np.random.default_rng(seed)
    depths = [truth * _factor(truth.shape, rng) for truth in sequence.truth_m]
    return Answers(TRUTH, sequence, [DepthMap(depth, camera) for depth in depths])


def distorted_disparity(sequence: PosedSequence, seed: int = 0) -> Answers:
    """Return the same as a relative model would: 1 / depth, with a shift that jumps too."""
    camera, rng = sequence.camera, np.random.default_rng(seed)
    unit = float(np.nanmedian(1.0 / sequence.truth_m))
    found = []
    for truth in sequence.truth_m:
        shift = SCALE_JITTER * rng.uniform(-1, 1) * unit
        disparity = 1.0 / (truth * _factor(truth.shape, rng)) + shift
        found.append(DisparityMap(disparity.astype(np.float32), camera))
    return Answers(RELATIVE, sequence, found)


def answered(sequence: PosedSequence, model: str, cache: Path | None = None) -> Answers:
    """Return the answers of a model of the zoo, or read them where the cache has them.

    Args:
        sequence: of pictures.
        model: its name.
        cache: folder that keeps them; None keeps nothing.
    """
    key = zlib.crc32(sequence.rgb.tobytes())  # of exactly these pictures
    path = cache and cache / f"{sequence.name.replace(' ', '_')}_{model}_{key:08x}.npz"
    if path is not None and path.is_file():
        with np.load(path) as file:
            make, values = ESTIMATES[find_card(model).kind], file["values"]
        return Answers(model, sequence, [make(value, sequence.camera) for value in values])
    from depth_anything_ros.engines.loading import load_estimator

    estimator = load_estimator(model, device="cpu")
    found = [estimator.infer(rgb, sequence.camera) for rgb in sequence.rgb]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.stack([estimate.values for estimate in found])
        with atomically(path) as partial_path, partial_path.open("wb") as stream:
            np.savez_compressed(stream, values=values)
    return Answers(model, sequence, found)


def _factor(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return by what true depth is multiplied, float32 (height, width)."""
    scale = 1.0 + SCALE_JITTER * rng.uniform(-1, 1)
    knots = rng.normal(0.0, WARP, _KNOTS[::-1])
    warp = cv2.resize(knots, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0.0, NOISE, shape)
    return np.asarray(scale * np.exp(warp + noise), np.float32)
