"""The kinds of places of the procedural world; each seed is one of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.flat import flat
from depth_anything_ros.sim.indoor import corridor, desk, kitchen, office, room, shelf_bin
from depth_anything_ros.sim.interior import ambient, closed_shell, lamps
from depth_anything_ros.sim.layout import WALL_GAP_M, Plot
from depth_anything_ros.sim.outdoor import ground, parking
from depth_anything_ros.sim.palette import Draw, draw_of
from depth_anything_ros.sim.scene import Scene
from depth_anything_ros.sim.street import street
from depth_anything_ros.sim.warehouse import warehouse
from depth_anything_ros.sim.workshop import workshop


def primitives(seed: int) -> Scene:
    """Build a bare room, 4-12 m long, in which solids of any size and colour lie and float."""
    draw = draw_of(seed, "primitives")
    plot = Plot(draw, (draw.between(2.0, 6.0), draw.between(1.8, 5.0)), limit=100)
    height = draw.between(2.4, 5.0)
    closed_shell(plot, height)
    light = lamps(plot, height, draw.count(1, 3))
    y = draw.between(-1, 1) * (plot.half[1] - WALL_GAP_M)
    path = plot.lane_along(y)
    for _ in range(draw.count(12, 45)):
        plot.anywhere(solid(draw))
    for _ in range(draw.count(0, 15)):
        thing = solid(draw)
        z = draw.between(0, max(0.0, height - thing.height))
        x, y = (draw.between(-1, 1) * (half - 0.2) for half in plot.half)
        yaw = draw.between(-math.pi, math.pi)
        if not any(abs(y - lane.y) < lane.half_y + thing.half(yaw)[1] for lane in plot.lanes):
            plot.add(thing, x, y, yaw, z)
    return plot.scene("primitives", seed, light, ambient(plot), plot.stands(height), path)


def solid(draw: Draw) -> Assembly:
    """Return a box, a sphere, a cylinder, a cone or a rod of 0.1-1.2 m, of any material."""
    thing, material = Assembly(), draw.surface() if draw.chance(0.7) else draw.wall()
    a, b, c = (0.1 * 12.0 ** draw.between(0, 1) for _ in range(3))
    style = draw.count(0, 5)
    if style == 0:
        thing.ball(a / 2, (0, 0, a / 2), material)
    elif style == 1:
        thing.rod(a / 2, b, (0, 0, 0), material)
    elif style == 2:
        thing.cone(a / 2, b, (0, 0, 0), material)
    elif style == 3:
        end = (draw.between(-1, 1), draw.between(-1, 1), draw.between(0.1, 1.5))
        thing.bar((0, 0, 0.02), end, draw.between(0.005, 0.06), material)
    elif style == 4:
        thing.box((a, b, c), (0, 0, 0), material)
    else:
        lean, turn = draw.between(-1, 1), draw.between(-1, 1)
        thing.box((a, b, c), (0, 0, 0.0), material, pitch=lean, roll=turn)
    return thing


# Each kind of place, and how often it is drawn; real pictures are mostly rooms, streets and desks.
_TABLE: tuple[tuple[Callable[[int], Scene], float], ...] = (
    (room, 0.17),
    (office, 0.07),
    (kitchen, 0.06),
    (corridor, 0.06),
    (warehouse, 0.07),
    (desk, 0.11),
    (shelf_bin, 0.06),
    (street, 0.28),
    (parking, 0.04),
    (ground, 0.03),
    (workshop, 0.02),
    (flat, 0.02),
    (primitives, 0.01),
)
PLACES = {build.__name__: build for build, _ in _TABLE}
WEIGHTS = {build.__name__: weight for build, weight in _TABLE}


def build_scene(seed: int, kind: str | None = None) -> Scene:
    """Build a place; the same seed and kind give the same one.

    Args:
        seed: 0 or more.
        kind: a key of PLACES; None draws one by WEIGHTS.

    Raises:
        ParameterError: on a seed below 0 or an unknown kind.
    """
    if seed < 0:
        raise ParameterError(f"the seed of a scene must be 0 or more, got {seed}")
    if kind is None:
        kind = draw_of(seed, "kind").pick(tuple(WEIGHTS), tuple(WEIGHTS.values()))
    if kind not in PLACES:
        raise ParameterError(f"kind of place must be one of {', '.join(PLACES)}, got {kind!r}")
    return PLACES[kind](seed)
