"""Furniture and fittings in their real sizes; the back is +y, where a wall may be."""

from __future__ import annotations

import math
from collections.abc import Callable

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import ANY, MID, PALE, Draw
from depth_anything_ros.sim.scene import Material, Texture

Maker = Callable[[Draw], Assembly]


def table(draw: Draw, width: float | None = None, depth: float | None = None) -> Assembly:
    """Return a table, 0.72-0.76 m high: of four legs, two sides or one foot."""
    thing, top, frame = Assembly(), _board(draw), draw.surface()
    x, y = width or draw.between(0.8, 2.0), depth or draw.between(0.6, 1.0)
    height, thickness = draw.between(0.72, 0.76), draw.between(0.02, 0.045)
    style = draw.count(0, 3)
    thing.box((x, y, thickness), (0, 0, height - thickness), top)
    if style == 0:
        thing.box((0.03, y * 0.9, height - thickness), (x * 0.47, 0, 0), frame, both="x")
        thing.box((x * 0.9, 0.02, 0.35), (0, y * 0.35, height - 0.4), frame)
    elif style == 1 and x < 1.3:
        thing.rod(0.04, height - thickness, (0, 0, 0), frame)
        thing.rod(min(x, y) * 0.35, 0.03, (0, 0, 0), frame)
    else:
        thing.legs(x / 2 - 0.05, y / 2 - 0.05, height - thickness, frame)
    return thing.surface((0, 0, height), x * 0.45, y * 0.42)


def desk(draw: Draw) -> Assembly:
    """Return a desk with drawers."""
    thing = table(draw, draw.between(1.1, 1.8), draw.between(0.6, 0.8))
    front = _board(draw)
    x = thing.surfaces[0].half_x * 0.75 * draw.sign()
    thing.box((0.4, 0.5, 0.6), (x, 0, 0.05), front)
    for level in range(3):
        thing.box((0.12, 0.02, 0.015), (x, -0.26, 0.15 + 0.19 * level), draw.metal())
    return thing


def round_table(draw: Draw) -> Assembly:
    """Return a round table: dining, side or coffee table."""
    thing, top = Assembly(), _board(draw)
    height, radius = draw.pick(((0.74, 0.55), (0.45, 0.4), (0.55, 0.25), (1.05, 0.35)))
    radius *= draw.between(0.8, 1.2)
    thing.rod(radius, 0.03, (0, 0, height - 0.03), top)
    thing.rod(0.035, height - 0.03, (0, 0, 0), draw.metal())
    thing.rod(radius * 0.6, 0.03, (0, 0, 0), draw.metal())
    return thing.surface((0, 0, height), radius * 0.6, radius * 0.6)


def coffee_table(draw: Draw) -> Assembly:
    """Return a low table, 0.38-0.48 m high."""
    thing, top = Assembly(), draw.glass() if draw.chance(0.15) else _board(draw)
    x, y, height = draw.between(0.7, 1.3), draw.between(0.45, 0.7), draw.between(0.38, 0.48)
    thing.box((x, y, 0.03), (0, 0, height - 0.03), top)
    thing.legs(x / 2 - 0.05, y / 2 - 0.05, height - 0.03, draw.surface())
    return thing.surface((0, 0, height), x * 0.42, y * 0.4)


def chair(draw: Draw) -> Assembly:
    """Return a chair: seat at 0.43-0.48 m, back to 0.8-1.0 m."""
    thing, seat, frame = Assembly(), draw.surface(), draw.surface()
    x, y, height = draw.between(0.4, 0.5), draw.between(0.4, 0.48), draw.between(0.43, 0.48)
    thing.box((x, y, draw.between(0.02, 0.07)), (0, 0, height - 0.03), seat)
    thing.legs(x / 2 - 0.03, y / 2 - 0.03, height - 0.02, frame)
    top = draw.between(0.36, 0.52)
    if draw.chance(0.6):
        thing.box((x, 0.03, top * 0.7), (0, y / 2 - 0.015, height + top * 0.3), seat)
    else:
        for level in (0.4, 0.65, 0.9):
            thing.box((x, 0.02, 0.05), (0, y / 2 - 0.02, height + top * level), seat)
    thing.box((0.03, 0.03, top), (x / 2 - 0.02, y / 2 - 0.01, height), frame, both="x")
    return thing


