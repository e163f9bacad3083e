"""obstacles_node in a process of its own, before drawn scenes whose floor is known."""

import numpy as np
import pytest
from drawn_scene import CAMERA, Scene, room
from ros_harness import (
    FRAME_ID,
    Camera,
    NodeProcess,
    camera_info,
    picture_message,
    read_points_numpy,
    values,
)

from depth_anything_ros.core.obstacles import level_axes
from depth_anything_ros.nodes.obstacles_parameters import ObstaclesParameters
from depth_anything_ros.nodes.parameters import specs

NODE = "/obstacles_node"
OUTPUTS = ("obstacles", "ground/points", "scan")
GIVEN = {"ground.camera_height_m": 0.5, "ground.camera_pitch_deg": 10.0}
DEFAULTS = {spec.name: spec.default for spec in specs(ObstaclesParameters)} | GIVEN
INFO = camera_info(CAMERA.width, CAMERA.height, CAMERA.K[0])


@pytest.fixture(scope="module")
def shared_robot(logs):
    with NodeProcess("obstacles_node", GIVEN, log=logs / "obstacles.log") as process:
        process.wait_for_log("waiting for pictures on /depth")
        robot = Camera(image_topic="depth", outputs=OUTPUTS, process=process).connected()
        yield robot
        robot.close()
    assert "Traceback" not in process.log_path.read_text()


@pytest.fixture
def robot(shared_robot):
    """The robot, whose time jumps, so that no ground is held from before."""
    shared_robot._stamp += 1000 * 10**9
    yield shared_robot
    shared_robot.restore(NODE, DEFAULTS)


def look(robot, scene, scale=1.0):
    message = picture_message(scene.depth_map(scale).depth_m, "32FC1")
    key = robot.ask(message, INFO, output="obstacles")
    return {name: robot.answer(name, key) for name in OUTPUTS}


def levelled(cloud, scene):
    """Points of a message as ahead, left and up of the ground below the camera."""
    points = read_points_numpy(cloud, ("x", "y", "z"))
    up, ahead, left = level_axes(scene.up)
    return np.stack((points @ ahead, points @ left, points @ up + scene.height), axis=1)


def test_what_stands_on_the_floor_with_stamp_and_frame(robot):
    scene = room()
    found = look(robot, scene)
    ahead, left, up = levelled(found["obstacles"], scene).T
    assert found["obstacles"].is_dense and found["obstacles"].header.frame_id == FRAME_ID
    assert 100 < len(up) < 5000 and up.min() > 0.1 and up.max() < 2.0
    near = ahead < 1.9  # the front of the first box and its side
    assert near.any() and ahead[near].min() > 1.48 and left[near].max() < -0.46
    ahead, left, up = levelled(found["ground/points"], scene).T
    assert len(up) > 100 and (np.abs(up) < 0.101 + 0.03 * np.hypot(ahead, left)).all()
    scan = found["scan"]
    assert scan.header.stamp == found["obstacles"].header.stamp
    assert scan.header.frame_id == "camera_level"
    assert scan.angle_min == pytest.approx(-scan.angle_max) and len(scan.ranges) > 100
    middle = scan.ranges[len(scan.ranges) // 2]
    assert middle == pytest.approx(6.0, abs=0.05)  # between the boxes, the wall
    to_the_right = round((np.radians(-30) - scan.angle_min) / scan.angle_increment)
    assert scan.ranges[to_the_right] == pytest.approx(1.5 / np.cos(np.radians(30)), abs=0.05)
    status = robot.wait_for_status(lambda s: s.message.startswith("ground height 0.50 m"))
    assert values(status)["nearest obstacle (m)"] == "1.58"


def test_depth_that_is_short_marks_no_floor_and_a_wall_is_seen_without_one(robot):
    floor = Scene(0.5).surface((0, 0, 1), 0.0)
    found = look(robot, floor, 0.8)
    assert not found["obstacles"].width and np.isinf(found["scan"].ranges).all()
    robot._stamp += 1000 * 10**9
    wall = Scene(0.5).surface((1, 0, 0), 0.8)
    found = look(robot, wall)
    ahead, _, up = levelled(found["obstacles"], wall).T
    np.testing.assert_allclose(ahead, 0.8, atol=0.02)
    assert up.min() > 0.1
    words = "ground not seen, taken from the camera's height: too little of what is seen is on one"
    robot.wait_for_status(lambda s: words in s.message)


def test_parameters_take_effect_and_contradictions_are_refused(robot):
    assert robot.set_parameters(NODE, obstacles__max_m=4.0, obstacles__voxel_m=0.0) == []
    found = look(robot, room())
    assert levelled(found["obstacles"], room())[:, 0].max() < 4.0
    assert found["obstacles"].width > 1000 and found["scan"].range_max == 4.0
    (reason,) = robot.set_parameters(NODE, obstacles__max_height_m=0.05)
    assert "must be below obstacles.max_height_m" in reason


def test_a_depth_image_that_cannot_be_used_is_dropped_with_its_reason(robot):
    keys = [robot.show(picture_message(np.zeros((24, 32, 3), np.uint8), "rgb8"), INFO)]
    robot.wait_for_status(lambda s: s.level == b"\x01" and "32FC1" in s.message)
    depth = picture_message(np.ones((100, 100), np.float32), "32FC1")
    keys.append(robot.show(depth, INFO))
    robot.wait_for_status(lambda s: "camera_info" in s.message and "100x100" in s.message)
    assert robot.never_answered(*keys)
