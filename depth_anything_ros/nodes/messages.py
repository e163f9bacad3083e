"""From arrays to messages: write depth, clouds and camera information."""

from __future__ import annotations

from array import array
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import Cloud
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import ImageError

_POINT_FIELDS = {
    np.dtype(np.float32): PointField.FLOAT32,
    np.dtype(np.uint16): PointField.UINT16,
}

Message = TypeVar("Message", Image, PointCloud2)


def check_rows(message: Image, row: int) -> None:
    """Refuse an Image whose step or data do not hold rows of so many bytes.

    Raises:
        ImageError: with the reason ``bad_step`` or ``bad_length``.
    """
    if message.step < row:
        raise ImageError(
            f"step is {message.step} bytes and a row of {message.width} {message.encoding} pixels "
            f"takes {row}",
            reason="bad_step",
        )
    if len(message.data) != message.step * message.height:
        raise ImageError(
            f"data has {len(message.data)} bytes and {message.height} rows of step "
            f"{message.step} take {message.step * message.height}",
            reason="bad_length",
        )


def byte_array(values: NDArray[Any]) -> array[int]:
    """Copy an array's bytes into what a uint8[] field takes by reference.

    Anything but an ``array.array`` of type B is checked element by element by the setter, which
    is up to 100 times slower.
    """
    data = array("B")
    data.frombytes(_raw(values).data)
    return data


def _raw(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of an array in the order of its rows, where they lie if they do so."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


class Outgoing(Generic[Message]):
    """Messages of one topic whose memory is that of the one before, once that is published.

    New memory comes from the system page by page, which takes as long as to fill it. And a
    message's setter of ``data`` copies what it is given; its own array is filled here instead.

    Args:
        kind: of the messages.
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
        message, raw = self._message, _raw(values)
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
    """Write an array (height, width[, channels]) as an Image with the header as it is.

    Args:
        header: of the picture.
        values: of the encoding's type.
        encoding: of sensor_msgs/image_encodings.hpp.
        outgoing: whose message it is to be; a new one where None.
    """
    message = (outgoing or Outgoing(Image)).holding(values)
    message.header, message.height, message.width = header, values.shape[0], values.shape[1]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = values.nbytes // values.shape[0]
    return message


def depth_message(
    header: Header, depth: Estimate, encoding: str, outgoing: Outgoing[Image] | None = None
) -> Image:
    """Write a depth map as 32FC1 (metres) or 16UC1 (millimetres), REP 118.

    What has no unit is 32FC1 always.

    In 16UC1, what is unknown, beyond range, or more than the 65.535 m that fit becomes 0.
    """
    if encoding == "32FC1" or depth.metric is None:
        return image_message(header, depth.values, "32FC1", outgoing)
    outgoing = outgoing or Outgoing(Image)
    with np.errstate(invalid="ignore", over="ignore"):
        millimetres = depth.values * np.float32(1000.0)
        millimetres += np.float32(0.5)
        millimetres[~((millimetres >= 0) & (millimetres < 65536.0))] = 0  # NaN is neither
    values = outgoing.memory(millimetres.shape, np.uint16)
    np.copyto(values, millimetres, casting="unsafe")
    return image_message(header, values, encoding, outgoing)


def camera_info_message(header: Header, camera: Camera | None, size: tuple[int, int]) -> CameraInfo:
    """Write a camera, or all zeros for an uncalibrated one, as CameraInfo asks for.

    Args:
        header: of the picture.
        camera: of the picture that was published, ROI and binning folded in.
        size: (width, height) of the picture.
    """
    message = CameraInfo(header=header, width=size[0], height=size[1])
    if camera is not None:
        message.distortion_model = camera.distortion_model
        message.d = list(camera.D)
        message.k = list(camera.K)
        message.r = list(camera.R)
        message.p = list(camera.P)
    return message


def cloud_message(
    header: Header, cloud: Cloud, outgoing: Outgoing[PointCloud2] | None = None
) -> PointCloud2:
    """Write a cloud as a PointCloud2 with the fields x, y, z and, coloured, rgb.

    It is copied once, and not at all where it was made in ``outgoing.memory``.
    """
    names = ("x", "y", "z", "rgb")[: cloud.points.shape[2]]
    return _float_cloud(header, cloud.points, names, cloud.is_dense, outgoing)


def lidar_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Write LiDAR points (n, 4) as a PointCloud2 with x, y, z and intensity."""
    is_dense = bool(np.isfinite(points[:, :3]).all())
    names = ("x", "y", "z", "intensity")
    return _float_cloud(header, points[None], names, is_dense)


def records_cloud_message(header: Header, records: NDArray[np.void]) -> PointCloud2:
    """Write a structured array (n,) of floats and 16-bit integers as a cloud of one row.

    The fields of the message are those of the array.
    """
    message = Outgoing(PointCloud2).holding(records)
    message.header, message.height, message.width = header, 1, len(records)
    kinds = records.dtype
    names = kinds.names or ()
    offsets = [kinds.fields[name][1] for name in names] if kinds.fields else []
    message.fields = [
        PointField(name=name, offset=offset, datatype=_POINT_FIELDS[kinds[name]], count=1)
        for name, offset in zip(names, offsets, strict=True)
    ]
    message.is_bigendian = False
    message.point_step = records.dtype.itemsize
    message.row_step = message.point_step * message.width
    message.is_dense = all(bool(np.isfinite(records[name]).all()) for name in names)
    return message


def _float_cloud(
    header: Header,
    values: NDArray[np.float32],
    names: tuple[str, ...],
    is_dense: bool,
    outgoing: Outgoing[PointCloud2] | None = None,
) -> PointCloud2:
    message = (outgoing or Outgoing(PointCloud2)).holding(values)
    message.header, message.height, message.width = header, values.shape[0], values.shape[1]
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(names)
    ]
    message.is_bigendian = False
    message.point_step = 4 * len(names)
    message.row_step = message.point_step * message.width
    message.is_dense = is_dense
    return message


def transform_message(
    stamp: Time, parent: str, child: str, matrix: NDArray[np.float64]
) -> TransformStamped:
    """Write a rigid 4×4 matrix that maps points of child to parent as a transform."""
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, parent
    axis = cv2.Rodrigues(matrix[:3, :3])[0].ravel()  # axis times angle, of the nearest rotation
    angle = float(np.linalg.norm(axis))
    half = np.sin(angle / 2) / angle if angle > 0 else 0.5
    rotation, translation = message.transform.rotation, message.transform.translation
    rotation.x, rotation.y, rotation.z = (float(v) * half for v in axis)
    rotation.w = float(np.cos(angle / 2))
    translation.x, translation.y, translation.z = (float(v) for v in matrix[:3, 3])
    return message
