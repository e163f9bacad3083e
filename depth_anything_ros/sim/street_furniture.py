"""What stands along streets: façades, lamp posts, signs, fences, cables, in their real sizes."""

from __future__ import annotations

import math

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import MID, PALE, Draw
from depth_anything_ros.sim.scene import Material, Texture


def facade(draw: Draw, width: float, highest: int = 6) -> Assembly:
    """Return a building whose front is y = 0, seen from -y: storeys of 2.8-3.6 m, in relief."""
    thing, storey, count = Assembly(), draw.between(2.8, 3.6), draw.count(1, highest)
    depth, height = draw.between(6, 14), storey * count
    walls = _facing(draw, storey)
    # Windows are counted from the middle of the box, so that it must hold an even number of
    # storeys, one of which may lie under the ground.
    deep = storey * (count % 2)
    thing.box((width, depth, height + deep), (0, depth / 2, -deep), walls)
    if draw.chance(0.7):
        thing.box((width + 0.2, depth + 0.3, 0.3), (0, depth / 2, height), draw.stone(PALE))
    if count <= 3 and draw.chance(0.6):
        _roof(draw, thing, width, depth, height)
    _ground_floor(draw, thing, width, storey)
    if count > 1 and draw.chance(0.5):
        _balconies(draw, thing, width, storey, count)
    if draw.chance(0.4):
        for k in range(1, count):
            size = (width, 0.15, 0.12)
            thing.box(size, (0, -0.07, storey * k - 0.06), draw.stone(PALE))
    return thing


def block(draw: Draw, width: float, highest: int = 6) -> Assembly:
    """Return a building of few parts, to be seen from afar; its front is y = 0."""
    thing, storey, count = Assembly(), draw.between(2.8, 3.6), draw.count(1, highest)
    depth, height = draw.between(8, 16), storey * count
    deep = storey * (count % 2)
    thing.box((width, depth, height + deep), (0, depth / 2, -deep), _facing(draw, storey))
    if count <= 3 and draw.chance(0.6):
        _roof(draw, thing, width, depth, height)
    else:
        thing.box((width + 0.2, depth + 0.3, 0.3), (0, depth / 2, height), draw.stone(PALE))
    return thing


def _facing(draw: Draw, storey: float) -> Material:
    colour, pane = (
        draw.colour(MID if draw.chance(0.4) else PALE, (0.0, 0.6)),
        draw.colour((0.1, 0.5)),
    )
    windows = Material(colour, pane, Texture.WINDOWS, storey, roughness=draw.between(0.1, 0.5))
    return draw.pick((windows, draw.brick(), draw.paint(PALE), draw.stone()), (8, 1.5, 1, 0.7))


def _roof(draw: Draw, thing: Assembly, width: float, depth: float, height: float) -> None:
    """Add two slopes, with the ridge along the street."""
    lean, tiles = draw.between(0.4, 0.8), draw.tiles((0.2, 0.35))
    half = depth / 2 / math.cos(lean) + 0.3
    for side in (-1, 1):
        y = depth / 2 + side * depth / 4
        z = height + depth / 4 * math.tan(lean)
        thing.box((width + 0.3, half, 0.15), (0, y, z - 0.07), tiles, roll=-side * lean)


def _ground_floor(draw: Draw, thing: Assembly, width: float, storey: float) -> None:
    """Add a door of 1.0 by 2.1 m, and perhaps shop windows, an awning and a sign."""
    leaf = draw.wood() if draw.chance(0.5) else draw.paint()
    x = draw.between(-0.35, 0.35) * width
    thing.box((1.25, 0.12, 2.25), (x, -0.02, 0), draw.stone(PALE))
    thing.box((1.0, 0.06, 2.1), (x, -0.07, 0), leaf)
    if draw.chance(0.4):
        thing.box((1.4, 0.4, 0.15), (x, -0.2, 0), draw.stone())
    if width > 6 and draw.chance(0.45):
        shop = draw.glass()
        side = -math.copysign(1.0, x)
        wide = width * 0.38
        thing.box((wide, 0.06, min(2.4, storey - 0.6)), (side * width * 0.25, -0.02, 0.4), shop)
        board = (wide, 0.15, 0.5)
        thing.box(board, (side * width * 0.25, -0.07, storey - 0.6), draw.print((0.5, 1.5)))
        if draw.chance(0.5):
            cloth = draw.fabric()
            thing.box((wide, 1.3, 0.04), (side * width * 0.25, -0.6, 2.5), cloth, roll=0.35)


