"""Things made of several surfaces, in a frame of their own: the floor is z = 0, the front -y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from depth_anything_ros.sim.scene import Material, Primitive, Rotation, Shape, Vector, rotation_of


@dataclass(frozen=True)
class Surface:
    """A level rectangle on which things can rest, in the frame of its assembly.

    Attributes:
        centre: in metres; its z is the height of the surface.
        half_x, half_y: half lengths, in metres.
    """

    centre: Vector
    half_x: float
    half_y: float


@dataclass
class Assembly:
    """Parts of one thing, and the surfaces on which others can rest; what adds to it returns it."""

    parts: list[Primitive] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)
    _counted: int = field(default=0, repr=False)
    _far: Vector = field(default=(0.0, 0.0, -math.inf), repr=False)

    def box(
        self,
        size: Vector,
        base: Vector,
        material: Material,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        both: str = "",
    ) -> Assembly:
        """Add a box of full lengths ``size``; it is turned about its centre, above ``base``.

        ``both`` names axes, ``x``, ``y`` or ``xy``: there is one at both signs of its place there.
        """
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        for x in (-base[0], base[0]) if "x" in both else (base[0],):
            for y in (-base[1], base[1]) if "y" in both else (base[1],):
                centre = (x, y, base[2] + half[2])
                self._add(Shape.BOX, half, centre, material, (yaw, pitch, roll))
        return self

    def ball(self, radius: float, centre: Vector, material: Material) -> Assembly:
        """Add a sphere."""
        return self._add(Shape.SPHERE, (radius, radius, radius), centre, material)

    def rod(self, radius: float, height: float, base: Vector, material: Material) -> Assembly:
        """Add an upright cylinder that stands on ``base``."""
        centre = (base[0], base[1], base[2] + height / 2)
        return self._add(Shape.CYLINDER, (radius, radius, height / 2), centre, material)

    def cone(self, radius: float, height: float, base: Vector, material: Material) -> Assembly:
        """Add an upright cone that stands on ``base``."""
        centre = (base[0], base[1], base[2] + height / 2)
        return self._add(Shape.CONE, (radius, radius, height / 2), centre, material)

    def bar(self, start: Vector, end: Vector, radius: float, material: Material) -> Assembly:
        """Add a cylinder from one point to another."""
        x, y, z = (b - a for a, b in zip(start, end, strict=True))
        size = (radius, radius, math.hypot(x, y, z) / 2)
        angles = (math.atan2(y, x), math.atan2(math.hypot(x, y), z), 0.0)
        centre = (start[0] + x / 2, start[1] + y / 2, start[2] + z / 2)
        return self._add(Shape.CYLINDER, size, centre, material, angles)

    def legs(self, half_x: float, half_y: float, height: float, material: Material) -> Assembly:
        """Add four legs, square, 0.04 m thick."""
        return self.box((0.04, 0.04, height), (half_x, half_y, 0), material, both="xy")

    def surface(self, centre: Vector, half_x: float, half_y: float) -> Assembly:
        """Let things rest on a rectangle."""
        self.surfaces.append(Surface(centre, half_x, half_y))
        return self

    def half(self, yaw: float = 0.0) -> tuple[float, float]:
        """Return half lengths in x and y of the upright box around it, when turned by yaw.

        It is symmetric about the origin, so that a thing may be put down by its own centre.
        """
        x, y, _ = self._reach()
        c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
        return x * c + y * s, x * s + y * c

    @property
    def height(self) -> float:
        """Return the height of its highest point, in metres."""
        return self._reach()[2]

    def _reach(self) -> Vector:
        """Return the farthest |x| and |y| and the highest z, counted once for each part."""
        for part in self.parts[self._counted :]:
            half = extent(part)
            self._far = (
                max(self._far[0], abs(part.position[0]) + half[0]),
                max(self._far[1], abs(part.position[1]) + half[1]),
                max(self._far[2], part.position[2] + half[2]),
            )
        self._counted = len(self.parts)
        return self._far

    def _add(
        self,
        shape: Shape,
        size: Vector,
        centre: Vector,
        material: Material,
        angles: Vector = (0.0, 0.0, 0.0),
    ) -> Assembly:
        self.parts.append(Primitive(shape, size, centre, rotation_of(*angles), material))
        return self


def extent(primitive: Primitive) -> Vector:
    """Return half lengths of the upright box around a bounded surface, in metres.

    A sphere's is its radius. A cylinder with axis a has, along e, |a·e| half heights and
    sqrt(1 - (a·e)²) radii; a cone is bounded by its cylinder.
    """
    radius, _, half_height = primitive.size
    rows = primitive.rotation
    if primitive.shape is Shape.SPHERE:
        return radius, radius, radius
    if primitive.shape in (Shape.CYLINDER, Shape.CONE):
        half = [
            abs(row[2]) * half_height + math.sqrt(max(0.0, 1 - row[2] ** 2)) * radius
            for row in rows
        ]
    else:
        half = [sum(abs(row[k]) * primitive.size[k] for k in range(3)) for row in rows]
    return half[0], half[1], half[2]


def placed(
    parts: Sequence[Primitive], position: Vector, yaw: float, instance: int, first_seed: int
) -> list[Primitive]:
    """Return the parts of one object, turned by yaw and moved.

    Args:
        parts: in a frame of their own.
        position: of the origin of that frame, in metres.
        yaw: of that frame about z, in radians.
        instance: number of the object.
        first_seed: of the pattern of the first part; the next is the next one's.
    """
    turn = np.array(rotation_of(yaw))
    found = []
    for seed, part in enumerate(parts, first_seed):
        at = turn @ np.array(part.position) + np.array(position)
        rows = (turn @ np.array(part.rotation)).tolist()
        rotation: Rotation = (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))
        moved = replace(part, position=tuple(at.tolist()), rotation=rotation)
        found.append(replace(moved, instance=instance, seed=seed))
    return found
