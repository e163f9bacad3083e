"""scale_anchor_node in a process of its own, between a camera and range sensors of the test."""

import math
import time
from array import array

import numpy as np
import pytest
from anchor_harness import (
    DEPTH,
    HEIGHT,
    MODEL,
    NODE,
    OUTPUTS,
    ROTATION,
    SCALE,
    SECOND,
    SHIFT,
    T_CAMERA_LIDAR,
    TRANSLATION,
    WIDTH,
    Robot,
    anchor_info,
    assert_room,
    disparity,
    sweep,
)
from room import room_depth
from ros_harness import (
    BEST_EFFORT,
    FRAME_ID,
    NodeProcess,
    image_array,
    picture,
    picture_message,
    read_points_numpy,
    values,
)
from sensor_msgs.msg import LaserScan, PointCloud2, PointField, Range
from std_msgs.msg import Header

from depth_anything_ros.nodes.messages import lidar_message
from depth_anything_ros.nodes.parameters import specs
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters

GIVEN = {
    "extrinsics.source": "parameters",
    "extrinsics.translation_m": list(TRANSLATION),
    "extrinsics.rotation_xyzw": list(ROTATION),
}
DEFAULTS = {spec.name: spec.default for spec in specs(ScaleAnchorParameters)} | GIVEN


@pytest.fixture(scope="module")
def shared_robot(logs):
    """A scale_anchor_node and the robot that it serves."""
    with NodeProcess("scale_anchor_node", GIVEN, log=logs / "anchor.log") as process:
        process.wait_for_log("waiting for pictures on /disparity/image_rect")
        robot = Robot(process=process).connected()
        yield robot
        robot.close()
    assert "Traceback" not in process.log_path.read_text()


@pytest.fixture
def robot(shared_robot):
    """The robot, far from any earlier stamp, with the parameters at their defaults afterwards."""
    yield shared_robot.leap()
    shared_robot.restore(NODE, DEFAULTS)


def test_a_disparity_and_a_sweep_become_metres_with_stamp_and_frame_intact(robot):
    depth, key = robot.anchored(sweep(500))
    assert_room(depth)
    answers = {name: robot.answer(name, key) for name in OUTPUTS}
    assert {answer.header.frame_id for answer in answers.values()} == {FRAME_ID}
    assert answers["depth/image_rect"].encoding == "32FC1"
    compressed = robot.answer("depth/image_rect/compressedDepth", key)
    assert compressed.header.frame_id == FRAME_ID
    assert compressed.format == "32FC1; compressedDepth png"
    published = answers["depth/camera_info"]
    assert (published.width, published.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(published.k, anchor_info().k)
    cloud = answers["points"]
    assert (cloud.width, cloud.height, cloud.point_step) == (WIDTH, HEIGHT, 12)
    points = read_points_numpy(cloud, ("x", "y", "z")).reshape(HEIGHT, WIDTH, 3)
    kept = np.isfinite(points[..., 2])
    assert 0.5 < kept.mean() < 1  # no points at depth edges
    expected = MODEL.rays() * depth[..., None]
    np.testing.assert_allclose(points[kept], expected[kept], rtol=1e-4, atol=1e-5)
    confidence = image_array(answers["confidence/image"])
    assert confidence.shape == depth.shape
    assert confidence.min() >= 0 and 0.3 < confidence.max() <= 1


@pytest.mark.parametrize(("count", "state"), [(1, "degraded"), (2, "degraded"), (13, "anchored")])
def test_few_points_anchor_as_far_as_they_go(robot, count, state):
    _, key = robot.anchored(sweep(count, seed=2))
    status = robot.wait_for_status(lambda s: values(s)["points in"] == str(count))
    assert values(status)["state"] == state
    assert 1 <= int(values(status)["points used"]) <= count
    if state == "degraded":
        assert status.level == b"\x01" and "scale_only" in status.message
    assert robot.answer("points", key)


def test_5000_points_anchor(robot):
    depth, _ = robot.anchored(sweep(5000))
    assert_room(depth, 0.01)
    status = robot.wait_for_status(lambda s: values(s)["points in"] == "5000")
    shown = values(status)
    assert status.level == b"\x00" and "anchored by" in status.message
    assert float(shown["scale"]) == pytest.approx(SCALE, rel=0.02)
    assert float(shown["shift"]) == pytest.approx(SHIFT, abs=0.01)
    assert int(shown["points used"]) >= int(shown["inliers"]) > 200
    assert float(shown["residual median (%)"]) < 1
    assert float(shown["residual p95 (%)"]) >= float(shown["residual median (%)"])
    assert float(shown["age of the fit (s)"]) == 0
    assert float(shown["latency p50 (ms)"]) > 0


def test_a_cloud_without_a_point_is_no_fit_and_nothing_goes_out(robot):
    robot.anchored(sweep(500))
    robot.leap()
    keys = [robot.look(sweep(0)) for _ in range(3)]
    # Not one from before the first picture, where this test is the first.
    status = robot.wait_for_status(lambda s: "no depth goes out" in s.message)
    assert status.level == b"\x01" and values(status)["state"] == "waiting"
    assert robot.never_answered(*keys)
    assert int(values(status)["dropped: no_fit"]) >= 1


def test_a_silent_lidar_is_held_then_nothing_goes_out_then_it_goes_on(robot):
    assert robot.set_parameters(NODE, fit__max_age_s=1.0) == []
    anchored, _ = robot.anchored(sweep(500))
    for _ in range(3):
        depth = image_array(robot.answer("depth/image_rect", robot.look(after_s=0.3)))
        assert (np.abs(depth / anchored - 1) < 0.05).mean() > 0.9
    shown = values(robot.wait_for_status(lambda s: values(s)["state"] == "held"))
    assert float(shown["age of the fit (s)"]) == pytest.approx(0.9, abs=0.31)
    late = [robot.look(after_s=0.3) for _ in range(3)]
    status = robot.wait_for_status(lambda s: values(s)["state"] == "waiting")
    assert status.level == b"\x01" and "/lidar/points" in status.message
    assert robot.never_answered(*late)
    assert int(values(status)["dropped: no_ranges"]) >= 1
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)
    robot.wait_for_status(lambda s: values(s)["state"] == "anchored" and s.level == b"\x00")


