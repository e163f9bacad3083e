"""Clouds as files that others read: PLY, PCD and GLB, each of the finite points alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.cloud import Cloud
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.files import write_atomically

# glTF 2.0: a file's magic word and version, its two chunks, and numbers of OpenGL.
_GLTF, _GLTF_VERSION, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", 2, b"JSON", b"BIN\0"
_FLOAT, _UNSIGNED_SHORT, _POINTS, _ARRAY_BUFFER = 5126, 5123, 0, 34962


def _finite(cloud: Cloud) -> Cloud:
    """Return the finite points alone, in one row."""
    if cloud.is_dense:
        return Cloud(cloud.points.reshape(1, -1, cloud.points.shape[2]), is_dense=True)
    x, y, z = (np.isfinite(cloud.points[..., i]) for i in range(3))
    points = cloud.points.reshape(-1, cloud.points.shape[2])
    return Cloud(points.compress((x & y & z).ravel(), axis=0)[None], is_dense=True)


def ply_bytes(cloud: Cloud, comment: str = "") -> bytes:
    """Return the points as a binary PLY, in the optical frame, metres, with 8-bit colours."""
    kept = _finite(cloud)
    fields = [("xyz", "<f4", 3)] + ([("rgb", "u1", 3)] if kept.has_color else [])
    vertices = np.empty(kept.width, fields)
    vertices["xyz"] = kept.xyz[0]
    if kept.has_color:
        vertices["rgb"] = kept.rgb[0]
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {line}" for line in comment.splitlines()]
    header += [f"element vertex {kept.width}"]
    header += [f"property float {axis}" for axis in "xyz"]
    if kept.has_color:
        header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header += ["end_header", ""]
    return "\n".join(header).encode("ascii", "replace") + vertices.tobytes()


def pcd_bytes(cloud: Cloud, comment: str = "") -> bytes:
    """Return the points as a binary PCD 0.7, in the optical frame, metres, ``rgb`` as PCL has it.

    That is 0x00RRGGBB in the bits of a float, as in PointCloud2.
    """
    kept = _finite(cloud)
    fields = ("x", "y", "z", "rgb")[: kept.points.shape[2]]
    header = [f"# {line}" for line in ["PCD of depth_anything_ros", *comment.splitlines()]]
    header += ["VERSION 0.7", f"FIELDS {' '.join(fields)}"]
    header += [f"{name}{f' {value}' * len(fields)}" for name, value in _PCD_TYPE.items()]
    header += [f"WIDTH {kept.width}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0"]
    header += [f"POINTS {kept.width}", "DATA binary", ""]
    data = kept.points.astype("<f4", copy=False).tobytes()
    return "\n".join(header).encode("ascii", "replace") + data


_PCD_TYPE = {"SIZE": "4", "TYPE": "F", "COUNT": "1"}


def glb_bytes(cloud: Cloud, comment: str = "") -> bytes:
    """Return the points as binary glTF 2.0, which browsers show.

    Its axes are glTF's: x right, y up, and the camera looks along -z, so that a viewer looks where
    the camera did. Colours are linear in glTF, and shown without any light (KHR_materials_unlit).
    """
    kept = _finite(cloud)
    count = kept.width
    xyz = (kept.xyz[0] * np.array([1, -1, -1], np.float32)).astype("<f4", copy=False)
    parts = [xyz.tobytes()]
    attributes = {"POSITION": 0}
    accessors: list[dict[str, Any]] = [_accessor(0, count, _FLOAT, "VEC3") | _bounds(xyz)]
    if kept.has_color:
        rgba = np.full((count, 4), 65535, "<u2")
        rgba[:, :3] = _linear().take(kept.rgb[0])
        parts.append(rgba.tobytes())
        attributes["COLOR_0"] = 1
        accessors.append(_accessor(1, count, _UNSIGNED_SHORT, "VEC4") | {"normalized": True})
    return _glb(_scene(parts, attributes, accessors, comment), b"".join(parts))


def _accessor(view: int, count: int, component: int, kind: str) -> dict[str, Any]:
    return {"bufferView": view, "componentType": component, "count": count, "type": kind}


def _bounds(xyz: NDArray[np.float32]) -> dict[str, Any]:
    low, high = (xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else (np.zeros(3), np.zeros(3))
    return {"min": [float(v) for v in low], "max": [float(v) for v in high]}


def _linear() -> NDArray[np.uint16]:
    """Return the light of each 8-bit value of sRGB (IEC 61966-2-1), of 65535."""
    value = np.arange(256) / 255.0
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.rint(light * 65535), np.uint16)


def _scene(
    parts: list[bytes],
    attributes: dict[str, int],
    accessors: list[dict[str, Any]],
    comment: str,
) -> dict[str, Any]:
    starts = [sum(map(len, parts[:i])) for i in range(len(parts))]
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": _ARRAY_BUFFER}
        for start, part in zip(starts, parts, strict=True)
    ]
    unlit: dict[str, Any] = {"extensions": {"KHR_materials_unlit": {}}}
    mesh = {"primitives": [{"attributes": attributes, "mode": _POINTS, "material": 0}]}
    return {
        "asset": {"version": "2.0", "generator": "depth_anything_ros", "copyright": comment},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "points"}],
        "meshes": [mesh],
        "materials": [unlit],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, parts))}],
    }


def _glb(scene: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(scene, separators=(",", ":")).encode()
    chunks = b""
    for kind, data, filling in ((_JSON_CHUNK, text, b" "), (_BINARY_CHUNK, binary, b"\0")):
        data += filling * (-len(data) % 4)
        chunks += struct.pack("<I4s", len(data), kind) + data
    return struct.pack("<4sII", _GLTF, _GLTF_VERSION, 12 + len(chunks)) + chunks


# How a cloud becomes a file, by the file's suffix.
CLOUD_FILES: dict[str, Callable[[Cloud, str], bytes]] = {
    "ply": ply_bytes,
    "pcd": pcd_bytes,
    "glb": glb_bytes,
}


def write_cloud(
    path: Path, cloud: Cloud, comment: str = "", error: type[DepthAnythingError] | None = None
) -> int:
    """Write the finite points of a cloud, by the path's suffix, and return how many there were.

    Args:
        path: ending in one of ``CLOUD_FILES``.
        cloud: to write.
        comment: goes into the file.
        error: as of ``atomically``.
    """
    write_atomically(path, CLOUD_FILES[path.suffix[1:].lower()](cloud, comment), error)
    return _finite(cloud).width
