"""From a depth map to a point cloud, in the memory layout of PointCloud2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, ImageError


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
        self._rays = np.ascontiguousarray(camera.rays()[::stride, ::stride, :2], dtype=np.float32)

    def project(
        self,
        depth: DepthMap,
        rgb: NDArray[np.uint8] | None = None,
        *,
        organized: bool = True,
        edge_jump: float = 0.0,
    ) -> Cloud:
        """Back-project a depth map: (X, Y, Z) = Z · ((u - cx) / fx, (v - cy) / fy, 1).

        Args:
            depth: on this object's camera grid.
            rgb: uint8 (height, width, 3) on the same grid, for coloured points.
            organized: keep the grid, with NaN where there is no point; otherwise keep only points.
            edge_jump: drop the pixels that ``depth_edges`` finds at this relative jump; 0 is off.

        Raises:
            CameraError: where the depth map is of another camera or size.
            ImageError: where the colours are of another size.
        """
        shape = (self.camera.height, self.camera.width)
        if depth.depth_m.shape != shape or depth.camera not in (None, self.camera):
            raise CameraError(
                f"the depth map of {depth.depth_m.shape[::-1]} is not of this camera of "
                f"{shape[::-1]}; make a BackProjector for its camera",
                reason="camera_size",
            )
        if rgb is not None and (rgb.shape != (*shape, 3) or rgb.dtype != np.uint8):
            raise ImageError(f"colours must be uint8 {(*shape, 3)}, got {rgb.dtype} {rgb.shape}")
        step = self.stride
        z = depth.depth_m[::step, ::step]
        valid = np.isfinite(z) & np.isfinite(self._rays[..., 0])
        if edge_jump > 0:
            valid &= ~depth_edges(depth.depth_m, edge_jump)[::step, ::step]
        points = np.empty((*z.shape, 3 if rgb is None else 4), np.float32)
        kept_z = np.where(valid, z, np.float32(np.nan))
        np.multiply(self._rays[..., 0], kept_z, out=points[..., 0])
        np.multiply(self._rays[..., 1], kept_z, out=points[..., 1])
        points[..., 2] = kept_z
        if rgb is not None:
            _pack_rgb(rgb[::step, ::step], points)
        if not organized:
            return Cloud(points[valid][None], is_dense=True)
        return Cloud(points, is_dense=bool(valid.all()))


def _pack_rgb(rgb: NDArray[np.uint8], points: NDArray[np.float32]) -> None:
    """Write colours into the fourth float: bytes B, G, R, 0 in little-endian order."""
    packed = points.view(np.uint8)[..., 12:]
    packed[..., 0] = rgb[..., 2]
    packed[..., 1] = rgb[..., 1]
    packed[..., 2] = rgb[..., 0]
    packed[..., 3] = 0


def depth_edges(depth_m: NDArray[np.float32], relative_jump: float) -> NDArray[np.bool_]:
    """Find the pixels on either side of a depth edge, where flying pixels hang.

    Networks and bilinear upsampling bridge an edge with depths that no surface has. Two
    neighbours (4-neighbourhood) make an edge where |z1 - z2| > relative_jump · min(z1, z2), and
    both are marked. A finite pixel beside +Inf is an edge; NaN neighbours count for nothing. A
    floor seen from height h has a jump of about z / (f·h) per row: at the default of 0.05,
    f = 500 px and h = 1 m that limits it to 25 m.

    Args:
        depth_m: float32 (height, width), metres, NaN and +Inf allowed.
        relative_jump: unit-less and positive.

    Returns:
        bool (height, width), True at an edge.
    """
    edges = np.zeros(depth_m.shape, np.bool_)
    views = (
        (depth_m[:, 1:], depth_m[:, :-1], edges[:, 1:], edges[:, :-1]),
        (depth_m[1:], depth_m[:-1], edges[1:], edges[:-1]),
    )
    with np.errstate(invalid="ignore"):  # Inf - Inf is NaN and compares False, as it should
        for first, second, first_edge, second_edge in views:
            jump = np.abs(first - second) > relative_jump * np.minimum(first, second)
            first_edge |= jump
            second_edge |= jump
    return edges


def write_ply(path: Path, cloud: Cloud, comment: str = "") -> int:
    """Write the finite points of a cloud as a binary PLY and return how many there were."""
    finite = np.isfinite(cloud.xyz).all(axis=-1)
    fields: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if cloud.has_color:
        fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.empty(int(finite.sum()), dtype=fields)
    for i, axis in enumerate("xyz"):
        vertices[axis] = cloud.xyz[finite][:, i]
    if cloud.has_color:
        for i, color in enumerate(("red", "green", "blue")):
            vertices[color] = cloud.rgb[finite][:, i]
    types = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {line}" for line in comment.splitlines()]
    header += [f"element vertex {len(vertices)}"]
    header += [f"property {types[kind]} {name}" for name, kind in fields]
    header += ["end_header", ""]
    path.write_bytes("\n".join(header).encode("ascii", "replace") + vertices.tobytes())
    return len(vertices)
