"""Places under the sky: daylight, parking grounds and open country."""

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
from depth_anything_ros.sim.people import pedestrian
from depth_anything_ros.sim.scene import Colour, Light, Scene, Shape, Sky, Vector
from depth_anything_ros.sim.vegetation import bush, log, rock, tree
from depth_anything_ros.sim.vehicles import car, far_car, truck, van


def daylight(draw: Draw) -> tuple[tuple[Light, ...], Colour, Sky, float]:
    """Draw sun, ambient light, sky and haze: from noon to dusk, clear to overcast."""
    azimuth = draw.between(-math.pi, math.pi)
    elevation = math.radians(4 + 66 * draw.between(0, 1) ** 1.3)
    level = math.cos(elevation)
    towards = (level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation))
    overcast = draw.chance(0.3)
    strength = draw.between(0.05, 0.3) if overcast else draw.between(0.6, 1.5)
    low = 1 - math.sin(elevation)
    warm = 0.35 * low**2
    sun = Light(towards, (strength, strength * (1 - warm), strength * (1 - 1.6 * warm)), True)
    base = draw.between(0.4, 0.8) if overcast else draw.between(0.1, 0.4)
    blue = 1.0 if overcast else draw.between(1.05, 1.3)
    zenith = draw.hued((0.54, 0.63), (0.05, 0.75), (0.5, 1.0))
    horizon = draw.hued((0.5, 0.62), (0.02, 0.2), (0.75, 1.0))
    if draw.chance(0.15):
        horizon = draw.hued((0.04, 0.12), (0.1, 0.5), (0.8, 1.0))
    cloud = draw.between(0.7, 1.0) if overcast else draw.between(0, 0.7)
    sky = Sky(zenith, horizon, cloud, draw.count(0, 10**6))
    haze = draw.between(0.0, 0.01) if draw.chance(0.3) else draw.between(0.0, 0.002)
    return (sun,), (base * 0.95, base, base * blue), sky, haze


def outdoors(
    plot: Plot,
    kind: str,
    seed: int,
    stand: tuple[Box, ...],
    path: tuple[Vector, ...],
    gaze: float | None,
    pitch: tuple[float, float],
) -> Scene:
    """Return a scene of what was put down, by daylight; see ``Scene`` for the rest."""
    lights, ambient, sky, haze = daylight(plot.draw)
    return plot.scene(kind, seed, lights, ambient, stand, path, gaze, pitch, sky, haze)


def parking(seed: int) -> Scene:
    """Build a parking ground: rows of bays of 2.5 by 5 m, lamps, trees and buildings behind."""
    draw = draw_of(seed, "parking")
    plot = Plot(draw, (60.0, 40.0), limit=200)
    plot.shell(Shape.PLANE, draw.stone((0.25, 0.6)))
    path = plot.lane([(-16.0, 0.0), (16.0, 0.0)])
    lines, paint = Assembly(), draw.paint((0.7, 0.98), (0.0, 0.4))
    aisle, count = draw.between(2.6, 3.5), 9
    for side in (-1.0, 1.0):
        for k in range(count + 1):
            at = ((k - count / 2) * 2.5, side * (aisle + 2.5), 0)
            lines.box((0.1, 5.0, 0.003), at, paint)
    plot.add(lines)
    for k in range(draw.count(5, 18)):
        row, bay = draw.sign(), draw.count(0, count - 1)
        yaw = draw.sign() * math.pi / 2 + draw.between(-0.05, 0.05)
        thing = far_car(draw) if k > 5 else draw.pick((car, van), (6, 1))(draw)
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
    return outdoors(plot, "parking", seed, stand, path, None, (-0.12, 0.2))


def ground(seed: int) -> Scene:
    """Build open country: rolling or level ground, rocks, trees, bushes, far hills, a path."""
    draw = draw_of(seed, "ground")
    plot = Plot(draw, (45.0, 45.0), limit=150)
    rolling = draw.chance(0.65)
    if rolling:
        length = draw.between(4, 25)
        # Steeper ground than about 1 in 5 is no ground for a robot.
        size = (min(draw.between(0.05, 0.6), 0.03 * length), length, 1.0)
        plot.shell(Shape.HEIGHT_FIELD, draw.earth(), size)
    else:
        plot.shell(Shape.PLANE, draw.earth())
    reach = draw.between(4, 8)
    lane = plot.lane([(-reach, 0.0), (reach, 0.0)])
    if not rolling and draw.chance(0.6):
        size = (120, draw.between(1.2, 3.5), 0.01)
        plot.add(Assembly().box(size, (0, 0, 0), draw.stone(MID)))
    _hills(plot)
    _growth(plot, seed)
    walk = np.linspace(lane[0][0], lane[-1][0], 17)
    points = np.stack((walk, np.zeros(17)), axis=-1)
    heights = _heights(plot, seed, points)
    path = tuple((float(x), 0.0, float(z)) for x, z in zip(walk, heights, strict=True))
    stand = _open_stands(plot, seed)
    return outdoors(plot, "ground", seed, stand, path, None, (-0.12, 0.3))


def _heights(plot: Plot, seed: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the ground, the first surface, under points (n, 2)."""
    scene = Scene("ground", seed, tuple(plot.surfaces[:1]), ())
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
