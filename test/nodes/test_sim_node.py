"""sim_node in a process of its own: what it publishes fits together."""

import numpy as np
import pytest
import rclpy
import test_player_node
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.time import Time
from ros_harness import RELIABLE, NodeProcess, read_points_numpy, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points
from test_player_node import Listener
from tf2_ros import Buffer, TransformListener

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.nodes.sim_node import BASE, CAMERA, LIDAR, ODOM, SimNode
from depth_anything_ros.sim.robot import T_camera_lidar

TOPICS = {
    "image": Image,
    "camera_info": CameraInfo,
    "ground_truth/depth": Image,
    "lidar/points": PointCloud2,
}
SMALL = {"frames": 3, "width": 160, "height": 120, "rate_hz": 10.0, "place": "corridor"}


def stamp(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.fixture
def listener(monkeypatch):
    monkeypatch.setattr(test_player_node, "TOPICS", TOPICS)
    listener = Listener("/sim")
    yield listener
    listener.close()


def drive(logs, **parameters):
    return NodeProcess("sim_node", {**SMALL, **parameters}, (), "/sim", logs / "sim.log")


def test_picture_camera_truth_and_lidar_fit_each_other(logs, listener):
    assert RELIABLE
    with drive(logs, count=5, wait_for_subscribers=1) as process:
        assert process.process.wait(timeout=120) == 0, process.log
    messages = listener.messages
    wait_until(lambda: len(messages["image"]) == 5, 10, "five pictures")
    assert "drove for 5 pictures" in process.log and "Traceback" not in process.log
    assert [len(messages[name]) for name in ("camera_info", "ground_truth/depth")] == [5, 5]
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
        rgb = np.frombuffer(image.data, np.uint8)
        assert rgb.std() > 8
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


def test_the_robot_moves_and_comes_back(logs, listener):
    with drive(logs, count=6, speed_mps=3.0, wait_for_subscribers=1) as process:
        assert process.process.wait(timeout=120) == 0, process.log
    truths = listener.messages["ground_truth/depth"]
    wait_until(lambda: len(truths) == 6, 10, "six pictures")
    depths = [np.frombuffer(t.data, np.float32) for t in truths]
    assert not np.array_equal(depths[0], depths[1])
    # Three pictures there and back: 0 1 2 1 0 1.
    np.testing.assert_array_equal(depths[1], depths[3])
    np.testing.assert_array_equal(depths[0], depths[4])


def test_an_unknown_place_is_one_line_with_what_there_is(logs):
    with drive(logs, place="moon") as process:
        assert process.process.wait(timeout=60) != 0
    assert "moon" in process.log and "corridor" in process.log
    assert "Traceback" not in process.log


def test_rings_and_times_are_those_of_a_turning_lidar(logs, listener):
    with drive(logs, count=2, wait_for_subscribers=1) as process:
        assert process.process.wait(timeout=120) == 0, process.log
    sweep = wait_until(lambda: listener.messages["lidar/points"], 10, "a sweep")[0]
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


def test_tf_leads_from_odom_to_the_sensors():
    """In this process: ROS 2 from PyPI carries no transform to another one."""
    context, given = rclpy.Context(), {**SMALL, "frames": 2, "count": 2, "speed_mps": 1.0}
    rclpy.init(context=context)
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = SimNode(context=context, parameter_overrides=overrides)
    buffer, executor = Buffer(), SingleThreadedExecutor(context=context)
    listener = TransformListener(buffer, node)
    executor.add_node(node)

    def driven():
        executor.spin_once(timeout_sec=0.1)
        return node.playback.finished

    try:
        wait_until(driven, 120, "the end of the drive")
        mounted = matrix(buffer.lookup_transform(CAMERA, LIDAR, Time()))
        np.testing.assert_allclose(mounted, T_camera_lidar(0.5, 0.0), atol=1e-9)
        # A tenth of a second at 1 m/s, straight on.
        driven_to = matrix(buffer.lookup_transform(ODOM, BASE, Time()))
        np.testing.assert_allclose(driven_to[:3, 3], [0.1, 0, 0], atol=1e-9)
    finally:
        listener.unregister()
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def matrix(message):
    """Write a TransformStamped as a 4x4 matrix."""
    t, q = message.transform.translation, message.transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0, 0, 0, 1],
        ]
    )
