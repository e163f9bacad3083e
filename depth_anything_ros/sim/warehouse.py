"""Halls with racks of pallets."""

from __future__ import annotations

import math

from depth_anything_ros.sim import clutter, furniture
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.fittings import door, extinguisher
from depth_anything_ros.sim.interior import ambient, closed_shell, lamps
from depth_anything_ros.sim.layout import Box, Plot
from depth_anything_ros.sim.palette import Draw, draw_of
from depth_anything_ros.sim.people import pedestrian
from depth_anything_ros.sim.scene import Material, Scene

# A bay takes three pallets of 0.8 m by 1.2 m side by side (EN 13698-1).
_BAY_M = 2.7
_DEPTH_M = 1.1
_PALLET = (0.8, 1.2, 0.144)


def warehouse(seed: int) -> Scene:
    """Build a hall, 5-9 m high, with two rows of racks along an aisle of 2.4-3.6 m."""
    draw = draw_of(seed, "warehouse")
    bays, aisle, height = draw.count(3, 5), draw.between(2.4, 3.6), draw.between(5, 9)
    half_x = bays * _BAY_M / 2 + draw.between(1.5, 6)
    half_y = aisle / 2 + _DEPTH_M + draw.between(0.3, 5)
    plot = Plot(draw, (half_x, half_y), limit=195)
    closed_shell(plot, height, draw.stone() if draw.chance(0.85) else None)
    light = lamps(plot, height, 4)
    reach = half_x - 0.8
    path = plot.lane([(-reach, 0.0), (reach, 0.0)])
    _markings(plot, aisle)
    structure(plot, height)
    levels = min(draw.count(2, 3), int((height - 0.8) / 1.5))
    for side in (1, -1):
        if side == 1 or draw.chance(0.8):
            _rack(plot, bays, levels, side * (aisle / 2 + _DEPTH_M / 2))
    _loose(plot)
    gaze = draw.pick((0.0, math.pi, None), (4, 4, 2))
    forward = gaze != math.pi
    low, high = (-reach, 0.3 * reach) if forward else (-0.3 * reach, reach)
    side_m = aisle / 2 - 0.5
    stand: tuple[Box, ...] = (
        ((low, -0.4, 0.2), (high, 0.4, 1.2)),
        ((low, -side_m, 1.2), (high, side_m, 1.9)),
    )
    air = ambient(plot, 0.25, 0.5)
    if gaze is None:
        stand += plot.stands(height, 8)
    return plot.scene("warehouse", seed, light, air, stand, path, gaze)


def _markings(plot: Plot, aisle: float) -> None:
    """Paint the edges of the aisle on the floor."""
    if plot.draw.chance(0.7):
        lines = Assembly()
        yellow = Material(plot.draw.hued((0.11, 0.16), (0.5, 0.95), (0.6, 1.0)))
        at = (0, aisle / 2 - 0.1, 0)
        lines.box((2 * plot.half[0], 0.1, 0.004), at, yellow, both="y")
        plot.add(lines)


def structure(plot: Plot, height: float) -> None:
    """Add beams under the roof, columns, a door and a gate."""
    draw, (x, y) = plot.draw, plot.half
    beams, metal = Assembly(), draw.metal()
    for k in range(draw.count(2, 4)):
        at = x * (0.5 * k - 0.75)
        beams.box((0.2, 2 * y, 0.35), (at, 0, height - 0.4), metal)
        beams.box((0.25, 0.25, height), (at, y - 0.13, 0), metal, both="y")
    plot.add(beams)
    if draw.chance(0.6):
        duct = Assembly()
        start, end = (-x, 0.6 * y, height - 0.7), (x, 0.6 * y, height - 0.7)
        duct.bar(start, end, draw.between(0.1, 0.35), draw.metal())
        plot.add(duct)
    size = (draw.between(2.6, 3.6), 0.06, draw.between(2.8, 3.6))
    gate = Assembly().box(size, (0, -0.03, 0), draw.metal())
    for thing, wall in ((gate, 1), (gate, 3), (door(draw), 0), (extinguisher(draw), 2)):
        if draw.chance(0.6):
            along = draw.between(-0.4, 0.4) * plot.wall(wall)[1]
            plot.hang(thing, wall, along, 0.9 if wall == 2 else 0.0)


