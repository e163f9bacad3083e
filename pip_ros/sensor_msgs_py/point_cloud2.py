"""Convert between PointCloud2 messages and numpy arrays, as sensor_msgs_py of ROS 2 Jazzy does.

Oddities of the real package that are kept, because callers must live with them: wrong input is an
AssertionError; rows are taken to follow each other without padding (`row_step` is not looked at);
an organized cloud is read as (width, height) and written from arrays of that shape, without any
transposition. One thing differs: a big-endian cloud is not changed by reading it.
"""

import array
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

__all__ = [
    "DUMMY_FIELD_PREFIX",
    "create_cloud",
    "dtype_from_fields",
    "read_points",
    "read_points_numpy",
]

DUMMY_FIELD_PREFIX = "unnamed_field"

_DATATYPES: dict[int, np.dtype[Any]] = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}


def read_points(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> NDArray[Any]:
    """Return the points as a structured array, (N,), in native byte order.

    `skip_nans` drops points with a NaN in a field that is read, unless the cloud says it is dense.
    `uvs` are indices of points, counted after that. `reshape_organized_cloud` gives
    (width, height), where [i, j] is NOT column i of row j. A little-endian cloud is a view of the
    message's memory. Raises AssertionError for an unknown field, TypeError for too little data.
    """
    assert isinstance(cloud, PointCloud2), f"got {type(cloud).__name__}, expected a PointCloud2"
    dtype = dtype_from_fields(cloud.fields, cloud.point_step)
    points: NDArray[Any] = np.ndarray((cloud.width * cloud.height,), dtype, buffer=cloud.data)
    if field_names is not None:
        unknown = [name for name in field_names if name not in (dtype.names or ())]
        assert not unknown, f"the cloud has no field {unknown}; it has {dtype.names}"
        points = points[list(field_names)]
    if bool(cloud.is_bigendian) != (sys.byteorder == "big"):
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        points = points[~_has_nan(points)]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> NDArray[Any]:
    """Return the points as a plain array, (N, fields); arguments are those of `read_points`.

    Raises AssertionError unless the fields that are read have the type of the cloud's FIRST
    field, even when that one is not among them.
    """
    wanted = [f for f in cloud.fields[1:] if field_names is None or f.name in field_names]
    assert all(f.datatype == cloud.fields[0].datatype for f in wanted), (
        f"the fields {[f.name for f in wanted]} do not all have the type of the cloud's first, "
        f"{cloud.fields[0].name!r}: use read_points"
    )
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    return structured_to_unstructured(points)


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype[Any]:
    """Return the type of one point, of `point_step` bytes if given.

    A field of count n > 1 becomes n fields, name_0 to name_(n-1); a field without name becomes
    unnamed_field_(its index). Raises AssertionError for a count of 0 and for equal names.
    """
    names: list[str] = []
    formats: list[np.dtype[Any]] = []
    offsets: list[int] = []
    for index, field in enumerate(fields):
        assert field.count > 0, f"field {field.name!r} has count 0"
        datatype = _DATATYPES[field.datatype]
        name = field.name or f"{DUMMY_FIELD_PREFIX}_{index}"
        names += [name] if field.count == 1 else [f"{name}_{i}" for i in range(field.count)]
        formats += [datatype] * field.count
        offsets += [field.offset + i * datatype.itemsize for i in range(field.count)]
    assert len(set(names)) == len(names), f"field names are not unique: {names}"
    layout: dict[str, Any] = {
        "names": names,
        "formats": formats,
        "offsets": offsets,
    }
    if point_step is not None:
        layout["itemsize"] = point_step
    dtype: np.dtype[Any] = np.dtype(layout)  # type: ignore[call-overload]
    return dtype


def create_cloud(
    header: Header,
    fields: Sequence[PointField],
    points: Iterable[Any],
    point_step: int | None = None,
) -> PointCloud2:
    """Return a cloud of the points, whose values come in the order of the fields.

    `points` is a plain array, (N, fields), or (width, height, fields) for an organized cloud; a
    structured array of `dtype_from_fields(fields, point_step)`, (N,) or (width, height); or an
    iterable of tuples (slow). `is_dense` is False. Raises AssertionError for types that differ.
    """
    structured = _structured(points, fields, dtype_from_fields(fields, point_step))
    assert structured.ndim <= 2, f"points have {structured.ndim} dimensions, expected 1 or 2"
    cloud = PointCloud2(
        header=header,
        height=structured.shape[1] if structured.ndim == 2 else 1,
        width=structured.shape[0],
        is_dense=False,
        is_bigendian=sys.byteorder != "little",
        fields=fields,
        point_step=structured.dtype.itemsize,
        row_step=structured.dtype.itemsize * structured.shape[0],
    )
    data = array.array("B")
    data.frombytes(structured.tobytes())
    # By the setter, which takes an array as it is; the constructor would walk every byte.
    cloud.data = data
    return cloud


def _has_nan(points: NDArray[Any]) -> NDArray[np.bool_]:
    found = np.zeros(len(points), bool)
    for name in points.dtype.names or ():
        found |= np.isnan(points[name])
    return found


def _structured(
    points: Iterable[Any], fields: Sequence[PointField], dtype: np.dtype[Any]
) -> NDArray[Any]:
    if not isinstance(points, np.ndarray):
        return np.array([tuple(point) for point in points], dtype=dtype)
    if points.dtype.names is not None:
        assert points.dtype == dtype, f"points have type {points.dtype}, the fields {dtype}"
        return points
    assert all(f.datatype == fields[0].datatype for f in fields[1:]), (
        "a plain array needs fields of one type: pass a structured array"
    )
    return unstructured_to_structured(points, dtype=dtype)
