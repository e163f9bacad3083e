"""scale_anchor_node with tf2, with simulated time, and beside depth_node."""

import math
import re
import time

import numpy as np
import pytest
from anchor_harness import (
    FOCAL,
    HEIGHT,
    MODEL,
    ROTATION,
    SECOND,
    T_CAMERA_LIDAR,
    TRANSLATION,
    WIDTH,
    Robot,
    anchor_info,
    assert_room,
    disparity,
    in_lidar,
    sweep,
)
from geometry_msgs.msg import Point32
from room import room_points
from ros_harness import (
    FRAME_ID,
    RELIABLE,
    Camera,
    NodeProcess,
    SimulatedTime,
    image_array,
    picture,
    values,
    wait_until,
)
from sensor_msgs.msg import PointCloud, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.nodes.messages import lidar_message, transform_message


@pytest.fixture
def with_tf(logs, request):
    """Start a scale_anchor_node that asks tf2, in the namespace of the test."""
    name = re.sub(r"\W+", "_", request.node.name).rstrip("_")
    program = request.path.parent / "anchor_with_tf.py"
    log = logs / f"{name}.log"
    started = []

    def start(**parameters):
        merged = {key.replace("__", "."): value for key, value in parameters.items()}
        process = NodeProcess("scale_anchor_node", merged, (), f"/{name}", log, program)
        process.wait_for_log("waiting for pictures")
        started.append((process, Robot(f"/{name}").connected()))
        return started[-1]

    yield start
    for process, robot in started:
        robot.close()
        assert process.stop() == 0
        assert "Traceback" not in process.log


def lidar_transform(stamp_ns=0, T=T_CAMERA_LIDAR):
    message = transform_message(Header().stamp, FRAME_ID, "lidar", T)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return message


def test_the_height_of_the_camera_comes_from_tf(with_tf):
    process, robot = with_tf(ground__use="fallback")
    key = robot.look()
    status = robot.wait_for_status(lambda s: "no depth goes out" in s.message)
    assert robot.never_answered(key) and "'base_footprint'" in process.log
    assert process.log.count("the ground anchors not") == 1
    T_base_camera = rigid_matrix((0.2, 0.0, 0.8), (-0.5, 0.5, -0.5, 0.5))
    mounted = transform_message(Header().stamp, "base_footprint", FRAME_ID, T_base_camera)
    wait_until(robot.transforms.get_subscription_count, what="the relay")
    robot.transforms.publish(mounted)
    depth, _ = robot.anchored(None)
    assert_room(depth, 0.05, 0.9)
    status = robot.wait_for_status(lambda s: values(s)["ground"].startswith("used: height 0.8"))
    assert status.level == b"\x00"
    # And so does where it is in the world, from when that is asked for.
    stands = transform_message(Header().stamp, "odom", "base_footprint", np.eye(4))
    robot.transforms.publish(stands)
    assert robot.set_parameters(process.full_name, steady__method="motion") == []

    def by_motion(status):
        assert_room(robot.anchored(None)[0], 0.05, 0.9)
        return values(status).get("steadied by") == "motion"

    robot.wait_for_status(by_motion)


def test_a_missing_transform_is_named_and_once_it_is_there_depth_goes_out(with_tf):
    process, robot = with_tf()
    keys = [robot.look(sweep(500)) for _ in range(3)]
    status = robot.wait_for_status(lambda s: "tf2 has no transform" in s.message)
    assert status.level == b"\x01" and "no depth goes out" in status.message
    assert "'lidar'" in status.message and FRAME_ID in status.message
    assert robot.never_answered(*keys)
    assert int(values(status)["dropped: no_transform"]) >= 1
    assert process.log.count("ranges not used") == 1
    wait_until(robot.transforms.get_subscription_count, what="the relay")
    robot.transforms.publish(lidar_transform())
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)
    # Ranges in the picture's own frame need no transform.
    own = np.zeros((300, 4), np.float32)
    own[:, :3] = room_points(MODEL, 300)
    robot.leap()._stamp += SECOND // 10
    stamp_ns = robot.now_ns()
    robot.measure(own, stamp_ns, frame_id=FRAME_ID)
    time.sleep(0.05)
    key = robot.show(disparity(), anchor_info(), stamp_ns=stamp_ns)
    assert_room(image_array(robot.answer("depth/image_rect", key)))


def test_a_late_transform_is_waited_for_and_is_that_of_the_pictures_stamp(with_tf):
    _, robot = with_tf(extrinsics__timeout_s=3.0, sync__max_offset_s=1.0)
    wait_until(robot.transforms.get_subscription_count, what="the relay")
    # The mount swings to the side by half a metre a second.
    swung = T_CAMERA_LIDAR.copy()
    swung[0, 3] += 1.0
    robot.leap()
    start_ns = robot.now_ns()
    robot.transforms.publish(lidar_transform(start_ns))
    # Half of the way at the picture's stamp: what is half a metre off there is right here.
    points = in_lidar(room_points(MODEL, 500) - (0.5, 0.0, 0.0))
    ranges = np.column_stack((points, np.zeros(500))).astype(np.float32)
    key = robot.look(ranges, after_s=1.0)
    time.sleep(0.4)
    assert robot.never_answered(key)
    robot.transforms.publish(lidar_transform(start_ns + 2 * SECOND, swung))
    assert_room(image_array(robot.answer("depth/image_rect", key)))
    landmarks_of_a_map_anchor(robot)


def odom_transform(stamp_ns, T):
    message = transform_message(Header().stamp, "odom", FRAME_ID, T)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return message


