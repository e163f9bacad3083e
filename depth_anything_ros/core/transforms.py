"""Where frames are seen from others, by the transforms of a recording (/tf, /tf_static)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import DepthAnythingError, quoted
from depth_anything_ros.core.poses import inverse, rigid_matrix

# Of a chain of frames; a longer one is a ring.
_LONGEST = 1000


@dataclass(eq=False)
class _Edge:
    """Where a frame is in its parent; one stamp of a fixed one.

    Attributes:
        parent: name of the frame above.
        is_static: whether it is there at all times.
        stamps: ns, rising.
        values: x, y, z, and the quaternion x, y, z, w, by stamp.
    """

    parent: str
    is_static: bool
    stamps: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)

    def at(self, child: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return T_parent_child at a time, between two transforms by both."""
        if self.is_static:
            return _matrix(self.values[-1])
        after = bisect_left(self.stamps, stamp_ns)
        if after < len(self.stamps) and self.stamps[after] == stamp_ns:
            return _matrix(self.values[after])
        if not 0 < after < len(self.stamps):
            nearest = self.stamps[0 if after == 0 else -1]
            side = "after" if after == 0 else "before"
            raise _missing(
                f"the nearest from {quoted(child)} to {quoted(self.parent)} is "
                f"{abs(nearest - stamp_ns) / 1e9:.3f} s {side} that time"
            )
        begin, end = self.stamps[after - 1], self.stamps[after]
        share = (stamp_ns - begin) / (end - begin)
        return _matrix(_between(self.values[after - 1], self.values[after], share))


class Transforms:
    """The tree of frames of a recording, over time."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation_m: tuple[float, float, float],
        rotation_xyzw: tuple[float, float, float, float],
        is_static: bool,
    ) -> None:
        """Take a transform that maps points of child to parent; the newest parent counts."""
        parent, child = parent.removeprefix("/"), child.removeprefix("/")
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent or edge.is_static != is_static:
            edge = self._edges[child] = _Edge(parent, is_static)
        value = (*translation_m, *rotation_xyzw)
        # They come in order, but for what several broadcasters send.
        place = len(edge.stamps)
        if place and stamp_ns <= edge.stamps[-1]:
            place = bisect_left(edge.stamps, stamp_ns)
            if edge.stamps[place] == stamp_ns:
                edge.values[place] = value
                return
        edge.stamps.insert(place, stamp_ns)
        edge.values.insert(place, value)

    def find(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return what maps points of the source's frame to the target's, float64 (4, 4).

        Raises:
            DepthAnythingError: with the reason ``no_transform``.
        """
        target, source = target.removeprefix("/"), source.removeprefix("/")
        up, down = self._above(target), self._above(source)
        common = next((frame for frame in down if frame in up), None)
        if common is None:
            raise _missing(
                f"{quoted(source)} and {quoted(target)} hang together by no transform of /tf or "
                "/tf_static"
            )
        T_common_target = self._chain(up[: up.index(common)], stamp_ns)
        T_common_source = self._chain(down[: down.index(common)], stamp_ns)
        return np.asarray(inverse(T_common_target) @ T_common_source, np.float64)

    def _above(self, frame: str) -> list[str]:
        found = [frame]
        while found[-1] in self._edges and len(found) < _LONGEST:
            found.append(self._edges[found[-1]].parent)
        return found

    def _chain(self, frames: list[str], stamp_ns: int) -> NDArray[np.float64]:
        """Return the transform from the first of frames to the parent of the last."""
        T = np.eye(4)
        for frame in frames:
            T = self._edges[frame].at(frame, stamp_ns) @ T
        return T


def _missing(why: str) -> DepthAnythingError:
    return DepthAnythingError(f"the recording has no such transform: {why}", "no_transform")


def _matrix(value: Sequence[float]) -> NDArray[np.float64]:
    return rigid_matrix(value[:3], value[3:])


def _between(begin: Sequence[float], end: Sequence[float], share: float) -> tuple[float, ...]:
    """Interpolate positions on a line, and rotations on the shorter great circle (slerp)."""
    p, q = (np.array(v[3:]) / np.linalg.norm(v[3:]) for v in (begin, end))
    cosine = float(p @ q)
    if cosine < 0:
        q, cosine = -q, -cosine
    angle = float(np.arccos(min(cosine, 1.0)))
    weights = (1 - share, share)
    if angle > 1e-6:  # else the two are the same to all digits that count
        weights = (np.sin((1 - share) * angle), np.sin(share * angle))
    position = ((1 - share) * a + share * b for a, b in zip(begin[:3], end[:3], strict=True))
    return (*position, *(weights[0] * p + weights[1] * q))