def _rack(plot: Plot, bays: int, levels: int, y: float) -> None:
    """Add a row of bays: blue uprights, orange beams, and loads of pallets and boxes."""
    draw = plot.draw
    rack = Assembly()
    step, length = draw.between(1.4, 2.0), bays * _BAY_M
    upright = draw.metal() if draw.chance(0.5) else draw.paint()
    beam = Material(draw.hued((0.02, 0.12), (0.6, 1.0), (0.5, 1.0)), gloss=0.3)
    for k in range(bays + 1):
        at = (k * _BAY_M - length / 2, _DEPTH_M / 2 - 0.05, 0.0)
        rack.box((0.09, 0.07, levels * step + 0.4), at, upright, both="y")
    for level in range(1, levels + 1):
        at = (0.0, _DEPTH_M / 2 - 0.03, level * step - 0.12)
        rack.box((length, 0.05, 0.12), at, beam, both="y")
    plot.put(rack, 0, y, gap=0.0)
    for level in range(levels + 1):
        for k in range(bays):
            for place in draw.pick(((0,), (-1, 1), (-1, 0), (1,), ()), (3, 2, 2, 1, 1)):
                x = (k + 0.5) * _BAY_M - length / 2 + place * 0.85
                plot.add(_load(draw), x, y, draw.pick((0.0, math.pi)), z=level * step)


def _load(draw: Draw) -> Assembly:
    """Return a pallet with a stack on it, at most 1.3 m high."""
    load, (x, y, z) = Assembly(), _PALLET
    load.box((x, y * 0.9, z), (0, 0, 0), draw.wood())
    goods = draw.surface()
    style = draw.count(0, 3)
    if style == 0:
        load.box((x, y * 0.85, draw.between(0.4, 1.1)), (0, 0, z), goods)
    elif style == 1:
        load.rod(0.29, 0.88, (-0.05, -0.2, z), goods)
        load.rod(0.29, 0.88, (0.05, 0.25, z), goods)
    else:
        low = draw.between(0.25, 0.6)
        load.box((x * 0.95, y * 0.8, low), (0, 0, z), goods)
        top = (x * draw.between(0.4, 0.8), y * draw.between(0.3, 0.7), draw.between(0.2, 0.5))
        load.box(top, (draw.between(-0.08, 0.08), 0, z + low), draw.surface())
    return load


def forklift(draw: Draw) -> Assembly:
    """Return a forklift truck, about 2.2 m long without its fork and 2.1 m high."""
    truck, paint, dark = Assembly(), draw.paint((0.5, 1.0), (0.4, 1.0)), draw.rubber()
    truck.box((2.0, 1.1, 0.7), (-0.2, 0, 0.25), paint)
    truck.box((0.7, 1.0, 0.35), (-0.8, 0, 0.95), paint)
    truck.box((1.1, 1.0, 0.06), (-0.3, 0, 2.05), dark)
    for x in (-0.8, 0.25):
        truck.box((0.06, 0.06, 1.2), (x, 0.45, 0.9), dark, both="y")
    for y in (-0.3, 0.3):
        truck.box((0.1, 0.1, 2.1), (0.9, y, 0.05), dark)
        truck.box((1.0, 0.12, 0.05), (1.4, y, 0.05), dark)
    for x in (-0.85, 0.55):
        for y in (-0.5, 0.5):
            truck.bar((x, y - 0.1, 0.28), (x, y + 0.1, 0.28), 0.28, dark)
    return truck


def _loose(plot: Plot) -> None:
    """Put a truck, people and goods on the floor beside the aisle."""
    draw = plot.draw
    makers = (_load, _load, forklift, clutter.carton, furniture.ladder, pedestrian)
    for _ in range(draw.count(2, 8)):
        plot.anywhere(draw.pick(makers)(draw))
