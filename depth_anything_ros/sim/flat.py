"""Flats and floors of small rooms: walls with doorways, and what is seen through them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from depth_anything_ros.sim import clutter, furniture
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.fittings import at_eye
from depth_anything_ros.sim.indoor import lay
from depth_anything_ros.sim.interior import ambient, furnish_walls, lamps, shell
from depth_anything_ros.sim.layout import LANE_HALF_M, WALL_GAP_M, Footprint, Plot
from depth_anything_ros.sim.palette import Draw, draw_of
from depth_anything_ros.sim.scene import Material, Scene

# From a partition to what stands against it, in metres.
_GAP = 0.06
_LEAST_M = 0.05  # of a piece of wall


@dataclass(frozen=True)
class Partition:
    """A straight wall within a plot that has a doorway, seen along its length.

    Attributes:
        at: x and y of the middle of the doorway.
        yaw: of its length, counter-clockwise from x.
        left: metres of wall before the doorway.
        right: metres of wall behind it.
        doorway: width of the doorway, in metres.
        thickness: in metres.
    """

    at: tuple[float, float]
    yaw: float
    left: float
    right: float
    doorway: float
    thickness: float

    @property
    def pieces(self) -> list[tuple[float, float]]:
        """Return the start and the end of each piece of wall, from the doorway's middle."""
        half = self.doorway / 2
        ends = ((-half - self.left, -half), (half, half + self.right))
        return [(start, end) for start, end in ends if end - start > _LEAST_M]

    def place(self, along: float, across: float) -> tuple[float, float]:
        """Return x and y of a place along the wall and beside it."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.at[0] + c * along - s * across, self.at[1] + s * along + c * across

    def beside(
        self, along: float, side: float, half_depth: float = 0.0, gap: float = 0.0
    ) -> tuple[float, float, float]:
        """Return x, y and yaw of what has its back to a side of the wall (-1 or 1), a gap away."""
        at = self.place(along, side * (self.thickness / 2 + half_depth + gap))
        return *at, self.yaw + (0.0 if side < 0 else math.pi)


def flat(seed: int) -> Scene:
    """Build a flat, 5-14 m long, of two to five rooms that open into each other."""
    draw = draw_of(seed, "flat")
    height = draw.between(2.4, 3.2)
    plot = Plot(draw, (draw.between(2.6, 7.0), draw.between(2.0, 4.5)), limit=195)
    sky, sun = shell(plot, height, 0.2)
    light = lamps(plot, height, draw.count(2, 3))
    lane_y = draw.between(-0.8, 0.8) * (plot.half[1] - WALL_GAP_M)
    path = plot.lane_along(lane_y)
    walls = _partitions(plot, lane_y)
    material, is_low = draw.wall(), draw.chance(0.12)
    for wall in walls:
        _build(plot, wall, draw.between(0.9, 1.3) if is_low else height, material)
    furnish_walls(plot, height, draw.count(1, 4))
    for _ in range(draw.count(0, 2)):  # pillars and pipes
        plot.anywhere(Assembly().rod(draw.between(0.02, 0.2), height, (0, 0, 0), draw.wall()))
    for _ in range(draw.count(8, 22)):
        makers, things = draw.pick(_ROOMS)
        thing = draw.pick(makers)(draw)
        pose = _somewhere(plot, thing, walls)
        if pose:
            lay(plot, thing, pose, things)
    for _ in range(draw.count(0, 8)):
        plot.anywhere(draw.pick((*clutter.SMALL, *clutter.FLOOR, furniture.chair))(draw))
    stand, pitch = plot.viewpoints(height)
    lights, air = (*sun, *light), ambient(plot)
    return plot.scene("flat", seed, lights, air, stand, path, pitch=pitch, sky=sky)


def _partitions(plot: Plot, lane_y: float) -> list[Partition]:
    """Draw one or two walls across the lane, with doorways in it, and up to two along it."""
    draw, (half_x, half_y) = plot.draw, plot.half
    cuts = [draw.between(-0.5, 0.5) * half_x]
    other = draw.between(-0.8, 0.8) * half_x
    if abs(other - cuts[0]) > 1.8 and draw.chance(0.6):
        cuts.append(other)
    walls = []
    for x in cuts:
        doorway = _doorway(draw)
        left = lane_y + half_y - doorway / 2
        right = half_y - lane_y - doorway / 2
        thickness = draw.between(0.06, 0.25)
        walls.append(Partition((x, lane_y), math.pi / 2, left, right, doorway, thickness))
    for side in (-1, 1):
        room = half_y - side * lane_y - LANE_HALF_M  # from the lane to the wall
        if room < 1.4 or draw.chance(0.4):
            continue
        y = lane_y + side * (LANE_HALF_M + draw.between(0.15, room - 1.0))
        start, end = sorted((cuts[0], draw.sign() * half_x))
        doorway = _doorway(draw)
        left = draw.between(0.05, 0.95) * (end - start - doorway)
        if left > 0:
            middle, right = start + left + doorway / 2, end - start - doorway - left
            walls.append(Partition((middle, y), 0.0, left, right, doorway, 0.12))
    return walls


def _doorway(draw: Draw) -> float:
    return draw.between(0.9, 1.1) if draw.chance(0.5) else draw.between(1.1, 2.6)


def _build(plot: Plot, wall: Partition, height: float, material: Material) -> None:
    """Add a partition with its lintel, its frame, an open door and pictures."""
    draw, (x, y) = plot.draw, wall.at
    is_full = height > 2.0
    top = draw.between(2.0, 2.2) if is_full and draw.chance(0.7) else height
    thing = Assembly()
    for start, end in wall.pieces:
        thing.box((end - start, wall.thickness, height), ((start + end) / 2, 0, 0), material)
        u, v = wall.place((start + end) / 2, 0.0)
        half = ((end - start) / 2, wall.thickness / 2)
        half = half if wall.yaw == 0.0 else (half[1], half[0])
        plot.taken.append(Footprint(u, v, *half, height))
    if top < height:
        thing.box((wall.doorway, wall.thickness, height - top), (0, 0, top), material)
        if draw.chance(0.7):
            trim, side = draw.paint() if draw.chance(0.5) else draw.wood(), wall.doorway / 2
            size = (0.07, wall.thickness + 0.03, top)
            thing.box(size, (side + 0.03, 0, 0), trim, both="x")
            thing.box((wall.doorway + 0.2, wall.thickness + 0.03, 0.07), (0, 0, top), trim)
    plot.add(thing, x, y, wall.yaw)
    # One beside the lane would open into it.
    if wall.yaw and wall.doorway < 1.1 and is_full and draw.chance(0.5):
        _open_door(plot, wall, min(top, 2.1) - 0.02)
    if is_full:
        _hang(plot, wall)


def _hang(plot: Plot, wall: Partition) -> None:
    """Hang pictures on both sides of a wall, where they have room."""
    draw = plot.draw
    for side in (-1, 1):
        for start, end in wall.pieces:
            thing = at_eye(draw)
            if draw.chance(0.5) and thing.half()[0] < (end - start) / 2:
                pose = wall.beside((start + end) / 2, side)
                plot.add(thing, *pose, draw.between(1.05, 1.5))


def _open_door(plot: Plot, wall: Partition, height: float) -> None:
    """Hang a door at one side of the doorway, wide open."""
    draw = plot.draw
    hinge, side = draw.sign(), draw.sign()
    leaf = Assembly()
    skin = draw.wood() if draw.chance(0.5) else draw.paint()
    leaf.box((wall.doorway - 0.04, 0.04, height), (wall.doorway / 2, 0, 0), skin)
    leaf.box((0.12, 0.14, 0.025), (wall.doorway - 0.12, 0, 1.03), draw.metal())
    at = wall.place(hinge * wall.doorway / 2, side * wall.thickness / 2)
    swing = draw.between(1.58, 2.2)  # from the doorway's middle on
    turn = wall.yaw + (swing if side > 0 else -swing)
    plot.add(leaf, *at, turn if hinge < 0 else 2 * wall.yaw + math.pi - turn)


def _somewhere(
    plot: Plot, thing: Assembly, walls: list[Partition]
) -> tuple[float, float, float] | None:
    """Put a thing against a wall of the shell or of the rooms, or on free floor."""
    draw = plot.draw
    if not draw.chance(0.45):
        return plot.against_wall(thing) if draw.chance(0.7) else plot.anywhere(thing)
    half = thing.half()
    for _ in range(6):
        wall, side = draw.pick(walls), draw.sign()
        start, end = draw.pick(wall.pieces or [(0.0, 0.0)])
        if end - start < 2 * half[0]:
            continue
        along = draw.between(start + half[0], end - half[0])
        pose = wall.beside(along, side, half[1], _GAP)
        if plot.put(thing, *pose):
            return pose
    return None


_ROOMS = (
    (furniture.LIVING, clutter.SMALL),
    (furniture.BEDROOM, clutter.SMALL),
    (furniture.KITCHEN, clutter.KITCHEN),
    (furniture.OFFICE, clutter.OFFICE),
    (furniture.STORAGE, clutter.STORE),
)