def office_chair(draw: Draw) -> Assembly:
    """Return a swivel chair on a star of five feet."""
    thing, cloth, frame = Assembly(), draw.fabric(), draw.rubber()
    for k in range(5):
        turn = 2 * math.pi * k / 5
        thing.bar((0, 0, 0.1), (0.3 * math.cos(turn), 0.3 * math.sin(turn), 0.05), 0.02, frame)
    thing.rod(0.03, 0.4, (0, 0, 0.06), frame)
    thing.box((0.48, 0.46, 0.08), (0, 0, 0.43), cloth)
    return thing.box((0.44, 0.06, draw.between(0.4, 0.65)), (0, 0.22, 0.58), cloth, roll=-0.12)


def stool(draw: Draw) -> Assembly:
    """Return a stool, at the height of a seat or of a bar."""
    thing, height = Assembly(), draw.pick((0.45, 0.65, 0.75))
    thing.rod(draw.between(0.15, 0.2), 0.04, (0, 0, height - 0.04), draw.surface())
    frame = draw.surface()
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        thing.bar((0.17 * x, 0.17 * y, 0), (0.1 * x, 0.1 * y, height - 0.04), 0.015, frame)
    return thing


def sofa(draw: Draw) -> Assembly:
    """Return an armchair or a sofa of two or three seats, with cushions."""
    thing, cloth = Assembly(), draw.fabric()
    seats = draw.count(1, 3)
    width, depth, arm = 0.65 * seats + 0.3, draw.between(0.8, 0.95), draw.between(0.1, 0.2)
    thing.box((width, depth, 0.3), (0, 0, 0.08), cloth)
    thing.box((width, 0.2, draw.between(0.4, 0.5)), (0, depth / 2 - 0.1, 0.38), cloth, roll=-0.1)
    for side in (-1, 1):
        height = draw.between(0.5, 0.6)
        thing.box((arm, depth, height), (side * (width - arm) / 2, 0, 0.05), cloth)
    for seat in range(seats):
        x = (seat - (seats - 1) / 2) * 0.65
        thing.box((0.62, depth - 0.25, 0.12), (x, -0.1, 0.37), cloth)
    for _ in range(draw.count(0, 3)):
        x = draw.between(-0.4, 0.4) * (width - 0.4)
        thing.box((0.42, 0.12, 0.4), (x, 0.12, 0.48), draw.fabric(), roll=-0.35)
    return thing


def bed(draw: Draw) -> Assembly:
    """Return a bed, 0.9-1.8 m wide and 2 m long, its head at the wall."""
    thing, frame = Assembly(), _board(draw)
    width, height = draw.pick((0.9, 1.4, 1.6, 1.8)), draw.between(0.2, 0.35)
    thing.box((width + 0.06, 2.06, height), (0, 0, 0.05), frame)
    thing.box((width, 2.0, 0.2), (0, 0, height), draw.paint(PALE, (0.0, 0.2)))
    cover = draw.between(1.2, 1.6)
    thing.box((width + 0.08, cover, 0.12), (0, cover / 2 - 1.03, height + 0.12), draw.fabric())
    thing.box((width + 0.1, 0.05, draw.between(0.8, 1.2)), (0, 1.05, 0), frame)
    pillow = draw.fabric()
    for x in (0.0,) if width < 1.2 else (-width / 4, width / 4):
        thing.box((0.6, 0.4, 0.13), (x, 0.75, height + 0.2), pillow, roll=draw.between(0, 0.3))
    return thing.surface((0, -0.3, height + 0.24), width * 0.35, 0.5)


