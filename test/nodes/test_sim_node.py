"""What sim_node publishes fits together."""

import numpy as np
import pytest
from playing import Playing
from rclpy.time import Time
from ros_harness import read_points_numpy
from sensor_msgs_py.point_cloud2 import read_points
from tf2_ros import Buffer, TransformListener

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.nodes.sim_node import BASE, CAMERA, LIDAR, ODOM, TOPICS, SimNode
from depth_anything_ros.sim.robot import T_camera_lidar

SMALL = {"frames": 3, "width": 160, "height": 120, "rate_hz": 10.0, "place": "corridor"}


def stamp(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.fixture(scope="module")
def drive(logs):
    """Messages of six pictures of a drive there and back, and the transforms at its end."""
    with Playing(SimNode, TOPICS, **SMALL, count=6, speed_mps=3.0) as playing:
        buffer = Buffer()
        listener = TransformListener(buffer, playing.node)
        counts = dict.fromkeys(("image", "camera_info", "ground_truth/depth"), 6)
        yield playing.to_the_end(**counts), buffer
        listener.unregister()


def test_picture_camera_truth_and_lidar_fit_each_other(drive):
    messages, _ = drive
    sweeps = {stamp(sweep): sweep for sweep in messages["lidar/points"]}
    compared = 0
    triples = zip(
        messages["image"], messages["camera_info"], messages["ground_truth/depth"], strict=True
    )
    for image, info, truth in triples:
        assert image.header == info.header == truth.header
        assert image.header.frame_id == "camera_optical_frame"
        assert (image.encoding, truth.encoding) == ("rgb8", "32FC1")
        assert (image.width, image.height) == (info.width, info.height) == (160, 120)
        assert np.frombuffer(image.data, np.uint8).std() > 8
        depth = np.frombuffer(truth.data, np.float32).reshape(120, 160)
        assert (depth > 0).all()  # a corridor is closed: no NaN, and REP 117 has no 0
        if stamp(image) in sweeps:
            points = read_points_numpy(sweeps[stamp(image)], ("x", "y", "z"))
            seen = project_lidar(points, T_camera_lidar(0.5, 0.0), Camera.from_info(info))
            met = np.isfinite(seen) & np.isfinite(depth)
            off = np.abs(seen[met] - depth[met]) / depth[met]
            # Edges, glass and mirrors answer otherwise; the wall, floor and doors do not.
            assert met.sum() > 200 and np.median(off) < 0.02
            compared += 1
    assert compared >= 3


def test_the_robot_moves_and_comes_back(drive):
    depths = [np.frombuffer(t.data, np.float32) for t in drive[0]["ground_truth/depth"]]
    assert not np.array_equal(depths[0], depths[1])
    # Three pictures there and back: 0 1 2 1 0 1.
    np.testing.assert_array_equal(depths[1], depths[3])
    np.testing.assert_array_equal(depths[0], depths[4])


def test_rings_and_times_are_those_of_a_turning_lidar(drive):
    sweep = drive[0]["lidar/points"][0]
    assert [f.name for f in sweep.fields] == ["x", "y", "z", "intensity", "ring", "time"]
    assert sweep.header.frame_id == "lidar" and sweep.is_dense
    points = read_points(sweep)
    assert set(points["ring"]) == set(range(16))
    assert points["time"].min() >= 0 and 0.09 < points["time"].max() < 0.1
    # It begins behind and turns clockwise, and the rings of a VLP-16 are 2 degrees apart.
    azimuth = np.arctan2(points["y"], points["x"])
    np.testing.assert_allclose(points["time"], 0.1 * (0.5 - azimuth / (2 * np.pi)), atol=2e-4)
    level = np.hypot(points["x"], points["y"])
    elevation = np.rad2deg(np.arctan2(points["z"], level))
    np.testing.assert_allclose(elevation, 2.0 * points["ring"] - 15, atol=1e-2)


def test_tf_leads_from_odom_to_the_sensors(drive):
    """In this process: ROS 2 from PyPI carries no transform to another one."""

    def matrix(target, source):
        found = drive[1].lookup_transform(target, source, Time()).transform
        t, q = found.translation, found.rotation
        return rigid_matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))

    np.testing.assert_allclose(matrix(CAMERA, LIDAR), T_camera_lidar(0.5, 0.0), atol=1e-9)
    # The sixth picture is a tenth of a second from the start, at 3 m/s, straight on.
    np.testing.assert_allclose(matrix(ODOM, BASE)[:3, 3], [0.3, 0, 0], atol=1e-9)


def test_an_unknown_place_is_one_line_with_what_there_is(logs):
    with pytest.raises(DepthAnythingError, match=r"one of .*corridor.*got 'moon'"):
        Playing(SimNode, TOPICS, **{**SMALL, "place": "moon"})
