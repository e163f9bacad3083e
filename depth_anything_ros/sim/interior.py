"""Shells of places under a roof: walls, floor, ceiling, lamps, and what hangs on them."""

from __future__ import annotations

import math

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.fittings import (
    at_eye,
    curtain,
    door,
    extinguisher,
    pipe,
    radiator,
    window,
)
from depth_anything_ros.sim.layout import Plot, on_wall
from depth_anything_ros.sim.palette import PALE
from depth_anything_ros.sim.scene import Colour, Light, Material, Shape, Sky
from depth_anything_ros.sim.vegetation import tree

# Thickness of what covers floor, walls and ceiling, in metres.
_COVER = 0.02
_SLAB = 0.2


def closed_shell(plot: Plot, height: float, floor: Material | None = None) -> None:
    """Add four walls of some materials, a floor whose top is z = 0, and a ceiling."""
    x, y = plot.half
    half = (x, y, (height + _COVER) / 2)
    plot.shell(Shape.ROOM, plot.draw.wall(), half, z=(height - _COVER) / 2)
    _floor_and_ceiling(plot, height, floor or plot.draw.floor())
    for wall in range(4):
        if plot.draw.chance(0.3):
            _cover(plot, wall, height, plot.draw.wall())
        elif plot.draw.chance(0.4):
            _skirting(plot, wall)


def _floor_and_ceiling(plot: Plot, height: float, material: Material) -> None:
    x, y = plot.half
    size = (2 * x + 0.01, 2 * y + 0.01, _COVER)
    plot.add(Assembly().box(size, (0, 0, -_COVER), material))
    kind = plot.draw.pick((0, 1, 2), (6, 2, 1))
    above = (plot.draw.paint(PALE, (0.0, 0.15)), plot.draw.tiles((0.3, 0.62)), plot.draw.wall())
    plot.add(Assembly().box(size, (0, 0, height - _COVER / 2), above[kind]))


def _cover(plot: Plot, wall: int, height: float, material: Material) -> None:
    across, along = plot.wall(wall)
    # Panels go up to the chest, paint and paper to the ceiling.
    top = plot.draw.between(0.9, 1.3) if plot.draw.chance(0.2) else height
    panel = Assembly().box((2 * along + 0.01, 0.01, top), (0, 0, 0), material)
    plot.add(panel, *on_wall(wall, 0.0, across))


def _skirting(plot: Plot, wall: int) -> None:
    across, along = plot.wall(wall)
    size = (2 * along, 0.015, plot.draw.between(0.05, 0.12))
    plot.add(
        Assembly().box(size, (0, 0, 0), plot.draw.paint()), *on_wall(wall, 0.0, across - 0.008)
    )


def shell(plot: Plot, height: float, chance: float) -> tuple[Sky | None, tuple[Light, ...]]:
    """Add walls, at a chance open to the outside; return its sky and sun, if any."""
    if plot.draw.chance(chance):
        sky, sun = open_shell(plot, height)
        return sky, (sun,)
    closed_shell(plot, height)
    return None, ()


def open_shell(plot: Plot, height: float) -> tuple[Sky, Light]:
    """Add walls of which the one at +y has a hole to the open; return its sky and sun."""
    draw, (x, y) = plot.draw, plot.half
    materials = [draw.wall()] * 4 if draw.chance(0.5) else [draw.wall() for _ in range(4)]
    for wall in (1, 2, 3):
        across, along = plot.wall(wall)
        thing = Assembly().box((2 * along + 2 * _SLAB, _SLAB, height), (0, 0, 0), materials[wall])
        plot.add(thing, *on_wall(wall, 0.0, across + _SLAB / 2))
    _wall_with_hole(plot, height, materials[0])
    size = (2 * (x + _SLAB), 2 * (y + _SLAB), 0.1)
    plot.add(Assembly().box(size, (0, 0, -0.1), draw.floor()))
    plot.add(Assembly().box(size, (0, 0, height), draw.paint(PALE)))
    below = -draw.pick((0.15, 3.0, 6.0))
    plot.shell(Shape.PLANE, draw.earth(), z=below)
    for _ in range(draw.count(1, 3)):
        plot.add(tree(draw), draw.between(-8, 8), y + draw.between(5, 25), z=below)
    azimuth, elevation = draw.between(0.5, 2.6), draw.between(0.35, 0.9)
    level = math.cos(elevation)
    towards = (level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation))
    strength = draw.between(0.8, 2.0)
    sun = Light(towards, (strength, strength * 0.95, strength * 0.85), directional=True)
    return Sky(cloud=draw.between(0, 0.9), seed=draw.count(0, 10**6)), sun


