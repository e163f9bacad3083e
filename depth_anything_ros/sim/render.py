"""Pictures of scenes: rays of a camera to linear light, exact depth and instances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.scene import Finish, Light, Scene, Sky
from depth_anything_ros.sim.textures import Paint, albedo, sky_colour

_TILE = 14
_LIGHTS = 4
_SHADOWS = 2  # lights whose shadows are traced
_LIFT_M = 2e-3  # of a shadow's start above its surface: float32 is exact to 1e-5 m at 100 m
_GLOSS_POWER = 40.0
# Of mirrors and glass: whether light goes through, its share, and that of the surface itself.
_BOUNCES = (
    (Finish.MIRROR, False, 0.85, 1 - 0.85),
    (Finish.GLASS, False, 0.25, 0.4),
    (Finish.GLASS, True, 0.6, 1.0),
)


@dataclass(frozen=True)
class Rendering:
    """What cameras see, before any lens, sensor or encoder.

    Attributes:
        light: float32 (views, height, width, 3), linear, 0 or more.
        depth_m: float32 (views, height, width), metres along Z; +Inf is the sky, NaN where the
            lens has no ray.
        instance: int32 (views, height, width); 0 where there is none.
    """

    light: Tensor
    depth_m: Tensor
    instance: Tensor


@dataclass(frozen=True)
class _Rays:
    """Bundles of rays.

    Attributes:
        origins: (bundles, rays, 3), or (bundles, 1, 3) where the rays of a bundle share one.
        directions: (bundles, rays, 3), unit vectors.
        scene: int64 (bundles,).
        pixel: (bundles,), width of a pixel at 1 m, in metres.
    """

    origins: Tensor
    directions: Tensor
    scene: Tensor
    pixel: Tensor


@dataclass(frozen=True)
class _Hits:
    """Where the rays of bundles end.

    Attributes:
        scene: int64 (bundles,).
        points: (bundles, rays, 3) in the world.
        normals: (bundles, rays, 3), of the surfaces there.
        met: bool (bundles, rays), where there is one.
    """

    scene: Tensor
    points: Tensor
    normals: Tensor
    met: Tensor

    def of(self, bundles: Tensor) -> _Hits:
        """Return those of some bundles."""
        return _Hits(*(getattr(self, f.name)[bundles] for f in fields(self)))


class Renderer:
    """The surfaces, materials and lights of scenes on one device.

    Args:
        scenes: any number; those of one batch are rendered together.
        device: where it runs.
    """

    def __init__(self, scenes: Sequence[Scene], device: torch.device | str = "cpu") -> None:
        self.world = world = World(scenes, device)
        real, whole = world._real, world._whole
        materials = [p.material for p in world.surfaces]
        strengths = [[m.scale_m, m.roughness, m.gloss, m.glow] for m in materials]
        scale_m, roughness, self.gloss, self.glow = real(strengths, 4).unbind(1)
        self.paint = Paint(
            whole([m.texture for m in materials]),
            real([m.colour for m in materials], 3),
            real([m.second for m in materials], 3),
            scale_m,
            roughness,
            world.seed,
        )
        self.finish = whole([m.finish for m in materials])
        lights = [_padded(scene.lights) for scene in scenes]
        self.light_at = real([[x.position for x in row] for row in lights], 3).view(-1, _LIGHTS, 3)
        self.light_of = real([[x.colour for x in row] for row in lights], 3).view(-1, _LIGHTS, 3)
        self.is_sun = whole([x.directional for row in lights for x in row]).view(-1, _LIGHTS).bool()
        self.ambient = real([scene.ambient for scene in scenes], 3)
        skies = [scene.sky or Sky((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0) for scene in scenes]
        self.zenith = real([s.zenith for s in skies], 3)
        self.horizon = real([s.horizon for s in skies], 3)
        air = [[scene.haze, sky.cloud] for scene, sky in zip(scenes, skies, strict=True)]
        self.haze, self.cloud = real(air, 2).unbind(1)
        self.sky_seed = whole([s.seed for s in skies])

    def view(self, cameras: Sequence[Camera], T_world_camera: NDArray[np.float64]) -> Rendering:
        """Render one view of each scene.

        Args:
            cameras: as many as scenes, all of one size, any lens.
            T_world_camera: (views, 4, 4), takes points of the optical frame to the world.

        Raises:
            CameraError: (``camera_size``) where the cameras differ in size.
        """
        sizes = {(c.width, c.height) for c in cameras}
        if len(sizes) != 1 or len(cameras) != len(self.world.scenes):
            raise CameraError(
                f"{len(self.world.scenes)} scenes need as many cameras of one size, got "
                f"{len(cameras)} of sizes {sorted(sizes)}",
                reason="camera_size",
            )
        (width, height) = sizes.pop()
        rays, forward, valid = self._camera_rays(cameras, T_world_camera)
        hit = self.world.trace(rays.origins, rays.directions, rays.scene)
        light = self._shade(rays, hit.distance, hit.primitive, depth=0)
        depth = hit.distance * forward
        instance = torch.where(
            hit.primitive >= 0, self.world.instance[hit.primitive.clamp_min(0)], 0
        )
        maps = torch.cat((light, depth[..., None], instance[..., None].to(depth.dtype)), -1)
        maps = _untiled(maps, len(cameras), height, width)
        depth_m = maps[..., 3].masked_fill(~valid, torch.nan)
        light = maps[..., :3] * valid[..., None]
        return Rendering(light.float(), depth_m.float(), (maps[..., 4] * valid).int())

    def _camera_rays(
        self, cameras: Sequence[Camera], T_world_camera: NDArray[np.float64]
    ) -> tuple[_Rays, Tensor, Tensor]:
        """Return tiled rays, the length along Z of each, and where there is one."""
        world = self.world
        points = torch.from_numpy(np.stack([camera.rays() for camera in cameras]))
        valid = ~points[..., 2:].isnan()
        points = torch.where(valid, points, points.new_tensor((0.0, 0.0, 1.0)))
        length = points.norm(dim=-1, keepdim=True)
        turn = torch.from_numpy(T_world_camera[:, None, :3, :3]).mT
        packed = torch.cat(((points / length) @ turn, 1 / length), -1)
        valid = valid[..., 0].to(world.device)
        tiles = _tiled(packed.to(world.device, world.dtype))
        of_view = len(tiles) // len(cameras)
        scene = torch.arange(len(cameras), device=world.device).repeat_interleave(of_view)
        start = torch.from_numpy(T_world_camera[:, :3, 3]).to(world.device, world.dtype)
        origins = start[scene][:, None]
        pixel = world._real([[1 / c.K[0]] for c in cameras], 1)[:, 0]
        directions = tiles[..., :3].contiguous()
        return _Rays(origins, directions, scene, pixel[scene]), tiles[..., 3], valid

    def _shade(self, rays: _Rays, distance: Tensor, primitive: Tensor, depth: int) -> Tensor:
        """Return the linear light (bundles, rays, 3) that comes along rays."""
        shape = distance.shape
        light = torch.zeros_like(rays.directions)
        met = primitive >= 0
        # Indices of rays in one row: a mask would be counted anew at each use.
        at, lost = (mask.view(-1).nonzero()[:, 0] for mask in (met, ~met))
        self._see_sky(rays, lost, light.view(-1, 3))
        surface, along = primitive.view(-1)[at], distance.view(-1)[at]
        bundle = at.div(shape[1], rounding_mode="floor")
        directions = rays.directions.reshape(-1, 3)[at]
        if rays.origins.shape[1] == 1:
            origins = rays.origins[bundle, 0]
        else:
            origins = rays.origins.reshape(-1, 3)[at]
        points = torch.addcmul(origins, along[:, None], directions)
        own, own_normal = self.world.local(points, surface)
        normal = self.world.to_world(own_normal, surface)
        facing = (normal * directions).sum(-1).abs().clamp_min(0.05)
        footprint_m = along * rays.pixel[bundle] / facing
        colour = albedo(own, own_normal, self.paint.at(surface), footprint_m)
        seen = _Hits(rays.scene, torch.zeros_like(light), torch.zeros_like(light), met)
        seen.points.view(-1, 3)[at], seen.normals.view(-1, 3)[at] = points, normal
        glossy = met.clone()
        glossy.view(-1)[at] = self.gloss[surface] > 0
        diffuse, shine = self._lit(rays, seen, glossy, shadows=depth == 0)
        diffuse, shine = diffuse.view(-1, 3)[at], shine.view(-1, 3)[at]
        glow, gloss = self.glow[surface][:, None], self.gloss[surface][:, None]
        light.view(-1, 3)[at] = colour * (diffuse + glow) + gloss * shine
        if depth == 0:
            self._bounce(rays, seen, primitive, light)
        if not bool(self.haze.any()):
            return light
        scene = rays.scene[:, None].expand(shape)
        left = torch.exp(-self.haze[scene] * distance.clamp_max(1e4))[..., None]
        return torch.where(met[..., None], light * left + self.horizon[scene] * (1 - left), light)

    def _see_sky(self, rays: _Rays, lost: Tensor, light: Tensor) -> None:
        """Give the rays (in one row) that meet nothing the light of the sky, in place."""
        if len(lost):
            scene = rays.scene[lost.div(rays.directions.shape[1], rounding_mode="floor")]
            directions = rays.directions.reshape(-1, 3)[lost]
            sky = (self.zenith, self.horizon, self.cloud, self.sky_seed)
            light[lost] = sky_colour(directions, *(part[scene] for part in sky))

    def _lit(
        self, rays: _Rays, seen: _Hits, glossy: Tensor, shadows: bool
    ) -> tuple[Tensor, Tensor]:
        """Return what white matte surfaces at points give back, and highlights of glossy ones."""
        # More from above than from below: the sky and the ceiling are brighter than the floor.
        above = 0.75 + 0.25 * seen.normals[..., 2:]
        diffuse = self.ambient[seen.scene][:, None] * above
        shine = torch.zeros_like(diffuse)
        for index in range(_LIGHTS):
            is_on = self.light_of[seen.scene, index].sum(-1) > 0
            for is_sun in (True, False):
                lit = (is_on & (self.is_sun[seen.scene, index] == is_sun)).nonzero()[:, 0]
                if len(lit):
                    traced = shadows and index < _SHADOWS
                    to, strength, facing = self._light_on(seen.of(lit), index, is_sun, traced)
                    diffuse[lit] += strength * facing
                    bright = strength * (facing > 0)
                    _add_highlight(rays.directions, seen.normals, lit, glossy, to, bright, shine)
        return diffuse, shine

    def _light_on(
        self, seen: _Hits, index: int, is_sun: bool, shadows: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the direction to a light, its strength, and the cosine at which it falls in."""
        # Where the light is, or the direction to a sun.
        at = self.light_at[seen.scene, index][:, None]
        of = self.light_of[seen.scene, index][:, None]
        to = at.expand_as(seen.points) if is_sun else at - seen.points
        away = to.norm(dim=-1, keepdim=True).clamp_min(0.05)
        to = to / away
        strength = of.expand_as(to) if is_sun else of * away**-2
        facing = (seen.normals * to).sum(-1, keepdim=True).clamp_min(0)
        if shadows:
            asked = seen.met & (facing[..., 0] > 0)
            strength = strength * self._unshadowed(seen, to, is_sun, away, asked)[..., None]
        return to, strength, facing

    def _unshadowed(
        self, seen: _Hits, to: Tensor, is_sun: bool, away: Tensor, asked: Tensor
    ) -> Tensor:
        """Return 0 where something is between a light and a point that is asked about, else 1.

        Rays go from the point to the sun, but from a lamp to the point: then those of a tile
        share an origin, and their cone is narrow. Glass lets light through, and a light inside
        its own shade is not hidden by it.
        """
        free = torch.ones_like(seen.points[..., 0])
        some = asked.any(1).nonzero()[:, 0]
        if not len(some):
            return free
        asked, to, away, seen = asked[some], to[some], away[some], seen.of(some)
        origins = seen.points + seen.normals * _LIFT_M
        directions, limit = to, away.new_full((), 200.0)
        if not is_sun:
            origins, directions = origins + to * (away - _LIFT_M), -to
            limit = (away[..., 0] - 2 * _LIFT_M).clamp_min(0)
        origins, directions = (_narrowed(part, asked) for part in (origins, directions))
        limit = (limit * asked).contiguous()
        clear = (self.finish == Finish.GLASS) | (self.glow > 0)
        hidden = self.world.hidden(origins, directions, seen.scene, limit, clear)
        free[some] = (~hidden).to(free.dtype)
        return free

    def _bounce(self, rays: _Rays, seen: _Hits, primitive: Tensor, light: Tensor) -> None:
        """Add in place what mirrors reflect and glass lets through, one bounce deep."""
        finish = torch.where(seen.met, self.finish[primitive.clamp_min(0)], 0)
        # The share of what comes from there, and what is kept of the surface's own light.
        for kind, through, share, kept in _BOUNCES:
            wanted = finish == kind
            tiles = wanted.any(1).nonzero()[:, 0]
            if not len(tiles):
                continue
            d, n, p = rays.directions[tiles], seen.normals[tiles], seen.points[tiles]
            if through:  # the pane, which is a thin box or the body of a car
                pane = self.world.size[primitive[tiles].clamp_min(0)].amin(-1, keepdim=True)
                slant = (d * n).sum(-1, keepdim=True).abs().clamp_min(0.1)
                origins, directions = p + d * (2 * pane / slant + _LIFT_M), d
            else:
                directions = d - 2 * (d * n).sum(-1, keepdim=True) * n
                origins = p + n * _LIFT_M
            origins, directions = (_narrowed(x, wanted[tiles]) for x in (origins, directions))
            second = _Rays(origins, directions, rays.scene[tiles], rays.pixel[tiles])
            hit = self.world.trace(second.origins, second.directions, second.scene)
            there = self._shade(second, hit.distance, hit.primitive, depth=1)
            old = light[tiles]
            mixed = old * kept + share * there
            light[tiles] = torch.where(wanted[tiles][..., None], mixed, old)


