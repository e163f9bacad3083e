"""From a depth map to a point cloud, in the memory layout of PointCloud2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, ImageError

# Makes float32 memory of a shape, C-contiguous, of any content.
Allocate = Callable[[tuple[int, ...]], NDArray[np.float32]]
# Worked on at a time, so that what one step leaves is in the processor's cache for the next.
_BLOCK_PIXELS = 1 << 16


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in the optical frame, metres.

    Attributes:
        points: float32 (height, width, 3 or 4), C-contiguous: x, y, z and, where there is colour,
            the bits 0x00RRGGBB in the fourth, as PCL and RViz read the field ``rgb``. One row of
            a dense cloud has height 1. This memory is PointCloud2's data as it stands.
        is_dense: True where every point is finite.
    """

    points: NDArray[np.float32]
    is_dense: bool

    @property
    def height(self) -> int:
        """Rows of an organised cloud; 1 of a dense one."""
        return int(self.points.shape[0])

    @property
    def width(self) -> int:
        """Points in a row."""
        return int(self.points.shape[1])

    @property
    def has_color(self) -> bool:
        """Say whether there is a field ``rgb``."""
        return bool(self.points.shape[2] == 4)

    @property
    def xyz(self) -> NDArray[np.float32]:
        """View of the coordinates, float32 (height, width, 3)."""
        return self.points[..., :3]

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Colours as uint8 (height, width, 3)."""
        return self.points.view(np.uint8)[..., 14:11:-1]


class BackProjector:
    """Turn depth maps of one camera into clouds.

    The rays of the camera are computed once, so keep the object from frame to frame.

    Args:
        camera: of the depth maps to come. Lens distortion is honoured ray by ray.
        stride: take every stride-th pixel in both directions, from the first.
    """

    def __init__(self, camera: Camera, stride: int = 1) -> None:
        if stride < 1:
            raise ImageError(f"cloud stride must be 1 or more, got {stride}")
        self.camera = camera
        self.stride = stride
        self._ray_x, self._ray_y = _rays(camera, stride)
        unseen = ~np.isfinite(self._ray_x)
        self._unseen = unseen if unseen.any() else None

    def project(
        self,
        depth: DepthMap,
        rgb: NDArray[np.uint8] | None = None,
        *,
        organized: bool = True,
        edge_jump: float = 0.0,
        far_m: float | None = None,
        allocate: Allocate | None = None,
    ) -> Cloud:
        """Back-project a depth map: (X, Y, Z) = Z · ((u - cx) / fx, (v - cy) / fy, 1).

        Args:
            depth: on this object's camera grid.
            rgb: uint8 (height, width, 3) on the same grid, for coloured points.
            organized: keep the grid, with NaN where there is no point; otherwise keep only points.
            edge_jump: drop the pixels that ``depth_edges`` finds at this relative jump; 0 is off.
            far_m: where the points of pixels beyond range (+Inf) are put, Z on their rays; None
                drops them.
            allocate: makes the memory of the points, as a message's own; new memory where None.

        Raises:
            CameraError: where the depth map is of another camera or size.
            ImageError: where the colours are of another size.
        """
        self._check(depth, rgb)
        step = self.stride
        z = depth.depth_m[::step, ::step]
        lost = ~np.isfinite(z) if far_m is None else np.isnan(z)
        if self._unseen is not None:
            lost |= self._unseen
        if edge_jump > 0:
            lost |= depth_edges(depth.depth_m, edge_jump)[::step, ::step]
        shape = (*z.shape, 3 if rgb is None else 4)
        points = np.empty(shape, np.float32) if allocate is None else allocate(shape)
        self._write(points, z, lost, None if rgb is None else rgb[::step, ::step], far_m)
        if not organized:
            return Cloud(points[~lost][None], is_dense=True)
        return Cloud(points, is_dense=not lost.any())

    def _check(self, depth: DepthMap, rgb: NDArray[np.uint8] | None) -> None:
        shape = (self.camera.height, self.camera.width)
        if depth.depth_m.shape != shape or depth.camera not in (None, self.camera):
            raise CameraError(
                f"the depth map of {depth.depth_m.shape[::-1]} is not of this camera of "
                f"{shape[::-1]}; make a BackProjector for its camera",
                reason="camera_size",
            )
        if rgb is not None and (rgb.shape != (*shape, 3) or rgb.dtype != np.uint8):
            raise ImageError(f"colours must be uint8 {(*shape, 3)}, got {rgb.dtype} {rgb.shape}")

    def _write(
        self,
        points: NDArray[np.float32],
        z: NDArray[np.float32],
        lost: NDArray[np.bool_],
        rgb: NDArray[np.uint8] | None,
        far_m: float | None,
    ) -> None:
        """Write each point once: planes are made block by block and interleaved in one go."""
        height, width = z.shape
        step = min(_block_rows(width), height)
        planes = list(np.empty((3 if rgb is None else 4, step, width), np.float32))
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            x, y, kept, *colour = parts = [plane[: rows.stop - top] for plane in planes]
            np.copyto(kept, z[rows])
            if far_m is not None:
                np.minimum(kept, np.float32(far_m), out=kept)
            np.copyto(kept, np.float32(np.nan), where=lost[rows])
            with np.errstate(over="ignore"):  # what is farther than float32 holds is infinite
                np.multiply(_rows(self._ray_x, rows), kept, out=x)
                np.multiply(_rows(self._ray_y, rows), kept, out=y)
            if rgb is not None:
                _pack_rgb(rgb[rows], colour[0])
            cv2.merge(parts, points[rows])


def _rays(camera: Camera, stride: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y of the rays at Z = 1 of every stride-th pixel, (height, width) each.

    Those of a pinhole repeat: they are (1, width) and (height, 1).
    """
    columns = np.arange(0, camera.width, stride, dtype=np.float64)
    rows = np.arange(0, camera.height, stride, dtype=np.float64)
    if camera.is_distorted or camera.K[1]:
        rays = camera.unproject(np.stack(np.meshgrid(columns, rows), axis=-1)).astype(np.float32)
        return np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])
    along_x = camera.unproject(np.stack((columns, np.zeros_like(columns)), axis=-1))
    along_y = camera.unproject(np.stack((np.zeros_like(rows), rows), axis=-1))
    return along_x[None, :, 0].astype(np.float32), along_y[:, None, 1].astype(np.float32)


