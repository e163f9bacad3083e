"""Rays and surfaces: the first hit of bundles of rays with the surfaces of scenes.

Rays come in bundles (a tile of a picture, a few columns of a LiDAR). A bundle is bounded by a cone
and tested against the bounding sphere of each surface; only the pairs that are left are computed,
each shape by its closed form. So the cost follows what is seen and not what exists, on a CPU and
on a GPU alike, for any number of scenes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.sim.scene import Primitive, Scene, Shape

# A ray that starts on a surface must not hit it again.
NEAR_M = 1e-4
# Beyond this, the ground is level with the horizon for every camera that stands on it.
_GROUND_RANGE_M = 500.0
_FIELD_STEPS = 400
# Keeps a direction away from 0, so that no 0 · Inf arises; float32 does not see it elsewhere.
_TINY = 1e-20


# The x, y and z of rays, each (pairs, rays) or (pairs, 1).
_Axes = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Hit:
    """Where rays end.

    Attributes:
        distance: (bundles, rays), metres along the unit direction; +Inf where nothing is hit.
        primitive: int64 (bundles, rays), index into the World's surfaces; -1 where none.
    """

    distance: Tensor
    primitive: Tensor


class World:
    """The surfaces of one or more scenes as tensors.

    Args:
        scenes: their values; a ray meets only the surfaces of its own scene.
        device: where the tensors live, and where rays must live.
        dtype: of all lengths.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.scenes = tuple(scenes)
        self.device = torch.device(device)
        self.dtype = dtype
        surfaces = [p for scene in scenes for p in scene.primitives]
        owner = [i for i, scene in enumerate(scenes) for _ in scene.primitives]
        self.surfaces = tuple(surfaces)
        self.scene = self._whole(owner)
        self.shape = self._whole([p.shape for p in surfaces])
        self.size = self._real([p.size for p in surfaces], 3)
        self.position = self._real([p.position for p in surfaces], 3)
        self.rotation = self._real([p.rotation for p in surfaces], 9).view(-1, 3, 3)
        self.instance = self._whole([p.instance for p in surfaces])
        self.seed = self._whole([_seed(scenes[i], p) for i, p in zip(owner, surfaces, strict=True)])
        self._radius = self._real([_bounding_radius(p) for p in surfaces], 1)[:, 0]
        self._waves = self._real([_waves(int(s)) for s in self.seed.tolist()], 16).view(-1, 4, 4)

    def _real(self, values: Sequence[object], columns: int) -> Tensor:
        array = np.array(values, np.float64).reshape(-1, columns)
        return torch.from_numpy(array).to(self.device, self.dtype)

    def _whole(self, values: Sequence[int]) -> Tensor:
        return torch.tensor([int(v) for v in values], dtype=torch.int64, device=self.device)

    def trace(
        self, origins: Tensor, directions: Tensor, scene: Tensor, limit_m: Tensor | None = None
    ) -> Hit:
        """Find the first surface on each ray.

        Args:
            origins: (bundles, rays, 3) in the world, in metres; or (bundles, 1, 3) where the rays
                of a bundle share one.
            directions: (bundles, rays, 3), unit vectors. The rays of a bundle should point much
                the same way: every answer is exact, but a wide bundle is slow.
            scene: int64 (bundles,), index of the scene of each bundle.
            limit_m: (bundles, rays), hits beyond it are not wanted; none means all.

        Returns:
            A Hit; of two surfaces at one distance, the one that was added last.
        """
        bundles, rays = directions.shape[:2]
        far = directions.new_full((bundles, rays), torch.inf) if limit_m is None else limit_m
        nearest = far.clone()
        met = []
        bundle, surface = self._near(origins, directions, scene, far)
        for shape, intersect in _INTERSECT.items():
            of_shape = (self.shape[surface] == shape).nonzero()[:, 0]
            if not len(of_shape):
                continue
            b, s = bundle[of_shape], surface[of_shape]
            o, d = self._own_frame(origins[b], directions[b], s)
            size = self.size[s]
            distance = intersect(o, d, (size[:, 0:1], size[:, 1:2], size[:, 2:3]), self._waves[s])
            nearest.scatter_reduce_(0, b[:, None].expand(-1, rays), distance, "amin")
            met.append((b, s, distance))
        primitive = torch.full_like(nearest, -1, dtype=torch.int64)
        for b, s, distance in met:
            is_it = (distance == nearest[b]) & distance.isfinite()
            found = torch.where(is_it, s[:, None], -1)
            primitive.scatter_reduce_(0, b[:, None].expand(-1, rays), found, "amax")
        return Hit(nearest.masked_fill(primitive < 0, torch.inf), primitive)

    def _near(
        self, origins: Tensor, directions: Tensor, scene: Tensor, limit_m: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pair each bundle with the surfaces whose bounding sphere its cone may touch."""
        centre = origins.mean(1)
        axis = torch.nn.functional.normalize(directions.mean(1), dim=-1)
        cosine = (directions * axis[:, None]).sum(-1).amin(1).clamp(0.05, 1.0)[:, None]
        offset = origins - centre[:, None]
        along = (offset * axis[:, None]).sum(-1)
        aside = (offset - along[..., None] * axis[:, None]).norm(dim=-1).amax(1)[:, None]
        back = -along.amin(1)[:, None]
        to = self.position[None] - centre[:, None]
        ahead = (to * axis[:, None]).sum(-1)
        beside = (to - ahead[..., None] * axis[:, None]).norm(dim=-1)
        tangent = (1 - cosine**2).sqrt() / cosine
        reach = aside + (ahead + back + self._radius).clamp_min(0) * tangent
        touches = beside <= reach + self._radius / cosine + 1e-3
        touches &= ahead >= -back - self._radius
        touches &= ahead <= limit_m.amax(1)[:, None] + along.amax(1)[:, None] + self._radius
        touches &= scene[:, None] == self.scene
        bundle, surface = (touches | self._endless(scene)).nonzero(as_tuple=True)
        return bundle, surface

    def _endless(self, scene: Tensor) -> Tensor:
        return self._radius.isinf() & (scene[:, None] == self.scene)

    def _own_frame(
        self, origins: Tensor, directions: Tensor, surface: Tensor
    ) -> tuple[_Axes, _Axes]:
        """Bring rays to the frames of their surfaces, one tensor an axis: those are contiguous."""
        rotation = self.rotation[surface]
        starts = (origins - self.position[surface][:, None]).unbind(-1)
        turned = []
        for x, y, z in (starts, directions.unbind(-1)):
            axes = []
            for axis in range(3):
                rx, ry, rz = rotation[:, :, axis, None].unbind(1)
                axes.append(torch.addcmul(torch.addcmul(x * rx, y, ry), z, rz))
            turned.append((axes[0], axes[1], axes[2]))
        return turned[0], turned[1]

    def local(self, points: Tensor, surface: Tensor) -> tuple[Tensor, Tensor]:
        """Return points on surfaces, and their outward normals, in the surfaces' own frames.

        Args:
            points: (n, 3) in the world, each on its surface.
            surface: int64 (n,).

        Returns:
            Points and unit normals, each (n, 3).
        """
        rotation = self.rotation[surface]
        own = torch.einsum("ni,nij->nj", points - self.position[surface], rotation)
        normal = torch.zeros_like(own)
        for shape, compute in _NORMAL.items():
            at = (self.shape[surface] == shape).nonzero()[:, 0]
            if len(at):
                s = surface[at]
                normal[at] = compute(own[at], self.size[s], self._waves[s])
        return own, torch.nn.functional.normalize(normal, dim=-1)

    def to_world(self, vectors: Tensor, surface: Tensor) -> Tensor:
        """Turn vectors (n, 3) from the surfaces' own frames to the world's."""
        return torch.einsum("nij,nj->ni", self.rotation[surface], vectors)


def _seed(scene: Scene, primitive: Primitive) -> int:
    return (scene.seed * 1_000_003 + primitive.seed * 7919) % (1 << 31)


def _bounding_radius(primitive: Primitive) -> float:
    x, y, z = primitive.size
    radius: dict[Shape, float] = {
        Shape.BOX: (x * x + y * y + z * z) ** 0.5,
        Shape.SPHERE: x,
        Shape.CYLINDER: (x * x + z * z) ** 0.5,
        Shape.CONE: (x * x + z * z) ** 0.5,
    }
    return radius.get(primitive.shape, float("inf"))


def _waves(seed: int) -> list[list[float]]:
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
    best: Tensor | None = None
    for distance, valid in candidates:
        found = distance.masked_fill(~(valid & (distance > NEAR_M)), torch.inf)
        best = found if best is None else torch.minimum(best, found)
    assert best is not None
    return best


def _slabs(o: _Axes, d: _Axes, size: _Axes) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave a box (Kay and Kajiya 1986)."""
    enter: Tensor | None = None
    leave: Tensor | None = None
    for start, along, half in zip(o, d, size, strict=True):
        inverse = (along + _TINY).reciprocal()
        middle, reach = -start * inverse, half * inverse.abs()
        low, high = middle - reach, middle + reach
        enter = low if enter is None else torch.maximum(enter, low)
        leave = high if leave is None else torch.minimum(leave, high)
    assert enter is not None and leave is not None
    return enter, leave


def _box(o: _Axes, d: _Axes, size: _Axes, _: Tensor) -> Tensor:
    enter, leave = _slabs(o, d, size)
    return _first((enter, enter <= leave))


def _room(o: _Axes, d: _Axes, size: _Axes, _: Tensor) -> Tensor:
    enter, leave = _slabs(o, d, size)
    return _first((leave, enter <= leave))


def _nearest_to_centre(o: _Axes, d: _Axes) -> tuple[Tensor, _Axes]:
    """Return the distance at which a ray is nearest to the centre, and its point there.

    Formulas that start from there do not cancel when the ray comes from far away.
    """
    start = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2])
    x, y, z = (torch.addcmul(p, start, q) for p, q in zip(o, d, strict=True))
    return start, (x, y, z)