def _balconies(draw: Draw, thing: Assembly, width: float, storey: float, count: int) -> None:
    rail, slab = draw.metal(), draw.stone(PALE)
    x, wide = draw.between(-0.25, 0.25) * width, draw.between(1.5, 3.0)
    for k in range(1, min(count, 4)):
        thing.box((wide, 1.0, 0.15), (x, -0.5, storey * k - 0.15), slab)
        thing.box((wide, 0.04, 0.9), (x, -1.0, storey * k), rail)


def lamp_post(draw: Draw) -> Assembly:
    """Return a street lamp, 4-9 m high, its arm towards -y."""
    thing, metal, height = Assembly(), draw.metal(), draw.between(4, 9)
    thing.rod(draw.between(0.05, 0.11), height, (0, 0, 0), metal)
    if draw.chance(0.7):
        arm = draw.between(0.8, 2.2)
        thing.bar((0, 0, height), (0, -arm, height + 0.3), 0.04, metal)
        thing.box((0.2, 0.6, 0.12), (0, -arm, height + 0.22), metal)
    else:
        thing.ball(0.22, (0, 0, height + 0.15), draw.paint(PALE, (0, 0.1)))
    return thing


def utility_pole(draw: Draw, span: float) -> Assembly:
    """Return a wooden pole, 8 m high, with thin cables along x on both sides."""
    thing, rubber, height = Assembly(), draw.rubber(), draw.between(6.5, 9)
    thing.rod(0.13, height, (0, 0, 0), draw.bark())
    thing.box((0.1, 1.8, 0.1), (0, 0, height - 0.6), draw.bark())
    for y in (-0.8, 0.0, 0.8):
        for side in (-1, 1):
            sag = height - 0.5 - draw.between(0.3, 0.9)
            thing.bar((0, y, height - 0.5), (side * span, y, sag), 0.012, rubber)
    return thing


def sign(draw: Draw) -> Assembly:
    """Return a traffic sign, 0.6-0.9 m, on a post of 2-2.8 m; it faces -x."""
    thing, height = Assembly(), draw.between(2.0, 2.8)
    thing.rod(0.03, height, (0, 0, 0), draw.metal())
    face = draw.print((0.3, 0.9)) if draw.chance(0.4) else draw.paint((0.4, 1.0), (0.5, 1.0))
    size, z = draw.between(0.3, 0.45), height - 0.35
    if draw.chance(0.5):
        thing.bar((-0.02, 0, z), (-0.045, 0, z), size, face)
        thing.bar((-0.045, 0, z), (-0.05, 0, z), size * 0.75, draw.paint(PALE, (0, 0.2)))
    else:
        thing.box((0.02, size * 2, size * 2), (-0.04, 0, z - size), face)
    return thing


def traffic_light(draw: Draw) -> Assembly:
    """Return a traffic light, 3.3 m high, or 5.5 m with an arm over the road; it faces -x."""
    thing, dark, metal = Assembly(), draw.rubber(), draw.metal()
    arm = draw.chance(0.4)
    height, y = (5.5, -2.5) if arm else (3.3, 0.0)
    thing.rod(0.07, height, (0, 0, 0), metal)
    if arm:
        thing.bar((0, 0, height), (0, y, height), 0.05, metal)
    thing.box((0.2, 0.3, 0.95), (-0.1, y, height - 0.95), dark)
    lit = draw.count(0, 2)
    for k, colour in enumerate(((0.02, 0.6, 0.1), (0.8, 0.4, 0.0), (0.7, 0.02, 0.02))):
        lamp = Material(colour, glow=2.0 if k == lit else 0.0, roughness=0.0)
        thing.ball(0.1, (-0.17, y, height - 0.8 + 0.3 * k), lamp)
    return thing


