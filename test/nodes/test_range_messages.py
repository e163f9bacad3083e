import math
import re
import tracemalloc
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import Point32
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from sensor_msgs.msg import Image, LaserScan, PointCloud, PointCloud2, PointField, Range
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.core.range_messages import (
    check_size,
    cloud_points,
    decode_depth,
    decode_relative,
    held_bytes,
    points_of,
    range_points,
    scan_points,
    sparse_depth_points,
)
from depth_anything_ros.nodes.messages import lidar_message


def image(values, encoding, step=None, big=False):
    values = values.astype(values.dtype.newbyteorder(">")) if big else values
    row = values.shape[1] * values.itemsize
    rows = np.zeros((len(values), step or row), np.uint8)
    rows[:, :row] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), row)
    message = Image(height=values.shape[0], width=values.shape[1], encoding=encoding)
    message.step, message.is_bigendian = rows.shape[1], int(big)
    message.data = array("B", rows.tobytes())
    return message


def header():
    return Header(frame_id="lidar")


def reason(function, *arguments):
    with pytest.raises(DepthAnythingError) as error:
        function(*arguments)
    return error.value.reason


MAP = np.array([[0.5, -1.0, np.nan], [0.0, 7.25, np.inf]], np.float32)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("step", [12, 19])
def test_a_map_is_read_by_its_step_and_byte_order(step, big):
    np.testing.assert_array_equal(decode_relative(image(MAP, "32FC1", step, big)), MAP)


def test_depth_has_no_zero_and_millimetres_become_metres():
    metres = decode_depth(image(MAP, "32FC1"))
    nan = np.nan
    np.testing.assert_array_equal(metres, [[0.5, nan, nan], [nan, 7.25, np.inf]])
    millimetres = np.array([[0, 1], [1500, 65535]], np.uint16)
    for big in (False, True):
        metres = decode_depth(image(millimetres, "16UC1", big=big))
        np.testing.assert_allclose(metres, [[nan, 1e-3], [1.5, 65.535]], rtol=1e-6)
        assert metres.dtype == np.float32


def test_what_is_no_map_is_refused_with_its_reason():
    assert reason(decode_relative, image(np.ones((2, 3), np.uint16), "16UC1")) == "encoding"
    assert reason(decode_depth, image(MAP, "rgb8")) == "encoding"
    message = image(MAP, "32FC1")
    message.step = 8
    assert reason(decode_depth, message) == "bad_step"
    message = image(MAP, "32FC1")
    message.data = message.data[:-1]
    assert reason(decode_depth, message) == "bad_length"
    assert reason(decode_relative, Image(encoding="32FC1")) == "empty"


def test_the_points_of_a_lidar_come_back():
    points = np.array([[1, 2, 3, 9], [np.nan, 0, 0, 9], [-1, 0.5, 4, 9]], np.float32)
    np.testing.assert_array_equal(cloud_points(lidar_message(header(), points)), points[:, :3])


def test_the_points_of_the_older_message_come_back_and_too_many_are_refused():
    cloud = PointCloud(points=[Point32(x=1.0, y=2.0, z=3.0), Point32(x=math.nan)])
    np.testing.assert_array_equal(points_of(cloud), [[1, 2, 3], [math.nan, 0, 0]])
    assert points_of(PointCloud()).shape == (0, 3)
    assert reason(points_of, cloud, 1) == "too_large"
    assert held_bytes(cloud) > held_bytes(PointCloud()) + 100


KINDS = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=PointField.INT8))


def cloud_of(points, kinds, gaps=(0, 0, 0, 0), padding=0, big=False, order="xyz", others=()):
    """Lay points (height, width, 3) out by hand: gaps before, between and after x, y and z."""
    height, width = points.shape[:2]
    fields, offset, columns = [], 0, {}
    for gap, axis in zip(gaps, order, strict=False):
        offset += gap
        kind = kinds["xyz".index(axis)]
        fields.append(PointField(name=axis, offset=offset, datatype=kind, count=1))
        columns[axis] = np.dtype((">" if big else "<") + KINDS[kind])
        offset += columns[axis].itemsize
    step = offset + gaps[3]
    data = np.full((height, width * step + padding), 0xEE, np.uint8)
    for field in fields:
        column = points[..., "xyz".index(field.name)].astype(columns[field.name])
        size = column.itemsize
        cells = column[..., None].view(np.uint8).reshape(height, width, size)
        for i in range(width):
            start = i * step + field.offset
            data[:, start : start + size] = cells[:, i]
    cloud = PointCloud2(height=height, width=width, point_step=step, is_bigendian=big)
    cloud.fields, cloud.row_step = [*others, *fields], data.shape[1]
    cloud.data = array("B", data.tobytes())
    return cloud