def bookshelf(draw: Draw) -> Assembly:
    """Return a shelf with rows of books, 0.8-2.1 m high; a shelf every 0.28-0.38 m."""
    thing, board = Assembly(), _board(draw)
    x, y, levels = draw.between(0.6, 1.2), draw.between(0.25, 0.38), draw.count(2, 6)
    step = draw.between(0.28, 0.38)
    height = levels * step + 0.08
    thing.box((0.025, y, height), (x / 2 - 0.012, 0, 0), board, both="x")
    if draw.chance(0.75):
        thing.box((x, 0.01, height), (0, y / 2 - 0.005, 0), board)
    for level in range(levels + 1):
        thing.box((x, y, 0.025), (0, 0, 0.05 + level * step), board)
        if level < levels and draw.chance(0.65):
            _row_of_books(draw, thing, (x - 0.06, y, step - 0.05), 0.075 + level * step)
        elif level < levels:
            thing.surface((0, 0, 0.075 + level * step), x * 0.4, y * 0.3)
    return thing.surface((0, 0, 0.075 + levels * step), x * 0.4, y * 0.3)


def _row_of_books(draw: Draw, thing: Assembly, room: tuple[float, float, float], z: float) -> None:
    x = -room[0] / 2
    for _ in range(draw.count(1, 3)):
        width = min(draw.between(0.15, 0.5), room[0] / 2 - x)
        if width > 0.02:
            size = (width, room[1] * draw.between(0.5, 0.85), room[2] * draw.between(0.6, 0.95))
            spine = draw.between(0.02, 0.05)
            material = Material(draw.colour(), draw.colour(), Texture.STRIPES, spine, roughness=0.4)
            thing.box(size, (x + width / 2, 0, z), material)
        x += width + (draw.between(0, 0.15) if draw.chance(0.4) else 0.004)


def cabinet(draw: Draw) -> Assembly:
    """Return a chest of drawers, a sideboard or a wardrobe, with doors and handles."""
    thing, body, front = Assembly(), _board(draw), _board(draw)
    x, y, height = draw.pick(
        ((0.8, 0.45, 0.9), (1.5, 0.45, 0.75), (1.2, 0.6, 2.0), (0.5, 0.4, 0.55))
    )
    x, height = x * draw.between(0.85, 1.2), height * draw.between(0.9, 1.1)
    columns, rows = max(1, round(x / 0.5)), draw.count(1, 2) if height > 1.5 else draw.count(1, 3)
    thing.box((x, y, height), (0, 0, 0), body)
    handle = draw.metal()
    for column in range(columns):
        for row in range(rows):
            wide, high = x / columns, (height - 0.1) / rows
            at = (-x / 2 + wide * (column + 0.5), -y / 2 - 0.008, 0.06 + row * high)
            thing.box((wide - 0.02, 0.016, high - 0.02), at, front)
            knob = (at[0], at[1] - 0.02, at[2] + high * 0.6)
            thing.box((0.12, 0.02, 0.015), knob, handle)
    if height < 1.3:
        thing.surface((0, 0, height), x * 0.42, y * 0.38)
    return thing


def television(draw: Draw) -> Assembly:
    """Return a television of 32 to 65 inches on a low board."""
    thing, width, low = Assembly(), draw.between(0.72, 1.45), draw.between(0.4, 0.6)
    thing.box((width + 0.3, 0.4, low), (0, 0, 0), _board(draw))
    thing.box((width, 0.05, width * 0.57), (0, 0.08, low + 0.06), draw.rubber())
    screen = (width - 0.03, 0.004, width * 0.57 - 0.03)
    thing.box(screen, (0, 0.053, low + 0.075), draw.screen())
    return thing.box((0.3, 0.2, 0.06), (0, 0.08, low), draw.rubber())


