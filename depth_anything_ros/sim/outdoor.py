"""Places under the sky: streets, parking grounds and open country."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.sim import street_furniture as along
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.furniture import Maker
from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.layout import Box, Footprint, Plot
from depth_anything_ros.sim.palette import MID, Draw, draw_of
from depth_anything_ros.sim.people import bicycle, pedestrian, tripod_sign
from depth_anything_ros.sim.scene import Colour, Light, Scene, Shape, Sky, Vector
from depth_anything_ros.sim.vegetation import bush, hedge, log, rock, tree
from depth_anything_ros.sim.vehicles import car, truck, van, vehicle

_SIDEWALK: tuple[Maker, ...] = (
    pedestrian,
    pedestrian,
    pedestrian,
    bicycle,
    along.bollard,
    along.dustbin,
    along.bench,
    along.shelter,
    tripod_sign,
    bush,
)


def daylight(draw: Draw) -> tuple[tuple[Light, ...], Colour, Sky, float]:
    """Draw sun, ambient light, sky and haze: from noon to dusk, clear to overcast."""
    azimuth = draw.between(-math.pi, math.pi)
    elevation = math.radians(draw.between(10, 70))
    level = math.cos(elevation)
    towards = (level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation))
    overcast = draw.chance(0.3)
    strength = draw.between(0.05, 0.3) if overcast else draw.between(0.5, 1.2)
    low = 1 - math.sin(elevation)
    warm = 0.35 * low**2
    sun = Light(towards, (strength, strength * (1 - warm), strength * (1 - 1.6 * warm)), True)
    base = draw.between(0.4, 0.8) if overcast else draw.between(0.2, 0.45)
    blue = 1.0 if overcast else draw.between(1.05, 1.3)
    zenith = draw.hued((0.54, 0.63), (0.05, 0.75), (0.5, 1.0))
    horizon = draw.hued((0.5, 0.62), (0.02, 0.2), (0.75, 1.0))
    if draw.chance(0.15):
        horizon = draw.hued((0.04, 0.12), (0.1, 0.5), (0.8, 1.0))
    cloud = draw.between(0.7, 1.0) if overcast else draw.between(0, 0.7)
    sky = Sky(zenith, horizon, cloud, draw.count(0, 10**6))
    haze = draw.between(0.0, 0.01) if draw.chance(0.3) else draw.between(0.0, 0.002)
    return (sun,), (base * 0.95, base, base * blue), sky, haze


def street(seed: int) -> Scene:
    """Build a street along x: road, kerbs, sidewalks, façades or gardens, cars and people."""
    draw = draw_of(seed, "street")
    road, walk = draw.between(3.2, 6.5), draw.between(1.6, 4.5)
    plot = Plot(draw, (75.0, 30.0), limit=200)
    _road(plot, road, walk)
    lane_y = -road * draw.between(0.3, 0.55)
    start, end = -30.0, draw.between(-8.0, 20.0)
    path = plot.lane([(start, lane_y), (end, lane_y)])
    forward = draw.chance(0.75)
    _traffic(plot, road, end + 5.0)
    _edges(plot, road, walk)
    _along_sidewalk(plot, road, walk)
    curb = road + 0.4
    far = min(end, 5.0)
    stand: tuple[Box, ...] = (
        ((start, lane_y - 0.4, 1.2), (far, lane_y + 0.4, 1.8)),
        ((start, lane_y - 0.4, 1.3), (far, lane_y + 0.4, 2.0)),
        ((start, lane_y - 0.4, 0.5), (far, lane_y + 0.4, 1.4)),
    )
    if draw.chance(0.4):
        stand += (((start, -curb - walk * 0.6, 1.3), (far, -curb, 1.8)),)
    return _outdoors(plot, "street", seed, stand, path, 0.0 if forward else math.pi, (-0.12, 0.15))


def _outdoors(
    plot: Plot,
    kind: str,
    seed: int,
    stand: tuple[Box, ...],
    path: tuple[Vector, ...],
    gaze: float | None,
    pitch: tuple[float, float],
) -> Scene:
    lights, ambient, sky, haze = daylight(plot.draw)
    surfaces = tuple(plot.builder.primitives)
    return Scene(kind, seed, surfaces, lights, ambient, sky, haze, stand, path, gaze, pitch)


def _road(plot: Plot, road: float, walk: float) -> None:
    """Add the ground, sidewalks with kerbs of 0.12 m, and the stripes of the lanes."""
    draw = plot.draw
    plot.builder.begin()
    plot.builder.add(Shape.PLANE, (1, 1, 1), (0, 0, 0), draw.stone((0.25, 0.6)))
    paving = draw.pick((draw.tiles((0.3, 0.6)), draw.stone(), draw.brick(), draw.earth()))
    kerb = draw.stone((0.5, 0.85))
    for side in (-1.0, 1.0):
        strip = Assembly()
        strip.box((300, walk, 0.12), (0, side * (road + 0.15 + walk / 2), 0), paving)
        strip.box((300, 0.15, 0.125), (0, side * (road + 0.075), 0), kerb)
        garden = road + 0.15 + walk
        strip.box((300, 40, 0.1), (0, side * (garden + 20), 0), draw.earth())
        plot.add(strip, 0, 0)
    paint, stripes = draw.paint((0.8, 0.98), (0.0, 0.1)), Assembly()
    if draw.chance(0.75):
        for k in range(8):
            stripes.box((3.0, 0.13, 0.003), (-32 + 9 * k, 0, 0), paint)
    if draw.chance(0.5):
        for side in (-1.0, 1.0):
            stripes.box((300, 0.12, 0.003), (0, side * (road - 0.3), 0), paint)
    if draw.chance(0.35):
        x, count = draw.between(-15, 20), int(road)
        for k in range(-count, count):
            stripes.box((3.0, 0.5, 0.004), (x, k + 0.5, 0), paint)
    if stripes.parts:
        plot.add(stripes, 0, 0)


def _traffic(plot: Plot, road: float, ahead: float) -> None:
    """Park cars at the kerbs, and let others come and go."""
    draw = plot.draw
    parked = draw.pick((0, 1, 3, 5), (2, 2, 3, 2))
    for _ in range(parked):
        side = draw.sign()
        yaw = 0.0 if side < 0 else math.pi
        thing = draw.pick((car, van), (4, 1))(draw)
        plot.put(thing, draw.between(-25, 35), side * (road - 1.05), yaw, gap=0.6)
    for _ in range(draw.count(0, 3)):
        thing, coming = vehicle(draw), draw.chance(0.5)
        if coming:
            plot.put(thing, draw.between(-25, 50), road * 0.45, math.pi, gap=1.5)
        else:
            x = ahead + thing.half()[0] + draw.between(1, 35)
            plot.put(thing, x, -road * 0.45, draw.between(-0.03, 0.03), gap=1.5)
    if draw.chance(0.3):
        thing = draw.pick((pedestrian, bicycle))(draw)
        plot.put(thing, draw.between(-20, 40), draw.between(-0.9, 0.9) * road, draw.between(-3, 3))


def _edges(plot: Plot, road: float, walk: float) -> None:
    """Line both sides: a closed front of buildings, single houses, or greenery."""
    draw = plot.draw
    for side in (-1.0, 1.0):
        style = draw.pick(("front", "houses", "green"), (4, 3, 2))
        edge = road + 0.15 + walk + (0.0 if style == "front" else draw.between(2, 9))
        x = -45.0 - draw.between(0, 6)
        while x < 55 and style != "green":
            width = draw.between(7, 18)
            setback = draw.between(0, 0.8) if style == "front" else draw.between(0, 3)
            # The fronts of both sides look at the road.
            yaw = 0.0 if side > 0 else math.pi
            plot.add(along.facade(draw, width), x + width / 2, side * (edge + setback), yaw)
            x += width + (0.0 if style == "front" else draw.between(2, 12))
            if not plot.has_room_for(70 if side < 0 else 25):
                break
        if style != "front":
            _greenery(plot, side, road + 0.5 + walk, edge, draw.count(4, 8))


def _greenery(plot: Plot, side: float, near: float, edge: float, count: int) -> None:
    draw = plot.draw
    for _ in range(count):
        make = draw.pick((tree, bush, hedge, along.fence), (4, 3, 2, 2))
        flat = make in (hedge, along.fence)
        y = near if flat else draw.between(near + 0.8, max(edge, near + 3))
        plot.put(make(draw), draw.between(-30, 55), side * y, gap=-0.3)


def _along_sidewalk(plot: Plot, road: float, walk: float) -> None:
    """Add lamp posts, signs, trees and traffic lights at the kerb, people and benches behind."""
    draw = plot.draw
    kerb = road + 0.45
    for side in (-1.0, 1.0):
        facing = 0.0 if side > 0 else math.pi
        spacing, first = draw.between(14, 30), draw.between(-28, -12)
        for k in range(3):
            if draw.chance(0.7):
                plot.put(
                    along.lamp_post(draw), first + k * spacing, side * kerb, facing, gap=-2, z=0.1
                )
        for make in (along.sign, along.sign, along.traffic_light):
            if draw.chance(0.45):
                plot.put(make(draw), draw.between(-20, 40), side * kerb, gap=-2, z=0.1)
        if draw.chance(0.4) and walk > 2:
            kind, step = tree(draw), draw.between(6, 12)
            for k in range(4):
                plot.add(kind, -25 + k * step, side * (kerb + 0.4), draw.between(-3, 3), z=0.1)
    if draw.chance(0.3):
        y = draw.sign() * (road + walk)
        plot.add(along.utility_pole(draw, 25), draw.between(-15, 25), y, z=0.1)
    if draw.chance(0.2):
        plot.put(along.guard_rail(draw), draw.between(-10, 20), road + 0.3, gap=-0.5, z=0.1)
    for _ in range(draw.count(2, 10)):
        thing, side = draw.pick(_SIDEWALK)(draw), draw.sign()
        y = side * (road + 0.15 + draw.between(0.3, 0.9) * walk)
        yaw = draw.pick((0.0, math.pi)) if side > 0 else math.pi
        plot.put(thing, draw.between(-28, 40), y, yaw, z=0.12)


def parking(seed: int) -> Scene:
    """Build a parking ground: rows of bays of 2.5 by 5 m, lamps, trees and buildings behind."""
    draw = draw_of(seed, "parking")
    plot = Plot(draw, (60.0, 40.0), limit=200)
    plot.builder.begin()
    plot.builder.add(Shape.PLANE, (1, 1, 1), (0, 0, 0), draw.stone((0.25, 0.6)))
    path = plot.lane([(-16.0, 0.0), (16.0, 0.0)])
    lines, paint = Assembly(), draw.paint((0.7, 0.98), (0.0, 0.4))
    aisle, count = draw.between(2.6, 3.5), 9
    for side in (-1.0, 1.0):
        for k in range(count + 1):
            at = ((k - count / 2) * 2.5, side * (aisle + 2.5), 0)
            lines.box((0.1, 5.0, 0.003), at, paint)
    plot.add(lines, 0, 0)
    for _ in range(draw.count(3, 7)):
        row, bay = draw.sign(), draw.count(0, count - 1)
        yaw = draw.sign() * math.pi / 2 + draw.between(-0.05, 0.05)
        thing = draw.pick((car, van), (6, 1))(draw)
        plot.put(thing, (bay - count / 2 + 0.5) * 2.5, row * (aisle + 2.6), yaw, gap=0.1)
    for side in (-1.0, 1.0):
        if draw.chance(0.6):
            width, yaw = draw.between(15, 45), 0.0 if side > 0 else math.pi
            plot.add(
                along.facade(draw, width), draw.between(-15, 15), side * draw.between(13, 30), yaw
            )
    for _ in range(draw.count(4, 14)):
        make = draw.pick(
            (tree, tree, bush, along.lamp_post, along.fence, pedestrian, along.bollard)
        )
        plot.put(make(draw), draw.between(-30, 30), draw.sign() * draw.between(2, 14))
    stand: tuple[Box, ...] = (
        ((-16.0, -aisle + 0.6, 0.5), (16.0, aisle - 0.6, 1.9)),
        ((-16.0, -0.5, 0.3), (16.0, 0.5, 1.2)),
    )
    return _outdoors(plot, "parking", seed, stand, path, None, (-0.12, 0.2))


def ground(seed: int) -> Scene:
    """Build open country: rolling or level ground, rocks, trees, bushes, far hills, a path."""
    draw = draw_of(seed, "ground")
    plot = Plot(draw, (45.0, 45.0), limit=150)
    plot.builder.begin()
    rolling = draw.chance(0.65)
    if rolling:
        length = draw.between(4, 25)
        # Steeper ground than about 1 in 5 is no ground for a robot.
        size = (min(draw.between(0.05, 0.6), 0.03 * length), length, 1.0)
        plot.builder.add(Shape.HEIGHT_FIELD, size, (0, 0, 0), draw.earth())
    else:
        plot.builder.add(Shape.PLANE, (1, 1, 1), (0, 0, 0), draw.earth())
    reach = draw.between(4, 8)
    lane = plot.lane([(-reach, 0.0), (reach, 0.0)])
    if not rolling and draw.chance(0.6):
        track = Assembly()
        track.box((120, draw.between(1.2, 3.5), 0.01), (0, 0, 0), draw.stone(MID))
        plot.add(track, 0, 0)
    _hills(plot)
    _growth(plot, seed)
    walk = np.linspace(lane[0][0], lane[-1][0], 17)
    points = np.stack((walk, np.zeros(17)), axis=-1)
    heights = _heights(plot, seed, points)
    path = tuple((float(x), 0.0, float(z)) for x, z in zip(walk, heights, strict=True))
    stand = _open_stands(plot, seed)
    return _outdoors(plot, "ground", seed, stand, path, None, (-0.12, 0.3))


def _heights(plot: Plot, seed: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the ground, the first surface, under points (n, 2)."""
    scene = Scene("ground", seed, tuple(plot.builder.primitives[:1]), ())
    world = World([scene], dtype=torch.float64)
    above = 50.0
    origins = torch.from_numpy(np.column_stack((points, np.full(len(points), above))))
    down = torch.zeros_like(origins)
    down[:, 2] = -1.0
    which = torch.zeros(1, dtype=torch.int64)
    hit = world.trace(origins[None], down[None], which)
    return above - np.asarray(hit.distance[0].numpy(), np.float64)


