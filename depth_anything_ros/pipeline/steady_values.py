"""The values of any kind of answer as depth, with or without a unit, and what scale they have.

A disparity d is taken as the depth c / (d + c), a depth z up to scale and shift as z / c + 1: c
keeps all positive, so that the logarithm, in which is filtered, exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import Estimate

Map = NDArray[np.float32]

# Depth of what is not known and of the sky. Whatever is interpolated with it is far from all that
# is; yet float32 still has millimetres beside it.
BEYOND = np.float32(1e5)
KNOWN_TO = np.float32(2e4)
# Depth where the present answer has none: farther from all that is remembered than any change.
# OpenCV's logarithm takes fifteen times as long where there are infinities.
NOTHING = np.float32(1e7)

# Of the range of values, the offset.
_OFFSET = 0.05
# Values below this share of the offset, added to it, are taken as that.
_LEAST = 0.1
_FEWEST = 30
# Beyond three of their deviations, points do not go with a line; of a median, sigma is 1.48.
_WITHIN, _SIGMA_OF_MEDIAN = 3.0, 1.4826
_FITS = 3
# Values that differ by less than this share tell no scale.
_EVEN = 0.01
# A picture's scale is not more than so many times another's.
_MOST_SCALE = 4.0


class Affine(NamedTuple):
    """scale · value + shift."""

    scale: float = 1.0
    shift: float = 0.0

    def part(self, share: float) -> Affine:
        """Return the line that goes this share of the way from none to this one."""
        return Affine(self.scale**share, self.shift * share)

    def after(self, other: Affine) -> Affine:
        """Return what this one makes of the inverse of another."""
        scale = self.scale / other.scale
        return Affine(scale, self.shift - scale * other.shift)


@dataclass(frozen=True)
class Values:
    """How the values of one kind of answer become depth.

    Attributes:
        kind: of the answers.
        offset: c; 0 of metres.
    """

    kind: str
    offset: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate, sampled: Map) -> Values:
        """Choose the offset by the first picture."""
        known = sampled[np.isfinite(sampled)]
        if estimate.metric is not None:
            return cls(estimate.kind)
        if not known.size:
            return cls(estimate.kind, 1.0)
        low, high = (float(v) for v in np.quantile(known, (0.01, 0.99)))
        spread = high - low or abs(high) or 1.0
        return cls(estimate.kind, _OFFSET * spread - min(float(known.min()), 0.0))

    def depth(self, values: Map, line: Affine, out: Map | None = None) -> Map:
        """Return the depth of values on a line; what was not finite is anything."""
        moved: Map = np.multiply(values, np.float32(line.scale), out=out)
        if self.kind == "metric":
            return moved
        moved += np.float32(line.shift + self.offset)
        np.clip(moved, np.float32(_LEAST * self.offset), None, out=moved)
        if self.kind == "relative":
            np.divide(np.float32(self.offset), moved, out=moved)
        else:
            moved *= np.float32(1 / self.offset)
        return moved

    def values(self, depth: Map) -> Map:
        """Return the values of depth."""
        if self.kind == "metric":
            return depth
        c = np.float32(self.offset)
        found = c / depth if self.kind == "relative" else c * depth
        return np.asarray(found - c, np.float32)

    def moved(self, depth: Map, line: Affine) -> Map:
        """Put the depth of values on a line, in place; what is beyond stays so."""
        if self.kind == "metric":
            depth *= np.float32(line.scale)
            return depth
        unknown = depth > KNOWN_TO
        self.depth(self.values(depth), line, depth)
        np.copyto(depth, BEYOND, where=unknown)
        return depth

    def line_onto(self, now: Map, before: Map) -> Affine | None:
        """Return the line that takes values of the present picture to those of the one before.

        Of metres it is the median ratio. Otherwise it is the reduced major axis, the ratio of
        deviations, of the points within three sigma: least squares would flatten what is noisy,
        each time anew.

        Args:
            now: float32 (n,), finite.
            before: float32 (n,), of the same points.

        Returns:
            None where the points tell nothing, or where they contradict.
        """
        if len(now) < _FEWEST:
            return None
        if self.kind == "metric":
            scale = float(np.exp(np.median(np.log(before / now))))
            return Affine(scale) if 1 / _MOST_SCALE < scale < _MOST_SCALE else None
        x, y = now.astype(np.float64), before.astype(np.float64)
        kept = np.ones(len(x), bool)
        line = Affine()
        for _ in range(_FITS):
            line = _major_axis(x[kept], y[kept])
            off = np.abs(line.scale * x + line.shift - y)
            kept = off <= _WITHIN * _SIGMA_OF_MEDIAN * np.median(off) + 1e-12
        return line if 1 / _MOST_SCALE < line.scale < _MOST_SCALE else None


def _major_axis(x: NDArray[np.float64], y: NDArray[np.float64]) -> Affine:
    middle_x, middle_y = float(np.median(x)), float(np.median(y))
    spread_x, spread_y = (
        float(np.mean(np.abs(v - middle))) for v, middle in ((x, middle_x), (y, middle_y))
    )
    even = spread_x <= _EVEN * abs(middle_x) or spread_y <= _EVEN * abs(middle_y)
    scale = 1.0 if even else spread_y / spread_x
    return Affine(scale, middle_y - scale * middle_x)
