"""Where a picture has changed: where it has not, its depth has neither."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]

# What a picture is held against is the mean of those of about this time, so that what moves slowly
# is seen too; what changed is said to change for so long.
_USUAL_S, _ACTIVE_S = 1.0, 0.5
# Of its median: differences from there on are a change, and a whole one at twice that.
_CHANGED, _SIGMA_OF_MEDIAN = 3.0, 1.4826
# Grey levels: of rounding, and where the sensor is saturated.
_LEAST_NOISE, _SATURATED = 1.0, 250.0
# Of the brightness, as |ln|: a jump of the exposure changes a camera's grey levels by this and by
# so many times the usual change. The usual one is a mean with this share of each.
_JUMP, _UNUSUAL, _USUAL_SHARE = 0.08, 3.0, 0.2
_DARKEST = 1e-3
_SMOOTH = (3, 3)
_AROUND = np.ones((7, 7), np.uint8)


@dataclass(frozen=True)
class Brightness:
    """How much brighter or darker pictures get, as |ln| of the factor.

    Attributes:
        usual: the mean of the last such changes.
        has_jumped: whether the exposure has: light that flickers all the time has not.
    """

    usual: float = 0.0
    has_jumped: bool = False

    def after(self, factor: float) -> Brightness:
        """Return that of the next picture, which is brighter by a factor."""
        change = abs(math.log(max(factor, _DARKEST)))
        jumped = change > max(_JUMP, _UNUSUAL * self.usual)
        return Brightness(self.usual + _USUAL_SHARE * (change - self.usual), jumped)


class Changes(NamedTuple):
    """How a picture differs from those before.

    Attributes:
        usual: float32 (height, width), the grey picture as it has been, in the present exposure.
        active: float32 (height, width), 0 where it is what it was, to 1.
        light: how its brightness changes.
    """

    usual: Map
    active: Map
    light: Brightness

    @classmethod
    def first(cls, picture: Grey) -> Changes:
        """Return those of a picture before which there is none."""
        return cls(picture.astype(np.float32), np.zeros(picture.shape, np.float32), Brightness())

    def after(self, picture: Grey, seconds: float) -> Changes:
        """Return those of the next picture, of a camera that stood meanwhile."""
        usual, active, brighter = _held_against(self.usual, picture)
        share = np.float32(min(seconds / _USUAL_S, 1.0))
        usual += share * (picture - usual)
        faded = self.active * np.float32(np.exp(-seconds / _ACTIVE_S))
        return Changes(usual, np.maximum(active, faded), self.light.after(brighter))


def changes(before: Grey, now: Grey, light: Brightness) -> Changes:
    """Return how a picture differs from the one before it, put where its pixels are now.

    Args:
        before: the picture before.
        now: the present one.
        light: of the picture before.
    """
    _, active, brighter = _held_against(before.astype(np.float32), now)
    return Changes(now.astype(np.float32), active, light.after(brighter))


def _held_against(usual: Map, picture: Grey) -> tuple[Map, Map, float]:
    """Return what was usual, in a picture's exposure, and where and by what factor that differs."""
    now = picture.astype(np.float32)
    counted = (now < _SATURATED).astype(np.float32)
    brighter = float((counted * now).sum()) / max(float((counted * usual).sum()), 1.0)
    for _ in range(2):
        weight = max(float(counted.sum()), 1.0)
        mean, mean_now = (float((counted * part).sum()) / weight for part in (usual, now))
        spread = counted * (usual - np.float32(mean))
        gain = float((spread * now).sum()) / max(float((spread * usual).sum()), 1.0)
        exposed = np.float32(gain) * usual + np.float32(mean_now - gain * mean)
        off = np.abs(now - exposed)
        noise = max(_SIGMA_OF_MEDIAN * float(np.median(off[::2, ::2])), _LEAST_NOISE)
        counted *= off < _CHANGED * noise
    smooth = cv2.blur(off, _SMOOTH) * np.float32(1 / (_CHANGED * noise))
    active = np.clip(cv2.dilate(smooth, _AROUND) - np.float32(1), 0, 1)
    return exposed, np.asarray(active, np.float32), brighter
