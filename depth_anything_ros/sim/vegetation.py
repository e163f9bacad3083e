"""What grows, and rocks: trees, bushes and hedges in their real sizes."""

from __future__ import annotations

import math

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import MID, Draw


def tree(draw: Draw) -> Assembly:
    """Return a broad-leaved tree, a conifer, a bare tree or a palm, 3-14 m high."""
    make = draw.pick((_broad_leaved, _conifer, _bare, _palm), (6, 3, 1, 0.7))
    return make(draw)


def _broad_leaved(draw: Draw) -> Assembly:
    thing, leaves = Assembly(), draw.leaves()
    height, radius = draw.between(3.5, 12), draw.between(0.06, 0.3)
    clear = min(draw.between(1.8, 3.5), height * 0.55)
    thing.rod(radius, height * 0.75, (0, 0, -0.3), draw.bark())
    crown = (height - clear) / 2
    count = draw.count(4, 9)
    for k in range(count):
        turn, out = 2.4 * k, crown * draw.between(0.2, 0.6)
        z = clear + crown * (0.5 + 1.1 * (k + draw.between(0, 1)) / count)
        at = (out * math.cos(turn), out * math.sin(turn), z)
        thing.ball(crown * draw.between(0.4, 0.65), at, leaves)
    return thing


def _conifer(draw: Draw) -> Assembly:
    thing, leaves = Assembly(), draw.leaves()
    height = draw.between(3, 14)
    width, layers = height * draw.between(0.14, 0.28), draw.count(2, 4)
    thing.rod(height * 0.02 + 0.03, height * 0.4, (0, 0, -0.3), draw.bark())
    for k in range(layers):
        share = k / layers
        top = height * (1.0 if k == layers - 1 else share + 0.55)
        low = height * (0.08 + share * 0.8)
        thing.cone(width * (1 - share * 0.8), max(top - low, 0.5), (0, 0, low), leaves)
    return thing


def _bare(draw: Draw) -> Assembly:
    thing, bark, height = Assembly(), draw.bark(), draw.between(4, 9)
    radius = draw.between(0.08, 0.2)
    thing.rod(radius, height * 0.6, (0, 0, -0.3), bark)
    for k in range(draw.count(5, 9)):
        turn, low = 2.4 * k, height * draw.between(0.3, 0.55)
        out, up = draw.between(0.8, 2.2), draw.between(0.8, 2.5)
        end = (out * math.cos(turn), out * math.sin(turn), low + up)
        thing.bar((0, 0, low), end, radius * draw.between(0.15, 0.45), bark)
    return thing


def _palm(draw: Draw) -> Assembly:
    thing, leaves, height = Assembly(), draw.leaves(), draw.between(4, 9)
    thing.rod(0.15, height, (0, 0, -0.3), draw.bark())
    for k in range(8):
        turn = 2 * math.pi * k / 8
        at = (0.9 * math.cos(turn), 0.9 * math.sin(turn), height - 0.45)
        thing.box((2.0, 0.3, 0.04), at, leaves, yaw=turn, pitch=draw.between(0.1, 0.6))
    return thing


def bush(draw: Draw) -> Assembly:
    """Return a bush, 0.5-1.8 m high."""
    thing, leaves, radius = Assembly(), draw.leaves(), draw.between(0.3, 0.8)
    for _ in range(draw.count(2, 5)):
        at = (draw.between(-1, 1) * radius, draw.between(-1, 1) * radius, radius * 0.6)
        thing.ball(radius * draw.between(0.5, 1.0), at, leaves)
    return thing


def hedge(draw: Draw, length: float | None = None) -> Assembly:
    """Return a clipped hedge along x, 0.8-2.2 m high."""
    size = (length or draw.between(2, 8), draw.between(0.4, 0.9), draw.between(0.8, 2.2))
    return Assembly().box(size, (0, 0, 0), draw.leaves())


def street_tree(draw: Draw, count: int) -> Assembly:
    """Return a broad-leaved tree, 4-14 m high, its crown of some balls of leaves."""
    thing, leaves = Assembly(), draw.leaves()
    height = draw.between(4.5, 14)
    clear = min(draw.between(1.9, 4.0), 0.45 * height)
    thing.rod(draw.between(0.08, 0.28), height * 0.7, (0, 0, -0.2), draw.bark())
    half = (height - clear) / 2
    wide = half * draw.between(0.6, 1.0)
    for k in range(count):
        # Golden turns, from below to the top; widest in the middle.
        share = (k + 0.5) / count
        out = wide * 1.3 * math.sin(math.pi * share) * draw.between(0.3, 0.7)
        at = (out * math.cos(2.4 * k), out * math.sin(2.4 * k), clear + half * (0.5 + 1.2 * share))
        radius = half * draw.between(0.35, 0.6) if count > 4 else half * draw.between(0.5, 0.7)
        thing.ball(radius, at, leaves)
    return thing


def thicket(draw: Draw, length: float, height: float) -> Assembly:
    """Return the edge of a wood along x: leaves from the ground to uneven tops."""
    thing, leaves = Assembly(), draw.leaves()
    thing.box((length, 2.5, 0.6 * height), (0, 0, 0), leaves)
    count = 5
    for k in range(count):
        x = length * ((k + draw.between(0.2, 0.8)) / count - 0.5)
        radius = min(height, length / 3) * draw.between(0.3, 0.5)
        other = draw.leaves() if draw.chance(0.2) else leaves
        thing.ball(radius, (x, draw.between(-1.0, 1.0), height - radius), other)
    return thing


def hill(draw: Draw, distance: float) -> Assembly:
    """Return a hill, a cap of leaves or earth up to a sixth of its distance high."""
    thing, cover = Assembly(), draw.leaves() if draw.chance(0.6) else draw.earth()
    top = distance * draw.between(0.04, 0.16)
    half = distance * draw.between(0.25, 0.6)
    radius = (half**2 + top**2) / (2 * top)
    return thing.ball(radius, (half, 0, top - radius), cover)


def rock(draw: Draw) -> Assembly:
    """Return a rock of some faces, 0.2-1.5 m."""
    thing, stone, size = Assembly(), draw.stone(MID), draw.between(0.1, 0.7)
    thing.ball(size, (0, 0, size * draw.between(0.0, 0.5)), stone)
    for _ in range(draw.count(0, 2)):
        edges = (size * 1.5, size * draw.between(0.8, 1.4), size * draw.between(0.7, 1.3))
        at = (draw.between(-0.5, 0.5) * size, draw.between(-0.5, 0.5) * size, 0.0)
        angles = [draw.between(-0.5, 0.5) for _ in range(3)]
        thing.box(edges, at, stone, 4 * angles[0], angles[1], angles[2])
    return thing


def log(draw: Draw) -> Assembly:
    """Return a felled trunk or a stump."""
    thing, radius = Assembly(), draw.between(0.1, 0.3)
    if draw.chance(0.5):
        length = draw.between(0.7, 2.0)
        thing.bar((-length, 0, radius), (length, 0, radius), radius, draw.bark())
    else:
        thing.rod(radius, draw.between(0.3, 0.6), (0, 0, 0), draw.bark())
    return thing
