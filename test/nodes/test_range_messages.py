import math
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image, LaserScan, PointCloud2, PointField, Range
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.extrinsics import rigid_matrix
from depth_anything_ros.nodes.messages import lidar_message
from depth_anything_ros.nodes.range_messages import (
    cloud_points,
    decode_depth,
    decode_relative,
    range_points,
    scan_points,
    sparse_depth_points,
)


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


def test_a_cloud_of_any_fields_gives_its_points():
    points = np.array([[1, 2, 3, 9], [np.nan, 0, 0, 9], [-1, 0.5, 4, 9]], np.float32)
    np.testing.assert_array_equal(cloud_points(lidar_message(header(), points)), points[:, :3])
    # Velodyne's: xyz among fields of other types, in doubles, organised.
    names = (("ring", "<u2", PointField.UINT16), *((a, "<f8", PointField.FLOAT64) for a in "xyz"))
    records = np.zeros((2, 3), [(name, kind) for name, kind, _ in names])
    records["x"], records["z"] = 1.5, np.arange(6).reshape(2, 3)
    cloud = PointCloud2(height=2, width=3, point_step=26, row_step=78)
    cloud.fields = [
        PointField(name=name, offset=records.dtype.fields[name][1], datatype=kind, count=1)
        for name, _, kind in names
    ]
    cloud.data = array("B", records.tobytes())
    read = cloud_points(cloud)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, [[1.5, 0, z] for z in range(6)])


def test_a_broken_cloud_is_refused():
    cloud = lidar_message(header(), np.zeros((4, 4), np.float32))
    cloud.width = 5
    assert reason(cloud_points, cloud) == "bad_cloud"
    cloud = lidar_message(header(), np.zeros((4, 4), np.float32))
    cloud.fields = cloud.fields[:2]
    assert reason(cloud_points, cloud) == "bad_cloud"
    cloud = lidar_message(header(), np.zeros((4, 4), np.float32))
    cloud.fields[0].datatype = 77
    assert reason(cloud_points, cloud) == "bad_cloud"


def test_an_empty_cloud_has_no_points():
    empty = lidar_message(header(), np.empty((0, 4), np.float32))
    assert cloud_points(empty).shape == (0, 3)


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


def test_a_quarter_turn_about_z_takes_x_to_y():
    matrix = rigid_matrix((1.0, 2.0, 3.0), (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)))
    np.testing.assert_allclose(matrix @ (1, 0, 0, 1), [1, 3, 3, 1], atol=1e-12)
