"""Random numbers, colours and materials of the procedural world, with the sizes of real ones."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from depth_anything_ros.sim.scene import Colour, Finish, Material, Texture

Option = TypeVar("Option")
Range = tuple[float, float]
DARK: Range = (0.05, 0.35)
MID: Range = (0.25, 0.75)
PALE: Range = (0.6, 0.98)
ANY: Range = (0.08, 0.98)
_LABELS = 0.65  # share of printed things that have labels, not text


@dataclass(frozen=True)
class Draw:
    """Draws of one scene, all of them from one generator: the order of calls is the scene."""

    rng: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """Return a uniform number."""
        return float(low + (high - low) * self.rng.random())

    def count(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)

    def sign(self) -> float:
        """Return 1 or -1."""
        return 1.0 if self.chance(0.5) else -1.0

    def pick(self, options: Sequence[Option], weights: Sequence[float] | None = None) -> Option:
        """Return one of the options, each as likely as its weight."""
        if weights is None:
            return options[int(self.rng.integers(len(options)))]
        left = self.between(0, sum(weights))
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]

    def colour(self, value: Range = ANY, saturation: Range = (0.0, 0.9)) -> Colour:
        """Return a linear albedo whose brightness and saturation, as seen, lie in the ranges."""
        hue = self.between(0, 1)
        # Most things are pale in colour, a few are vivid.
        share = self.between(0, 1) ** 2.2
        vivid = saturation[0] + (saturation[1] - saturation[0]) * share
        return _linear(hue, vivid, self.between(*value))

    def hued(self, hue: Range, saturation: Range, value: Range) -> Colour:
        """Return a linear albedo of a hue (0-1) in a range: leaves, wood, skin, asphalt."""
        return _linear(self.between(*hue) % 1.0, self.between(*saturation), self.between(*value))

    def near(self, colour: Colour, spread: float = 0.35) -> Colour:
        """Return a colour beside another one."""
        factor = self.between(1 - spread, 1 + spread)
        red, green, blue = (
            min(0.95, max(0.01, channel * factor * self.between(0.9, 1.1))) for channel in colour
        )
        return red, green, blue

    def paint(self, value: Range = ANY, saturation: Range = (0.0, 0.9)) -> Material:
        """Return paint, lacquer or plastic of one colour."""
        colour = self.colour(value, saturation)
        return Material(
            colour,
            self.near(colour),
            self.pick((Texture.PLAIN, Texture.NOISE), (0.75, 0.25)),
            self.between(0.1, 1.5),
            roughness=self.between(0.02, 0.4),
            gloss=self.between(0, 0.7) if self.chance(0.5) else 0.0,
        )

    def wood(self) -> Material:
        """Return wood, from birch to walnut, in boards of 0.08-0.2 m."""
        ranges = (0.05, 0.11), (0.25, 0.7), (0.2, 0.9)
        return self._natural(Texture.WOOD, *ranges, 0.5, (0.08, 0.2))

    def metal(self) -> Material:
        """Return bare or painted metal."""
        return replace(self.paint(ANY, (0.0, 0.15)), gloss=self.between(0.3, 1.0))

    def fabric(self) -> Material:
        """Return cloth: plain, striped, checked or mottled."""
        texture = self.pick(
            (Texture.PLAIN, Texture.NOISE, Texture.STRIPES, Texture.CHECKER), (4, 3, 2, 1)
        )
        colour = self.colour()
        return self._pattern(texture, colour, self.second(colour), (0.03, 0.25))

    def brick(self) -> Material:
        """Return a brick wall; a brick is about 0.2 by 0.07 m."""
        colour = self.hued((0.0, 0.09), (0.1, 0.7), (0.3, 0.85))
        mortar = self.hued((0.05, 0.15), (0.0, 0.2), (0.4, 0.9))
        return self._pattern(Texture.BRICKS, colour, mortar, (0.19, 0.26))

    def tiles(self, size: Range = (0.3, 0.6)) -> Material:
        """Return tiles; those of floors are 0.3-0.6 m."""
        colour = self.colour(MID if self.chance(0.4) else PALE, (0.0, 0.5))
        joint = self.colour(ANY, (0.0, 0.2))
        return replace(
            self._pattern(Texture.TILES, colour, joint, size), gloss=self.between(0, 0.6)
        )

    def print(self, page: Range = (0.1, 0.5)) -> Material:
        """Return a page of text or the label of a package, of this width and height."""
        colour = self.colour(PALE if self.chance(0.7) else ANY)
        text = self._pattern(Texture.TEXT, colour, self.colour(ANY), page)
        # By a digit that means nothing else: a draw of its own would move all that comes after.
        is_label = text.roughness * 1e4 % 1.0 < _LABELS
        return replace(text, texture=Texture.LABELS) if is_label else text

    def target(self) -> Material:
        """Return the squares of a calibration target, 0.03-0.15 m wide."""
        pale, dark = self.colour((0.8, 0.98), (0.0, 0.1)), self.colour((0.05, 0.25), (0.0, 0.1))
        return self._pattern(Texture.CHECKER, pale, dark, (0.03, 0.15))

    def leaves(self) -> Material:
        """Return foliage, from spring to autumn."""
        hue = (0.2, 0.36) if self.chance(0.85) else (0.04, 0.16)
        return self._natural(Texture.FOLIAGE, hue, (0.3, 0.8), (0.2, 0.65), 0.7, (0.1, 0.7))

    def bark(self) -> Material:
        """Return the bark of a tree."""
        ranges = (0.04, 0.12), (0.1, 0.5), (0.2, 0.6)
        return self._natural(Texture.NOISE, *ranges, 0.6, (0.05, 0.2))

    def stone(self, value: Range = MID) -> Material:
        """Return concrete, plaster, asphalt or rock."""
        ranges = (0.05, 0.65), (0.0, 0.15), value
        return self._natural(Texture.NOISE, *ranges, 0.4, (0.1, 2.0))

    def asphalt(self) -> Material:
        """Return the cover of a road: dry, wet, or under trodden snow."""
        colour = self.hued((0.05, 0.65), (0.0, 0.1), (0.3, 0.68))
        gloss = 0.0
        if self.chance(0.15):
            colour, gloss = self.hued((0.5, 0.65), (0.0, 0.15), (0.15, 0.4)), self.between(0.4, 1.0)
        elif self.chance(0.05):
            colour = self.hued((0.5, 0.65), (0.0, 0.08), (0.7, 0.95))
        second = self.near(colour, 0.25)
        rough, scale = self.between(0.2, 0.7), self.between(0.3, 5.0)
        return Material(colour, second, Texture.NOISE, scale, rough, gloss)

    def snow(self) -> Material:
        """Return snow, fresh or old."""
        colour = self.hued((0.5, 0.65), (0.0, 0.08), (0.8, 0.98))
        return Material(colour, self.near(colour, 0.3), Texture.NOISE, self.between(0.3, 4.0))

    def earth(self) -> Material:
        """Return grass, soil, sand or snow."""
        hue, vivid, value = self.pick(
            (
                ((0.18, 0.33), (0.25, 0.7), (0.25, 0.65)),
                ((0.05, 0.1), (0.2, 0.6), (0.2, 0.6)),
                ((0.09, 0.14), (0.15, 0.4), (0.55, 0.9)),
                ((0.5, 0.6), (0.0, 0.08), (0.85, 0.98)),
            ),
            (6, 3, 2, 0.5),
        )
        ground = self._natural(Texture.NOISE, hue, vivid, value, 0.5, (0.2, 4.0))
        return replace(ground, roughness=self.between(0.3, 0.9))

    def skin(self) -> Material:
        """Return skin."""
        return Material(self.hued((0.03, 0.09), (0.3, 0.6), (0.3, 0.95)), roughness=0.1)

    def glowing(self, strength: Range = (0.8, 2.0)) -> Material:
        """Return a surface that gives light: a lamp, a window by day."""
        return Material(self.white(), self.white(), glow=self.between(*strength), roughness=0.0)

    def screen(self) -> Material:
        """Return the front of a screen, on or off."""
        if self.chance(0.4):
            return Material((0.02, 0.02, 0.02), gloss=self.between(0.3, 1.0), roughness=0.0)
        return replace(self.print((0.15, 0.5)), glow=self.between(0.2, 0.9))

    def glass(self) -> Material:
        """Return window glass."""
        colour = self.colour(DARK, (0.0, 0.4))
        return Material(colour, colour, gloss=0.9, roughness=0.0, finish=Finish.GLASS)

    def mirror(self) -> Material:
        """Return a mirror."""
        return Material((0.9, 0.9, 0.9), roughness=0.0, gloss=1.0, finish=Finish.MIRROR)

    def keys(self) -> Material:
        """Return the keys of a keyboard, 0.019 m apart."""
        dark = self.colour(DARK, (0.0, 0.1))
        return Material(self.colour(ANY, (0.0, 0.2)), dark, Texture.TILES, 0.019)

    def rubber(self) -> Material:
        """Return a tyre, a dark plastic or a cable."""
        return self.paint((0.05, 0.25), (0.0, 0.1))

    def wall(self) -> Material:
        """Return the face of an inner wall."""
        return self.pick(
            (
                self.paint(PALE, (0.0, 0.35)),
                self.paint(ANY, (0.0, 0.8)),
                self.stone(PALE),
                self._pattern(Texture.STRIPES, self.colour(PALE), self.colour(MID), (0.06, 0.4)),
                self.brick(),
                self.tiles((0.1, 0.4)),
                self.wood(),
                self._pattern(Texture.CHECKER, self.colour(PALE), self.colour(MID), (0.1, 0.4)),
            ),
            (8, 1.2, 3, 1, 1.5, 1, 0.8, 0.15),
        )

    def floor(self) -> Material:
        """Return a floor indoors."""
        return self.pick(
            (
                self.wood(),
                self.tiles(),
                self.fabric(),
                self.stone(),
                self._pattern(Texture.CHECKER, self.colour(PALE), self.colour(DARK), (0.3, 0.6)),
            ),
            (5, 4, 2, 2, 0.3),
        )

    def surface(self) -> Material:
        """Return any material of a thing."""
        make = self.pick(
            (self.paint, self.wood, self.metal, self.fabric, self.print, self.stone),
            (6, 3, 2, 2, 1.5, 1),
        )
        return make()

    def white(self) -> Colour:
        """Return white light of a lamp, from warm (2700 K) to cool (7000 K)."""
        warm = self.between(0, 1)
        return 1.0, 0.97 - 0.22 * warm, 1.0 - 0.5 * warm

    def second(self, colour: Colour) -> Colour:
        """Return the other colour of a pattern: near the first one, or any."""
        return self.near(colour, 0.5) if self.chance(0.5) else self.colour()

    def _natural(
        self,
        texture: Texture,
        hue: Range,
        saturation: Range,
        value: Range,
        spread: float,
        scale_m: Range,
    ) -> Material:
        """Return a pattern of a colour of nature and of one beside it."""
        colour = self.hued(hue, saturation, value)
        return self._pattern(texture, colour, self.near(colour, spread), scale_m)

    def _pattern(
        self, texture: Texture, colour: Colour, second: Colour, scale_m: Range
    ) -> Material:
        return Material(
            colour,
            second,
            texture,
            self.between(*scale_m),
            roughness=self.between(0.1, 0.6),
            gloss=self.between(0, 0.4) if self.chance(0.3) else 0.0,
        )


def _linear(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return red**2.2, green**2.2, blue**2.2


def draw_of(seed: int, kind: str) -> Draw:
    """Return the draws of a scene: another seed, or another kind, gives others."""
    return Draw(np.random.default_rng((seed, zlib.crc32(kind.encode()))))
