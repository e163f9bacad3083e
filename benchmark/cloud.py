"""How fast a coloured cloud is made and written into its message, beside what else one could do.

python benchmark/cloud.py
"""

from __future__ import annotations

import argparse
import sys
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from sensor_msgs_py.point_cloud2 import create_cloud
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.nodes.messages import Outgoing, cloud_message
from depth_anything_ros.tools.options import parse_size
from depth_anything_ros.tools.timing import (
    in_turn,
    machine,
    markdown,
    middle_and_tail,
    publish,
)

OURS = "this package"
Way = Callable[[], Any]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="1280x720", help="of the depth map [px]")
    parser.add_argument("--runs", type=int, default=10, help="of each, timed")
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV; 0 is its own choice")
    parser.add_argument("--fast", action="store_true", help="leave out the list, which takes long")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(words)
    if options.threads > 0:
        cv2.setNumThreads(options.threads)
    width, height = parse_size(options.size)
    found = ways(width, height)
    if options.fast:
        found = {name: way for name, way in found.items() if "list" not in name}
    times = in_turn(found, options.runs)
    base = middle_and_tail(times[OURS])[0]
    rows: list[dict[str, Any]] = []
    for name in found:
        median, tail = middle_and_tail(times[name])
        rows.append({"way": name, "median_ms": median, "p95_ms": tail, "ratio": median / base})
    cells = [
        [r["way"], f"{r['median_ms']:.2f}", f"{r['p95_ms']:.2f}", f"{r['ratio']:.1f}"] for r in rows
    ]
    heading = ("from depth and colours to PointCloud2", "median (ms)", "p95 (ms)", "ratio")
    title = f"a coloured cloud of {width}x{height}, median of {options.runs}"
    sized = [{"width": width, "height": height, **row} for row in rows]
    publish(machine(), [title, *markdown(heading, cells)], sized, options.output)
    return 0


def ways(width: int, height: int) -> dict[str, Way]:
    """Return what makes the same message of one depth map, by name; ours is first.

    The lists of points are made beforehand: only what makes a message of them is timed.
    """
    rng, header = np.random.default_rng(0), Header(frame_id="camera")
    camera = Camera.from_hfov(width, height, 70.0, "camera")
    steps = rng.uniform(1, 20, (12, 16)).astype(np.float32)
    depth = DepthMap(np.asarray(cv2.resize(steps, (width, height)), np.float32), camera)
    rgb = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    projector, outgoing = BackProjector(camera), Outgoing(PointCloud2)

    def ours(edge_jump: float = 0.0) -> PointCloud2:
        cloud = projector.project(depth, rgb, edge_jump=edge_jump, allocate=outgoing.memory)
        return cloud_message(header, cloud, outgoing)

    rays = camera.rays().astype(np.float32)
    fields = cloud_message(header, projector.project(depth, rgb)).fields
    table = _plain(depth.depth_m, rgb, rays)
    values = np.stack([table[name] for name in table.dtype.names or ()], -1).reshape(-1, 4)
    points = [tuple(point) for point in values.tolist()]
    return {
        OURS: ours,
        f"{OURS}, without flying pixels": lambda: ours(0.05),
        "plain NumPy": lambda: _plain_message(header, fields, depth, rgb, rays),
        "create_cloud of an array": lambda: create_cloud(header, fields, values),
        "create_cloud of a list": lambda: create_cloud(header, fields, points),
    }


def _plain(
    depth_m: NDArray[np.float32], rgb: NDArray[np.uint8], rays: NDArray[np.float32]
) -> NDArray[np.void]:
    """Fill a structured array, field by field."""
    points = np.empty(depth_m.shape, [(name, np.float32) for name in ("x", "y", "z", "rgb")])
    known = np.where(np.isfinite(depth_m), depth_m, np.float32(np.nan))
    points["x"], points["y"] = rays[..., 0] * known, rays[..., 1] * known
    points["z"] = known
    red, green, blue = (rgb[..., i].astype(np.uint32) for i in range(3))
    points["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
    return points


def _plain_message(
    header: Header,
    fields: list[Any],
    depth: DepthMap,
    rgb: NDArray[np.uint8],
    rays: NDArray[np.float32],
) -> PointCloud2:
    """Write the structured array into a message, as one does who knows of array.array."""
    points = _plain(depth.depth_m, rgb, rays)
    height, width = points.shape
    message = PointCloud2(header=header, height=height, width=width, fields=fields)
    message.point_step, message.row_step = 16, 16 * width
    message.is_dense = bool(np.isfinite(points["z"]).all())
    data = array("B")
    data.frombytes(points.tobytes())
    message.data = data
    return message


if __name__ == "__main__":
    sys.exit(main())