def _rows(ray: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
    return ray if len(ray) == 1 else ray[rows]


def _block_rows(width: int) -> int:
    return max(1, _BLOCK_PIXELS // width)


def _pack_rgb(rgb: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Write colours into floats (rows, columns): bytes B, G, R, 0 in little-endian order."""
    cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, out.view(np.uint8).reshape(*out.shape, 4))
    bits = out.view(np.uint32)
    bits &= np.uint32(0x00FFFFFF)  # not the 255 that OpenCV writes


def depth_edges(
    depth_m: NDArray[np.float32], relative_jump: float, far_side_only: bool = False
) -> NDArray[np.bool_]:
    """Find the pixels on either side of a depth edge, where flying pixels hang.

    Networks and bilinear upsampling bridge an edge with depths that no surface has. Two
    neighbours (4-neighbourhood) make an edge where |z1 - z2| > relative_jump · min(z1, z2), and
    both are marked. A finite pixel beside +Inf is an edge; NaN neighbours count for nothing. A
    floor seen from height h has a jump of about z / (f·h) per row: at the default of 0.05,
    f = 500 px and h = 1 m that limits it to 25 m.

    Args:
        depth_m: float32 (height, width), metres, NaN and +Inf allowed.
        relative_jump: unit-less and positive.
        far_side_only: mark the farther of the two alone. What hangs between two surfaces is
            farther than one of them, and the outline of a near one stays.

    Returns:
        bool (height, width), True at an edge.
    """
    width = depth_m.shape[1]
    z = np.ascontiguousarray(depth_m).reshape(-1)
    edges = np.zeros(z.shape, np.bool_)
    with np.errstate(invalid="ignore"):  # Inf - Inf is NaN and compares False, as it should
        _mark_jumps(z, edges, 1, width, relative_jump, far_side_only)
        _mark_jumps(z, edges, width, width, relative_jump, far_side_only)
    return edges.reshape(depth_m.shape)


def _mark_jumps(
    z: NDArray[np.float32],
    edges: NDArray[np.bool_],
    offset: int,
    width: int,
    relative_jump: float,
    far_side_only: bool,
) -> None:
    """Mark the edges between pixels that are so far from each other in a flattened map."""
    size = _block_rows(width) * width
    difference, smaller = np.empty((2, size), np.float32)
    jump = np.empty(size, np.bool_)
    for start in range(offset, len(z), size):
        stop = min(start + size, len(z))
        here, other, of = (
            slice(start, stop),
            slice(start - offset, stop - offset),
            slice(stop - start),
        )
        np.subtract(z[here], z[other], out=difference[of])
        np.abs(difference[of], out=difference[of])
        np.minimum(z[here], z[other], out=smaller[of])
        np.multiply(smaller[of], relative_jump, out=smaller[of])
        np.greater(difference[of], smaller[of], out=jump[of])
        if offset < width:  # the last pixel of a row is no neighbour of the next row's first
            jump[width - offset : stop - start : width] = False
        if far_side_only:
            is_farther = z[here] > z[other]
            edges[here] |= jump[of] & is_farther
            edges[other] |= jump[of] & ~is_farther
            continue
        edges[here] |= jump[of]
        edges[other] |= jump[of]
