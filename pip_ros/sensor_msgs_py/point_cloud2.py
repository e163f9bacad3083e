"""Convert between PointCloud2 messages and numpy arrays, as sensor_msgs_py of ROS 2 Jazzy does.

Oddities of the real package that are kept, because callers must live with them: wrong input is an
AssertionError, and rows are taken to follow each other without padding (`row_step` is not looked
at). One thing differs: a big-endian cloud is not changed by reading it.
"""

import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import unstructured_to_structured
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

__all__ = ["create_cloud", "read_points"]

_DATATYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}


def read_points(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> NDArray[Any]:
    """Return the points as a structured array, (N,), in native byte order.

    A little-endian cloud is a view of the message's memory. The options after `field_names` are
    not in this stand-in. Raises AssertionError for an unknown field, TypeError for too little data.
    """
    if skip_nans or uvs is not None or reshape_organized_cloud:
        raise NotImplementedError("the sensor_msgs_py of pip_ros reads all points of a cloud")
    kind = _point_type(cloud.fields, cloud.point_step, ">" if cloud.is_bigendian else "<")
    points: NDArray[Any] = np.ndarray((cloud.width * cloud.height,), kind, cloud.data)
    if field_names is not None:
        assert set(field_names) <= set(kind.names or ()), f"{field_names} of {kind.names}"
        points = points[field_names]
    return points.astype(points.dtype.newbyteorder("="), copy=False)


def create_cloud(
    header: Header,
    fields: Sequence[PointField],
    points: Iterable[Any],
    point_step: int | None = None,
) -> PointCloud2:
    """Return a cloud of one row, whose values come in the order of the fields.

    `points` is a plain array, (N, fields), or an iterable of tuples (slow). `is_dense` is False.
    """
    kind = _point_type(fields, point_step)
    if isinstance(points, np.ndarray):
        structured = unstructured_to_structured(points, dtype=kind)
    else:
        structured = np.array([tuple(point) for point in points], dtype=kind)
    cloud = PointCloud2(header=header, height=1, width=len(structured), fields=fields)
    cloud.point_step, cloud.row_step = kind.itemsize, kind.itemsize * len(structured)
    data = array.array("B")
    data.frombytes(structured.tobytes())
    # By the setter, which takes an array as it is; the constructor would walk every byte.
    cloud.data = data
    return cloud


def _point_type(
    fields: Iterable[PointField], point_step: int | None, order: str = "<"
) -> np.dtype[Any]:
    """Return the type of one point; a field of count n > 1 becomes n fields, name_0 and so on."""
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    for field in fields:
        assert field.count > 0, f"field {field.name!r} has count 0"
        datatype = f"{order}{_DATATYPES[field.datatype]}"
        for i in range(field.count):
            names.append(f"{field.name}_{i}" if field.count > 1 else field.name)
            formats.append(datatype)
            offsets.append(field.offset + i * np.dtype(datatype).itemsize)
    assert len(set(names)) == len(names), f"field names are not unique: {names}"
    layout: dict[str, Any] = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)  # type: ignore[call-overload, no-any-return]