def _growth(plot: Plot, seed: int) -> None:
    """Put what grows and lies there on the ground, denser near the middle."""
    draw = plot.draw
    makers: Sequence[Maker] = (tree, bush, rock, log, along.fence, pedestrian, truck, along.sign)
    weights = (5, 5, 6, 1.5, 1, 1, 0.15, 0.5)
    count = draw.count(6, 34)
    radius = np.array([2.0 + 38.0 * draw.between(0, 1) ** 1.6 for _ in range(count)])
    turn = np.array([draw.between(-math.pi, math.pi) for _ in range(count)])
    spots = np.stack((radius * np.cos(turn), radius * np.sin(turn)), axis=-1)
    for (x, y), z in zip(spots, _heights(plot, seed, spots), strict=True):
        thing = draw.pick(makers, weights)(draw)
        plot.put(thing, float(x), float(y), draw.between(-3, 3), z=float(z) - 0.04)


def _hills(plot: Plot) -> None:
    """Add hills and mountains at 50-150 m, and buildings there at times."""
    draw = plot.draw
    for _ in range(draw.count(0, 5)):
        distance, turn = draw.between(60, 150), draw.between(-math.pi, math.pi)
        x, y = distance * math.cos(turn), distance * math.sin(turn)
        hill, cover = Assembly(), draw.leaves() if draw.chance(0.5) else draw.earth()
        if draw.chance(0.5):
            radius, top = draw.between(40, 120), draw.between(6, 20)
            # It must leave the middle free: this is its reach on the ground.
            if math.sqrt(2 * radius * top) > distance - 35:
                continue
            hill.ball(radius, (0, 0, top - radius), cover)
        else:
            hill.cone(draw.between(0.3, 0.6) * distance - 5, draw.between(8, 35), (0, 0, -2), cover)
        plot.add(hill, x, y)
    if draw.chance(0.35):
        turn = draw.between(-math.pi, math.pi)
        distance = draw.between(22, 60)
        at = (distance * math.cos(turn), distance * math.sin(turn))
        plot.add(along.facade(draw, draw.between(8, 20)), *at, turn - math.pi / 2)


def _open_stands(plot: Plot, seed: int) -> tuple[Box, ...]:
    """Return boxes of 1 m on free ground, at the heights of robots and of eyes."""
    draw = plot.draw
    spots = np.array([(draw.between(-8, 8), draw.between(-8, 8)) for _ in range(20)])
    spots[:4, 1] = (-0.3, 0.3, 0.0, 0.0)
    heights = _heights(plot, seed, spots)
    boxes: list[Box] = []
    for (x, y), z in zip(spots.tolist(), heights.tolist(), strict=True):
        if any(Footprint(x, y, 0.5, 0.5).meets(other, 0.3) for other in plot.taken):
            continue
        low = draw.pick((0.4, 1.2))
        box = ((x - 0.5, y - 0.5, z + low), (x + 0.5, y + 0.5, z + low + 0.7))
        boxes.append(box)
    return tuple(boxes) or (((-1.0, -0.3, 1.2), (1.0, 0.3, 1.9)),)
