"""What player_node publishes of what files, and as what process."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
from orientation import UPRIGHT, corners, write_turned
from playing import Playing
from ros_harness import NodeProcess, picture, read_points_numpy
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


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A folder of three pictures, with calibration and two LiDAR sweeps."""
    folder = tmp_path_factory.mktemp("recording")
    for i in range(3):
        bgr = np.ascontiguousarray(picture(seed=i)[..., ::-1])
        cv2.imwrite(str(folder / f"color_{i:06d}.png"), bgr)
    calibration = {"width": 320, "height": 240, "K": [2 * v for v in K[:8]] + [1.0], "D": []}
    calibration |= {"frame_id": "optical", "T_camera_lidar": np.eye(4).ravel().tolist()}
    (folder / "calib.json").write_text(json.dumps(calibration))
    (folder / "lidar").mkdir()
    for i in range(2):
        points = np.full((5 + i, 4), i + 1, np.float32)
        (folder / "lidar" / f"{i}.bin").write_bytes(points.tobytes())
    return folder


@pytest.fixture
def play(logs):
    return partial(Playing, PlayerNode, TOPICS, rate_hz=30.0)


def test_a_folder_once_with_calibration_and_lidar(recording, play, capfd):
    lidar = str(recording / "lidar")
    with play(source=str(recording), lidar=lidar, lidar_frame_id="top", loop=False) as player:
        messages = player.to_the_end(**{"image": 3, "camera_info": 3, "lidar/points": 3})
    assert "played 3 pictures" in capfd.readouterr().err
    assert not messages["image/compressed"]
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
    source = str(recording / "color_%06d.png")
    with play(source=source, image_transport="compressed", count=5) as player:
        messages = player.to_the_end(**{"image/compressed": 5})["image/compressed"]
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
    with play(source=str(path), rate_hz=20.0, encoding="mono8", frame_id="mine") as player:
        images = player.until(lambda: len(player.messages["image"]) >= 21)["image"]
    levels = [np.frombuffer(m.data, np.uint8).mean() for m in images[:8]]
    np.testing.assert_allclose(levels, [50, 100, 150, 200] * 2, atol=3)
    assert images[0].encoding == "mono8" and images[0].header.frame_id == "mine"
    info = player.messages["camera_info"][0]
    assert info.header.frame_id == "mine" and info.d[0] == 0.1
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in images[:21]]
    assert stamps[-1] - stamps[0] == pytest.approx(1.0, abs=0.25)


def test_without_a_calibration_camera_info_stays_silent_and_it_says_so(tmp_path, play, capfd):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with play(source=str(tmp_path / "a.png"), count=2) as player:
        assert not player.to_the_end(image=2)["camera_info"]
    assert "camera_info stays silent" in capfd.readouterr().err


def test_real_lidar_with_its_extrinsics(shared_data, play):
    folder = shared_data / "kitti_000008"
    with play(source=str(folder / "image.png"), lidar=str(folder / "lidar.bin"), count=1) as player:
        (cloud,) = player.to_the_end(**{"lidar/points": 1})["lidar/points"]
    expected = np.fromfile(folder / "lidar.bin", np.float32).reshape(-1, 4)[:, :3]
    np.testing.assert_array_equal(read_points_numpy(cloud, ("x", "y", "z")), expected)


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_a_turned_picture_and_its_camera_are_of_the_same_pixels(tmp_path, play, is_calibrated):
    """Stored pixels beside a calibration; upright without one."""
    for orientation in UPRIGHT:
        write_turned(tmp_path / f"{orientation}.jpg", corners(), orientation)
    if is_calibrated:
        (tmp_path / "calib.json").write_text(json.dumps({"width": 320, "height": 240, "K": K}))
    with play(source=str(tmp_path)) as player:
        for upright in UPRIGHT.values():
            bgr = next(player.node._frames).bgr
            if is_calibrated:
                assert list(player.node._camera_info(Header(), bgr).k) == K
            expected = corners() if is_calibrated else upright(corners())
            np.testing.assert_allclose(bgr, expected, atol=3)


def test_simulated_time_without_a_clock_stops_nothing_and_is_named(recording, play, capfd):
    said = ""

    def is_named():
        nonlocal said
        said += capfd.readouterr().err
        return "use_sim_time is true and nothing has come on /clock for " in said

    with play(source=str(recording), use_sim_time=True, rate_hz=20.0) as player:
        player.until(lambda: len(player.messages["image"]) > 3)
        images = player.until(is_named)["image"]
    assert {message.header.stamp.sec for message in images} == {0}
    assert said.count("/clock") == 1


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({"loop": False, "rate_hz": 30.0}, 0, "played 3 pictures"),
        ({"source": ""}, 2, "parameter source is empty"),
        ({"source": "/no/such/place"}, 2, "nothing to play at /no/such/place"),
        ({"rate_hz": 0.0}, 2, "rate_hz"),
    ],
)
def test_a_process_ends_with_a_line_and_a_status(logs, recording, parameters, status, words):
    given = {"source": recording, **parameters}
    process = NodeProcess("player_node", given, log=logs / "process.log")
    assert process.process.wait(timeout=300) == status, process.log
    assert words in process.log.strip().splitlines()[-1] and "Traceback" not in process.log
