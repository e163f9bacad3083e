"""Several cameras through one depth_node: their clouds, their faults, their fair shares."""

import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from ros_harness import (
    RELIABLE,
    SMALL,
    Camera,
    NodeProcess,
    camera_info,
    image_array,
    picture,
    picture_message,
    read_points_numpy,
    values,
    wait_until,
)
from true_depth import (
    CAMERAS,
    HALL,
    HEIGHT,
    RIG,
    WIDTH,
    TrueDepth,
    in_base,
    picture_of,
    seen_by,
    simulated_depths,
)

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.messages import camera_info_message, transform_message
from depth_anything_ros.nodes.parameters import specs
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.image import RectifiedImage
from depth_anything_ros.sim.path import camera_mount

NAMES = tuple(RIG)
PROGRAM = str(Path(__file__).with_name("depth_with_truth.py"))


@pytest.fixture(scope="module")
def depths():
    return simulated_depths()


def assert_overlaps_agree(clouds, depths, rig=RIG):
    """The points (n, 3) of each camera lie where its neighbours see a surface."""
    for one, other in (("front", "left"), ("front", "right"), ("left", "front")):
        ratio = seen_by(in_base(clouds[one], one, rig), other, depths[other])
        assert len(ratio) > WIDTH * HEIGHT / 4, (one, other)
        assert np.median(np.abs(ratio - 1)) < 1e-4, (one, other)
        assert (np.abs(ratio - 1) < 1e-3).mean() > 0.85, (one, other)
        # The rest is hidden from the other camera, or at a crease; it never sees through a point.
        assert (ratio > 1.05).mean() < 2e-3, (one, other)


def test_clouds_of_true_depth_agree_where_simulated_cameras_overlap(depths):
    pipeline = DepthPipeline(TrueDepth())
    clouds = {
        name: pipeline.infer(picture_of(depths[name]), CAMERAS[name]).cloud().xyz for name in NAMES
    }
    assert_overlaps_agree(clouds, depths)
    # Two degrees are seen: the test can fail.
    wrong = {**RIG, "front": camera_mount(0.2, 0.0, 0.5, yaw=np.radians(2))}
    with pytest.raises(AssertionError):
        assert_overlaps_agree(clouds, depths, wrong)


