"""Cars, vans and trucks of boxes and wheels; the front is +x, the origin on the ground."""

from __future__ import annotations

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import Draw
from depth_anything_ros.sim.scene import Finish, Material


def car(draw: Draw) -> Assembly:
    """Return a car, about 4.3 m long, 1.8 m wide and 1.45-1.7 m high."""
    body, paint, pane = Assembly(), draw.metal() if draw.chance(0.5) else draw.paint(), _pane(draw)
    length, width, low = draw.between(3.6, 4.9), draw.between(1.7, 1.9), draw.between(0.2, 0.3)
    belt, top = low + draw.between(0.6, 0.72), draw.between(1.42, 1.7)
    estate = draw.chance(0.5)
    rear, front = -length * (0.47 if estate else 0.36), length * draw.between(0.1, 0.16)
    body.box((length * 0.96, width, (belt - low) * 0.55), (0, 0, low), paint)
    body.box((length * 0.9, width * 0.97, belt - low), (-0.01, 0, low), paint)
    body.bar(*_across(length * 0.45, width * 0.96, belt - 0.16), 0.14, paint)
    cabin, middle = front - rear, (front + rear) / 2
    body.box((cabin, width * 0.86, top - belt - 0.04), (middle, 0, belt), pane)
    body.box((cabin * 0.9, width * 0.84, 0.05), (middle, 0, top - 0.05), paint)
    rise = top - belt
    body.box(
        (0.03, width * 0.84, rise * 1.6),
        (front + rise * 0.55, 0, belt - rise * 0.3),
        pane,
        pitch=-0.95,
    )
    body.box((0.08, 0.02, rise), (middle, width * 0.435, belt), paint, both="y")
    _wheels(body, draw, length * 0.31, width, draw.between(0.29, 0.35))
    _lights(body, draw, length * 0.48, width, low + 0.38)
    return body


def far_car(draw: Draw) -> Assembly:
    """Return a car or a van of few parts, to be seen from afar."""
    body, paint, pane = Assembly(), draw.metal() if draw.chance(0.5) else draw.paint(), _pane(draw)
    tall = draw.chance(0.2)
    length, width = draw.between(3.7, 4.9), draw.between(1.7, 1.9)
    belt, top = draw.between(0.85, 1.0), draw.between(1.9, 2.3) if tall else draw.between(1.42, 1.7)
    cabin = length * (0.8 if tall else draw.between(0.48, 0.62))
    body.box((length, width, belt - 0.25), (0, 0, 0.25), paint)
    at = length * (-0.08 if tall else draw.between(-0.1, -0.02))
    body.box((cabin, width * 0.86, top - belt), (at, 0, belt), pane)
    body.box((cabin * 0.85, width * 0.85, 0.07), (at, 0, top - 0.05), paint)
    for x in (-length * 0.31, length * 0.31):
        body.bar((x, -width * 0.49, 0.32), (x, width * 0.49, 0.32), 0.32, draw.rubber())
    _lights(body, draw, length * 0.5, width, 0.62)
    return body


def van(draw: Draw) -> Assembly:
    """Return a van, 4.8-5.8 m long and 1.9-2.6 m high."""
    body, paint, pane = Assembly(), draw.paint(), _pane(draw)
    length, width, top = draw.between(4.8, 5.8), draw.between(1.85, 2.05), draw.between(1.9, 2.6)
    front = length / 2
    body.box((length - 0.9, width, top - 0.3), (-0.45, 0, 0.3), paint)
    body.box((1.0, width * 0.98, 0.8), (front - 0.5, 0, 0.3), paint)
    body.box((0.9, width * 0.9, 0.7), (front - 0.95, 0, 1.05), pane, pitch=-0.35)
    body.box((0.9, 0.01, 0.55), (front - 1.6, width / 2, 1.15), pane, both="y")
    if draw.chance(0.4):
        body.box((length * 0.4, width + 0.01, 0.6), (-0.8, 0, 0.9), draw.print((0.4, 1.0)))
    body.box((0.01, width * 0.8, 0.55), (-front, 0, 1.2), pane)
    _wheels(body, draw, length * 0.31, width, 0.34)
    _lights(body, draw, front, width, 0.65)
    return body


def truck(draw: Draw) -> Assembly:
    """Return a truck, 6.5-12 m long, with a load box 2.5 m wide and up to 4 m high."""
    body, paint, pane = Assembly(), draw.paint(), _pane(draw)
    length, width, top = draw.between(6.5, 12), 2.4, draw.between(2.9, 3.9)
    front = length / 2
    body.box((2.0, width, 2.2), (front - 1.0, 0, 0.5), paint)
    body.box((0.02, width * 0.9, 0.8), (front, 0, 1.6), pane)
    body.box((0.8, 0.02, 0.7), (front - 0.8, width / 2, 1.65), pane, both="y")
    body.box((length - 2.3, 2.5, top - 1.0), (-1.15, 0, 1.0), draw.surface())
    body.box((length - 1, 0.9, 0.3), (-0.5, 0, 0.7), draw.rubber())
    _wheels(body, draw, length * 0.34, width, 0.48)
    _lights(body, draw, front, width, 0.75)
    return body


def bus(draw: Draw) -> Assembly:
    """Return a bus, 10-12 m long, 2.5 m wide and 3 m high."""
    body, paint, pane = Assembly(), draw.paint(), _pane(draw)
    length = draw.between(10, 12)
    body.box((length, 2.5, 2.7), (0, 0, 0.3), paint)
    body.box((length * 0.96, 2.52, 1.0), (0, 0, 1.5), pane)
    body.box((length * 1.002, 2.3, 1.4), (0, 0, 1.2), pane)
    for k in range(4):
        body.box((0.1, 2.53, 1.0), (length * (0.2 * k - 0.3), 0, 1.5), paint)
    _wheels(body, draw, length * 0.3, 2.5, 0.48)
    _lights(body, draw, length / 2, 2.5, 0.7)
    return body


def _pane(draw: Draw) -> Material:
    tint = draw.colour((0.1, 0.35), (0.0, 0.3))
    finish = Finish.GLASS if draw.chance(0.3) else Finish.MATTE
    return Material(tint, tint, roughness=0.0, gloss=0.9, finish=finish)


def _across(
    x: float, width: float, z: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return (x, -width / 2, z), (x, width / 2, z)


def _wheels(body: Assembly, draw: Draw, reach: float, width: float, radius: float) -> None:
    tyre = draw.rubber()
    for x in (-reach, reach):
        for side in (-1, 1):
            y = side * (width / 2 - 0.09)
            body.bar((x, y - 0.11, radius), (x, y + 0.11, radius), radius, tyre)


def _lights(body: Assembly, draw: Draw, reach: float, width: float, z: float) -> None:
    lit = draw.between(0.5, 2.0) if draw.chance(0.3) else 0.0
    white = Material((0.85, 0.85, 0.8), gloss=0.8, glow=lit)
    red = Material((0.5, 0.01, 0.01), gloss=0.6, glow=lit * 0.6)
    for x, lamp in ((reach, white), (-reach, red)):
        body.box((0.06, 0.3, 0.14), (x, width * 0.37, z), lamp, both="y")
    body.box((2 * reach + 0.08, 0.5, 0.11), (0, 0, z - 0.22), draw.print((0.3, 0.6)))
