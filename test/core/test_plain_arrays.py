"""Dataclasses by way of an npz file: exactly what they were."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.plain_arrays import as_arrays, from_arrays


@dataclass(frozen=True, eq=False)
class Pixels:
    depth: NDArray[np.float32]
    sky: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    camera: Camera | None
    pixels: Pixels
    stamp_ns: int
    share: float
    word: str


def test_what_is_written_is_read_again_to_the_last_bit():
    depth = np.array([[1 / 3, np.nan], [np.inf, -0.0]], np.float32)
    camera = Camera.from_hfov(64, 48, 71.0, "front")
    for kept in (
        Kept(camera, Pixels(depth, depth + 1), (1 << 62) + 1, 1 / 3, "metric"),
        Kept(None, Pixels(depth), -5, 0.0, ""),
    ):
        file = io.BytesIO()
        np.savez(file, **as_arrays(kept))
        file.seek(0)
        with np.load(file) as arrays:
            found = from_arrays(Kept, dict(arrays))
        assert (found.camera, found.stamp_ns, found.share, found.word) == (
            kept.camera,
            kept.stamp_ns,
            kept.share,
            kept.word,
        )
        assert type(found.stamp_ns) is int and type(found.share) is float
        assert found.pixels.depth.tobytes() == depth.tobytes()
        assert (found.pixels.sky is None) == (kept.pixels.sky is None)
