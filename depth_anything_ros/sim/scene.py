"""What a scene is made of: shapes, materials, lights and a sky, as plain values.

The world frame is REP 103's: x forward, y left, z up, in metres. A scene is a list of values and
knows nothing of torch; ``sim.geometry`` turns it into tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]
Rotation = tuple[Vector, Vector, Vector]
_UPRIGHT: Rotation = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class Shape(IntEnum):
    """The kinds of surface; the size of each is given in its own frame.

    BOX: half lengths. SPHERE: (radius, -, -). CYLINDER: (radius, -, half height), around z, with
    caps. CONE: the same, its tip at +half height. ROOM: half lengths of a box seen from within.
    PLANE: z = 0, without end. HEIGHT_FIELD: (amplitude, wave length, -): see
    ``shapes.height_at``.
    """

    BOX = 0
    SPHERE = 1
    CYLINDER = 2
    CONE = 3
    ROOM = 4
    PLANE = 5
    HEIGHT_FIELD = 6


class Texture(IntEnum):
    """The pattern of a surface, in metres of the surface itself."""

    PLAIN = 0
    NOISE = 1
    BRICKS = 2
    TILES = 3
    STRIPES = 4
    WOOD = 5
    TEXT = 6
    CHECKER = 7
    WINDOWS = 8
    FOLIAGE = 9
    LABELS = 10


class Finish(IntEnum):
    """What light does at a surface. Depth is the surface's own whatever it is."""

    MATTE = 0
    MIRROR = 1
    GLASS = 2


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        colour: linear albedo (red, green, blue) in 0-1.
        second: the other colour of the pattern.
        texture: the pattern.
        scale_m: length of one period of the pattern (a brick, a tile, a board), in metres.
        roughness: strength of the fine noise over everything, 0-1.
        gloss: strength of the highlight, 0-1.
        glow: light that the surface gives by itself, times its colour.
        finish: matte, mirror or glass.
    """

    colour: Colour = (0.5, 0.5, 0.5)
    second: Colour = (0.3, 0.3, 0.3)
    texture: Texture = Texture.PLAIN
    scale_m: float = 0.5
    roughness: float = 0.3
    gloss: float = 0.0
    glow: float = 0.0
    finish: Finish = Finish.MATTE


@dataclass(frozen=True)
class Primitive:
    """One surface in the world.

    Attributes:
        shape: of which ``size`` is the size.
        size: in metres, as Shape says.
        position: of its centre in the world, in metres.
        rotation: rows of the matrix that takes its own axes to the world's.
        material: how it looks.
        instance: number of the object that it is part of, 1 or more.
        seed: of its pattern.
    """

    shape: Shape
    size: Vector
    position: Vector = (0.0, 0.0, 0.0)
    rotation: Rotation = _UPRIGHT
    material: Material = Material()
    instance: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Light:
    """A lamp at a point, or, with ``directional``, a sun in a direction.

    Attributes:
        position: in metres; for a sun the unit vector towards it.
        colour: linear, times intensity: what a white surface that faces it gets, from a sun
            anywhere and from a lamp at 1 m.
        directional: whether it is a sun.
    """

    position: Vector
    colour: Colour
    directional: bool = False


@dataclass(frozen=True)
class Sky:
    """What rays see that hit nothing."""

    zenith: Colour = (0.25, 0.45, 0.85)
    horizon: Colour = (0.75, 0.82, 0.9)
    cloud: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """A place, and where in it a camera may stand.

    Attributes:
        kind: name of the kind of place (``sim.places.PLACES``).
        seed: that made it.
        primitives: its surfaces; at most one HEIGHT_FIELD.
        lights: at most 4, of which the first two cast shadows.
        ambient: linear light from everywhere.
        sky: None under a roof.
        haze: share of light that 1 m of air takes away, towards the colour of the horizon.
        stand: boxes (lower corner, upper corner) in the world in which a camera may be, in
            metres.
        path: points (x, y, z) along which a robot may drive; its z is the ground.
        gaze: heading in radians that a camera in here looks along, or None for any.
        pitch: range of how far a camera looks down, in radians; negative is up.
    """

    kind: str
    seed: int
    primitives: tuple[Primitive, ...]
    lights: tuple[Light, ...]
    ambient: Colour = (0.3, 0.3, 0.3)
    sky: Sky | None = None
    haze: float = 0.0
    stand: tuple[tuple[Vector, Vector], ...] = (((-1.0, -1.0, 0.3), (1.0, 1.0, 1.8)),)
    path: tuple[Vector, ...] = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    gaze: float | None = None
    pitch: tuple[float, float] = (-0.15, 0.35)


def rotation_of(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Rotation:
    """Return the rotation of roll about x, then pitch about y, then yaw about z, in radians."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )
