"""Places under a roof: rooms, offices, kitchens, corridors, desks, and shelves from near by."""

from __future__ import annotations

import math
from collections.abc import Sequence

from depth_anything_ros.sim import clutter, furniture
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.fittings import at_eye, door, extinguisher, radiator
from depth_anything_ros.sim.furniture import Maker
from depth_anything_ros.sim.interior import (
    ambient,
    closed_shell,
    furnish_walls,
    lamps,
    shell,
)
from depth_anything_ros.sim.layout import WALL_GAP_M, Box, Footprint, Plot
from depth_anything_ros.sim.palette import Draw, draw_of
from depth_anything_ros.sim.scene import Scene, Vector


def room(seed: int) -> Scene:
    """Build a living room, a bedroom or a store room, 2.2-9 m long."""
    draw = draw_of(seed, "room")
    makers = draw.pick((furniture.LIVING, furniture.BEDROOM, furniture.STORAGE), (5, 3, 1.5))
    size = (draw.between(2.6, 9.0), draw.between(2.2, 6.0))
    return _furnished("room", seed, draw, size, makers, clutter.SMALL)


def office(seed: int) -> Scene:
    """Build an office or a classroom, 3-12 m long, with desks and screens."""
    draw = draw_of(seed, "office")
    size = (draw.between(3.5, 12.0), draw.between(3.0, 8.0))
    return _furnished("office", seed, draw, size, furniture.OFFICE, clutter.OFFICE)


def kitchen(seed: int) -> Scene:
    """Build a kitchen, 2.4-5 m long, with counters, a stove, a fridge and a table."""
    draw = draw_of(seed, "kitchen")
    size = (draw.between(2.8, 5.5), draw.between(2.4, 4.5))
    return _furnished("kitchen", seed, draw, size, furniture.KITCHEN, clutter.KITCHEN)


def _furnished(
    kind: str,
    seed: int,
    draw: Draw,
    size: tuple[float, float],
    makers: Sequence[Maker],
    things: Sequence[Maker],
) -> Scene:
    height = draw.between(2.4, 3.2) if draw.chance(0.9) else draw.between(3.2, 4.5)
    plot = Plot(draw, (size[0] / 2, size[1] / 2), limit=195)
    sky, sun = shell(plot, height, 0.2)
    light = lamps(plot, height, draw.count(1, 3))
    path = plot.lane(room_lane(plot))
    _rug(plot)
    furnish_walls(plot, height, draw.count(1, 6))
    if draw.chance(0.4):
        _dining(plot)
    for _ in range(draw.count(8, 13 + int(size[0] * size[1] / 2.5))):
        thing = draw.pick(makers)(draw)
        pose = plot.against_wall(thing) if draw.chance(0.75) else plot.anywhere(thing)
        if pose:
            lay(plot, thing, pose, things)
    for _ in range(draw.count(0, 9)):
        plot.anywhere(draw.pick((*things, *clutter.FLOOR, furniture.bin_))(draw))
    stand, pitch = plot.viewpoints(height)
    lights, air = (*sun, *light), ambient(plot)
    return plot.scene(kind, seed, lights, air, stand, path, pitch=pitch, sky=sky)


def room_lane(plot: Plot) -> list[tuple[float, float]]:
    """Draw the way of a robot: along the room, and around a corner in short and in wide ones."""
    x, y = plot.half[0] - WALL_GAP_M, plot.half[1] - WALL_GAP_M
    offset = plot.draw.between(-y, y)
    points = [(-x, offset), (x, offset)]
    if 2 * x < 3.0 or (y > 1.2 and plot.draw.chance(0.5)):
        end = y * plot.draw.sign()
        if abs(end - offset) > 0.4:
            points.append((x, end))
    return points


def lay(
    plot: Plot, thing: Assembly, pose: tuple[float, float, float], things: Sequence[Maker]
) -> None:
    """Put small things on the surfaces of what stands at a pose, fewer on smaller ones."""
    for surface in thing.surfaces:
        area = 4 * surface.half_x * surface.half_y
        plot.scatter(surface, pose, things, plot.draw.count(0, 2 + min(6, int(area * 7))))


def _rug(plot: Plot) -> None:
    draw = plot.draw
    if draw.chance(0.4):
        x, y = (draw.between(0.5, 0.6) * half for half in plot.half)
        rug = Assembly().box((2 * x, 2 * y, 0.01), (0, 0, 0), draw.fabric())
        plot.add(rug, *(draw.between(-0.4, 0.4) * half for half in plot.half))


