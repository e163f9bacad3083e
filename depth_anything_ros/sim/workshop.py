"""Halls in which machines are built and tested: benches, boards on stands, cables on the floor."""

from __future__ import annotations

import math

from depth_anything_ros.sim import clutter, furniture
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.interior import ambient, closed_shell, furnish_walls, lamps
from depth_anything_ros.sim.layout import WALL_GAP_M, Plot
from depth_anything_ros.sim.palette import PALE, Draw, draw_of
from depth_anything_ros.sim.people import pedestrian
from depth_anything_ros.sim.scene import Scene
from depth_anything_ros.sim.warehouse import forklift, structure


def workshop(seed: int) -> Scene:
    """Build a workshop or a laboratory, 6-20 m long and 3-6 m high."""
    draw = draw_of(seed, "workshop")
    height = draw.between(3.0, 6.0)
    plot = Plot(draw, (draw.between(3.0, 10.0), draw.between(2.5, 6.0)), limit=195)
    closed_shell(plot, height, draw.stone((0.4, 0.85)) if draw.chance(0.7) else None)
    light = lamps(plot, height, draw.count(2, 4))
    path = plot.lane_along(draw.between(-0.6, 0.6) * (plot.half[1] - WALL_GAP_M))
    structure(plot, height)
    furnish_walls(plot, height, draw.count(1, 4))
    for _ in range(draw.count(2, 6)):
        floor_cable(plot)
    for _ in range(draw.count(1, 4)):
        plot.anywhere(stand(draw))
    for _ in range(draw.count(3, 10)):
        make = draw.pick(_FURNITURE)
        thing = make(draw)
        pose = plot.against_wall(thing) if draw.chance(0.7) else plot.anywhere(thing)
        if pose is None:
            continue
        for surface in thing.surfaces:
            goods = draw.pick((clutter.STORE, clutter.OFFICE, clutter.SMALL))
            plot.scatter(surface, pose, goods, draw.count(1, 6))
    makers = (stand, furniture.office_chair, furniture.bin_, pedestrian, forklift)
    for _ in range(draw.count(2, 14)):
        plot.anywhere(draw.pick((*makers, *clutter.FLOOR))(draw))
    boxes, pitch = plot.viewpoints(height)
    return plot.scene("workshop", seed, light, ambient(plot), boxes, path, pitch=pitch)


def stand(draw: Draw) -> Assembly:
    """Return a board on a tripod, its middle 0.6-1.6 m high: a target, a sign, a whiteboard."""
    thing, leg, middle = Assembly(), draw.metal(), draw.between(0.6, 1.6)
    spread, radius = draw.between(0.25, 0.45), draw.between(0.008, 0.02)
    thing.rod(1.4 * radius, middle, (0, 0, 0), leg)
    for k in range(3):
        turn = 2 * math.pi * k / 3
        foot = (spread * math.sin(turn), -spread * math.cos(turn), radius)
        thing.bar((0, 0, 0.45 * middle), foot, radius, leg)
    size = (draw.between(0.3, 1.2), 0.015, draw.between(0.3, 1.0))
    face = draw.pick((draw.target, draw.print, draw.paint), (3, 2, 1))()
    roll = draw.between(-math.pi, math.pi) if draw.chance(0.4) else 0.0
    return thing.box(size, (0, -2 * radius - 0.01, middle - size[2] / 2), face, pitch=roll)


def bench(draw: Draw) -> Assembly:
    """Return a workbench with a board for tools behind it, or a lamp and shelf above."""
    width, depth = draw.between(1.2, 2.2), draw.between(0.6, 0.9)
    thing = furniture.table(draw, width, depth)
    back = depth / 2 - 0.02
    if draw.chance(0.6):
        board = draw.metal() if draw.chance(0.5) else draw.wood()
        thing.box((width, 0.02, draw.between(0.4, 0.9)), (0, back, 0.8), board)
    if draw.chance(0.5):
        post = draw.metal()
        thing.box((0.04, 0.04, 1.9), (width / 2 - 0.03, back, 0), post, both="x")
        thing.box((width, 0.3, 0.03), (0, back - 0.13, draw.between(1.3, 1.7)), post)
    return thing


def machine(draw: Draw) -> Assembly:
    """Return a machine tool or a cabinet of electronics, 0.6-2 m wide, with window and panel."""
    thing, paint = Assembly(), draw.paint() if draw.chance(0.6) else draw.metal()
    width, depth, height = draw.between(0.6, 2.0), draw.between(0.5, 1.2), draw.between(0.9, 2.0)
    foot = draw.between(0.0, 0.2)
    thing.box((width * 0.9, depth * 0.9, foot + 0.01), (0, 0, 0), draw.rubber())
    thing.box((width, depth, height - foot), (0, 0, foot), paint)
    front = -depth / 2 - 0.01
    window = (width * draw.between(0.4, 0.7), 0.02, height * draw.between(0.2, 0.4))
    thing.box(window, (-0.12 * width, front, height * 0.5), draw.glass())
    panel = (0.25 * width, 0.05, 0.3 * height)
    thing.box(panel, (0.33 * width, front, height * 0.5), draw.print((0.1, 0.3)))
    for _ in range(draw.count(0, 2)):
        at = (draw.between(-0.4, 0.4) * width, 0, height)
        thing.rod(draw.between(0.02, 0.08), draw.between(0.1, 0.6), at, draw.metal())
    return thing


def floor_cable(plot: Plot) -> None:
    """Lay a cable in bends, a hose or a stripe of tape over the floor, 2-8 m long."""
    draw, thing = plot.draw, Assembly()
    is_tape = draw.chance(0.3)
    skin = draw.rubber() if draw.chance(0.4) else draw.paint(PALE, (0.2, 1.0))
    half = draw.between(0.02, 0.05) if is_tape else draw.between(0.003, 0.012)
    turn, bend = draw.between(-math.pi, math.pi), 0.0 if is_tape else draw.between(0.0, 0.8)
    x, y = (draw.between(-0.9, 0.9) * side for side in plot.half)
    for start, end in clutter.bends(draw, (x, y), turn, bend, (0.5, 1.1), draw.count(3, 8)):
        if abs(end[0]) > plot.half[0] - 0.05 or abs(end[1]) > plot.half[1] - 0.05:
            break
        if is_tape:
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, 0.0)
            thing.box((math.dist(start, end) + half, 2 * half, 0.003), middle, skin, yaw=turn)
        else:
            thing.bar((*start, half), (*end, half), half, skin)
    if thing.parts:
        plot.add(thing)


_FURNITURE = (
    bench,
    bench,
    machine,
    furniture.shelf_rack,
    furniture.cabinet,
    furniture.table,
    furniture.ladder,
)
