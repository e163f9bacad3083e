"""Streets along x: a road with its lanes, what lines it up to the horizon, and who uses it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from depth_anything_ros.sim import street_furniture as along
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.furniture import Maker
from depth_anything_ros.sim.layout import Box, Plot
from depth_anything_ros.sim.outdoor import outdoors
from depth_anything_ros.sim.palette import DARK, MID, Draw, draw_of
from depth_anything_ros.sim.people import bicycle, pedestrian, tripod_sign
from depth_anything_ros.sim.scene import Material, Scene, Shape
from depth_anything_ros.sim.vegetation import bush, hedge, hill, street_tree, thicket, tree
from depth_anything_ros.sim.vehicles import bus, car, far_car, truck, van

# Cameras stand about x = 0 and look along x. Behind them a street ends sooner than ahead, and
# what is farther than _WHOLE_M has fewer parts.
_BEHIND_M, _AHEAD_M, _WHOLE_M = -22.0, 115.0, 26.0
_LENGTH_M = 900.0
_PAVED_M = 0.12  # height of a kerb
# Makes something of a length along the street.
_Along = Callable[[Draw, float], Assembly]
_ON_PAVEMENT: tuple[Maker, ...] = (
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


@dataclass(frozen=True)
class _Course:
    """The cross-section of a street, in metres.

    Attributes:
        lanes: in each direction.
        lane: width of one.
        bay: width of the strip at each kerb where cars park, or of the hard shoulder.
        walk: width of each pavement.
        hand: 1 where one drives on the right, which is -y, and -1 where on the left.
        verge: what covers the ground beside the pavements.
    """

    lanes: int
    lane: float
    bay: float
    walk: float
    hand: float
    verge: Material

    @property
    def road(self) -> float:
        """Half width of the road, kerb to kerb."""
        return self.lanes * self.lane + self.bay

    @property
    def edge(self) -> float:
        """From the middle to where pavements end."""
        return self.road + 0.15 + self.walk

    def middle(self, lane: int) -> float:
        """Return y of the middle of a lane in the own direction, 0 the innermost."""
        return -self.hand * (lane + 0.5) * self.lane


def street(seed: int) -> Scene:
    """Build a street: in a town, in a suburb, through a wood or through open land."""
    draw = draw_of(seed, "street")
    plot = Plot(draw, (260.0, 120.0), limit=400)
    course = _course(draw)
    lane = draw.count(0, course.lanes - 1)
    y = course.middle(lane)
    end = draw.between(2.0, 12.0)
    path = plot.lane([(-12.0, y), (end, y)])
    stand, pitch = _stands(plot, course, y)
    _road(plot, course)
    _markings(plot, course)
    _traffic(plot, course, lane, end + 3.0)
    _parked(plot, course)
    _on_pavements(plot, course)
    _far_end(plot, course)
    for side in (-1.0, 1.0):
        _at_kerb(plot, course, side)
        _line(plot, course, side)
    gaze = draw.pick((0.0, draw.sign() * draw.between(0.6, 1.6)), (8, 2))
    return outdoors(plot, "street", seed, stand, path, gaze, pitch)


def _course(draw: Draw) -> _Course:
    lanes, width = draw.pick((1, 2, 3), (6, 3, 1)), draw.between(2.75, 3.75)
    bay = draw.pick((0.0, draw.between(0.3, 0.8), draw.between(1.9, 2.3)), (1, 3, 4))
    snowy = draw.chance(0.06)
    verge = draw.snow() if snowy else draw.earth()
    return _Course(lanes, width, bay, draw.between(1.2, 4.5), draw.pick((1.0, -1.0)), verge)


def _stands(plot: Plot, course: _Course, y: float) -> tuple[tuple[Box, ...], tuple[float, float]]:
    """Draw who carries the camera: a car, a person or a low robot, on the road or beside it."""
    draw = plot.draw
    who = draw.pick(("car", "person", "robot"), (12, 3, 5))
    low, high = {"car": (1.25, 2.0), "person": (1.3, 1.8), "robot": (0.25, 1.2)}[who]
    if who == "car":
        # Most cars carry theirs between 1.5 and 1.7 m.
        middle = draw.pick((draw.between(1.5, 1.75), draw.between(1.3, 1.95)))
        low, high = middle - 0.05, middle + 0.05
        pitch = (-0.04, 0.07)
    else:
        pitch = (-0.15, 0.3)
    if who == "car" or draw.chance(0.3):
        return (((-10.0, y - 0.35, low), (2.0, y + 0.35, high)),), pitch
    at = draw.sign() * (course.road + 0.15 + course.walk * draw.between(0.4, 0.7))
    plot.lane([(-8.0, at), (3.0, at)])
    on = _PAVED_M
    return (((-7.0, at - 0.2, low + on), (2.0, at + 0.2, high + on)),), pitch


def _road(plot: Plot, course: _Course) -> None:
    """Add the ground, pavements with kerbs, verges, and what wear leaves on the road."""
    draw = plot.draw
    plot.shell(Shape.PLANE, draw.asphalt())
    paving = draw.pick(
        (draw.tiles((0.3, 0.6)), draw.stone(), draw.brick(), draw.asphalt(), course.verge),
        (3, 2, 1, 2, 2),
    )
    kerb, ground = draw.stone((0.5, 0.85)), 45.0
    for side in (-1.0, 1.0):
        strip, paved = Assembly(), course.walk
        middle = side * (course.road + 0.15 + paved / 2)
        strip.box((_LENGTH_M, paved, _PAVED_M), (0, middle, 0), paving)
        at = (0, side * (course.road + 0.075), 0)
        strip.box((_LENGTH_M, 0.15, _PAVED_M + 0.005), at, kerb)
        at = (0, side * (course.edge + ground), 0)
        strip.box((_LENGTH_M, 2 * ground, 0.1), at, course.verge)
        plot.add(strip)
    worn = Assembly()
    for _ in range(draw.count(0, 6)):
        size = (0.5 * 40.0 ** draw.between(0, 1), draw.between(0.3, 2.5), 0.001)
        x, y = draw.between(-6, 40), draw.between(-0.9, 0.9) * course.road
        worn.box(size, (x, y, 0), draw.asphalt())
    if draw.chance(0.4):
        shade = draw.asphalt()
        for k in range(course.lanes):
            for y in (-0.75, 0.75):
                worn.box((_LENGTH_M, 0.35, 0.001), (0, course.middle(k) + y, 0), shade)
    if worn.parts:
        plot.add(worn)


def _markings(plot: Plot, course: _Course) -> None:
    """Paint the middle, the lanes, the edges, and a crossing."""
    draw, paint = plot.draw, Assembly()
    white = draw.paint((0.75, 0.98), (0.0, 0.1))
    centre = white if draw.chance(0.7) else Material(draw.hued((0.1, 0.15), (0.5, 0.9), (0.6, 0.9)))
    step = draw.pick((6.0, 9.0, 12.0))
    lines = [k * course.lane * s for k in range(1, course.lanes) for s in (-1, 1)]
    style = draw.pick(("dashes", "line", "double", "none"), (4, 2, 2, 2))
    if style == "dashes":
        lines.append(0.0)
    elif style != "none":
        for y in (-0.12, 0.12) if style == "double" else (0.0,):
            paint.box((_LENGTH_M, 0.12, 0.003), (0, y, 0), centre)
    reach = 9 if len(lines) < 3 else 6
    for y in lines:
        for k in range(reach):
            at = (step * (k - 1) + draw.between(-0.1, 0.1), y, 0)
            paint.box((step / 3, 0.13, 0.003), at, white if y else centre)
    if draw.chance(0.6):
        for side in (-1.0, 1.0):
            y = side * (course.lanes * course.lane + min(0.0, course.bay - 0.3))
            paint.box((_LENGTH_M, draw.between(0.1, 0.2), 0.003), (0, y, 0), white)
    if draw.chance(0.25):
        x, count = draw.between(5, 35), int(course.road / 0.5)
        for k in range(-count // 2, count // 2):
            paint.box((3.0, 0.5, 0.004), (x, k + 0.5, 0), white)
    if paint.parts:
        plot.add(paint)


def _whole_or_far(draw: Draw, x: float) -> Assembly:
    """Return a vehicle for a place along the street."""
    if x > _WHOLE_M or x < -10.0:
        return far_car(draw)
    return draw.pick((car, van, truck, bus), (9, 2, 0.8, 0.5))(draw)


def _traffic(plot: Plot, course: _Course, own: int, ahead: float) -> None:
    """Let vehicles drive on all lanes, far ones in the own lane, and people cross."""
    draw = plot.draw
    dense = draw.pick((0.0, 0.15, 0.45, 0.8), (2, 3, 3, 1))
    for lane in range(course.lanes):
        for coming in (False, True):
            x = ahead if lane == own and not coming else -18.0
            x += draw.between(2, 25)
            while x < _AHEAD_M:
                if draw.chance(dense):
                    y = course.middle(lane) * (-1 if coming else 1) + draw.between(-0.3, 0.3)
                    thing = _whole_or_far(draw, x)
                    yaw = (math.pi if coming else 0.0) + draw.between(-0.03, 0.03)
                    plot.put(thing, x, y, yaw, gap=0.4)
                x += draw.between(7, 30)
    if draw.chance(0.35):
        thing = draw.pick((pedestrian, bicycle))(draw)
        y = draw.between(-0.9, 0.9) * course.road
        plot.put(thing, draw.between(3, 35), y, draw.between(-3, 3))


def _parked(plot: Plot, course: _Course) -> None:
    """Park rows of cars at the kerbs, where there is a bay for them."""
    draw = plot.draw
    for side in (-1.0, 1.0):
        filled = draw.pick((0.0, 0.3, 0.6, 0.9), (2, 2, 3, 3)) if course.bay > 1.5 else 0.0
        x = -16.0 + draw.between(0, 5)
        slope = draw.chance(0.1)
        while x < 75.0:
            if draw.chance(filled):
                thing = far_car(draw) if x > 14 or x < -4 else draw.pick((car, van), (6, 1))(draw)
                yaw = draw.pick((0.0, math.pi), (8, 1) if side * course.hand < 0 else (1, 8))
                y = side * (course.road - 1.0 + draw.between(-0.08, 0.08))
                plot.put(thing, x, y, yaw + draw.between(-0.03, 0.03), gap=-0.3 if slope else 0.1)
            x += draw.between(5.0, 6.4)


def _at_kerb(plot: Plot, course: _Course, side: float) -> None:
    """Add rows of lamp posts and trees, signs, traffic lights, poles with cables and rails."""
    draw = plot.draw
    kerb, facing = side * (course.road + 0.45), 0.0 if side > 0 else math.pi
    if draw.chance(0.65):
        spacing, x = draw.between(16, 34), draw.between(-14, 8)
        post = along.lamp_post(draw)
        for k in range(5):
            plot.put(post, x + k * spacing, kerb, facing, gap=-2, z=0.1)
    for make in (along.sign, along.sign, along.traffic_light, along.sign):
        if draw.chance(0.45):
            plot.put(make(draw), draw.between(-2, 45), kerb, gap=-2, z=0.1)
    if draw.chance(0.35) and course.walk > 1.8:
        step, x = draw.between(6, 14), draw.between(-10, 0)
        for k in range(7):
            kind = street_tree(draw, 7 if -5 < x < 25 else 3)
            plot.add(kind, x + k * step, kerb + side * 0.3, draw.between(-3, 3), z=0.1)
    if draw.chance(0.2):
        for k in range(3):
            pole = along.utility_pole(draw, 32)
            plot.add(pole, draw.between(-8, 0) + 32 * k, side * course.edge, z=0.1)
    if draw.chance(0.15):
        for k in range(3):
            rail = along.guard_rail(draw, 24.0)
            plot.put(rail, -6 + 24 * k, side * (course.road + 0.3), gap=-0.5, z=0.1)


def _line(plot: Plot, course: _Course, side: float) -> None:
    """Line one side: a closed front, houses in gardens, a wood, a wall, or open land."""
    style = plot.draw.pick((_front, _houses, _wood, _wall, _open), (3, 3.5, 4, 1.5, 1.5))
    style(plot, side, course.edge)


def _front(plot: Plot, side: float, edge: float) -> None:
    draw, yaw = plot.draw, 0.0 if side > 0 else math.pi
    x = _BEHIND_M - draw.between(0, 6)
    while x < _AHEAD_M and plot.has_room_for(60 if side < 0 else 30):
        width, setback = draw.between(7, 20), draw.between(0, 0.8)
        make = along.facade if x < 45 else along.block
        plot.add(make(draw, width), x + width / 2, side * (edge + setback), yaw)
        x += width + (draw.between(3, 12) if draw.chance(0.12) else 0.0)


def _houses(plot: Plot, side: float, edge: float) -> None:
    """Put houses behind gardens with trees, and hedges, walls or fences at the pavement."""
    draw, yaw = plot.draw, 0.0 if side > 0 else math.pi
    x, garden = _BEHIND_M, draw.between(3, 12)
    while x < 80 and plot.has_room_for(110 if side < 0 else 60):
        width = draw.between(7, 14)
        house = along.facade if x < 40 else along.block
        back = garden + draw.between(0, 2)
        plot.add(house(draw, width, 3), x + width / 2, side * (edge + back), yaw)
        x += width + draw.between(2, 10)
    _boundary(plot, side, edge, 60.0)
    for _ in range(draw.count(3, 9)):
        at = draw.between(-10, 70)
        grow: Maker = draw.pick((tree, bush)) if at < 25 else _far_tree
        y = side * (edge + draw.between(0.8, garden + 6))
        plot.add(grow(draw), at, y, draw.between(-3, 3))


def _far_tree(draw: Draw) -> Assembly:
    return street_tree(draw, 3)


def _boundary(plot: Plot, side: float, edge: float, end: float) -> None:
    """Line the pavement with hedges, walls and fences, with gaps for gates."""
    draw, x = plot.draw, _BEHIND_M
    while x < end:
        length = draw.between(4, 14)
        makers: tuple[_Along, ...] = (hedge, along.wall, along.fence)
        make = draw.pick(makers, (5, 3, 1 if x < 20 else 0))
        plot.add(make(draw, length), x + length / 2, side * (edge + draw.between(0.3, 0.7)))
        x += length + (draw.between(1, 4) if draw.chance(0.6) else 0.0)


def _wood(plot: Plot, side: float, edge: float) -> None:
    """Line the side with trees, bushes and a thicket behind them."""
    draw = plot.draw
    back, x = edge + draw.between(2.5, 10), _BEHIND_M
    while x < _AHEAD_M:
        length = draw.between(12, 26)
        growth = thicket(draw, length, draw.between(3, 10))
        plot.add(growth, x + length / 2, side * (back + draw.between(0, 1.5)))
        x += length * 0.95
    for _ in range(draw.count(4, 14)):
        x = -8 + 75 * draw.between(0, 1) ** 1.5
        kind = street_tree(draw, 8 if x < 20 else 3) if draw.chance(0.75) else bush(draw)
        plot.add(kind, x, side * draw.between(edge + 0.6, back + 1.5), draw.between(-3, 3))
    if draw.chance(0.3):
        _boundary(plot, side, edge, 35.0)


def _wall(plot: Plot, side: float, edge: float) -> None:
    """Line the side with one long wall, and trees or buildings that look over it."""
    draw = plot.draw
    wall = along.wall(draw, 160.0, draw.between(1.2, 4.5))
    plot.add(wall, 50, side * (edge + draw.between(0.2, 2.0)))
    for _ in range(draw.count(2, 10)):
        x, y = draw.between(0, 90), side * (edge + draw.between(4, 20))
        if draw.chance(0.75):
            plot.add(_far_tree(draw), x, y)
        else:
            plot.add(along.block(draw, draw.between(8, 20)), x, y, 0.0 if side > 0 else math.pi)


def _open(plot: Plot, side: float, edge: float) -> None:
    """Leave fields, with some trees, a fence, and thickets or buildings far away."""
    draw = plot.draw
    for _ in range(draw.count(2, 8)):
        x, y = draw.between(0, 90), side * (edge + 0.5 + 40 * draw.between(0, 1) ** 2)
        plot.add(draw.pick((_far_tree, bush))(draw), x, y)
    if draw.chance(0.4):
        _boundary(plot, side, edge, 20.0)
    for _ in range(draw.count(1, 4)):
        x, y = draw.between(30, 110), side * (edge + draw.between(25, 80))
        if draw.chance(0.7):
            growth = thicket(draw, draw.between(25, 60), draw.between(4, 9))
            plot.add(growth, x, y, draw.between(-0.4, 0.4))
        else:
            plot.add(along.block(draw, draw.between(10, 30)), x, y, 0.0 if side > 0 else math.pi)


def _on_pavements(plot: Plot, course: _Course) -> None:
    """Add people, bicycles and benches."""
    draw = plot.draw
    for _ in range(draw.count(1, 9)):
        thing, side = draw.pick(_ON_PAVEMENT)(draw), draw.sign()
        y = side * (course.road + 0.15 + draw.between(0.3, 0.9) * course.walk)
        yaw = draw.pick((0.0, math.pi)) if side > 0 else math.pi
        plot.put(thing, draw.between(-4, 45), y, yaw, z=_PAVED_M)


def _far_end(plot: Plot, course: _Course) -> None:
    """Close the street far away at times, and put hills and towers at the horizon."""
    draw = plot.draw
    if draw.chance(0.45):
        x, y = draw.between(70, 160), -60.0
        while y < 60:
            width = draw.between(14, 40)
            if draw.chance(0.6):
                far = thicket(draw, width, draw.between(4, 12))
            else:
                far = along.block(draw, width)
            plot.add(far, x + draw.between(0, 10), y + width / 2, -math.pi / 2)
            y += width
    for _ in range(draw.count(0, 5)):
        x, y = draw.between(130, 250), draw.between(-90, 90)
        if draw.chance(0.5):
            plot.add(hill(draw, x), x + 40, y)
        elif abs(y) > course.edge + 15:
            plot.add(along.block(draw, draw.between(12, 30), draw.count(5, 22)), x, y, -math.pi / 2)
    if draw.chance(0.15):
        sign, z = Assembly(), 5.0
        metal, half = draw.metal(), course.edge
        sign.bar((0, -half, z), (0, half, z), 0.12, metal)
        for y in (-half, half):
            sign.rod(0.15, z, (0, y, 0), metal)
        size = (0.1, draw.between(2, 5), draw.between(1.2, 2.0))
        board = draw.print((1.0, 3.0)) if draw.chance(0.5) else draw.paint(DARK, (0.5, 1.0))
        sign.box(size, (-0.15, draw.between(-0.4, 0.4) * half, z - 0.6), board)
        plot.add(sign, draw.between(18, 60), 0)
    if draw.chance(0.1):
        bridge = Assembly().box((draw.between(6, 14), 80, 1.2), (0, 0, 5.2), draw.stone(MID))
        plot.add(bridge, draw.between(30, 80))