def landmarks_of_a_map_anchor(robot):
    """As SLAM publishes them: few, of another instant, some wrong, of a camera that moves."""
    T_map_odom = rigid_matrix((20.0, -3.0, 1.0), (-0.5, 0.5, -0.5, 0.5))
    robot.transforms.publish(transform_message(Header().stamp, "map", "odom", T_map_odom))
    turn = np.array((0.0, math.sin(0.1), 0.0, math.cos(0.1)))
    for offset_s in (0.3, -0.6):  # a later stamp, then that of an older keyframe
        key = robot.leap().now_ns()
        for side in (-1, 1):  # half way, at the picture's stamp, it is at (2, 0, 1) and straight
            T_odom_camera = rigid_matrix((2.0 + side, 0.0, 1.0), turn * (1, side, 1, 1))
            robot.transforms.publish(odom_transform(key + side * SECOND // 2, T_odom_camera))
        points = room_points(MODEL, 100)
        points[:10] *= -1  # behind the camera
        points[10:20] *= 2  # behind walls
        points[20:25] = 1e6
        in_map = (points + np.array((2.0, 0.0, 1.0))) @ T_map_odom[:3, :3].T + T_map_odom[:3, 3]
        cloud = np.column_stack((in_map, np.zeros(100))).astype(np.float32)
        if offset_s > 0:
            cloud = PointCloud(points=[Point32(x=x, y=y, z=z) for x, y, z in in_map])
        robot.measure(cloud, key + round(offset_s * SECOND), "map")
        time.sleep(0.05)
        robot.show(disparity(), anchor_info(), stamp_ns=key)
        assert_room(image_array(robot.answer("depth/image_rect", key)), 0.05, 0.95)
        status = robot.wait_for_status(lambda s: values(s)["points in"] == "100")
        assert values(status)["state"] == "anchored"
        assert values(status)["points dropped: behind"] == "10"


def test_a_transform_that_stays_late_is_given_up_in_time(with_tf):
    _, robot = with_tf(extrinsics__timeout_s=0.2)
    wait_until(robot.transforms.get_subscription_count, what="the relay")
    robot.transforms.publish(lidar_transform(SECOND))
    time.sleep(0.2)
    robot.leap()
    keys = [robot.look(sweep(100)) for _ in range(2)]
    status = robot.wait_for_status(lambda s: "extrapolation" in s.message)
    assert robot.never_answered(*keys) and status.level == b"\x01"


def test_simulated_time_that_is_reset_starts_anew(with_tf):
    extrinsics = {
        "extrinsics__source": "parameters",
        "extrinsics__translation_m": list(TRANSLATION),
        "extrinsics__rotation_xyzw": list(ROTATION),
    }
    process, robot = with_tf(use_sim_time=True, **extrinsics)
    clock = SimulatedTime(robot)
    clock.wait_for_status(lambda s: values(s)["state"] == "waiting")
    robot.anchored(sweep(500))
    clock.wait_for_status(
        lambda s: (values(s)["state"], values(s)["clock jumps"]) == ("anchored", "0")
    )
    clock.now_s = 5
    clock.wait_for_status(lambda s: values(s)["clock jumps"] == "1")
    key = robot.look()
    clock.wait_for_status(lambda s: values(s)["state"] == "waiting")
    assert robot.never_answered(key)
    assert process.log.count("jumped backwards") == 1


def test_depth_node_and_anchor_node_give_metres_together(logs):
    """A network of random weights gives the shape; the LiDAR alone says that it is a scene."""
    tiny = {"model": "test_relative", "weights": "random", "input_size": 56, "engine": "torch"}
    inputs = {
        "disparity/image_rect": "disparity/image_rect",
        "camera_info": "depth/camera_info",
        "lidar/points": "lidar/points",
    }
    remaps = [part for a, b in inputs.items() for part in ("-r", f"{a}:=/both/{b}")]
    depth_log, anchor_log = logs / "both_depth.log", logs / "both_anchor.log"
    anchor = {"extrinsics.source": "parameters"}
    with (
        NodeProcess("depth_node", tiny, (), "/both", depth_log) as depth_node,
        NodeProcess("scale_anchor_node", anchor, remaps, "/both/anchored", anchor_log) as node,
    ):
        camera = Camera("/both", outputs=("disparity/image_rect",))
        listener = Camera("/both/anchored", outputs=("depth/image_rect", "depth/camera_info"))
        try:
            depth_node.wait_for_log("waiting for pictures on /both/image")
            node.wait_for_log("waiting for pictures on /both/disparity/image_rect")
            camera.connected()
            rgb = picture(WIDTH, HEIGHT)
            key = camera.ask(rgb, anchor_info(), output="disparity/image_rect")
            p = image_array(camera.answer("disparity/image_rect", key)).astype(np.float64)
            # 1 / depth is between 0.1 and 0.6.
            expected = 1 / (0.1 + 0.5 * (p - p.min()) / np.ptp(p))
            rows, columns = np.random.default_rng(0).integers((0, 0), p.shape, (400, 2)).T
            points = MODEL.rays()[rows, columns] * expected[rows, columns, None]
            cloud = lidar_message(Header(), np.column_stack((points, rows)).astype(np.float32))
            lidar = camera.node.create_publisher(PointCloud2, "lidar/points", RELIABLE)
            wait_until(lidar.get_subscription_count, what="a subscriber of lidar/points")
            key += SECOND
            cloud.header = camera.header(frame_id="lidar", stamp_ns=key)
            lidar.publish(cloud)
            time.sleep(0.1)
            camera.show(rgb, anchor_info(), stamp_ns=key)
            metres = image_array(listener.answer("depth/image_rect", key))
            assert (np.abs(metres / expected - 1) < 0.03).mean() > 0.95
            assert listener.answer("depth/camera_info", key).k[0] == FOCAL
        finally:
            camera.close()
            listener.close()