def test_ranges_of_another_time_are_not_used_and_the_status_says_how_far_off_they_are(robot):
    assert robot.set_parameters(NODE, sync__wait_s=0.0) == []
    keys = [robot.look(sweep(500), offset_s=-0.2) for _ in range(3)]
    status = robot.wait_for_status(lambda s: "0.100 s" in s.message or "0.200 s" in s.message)
    assert "sync.max_offset_s" in status.message and "/lidar/points" in status.message
    assert robot.never_answered(*keys)
    assert robot.set_parameters(NODE, sync__max_offset_s=0.25) == []
    depth, _ = robot.anchored(sweep(500), offset_s=-0.2)
    assert_room(depth)


def test_a_picture_waits_for_a_sweep_that_is_due(robot):
    assert robot.set_parameters(NODE, sync__wait_s=2.0) == []
    robot.anchored(sweep(500))
    robot.anchored(sweep(500))
    key = robot.look()
    time.sleep(0.3)
    assert robot.never_answered(key)
    robot.measure(sweep(500), key)
    assert_room(image_array(robot.answer("depth/image_rect", key)))


@pytest.mark.parametrize("axis", [0, 1])
def test_extrinsics_that_are_2_degrees_off_are_noticed(robot, axis):
    robot.anchored(sweep(3000))
    good = values(robot.wait_for_status(lambda s: values(s)["points in"] == "3000"))
    turn = np.zeros(4)
    turn[axis], turn[3] = math.sin(math.radians(1.0)), math.cos(math.radians(1.0))
    rotated = quaternion_product(turn, ROTATION)
    assert robot.set_parameters(NODE, extrinsics__rotation_xyzw=[float(v) for v in rotated]) == []
    robot.leap().anchored(sweep(3000))

    def noticed(status):
        robot.look(sweep(3000), after_s=1.1)
        return status.level == b"\x01" and "extrinsics" in status.message

    status = robot.wait_for_status(noticed)
    bad = values(status)
    assert bad["state"] == "degraded" and "deg away" in status.message
    assert float(bad["residual p95 (%)"]) > 5 * float(good["residual p95 (%)"]) + 1
    robot.restore(NODE, DEFAULTS)
    robot.leap().anchored(sweep(3000))
    robot.wait_for_status(lambda s: s.level == b"\x00" and values(s)["state"] == "anchored")


