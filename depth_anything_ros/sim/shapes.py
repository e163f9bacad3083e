"""The kinds of surface in closed form: where rays meet each, and its normals, in its own frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.sim.scene import Shape

# A ray that starts on a surface must not hit it again.
NEAR_M = 1e-4
# Beyond this, the ground is level with the horizon for every camera that stands on it.
_GROUND_RANGE_M = 500.0
_FIELD_STEPS = 400
# Keeps a direction away from 0, so that no 0 · Inf arises; float32 does not see it elsewhere.
TINY = 1e-20

# The x, y and z of rays, each (pairs, rays) or (pairs, 1).
Axes = tuple[Tensor, Tensor, Tensor]


def waves_of(seed: int) -> list[list[float]]:
    """Draw four waves of a height field: direction (x, y) times frequency, phase, weight."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, 4)
    frequency = 2 * np.pi * np.array([1.0, 1.4, 2.3, 3.7])
    weight = np.array([0.5, 0.27, 0.15, 0.08])
    phase = rng.uniform(0, 2 * np.pi, 4)
    rows = zip(frequency * np.cos(angle), frequency * np.sin(angle), phase, weight, strict=True)
    return [[float(value) for value in row] for row in rows]


def height_at(x: Tensor, y: Tensor, size: Tensor, waves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return height and both slopes of a height field: amplitude · Σ wᵢ sin(kᵢ·p / λ + φᵢ).

    Args:
        x: (n,) in its own frame, in metres.
        y: the same.
        size: (n, 3): amplitude and wave length, in metres.
        waves: (n, 4, 4): direction x, direction y, phase and weight of each wave.
    """
    amplitude, length = size[:, 0], size[:, 1]
    kx, ky = waves[..., 0] / length[:, None], waves[..., 1] / length[:, None]
    phase = kx * x[:, None] + ky * y[:, None] + waves[..., 2]
    height = amplitude * (waves[..., 3] * phase.sin()).sum(1)
    swing = waves[..., 3] * phase.cos()
    return height, amplitude * (swing * kx).sum(1), amplitude * (swing * ky).sum(1)


def _first(*candidates: tuple[Tensor, Tensor]) -> Tensor:
    """Return the least distance that is ahead and valid, of pairs (distance, valid)."""
    found = (t.masked_fill(~(valid & (t > NEAR_M)), torch.inf) for t, valid in candidates)
    return reduce(torch.minimum, found)


def _slabs(o: Axes, d: Axes, size: Axes) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave a box (Kay and Kajiya 1986)."""
    lows, highs = [], []
    for start, along, half in zip(o, d, size, strict=True):
        inverse = (along + TINY).reciprocal()
        middle, reach = -start * inverse, half * inverse.abs()
        lows.append(middle - reach)
        highs.append(middle + reach)
    return reduce(torch.maximum, lows), reduce(torch.minimum, highs)


def _box(o: Axes, d: Axes, size: Axes, _: Tensor) -> Tensor:
    enter, leave = _slabs(o, d, size)
    return _first((enter, enter <= leave))


def _room(o: Axes, d: Axes, size: Axes, _: Tensor) -> Tensor:
    enter, leave = _slabs(o, d, size)
    return _first((leave, enter <= leave))


def _nearest_to_centre(o: Axes, d: Axes) -> tuple[Tensor, Axes]:
    """Return the distance at which a ray is nearest to the centre, and its point there.

    Formulas that start from there do not cancel when the ray comes from far away.
    """
    start = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2])
    x, y, z = (torch.addcmul(p, start, q) for p, q in zip(o, d, strict=True))
    return start, (x, y, z)


def _sphere(o: Axes, d: Axes, size: Axes, _: Tensor) -> Tensor:
    middle, (x, y, z) = _nearest_to_centre(o, d)
    inside = size[0].square() - (x * x + y * y + z * z)
    return _first((middle - inside.clamp_min(0).sqrt(), inside >= 0))


def _cylinder(o: Axes, d: Axes, size: Axes, _: Tensor) -> Tensor:
    radius, half = size[0], size[2]
    steep = (d[0].square() + d[1].square()).clamp_min(TINY)
    middle = -(o[0] * d[0] + o[1] * d[1]) / steep
    x, y = torch.addcmul(o[0], middle, d[0]), torch.addcmul(o[1], middle, d[1])
    inside = radius.square() - x * x - y * y
    side = middle - (inside.clamp_min(0) / steep).sqrt()
    on_side = (inside >= 0) & (torch.addcmul(o[2], side, d[2]).abs() <= half)
    return _first((side, on_side), _cap(o, d, radius, half), _cap(o, d, radius, -half))