@given(
    points=st.integers(1, 3).flatmap(
        lambda height: st.integers(1, 4).flatmap(
            lambda width: st.lists(
                st.integers(0, 100), min_size=3 * height * width, max_size=3 * height * width
            ).map(lambda flat: np.array(flat).reshape(height, width, 3))
        )
    ),
    kinds=st.tuples(*[st.sampled_from(list(KINDS))] * 3),
    gaps=st.tuples(*[st.integers(0, 5)] * 4),
    padding=st.integers(0, 40),
    big=st.booleans(),
    order=st.permutations("xyz"),
    last_row_is_cut=st.booleans(),
)
def test_every_layout_of_a_cloud_is_read(points, kinds, gaps, padding, big, order, last_row_is_cut):
    cloud = cloud_of(points, kinds, gaps, padding, big, order)
    if last_row_is_cut and padding:  # the padding after the last point is nobody's
        cloud.data = cloud.data[:-padding]
    before = cloud.data.tobytes()
    for _ in range(2):
        read = cloud_points(cloud)
        np.testing.assert_array_equal(read, points.reshape(-1, 3))
    assert cloud.data.tobytes() == before
    assert read.dtype in (np.float32, np.float64) and read.dtype.isnative


@pytest.mark.parametrize(
    ("shape", "row_steps"),
    [((2, 4, 3), (0, 12, 95, 2**32 - 1)), ((1, 8, 3), (12,))],  # of a single row it says nothing
)
def test_a_row_step_that_data_contradict_is_none(shape, row_steps):
    points = np.arange(24.0).reshape(shape)
    cloud = cloud_of(points, [PointField.FLOAT32] * 3)
    for cloud.row_step in row_steps:
        np.testing.assert_array_equal(cloud_points(cloud), points.reshape(-1, 3))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (PointField.FLOAT64, 4_649_776.015625),  # UTM northing, 1/64 m
        (PointField.INT32, 2**31 - 1),
        (PointField.UINT32, 2**32 - 1),
    ],
)
def test_coordinates_keep_the_digits_that_a_cloud_has(kind, value, big):
    points = np.array([[[value, 1.0, 2.0]]])
    kinds = (kind, PointField.FLOAT32, PointField.FLOAT32)
    assert cloud_points(cloud_of(points, kinds, big=big))[0, 0] == value
    # What fits into float32 stays there: half of the memory.
    small = cloud_of(points * 0, (PointField.INT16, PointField.FLOAT32, PointField.UINT8))
    assert cloud_points(small).dtype == np.float32


def test_a_map_frame_loses_nothing_on_the_way_to_the_camera():
    far = np.array([500_000.0, 4_649_776.0, 100.0])
    near = np.array([[0.25, -0.125, 3.0], [1.015625, 2.0, 7.5]])
    cloud = cloud_of((near + far)[None], [PointField.FLOAT64] * 3)
    matrix = rigid_matrix(tuple(-far), (0.0, 0.0, 0.0, 1.0))
    np.testing.assert_array_equal(transformed(cloud_points(cloud), matrix), near)


def other(name="intensity", datatype=PointField.FLOAT32, count=1, offset=0):
    return PointField(name=name, datatype=datatype, count=count, offset=offset)


@pytest.mark.parametrize(
    "strange",
    [
        other(count=0),
        other(count=7),
        other(count=2**32 - 1),
        other(datatype=77),
        other(datatype=0, count=0),
        other(offset=2**32 - 1),
        other(name=""),
    ],
    ids=str,
)
def test_a_field_that_is_not_x_y_or_z_is_nobodys_business(strange):
    points = np.arange(6.0).reshape(1, 2, 3)
    cloud = cloud_of(points, [PointField.FLOAT32] * 3, others=[strange, other("ring"), strange])
    np.testing.assert_array_equal(cloud_points(cloud), points[0])


