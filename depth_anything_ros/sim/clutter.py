"""Small things, in their real sizes: what lies on desks, shelves and floors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import ANY, PALE, Draw, Range


def book(draw: Draw) -> Assembly:
    """Return one to four books that lie on each other, 0.15-0.3 m long."""
    thing, z = Assembly(), 0.0
    for _ in range(draw.count(1, 4)):
        thickness = draw.between(0.01, 0.05)
        size = (draw.between(0.12, 0.22), draw.between(0.18, 0.3), thickness)
        cover = draw.print((0.15, 0.3)) if draw.chance(0.6) else draw.paint()
        thing.box(size, (0, 0, z), cover, yaw=draw.between(-0.3, 0.3))
        z += thickness
    return thing


def mug(draw: Draw) -> Assembly:
    """Return a mug, 0.08-0.12 m high."""
    thing, paint = Assembly(), draw.paint()
    radius, height = draw.between(0.035, 0.05), draw.between(0.08, 0.12)
    thing.rod(radius, height, (0, 0, 0), paint)
    return thing.box((0.03, 0.01, height * 0.6), (radius + 0.012, 0, height * 0.2), paint)


def bottle(draw: Draw) -> Assembly:
    """Return a bottle, 0.2-0.33 m high, with a label."""
    thing = Assembly()
    body = draw.glass() if draw.chance(0.3) else draw.paint()
    radius, height = draw.between(0.03, 0.05), draw.between(0.12, 0.2)
    thing.rod(radius, height, (0, 0, 0), body)
    thing.rod(radius * 1.02, height * 0.4, (0, 0, height * 0.3), draw.print((0.05, 0.12)))
    thing.cone(radius, radius * 2.2, (0, 0, height), body)
    return thing.rod(0.014, draw.between(0.05, 0.09), (0, 0, height + 0.02), draw.paint())


def can(draw: Draw) -> Assembly:
    """Return a can or a jar."""
    thing = Assembly()
    skin = draw.print((0.05, 0.15)) if draw.chance(0.6) else draw.metal()
    return thing.rod(draw.between(0.03, 0.06), draw.between(0.05, 0.16), (0, 0, 0), skin)


def packet(draw: Draw) -> Assembly:
    """Return a packet or a small box, 0.05-0.35 m."""
    size = (draw.between(0.05, 0.35), draw.between(0.05, 0.3), draw.between(0.03, 0.35))
    return Assembly().box(size, (0, 0, 0), draw.print() if draw.chance(0.5) else draw.surface())


def carton(draw: Draw) -> Assembly:
    """Return a cardboard box with tape, 0.25-0.6 m."""
    thing = Assembly()
    size = (draw.between(0.25, 0.6), draw.between(0.2, 0.45), draw.between(0.15, 0.45))
    board = draw.paint((0.45, 0.75), (0.3, 0.5)) if draw.chance(0.3) else draw.wood()
    thing.box(size, (0, 0, 0), board)
    thing.box((size[0] * 1.002, 0.05, 0.004), (0, 0, size[2] - 0.002), draw.paint(PALE))
    if draw.chance(0.6):
        label = (size[0] * 0.3, 0.004, size[2] * 0.35)
        thing.box(label, (size[0] * 0.2, -size[1] / 2, size[2] * 0.3), draw.print((0.08, 0.2)))
    return thing.surface((0, 0, size[2]), size[0] * 0.4, size[1] * 0.4)


def bowl(draw: Draw) -> Assembly:
    """Return a plate or a bowl of fruit."""
    thing, radius = Assembly(), draw.between(0.08, 0.14)
    thing.rod(radius, draw.between(0.015, 0.06), (0, 0, 0), draw.paint())
    for _ in range(draw.count(0, 4)):
        at = (draw.between(-0.5, 0.5) * radius, draw.between(-0.5, 0.5) * radius, 0.07)
        thing.ball(draw.between(0.025, 0.045), at, draw.paint(ANY, (0.4, 1.0)))
    return thing


def ball(draw: Draw) -> Assembly:
    """Return a ball, from a tennis ball (0.065 m) to a football (0.22 m)."""
    thing, radius = Assembly(), draw.pick((0.033, 0.05, 0.075, 0.11))
    return thing.ball(radius, (0, 0, radius), draw.surface())


def monitor(draw: Draw) -> Assembly:
    """Return a monitor of 19 to 32 inches on its foot."""
    thing, shell = Assembly(), draw.paint(ANY, (0.0, 0.2))
    width = draw.between(0.42, 0.72)
    height, low = width * draw.pick((0.56, 0.625, 0.75)), draw.between(0.08, 0.16)
    thing.box((width, 0.04, height), (0, 0, low), shell)
    thing.box((width - 0.03, 0.004, height - 0.03), (0, -0.021, low + 0.015), draw.screen())
    thing.box((0.06, 0.03, low + 0.1), (0, 0.03, 0), shell)
    return thing.box((0.24, 0.18, 0.015), (0, 0, 0), shell)


def laptop(draw: Draw) -> Assembly:
    """Return an open laptop, 0.3-0.38 m wide."""
    thing, shell = Assembly(), draw.metal()
    width = draw.between(0.3, 0.38)
    depth = width * 0.68
    thing.box((width, depth, 0.018), (0, 0, 0), shell)
    thing.box((width * 0.85, depth * 0.45, 0.002), (0, 0.02, 0.018), draw.keys())
    lean, y = draw.between(-0.4, -0.05), depth / 2 + 0.02
    thing.box((width, 0.01, depth), (0, y, 0.01), shell, roll=lean)
    thing.box((width * 0.94, 0.004, depth * 0.9), (0, y - 0.008, 0.02), draw.screen(), roll=lean)
    return thing


def keyboard(draw: Draw) -> Assembly:
    """Return a keyboard and a mouse."""
    thing, shell = Assembly(), draw.paint(ANY, (0.0, 0.2))
    thing.box((draw.between(0.3, 0.45), 0.14, 0.02), (0, 0, 0), shell)
    thing.box((0.29, 0.11, 0.008), (0, 0, 0.018), draw.keys())
    return thing.box((0.06, 0.1, 0.03), (0.3, 0, 0), shell)


def desk_lamp(draw: Draw) -> Assembly:
    """Return a desk lamp, 0.3-0.5 m high."""
    thing, paint = Assembly(), draw.paint()
    height = draw.between(0.28, 0.5)
    thing.rod(draw.between(0.06, 0.1), 0.02, (0, 0, 0), paint)
    thing.rod(0.008, height, (0, 0, 0), paint)
    shade = draw.glowing((0.6, 1.5)) if draw.chance(0.5) else draw.fabric()
    if draw.chance(0.5):
        thing.cone(draw.between(0.08, 0.14), 0.16, (0, 0, height - 0.06), shade)
    else:
        thing.rod(draw.between(0.07, 0.14), 0.16, (0, 0, height - 0.06), shade)
    return thing


def potted_plant(draw: Draw) -> Assembly:
    """Return a small plant in a pot."""
    thing, radius = Assembly(), draw.between(0.05, 0.1)
    thing.rod(radius, radius * 1.8, (0, 0, 0), draw.paint())
    leaves = draw.leaves()
    for _ in range(draw.count(2, 4)):
        at = (draw.between(-1, 1) * radius, draw.between(-1, 1) * radius, radius * 2.6)
        thing.ball(radius * draw.between(0.6, 1.2), at, leaves)
    return thing


def paper(draw: Draw) -> Assembly:
    """Return sheets of paper or a phone."""
    size = draw.pick(((0.21, 0.297, 0.003), (0.148, 0.21, 0.006), (0.075, 0.15, 0.009)))
    return Assembly().box(size, (0, 0, 0), draw.print((0.1, 0.3)))


def toy(draw: Draw) -> Assembly:
    """Return a stuffed animal."""
    thing, cloth = Assembly(), draw.fabric()
    r = draw.between(0.05, 0.1)
    thing.ball(r, (0, 0, r), cloth)
    thing.ball(r * 0.75, (0, 0, r * 2.4), cloth)
    for x in (-r * 0.6, r * 0.6):
        thing.ball(r * 0.3, (x, 0, r * 3.0), cloth)
        thing.bar((x, 0, r * 0.4), (x * 1.4, -r * 1.3, r * 0.3), r * 0.3, cloth)
    return thing


def pen_cup(draw: Draw) -> Assembly:
    """Return a cup of pens."""
    thing = Assembly()
    thing.rod(0.04, 0.1, (0, 0, 0), draw.surface())
    for _ in range(draw.count(2, 4)):
        top = (draw.between(-0.05, 0.05), draw.between(-0.05, 0.05), draw.between(0.14, 0.18))
        thing.bar((0, 0, 0.02), top, 0.004, draw.paint())
    return thing


def tool(draw: Draw) -> Assembly:
    """Return a gadget of two or three solids: a toaster, a tin opener, a toy brick, a cup."""
    thing, z = Assembly(), 0.0
    for _ in range(draw.count(1, 3)):
        radius, height = draw.between(0.02, 0.12), draw.between(0.02, 0.12)
        if draw.chance(0.5):
            size = (2 * radius, draw.between(0.03, 0.2), height)
            thing.box(size, (0, 0, z), draw.surface(), yaw=draw.between(-1, 1))
        elif draw.chance(0.7):
            thing.rod(radius, height, (0, 0, z), draw.surface())
        else:
            thing.cone(radius, height, (0, 0, z), draw.surface())
        z += height
    return thing


def bends(
    draw: Draw, start: tuple[float, float], turn: float, bend: float, step_m: Range, count: int
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield the two ends of each piece of what lies on a floor in bends, as long as it is asked.

    Args:
        draw: of the scene; a piece takes two draws.
        start: of the first piece, x and y in metres.
        turn: direction that it comes from, in radians.
        bend: the most that a piece turns by, in radians.
        step_m: length of a piece.
        count: of pieces.
    """
    for _ in range(count):
        turn += draw.between(-bend, bend)
        step = draw.between(*step_m)
        end = (start[0] + step * math.cos(turn), start[1] + step * math.sin(turn))
        yield start, end
        start = end