def _dining(plot: Plot) -> None:
    """Put a table with chairs around it, half under it."""
    draw = plot.draw
    table = draw.pick((furniture.table, furniture.round_table))(draw)
    pose = plot.anywhere(table, turned=False)
    if pose is None:
        return
    lay(plot, table, pose, clutter.KITCHEN)
    x, y, yaw = pose
    half = table.half()
    chair = furniture.chair(draw)
    for side, (u, v) in enumerate(((0, half[1]), (-half[0], 0), (0, -half[1]), (half[0], 0))):
        if draw.chance(0.6):
            at = (u * 1.1, v * 1.1)
            c, s = math.cos(yaw), math.sin(yaw)
            turn = yaw + side * math.pi / 2 + draw.between(-0.2, 0.2)
            plot.put(chair, x + c * at[0] - s * at[1], y + s * at[0] + c * at[1], turn, gap=-0.3)


def corridor(seed: int) -> Scene:
    """Build a corridor, 1.4-3 m wide and 7-30 m long, that is seen along."""
    draw = draw_of(seed, "corridor")
    length, width = draw.between(7, 30), draw.between(1.4, 3.0)
    height = draw.between(2.3, 3.2)
    plot = Plot(draw, (length / 2, width / 2), limit=120)
    closed_shell(plot, height)
    fixtures = lamps(plot, height, draw.count(2, 6))
    reach = length / 2 - 1.0
    path = plot.lane([(-reach, 0.0), (reach, 0.0)])
    _overhead(plot, height)
    _sides(plot)
    makers = (furniture.bin_, furniture.cabinet, furniture.chair, furniture.house_plant)
    for _ in range(draw.count(0, 6)):
        plot.against_wall(draw.pick((*makers, clutter.carton, furniture.bookshelf))(draw))
    forward = draw.chance(0.5)
    low, high = (-reach, reach * 0.4) if forward else (-reach * 0.4, reach)
    side = width / 2 - 0.4
    side = 0.2 if draw.chance(0.5) else side
    stand: tuple[Box, ...] = tuple(
        ((low, -side, z0), (high, side, z1)) for z0, z1 in ((0.2, 1.0), (1.0, 1.9))
    )
    lights = fixtures[:: max(1, math.ceil(len(fixtures) / 4))][:4]
    gaze = 0.0 if forward else math.pi
    return plot.scene("corridor", seed, lights, ambient(plot, 0.2, 0.5), stand, path, gaze)


def _overhead(plot: Plot, height: float) -> None:
    """Add pipes, a cable tray and hung signs under the ceiling."""
    draw, reach = plot.draw, plot.half[0]
    if draw.chance(0.4):
        pipes, metal = Assembly(), draw.metal()
        for k in range(draw.count(1, 4)):
            y, radius = plot.half[1] - 0.12 - 0.13 * k, draw.between(0.015, 0.06)
            pipes.bar((-reach, y, height - 0.15), (reach, y, height - 0.15), radius, metal)
        plot.add(pipes)
    for _ in range(draw.count(0, 3)):
        sign, low = Assembly(), height - 0.3
        sign.box((0.02, draw.between(0.3, 0.8), 0.2), (0, 0, low), draw.print((0.2, 0.4)))
        sign.rod(0.006, 0.1, (0, 0, low + 0.2), draw.metal())
        plot.add(sign, draw.between(-0.9, 0.9) * reach, 0)
    if draw.chance(0.25):
        ribs, material = Assembly(), draw.paint()
        for k in range(6):
            x = reach * (k / 3 - 0.83)
            ribs.box((0.25, 2 * plot.half[1], 0.15), (x, 0, height - 0.15), material)
        plot.add(ribs)


def _sides(plot: Plot) -> None:
    """Add doors, pictures, radiators and pilasters along both walls, and doors at the ends."""
    draw = plot.draw
    entrance, gap = door(draw), draw.between(2.0, 5.0)
    for wall in (0, 2):
        along = -plot.half[0] + draw.between(0.7, 2.0)
        while along < plot.half[0] - 0.8:
            thing = entrance if draw.chance(0.6) else door(draw)
            plot.hang(thing, wall, along)
            x = along if wall == 0 else -along
            spot = Footprint(x, plot.half[1] * (1 - wall), 0.5, 0.3)
            plot.taken.append(spot)
            if draw.chance(0.5):
                plot.hang(at_eye(draw), wall, along + gap / 2, 1.2)
            elif draw.chance(0.3):
                thing = draw.pick((radiator, extinguisher))(draw)
                plot.hang(thing, wall, along + gap / 2, 0.1)
            along += gap * draw.between(0.9, 1.4)
    for wall in (1, 3):
        if draw.chance(0.7):
            plot.hang(door(draw), wall, 0.0)