def broken_cloud(axis="x", **changes):
    """A cloud of 2×4 points with something else in the message, or in the field of an axis."""
    cloud = cloud_of(np.zeros((2, 4, 3)), [PointField.FLOAT32] * 3)
    (field,) = (f for f in cloud.fields if f.name == axis)
    for name, value in changes.items():
        setattr(field if hasattr(field, name) else cloud, name, value)
    return cloud


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (broken_cloud(width=5), "data has 96"),
        (broken_cloud(height=3), "data has 96"),
        (broken_cloud(width=1 << 20, height=1 << 2), "data has 96"),
        (broken_cloud(width=5, row_step=60), "take 60 bytes a row; row_step is 60 and data has 96"),
        (broken_cloud(data=bytes(95)), "take 48 bytes a row; row_step is 48 and data has 95"),
        (broken_cloud(data=bytes(97), row_step=47), "row_step is 47 and data has 97"),
        (broken_cloud(data=bytes(97), row_step=50), "row_step is 50 and data has 97"),
        (broken_cloud(point_step=11), "field z ends at byte 12 of a point of 11"),
        (broken_cloud(point_step=0), "of a point of 0"),
        (broken_cloud(name="X"), "has no field x;"),
        (broken_cloud(name="y"), "more than one field y"),
        (broken_cloud(datatype=77), "field x has the unknown datatype 77"),
        (broken_cloud(count=3), "field x has 3 numbers"),
        (broken_cloud(count=2**32 - 1), "field x has 4294967295 numbers"),
        (broken_cloud("z", offset=2**32 - 1), "field z ends at byte 4294967299"),
        (broken_cloud("y", offset=0), "x and y share bytes: their offsets are 0 and 0"),
        (broken_cloud("z", offset=5), "y and z share bytes: their offsets are 4 and 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_cloud_is_refused_with_what_is_wrong(cloud, words):
    assert reason(cloud_points, cloud) == "bad_cloud"
    with pytest.raises(DepthAnythingError, match=re.escape(words)):
        cloud_points(cloud)


def test_a_count_of_0_in_a_coordinate_is_read_as_1():
    cloud = broken_cloud("y", count=0)
    np.testing.assert_array_equal(cloud_points(cloud), np.zeros((8, 3)))


def test_what_is_too_large_is_refused_before_memory_is_taken():
    camera = Camera.from_hfov(8000, 6000, 80.0)
    scan = LaserScan(ranges=array("f", bytes(4 * 10_000_000)))
    cloud = broken_cloud(width=2**32 - 1, height=2**32 - 1, point_step=0)
    many = broken_cloud()
    many.fields = [*many.fields, *[other()] * 2000]
    sparse = Image(width=8000, height=6000, encoding="32FC1", step=32000)
    tracemalloc.start()
    try:
        assert reason(scan_points, scan) == "too_large"
        assert reason(cloud_points, cloud) == "too_large"
        assert reason(cloud_points, many) == "too_large"
        assert reason(sparse_depth_points, sparse, camera) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    scan.ranges, scan.intensities = array("f", [1.0]), scan.ranges
    assert reason(scan_points, scan) == "too_large"
    # By the parameter of the node.
    small = cloud_of(np.zeros((2, 4, 3)), [PointField.FLOAT32] * 3)
    check_size(small, 8)
    with pytest.raises(DepthAnythingError, match=r"8 points .* sync.max_points \(7\)"):
        check_size(small, 7)


def test_the_bytes_that_are_held_count_the_message_and_its_points():
    cloud = cloud_of(np.zeros((2, 4, 3)), [PointField.FLOAT32] * 3)
    assert held_bytes(cloud) == pytest.approx(96 + 8 * 24, abs=1100)
    scan = LaserScan(ranges=array("f", bytes(4000)), intensities=array("f", bytes(4000)))
    assert held_bytes(scan) == pytest.approx(8000 + 24000, abs=1100)
    assert held_bytes(image(MAP, "32FC1")) == pytest.approx(24, abs=1100)
    assert held_bytes(Range()) <= 1100


def test_an_empty_cloud_has_no_points():
    empty = lidar_message(header(), np.empty((0, 4), np.float32))
    assert cloud_points(empty).shape == (0, 3)
    assert cloud_points(PointCloud2()).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("angle_min", math.nan, "angle_min is nan"),
        ("angle_min", -math.inf, "angle_min is -inf"),
        ("angle_increment", math.inf, "angle_increment is inf"),
        ("angle_increment", 0.0, "angle_increment is 0 between 3 beams"),
        ("range_min", math.nan, "range_min is nan"),
        ("range_max", math.nan, "range_max is nan"),
    ],
)
def test_a_scan_without_directions_or_limits_is_refused_and_named(name, given, words):
    scan = LaserScan(angle_increment=0.5, range_max=50.0, ranges=[1.0, 2.0, 3.0])
    assert np.isfinite(scan_points(scan)).all()
    setattr(scan, name, given)
    with refused(DepthAnythingError, "bad_scan", f"the scan cannot be read: {words}"):
        scan_points(scan)