def quaternion_product(a, b):
    """The rotation b, then a."""
    va, vb = np.array(a[:3]), np.array(b[:3])
    return (*(a[3] * vb + b[3] * va + np.cross(va, vb)), a[3] * b[3] - va @ vb)


def test_pictures_that_jump_backwards_start_anew(robot):
    robot.anchored(sweep(500))
    jumps = int(values(robot.status())["clock jumps"])
    robot._stamp -= 500 * SECOND
    key = robot.look()
    status = robot.wait_for_status(lambda s: int(values(s)["clock jumps"]) == jumps + 1)
    status = robot.wait_for_status(lambda s: values(s)["state"] == "waiting")
    assert robot.never_answered(key)  # the fit of the other time is not held
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)
    # The LiDAR that follows is no second jump.
    assert int(values(robot.status())["clock jumps"]) <= jumps + 2
    assert status is not None
    robot._stamp += 500 * SECOND


def lidar_before(robot, stamp_ns):
    """Let a sweep come before the picture of its time."""
    robot.measure(sweep(500), stamp_ns)
    time.sleep(0.03)  # topics have no order


def test_pictures_that_come_late_cost_neither_ranges_nor_fit(robot):
    robot.restart(NODE)
    robot.anchored(sweep(500))
    before = values(robot.status())
    base = robot.now_ns() + SECOND
    # Neighbours change places, beside a LiDAR at 10 Hz.
    for i in (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9):
        if i % 3 == 0:
            lidar_before(robot, base + i * SECOND // 30)
        key = robot.show(disparity(), anchor_info(), stamp_ns=base + i * SECOND // 30)
        assert_room(image_array(robot.answer("depth/image_rect", key)), 0.05)
    after = values(robot.status())
    assert after["clock jumps"] == before["clock jumps"]
    dropped = {key: n for key, n in after.items() if key.startswith("dropped: ")}
    assert dropped == {key: n for key, n in before.items() if key.startswith("dropped: ")}
    assert robot.process.log.count("pictures come out of order, by 0.033 s") == 1
    robot._stamp = base + SECOND


@pytest.mark.parametrize("odd_s", [2**31 - 1, -(2**31)])
def test_after_an_odd_stamp_what_comes_next_is_answered(robot, odd_s):
    robot.anchored(sweep(500))
    base = robot.now_ns() + SECOND
    lidar_before(robot, base)
    robot.show(disparity(), anchor_info(), stamp_ns=odd_s * SECOND)  # a picture's
    key = robot.show(disparity(), anchor_info(), stamp_ns=base)
    assert_room(image_array(robot.answer("depth/image_rect", key)))
    robot.measure(sweep(500), odd_s * SECOND)  # the LiDAR's
    time.sleep(0.03)
    lidar_before(robot, base + SECOND // 10)
    key = robot.show(disparity(), anchor_info(), stamp_ns=base + SECOND // 10)
    assert_room(image_array(robot.answer("depth/image_rect", key)))
    robot._stamp = base + SECOND


def test_a_lidar_that_jumps_backwards_starts_anew(robot):
    robot.anchored(sweep(500))
    jumps = int(values(robot.status())["clock jumps"])
    robot.measure(sweep(500), robot.now_ns() - 500 * SECOND)
    robot.wait_for_status(lambda s: int(values(s)["clock jumps"]) == jumps + 1)
    key = robot.look()
    robot.wait_for_status(lambda s: values(s)["state"] == "waiting")
    assert robot.never_answered(key)
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)


def test_a_lidar_at_10_hz_beside_a_camera_at_30_hz(robot):
    robot.anchored(sweep(500))
    before = values(robot.status())
    first = robot.leap().now_ns()
    cloud, image = lidar_message(Header(), sweep(500)), disparity()
    for i in range(45):
        stamp_ns = first + i * SECOND // 30
        if i % 3 == 0:
            robot.measure(cloud, stamp_ns + 5_000_000)
        image.header = robot.header(stamp_ns=stamp_ns)
        robot.image.publish(image)
        assert_room(image_array(robot.answer("depth/image_rect", stamp_ns)), 0.05, 0.9)
    robot._stamp = stamp_ns
    status = robot.status()
    assert values(status)["state"] in ("anchored", "held") and status.level == b"\x00"
    for name in ("dropped: no_ranges", "dropped: no_fit"):
        assert values(status).get(name) == before.get(name)


def scan_of_room():
    """A level scan of what the LiDAR would meet; of the room, from the camera's own place."""
    angles = np.radians(np.arange(-40.0, 40.0, 1.0))
    rays = np.stack((-np.tan(angles), np.full_like(angles, 0.03), np.ones_like(angles)), axis=-1)
    points = rays * room_depth(rays)[:, None]
    return angles, np.hypot(points[:, 0], points[:, 2])


def test_a_planar_scan_anchors(robot):
    # In the plane y = 0 of the optical frame, from its origin.
    rotation = {"extrinsics__translation_m": [0.0, 0.0, 0.0]}
    assert robot.set_parameters(NODE, **rotation) == []
    angles, ranges = scan_of_room()
    scan = LaserScan(angle_min=float(angles[0]), angle_increment=math.radians(1.0))
    scan.range_min, scan.range_max = 0.1, 30.0
    scan.ranges = array("f", ranges)
    scan.ranges[3] = math.inf
    depth, _ = robot.anchored(scan)
    assert_room(depth, 0.1, 0.9)
    shown = values(robot.wait_for_status(lambda s: values(s)["points in"] == str(len(angles))))
    assert shown["state"] == "anchored" and int(shown["points dropped: range"]) >= 1


def test_one_range_gives_the_scale_and_is_called_degraded(robot):
    straight = {"extrinsics__translation_m": [0.0, 0.0, 0.0]}
    assert robot.set_parameters(NODE, **straight) == []
    at = DEPTH[HEIGHT // 2, WIDTH // 2]
    message = Range(field_of_view=0.1, min_range=0.1, max_range=20.0, range=float(at))
    depth, _ = robot.anchored(message, image=disparity(shift=0.0))
    assert depth[HEIGHT // 2, WIDTH // 2] == pytest.approx(at, rel=1e-3)
    # With a shift of 0 the scale is all there is to find.
    assert_room(depth)
    shown = values(robot.wait_for_status(lambda s: values(s)["points in"] == "1"))
    assert shown["state"] == "degraded"


@pytest.mark.parametrize(("encoding", "size"), [("32FC1", 1), ("16UC1", 1), ("16UC1", 2)])
def test_sparse_depth_anchors_on_its_own_pixels(robot, encoding, size):
    values_m = np.zeros((HEIGHT // size, WIDTH // size), np.float32)
    rays = MODEL.scaled(WIDTH // size, HEIGHT // size).rays()
    values_m[::5, ::7] = room_depth(rays)[::5, ::7]
    if encoding == "16UC1":
        values_m = np.round(values_m * 1000).astype(np.uint16)
    depth, _ = robot.anchored(picture_message(values_m, encoding))
    assert_room(depth, 0.05)
    count = str(np.count_nonzero(values_m))
    status = robot.wait_for_status(lambda s: values(s)["points in"] == count)
    assert status.level == b"\x00" and values(status)["state"] == "anchored"


def test_several_sensors_anchor_together(robot):
    values_m = np.where(np.arange(WIDTH) % 9 == 4, DEPTH, 0).astype(np.float32)[::6]
    sparse = np.zeros((HEIGHT, WIDTH), np.float32)
    sparse[::6] = values_m
    depth, _ = robot.anchored([sweep(200), picture_message(sparse, "32FC1")])
    assert_room(depth, 0.05)
    count = str(200 + np.count_nonzero(sparse))
    robot.wait_for_status(lambda s: values(s)["points in"] == count)


def test_a_cloud_of_padded_rows_in_a_frame_of_the_map_anchors(robot):
    far = np.array([500_000.0, 4_649_776.0, 100.0])  # UTM
    translation = np.array(TRANSLATION) - T_CAMERA_LIDAR[:3, :3] @ far
    assert robot.set_parameters(NODE, extrinsics__translation_m=translation.tolist()) == []
    kinds = np.dtype([("ring", "<u2"), *((axis, "<f8") for axis in "xyz")])
    rows = np.zeros((20, 26 * 25 + 50), np.uint8)
    records = np.ndarray((20, 25), kinds, rows, strides=(rows.shape[1], 26))
    xyz = sweep(500)[:, :3].astype(np.float64) + far
    for i, axis in enumerate("xyz"):
        records[axis] = xyz[:, i].reshape(20, 25)
    cloud = PointCloud2(height=20, width=25, point_step=26, row_step=rows.shape[1])
    strange = PointField(name="ring", datatype=99, count=2**32 - 1)
    cloud.fields = [strange] + [
        PointField(name=axis, offset=2 + 8 * i, datatype=PointField.FLOAT64, count=1)
        for i, axis in enumerate("xyz")
    ]
    cloud.data = array("B", rows.tobytes())
    depth, _ = robot.anchored(cloud)
    assert_room(depth)
    robot.wait_for_status(lambda s: values(s)["points in"] == "500" and s.level == b"\x00")


def test_broken_ranges_are_said_once_and_nothing_goes_out(robot):
    robot.restart(NODE)
    broken = lidar_message(Header(), sweep(10))
    broken.fields = broken.fields[:2]
    keys = [robot.look(broken) for _ in range(3)]
    status = robot.wait_for_status(lambda s: "dropped: bad_ranges" in values(s))
    status = robot.wait_for_status(lambda s: "x, y and z" in s.message)
    assert status.level == b"\x01" and robot.never_answered(*keys)
    foreign = picture_message(DEPTH, "32FC1")
    robot._stamp += SECOND
    robot.measure(foreign, robot.now_ns() + SECOND // 10, frame_id="elsewhere")
    robot.look()
    robot.wait_for_status(lambda s: "register it to the camera" in s.message)
    said = [line for line in robot.process.log.splitlines() if "ranges not used" in line]
    assert sum("no field z" in line for line in said) == 1
    assert sum("register it" in line for line in said) == 1 and len(said) == 2


BAD_PICTURES = {
    "encoding": picture_message(picture(WIDTH, HEIGHT)),
    "bad_length": picture_message(DEPTH[:60], "32FC1"),
    "camera_size": picture_message(DEPTH[:, :60].copy(), "32FC1"),
}
BAD_PICTURES["bad_length"].height = HEIGHT
BAD_PICTURES["too_large"] = picture_message(DEPTH, "32FC1")
BAD_PICTURES["too_large"].height, BAD_PICTURES["too_large"].width = 6000, 8000


@pytest.mark.parametrize("reason", BAD_PICTURES)
def test_a_bad_picture_is_dropped_with_its_reason(robot, reason):
    robot.anchored(sweep(500))
    key = robot.look(after_s=1.0, image=BAD_PICTURES[reason], info=False)
    status = robot.wait_for_status(lambda s: f"dropped: {reason}" in values(s))
    assert status.level == b"\x01" and reason in status.message
    assert robot.never_answered(key)
    robot.anchored(sweep(500))


def test_a_frame_without_a_camera_info_is_dropped(robot):
    robot.anchored(sweep(500))
    robot.look(sweep(500), after_s=1.0, info=False, frame_id="elsewhere")
    status = robot.wait_for_status(lambda s: "dropped: camera_frame_id" in values(s))
    assert status.level == b"\x01"
    assert robot.set_parameters(NODE, camera__check_frame_id=False) == []
    key = robot.look(sweep(500), after_s=1.0, info=False, frame_id="elsewhere")
    assert robot.answer("depth/image_rect", key).header.frame_id == "elsewhere"


def test_a_camera_info_whose_p_is_another_camera_is_published_by_k(robot):
    info = anchor_info()
    info.p = [0.9 * info.p[0], 0.0, 70.0, 0.0, 0.0, 0.9 * info.p[5], 55.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    published = robot.answer("depth/camera_info", robot.look(sweep(500), after_s=1.0, info=info))
    np.testing.assert_array_equal(published.k, anchor_info().k)
    np.testing.assert_array_equal(published.p, anchor_info().p)


def test_outputs_follow_their_parameters(robot):
    far = float(np.median(DEPTH))
    options = {"depth__encoding": "16UC1", "range__max_m": far, "cloud__organized": False}
    assert robot.set_parameters(NODE, **options, cloud__edge_jump=0.0) == []
    millimetres, key = robot.anchored(sweep(2000))
    assert millimetres.dtype == np.uint16
    beyond = far * 1.02 < DEPTH
    assert (millimetres[beyond] == 0).mean() > 0.98
    within = far * 0.98 > DEPTH
    close = np.abs(millimetres[within] / (1000 * DEPTH[within]) - 1) < 0.02
    assert close.mean() > 0.97
    cloud = robot.answer("points", key)
    assert cloud.height == 1 and cloud.is_dense
    assert cloud.width == np.count_nonzero(millimetres)


def test_anchored_depth_is_steadied_and_where_tf_is_missing_by_flow(robot):
    robot.anchored(sweep(500))
    for method, level in (("flow", b"\0"), ("motion", b"\1")):
        assert robot.set_parameters(NODE, steady__method=method) == []

        def steadied(status, level=level):
            depth, key = robot.anchored(sweep(500))
            assert_room(depth)
            assert 0 < image_array(robot.answer("confidence/image", key)).max() <= 1
            return values(status).get("steadied by") == "flow" and status.level == level

        status = robot.wait_for_status(steadied)
        assert ("not by motion: tf2 has no transform" in status.message) == (method == "motion")


def test_without_subscribers_nothing_is_computed(robot):
    robot.anchored(sweep(500))
    names = list(robot.subscriptions)
    answered = int(values(robot.status())["frames out"])
    for name in names:
        robot.silence(name)

    def ignored(status):
        robot.look(sweep(500))
        return int(values(status).get("dropped: no_subscriber", 0)) >= 3

    status = robot.wait_for_status(ignored)
    assert status.level == b"\x00" and "nobody subscribes" in status.message
    assert int(values(status)["frames out"]) == answered
    for name in names:
        robot.listen(name, BEST_EFFORT)
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)


def test_parameters_are_refused_with_the_reason(robot):
    refused = {
        "extrinsics__rotation_xyzw": ([0.0, 0.0, 0.0, 2.0], "has length 2"),
        "extrinsics__translation_m": ([0.0, 1.0], "must be 3 numbers"),
        "extrinsics__source": ("tf", "cannot change while the node is active"),
        "input": ("depth", "cannot change while the node is active"),
        "fit__method": ("spline", "must be one of"),
        "anchors__min_m": (500.0, "must be below anchors.max_m"),
        "sync__max_offset_s": (-1.0, "range"),
    }
    for name, (value, words) in refused.items():
        (reason,) = robot.set_parameters(NODE, **{name: value})
        assert words in reason, (name, reason)


def test_a_metric_depth_is_corrected(robot):
    metric = Robot(image_topic="depth", process=robot.process).leap()
    try:
        metric.restart(NODE, input="depth")
        for factor, offset, correction in ((1.3, 0.0, "scale"), (0.8, 0.4, "affine")):
            assert robot.set_parameters(NODE, fit__metric_correction=correction) == []
            wrong = picture_message((DEPTH * factor + offset).astype(np.float32), "32FC1")
            depth, _ = metric.leap().anchored(sweep(1000), image=wrong)
            assert_room(depth, 0.03)
            status = metric.wait_for_status(
                lambda s, f=factor: float(values(s)["scale"]) == pytest.approx(1 / f, rel=0.03)
            )
            assert values(status)["state"] == "anchored"
    finally:
        metric.close()
        robot.restart(NODE, input="disparity")
    depth, _ = robot.anchored(sweep(500))
    assert_room(depth)


def test_the_ground_anchors_where_no_range_does(robot):
    robot.restart(NODE, ground__use="fallback", ground__camera_height_m=0.8)
    try:
        depth, _ = robot.leap().anchored(None)
        assert_room(depth, 0.05, 0.9)
        status = robot.wait_for_status(lambda s: values(s)["ground"].startswith("used: height 0.8"))
        assert values(status)["points in"] != "0" and "anchored" in status.message
        wall = picture_message(np.full((HEIGHT, WIDTH), 0.5, np.float32), "32FC1")
        keys = [robot.leap().look(image=wall) for _ in range(3)]
        status = robot.wait_for_status(lambda s: values(s)["ground"].startswith("not used"))
        assert "no depth goes out" in status.message and robot.never_answered(*keys)
        assert "ground not used: too little of what is seen is on one plane" in status.message
        assert int(values(status)["dropped: no_ranges"]) >= 1
    finally:
        robot.restart(NODE, ground__use="off", ground__camera_height_m=0.0)
