"""Point clouds by content, on real PointCloud2 messages laid out byte by byte with struct."""

import array
import inspect
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

FORMATS = {
    PointField.INT8: ("b", np.int8),
    PointField.UINT8: ("B", np.uint8),
    PointField.INT16: ("h", np.int16),
    PointField.UINT16: ("H", np.uint16),
    PointField.INT32: ("i", np.int32),
    PointField.UINT32: ("I", np.uint32),
    PointField.FLOAT32: ("f", np.float32),
    PointField.FLOAT64: ("d", np.float64),
}
NAN = float("nan")


def field(name, offset, datatype=PointField.FLOAT32, count=1):
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


XYZ = [field("x", 0), field("y", 4), field("z", 8)]


def cloud_of(fields, step, points, height=1, big_endian=False):
    """Lay points out, each a list with a value, or a tuple of values, for every field."""
    order = ">" if big_endian else "<"
    data = bytearray()
    for point in points:
        cell = bytearray(b"\xee" * step)
        for one, value in zip(fields, point, strict=True):
            values = value if isinstance(value, tuple) else (value,)
            code = f"{order}{one.count}{FORMATS[one.datatype][0]}"
            struct.pack_into(code, cell, one.offset, *values)
        data += cell
    cloud = PointCloud2(fields=fields, point_step=step, height=height)
    cloud.width = len(points) // height
    cloud.row_step = step * cloud.width
    cloud.is_bigendian = big_endian
    cloud.data = array.array("B", bytes(data))
    return cloud


@st.composite
def layouts(draw):
    """Fields of any types, counts and gaps, with points of small whole numbers."""
    fields, offset = [], 0
    for index in range(draw(st.integers(1, 5))):
        offset += draw(st.integers(0, 5))
        datatype = draw(st.sampled_from(list(FORMATS)))
        count = draw(st.integers(1, 3))
        fields.append(field(f"f{index}", offset, datatype, count))
        offset += np.dtype(FORMATS[datatype][1]).itemsize * count
    step = offset + draw(st.integers(0, 6))
    value = st.integers(0, 100)
    point = st.tuples(*[st.tuples(*[value] * f.count) for f in fields])
    return fields, step, draw(st.lists(point, max_size=6))


def names_of(fields):
    return [f"{f.name}_{i}" if f.count > 1 else f.name for f in fields for i in range(f.count)]


def test_signatures_are_those_of_jazzy():
    reading = [
        ("cloud", inspect.Parameter.empty),
        ("field_names", None),
        ("skip_nans", False),
        ("uvs", None),
        ("reshape_organized_cloud", False),
    ]
    expected = {
        "read_points": reading,
        "read_points_numpy": reading,
        "create_cloud": [*[(n, inspect.Parameter.empty) for n in ("header", "fields", "points")]],
        "dtype_from_fields": [("fields", inspect.Parameter.empty)],
    }
    expected["create_cloud"].append(("point_step", None))
    expected["dtype_from_fields"].append(("point_step", None))
    for name, parameters in expected.items():
        found = inspect.signature(getattr(point_cloud2, name)).parameters.values()
        assert [(p.name, p.default) for p in found] == parameters


@settings(max_examples=150)
@given(layout=layouts(), big_endian=st.booleans())
def test_reads_any_layout_twice(layout, big_endian):
    fields, step, points = layout
    cloud = cloud_of(fields, step, points, big_endian=big_endian)
    before = cloud.data.tobytes()
    for _ in range(2):
        got = point_cloud2.read_points(cloud)
        assert list(got.dtype.names) == names_of(fields)
        assert [[int(v) for v in p] for p in got.tolist()] == [
            [v for values in point for v in values] for point in points
        ]
    assert cloud.data.tobytes() == before


@settings(max_examples=100)
@given(layout=layouts(), big_endian=st.booleans(), data=st.data())
def test_reads_a_part_of_the_fields_in_the_order_asked(layout, big_endian, data):
    fields, step, points = layout
    names = names_of(fields)
    wanted = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    cloud = cloud_of(fields, step, points, big_endian=big_endian)
    got = point_cloud2.read_points(cloud, wanted)
    whole = point_cloud2.read_points(cloud)
    assert list(got.dtype.names) == wanted
    for name in wanted:
        np.testing.assert_array_equal(got[name], whole[name])


@settings(max_examples=100)
@given(layout=layouts())
def test_round_trip_of_a_structured_array(layout):
    fields, step, points = layout
    points = point_cloud2.read_points(cloud_of(fields, step, points))
    cloud = point_cloud2.create_cloud(Header(frame_id="lidar"), fields, points, step)
    assert (cloud.height, cloud.width, cloud.point_step) == (1, len(points), step)
    assert cloud.row_step == step * len(points) == len(cloud.data)
    assert cloud.header.frame_id == "lidar"
    assert list(cloud.fields) == fields
    assert not cloud.is_bigendian
    assert not cloud.is_dense
    np.testing.assert_array_equal(point_cloud2.read_points(cloud), points)


@settings(max_examples=100)
@given(layout=layouts())
def test_round_trip_of_tuples(layout):
    fields, step, points = layout
    flat = [tuple(v for values in point for v in values) for point in points]
    cloud = point_cloud2.create_cloud(Header(), fields, flat, step)
    assert point_cloud2.read_points(cloud).tolist() == flat


