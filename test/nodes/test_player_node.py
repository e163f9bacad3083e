"""player_node in a process of its own, listened to by the test."""

import json
import threading

import cv2
import numpy as np
import pytest
import rclpy
from orientation import UPRIGHT, corners, write_turned
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from ros_harness import RELIABLE, NodeProcess, picture, read_points_numpy, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.nodes.player_node import PlayerNode

TOPICS = {
    "image": Image,
    "image/compressed": CompressedImage,
    "camera_info": CameraInfo,
    "lidar/points": PointCloud2,
}
K = [150.0, 0.0, 79.5, 0.0, 150.0, 59.5, 0.0, 0.0, 1.0]


class Listener:
    """Keep every message of the player's topics."""

    def __init__(self, namespace):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("listener", namespace=namespace, context=self.context)
        self.messages = {name: [] for name in TOPICS}
        for name, message_type in TOPICS.items():
            self.node.create_subscription(message_type, name, self.messages[name].append, RELIABLE)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.spin)
        self.thread.start()

    def spin(self):
        try:
            while self.context.ok():
                self.executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            pass

    def close(self):
        self.context.try_shutdown()
        self.thread.join()


@pytest.fixture
def recording(tmp_path):
    """A folder of three pictures, with calibration and two LiDAR sweeps."""
    for i in range(3):
        bgr = np.ascontiguousarray(picture(seed=i)[..., ::-1])
        cv2.imwrite(str(tmp_path / f"color_{i:06d}.png"), bgr)
    calibration = {"width": 320, "height": 240, "K": [2 * v for v in K[:8]] + [1.0], "D": []}
    calibration |= {"frame_id": "optical", "T_camera_lidar": np.eye(4).ravel().tolist()}
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    lidar = tmp_path / "lidar"
    lidar.mkdir()
    for i in range(2):
        points = np.full((5 + i, 4), i + 1, np.float32)
        (lidar / f"{i}.bin").write_bytes(points.tobytes())
    return tmp_path


@pytest.fixture
def play(logs, request):
    started = []
    name = request.node.name.split("[")[0]

    def start(**parameters):
        listener = Listener(f"/{name}")
        log = logs / f"{name}.log"
        parameters = {"wait_for_subscribers": 1, "rate_hz": 30.0, **parameters}
        process = NodeProcess("player_node", parameters, (), f"/{name}", log)
        started.append((process, listener))
        return process, listener

    yield start
    for process, listener in started:
        process.stop()
        listener.close()


def test_a_folder_once_with_calibration_and_lidar(recording, play):
    process, listener = play(
        source=str(recording), lidar=str(recording / "lidar"), lidar_frame_id="top", loop=False
    )
    assert process.process.wait(timeout=60) == 0
    assert "played 3 pictures" in process.log and "Traceback" not in process.log
    messages = listener.messages
    wait_until(lambda: len(messages["lidar/points"]) == 3, 5, "three sweeps")
    assert len(messages["image"]) == 3 and not messages["image/compressed"]
    for i, (image, info, cloud) in enumerate(
        zip(messages["image"], messages["camera_info"], messages["lidar/points"], strict=True)
    ):
        assert image.encoding == "bgr8" and (image.width, image.height) == (160, 120)
        rgb = np.frombuffer(image.data, np.uint8).reshape(120, 160, 3)[..., ::-1]
        np.testing.assert_array_equal(rgb, picture(seed=i))
        assert info.header == image.header and image.header.frame_id == "optical"
        # The calibration is of twice the size, so it is scaled to the picture's.
        assert (info.width, info.k[0]) == (160, 150.0)
        assert cloud.header.frame_id == "top" and cloud.header.stamp == image.header.stamp
        points = read_points_numpy(cloud, ("x", "y", "z", "intensity"))
        np.testing.assert_array_equal(points, np.full((5 + i % 2, 4), i % 2 + 1))


def test_a_sequence_loops_as_jpeg_until_the_count(recording, play):
    process, listener = play(
        source=str(recording / "color_%06d.png"), image_transport="compressed", count=5
    )
    assert process.process.wait(timeout=60) == 0
    messages = listener.messages["image/compressed"]
    wait_until(lambda: len(messages) == 5, 5, "five pictures")
    for i, message in enumerate(messages):
        assert message.format == "jpeg"
        bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(bgr[..., ::-1].astype(int) - picture(seed=i % 3)).mean() < 3