def desk(seed: int) -> Scene:
    """Build a room with a desk full of things, seen from 0.4-1.5 m."""
    draw = draw_of(seed, "desk")
    size, height = (draw.between(2.8, 6.0), draw.between(3.0, 6.0)), draw.between(2.4, 3.0)
    plot = Plot(draw, (size[0] / 2, size[1] / 2), limit=195)
    sky, sun = shell(plot, height, 0.1)
    light = lamps(plot, height, draw.count(1, 3))
    path = plot.lane_along(-plot.half[1] + WALL_GAP_M)
    furnish_walls(plot, height, draw.count(1, 3))
    thing = draw.pick((furniture.table, furniture.desk))(draw)
    half = thing.half()
    back = plot.half[1] - half[1] - 0.03
    # At the wall, or in the room with depth behind it.
    at = back if draw.chance(0.5) else draw.between(0.1, 0.8) * back
    x = draw.between(-0.5, 0.5) * (plot.half[0] - half[0])
    plot.put(thing, x, at)
    _crowd(plot, thing, (x, at, 0.0))
    if draw.chance(0.5):
        chair = draw.pick((furniture.chair, furniture.office_chair))(draw)
        plot.put(chair, x + draw.between(-0.5, 0.5), at - half[1] - 0.35, math.pi, gap=-0.2)
    makers = (*furniture.OFFICE, *furniture.LIVING)
    for _ in range(draw.count(3, 8)):
        plot.against_wall(draw.pick(makers)(draw))
    edge = at - half[1]
    stand = (
        ((x - 0.5, edge - 0.25, 0.95), (x + 0.5, edge + 0.05, 1.4)),
        ((x - 0.5, edge - 0.8, 0.95), (x + 0.5, edge - 0.2, 1.6)),
    )
    lights, gaze = (*sun, *light), math.pi / 2
    return plot.scene("desk", seed, lights, ambient(plot), stand, path, gaze, (0.1, 0.9), sky)


def _crowd(plot: Plot, thing: Assembly, pose: tuple[float, float, float]) -> None:
    things = plot.draw.pick((clutter.OFFICE, clutter.SMALL, clutter.KITCHEN), (3, 3, 1))
    for surface in thing.surfaces:
        plot.scatter(surface, pose, things, plot.draw.count(2, 8))
        plot.scatter(surface, pose, clutter.SMALL, plot.draw.count(2, 14))


def shelf_bin(seed: int) -> Scene:
    """Build a shelf of goods, or an open bin full of them, seen from 0.3-1 m."""
    draw = draw_of(seed, "shelf_bin")
    size, height = (draw.between(2.5, 5.0), draw.between(2.8, 5.0)), draw.between(2.4, 4.0)
    plot = Plot(draw, (size[0] / 2, size[1] / 2), limit=150)
    closed_shell(plot, height)
    light = lamps(plot, height, draw.count(1, 3))
    path = plot.lane_along(-plot.half[1] + WALL_GAP_M)
    stand, pitch = (_shelf if draw.chance(0.55) else _bin)(plot)
    for _ in range(draw.count(1, 4)):
        plot.against_wall(draw.pick(furniture.STORAGE)(draw))
    air = ambient(plot, 0.2, 0.45)
    return plot.scene("shelf_bin", seed, light, air, stand, path, math.pi / 2, pitch)


Spot = tuple[tuple[tuple[Vector, Vector], ...], tuple[float, float]]


def _shelf(plot: Plot) -> Spot:
    draw = plot.draw
    x, edge = 0.0, 0.0
    for k in (-1, 0, 1):
        shelf = furniture.shelf_rack(draw)
        half = shelf.half()
        at = (k * 1.45, plot.half[1] - half[1] - 0.03)
        if plot.put(shelf, *at, gap=0.0):
            x, edge = (0.0 if k == 0 else x), plot.half[1] - 2 * half[1]
            goods = draw.pick((clutter.STORE, clutter.SMALL, clutter.KITCHEN))
            for surface in shelf.surfaces:
                plot.scatter(surface, (*at, 0.0), goods, draw.count(4, 11))
    stand = (((x - 0.7, edge - 1.1, 0.3), (x + 0.7, edge - 0.3, 1.8)),)
    return stand, (-0.3, 0.5)


def _bin(plot: Plot) -> Spot:
    """Put an open box with goods on a table or on the floor."""
    draw = plot.draw
    raised = draw.chance(0.6)
    y = plot.half[1] - 0.7
    z = 0.0
    if raised:
        table = furniture.table(draw, draw.between(1.2, 1.8), draw.between(0.7, 0.9))
        plot.put(table, 0, y)
        z = table.surfaces[0].centre[2]
    wide, deep, high = draw.between(0.35, 0.8), draw.between(0.3, 0.6), draw.between(0.12, 0.4)
    tray, paint = Assembly(), draw.surface()
    tray.box((wide, deep, 0.01), (0, 0, 0), paint)
    tray.box((0.01, deep, high), (wide / 2, 0, 0), paint, both="x")
    tray.box((wide, 0.01, high), (0, deep / 2, 0), paint, both="y")
    tray.surface((0, 0, 0.01), wide * 0.47, deep * 0.45)
    plot.add(tray, 0, y, z=z)
    for level in range(draw.count(1, 3)):
        plot.scatter(tray.surfaces[0], (0, y, 0), clutter.STORE[1:], 9, z=z + 0.05 * level)
    stand = (((-0.4, y - 0.7, z + high + 0.3), (0.4, y - 0.1, z + high + 0.9)),)
    return stand, (0.5, 1.3)
