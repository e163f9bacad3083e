"""From messages that measure ranges to points, and from map images to arrays.

They are any objects with the fields of sensor_msgs' PointCloud2, PointCloud, LaserScan, Range or
Image: of rclpy, or read from a bag without ROS.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.anchors import beam_of_range, points_of_scan
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, ImageError, quoted
from depth_anything_ros.core.image_decoding import check_rows

# Numbers of an encoding, and what makes metres of them (REP 118).
_MAPS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 1e-3)}
_AXES = ("x", "y", "z")
# By the number of a PointField's datatype.
_KINDS = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=1))
# Of one message, where nobody says otherwise: somewhat more than a depth picture of 4K.
MOST_POINTS = 9_000_000
# The richest clouds of LiDARs have about fifteen.
_MOST_FIELDS = 1024
# Of x, y and z in float64.
_POINT_BYTES = 24
# Of a Point32 of rclpy with its numbers.
_POINT_OBJECT_BYTES = 200

# Of pixels that are not quite square.
_ASPECT_TOLERANCE = 0.02


def decode_relative(message: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return disparity or affine depth, a 32FC1 image, as float32 (height, width).

    Raises:
        ImageError: with the reason ``empty``, ``encoding``, ``bad_step`` or ``bad_length``.
    """
    if message.encoding != "32FC1":
        raise ImageError(
            f"encoding {quoted(message.encoding)} is no disparity and no affine depth, which "
            "are 32FC1; is the topic depth_node's disparity/image_rect or affine_depth/image_rect?",
            reason="encoding",
        )
    return _map(message)