@pytest.mark.parametrize("step", [None, 12, 16])
def test_a_plain_array_of_points(step):
    points = np.arange(15, dtype=np.float32).reshape(5, 3)
    cloud = point_cloud2.create_cloud(Header(), XYZ, points, step)
    assert cloud.point_step == (step or 12)
    assert isinstance(cloud.data, array.array)
    assert struct.unpack_from("<3f", cloud.data, 2 * cloud.point_step) == (6, 7, 8)
    got = point_cloud2.read_points_numpy(cloud)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, points)
    reversed_fields = point_cloud2.read_points_numpy(cloud, ["z", "x"])
    np.testing.assert_array_equal(reversed_fields, points[:, [2, 0]])


def test_an_organized_cloud_is_written_and_read_as_width_by_height():
    points = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    cloud = point_cloud2.create_cloud(Header(), XYZ, points)
    assert (cloud.width, cloud.height, cloud.row_step) == (4, 2, 48)
    got = point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True)
    np.testing.assert_array_equal(got, points)
    assert point_cloud2.read_points(cloud, reshape_organized_cloud=True).shape == (4, 2)
    assert point_cloud2.read_points(cloud).shape == (8,)


def test_nans_are_dropped_only_where_read_and_only_if_not_dense():
    points = [[NAN, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, NAN]]
    cloud = cloud_of(XYZ, 12, points)
    assert point_cloud2.read_points_numpy(cloud, skip_nans=True).tolist() == [[3, 4, 5]]
    assert point_cloud2.read_points_numpy(cloud, ["x", "y"], skip_nans=True).tolist() == [
        [3, 4],
        [6, 7],
    ]
    assert len(point_cloud2.read_points(cloud)) == 3
    cloud.is_dense = True
    assert len(point_cloud2.read_points(cloud, skip_nans=True)) == 3


def test_nans_in_big_endian_clouds_and_integer_fields():
    fields = [field("x", 0), field("ring", 4, PointField.UINT16)]
    cloud = cloud_of(fields, 8, [[NAN, 1], [2.0, 3]], big_endian=True)
    assert point_cloud2.read_points(cloud, skip_nans=True).tolist() == [(2.0, 3)]


@pytest.mark.parametrize("uvs", [[2, 0], (2, 0), iter([2, 0]), np.array([2, 0])])
def test_points_by_index(uvs):
    cloud = cloud_of(XYZ, 12, [[float(i)] * 3 for i in range(4)])
    assert point_cloud2.read_points(cloud, uvs=uvs)["x"].tolist() == [2, 0]


def test_fields_without_name_and_with_count():
    fields = [field("", 0), field("normal", 4, count=2), field("", 12, PointField.UINT8)]
    dtype = point_cloud2.dtype_from_fields(fields)
    assert dtype.names == ("unnamed_field_0", "normal_0", "normal_1", "unnamed_field_2")
    assert dtype.itemsize == 13
    assert point_cloud2.dtype_from_fields(fields, 32).itemsize == 32


def test_an_empty_cloud():
    cloud = cloud_of(XYZ, 12, [])
    assert point_cloud2.read_points_numpy(cloud).shape == (0, 3)
    written = point_cloud2.create_cloud(Header(), XYZ, np.zeros((0, 3), np.float32))
    assert (written.width, written.height, len(written.data)) == (0, 1, 0)
    assert point_cloud2.create_cloud(Header(), XYZ, []).width == 0


def test_what_is_wrong_is_an_assertion_error():
    cloud = cloud_of(XYZ, 12, [[1.0, 2.0, 3.0]])
    mixed = [*XYZ, field("ring", 12, PointField.UINT16)]
    first = [field("ring", 0, PointField.UINT16), *[field(n, o) for n, o in (("x", 4), ("y", 8))]]
    wrong = [
        lambda: point_cloud2.read_points(np.zeros((3, 3))),
        lambda: point_cloud2.read_points(cloud, ["intensity"]),
        lambda: point_cloud2.read_points_numpy(cloud_of(mixed, 16, [[1.0, 2.0, 3.0, 4]])),
        # Of one type, but not of the type of the cloud's first field.
        lambda: point_cloud2.read_points_numpy(cloud_of(first, 12, [[4, 1.0, 2.0]]), ["x", "y"]),
        lambda: point_cloud2.dtype_from_fields([field("x", 0), field("x", 4)]),
        lambda: point_cloud2.dtype_from_fields([field("x", 0, count=0)]),
        lambda: point_cloud2.create_cloud(Header(), mixed, np.zeros((2, 4), np.float32)),
        lambda: point_cloud2.create_cloud(Header(), XYZ, np.zeros(2, [("x", "<f4")])),
        lambda: point_cloud2.create_cloud(Header(), XYZ, np.zeros((2, 2, 2, 3), np.float32)),
    ]
    for call in wrong:
        with pytest.raises(AssertionError):
            call()


def test_fields_of_one_type_are_read_from_a_mixed_cloud():
    fields = [*XYZ, field("ring", 12, PointField.UINT16)]
    cloud = cloud_of(fields, 16, [[1.0, 2.0, 3.0, 9]])
    assert point_cloud2.read_points_numpy(cloud, ["x", "z"]).tolist() == [[1, 3]]


def test_a_cloud_with_too_little_data():
    cloud = cloud_of(XYZ, 12, [[1.0, 2.0, 3.0]])
    cloud.data = cloud.data[:-1]
    with pytest.raises(TypeError):
        point_cloud2.read_points(cloud)