def _cap(o: Axes, d: Axes, radius: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    distance = (z - o[2]) / (d[2] + TINY)
    x, y = torch.addcmul(o[0], distance, d[0]), torch.addcmul(o[1], distance, d[1])
    return distance, x * x + y * y <= radius.square()


def _cone(o: Axes, d: Axes, size: Axes, _: Tensor) -> Tensor:
    radius, half = size[0], size[2]
    start, (x, y, z) = _nearest_to_centre(o, d)
    slope = (radius / (2 * half)).square()
    below = half - z
    a = d[0].square() + d[1].square() - slope * d[2].square()
    b = x * d[0] + y * d[1] + slope * below * d[2]
    c = x * x + y * y - slope * below.square()
    inside = b.square() - a * c
    # Each root by the sum that does not cancel.
    q = -(b + torch.where(b >= 0, 1.0, -1.0) * inside.clamp_min(0).sqrt())
    roots = (q / (a + TINY), c / (q + TINY))
    sides = [(t, (inside >= 0) & (torch.addcmul(z, t, d[2]).abs() <= half)) for t in roots]
    ends = (*sides, _cap((x, y, z), d, radius, -half))
    return _first(*[(start + t, valid) for t, valid in ends])


def _plane(o: Axes, d: Axes, _: Axes, __: Tensor) -> Tensor:
    distance = -o[2] / (d[2] + TINY)
    return _first((distance, distance < _GROUND_RANGE_M))


def _height_field(o: Axes, d: Axes, size: Axes, waves: Tensor) -> Tensor:
    """March along each ray by steps that cannot pass the surface, until it is met.

    Above the surface by h, and with slopes of at most L, a ray of direction d meets it no sooner
    than after h / (L · |d_xy| - d_z).
    """
    shape = d[2].shape
    x, y, z, dx, dy, dz = (axis.expand(shape).reshape(-1) for axis in (*o, *d))
    sizes = torch.cat(size, 1)
    owner = torch.arange(len(waves), device=x.device).repeat_interleave(shape[1])
    amplitude = sizes[owner, 0]
    frequency = waves[..., :2].norm(dim=-1)
    steepest = (waves[..., 3] * frequency).sum(1)[owner] * amplitude / sizes[owner, 1]
    closing = steepest * (dx.square() + dy.square()).sqrt() - dz
    answer = torch.full_like(closing, torch.inf)
    # From where the ray comes down to the highest crest.
    start = ((amplitude - z) / (dz + TINY)).clamp_min(0)
    t = torch.where((z > amplitude) & (dz < 0), start, torch.zeros_like(start))
    never = (z >= amplitude) & (dz >= 0)
    active = (~never & (closing > 1e-6)).nonzero()[:, 0]
    for _ in range(_FIELD_STEPS):
        now = t[active]
        east, north = x[active] + now * dx[active], y[active] + now * dy[active]
        ground = height_at(east, north, sizes[owner[active]], waves[owner[active]])[0]
        height = z[active] + now * dz[active] - ground
        done = height <= 2e-5 * (1 + now)
        answer[active[done]] = now[done]
        t[active] = now + height.clamp_min(1e-5) / closing[active]
        active = active[~done & (t[active] < _GROUND_RANGE_M)]
        if not len(active):
            break
    # What is left skims a crest: it is there to within a step.
    answer[active] = t[active]
    return answer.masked_fill(answer <= NEAR_M, torch.inf).view(shape)


def _box_normal(p: Tensor, size: Tensor, _: Tensor) -> Tensor:
    share = p / size
    axis = share.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(p).scatter_(1, axis, share.gather(1, axis).sign())


def _cylinder_normal(p: Tensor, size: Tensor, _: Tensor) -> Tensor:
    side = torch.cat((p[:, :2], torch.zeros_like(p[:, 2:])), 1)
    cap = torch.zeros_like(p)
    cap[:, 2] = p[:, 2].sign()
    on_cap = p[:, 2].abs() / size[:, 2] > p[:, :2].norm(dim=-1) / size[:, 0]
    return torch.where(on_cap[:, None], cap, side)


def _cone_normal(p: Tensor, size: Tensor, _: Tensor) -> Tensor:
    radius, half = size[:, 0], size[:, 2]
    across = p[:, :2].norm(dim=-1)
    side = torch.cat((p[:, :2], (across * radius / (2 * half))[:, None]), 1)
    base = torch.tensor((0.0, 0.0, -1.0), dtype=p.dtype, device=p.device).expand_as(p)
    slant = radius * (half - p[:, 2]) / (2 * half)
    on_base = (p[:, 2] + half).abs() < (slant - across).abs()
    return torch.where(on_base[:, None], base, side)


def _field_normal(p: Tensor, size: Tensor, waves: Tensor) -> Tensor:
    _, slope_x, slope_y = height_at(p[:, 0], p[:, 1], size, waves)
    return torch.stack((-slope_x, -slope_y, torch.ones_like(slope_x)), 1)


# Of each shape: where rays meet it, and its outward normal at points, of any length.
INTERSECT: dict[Shape, Callable[[Axes, Axes, Axes, Tensor], Tensor]] = {
    Shape.BOX: _box,
    Shape.SPHERE: _sphere,
    Shape.CYLINDER: _cylinder,
    Shape.CONE: _cone,
    Shape.ROOM: _room,
    Shape.PLANE: _plane,
    Shape.HEIGHT_FIELD: _height_field,
}
NORMAL: dict[Shape, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Shape.BOX: _box_normal,
    Shape.SPHERE: lambda p, _size, _waves: p,
    Shape.CYLINDER: _cylinder_normal,
    Shape.CONE: _cone_normal,
    Shape.ROOM: lambda p, size, waves: -_box_normal(p, size, waves),
    Shape.PLANE: lambda p, _size, _waves: p.new_tensor((0.0, 0.0, 1.0)).expand_as(p),
    Shape.HEIGHT_FIELD: _field_normal,
}