def _sphere(o: _Axes, d: _Axes, size: _Axes, _: Tensor) -> Tensor:
    middle, (x, y, z) = _nearest_to_centre(o, d)
    inside = size[0].square() - (x * x + y * y + z * z)
    return _first((middle - inside.clamp_min(0).sqrt(), inside >= 0))


def _cylinder(o: _Axes, d: _Axes, size: _Axes, _: Tensor) -> Tensor:
    radius, half = size[0], size[2]
    steep = (d[0].square() + d[1].square()).clamp_min(_TINY)
    middle = -(o[0] * d[0] + o[1] * d[1]) / steep
    x, y = torch.addcmul(o[0], middle, d[0]), torch.addcmul(o[1], middle, d[1])
    inside = radius.square() - x * x - y * y
    side = middle - (inside.clamp_min(0) / steep).sqrt()
    on_side = (inside >= 0) & (torch.addcmul(o[2], side, d[2]).abs() <= half)
    return _first((side, on_side), _cap(o, d, radius, half), _cap(o, d, radius, -half))


def _cap(o: _Axes, d: _Axes, radius: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    distance = (z - o[2]) / (d[2] + _TINY)
    x, y = torch.addcmul(o[0], distance, d[0]), torch.addcmul(o[1], distance, d[1])
    return distance, x * x + y * y <= radius.square()


def _cone(o: _Axes, d: _Axes, size: _Axes, _: Tensor) -> Tensor:
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
    roots = (q / (a + _TINY), c / (q + _TINY))
    sides = [(t, (inside >= 0) & (torch.addcmul(z, t, d[2]).abs() <= half)) for t in roots]
    ends = (*sides, _cap((x, y, z), d, radius, -half))
    return _first(*[(start + t, valid) for t, valid in ends])


def _plane(o: _Axes, d: _Axes, _: _Axes, __: Tensor) -> Tensor:
    distance = -o[2] / (d[2] + _TINY)
    return _first((distance, distance < _GROUND_RANGE_M))


def _height_field(o: _Axes, d: _Axes, size: _Axes, waves: Tensor) -> Tensor:
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
    start = ((amplitude - z) / (dz + _TINY)).clamp_min(0)
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


def _room_normal(p: Tensor, size: Tensor, waves: Tensor) -> Tensor:
    return -_box_normal(p, size, waves)


def _round_normal(p: Tensor, size: Tensor, _: Tensor) -> Tensor:
    return p


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


def _plane_normal(p: Tensor, size: Tensor, _: Tensor) -> Tensor:
    normal = torch.zeros_like(p)
    normal[:, 2] = 1
    return normal


def _field_normal(p: Tensor, size: Tensor, waves: Tensor) -> Tensor:
    _, slope_x, slope_y = height_at(p[:, 0], p[:, 1], size, waves)
    return torch.stack((-slope_x, -slope_y, torch.ones_like(slope_x)), 1)


_Intersect = Callable[[_Axes, _Axes, _Axes, Tensor], Tensor]
_INTERSECT: dict[Shape, _Intersect] = {
    Shape.BOX: _box,
    Shape.SPHERE: _sphere,
    Shape.CYLINDER: _cylinder,
    Shape.CONE: _cone,
    Shape.ROOM: _room,
    Shape.PLANE: _plane,
    Shape.HEIGHT_FIELD: _height_field,
}
_NORMAL: dict[Shape, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Shape.BOX: _box_normal,
    Shape.SPHERE: _round_normal,
    Shape.CYLINDER: _cylinder_normal,
    Shape.CONE: _cone_normal,
    Shape.ROOM: _room_normal,
    Shape.PLANE: _plane_normal,
    Shape.HEIGHT_FIELD: _field_normal,
}