def test_a_video_at_its_rate_as_mono8_with_a_ros_calibration(tmp_path, play):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for i in range(4):
        writer.write(np.full((120, 160, 3), 50 * (i + 1), np.uint8))
    writer.release()
    (tmp_path / "camera.yaml").write_text(
        "image_width: 160\nimage_height: 120\ncamera_name: head\ncamera_matrix: {rows: 3, cols: 3,"
        f" data: {K}}}\ndistortion_coefficients: {{rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}}\n"
    )
    _, listener = play(source=str(path), rate_hz=20.0, encoding="mono8", frame_id="mine")
    images = listener.messages["image"]
    wait_until(lambda: len(images) >= 21, 30, "21 pictures")
    levels = [np.frombuffer(m.data, np.uint8).mean() for m in images[:8]]
    np.testing.assert_allclose(levels, [50, 100, 150, 200] * 2, atol=3)
    assert images[0].encoding == "mono8" and images[0].header.frame_id == "mine"
    info = listener.messages["camera_info"][0]
    assert info.header.frame_id == "mine" and info.d[0] == 0.1
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in images[:21]]
    assert stamps[-1] - stamps[0] == pytest.approx(1.0, abs=0.25)


def test_without_a_calibration_camera_info_stays_silent_and_it_says_so(tmp_path, play):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    process, listener = play(source=str(tmp_path / "a.png"), count=2)
    assert process.process.wait(timeout=60) == 0
    assert "camera_info stays silent" in process.log
    assert not listener.messages["camera_info"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "parameter source is empty"),
        ({"source": "/no/such/place"}, "nothing to play at /no/such/place"),
        ({"rate_hz": 0.0}, "rate_hz"),
    ],
)
def test_what_cannot_be_played_is_one_line_and_status_2(logs, parameters, words):
    process = NodeProcess("player_node", parameters, log=logs / "refused.log")
    assert process.process.wait(timeout=60) == 2
    lines = process.log.strip().splitlines()
    assert words in lines[-1] and "Traceback" not in process.log


def test_real_lidar_with_its_extrinsics(shared_data, play):
    folder = shared_data / "kitti_000008"
    process, listener = play(
        source=str(folder / "image.png"), lidar=str(folder / "lidar.bin"), count=1, rate_hz=5.0
    )
    assert process.process.wait(timeout=60) == 0
    wait_until(lambda: listener.messages["lidar/points"], 5, "the sweep")
    cloud = listener.messages["lidar/points"][0]
    points = read_points_numpy(cloud, ("x", "y", "z"))
    expected = np.fromfile(folder / "lidar.bin", np.float32).reshape(-1, 4)[:, :3]
    np.testing.assert_array_equal(points, expected)


def test_a_turned_picture_and_its_camera_are_of_the_same_pixels(tmp_path):
    """Stored pixels beside a calibration; upright without one. In the test's own process."""
    context = rclpy.Context()
    rclpy.init(context=context)
    folders = (tmp_path / "calibrated", tmp_path / "free")
    for folder in folders:
        folder.mkdir()
        for orientation in UPRIGHT:
            write_turned(folder / f"{orientation}.jpg", corners(), orientation)
    (folders[0] / "calib.json").write_text(json.dumps({"width": 320, "height": 240, "K": K}))
    try:
        for folder in folders:
            source = Parameter("source", value=str(folder))
            node = PlayerNode(context=context, parameter_overrides=[source])
            for orientation in UPRIGHT:
                bgr = next(node._frames).bgr
                stored = corners()
                if folder == folders[0]:
                    assert list(node._camera_info(Header(), bgr).k) == K
                else:
                    stored = UPRIGHT[orientation](stored)
                np.testing.assert_allclose(bgr, stored, atol=3)
            node.destroy_node()
    finally:
        context.try_shutdown()


def test_simulated_time_without_a_clock_stops_nothing_and_is_named(play, recording):
    process, listener = play(source=recording, use_sim_time=True, rate_hz=5)
    wait_until(lambda: len(listener.messages["image"]) > 3, 30, "pictures")
    assert {message.header.stamp.sec for message in listener.messages["image"]} == {0}
    process.wait_for_log("use_sim_time is true and nothing has come on /clock for ")
    assert process.log.count("/clock") == 1