def test_what_is_wrong_with_one_picture_costs_no_other_its_answer(depths):
    images = [RectifiedImage(picture_of(depths[name]), CAMERAS[name]) for name in NAMES]
    images[1] = RectifiedImage(np.zeros((HEIGHT, WIDTH, 3), np.uint8), CAMERAS["left"])
    estimator = TrueDepth()
    pipeline = DepthPipeline(estimator)
    front, left, right = pipeline.predict(images)
    assert estimator.batches == [3, 1, 1, 1]
    assert left.reason == "non_finite"
    for name, answer in (("front", front), ("right", right)):
        np.testing.assert_allclose(answer.depth_m, depths[name], atol=1e-5)
    assert pipeline.predict([]) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("front", "1st"), "'1st', which cannot be part of a topic"),
        (("front", "rear left"), "'rear left'"),
        (("front/left",), "'front/left'"),
        (("",), "''"),
        (("front", "left", "front"), "'front' 2 times"),
    ],
)
def test_names_that_make_no_topics_are_refused(names, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        DepthParameters(cameras=names)


class Rig:
    """The cameras of a rig and the node that they are shown to."""

    def __init__(self, log, namespace, **given):
        self.given = {**SMALL, "cloud.edge_jump": 0.05, "cameras": list(NAMES), **given}
        self.process = NodeProcess("depth_node", self.given, (), namespace, log, PROGRAM)
        self.cameras = {name: Camera(namespace, name=name, process=self.process) for name in NAMES}
        node = self["front"].node
        self.transforms = node.create_publisher(TransformStamped, "/tf_relay", RELIABLE)
        self.process.wait_for_log("waiting for pictures")
        for camera in self.cameras.values():
            camera.connected()

    def __getitem__(self, name):
        return self.cameras[name]

    def restart(self, **values):
        """Have the node take parameters that it takes while inactive."""
        self["front"].restart(self.process.full_name, **values)
        for name in ("left", "right"):
            self[name].received.clear()
            self[name].connected()

    def restore(self):
        defaults = {spec.name: spec.default for spec in specs(DepthParameters)}
        self["front"].restore(self.process.full_name, defaults | self.given)

    def send_mounts(self):
        """Say where the cameras are on the robot."""
        wait_until(self.transforms.get_subscription_count, what="a subscriber of /tf_relay")
        for name in NAMES:
            stamp = camera_info().header.stamp  # 0: static
            frame = CAMERAS[name].frame_id
            message = transform_message(stamp, "base_link", frame, RIG[name])
            self.transforms.publish(message)

    def show(self, pictures, stamp_ns, offsets_ns=None):
        """Show a picture of each camera, with its camera_info; return their stamps."""
        keys = {}
        for name, rgb in pictures.items():
            stamp = stamp_ns + (offsets_ns or {}).get(name, 0)
            message = picture_message(rgb) if isinstance(rgb, np.ndarray) else rgb
            info = camera_info_message(message.header, CAMERAS[name], (WIDTH, HEIGHT))
            frame_id = CAMERAS[name].frame_id
            keys[name] = self[name].show(message, info, frame_id=frame_id, stamp_ns=stamp)
        return keys

    def ask(self, pictures, output, start_ns, offsets_ns=None, answered=NAMES):
        """Show pictures again and again until all are answered; return the answers."""
        for attempt in range(30):
            keys = self.show(pictures, start_ns + attempt * 10**9, offsets_ns)
            try:
                return {name: self[name].answer(output, keys[name], 2.0) for name in answered}
            except AssertionError:
                continue
        raise AssertionError([camera.last_status for camera in self.cameras.values()])

    def close(self):
        for camera in self.cameras.values():
            camera.close()
        assert self.process.stop() == 0
        assert "Traceback" not in self.process.log


@pytest.fixture(scope="module")
def shared_rig(logs):
    """A node with a model that reads the depth in pictures."""
    shared = Rig(logs / "truth.log", namespace="/truth", model="truth")
    yield shared
    shared.close()


@pytest.fixture
def rig(shared_rig):
    """The node with the parameters of its start."""
    yield shared_rig
    shared_rig.restore()


def rotation_about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def points_of(message):
    return read_points_numpy(message, ("x", "y", "z"))


def test_three_simulated_cameras_are_answered_in_their_namespaces_and_agree(rig, depths):
    pictures = {name: picture_of(depths[name]) for name in NAMES}
    answers = rig.ask(pictures, "points", time.monotonic_ns())
    for name, cloud in answers.items():
        assert cloud.header.frame_id == f"{name}_optical_frame"
    assert_overlaps_agree({name: points_of(cloud) for name, cloud in answers.items()}, depths)
    for name in NAMES:
        key = max(rig[name].received["points"])
        depth = image_array(rig[name].answer("depth/image_rect", key))
        np.testing.assert_allclose(depth, depths[name], atol=2e-5)
        np.testing.assert_allclose(rig[name].answer("depth/camera_info", key).k, CAMERAS[name].K)
        status = rig[name].wait_for_status(lambda s: "depth at" in s.message)
        assert status.name.endswith(f"depth_node: depth of {name}")
    topics = [name for name, _ in rig["front"].node.get_topic_names_and_types()]
    assert f"{rig['front'].node.get_namespace()}/image" in topics
    root = rig["front"].node.get_namespace().rpartition("/")[0]
    assert f"{root}/image" not in topics and f"{root}/points" not in topics


def test_faults_of_one_camera_are_its_own(rig, depths):
    """A wrong encoding, no camera_info that fits, a picture that the model cannot answer."""
    pictures = {name: picture_of(depths[name]) for name in NAMES}
    rig.ask(pictures, "depth/image_rect", time.monotonic_ns())
    wrong = picture_message(pictures["left"])
    wrong.encoding = "32FC1"
    unknown = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for bad, reason in ((wrong, "encoding"), (unknown, "non_finite")):
        keys = rig.show({**pictures, "left": bad}, time.monotonic_ns())
        for name in ("front", "right"):
            assert rig[name].answer("depth/image_rect", keys[name])
        status = rig["left"].wait_for_status(lambda s, r=reason: f"dropped: {r}" in values(s))
        assert values(status)[f"dropped: {reason}"] == "1"
        assert keys["left"] not in rig["left"].received["depth/image_rect"]
        for name in ("front", "right"):
            assert f"dropped: {reason}" not in values(rig[name].status())
    stamp_ns = time.monotonic_ns()
    key = rig["left"].show(pictures["left"], frame_id="elsewhere", stamp_ns=stamp_ns)
    assert not any(rig["left"].answer("depth/camera_info", key).k)
    rig["left"].wait_for_status(lambda s: "'elsewhere'" in s.message)
    assert "elsewhere" not in rig["right"].status().message
    said = [line for line in rig.process.log.splitlines() if "elsewhere" in line]
    assert len(said) == 1 and "/left/camera_info: " in said[0]


def test_only_cameras_that_somebody_listens_to_are_inferred(rig, depths):
    pictures = {name: picture_of(depths[name]) for name in NAMES}
    rig.ask(pictures, "depth/image_rect", time.monotonic_ns())
    outputs = list(rig["left"].subscriptions)
    for output in outputs:
        rig["left"].silence(output)

    def ignored(status):
        rig["left"].show(pictures["left"], stamp_ns=time.monotonic_ns())
        return int(values(status).get("dropped: no_subscriber", 0)) >= 3

    status = rig["left"].wait_for_status(ignored)
    assert "nobody subscribes" in status.message
    rig.ask(pictures, "depth/image_rect", time.monotonic_ns(), answered=("front", "right"))
    assert "depth at" in rig["front"].status().message
    for output in outputs:
        rig["left"].listen(output)


def newer_frames(camera):
    return int(values(camera.status()).get("dropped: newer_frame", 0))


def test_a_fast_camera_does_not_starve_the_slow_ones(rig, depths):
    """The model is slower than the fast camera, and every picture of the slow ones is answered."""
    rgb = picture_of(depths["front"])
    rig.ask(dict.fromkeys(NAMES, rgb), "depth/image_rect", time.monotonic_ns())
    before = {name: newer_frames(rig[name]) for name in NAMES}
    flooding = [True]

    def flood():
        while flooding[0]:
            rig["front"].show(rgb, stamp_ns=time.monotonic_ns())
            time.sleep(0.004)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(8):
            for name in ("left", "right"):
                frame_id = CAMERAS[name].frame_id
                key = rig[name].show(rgb, frame_id=frame_id, stamp_ns=time.monotonic_ns())
                assert rig[name].answer("depth/image_rect", key)
    finally:
        flooding[0] = False
        thread.join()
    dropped = {name: newer_frames(rig[name]) - before[name] for name in NAMES}
    assert dropped["front"] > 0 and dropped["left"] == dropped["right"] == 0


def test_an_any_view_model_gets_sets_of_pictures_and_poses_and_answers_metres(rig):
    """The model sees a hall from the poses alone: they have to be the right way round."""
    rig.restart(model="truth_any_view", rig__frame="base_link", cloud__edge_jump=0.0)
    rgb = dict.fromkeys(NAMES, picture(WIDTH, HEIGHT))

    def not_found(status):  # without tf nothing goes out
        rig.show(rgb, time.monotonic_ns())
        return "no_transform" in status.message

    status = rig["left"].wait_for_status(not_found)
    assert status.level == b"\x01" and "tf2 has no transform" in status.message
    assert "'base_link'" in status.message and "extrinsics" not in status.message
    assert not any(rig[name].received for name in NAMES)
    rig.send_mounts()
    # Stamps of one set differ a little; those too far apart make none.
    offsets_ns = {"left": 9_000_000, "right": -9_000_000}
    answers = rig.ask(rgb, "points", time.monotonic_ns(), offsets_ns)
    for name, cloud in answers.items():
        points = in_base(points_of(cloud), name)
        assert len(points) == WIDTH * HEIGHT
        nearest_wall = np.abs(np.abs(points) - HALL).min(-1)
        assert nearest_wall.max() < 1e-4, name
        assert not rig[name].received["affine_depth/image_rect"]
        assert rig[name].answer("depth/image_rect", max(rig[name].order["points"]))
    # One odd stamp of one camera, or pictures out of order, cost the others nothing.
    left, stamp_ns = rig["left"], time.monotonic_ns()
    for odd_s in (2**31 - 1, -(2**31)):
        left.show(rgb["left"], frame_id="left_optical_frame", stamp_ns=odd_s * 10**9)
        stamp_ns += 10**9
        for later_ns in (60_000_000, 0):
            keys = rig.show(rgb, stamp_ns + later_ns)
            assert all(rig[name].answer("points", keys[name]) for name in NAMES)
    front, keys = rig["front"], []

    def unsynchronised(status):
        keys.append(rig.show(rgb, time.monotonic_ns(), {"left": 30_000_000})["front"])
        return "unsynchronised" in status.message

    status = front.wait_for_status(unsynchronised)
    assert status.level == b"\x01" and "sync.max_offset_s (0.02 s)" in status.message
    assert not set(keys) & front.received["points"].keys()
    # One that has gone silent is not waited for.
    pair = {name: rgb[name] for name in ("front", "left")}

    def served(status):
        rig.show(pair, time.monotonic_ns())
        return status.level == b"\x00" and "depth at" in status.message

    front.wait_for_status(served)
    rig["right"].wait_for_status(lambda s: s.level == b"\x03")
    # It is again when it comes back.
    rig.ask(rgb, "points", time.monotonic_ns())


@pytest.mark.skipif("test_da3_any" not in CARDS, reason="the zoo has no any-view row yet")
def test_an_any_view_network_makes_metres_of_a_rig(rig):
    rig.restart(model="test_da3_any", input_size=56)
    assert "in metres by their poses" in rig.process.log
    rig.send_mounts()
    rgb = {name: picture(WIDTH, HEIGHT, seed) for seed, name in enumerate(NAMES)}
    answers = rig.ask(rgb, "depth/image_rect", time.monotonic_ns())
    for name, message in answers.items():
        depth = image_array(message)
        assert depth.shape == (HEIGHT, WIDTH) and (depth[np.isfinite(depth)] > 0).all(), name
        assert np.isfinite(depth).mean() > 0.5


def test_motion_is_by_tf_and_the_status_says_what_is_wrong_with_it(rig, depths):
    """Of each camera; pictures and depth of all go on meanwhile."""
    node, front, shown = rig.process.full_name, rig["front"], []
    pictures = {name: picture_of(depths[name]) for name in NAMES}

    def seen(condition, yaw_deg=None):
        """Show pictures of a camera that stands still until each status is as it should be."""

        def is_so():
            stamp_ns = 10**12 + len(shown) * 10**8
            if yaw_deg is not None:
                turn = rotation_about_z(np.radians(yaw_deg * len(shown)))
                stamp = picture_message(pictures["front"]).header.stamp
                stamp.sec, stamp.nanosec = divmod(stamp_ns, 10**9)
                rig.transforms.publish(transform_message(stamp, "world", "base_link", turn))
            shown.append(rig.show(pictures, stamp_ns))
            statuses = [rig[name].last_status for name in NAMES]
            return all(s is not None and condition(s) for s in statuses) and statuses

        return wait_until(is_so, what=lambda: [rig[name].last_status for name in NAMES])

    changes = {"steady__method": "motion", "steady__fixed_frame": "world"}
    assert front.set_parameters(node, **changes) == []
    for name, status in zip(NAMES, seen(lambda s: "not by motion" in s.message), strict=True):
        assert status.level == b"\1" and values(status)["steadied by"] == "flow"
        assert f"tf2 has no transform from '{name}_optical_frame' to 'world'" in status.message
        assert image_array(rig[name].answer("depth/image_rect", shown[-1][name])).min() > 0
    rig.send_mounts()
    for status in seen(lambda s: values(s)["steadied by"] == "motion" and s.level == b"\0", 0.0):
        assert "depth at" in status.message
    # The robot stands, and its odometry turns it by 5 degrees from picture to picture.
    for status in seen(lambda s: "deg off from what the pictures say" in s.message, 5.0):
        assert status.level == b"\1" and values(status)["steadied by"] == "flow"
