"""From arrays to messages: write depth, clouds and camera information."""

from __future__ import annotations

from array import array
from typing import Any, Generic, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import Cloud
from depth_anything_ros.core.compressed_depth import CompressedDepthOptions, compressed_depth
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.depth_files import millimetres
from depth_anything_ros.core.message_layout import (
    camera_layout,
    cloud_kind,
    cloud_layout,
    floats_kind,
    image_layout,
)
from depth_anything_ros.pipeline.obstacles import PlanarScan

Message = TypeVar("Message", Image, PointCloud2)


class Outgoing(Generic[Message]):
    """Messages of one topic whose memory is that of the one before, once that is published.

    New memory comes from the system page by page, which takes as long as to fill it. And a
    message's setter of ``data`` copies what it is given; its own array is filled here instead.
    """

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        self._message = kind()

    def memory(self, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:  # noqa: ANN401
        """Return the memory of the next message's data, of any content, to write values into."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if len(self._message.data) != size:
            self._message = self._kind()
            self._message.data.frombytes(bytes(size))
        return np.frombuffer(self._message.data, dtype).reshape(shape)

    def holding(self, values: NDArray[Any]) -> Message:
        """Return the message with these values, which are copied unless they lie in it already."""
        message, raw = self._message, np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if len(message.data) != len(raw):
            self._message = message = self._kind()
            message.data.frombytes(raw.data)
        elif len(raw):
            held = np.frombuffer(message.data, np.uint8)
            if held.ctypes.data != raw.ctypes.data:
                np.copyto(held, raw)
        return message


def image_message(
    header: Header,
    values: NDArray[Any],
    encoding: str,
    outgoing: Outgoing[Image] | None = None,
) -> Image:
    """Write an array (height, width[, channels]) of the encoding's type as an Image."""
    message = (outgoing or Outgoing(Image)).holding(values)
    return _filled(message, header, image_layout(values, encoding))


def depth_message(
    header: Header, depth: Estimate, encoding: str, outgoing: Outgoing[Image] | None = None
) -> Image:
    """Write a depth map as 32FC1 (metres) or 16UC1 (millimetres), REP 118.

    What has no unit is 32FC1 always.
    """
    if encoding == "32FC1" or depth.metric is None:
        return image_message(header, depth.values, "32FC1", outgoing)
    outgoing = outgoing or Outgoing(Image)
    values = outgoing.memory(depth.values.shape, np.uint16)
    millimetres(depth.metric.depth_m, values)
    return image_message(header, values, encoding, outgoing)


def compressed_depth_message(
    header: Header, depth: DepthMap, encoding: str, options: CompressedDepthOptions
) -> CompressedImage:
    """Write a depth map as compressed_depth_image_transport does, of 32FC1 or 16UC1."""
    form, data = compressed_depth(depth, encoding, options)
    return CompressedImage(header=header, format=form, data=array("B", data))


def camera_info_message(header: Header, camera: Camera | None, size: tuple[int, int]) -> CameraInfo:
    """Write the camera of a published image, or all zeros for an uncalibrated one.

    ``size`` is (width, height) of the image; ROI and binning are folded into the camera.
    """
    return _filled(CameraInfo(), header, camera_layout(camera, size))


def cloud_message(
    header: Header, cloud: Cloud, outgoing: Outgoing[PointCloud2] | None = None
) -> PointCloud2:
    """Write a cloud as a PointCloud2 with the fields x, y, z and, coloured, rgb.

    It is copied once, and not at all where it was made in ``outgoing.memory``.
    """
    kind = cloud_kind(cloud.points.shape[2])
    return _cloud_message(header, cloud.points, kind, cloud.is_dense, outgoing)


def points_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Write finite points (n, 3) as a PointCloud2 with x, y and z."""
    return _cloud_message(header, points[None], floats_kind(("x", "y", "z")), is_dense=True)


def scan_message(header: Header, frame_id: str, scan: PlanarScan) -> LaserScan:
    """Write a scan, whose frame is level: x ahead, y to the left."""
    message = LaserScan(header=Header(stamp=header.stamp, frame_id=frame_id))
    message.angle_min = float(scan.angle_min)
    message.angle_increment = float(scan.angle_step)
    message.angle_max = float(scan.angle_min + scan.angle_step * (len(scan.ranges_m) - 1))
    message.range_max = float(scan.max_m)
    message.ranges = array("f", scan.ranges_m.tobytes())
    return message


def lidar_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Write LiDAR points (n, 4) as a PointCloud2 with x, y, z and intensity."""
    is_dense = bool(np.isfinite(points[:, :3]).all())
    return _cloud_message(header, points[None], floats_kind(("x", "y", "z", "intensity")), is_dense)


def records_cloud_message(header: Header, records: NDArray[np.void]) -> PointCloud2:
    """Write a structured array (n,) of floats and 16-bit integers as a cloud of one row.

    The fields of the message are those of the array.
    """
    is_dense = all(bool(np.isfinite(records[name]).all()) for name in records.dtype.names or ())
    return _cloud_message(header, records[None], records.dtype, is_dense)


def _filled(message: Any, header: Header, fields: dict[str, Any]) -> Any:  # noqa: ANN401
    message.header = header
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _cloud_message(
    header: Header,
    values: NDArray[Any],
    kind: np.dtype[np.void],
    is_dense: bool,
    outgoing: Outgoing[PointCloud2] | None = None,
) -> PointCloud2:
    """Write an array (height, width, …), each of whose points has the bytes of a kind."""
    message = (outgoing or Outgoing(PointCloud2)).holding(values)
    fields, points = cloud_layout(values, kind, is_dense)
    message.fields = [PointField(**point) for point in points]
    return _filled(message, header, fields)


def transform_message(
    stamp: Time, parent: str, child: str, matrix: NDArray[np.float64]
) -> TransformStamped:
    """Write a rigid 4×4 matrix that maps points of child to parent as a transform."""
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, parent
    rotation, translation = message.transform.rotation, message.transform.translation
    rotation.x, rotation.y, rotation.z, rotation.w = map(float, _quaternion(matrix[:3, :3]))
    translation.x, translation.y, translation.z = map(float, matrix[:3, 3])
    return message


def _quaternion(R: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x, y, z, w of the rotation that is nearest to a matrix (Bar-Itzhack, 2000)."""
    K = np.zeros((4, 4))
    K[:3, :3] = R + R.T - np.trace(R) * np.eye(3)
    K[3, :3] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    K[3, 3] = np.trace(R)
    return np.asarray(np.linalg.eigh(K)[1][:, -1])  # which reads the lower triangle
