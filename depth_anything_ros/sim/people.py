"""People on foot and on bicycles."""

from __future__ import annotations

import math

from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.palette import Draw


def pedestrian(draw: Draw) -> Assembly:
    """Return a standing or walking person, 1.2-1.95 m tall, who looks along x."""
    height = draw.between(1.55, 1.95) if draw.chance(0.85) else draw.between(1.1, 1.5)
    return person(draw, height, draw.between(0, 0.3))


def person(draw: Draw, height: float, stride: float, lift: float = 0.0) -> Assembly:
    """Return a person; widths follow the height (head 1/8, hips at 0.5, shoulders at 0.82)."""
    body, skin = Assembly(), draw.skin()
    shirt, trousers = draw.fabric(), draw.fabric()
    hip, shoulder, half = height * 0.5 + lift, height * 0.82 + lift, height * 0.1
    for side in (-1, 1):
        foot = (side * stride, side * half * 0.6, 0.04 + lift)
        body.bar(foot, (0, side * half * 0.5, hip), height * 0.045, trousers)
        end = foot[0] + 0.06
        body.box((0.26, 0.1, 0.08), (end, foot[1], lift), draw.rubber())
        hand = (-side * stride * 0.8, side * half * 1.6, hip - 0.02)
        body.bar((0, side * half * 1.15, shoulder - 0.03), hand, height * 0.028, shirt)
        body.ball(height * 0.03, hand, skin)
    body.rod(half * 1.0, shoulder - hip + 0.05, (0, 0, hip - 0.05), shirt)
    body.bar((0, -half, shoulder - 0.04), (0, half, shoulder - 0.04), half * 0.5, shirt)
    body.rod(height * 0.03, height * 0.08, (0, 0, shoulder), skin)
    top = height * 0.93 + lift
    body.ball(height * 0.062, (0.01, 0, top), skin)
    body.ball(height * 0.064, (-0.015, 0, top + 0.02), draw.paint((0.05, 0.6), (0.0, 0.6)))
    if draw.chance(0.3):
        body.box((0.16, 0.3, 0.42), (-half - 0.1, 0, hip + 0.05), draw.surface())
    return body


def bicycle(draw: Draw) -> Assembly:
    """Return a bicycle along x, 1.7 m long, with wheels of 0.68 m; often with a rider."""
    bike, paint, dark = Assembly(), draw.metal(), draw.rubber()
    if draw.chance(0.5):
        bike = person(draw, draw.between(1.6, 1.9), 0.1, 0.15)
    for x in (-0.52, 0.52):
        bike.bar((x, -0.018, 0.34), (x, 0.018, 0.34), 0.34, dark)
    ends = (
        ((-0.52, 0, 0.34), (-0.05, 0, 0.3)),
        ((-0.05, 0, 0.3), (-0.18, 0, 0.9)),
        ((-0.15, 0, 0.8), (0.38, 0, 0.82)),
        ((-0.05, 0, 0.3), (0.38, 0, 0.75)),
        ((0.52, 0, 0.34), (0.36, 0, 1.0)),
        ((0.36, -0.28, 1.02), (0.36, 0.28, 1.02)),
    )
    for start, end in ends:
        bike.bar(start, end, 0.017, paint)
    return bike.box((0.25, 0.14, 0.06), (-0.2, 0, 0.9), dark)


def tripod_sign(draw: Draw) -> Assembly:
    """Return a sandwich board, 1 m high."""
    board, face = Assembly(), draw.print((0.4, 0.7))
    lean = math.radians(12)
    for side in (-1, 1):
        board.box((0.03, 0.6, 1.0), (side * 0.12, 0, 0), face, pitch=-side * lean)
    return board