def _add_highlight(
    directions: Tensor,
    normals: Tensor,
    lit: Tensor,
    glossy: Tensor,
    to: Tensor,
    strength: Tensor,
    shine: Tensor,
) -> None:
    """Add in place what a light that bundles ``lit`` see gives glossy surfaces back."""
    bundle, ray = glossy[lit].nonzero(as_tuple=True)
    if not len(bundle):
        return
    # Of rows of rays: indices of one axis are faster than of two.
    count = glossy.shape[1]
    own, at = bundle * count + ray, lit[bundle] * count + ray
    half = normalize(to.reshape(-1, 3)[own] - directions.reshape(-1, 3)[at], dim=-1)
    normal = normals.view(-1, 3)[at]
    bright = (normal * half).sum(-1, keepdim=True).clamp_min(0) ** _GLOSS_POWER
    shine.view(-1, 3)[at] += strength.reshape(-1, 3)[own] * bright


def _narrowed(vectors: Tensor, wanted: Tensor) -> Tensor:
    """Give each ray of a bundle that is not wanted a wanted one's values: it must not widen it."""
    one = wanted.int().argmax(1)[:, None, None].expand(-1, 1, 3)
    return torch.where(wanted[..., None], vectors, vectors.gather(1, one))


def _padded(lights: tuple[Light, ...]) -> tuple[Light, ...]:
    dark = Light((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), True)
    return (lights + (dark,) * _LIGHTS)[:_LIGHTS]


def _tiled(maps: Tensor) -> Tensor:
    """Cut (views, height, width, c) into (tiles, tile², c), the border repeated to whole tiles."""
    _, height, width, channels = maps.shape
    rows, columns = math.ceil(height / _TILE), math.ceil(width / _TILE)
    row = torch.arange(rows * _TILE, device=maps.device).clamp_max(height - 1)
    column = torch.arange(columns * _TILE, device=maps.device).clamp_max(width - 1)
    maps = maps[:, row][:, :, column].view(-1, rows, _TILE, columns, _TILE, channels)
    return maps.transpose(2, 3).reshape(-1, _TILE * _TILE, channels)


def _untiled(tiles: Tensor, views: int, height: int, width: int) -> Tensor:
    """Undo ``_tiled``."""
    rows, columns = math.ceil(height / _TILE), math.ceil(width / _TILE)
    maps = tiles.view(views, rows, columns, _TILE, _TILE, -1).transpose(2, 3)
    return maps.reshape(views, rows * _TILE, columns * _TILE, -1)[:, :height, :width]
