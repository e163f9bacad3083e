"""Rays and surfaces: the first hit of bundles of rays with the surfaces of scenes.

Rays come in bundles (a tile of a picture, a few columns of a LiDAR). A bundle is bounded by a cone
and tested against the bounding sphere of each surface, then by intervals against its box; of the
pairs that are left, those that begin nearest come first, and what they hide is not computed. Each
shape has its closed form (``sim.shapes``). So the cost follows what is seen and not what exists,
on a CPU and on a GPU alike, for any number of scenes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.sim.scene import Primitive, Scene, Shape
from depth_anything_ros.sim.shapes import INTERSECT, NORMAL, TINY, Axes, waves_of

_INF = float("inf")
_LEVEL = [[0.0] * 4] * 4
# Surfaces of a bundle that are computed before it is asked what they hide.
_FIRST = 3
# Pairs that are computed together, so that what lies between stays in a CPU's caches.
_AT_ONCE = 512


@dataclass(frozen=True)
class _Pairs:
    """Bundles and surfaces that may touch.

    Attributes:
        bundle: int64 (n,), in order.
        surface: int64 (n,).
        enter: (n,), no ray of the bundle meets the surface sooner, in metres.
    """

    bundle: Tensor
    surface: Tensor
    enter: Tensor

    def at(self, index: Tensor | slice) -> _Pairs:
        """Return some pairs."""
        return _Pairs(self.bundle[index], self.surface[index], self.enter[index])

    def where(self, wanted: Tensor) -> _Pairs:
        """Return the pairs of a mask (n,)."""
        return self.at(wanted.nonzero()[:, 0])


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
        self.surfaces = surfaces = tuple(p for scene in scenes for p in scene.primitives)
        owner = [i for i, scene in enumerate(scenes) for _ in scene.primitives]
        self.scene = self._whole(owner)
        self.shape = self._whole([p.shape for p in surfaces])
        self.size = self._real([p.size for p in surfaces], 3)
        self.position = self._real([p.position for p in surfaces], 3)
        self.rotation = self._real([p.rotation for p in surfaces], 9).view(-1, 3, 3)
        self.instance = self._whole([p.instance for p in surfaces])
        seeds = [_seed(scenes[i], p) for i, p in zip(owner, surfaces, strict=True)]
        self.seed = self._whole(seeds)
        self._box = self._real([_bounding_box(p) for p in surfaces], 3)
        self._radius: Tensor = self._box.norm(dim=1)
        waves = [
            waves_of(seed) if p.shape is Shape.HEIGHT_FIELD else _LEVEL
            for p, seed in zip(surfaces, seeds, strict=True)
        ]
        self._waves = self._real(waves, 16).view(-1, 4, 4)

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
        far = directions.new_full(directions.shape[:2], torch.inf) if limit_m is None else limit_m
        nearest, met = far.clone(), []
        start, along = (v.permute(2, 0, 1).contiguous() for v in (origins, directions))
        near, later = self._pairs(origins, directions, scene, far)
        met += self._meet(start, along, near, nearest)
        # What begins behind all that was met is not seen.
        later = later.where(later.enter <= nearest.amax(1)[later.bundle])
        met += self._meet(start, along, later, nearest)
        primitive = torch.full_like(nearest, -1, dtype=torch.int32)
        for pairs, distance in met:
            is_it = (distance == nearest[pairs.bundle]) & (distance < torch.inf)
            found = torch.where(is_it, pairs.surface[:, None].int(), -1)
            index = pairs.bundle[:, None].expand_as(found)
            primitive.scatter_reduce_(0, index, found, "amax")
        return Hit(nearest.masked_fill(primitive < 0, torch.inf), primitive.long())

    def hidden(
        self,
        origins: Tensor,
        directions: Tensor,
        scene: Tensor,
        limit_m: Tensor,
        clear: Tensor,
    ) -> Tensor:
        """Return which rays meet something nearer than a limit.

        Args:
            origins: as of ``trace``.
            directions: as of ``trace``.
            scene: as of ``trace``.
            limit_m: (bundles, rays); a ray of limit 0 is not asked about, and is not hidden.
            clear: bool (surfaces,), those that hide nothing.

        Returns:
            bool (bundles, rays).
        """
        nearest = limit_m.clone()
        start, along = (v.permute(2, 0, 1).contiguous() for v in (origins, directions))
        for pairs in self._pairs(origins, directions, scene, limit_m):
            # One obstacle is enough: bundles without an open ray are done.
            is_open = ((nearest >= limit_m) & (limit_m > 0)).any(1)
            wanted = is_open[pairs.bundle] & ~clear[pairs.surface]
            self._meet(start, along, pairs.where(wanted), nearest)
        return nearest < limit_m

    def _meet(
        self, origins: Tensor, directions: Tensor, pairs: _Pairs, nearest: Tensor
    ) -> list[tuple[_Pairs, Tensor]]:
        """Compute pairs, and lower the distances (bundles, rays) in place to what is met.

        Args:
            origins: (3, bundles, rays) or (3, bundles, 1).
            directions: (3, bundles, rays).
            pairs: those to compute.
            nearest: distances so far.

        Returns:
            For some of the pairs at a time their distances (pairs, rays).
        """
        met = []
        for shape, intersect in INTERSECT.items():
            of_shape = pairs.where(self.shape[pairs.surface] == shape)
            for at in range(0, len(of_shape.bundle), _AT_ONCE):
                some = of_shape.at(slice(at, at + _AT_ONCE))
                b, s = some.bundle, some.surface
                o, d = self._own_frame(origins, directions, b, s)
                x, y, z = self.size[s].split(1, 1)
                distance = intersect(o, d, (x, y, z), self._waves[s])
                nearest.scatter_reduce_(0, b[:, None].expand_as(distance), distance, "amin")
                met.append((some, distance))
        return met

    def _pairs(
        self, origins: Tensor, directions: Tensor, scene: Tensor, limit_m: Tensor
    ) -> tuple[_Pairs, _Pairs]:
        """Pair each bundle with what it may touch: the first few of each, and the rest."""
        bundle, surface = self._near(origins, directions, scene, limit_m)
        # Where the bundle may be in the box of a surface, by intervals: exact for no ray, but
        # never later than any of them.
        turn = self.rotation[surface]
        (o, o_reach), (d, d_reach) = (
            _turned_bounds(vectors, bundle, turn) for vectors in (origins, directions)
        )
        o = o - torch.einsum("nij,ni->nj", turn, self.position[surface])
        reach = self._box[surface] + o_reach + 1e-3 + 1e-5 * o.abs()
        enter, leave = torch.zeros_like(o[:, 0]), limit_m.amax(1)[bundle]
        for offset, slope in ((o - reach, d - d_reach), (-o - reach, -d - d_reach)):
            # offset + t · slope <= 0 on each axis.
            slope = torch.where(slope == 0, TINY, slope)
            t = -offset / slope
            enter = torch.maximum(enter, t.masked_fill(slope > 0, -torch.inf).amax(1))
            leave = torch.minimum(leave, t.masked_fill(slope < 0, torch.inf).amin(1))
        met = (enter <= leave * (1 + 1e-5) + 1e-3).nonzero()[:, 0]
        pairs = _Pairs(bundle[met], surface[met], enter[met])
        early = _rank(pairs.bundle, pairs.enter) < _FIRST
        early |= self._radius[pairs.surface].isinf()
        return pairs.where(early), pairs.where(~early)

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
        endless = self._radius.isinf() & (scene[:, None] == self.scene)
        bundle, surface = (touches | endless).nonzero(as_tuple=True)
        return bundle, surface

    def _own_frame(
        self, origins: Tensor, directions: Tensor, bundle: Tensor, surface: Tensor
    ) -> tuple[Axes, Axes]:
        """Bring rays (3, bundles, rays) to the frames of surfaces, one tensor an axis."""
        rotation = self.rotation[surface]
        position = self.position[surface].T[..., None]
        starts = origins[:, bundle] - position
        turned = []
        for x, y, z in (starts, directions[:, bundle]):
            for axis in range(3):
                rx, ry, rz = rotation[:, :, axis, None].unbind(1)
                turned.append(torch.addcmul(torch.addcmul(x * rx, y, ry), z, rz))
        ox, oy, oz, dx, dy, dz = turned
        return (ox, oy, oz), (dx, dy, dz)

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
        for shape, compute in NORMAL.items():
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


def _bounding_box(primitive: Primitive) -> tuple[float, float, float]:
    """Return half lengths of the box around a surface in its own frame."""
    x, y, z = primitive.size
    boxes = {
        Shape.BOX: (x, y, z),
        Shape.SPHERE: (x, x, x),
        Shape.CYLINDER: (x, x, z),
        Shape.CONE: (x, x, z),
        Shape.PLANE: (_INF, _INF, 0.0),
        Shape.HEIGHT_FIELD: (_INF, _INF, x),
    }
    return boxes.get(primitive.shape, (_INF, _INF, _INF))


def _turned_bounds(vectors: Tensor, bundle: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle and half lengths of upright boxes around bundles, in turned frames.

    Args:
        vectors: (bundles, rays, 3).
        bundle: int64 (n,).
        turn: (n, 3, 3), takes vectors of each frame to the world.
    """
    low, high = vectors.aminmax(dim=1)
    middle, half = ((low + high) / 2)[bundle], ((high - low) / 2)[bundle]
    return torch.einsum("nij,ni->nj", turn, middle), torch.einsum("nij,ni->nj", turn.abs(), half)


def _rank(group: Tensor, value: Tensor) -> Tensor:
    """Return the place of each value in the order of its group; groups come in order."""
    order = value.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    begin = torch.searchsorted(group, group)
    place = torch.arange(len(group), device=group.device)
    return torch.empty_like(place).scatter_(0, order, place) - begin