def cable(draw: Draw) -> Assembly:
    """Return a cable that lies about, 0.5-2 m long in bends, or a power strip with one."""
    thing, skin = Assembly(), draw.rubber() if draw.chance(0.6) else draw.paint()
    radius, turn = draw.between(0.003, 0.006), draw.between(-3, 3)
    for start, end in bends(draw, (0.0, 0.0), turn, 0.9, (0.1, 0.3), draw.count(4, 8)):
        thing.bar((*start, radius), (*end, radius), radius, skin)
    if draw.chance(0.4):
        thing.box((0.28, 0.05, 0.04), (0, 0, 0), draw.paint(PALE, (0.0, 0.1)))
    return thing


def bag(draw: Draw) -> Assembly:
    """Return a bag, a heap of clothes or a cushion on the floor, 0.2-0.5 m."""
    thing, cloth = Assembly(), draw.fabric()
    for _ in range(draw.count(2, 4)):
        r = draw.between(0.08, 0.2)
        at = (draw.between(-0.15, 0.15), draw.between(-0.15, 0.15), r * draw.between(0.3, 0.9))
        thing.ball(r, at, cloth)
    if draw.chance(0.5):
        thing.box((0.35, 0.18, draw.between(0.2, 0.4)), (0, 0, 0), draw.fabric())
    return thing


SMALL: tuple[Callable[[Draw], Assembly], ...] = (
    book,
    mug,
    bottle,
    can,
    packet,
    bowl,
    ball,
    desk_lamp,
    potted_plant,
    paper,
    toy,
    pen_cup,
    tool,
)
OFFICE: tuple[Callable[[Draw], Assembly], ...] = (monitor, laptop, keyboard, paper, book, pen_cup)
KITCHEN: tuple[Callable[[Draw], Assembly], ...] = (bottle, can, bowl, mug, packet, tool)
STORE: tuple[Callable[[Draw], Assembly], ...] = (carton, packet, can, bottle, book, tool)
FLOOR: tuple[Callable[[Draw], Assembly], ...] = (carton, carton, bag, cable, ball, toy)