def wall(draw: Draw, length: float, height: float | None = None) -> Assembly:
    """Return a wall of bricks, stone, boards or panels along x, its top covered."""
    thing, top = Assembly(), height or draw.between(0.8, 2.2)
    face = draw.pick(
        (draw.brick(), draw.stone(), draw.paint(PALE), draw.wood(), draw.tiles((1.0, 3.0))),
        (4, 4, 2, 1, 2),
    )
    thing.box((length, 0.24, top), (0, 0, 0), face)
    if draw.chance(0.5):
        thing.box((length, 0.34, 0.07), (0, 0, top), draw.stone(PALE))
    return thing


def fence(draw: Draw, along: float | None = None) -> Assembly:
    """Return a fence of thin bars or of boards, or a wall, 0.9-1.8 m high, along x."""
    length = along or draw.between(3, 7)
    style, height = draw.count(0, 3), draw.between(0.9, 1.8)
    if style == 0:
        return wall(draw, length, height)
    thing, paint = Assembly(), draw.metal() if draw.chance(0.5) else draw.wood()
    for z in (0.15, height - 0.1):
        thing.box((length, 0.04, 0.05), (0, 0, z), paint)
    count = 12 if style == 1 else 8
    for k in range(count):
        x = length * ((k + 0.5) / count - 0.5)
        size = (0.02, 0.02, height) if style == 1 else (length / count * 0.75, 0.02, height)
        thing.box(size, (x, 0, 0), paint)
    return thing


def guard_rail(draw: Draw, length: float) -> Assembly:
    """Return a crash barrier, 0.75 m high, along x."""
    thing, metal = Assembly(), draw.metal()
    thing.box((length, 0.06, 0.31), (0, 0, 0.44), metal)
    for k in range(5):
        thing.box((0.08, 0.1, 0.7), (length * (k / 4 - 0.5) * 0.98, 0.06, 0), metal)
    return thing


def bollard(draw: Draw) -> Assembly:
    """Return a bollard, a hydrant or a traffic cone, 0.5-1 m high."""
    thing, paint = Assembly(), draw.paint((0.3, 1.0), (0.1, 1.0))
    height = draw.between(0.5, 1.0)
    if draw.chance(0.3):
        thing.box((0.36, 0.36, 0.03), (0, 0, 0), paint)
        thing.cone(0.14, 0.7, (0, 0, 0.03), paint)
    else:
        thing.rod(draw.between(0.05, 0.12), height, (0, 0, 0), paint)
    return thing


def dustbin(draw: Draw) -> Assembly:
    """Return a wheeled bin, a post box or a switch box, 1-1.5 m high."""
    thing, paint, height = Assembly(), draw.paint(), draw.between(1.0, 1.5)
    thing.box((draw.between(0.5, 1.2), 0.6, height), (0, 0, 0), paint)
    return thing.box((0.6, 0.66, 0.06), (0, 0, height), draw.paint())


def bench(draw: Draw) -> Assembly:
    """Return a bench, its seat at 0.45 m, its back at +y."""
    thing, wood, metal = Assembly(), draw.wood(), draw.metal()
    for y in (-0.15, 0.0, 0.15):
        thing.box((1.6, 0.12, 0.04), (0, y, 0.42), wood)
    thing.box((1.6, 0.04, 0.3), (0, 0.25, 0.55), wood, roll=-0.2)
    return thing.box((0.06, 0.45, 0.42), (0.7, 0, 0), metal, both="x")


def shelter(draw: Draw) -> Assembly:
    """Return a bus shelter with glass walls, 3-4 m long and 2.4 m high, its back at +y."""
    thing, metal, pane, length = Assembly(), draw.metal(), draw.glass(), draw.between(3, 4)
    for x in (-length / 2, length / 2):
        for y in (-0.6, 0.6):
            thing.box((0.06, 0.06, 2.4), (x, y, 0), metal)
        thing.box((0.02, 1.1, 1.9), (x, 0, 0.3), pane)
    thing.box((length, 0.02, 1.9), (0, 0.6, 0.3), pane)
    thing.box((length + 0.3, 1.6, 0.08), (0, 0, 2.4), metal)
    return thing.box((length * 0.6, 0.35, 0.05), (0, 0.3, 0.45), draw.wood())