def _wall_with_hole(plot: Plot, height: float, material: Material) -> None:
    draw, (x, y) = plot.draw, plot.half
    low, top = (0.0, 2.1) if draw.chance(0.25) else (draw.between(0.7, 1.0), 2.2)
    width = min(draw.between(1.0, 3.0), 2 * x - 0.3)
    left = draw.between(-x + 0.1, x - 0.1 - width)
    wall, frame = Assembly(), Assembly()
    for start, end in ((-x - _SLAB, left), (left + width, x + _SLAB)):
        wall.box((end - start, _SLAB, height), ((start + end) / 2, 0, 0), material)
    middle = left + width / 2
    wall.box((width, _SLAB, height - top), (middle, 0, top), material)
    if low:
        wall.box((width, _SLAB, low), (middle, 0, 0), material)
    plot.add(wall, 0, y + _SLAB / 2)
    paint = draw.paint(PALE, (0.0, 0.2))
    for at in (left, middle, left + width):
        frame.box((0.06, 0.06, top - low), (at, 0, low), paint)
    if draw.chance(0.6):
        frame.box((width, 0.02, top - low), (middle, 0, low), draw.glass())
    plot.add(frame, 0, y + _SLAB / 2)


def lamps(plot: Plot, height: float, count: int) -> tuple[Light, ...]:
    """Add lamps at the ceiling, and return their light: a white floor gets about 0.3-1."""
    draw, lights = plot.draw, []
    hung = draw.between(0.3, 0.8) if height > 2.5 and draw.chance(0.3) else 0.0
    style, white = draw.count(0, 3), draw.white()
    glow = draw.glowing((0.8, 2.5))
    room_x, room_y = plot.half[0] * 0.7, plot.half[1] * 0.7
    for index in range(count):
        share = (index + 0.5) / count * 2 - 1
        x = share * room_x if count > 1 else draw.between(-0.6, 0.6) * room_x
        y = draw.between(-0.4, 0.4) * room_y
        lamp = Assembly()
        if style == 0:
            lamp.rod(draw.between(0.08, 0.25), 0.06, (0, 0, -0.06), glow)
        elif style == 1:
            lamp.box((1.2, draw.between(0.12, 0.3), 0.06), (0, 0, -0.06), glow)
        elif style == 2:
            lamp.box((0.6, 0.6, 0.02), (0, 0, -0.02), glow)
        else:
            lamp.ball(draw.between(0.08, 0.18), (0, 0, -0.1), glow)
        if hung:
            lamp.rod(0.006, hung, (0, 0, 0), draw.rubber())
        z = height - hung - _COVER
        plot.add(lamp, x, y, z=z)
        lights.append(Light((x, y, z - 0.25), _strength(plot, z, count, white)))
    return tuple(lights)


def _strength(plot: Plot, height: float, count: int, white: Colour) -> Colour:
    """Return the light of one of some lamps: it falls with the square of the distance."""
    reach = max(height - 0.8, 0.25 * (plot.half[0] + plot.half[1]) / count**0.5)
    strength = plot.draw.between(0.35, 1.0) * reach**2 / count**0.35
    return white[0] * strength, white[1] * strength, white[2] * strength


def ambient(plot: Plot, low: float = 0.12, high: float = 0.4) -> Colour:
    """Return light from everywhere, near white."""
    level, white = plot.draw.between(low, high), plot.draw.white()
    return level * white[0], level * white[1], level * (0.5 + white[2] / 2)


def furnish_walls(plot: Plot, height: float, pictures: int) -> None:
    """Add a door, windows with curtains, radiators, pictures, pipes and switches."""
    draw = plot.draw
    used: list[tuple[int, float, float]] = []

    def place(thing: Assembly, z: float = 0.0, wall: int | None = None) -> bool:
        half = thing.half()[0] + 0.03
        for _ in range(6):
            side = draw.count(0, 3) if wall is None else wall
            along = plot.wall(side)[1]
            at = draw.between(-1, 1) * max(along - half, 0.0)
            free = all(w != side or abs(at - a) > half + h for w, a, h in used)
            if half <= along and z + thing.height < height and free:
                used.append((side, at, half))
                return plot.hang(thing, side, at, z)
        return False

    for make, most in ((door, 2), (window, 2), (curtain, 1), (radiator, 1), (pipe, 1)):
        chances = (0.9, 0.4) if make is door else (0.45, 0.35)
        for chance in chances[:most]:
            if draw.chance(chance):
                place(make(draw))
    if draw.chance(0.15):
        place(extinguisher(draw), 0.9)
    for _ in range(pictures):
        place(at_eye(draw), draw.between(1.05, 1.5))
