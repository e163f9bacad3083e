"""Where things go: free floor, lanes that stay clear, walls, and what lies on surfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from depth_anything_ros.sim.assembly import Assembly, Surface, placed
from depth_anything_ros.sim.furniture import Maker
from depth_anything_ros.sim.palette import Draw
from depth_anything_ros.sim.scene import (
    Colour,
    Light,
    Material,
    Primitive,
    Scene,
    Shape,
    Sky,
    Vector,
)

Box = tuple[Vector, Vector]
# A robot of 0.8 m in a lane has 0.15 m left on each side.
LANE_HALF_M = 0.55
# From the middle of a lane to a wall: shelves and curtains reach 0.28 m out of it.
WALL_GAP_M = 0.72
_TRIES = 12
_ANY: Vector = (1.0, 1.0, 1.0)  # the size of what has none


@dataclass(frozen=True)
class Footprint:
    """An upright rectangle on the floor, in metres, and how high it is taken."""

    x: float
    y: float
    half_x: float
    half_y: float
    height: float = 10.0

    def meets(self, other: Footprint, gap: float = 0.0) -> bool:
        """Return whether two rectangles are nearer than a gap on both axes."""
        return (
            abs(self.x - other.x) < self.half_x + other.half_x + gap
            and abs(self.y - other.y) < self.half_y + other.half_y + gap
        )


@dataclass
class Plot:
    """A rectangle of floor about the origin that things are put on.

    Attributes:
        draw: of the scene.
        half: half lengths in x and y, in metres.
        limit: most surfaces in all.
        surfaces: of what was put down.
        things: how many objects that is.
        taken: footprints of what stands here.
        lanes: rectangles that stay clear.
    """

    draw: Draw
    half: tuple[float, float]
    limit: int = 110
    surfaces: list[Primitive] = field(default_factory=list)
    things: int = 0
    taken: list[Footprint] = field(default_factory=list)
    lanes: list[Footprint] = field(default_factory=list)

    def has_room_for(self, parts: int) -> bool:
        """Return whether this many surfaces may still be added."""
        return len(self.surfaces) + parts <= self.limit

    def shell(self, shape: Shape, material: Material, size: Vector = _ANY, z: float = 0.0) -> None:
        """Add a surface without end, or one around everything, as an object of its own."""
        self._place([Primitive(shape, size, (0, 0, z), material=material)], (0, 0, 0), 0.0)

    def add(
        self, thing: Assembly, x: float = 0.0, y: float = 0.0, yaw: float = 0.0, z: float = 0.0
    ) -> bool:
        """Add a thing as an object of its own, whatever stands there, if there is budget."""
        if not self.has_room_for(len(thing.parts)):
            return False
        self._place(thing.parts, (x, y, z), yaw)
        return True

    def _place(self, parts: Sequence[Primitive], position: Vector, yaw: float) -> None:
        """Add an object of parts in a frame of its own, turned and moved."""
        self.things += 1
        self.surfaces += placed(parts, position, yaw, self.things, len(self.surfaces))

    def put(
        self,
        thing: Assembly,
        x: float,
        y: float,
        yaw: float = 0.0,
        gap: float = 0.04,
        z: float = 0.0,
    ) -> bool:
        """Add a thing and take its floor, if that is free and on the plot."""
        spot = Footprint(x, y, *thing.half(yaw), thing.height)
        inside = abs(x) + spot.half_x <= self.half[0] and abs(y) + spot.half_y <= self.half[1]
        clear = not any(spot.meets(other, gap) for other in self.taken)
        clear = clear and not any(spot.meets(lane) for lane in self.lanes)
        if not (inside and clear and self.add(thing, x, y, yaw, z)):
            return False
        self.taken.append(spot)
        return True

    def against_wall(self, thing: Assembly) -> tuple[float, float, float] | None:
        """Put a thing with its back to a wall; return x, y and yaw, or None if none is free."""
        half = thing.half()
        for _ in range(_TRIES):
            wall = self.draw.count(0, 3)
            across, along = self.wall(wall)
            room = along - half[0]
            if room <= 0:
                continue
            at = self.draw.between(-room, room)
            x, y, yaw = on_wall(wall, at, across - half[1] - 0.03)
            if self.put(thing, x, y, yaw):
                return x, y, yaw
        return None

    def anywhere(self, thing: Assembly, turned: bool = True) -> tuple[float, float, float] | None:
        """Put a thing on free floor; return x, y and yaw, or None if there is none."""
        for _ in range(_TRIES):
            yaw = self.draw.between(-math.pi, math.pi)
            if not turned or self.draw.chance(0.5):
                yaw = round(yaw / (math.pi / 2)) * math.pi / 2
            half = thing.half(yaw)
            room = (self.half[0] - half[0], self.half[1] - half[1])
            if min(room) <= 0:
                return None
            x, y = self.draw.between(-room[0], room[0]), self.draw.between(-room[1], room[1])
            if self.put(thing, x, y, yaw):
                return x, y, yaw
        return None

    def wall(self, wall: int) -> tuple[float, float]:
        """Return the distance of a wall (0 is +y, then to the left) and half its length."""
        return (self.half[1], self.half[0]) if wall % 2 == 0 else self.half

    def hang(self, thing: Assembly, wall: int, along: float, z: float = 0.0) -> bool:
        """Hang a thing on a wall."""
        x, y, yaw = on_wall(wall, along, self.wall(wall)[0])
        return self.add(thing, x, y, yaw, z)

    def scatter(
        self,
        surface: Surface,
        pose: tuple[float, float, float],
        things: Sequence[Maker],
        count: int,
        z: float = 0.0,
    ) -> None:
        """Put small things on a surface of something that stands at pose (x, y, yaw)."""
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        laid: list[Footprint] = []
        for _ in range(count):
            thing = self.draw.pick(things)(self.draw)
            half = thing.half()
            room = (surface.half_x - half[0], surface.half_y - half[1])
            u = surface.centre[0] + self.draw.between(-1, 1) * max(room[0], 0.0)
            v = surface.centre[1] + self.draw.between(-1, 1) * max(room[1], 0.0)
            spot = Footprint(u, v, *half)
            if min(room) < -0.1 or any(spot.meets(other, 0.01) for other in laid):
                continue
            turn = yaw + (self.draw.between(-0.4, 0.4) if self.draw.chance(0.6) else 0.0)
            at = (x + c * u - s * v, y + s * u + c * v)
            if self.add(thing, *at, turn, z + surface.centre[2]):
                laid.append(spot)

    def lane(self, points: Sequence[tuple[float, float]]) -> tuple[Vector, ...]:
        """Keep a polyline of axis-parallel legs clear; return it on the floor."""
        for (x0, y0), (x1, y1) in pairwise(points):
            half_x = abs(x1 - x0) / 2 + LANE_HALF_M
            half_y = abs(y1 - y0) / 2 + LANE_HALF_M
            self.lanes.append(Footprint((x0 + x1) / 2, (y0 + y1) / 2, half_x, half_y))
        return tuple((x, y, 0.0) for x, y in points)

    def lane_along(self, y: float) -> tuple[Vector, ...]:
        """Keep a lane along x clear, from wall to wall."""
        reach = self.half[0] - WALL_GAP_M
        return self.lane([(-reach, y), (reach, y)])

    def stands(self, ceiling: float, tries: int = 14) -> tuple[Box, ...]:
        """Return boxes in free space: robots' heights, hands' heights, and above low things."""
        top = min(1.9, ceiling - 0.4)
        boxes: list[Box] = []
        for lane in self.lanes:
            half_x, half_y = lane.half_x - 0.25, lane.half_y - 0.25
            boxes.append(_box(lane.x, lane.y, half_x, half_y, 0.2, 1.0))
            boxes.append(_box(lane.x, lane.y, half_x, half_y, 1.1, top))
        for _ in range(tries):
            room_x, room_y = max(self.half[0] - 0.5, 0.0), max(self.half[1] - 0.5, 0.0)
            x, y = self.draw.between(-room_x, room_x), self.draw.between(-room_y, room_y)
            spot = Footprint(x, y, 0.2, 0.2)
            below = [other.height for other in self.taken if spot.meets(other, 0.25)]
            low = max(0.3, max(below, default=0.0) + 0.35)
            if low < top - 0.2:
                boxes.append(_box(x, y, 0.2, 0.2, max(low, 1.0 if below else low), top))
        return tuple(boxes)

    def viewpoints(self, ceiling: float) -> tuple[tuple[Box, ...], tuple[float, float]]:
        """Return boxes for a camera, and its pitch: one that a hand holds, or one of a robot.

        Hands hold it at 1.0-1.7 m and look up by 10° or down by as much as 45°.
        """
        boxes = self.stands(ceiling)
        held = self.draw.chance(0.6)
        low, top = (1.0, 1.7) if held else (0.2, 1.2)
        cut = [
            ((x0, y0, max(z0, low)), (x1, y1, min(z1, top)))
            for (x0, y0, z0), (x1, y1, z1) in boxes
            if min(z1, top) > max(z0, low) + 0.1
        ]
        return tuple(cut) or boxes, (-0.17, 0.79) if held else (-0.15, 0.35)

    def scene(
        self,
        kind: str,
        seed: int,
        lights: tuple[Light, ...],
        ambient: Colour,
        stand: tuple[Box, ...],
        path: tuple[Vector, ...],
        gaze: float | None = None,
        pitch: tuple[float, float] = (-0.15, 0.35),
        sky: Sky | None = None,
        haze: float = 0.0,
    ) -> Scene:
        """Return a scene of what was put down; see ``Scene`` for the rest."""
        surfaces = tuple(self.surfaces)
        return Scene(kind, seed, surfaces, lights, ambient, sky, haze, stand, path, gaze, pitch)


def on_wall(wall: int, along: float, across: float) -> tuple[float, float, float]:
    """Return x, y and yaw of a place at a wall, whose back is then towards it.

    Args:
        wall: 0 at +y, 1 at -x, 2 at -y, 3 at +x.
        along: from the middle of the wall, in metres.
        across: from the origin towards the wall, in metres.
    """
    yaw = (0.0, math.pi / 2, math.pi, -math.pi / 2)[wall]
    x, y = ((along, across), (-across, along), (-along, -across), (across, -along))[wall]
    return x, y, yaw


def _box(x: float, y: float, half_x: float, half_y: float, low: float, top: float) -> Box:
    return (x - half_x, y - half_y, low), (x + half_x, y + half_y, top)