def floor_lamp(draw: Draw) -> Assembly:
    """Return a lamp on a thin pole, 1.4-1.8 m high."""
    thing, pole, height = Assembly(), draw.metal(), draw.between(1.4, 1.8)
    thing.rod(0.14, 0.03, (0, 0, 0), pole)
    thing.rod(0.012, height, (0, 0, 0), pole)
    shade = draw.glowing((0.6, 1.6)) if draw.chance(0.6) else draw.fabric()
    return thing.rod(draw.between(0.12, 0.22), 0.28, (0, 0, height - 0.15), shade)


def house_plant(draw: Draw) -> Assembly:
    """Return a plant in a pot on the floor, 0.6-1.8 m high."""
    thing, leaves, height = Assembly(), draw.leaves(), draw.between(0.5, 1.4)
    thing.rod(draw.between(0.12, 0.2), 0.3, (0, 0, 0), draw.surface())
    thing.rod(0.015, height, (0, 0, 0.2), draw.bark())
    for _ in range(draw.count(3, 6)):
        at = (draw.between(-0.2, 0.2), draw.between(-0.2, 0.2), height * draw.between(0.6, 1.2))
        thing.ball(draw.between(0.1, 0.22), at, leaves)
    return thing


def fridge(draw: Draw) -> Assembly:
    """Return a refrigerator, 0.6 by 0.65 m, 0.85-2.0 m high."""
    thing, shell, height = Assembly(), draw.metal(), draw.pick((0.85, 1.45, 1.75, 2.0))
    thing.box((0.6, 0.62, height), (0, 0.02, 0), shell)
    low = height * draw.between(0.3, 0.7)
    for base, top in ((0.02, low), (low + 0.01, height)):
        thing.box((0.59, 0.03, top - base), (0, -0.3, base), shell)
        thing.box((0.025, 0.03, 0.25), (0.25, -0.33, base + 0.05), draw.metal())
    return thing


def stove(draw: Draw) -> Assembly:
    """Return a kitchen stove, 0.6 m wide and 0.87-0.92 m high, with pots."""
    thing, shell, height = Assembly(), draw.metal(), draw.between(0.87, 0.92)
    thing.box((0.6, 0.6, height), (0, 0, 0), shell)
    thing.box((0.5, 0.02, 0.35), (0, -0.305, 0.25), draw.glass())
    thing.box((0.45, 0.03, 0.02), (0, -0.33, 0.66), draw.metal())
    for x in (-0.14, 0.14):
        for y in (-0.13, 0.15):
            thing.rod(0.09, 0.01, (x, y, height), draw.rubber())
    if draw.chance(0.6):
        thing.rod(
            draw.between(0.09, 0.12), draw.between(0.1, 0.2), (0.14, 0.15, height), draw.metal()
        )
    return thing


def counter(draw: Draw) -> Assembly:
    """Return a kitchen counter, 0.9 m high, with cupboards below and often above it."""
    thing, front, top = Assembly(), _board(draw), draw.surface()
    count = draw.count(2, 5)
    x, height = 0.6 * count, draw.between(0.87, 0.93)
    thing.box((x, 0.56, height - 0.13), (0, 0.02, 0.1), front)
    thing.box((x + 0.02, 0.62, 0.035), (0, 0, height - 0.035), top)
    handle, above = draw.metal(), draw.chance(0.6)
    for k in range(count):
        at = (-x / 2 + 0.6 * (k + 0.5), -0.27, 0.11)
        thing.box((0.58, 0.018, height - 0.17), at, front)
        thing.box((0.14, 0.02, 0.015), (at[0], -0.29, height - 0.15), handle)
        if above:
            thing.box((0.59, 0.34, 0.65), (at[0], 0.14, 1.4), front)
    if draw.chance(0.6):
        at_x = draw.between(-0.3, 0.3) * x
        thing.box((0.5, 0.4, 0.01), (at_x, 0, height), draw.metal())
        thing.bar((at_x, 0.22, height), (at_x, 0.22, height + 0.28), 0.012, draw.metal())
        thing.bar((at_x, 0.22, height + 0.28), (at_x, 0.04, height + 0.25), 0.012, draw.metal())
    return thing.surface((0, 0, height), x * 0.47, 0.24)