def test_a_scan_of_one_beam_or_of_no_farthest_range_is_read():
    beam = LaserScan(range_max=math.inf, ranges=[2.0])
    np.testing.assert_array_equal(scan_points(beam), [[2.0, 0.0, 0.0]])


def test_a_scan_turns_from_x_to_y_and_leaves_out_what_was_not_measured():
    scan = LaserScan(angle_min=-math.pi / 2, angle_increment=math.pi / 2)
    scan.range_min, scan.range_max = 0.5, 10.0
    scan.ranges = array("f", [2.0, 3.0, 4.0, math.inf, 0.1, 11.0, math.nan])
    points = scan_points(scan)
    np.testing.assert_allclose(points[:3], [[0, -2, 0], [3, 0, 0], [0, 4, 0]], atol=1e-6)
    assert np.isnan(points[3:]).all()


@pytest.mark.parametrize("measured", [0.2, 11.0, math.inf, -math.inf, math.nan])
def test_a_range_is_on_the_x_axis_or_nowhere(measured):
    message = Range(min_range=0.5, max_range=10.0, range=2.5)
    np.testing.assert_allclose(range_points(message), [[2.5, 0, 0]])
    message.range = measured
    assert np.isnan(range_points(message)).all()


def test_sparse_depth_of_another_size_lands_on_the_same_rays():
    camera = Camera.from_hfov(64, 48, 80.0)
    depth = np.zeros((24, 32), np.uint16)
    depth[5, 7], depth[20, 30] = 1250, 4000
    points = sparse_depth_points(image(depth, "16UC1"), camera)
    np.testing.assert_allclose(points[:, 2], [1.25, 4.0], rtol=1e-6)
    # The centre of a pixel of 2×2 is between four of them.
    np.testing.assert_allclose(camera.project(points), [[14.5, 10.5], [60.5, 40.5]], atol=1e-6)
    assert reason(sparse_depth_points, image(depth[:12], "16UC1"), camera) == "sparse_depth_size"


def test_sparse_depth_of_the_picture_goes_with_the_network_s_grid_of_it():
    """4K becomes 252 x 140, or a square: another aspect of the same view."""
    camera = Camera.from_hfov(384, 216, 80.0)
    depth = np.zeros((216, 384), np.uint16)
    depth[10, 20] = 2000
    for grid in ((252, 140), (140, 140)):
        points = sparse_depth_points(image(depth, "16UC1"), camera.scaled(*grid))
        expected = 2 * camera.unproject(np.array([[20.0, 10.0]]))
        np.testing.assert_allclose(points, expected, atol=1e-6)
        cropped = image(depth[:162], "16UC1")
        assert reason(sparse_depth_points, cropped, camera.scaled(*grid)) == "sparse_depth_size"


numbers = st.floats(-1, 1)


@given(
    q=st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: np.linalg.norm(q) > 0.1),
    t=st.tuples(numbers, numbers, numbers),
)
def test_a_rigid_matrix_is_rigid_and_is_that_of_the_quaternion_product(q, t):
    matrix = rigid_matrix(t, q)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    np.testing.assert_array_equal(matrix[:3, 3], t)
    v, w = np.array(q[:3]), q[3]
    p = np.array([0.3, -0.7, 2.0])
    # q p q*, with |q|² divided out.
    turned = (w**2 - v @ v) * p + 2 * (v @ p) * v + 2 * w * np.cross(v, p)
    np.testing.assert_allclose(matrix[:3, :3] @ p, turned / (v @ v + w**2), atol=1e-9)
