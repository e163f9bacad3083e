"""From messages that measure ranges to points, and from map images to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, LaserScan, PointCloud2, Range
from sensor_msgs_py.point_cloud2 import read_points

from depth_anything_ros.core.anchors import beam_of_range, points_of_scan
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import (
    CameraError,
    DepthAnythingError,
    ImageError,
    first_line,
    quoted,
)
from depth_anything_ros.nodes.messages import check_rows

# The factor turns them into metres (REP 118); a disparity has no unit and comes as float.
_DEPTH_ENCODINGS = {"32FC1": 1.0, "16UC1": 1e-3}
_KINDS: dict[str, np.dtype[Any]] = {"32FC1": np.dtype(np.float32), "16UC1": np.dtype(np.uint16)}
# Of pixels that are not quite square.
_ASPECT_TOLERANCE = 0.02


def decode_relative(message: Image) -> NDArray[np.float32]:
    """Return disparity or affine depth, a 32FC1 image, as float32 (height, width).

    Raises:
        ImageError: with the reason ``empty``, ``encoding``, ``bad_step`` or ``bad_length``.
    """
    if message.encoding != "32FC1":
        raise ImageError(
            f"encoding {quoted(message.encoding)} is no disparity and no affine depth, which "
            "are 32FC1; "
            "is the topic depth_node's disparity/image_rect or affine_depth/image_rect?",
            reason="encoding",
        )
    return _map(message)


def decode_depth(message: Image) -> NDArray[np.float32]:
    """Return a depth image, 32FC1 or 16UC1 (REP 118), as metres, float32 (height, width).

    NaN where it says nothing: 0 and less, and NaN. +Inf stays.

    Raises:
        ImageError: with the reason ``empty``, ``encoding``, ``bad_step`` or ``bad_length``.
    """
    if message.encoding not in _DEPTH_ENCODINGS:
        raise ImageError(
            f"encoding {quoted(message.encoding)} is no depth, which is 32FC1 (metres) or 16UC1 "
            "(millimetres)",
            reason="encoding",
        )
    metres = _map(message) * np.float32(_DEPTH_ENCODINGS[message.encoding])
    metres[~(metres > 0)] = np.nan
    return metres


def _map(message: Image) -> NDArray[np.float32]:
    """Return an image of one number a pixel as float32, by its step and byte order."""
    kind = _KINDS[message.encoding].newbyteorder(">" if message.is_bigendian else "<")
    shape, row = (message.height, message.width), message.width * kind.itemsize
    if 0 in shape:
        raise ImageError(f"a picture of {message.width}x{message.height}", reason="empty")
    check_rows(message, row)
    view = np.ndarray(shape, kind, message.data, strides=(message.step, kind.itemsize))
    return np.ascontiguousarray(view, np.float32)


def cloud_points(message: PointCloud2) -> NDArray[np.float32]:
    """Return the points of a cloud as float32 (N, 3) in its frame, NaN where it has none.

    Raises:
        DepthAnythingError: with the reason ``bad_cloud``.
    """
    size = message.width * message.height
    if len(message.data) < size * message.point_step:
        raise DepthAnythingError(
            f"a cloud of {message.width}x{message.height} points of {message.point_step} bytes "
            f"has {len(message.data)} bytes",
            reason="bad_cloud",
        )
    try:
        records = read_points(message, ["x", "y", "z"])
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise DepthAnythingError(
            f"the cloud cannot be read: {first_line(error)}; it must have the fields x, y and z",
            reason="bad_cloud",
        ) from error
    points = np.empty((size, 3), np.float32)
    for i, axis in enumerate("xyz"):
        points[:, i] = records[axis]
    return points


def scan_points(message: LaserScan) -> NDArray[np.float64]:
    """Return the beams of a scan as float64 (N, 3) in its frame, NaN where they met nothing."""
    return points_of_scan(
        np.asarray(message.ranges, np.float64),
        message.angle_min,
        message.angle_increment,
        message.range_min,
        message.range_max,
    )


def range_points(message: Range) -> NDArray[np.float64]:
    """Return what a range sensor met as float64 (1, 3), on the x axis of its frame, or NaN.

    The beam is taken for a ray: the nearest thing in its cone may be beside that.
    """
    limits = message.min_range, message.max_range
    return beam_of_range(message.range, message.field_of_view, *limits).points


def sparse_depth_points(message: Image, camera: Camera) -> NDArray[np.float64]:
    """Return the depths of a sparse depth image as points (N, 3) in the optical frame.

    Args:
        message: a depth image of the camera's view, of any size of the same aspect.
        camera: of the picture.

    Raises:
        ImageError: where it is no depth image.
        CameraError: where its aspect is another.
    """
    depth_m = decode_depth(message)
    height, width = depth_m.shape
    if not _shows(camera, width, height):
        raise CameraError(
            f"the sparse depth is {width}x{height} and the picture {camera.width}x"
            f"{camera.height}, of another aspect",
            reason="sparse_depth_size",
        )
    rows, columns = np.nonzero(np.isfinite(depth_m))
    pixels = np.stack((columns, rows), axis=-1).astype(np.float64)
    rays = camera.scaled(width, height).unproject(pixels)
    points = rays * depth_m[rows, columns, None]
    return np.asarray(points[np.isfinite(points[:, 0])], np.float64)


def _shows(camera: Camera, width: int, height: int) -> bool:
    """Say whether a picture of square pixels, or of the camera's, may be of a camera's view.

    A grid of the network has another aspect than the camera's picture, and pixels that make up for
    it: no more than their rounding is between the two.
    """
    square_width = camera.width * camera.K[4] / camera.K[0]
    off = width / height * camera.height / square_width
    return camera.fits(width, height) or abs(off - 1) < _ASPECT_TOLERANCE
