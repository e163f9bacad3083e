"""What hangs on walls and ceilings; the wall is y = 0 and the thing lies at -y."""

from __future__ import annotations

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import PALE, Draw
from depth_anything_ros.sim.scene import Material, Texture


def door(draw: Draw) -> Assembly:
    """Return a door of 2.0 by 0.8-0.95 m in its frame, of wood, paint or glass."""
    thing, frame = Assembly(), draw.paint() if draw.chance(0.6) else draw.wood()
    width, height = draw.between(0.8, 0.95), draw.between(1.98, 2.1)
    leaf = draw.pick((draw.wood(), draw.paint(PALE), draw.paint(), draw.glass()), (3, 3, 2, 1))
    thing.box((width, 0.03, height), (0, -0.02, 0), leaf)
    thing.box((0.08, 0.06, height), (width / 2 + 0.04, -0.03, 0), frame, both="x")
    thing.box((width + 0.16, 0.06, 0.08), (0, -0.03, height), frame)
    side = draw.sign() * (width / 2 - 0.08)
    thing.box((0.12, 0.05, 0.025), (side * 0.9, -0.06, 1.03), draw.metal())
    if draw.chance(0.4):
        pane = draw.glass() if draw.chance(0.5) else draw.wood()
        thing.box((width * 0.5, 0.01, height * 0.35), (0, -0.038, height * 0.55), pane)
    return thing


def window(draw: Draw) -> Assembly:
    """Return a window by day or by night: a pane in a frame, 0.9 m above the floor."""
    thing, frame = Assembly(), draw.paint(PALE, (0.0, 0.3))
    width, height = draw.between(0.7, 2.4), draw.between(0.9, 1.5)
    low = draw.between(0.8, 1.0)
    thing.box((width, 0.01, height), (0, -0.005, low), _outside(draw))
    for x in (-width / 2, 0.0, width / 2):
        thing.box((0.06, 0.05, height), (x, -0.025, low), frame)
    for z in (low - 0.05, low + height):
        thing.box((width + 0.06, 0.07, 0.05), (0, -0.035, z), frame)
    if draw.chance(0.5):
        thing.box((width + 0.2, 0.16, 0.03), (0, -0.08, low - 0.08), frame)
    return thing


def _outside(draw: Draw) -> Material:
    if draw.chance(0.2):
        return draw.glass()
    sky = (draw.between(0.6, 1.0), draw.between(0.8, 1.0), 1.0)
    texture = draw.pick((Texture.PLAIN, Texture.NOISE, Texture.FOLIAGE), (4, 2, 1))
    return Material(
        sky,
        draw.leaves().colour,
        texture,
        0.4,
        roughness=0.1,
        glow=draw.pick((draw.between(0.5, 1.5), draw.between(1.5, 4.0))),
    )


def picture(draw: Draw) -> Assembly:
    """Return a framed picture, poster or sheet."""
    thing = Assembly()
    width, height = draw.between(0.2, 1.2), draw.between(0.2, 0.9)
    inside = draw.print((0.2, 1.2)) if draw.chance(0.6) else draw.surface()
    thing.box((width, 0.02, height), (0, -0.012, 0), draw.surface())
    edge = draw.between(0.01, 0.06)
    return thing.box((width - edge, 0.02, height - edge), (0, -0.014, edge / 2), inside)


def whiteboard(draw: Draw) -> Assembly:
    """Return a whiteboard or a notice board, 1.2-2.4 m wide."""
    thing, width = Assembly(), draw.between(1.2, 2.4)
    thing.box((width, 0.02, 1.1), (0, -0.012, 0), draw.metal())
    return thing.box((width - 0.06, 0.02, 1.04), (0, -0.016, 0.03), draw.print((0.4, 1.2)))


def mirror(draw: Draw) -> Assembly:
    """Return a mirror in a frame."""
    thing = Assembly()
    width, height = draw.between(0.4, 1.2), draw.between(0.5, 1.3)
    thing.box((width + 0.06, 0.02, height + 0.06), (0, -0.012, -0.03), draw.surface())
    return thing.box((width, 0.01, height), (0, -0.024, 0), draw.mirror())


def wall_shelf(draw: Draw) -> Assembly:
    """Return a board on a wall."""
    thing, width, depth = Assembly(), draw.between(0.5, 1.4), draw.between(0.15, 0.28)
    thing.box((width, depth, 0.025), (0, -depth / 2, 0), draw.wood())
    return thing.surface((0, -depth / 2, 0.025), width * 0.42, depth * 0.25)


def clock(draw: Draw) -> Assembly:
    """Return a round clock or a ventilation grille."""
    thing, radius = Assembly(), draw.between(0.1, 0.22)
    start, end = (0.0, -0.001, radius), (0.0, -0.04, radius)
    thing.bar(start, end, radius, draw.paint())
    return thing.bar(start, (0, -0.045, radius), radius * 0.85, draw.paint(PALE))


def radiator(draw: Draw) -> Assembly:
    """Return a radiator under a window, 0.5-0.6 m high."""
    thing, width = Assembly(), draw.between(0.6, 1.6)
    ribs = Material(draw.colour(PALE, (0.0, 0.1)), (0.3, 0.3, 0.3), Texture.STRIPES, 0.05)
    thing.box((width, 0.09, draw.between(0.5, 0.6)), (0, -0.08, 0.12), ribs)
    return thing.bar((width / 2, -0.05, 0.15), (width / 2 + 0.1, -0.05, 0.0), 0.012, draw.metal())


def curtain(draw: Draw) -> Assembly:
    """Return two curtains on a rod, down to near the floor."""
    thing, width, top = Assembly(), draw.between(1.4, 2.6), draw.between(2.1, 2.3)
    folds = Material(draw.colour(), draw.colour(), Texture.STRIPES, draw.between(0.06, 0.2))
    low = draw.between(0.05, 0.8)
    for x in (-width / 2, width / 2):
        thing.box((draw.between(0.2, 0.5), 0.08, top - low), (x, -0.12, low), folds)
    return thing.bar((-width * 0.7, -0.12, top), (width * 0.7, -0.12, top), 0.013, draw.metal())


def switch(draw: Draw) -> Assembly:
    """Return a light switch or a socket, 0.08 m."""
    return Assembly().box((0.08, 0.012, 0.08), (0, -0.006, 0), draw.paint(PALE, (0.0, 0.1)))


def extinguisher(draw: Draw) -> Assembly:
    """Return a fire extinguisher on a wall."""
    thing, red = Assembly(), Material((0.6, 0.02, 0.02), gloss=0.6)
    thing.rod(0.075, 0.45, (0, -0.1, 0), red)
    thing.rod(0.03, 0.08, (0, -0.1, 0.45), draw.rubber())
    return thing.box((0.2, 0.005, 0.2), (0, -0.004, 0.75), draw.print((0.1, 0.2)))


def pipe(draw: Draw) -> Assembly:
    """Return one to three upright pipes."""
    thing, metal = Assembly(), draw.metal()
    for k in range(draw.count(1, 3)):
        thing.rod(draw.between(0.01, 0.06), draw.between(1.8, 2.4), (0.15 * k, -0.1, 0), metal)
    return thing


_AT_EYE = (picture, mirror, wall_shelf, clock, whiteboard, switch)


def at_eye(draw: Draw) -> Assembly:
    """Return something that hangs at eye height."""
    return draw.pick(_AT_EYE, (5, 1, 2, 0.7, 0.7, 1))(draw)
