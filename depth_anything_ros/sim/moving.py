"""Things that move through a scene, or come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from depth_anything_ros.sim.assembly import Assembly, placed
from depth_anything_ros.sim.scene import Primitive, Scene, Vector

# Patterns of what moves are drawn far from those of what stands.
_FIRST_SEED = 10_000


@dataclass(frozen=True)
class Mover:
    """A thing that goes along a line at a constant speed, while it is there.

    Attributes:
        thing: its parts; it goes along its own x.
        start: where its origin is at time 0, in the world, in metres.
        yaw: where its x points, in radians.
        speed_mps: 0 stands.
        from_s: it is there from this time on.
        until_s: and before this one.
    """

    thing: Assembly
    start: Vector
    yaw: float = 0.0
    speed_mps: float = 0.0
    from_s: float = -math.inf
    until_s: float = math.inf

    def position(self, t: float) -> Vector:
        """Return where its origin is at a time in seconds."""
        x, y, z = self.start
        way = self.speed_mps * t
        return (x + way * math.cos(self.yaw), y + way * math.sin(self.yaw), z)


def with_movers(scene: Scene, movers: Sequence[Mover], t: float) -> Scene:
    """Return a scene with what moves in it at a time.

    Args:
        scene: what stands.
        movers: what moves; the instances that follow those of the scene are theirs, in order,
            whether they are there or not.
        t: time in seconds.
    """
    moving: list[Primitive] = []
    first = first_mover(scene)
    seed = _FIRST_SEED
    for instance, mover in enumerate(movers, first):
        parts = mover.thing.parts
        if mover.from_s <= t < mover.until_s:
            moving += placed(parts, mover.position(t), mover.yaw, instance, seed)
        seed += len(parts)
    return replace(scene, primitives=(*scene.primitives, *moving))


def first_mover(scene: Scene) -> int:
    """Return the instance of the first thing that moves in a scene, which has none yet."""
    return 1 + max(primitive.instance for primitive in scene.primitives)