def decode_depth(message: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return a depth image, 32FC1 or 16UC1 (REP 118), as metres, float32 (height, width).

    NaN where it says nothing: 0 and less, and NaN. +Inf stays.

    Raises:
        ImageError: with the reason ``empty``, ``encoding``, ``bad_step`` or ``bad_length``.
    """
    if message.encoding not in _MAPS:
        raise ImageError(
            f"encoding {quoted(message.encoding)} is no depth, which is 32FC1 (metres) or 16UC1 "
            "(millimetres)",
            reason="encoding",
        )
    metres: NDArray[np.float32] = _map(message) * np.float32(_MAPS[message.encoding][1])
    metres[~(metres > 0)] = np.nan
    return metres


def _map(message: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return an image of one number a pixel as float32, by its step and byte order."""
    kind = np.dtype(f"{'>' if message.is_bigendian else '<'}{_MAPS[message.encoding][0]}")
    shape, row = (message.height, message.width), message.width * kind.itemsize
    if 0 in shape:
        raise ImageError(f"a picture of {message.width}x{message.height}", reason="empty")
    check_rows(message, row)
    view = np.ndarray(shape, kind, message.data, strides=(message.step, kind.itemsize))
    return np.ascontiguousarray(view, np.float32)


def check_size(message: Any, most: int = MOST_POINTS) -> None:  # noqa: ANN401
    """Refuse a message that would make more points than a limit, before any is made.

    Args:
        message: of ranges, or a picture.
        most: points, beams or pixels; the fields of a cloud have a limit of their own.

    Raises:
        DepthAnythingError: with the reason ``too_large``.
    """
    if _is_cloud(message) and len(message.fields) > _MOST_FIELDS:
        raise DepthAnythingError(
            f"a cloud of {len(message.fields)} fields; more than {_MOST_FIELDS} are not read",
            reason="too_large",
        )
    what, count, _ = _extent(message)
    if count > most:
        raise DepthAnythingError(
            f"{count} {what} in one message, more than sync.max_points ({most}): thin them at "
            "the sensor, or raise it",
            reason="too_large",
        )


def held_bytes(message: Any) -> int:  # noqa: ANN401
    """Return about how much memory a message takes, with the points that are made of it."""
    return 1000 + len(message.header.frame_id) + _extent(message)[2]


def _is_cloud(message: Any) -> bool:  # noqa: ANN401
    return hasattr(message, "point_step")


def _extent(message: Any) -> tuple[str, int, int]:  # noqa: ANN401
    """Return what a message has, how many of these, and the bytes of its data and points."""
    if _is_cloud(message):
        count, size = message.width * message.height, len(message.data)
        points = min(count, size)  # of a broken one: none
        names = sum(len(field.name) for field in message.fields)
        return "points", count, names + size + _POINT_BYTES * points
    if hasattr(message, "ranges"):
        beams, others = len(message.ranges), len(message.intensities)
        return "beams", max(beams, others), 4 * (beams + others) + _POINT_BYTES * beams
    if hasattr(message, "encoding"):
        return "pixels", message.width * message.height, len(message.data)
    if hasattr(message, "points"):
        count = len(message.points)
        return "points", count, (_POINT_OBJECT_BYTES + _POINT_BYTES) * count
    return "points", 1, 0


def cloud_points(
    message: Any,  # noqa: ANN401
    most: int = MOST_POINTS,
) -> NDArray[np.floating]:
    """Return the points of a cloud as (N, 3) in its frame, NaN where it has none.

    float32 where that holds the cloud's numbers, else float64: coordinates of a map (UTM) are
    exact to half a metre as float32.

    Raises:
        DepthAnythingError: with the reason ``bad_cloud`` or ``too_large``.
    """
    check_size(message, most)
    if message.height * message.width == 0:
        return np.empty((0, 3), np.float32)
    shape, strides = (message.height, message.width), (_row_step(message), message.point_step)
    fields = _coordinates(message)
    axes = [
        np.ndarray(shape, _kind(field, message.is_bigendian), message.data, field.offset, strides)
        for field in (fields[axis] for axis in _AXES)
    ]
    exact = np.result_type(np.float32, *axes)
    points = np.empty((message.height * message.width, 3), exact)
    for i, values in enumerate(axes):
        points[:, i] = values.ravel()
    return points


def cloud_colours(message: Any) -> NDArray[np.uint8] | None:  # noqa: ANN401
    """Return the colours of a cloud's points, uint8 (N, 3), RGB; None where it has none.

    As PCL packs them: in the field rgb, blue first, into the 4 bytes of a number.

    Raises:
        DepthAnythingError: with the reason ``bad_cloud``.
    """
    field = next((one for one in message.fields if one.name == "rgb"), None)
    has_room = field is not None and field.offset + 4 <= message.point_step
    if field is None or not has_room or _KINDS.get(field.datatype) not in ("f4", "u4", "i4"):
        return None
    shape, strides = (message.height, message.width, 3), (_row_step(message), message.point_step, 1)
    first = field.offset + bool(message.is_bigendian)
    packed = np.ndarray(shape, np.uint8, message.data, first, strides).reshape(-1, 3)
    rgb: NDArray[np.uint8] = packed if message.is_bigendian else packed[:, ::-1]
    return rgb


def _kind(field: Any, is_bigendian: int) -> np.dtype[Any]:  # noqa: ANN401
    return np.dtype(f"{'>' if is_bigendian else '<'}{_KINDS[field.datatype]}")


def _row_step(message: Any) -> int:  # noqa: ANN401
    """Return the bytes from row to row, where the data hold the rows.

    Some drivers leave ``row_step`` out, or fill in something else: data of just the points, row
    after row, say what is meant.
    """
    height, has = message.height, len(message.data)
    row = int(message.width * message.point_step)
    if has == height * row:
        return row
    row_step = int(message.row_step) if height > 1 else row
    if row_step < row or has < (height - 1) * row_step + row:
        raise _bad(
            "cloud",
            f"{message.width}x{height} points of {message.point_step} bytes take {row} bytes a "
            f"row; row_step is {message.row_step} and data has {has} bytes",
        )
    return row_step


def _coordinates(message: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields x, y and z, of one number each, whatever the others are."""
    found: dict[str, Any] = {}
    for field in message.fields:
        axis, kind = field.name, _KINDS.get(field.datatype)
        if axis not in _AXES:
            continue
        if axis in found:
            raise _bad("cloud", f"it has more than one field {axis}")
        if kind is None:
            raise _bad("cloud", f"field {axis} has the unknown datatype {field.datatype}")
        if field.count > 1:  # 0 is what some drivers write for 1 (PCL reads it so, too)
            raise _bad(
                "cloud", f"field {axis} has {field.count} numbers a point (count); one is due"
            )
        size = _size(field)
        if field.offset + size > message.point_step:
            raise _bad(
                "cloud",
                f"field {axis} ends at byte {field.offset + size} of a point of "
                f"{message.point_step} (point_step)",
            )
        _check_apart(axis, field.offset, size, found)
        found[axis] = field
    missing = [axis for axis in _AXES if axis not in found]
    if missing:
        raise _bad("cloud", f"it has no field {', '.join(missing)}; a cloud has x, y and z")
    return found


def _size(field: Any) -> int:  # noqa: ANN401 - a PointField
    return int(_KINDS[field.datatype][1])


def _check_apart(axis: str, offset: int, size: int, others: dict[str, Any]) -> None:
    """Refuse a coordinate in the bytes of another: offsets that were left out are all 0."""
    for name, other in others.items():
        if offset < other.offset + _size(other) and other.offset < offset + size:
            raise _bad(
                "cloud",
                f"fields {name} and {axis} share bytes: their offsets are {other.offset} and "
                f"{offset}",
            )


def scan_points(message: Any, most: int = MOST_POINTS) -> NDArray[np.float64]:  # noqa: ANN401
    """Return the beams of a scan as float64 (N, 3) in its frame, NaN where they met nothing.

    Raises:
        DepthAnythingError: with the reason ``bad_scan`` or ``too_large``.
    """
    check_size(message, most)
    _check_scan(message)
    return points_of_scan(
        np.asarray(message.ranges, np.float64),
        message.angle_min,
        message.angle_increment,
        message.range_min,
        message.range_max,
    )


def _check_scan(message: Any) -> None:  # noqa: ANN401
    """Refuse a scan whose beams have no directions of their own, or no limits."""
    for name in ("angle_min", "angle_increment", "range_min", "range_max"):
        value = getattr(message, name)
        is_limit = name == "range_max"  # which may be left open
        if math.isnan(value) or (math.isinf(value) and not is_limit):
            raise _bad("scan", f"{name} is {value}")
    if len(message.ranges) > 1 and message.angle_increment == 0:
        raise _bad("scan", f"angle_increment is 0 between {len(message.ranges)} beams")


def _bad(kind: str, what: str) -> DepthAnythingError:
    return DepthAnythingError(f"the {kind} cannot be read: {what}", reason=f"bad_{kind}")


def landmark_points(message: Any, most: int = MOST_POINTS) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the points of a PointCloud, the older message, as float32 (N, 3) in its frame.

    Raises:
        DepthAnythingError: with the reason ``too_large``.
    """
    check_size(message, most)
    points = np.array([(p.x, p.y, p.z) for p in message.points], np.float32)
    return points.reshape(-1, 3)


def range_points(message: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Return what a range sensor met as float64 (1, 3), on the x axis of its frame, or NaN.

    The beam is taken for a ray: the nearest thing in its cone may be beside that.
    """
    limits = message.min_range, message.max_range
    return beam_of_range(message.range, message.field_of_view, *limits).points


def points_of(message: Any, most: int = MOST_POINTS) -> NDArray[np.floating]:  # noqa: ANN401
    """Return the points of a cloud, a scan or a range, (N, 3) in its frame, NaN where it has none.

    Clouds are PointCloud2 or PointCloud.

    Raises:
        DepthAnythingError: with the reason ``bad_cloud``, ``bad_scan`` or ``too_large``.
    """
    if _is_cloud(message):
        return cloud_points(message, most)
    if hasattr(message, "points"):
        return landmark_points(message, most)
    return scan_points(message, most) if hasattr(message, "ranges") else range_points(message)


def sparse_depth_points(
    message: Any,  # noqa: ANN401
    camera: Camera,
    most: int = MOST_POINTS,
) -> NDArray[np.float64]:
    """Return the depths of a sparse depth image as points (N, 3) in the optical frame.

    Args:
        message: a depth image of the camera's view, of any size of the same aspect.
        camera: of the picture.
        most: pixels.

    Raises:
        ImageError: where it is no depth image.
        CameraError: where its aspect is another.
        DepthAnythingError: with the reason ``too_large``.
    """
    check_size(message, most)
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
