"""Point clouds by content, on real PointCloud2 messages laid out byte by byte with struct."""

import array
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

CODES = {
    PointField.INT8: "b",
    PointField.UINT8: "B",
    PointField.INT16: "h",
    PointField.UINT16: "H",
    PointField.INT32: "i",
    PointField.UINT32: "I",
    PointField.FLOAT32: "f",
    PointField.FLOAT64: "d",
}


def field(name, offset, datatype=PointField.FLOAT32, count=1):
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


XYZ = [field("x", 0), field("y", 4), field("z", 8)]


@st.composite
def clouds(draw):
    """A cloud of any types, counts, gaps and byte order, and what it holds by name."""
    fields, offset = [], 0
    for index in range(draw(st.integers(1, 4))):
        offset += draw(st.integers(0, 5))
        one = field(f"f{index}", offset, draw(st.sampled_from([*CODES])), draw(st.integers(1, 3)))
        fields.append(one)
        offset += struct.calcsize(CODES[one.datatype]) * one.count
    step, count = offset + draw(st.integers(0, 6)), draw(st.integers(0, 5))
    order = draw(st.sampled_from("<>"))
    data, held = bytearray(b"\xee" * step * count), {}
    for one in fields:
        numbers = st.lists(st.integers(0, 100), min_size=one.count, max_size=one.count)
        for point in range(count):
            values = draw(numbers)
            code = f"{order}{one.count}{CODES[one.datatype]}"
            struct.pack_into(code, data, point * step + one.offset, *values)
            for i, value in enumerate(values):
                name = f"{one.name}_{i}" if one.count > 1 else one.name
                held.setdefault(name, []).append(value)
    cloud = PointCloud2(fields=fields, point_step=step, height=1, width=count)
    cloud.is_bigendian, cloud.data = order == ">", array.array("B", bytes(data))
    return cloud, held


@given(drawn=clouds(), data=st.data())
def test_any_layout_is_read_and_left_as_it_is(drawn, data):
    cloud, held = drawn
    before = cloud.data.tobytes()
    for _ in range(2):
        whole = point_cloud2.read_points(cloud)
        assert {name: whole[name].tolist() for name in held} == held
    if held:
        wanted = data.draw(st.lists(st.sampled_from([*held]), min_size=1, unique=True))
        part = point_cloud2.read_points(cloud, wanted)
        assert part.dtype.names == (*wanted,)
        assert {name: part[name].tolist() for name in wanted} == {n: held[n] for n in wanted}
    assert cloud.data.tobytes() == before


@pytest.mark.parametrize("step", [None, 16])
def test_arrays_and_lists_of_points_become_a_cloud(step):
    points = np.arange(15, dtype=np.float32).reshape(5, 3)
    header = Header(frame_id="lidar")
    cloud = point_cloud2.create_cloud(header, XYZ, points, step)
    assert (cloud.height, cloud.width, cloud.point_step) == (1, 5, step or 12)
    assert cloud.row_step == len(cloud.data) == 5 * cloud.point_step
    assert cloud.header == header and list(cloud.fields) == XYZ and not cloud.is_dense
    assert struct.unpack_from("<3f", cloud.data, 2 * cloud.point_step) == (6, 7, 8)
    assert point_cloud2.read_points(cloud).tolist() == [tuple(row) for row in points.tolist()]
    assert point_cloud2.create_cloud(header, XYZ, points.tolist(), 12).data.tobytes() == (
        points.tobytes()
    )


def test_what_is_wrong_is_an_error_of_the_real_package():
    cloud = point_cloud2.create_cloud(Header(), XYZ, [(1.0, 2.0, 3.0)])
    with pytest.raises(AssertionError):
        point_cloud2.read_points(cloud, ["intensity"])
    for fields in ([field("x", 0), field("x", 4)], [field("x", 0, count=0)]):
        with pytest.raises(AssertionError):
            point_cloud2.create_cloud(Header(), fields, [])
    cloud.data = cloud.data[:-1]
    with pytest.raises(TypeError):
        point_cloud2.read_points(cloud)
    with pytest.raises(NotImplementedError):
        point_cloud2.read_points(cloud, skip_nans=True)