def bin_(draw: Draw) -> Assembly:
    """Return a waste bin."""
    thing, paint = Assembly(), draw.paint()
    radius, height = draw.between(0.12, 0.22), draw.between(0.28, 0.65)
    if draw.chance(0.5):
        thing.rod(radius, height, (0, 0, 0), paint)
        thing.rod(radius * 0.9, 0.01, (0, 0, height), draw.rubber())
    else:
        thing.box((radius * 2, radius * 1.6, height), (0, 0, 0), paint)
        thing.box((radius * 2.1, radius * 1.7, 0.04), (0, 0, height), draw.paint())
    return thing


def ladder(draw: Draw) -> Assembly:
    """Return a step ladder, 1.2-2.2 m high, rungs every 0.28 m."""
    thing, metal, height = Assembly(), draw.metal(), draw.between(1.2, 2.2)
    for x in (-0.2, 0.2):
        thing.bar((x, -0.35, 0), (x * 0.8, 0, height), 0.02, metal)
        thing.bar((x, 0.35, 0), (x * 0.8, 0.05, height), 0.016, metal)
    for k in range(1, int(height / 0.28)):
        y = -0.35 * (1 - 0.28 * k / height)
        thing.box((0.38, 0.08, 0.025), (0, y, 0.28 * k), metal)
    return thing


def shelf_rack(draw: Draw) -> Assembly:
    """Return an open shelf of posts and boards for boxes, 1.5-2.1 m high."""
    thing, post, board = Assembly(), draw.metal(), draw.surface()
    x, y, levels = draw.between(0.8, 1.4), draw.between(0.35, 0.6), draw.count(3, 5)
    height = draw.between(1.5, 2.1)
    thing.legs(x / 2, y / 2, height, post)
    for level in range(levels):
        z = 0.1 + level * (height - 0.15) / (levels - 1)
        thing.box((x, y, 0.03), (0, 0, z - 0.03), board)
        thing.surface((0, 0, z), x * 0.45, y * 0.35)
    return thing


def toilet(draw: Draw) -> Assembly:
    """Return a toilet with its cistern."""
    thing, white = Assembly(), draw.paint((0.85, 0.98), (0.0, 0.1))
    thing.rod(0.13, 0.38, (0, -0.1, 0), white)
    thing.rod(0.2, 0.05, (0, -0.13, 0.37), white)
    return thing.box((0.4, 0.18, 0.38), (0, 0.22, 0.4), white)


def _board(draw: Draw) -> Material:
    if draw.chance(0.55):
        return draw.wood()
    return draw.paint(PALE if draw.chance(0.6) else MID if draw.chance(0.5) else ANY)


LIVING: tuple[Maker, ...] = (
    sofa,
    sofa,
    coffee_table,
    round_table,
    bookshelf,
    cabinet,
    television,
    floor_lamp,
    house_plant,
    chair,
    table,
)
BEDROOM: tuple[Maker, ...] = (bed, bed, cabinet, cabinet, desk, chair, bookshelf, floor_lamp, bin_)
KITCHEN: tuple[Maker, ...] = (counter, counter, stove, fridge, table, chair, stool, bin_)
OFFICE: tuple[Maker, ...] = (
    desk,
    desk,
    desk,
    office_chair,
    cabinet,
    bookshelf,
    bin_,
    house_plant,
    shelf_rack,
)
STORAGE: tuple[Maker, ...] = (shelf_rack, shelf_rack, cabinet, table, ladder, bin_, stool, toilet)
