"""``depth_anything bag`` on bags of a simulated drive, and on bags made here."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags", reason="pip install depth_anything_ros[bag]")
mcap_reader = pytest.importorskip("mcap_ros2.reader", reason="pip install mcap-ros2-support")

from bag_of_a_drive import (  # noqa: E402
    BEGIN_NS,
    DriveBag,
    DriveOptions,
    camera_info,
    compressed,
    header,
    image,
    qos,
    write_drive,
)
from rosbags.rosbag2 import Reader  # noqa: E402
from small_bags import CAMERA, bag_of_each, rgb, small_bag  # noqa: E402

from depth_anything_ros.core.camera import Camera  # noqa: E402
from depth_anything_ros.engines.loading import load_estimator  # noqa: E402
from depth_anything_ros.pipeline.depth import DepthPipeline  # noqa: E402
from depth_anything_ros.tools.bag import BagWorker, contents_of  # noqa: E402
from depth_anything_ros.tools.bag_job import Job  # noqa: E402
from depth_anything_ros.tools.bag_reading import Bag, CameraTopics, find_cameras  # noqa: E402
from depth_anything_ros.tools.bag_writing import Parts  # noqa: E402
from depth_anything_ros.tools.command import main  # noqa: E402
from depth_anything_ros.tools.parsers import build_parser  # noqa: E402
from depth_anything_ros.tools.progress import Progress  # noqa: E402

FAST = ["--engine", "torch", "--precision", "fp32", "--device", "cpu", "--input-size", "64"]
DRIVE = DriveOptions(frames=6)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A bag of a drive, and the robot."""
    path = tmp_path_factory.mktemp("drive") / "in"
    return path, write_drive(path, DRIVE)


@pytest.fixture(scope="module")
def anchored(drive, tmp_path_factory):
    """The drive answered and anchored, in files of four pictures."""
    path = tmp_path_factory.mktemp("anchored") / "out"
    words = [drive[0], path, *FAST, "--lidar", "/lidar/points", "--images-per-file", "4"]
    assert main(["bag", *map(str, words)]) == 0
    return path


def raw(path):
    """The messages of a bag by topic, as they lie: time and bytes."""
    found = {}
    with Reader(path) as reader:
        for connection, time_ns, data in reader.messages():
            found.setdefault(connection.topic, []).append((time_ns, bytes(data)))
    return found


def second_reader(path):
    """The messages of a bag by topic, by another reader of MCAP: time of recording, message."""
    found = {}
    for file in sorted(path.glob("*.mcap")):
        for read in mcap_reader.read_ros2_messages(str(file)):
            said = (read.log_time_ns, read.ros_msg)
            found.setdefault(read.channel.topic, []).append(said)
    return found


def stamp_ns(said):
    return said.header.stamp.sec * 10**9 + said.header.stamp.nanosec


def tree(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


class TestRoundTrip:
    def test_all_messages_their_types_and_their_qos_are_kept(self, drive, anchored):
        before, after = raw(drive[0]), raw(anchored)

        assert {topic: after[topic] for topic in before} == before
        with Reader(drive[0]) as old, Reader(anchored) as new:
            kept = {c.topic: c for c in new.connections}
            for one in old.connections:
                assert kept[one.topic].ext == one.ext
                assert kept[one.topic].digest == one.digest
                assert kept[one.topic].msgdef == one.msgdef

    def test_a_second_reader_finds_depth_at_the_stamps_and_times_of_the_pictures(
        self, drive, anchored
    ):
        said = second_reader(anchored)
        pictures = [(t, stamp_ns(m)) for t, m in said["/front/image_raw"]]

        assert len(pictures) == DRIVE.frames
        for topic in ("/front/depth/image_rect", "/front/depth/camera_info", "/front/points"):
            assert [(t, stamp_ns(m)) for t, m in said[topic]] == pictures
            assert {m.header.frame_id for _, m in said[topic]} == {"front_optical"}

    def test_depth_cloud_and_camera_fit_each_other(self, anchored):
        said = second_reader(anchored)
        for (_, depth), (_, info), (_, cloud), (_, picture) in zip(
            said["/front/depth/image_rect"],
            said["/front/depth/camera_info"],
            said["/front/points"],
            said["/front/image_raw"],
            strict=True,
        ):
            assert (depth.encoding, depth.width, depth.height) == ("32FC1", 96, 72)
            assert (info.width, info.height, info.distortion_model) == (96, 72, "plumb_bob")
            metres = np.frombuffer(depth.data, np.float32).reshape(72, 96)
            points = np.frombuffer(cloud.data, np.float32).reshape(72, 96, 4)
            np.testing.assert_allclose(info.k, DRIVE.camera().K)
            assert [f.name for f in cloud.fields] == ["x", "y", "z", "rgb"]
            assert (cloud.width, cloud.height, cloud.point_step) == (96, 72, 16)
            known = np.isfinite(points[..., 2])
            np.testing.assert_array_equal(points[known][:, 2], metres[known])
            rays = DRIVE.camera().rays()[known]
            expected = rays * metres[known][:, None]
            np.testing.assert_allclose(points[known][:, :3], expected, rtol=1e-5, atol=1e-5)
            colours = points[..., 3].copy().view(np.uint32)
            seen = np.frombuffer(picture.data, np.uint8).reshape(72, 96, 3).astype(np.uint32)
            packed = seen[..., 0] << 16 | seen[..., 1] << 8 | seen[..., 2]
            np.testing.assert_array_equal(colours[known], packed[known])

    def test_the_lidar_gives_the_right_scale(self, drive, anchored):
        said, robot = second_reader(anchored)["/front/depth/image_rect"], drive[1]
        errors = []
        for frame, (_, depth) in enumerate(said):
            truth = robot.picture(frame / DRIVE.rate_hz).depth_m
            metres = np.frombuffer(depth.data, np.float32).reshape(truth.shape)
            seen = np.isfinite(truth) & np.isfinite(metres)
            errors.append(np.median(np.abs(metres[seen] / truth[seen] - 1)))
        assert max(errors) < 0.1, errors  # 0.3 and more as the model has it

    def test_metadata_says_what_is_in_the_files(self, anchored):
        said = yaml.safe_load((anchored / "metadata.yaml").read_text())
        said = said["rosbag2_bagfile_information"]
        found = raw(anchored)

        assert sorted(p.name for p in anchored.iterdir()) == [
            "metadata.yaml",
            "out_0.mcap",
            "out_1.mcap",
        ]
        assert said["relative_file_paths"] == ["out_0.mcap", "out_1.mcap"]
        assert (said["storage_identifier"], said["compression_mode"]) == ("mcap", "")
        counts = {
            one["topic_metadata"]["name"]: one["message_count"]
            for one in said["topics_with_message_count"]
        }
        assert counts == {topic: len(messages) for topic, messages in found.items()}
        assert said["message_count"] == sum(counts.values())
        times = [time_ns for messages in found.values() for time_ns, _ in messages]
        assert said["starting_time"]["nanoseconds_since_epoch"] == min(times)
        assert said["duration"]["nanoseconds"] == max(times) - min(times)
        assert sum(one["message_count"] for one in said["files"]) == said["message_count"]


class TestWaysIn:
    @pytest.mark.parametrize(
        ("storage", "compression"),
        [
            ("sqlite3", "none"),
            ("sqlite3", "message"),
            ("sqlite3", "file"),
            ("mcap", "message"),
            ("mcap", "storage"),
        ],
    )
    def test_any_storage_gives_the_same_messages(self, command, tmp_path, storage, compression):
        path = small_bag(tmp_path / "in", 2, storage, compression)
        command.says("bag", path, tmp_path / "out", *FAST)

        plain = raw(small_bag(tmp_path / "plain", 2))
        found = raw(tmp_path / "out")
        assert {topic: found[topic] for topic in plain} == plain
        assert len(found["/front/depth/image_rect"]) == 2

    def test_a_file_of_a_bag_is_a_bag(self, command, tmp_path):
        path = small_bag(tmp_path / "in", 2)
        command.says("bag", path / "in.mcap", tmp_path / "out", *FAST)

        assert len(raw(tmp_path / "out")["/front/depth/image_rect"]) == 2

    def test_metres_are_those_of_the_pipeline(self, command, tmp_path):
        command.says("bag", small_bag(tmp_path / "in"), tmp_path / "out", *FAST, "--batch", "2")

        estimator = load_estimator("tiny", "", "cpu", "torch", "fp32", 64)
        pipeline = DepthPipeline(estimator)
        said = second_reader(tmp_path / "out")["/front/depth/image_rect"]
        for number, (_, depth) in enumerate(said):
            expected = pipeline.infer(rgb(number), CAMERA).estimate.values
            metres = np.frombuffer(depth.data, np.float32).reshape(48, 64)
            np.testing.assert_allclose(metres, expected, rtol=1e-4)

    def test_only_depth_in_millimetres_without_points_elsewhere(self, command, tmp_path):
        ways = ["--only-depth", "--encoding", "16UC1", "--no-points", "--namespace", "offline"]
        command.says("bag", small_bag(tmp_path / "in"), tmp_path / "out", *FAST, *ways)

        said = second_reader(tmp_path / "out")
        assert sorted(said) == [
            "/offline/front/depth/camera_info",
            "/offline/front/depth/image_rect",
        ]
        depth = said["/offline/front/depth/image_rect"][0][1]
        assert (depth.encoding, depth.step, len(depth.data)) == ("16UC1", 128, 128 * 48)

    def test_what_a_relative_model_answers_is_no_depth(self, command, tmp_path):
        path = small_bag(tmp_path / "in", 1)
        command.says("bag", path, tmp_path / "out", *FAST, "--model", "tiny_relative")

        new = raw(tmp_path / "out").keys() - raw(path).keys()
        assert new == {"/front/disparity/image_rect", "/front/depth/camera_info"}


def test_a_folder_of_bags_becomes_another(capsys, tmp_path):
    """One that is broken costs no other its answer, and what is done is not done again."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        small_bag(tmp_path / "in" / name, 1)
    (tmp_path / "in" / "broken.mcap").write_bytes(b"no bag at all")
    words = [str(word) for word in ("bag", tmp_path / "in", tmp_path / "out", *FAST)]
    assert main(words) == 1

    said = capsys.readouterr().out
    assert "broken.mcap: cannot read the bag" in said
    single = tmp_path / "single"
    assert main(["bag", str(tmp_path / "in" / "b"), str(single), *FAST]) == 0
    assert raw(tmp_path / "out" / "b") == raw(single)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "b"]
    before = tree(tmp_path / "out" / "a")
    assert main(words) == 1
    assert tree(tmp_path / "out" / "a") == before
    assert "2 of 3 bags are done" in capsys.readouterr().out


@pytest.mark.slow  # starts a cluster
def test_a_cluster_writes_what_one_process_does(drive, tmp_path):
    pytest.importorskip("ray")
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).symlink_to(drive[0])
    words = [*FAST, "--lidar", "/lidar/points", "--images-per-file", "2"]
    here, there = tmp_path / "here", tmp_path / "there"
    assert main(["bag", str(source), str(here), *words]) == 0
    command = [sys.executable, "-m", "depth_anything_ros", "bag", str(source), str(there)]
    cluster = ["--ray", "local", "--workers", "2"]
    done = subprocess.run([*command, *words, *cluster], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    for name in ("a", "b"):
        assert tree(there / name) == tree(here / name)
    assert sorted(p.name for p in there.iterdir()) == ["a", "b"]


class TestGoingOn:
    @pytest.mark.slow  # three starts of the command
    def test_a_run_that_was_interrupted_goes_on_to_the_same_bytes(self, drive, tmp_path):
        words = [*FAST, "--lidar", "/lidar/points", "--images-per-file", "1"]
        broken, whole = tmp_path / "a" / "out", tmp_path / "b" / "out"
        started = [
            sys.executable,
            "-m",
            "depth_anything_ros",
            "bag",
            str(drive[0]),
            str(broken),
            *words,
        ]
        process = subprocess.Popen(started, stdout=subprocess.PIPE, text=True)
        note = tmp_path / "a" / ".out.partial" / "0.json"
        while not note.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        process.communicate()

        assert process.returncode == 130
        assert not broken.exists()
        done = len(list(note.parent.glob("*.json"))) - 1  # but for that of what it is made of
        again = subprocess.run(started, capture_output=True, text=True, check=True)
        assert main(["bag", str(drive[0]), str(whole), *words]) == 0

        assert 1 <= done < DRIVE.frames
        assert f"{done} of {DRIVE.frames} pictures are done" in again.stdout
        assert tree(broken) == tree(whole)
        assert [p.name for p in broken.parent.iterdir()] == ["out"]

    @pytest.mark.parametrize(
        ("steady", "lidar"),
        [
            ("motion", []),
            pytest.param("flow", ["--lidar", "/lidar/points"], marks=pytest.mark.slow),
        ],
    )
    def test_steadied_depth_goes_on_to_the_same_bytes(
        self, command, drive, tmp_path, steady, lidar
    ):
        words = ["--steady", steady, *FAST, *lidar, "--images-per-file", "2", "--no-points"]
        broken, whole = tmp_path / "a" / "out", tmp_path / "b" / "out"
        lines = command.says("bag", drive[0], whole, *words).splitlines()
        assert f"{DRIVE.frames - 1} steady by {steady}" in lines and "1 restarted" in lines

        options = build_parser().parse_args(["bag", *map(str, (drive[0], broken, *words))])
        with Bag(drive[0]) as bag:
            cameras = find_cameras(bag, [], [])
            contents = contents_of(bag, cameras, options)
            job = Job(bag, cameras, contents, BagWorker(options).estimator, options)
            parts, memory = Parts(broken), {}
            parts.claim(job.made_of())
            with Progress(DRIVE.frames, "pictures") as progress:
                for number in range(2):
                    memory = job.write_file(parts, number, memory, progress)["memory"]
        # Of the two files alone what is needed to go on: the end of the second.
        assert [file.name for file in parts.folder.glob("*.npz")] == ["1.npz"]
        said = command.says("bag", drive[0], broken, *words)
        assert f"going on: 4 of {DRIVE.frames} pictures are done" in said
        assert tree(broken) == tree(whole)

        plain = tmp_path / "plain"
        command.says("bag", drive[0], plain, *FAST, *lidar, "--no-points")
        topic = "/front/depth/image_rect"
        both = zip(raw(whole)[topic], raw(plain)[topic], strict=True)
        assert [one == other for one, other in both] == [True] + [False] * (DRIVE.frames - 1)

    def test_without_poses_depth_is_steadied_by_flow_and_that_is_said(self, command, tmp_path):
        words = ["--steady", "motion", "--fixed-frame", "map", *FAST, "--no-points"]
        said = command.says("bag", small_bag(tmp_path / "in"), tmp_path / "out", *words)

        assert said.count("not steadied by motion: the recording has no such transform") == 1
        assert "'map'" in said and "motion\n" not in said

    def test_what_was_begun_in_another_way_is_not_mixed(self, command, tmp_path):
        path = small_bag(tmp_path / "in")
        partial = tmp_path / ".out.partial"
        partial.mkdir()
        (partial / "made_of.json").write_text(json.dumps({"model": "another"}))

        said = command.refuses("bag", path, tmp_path / "out", *FAST)
        assert "another" in said and str(partial) in said


class TestCameras:
    def test_cameras_are_found_by_their_namespace_or_frame(self, tmp_path):
        left, right, top = (header(BEGIN_NS, name) for name in ("left", "right", "top"))
        path = bag_of_each(
            tmp_path / "in",
            left__camera_info=camera_info(left, CAMERA),
            left__depth=image(left, np.zeros((48, 64), np.float32), "32FC1"),
            left__image_raw=image(left, rgb(0), "rgb8"),
            left__image_raw__compressed=compressed(left, rgb(0)),
            left__depth__image_color=image(left, rgb(3), "rgb8"),
            left__depth__camera_info=camera_info(left, CAMERA),
            right__camera_info=camera_info(right, CAMERA),
            right__image_color__compressed=compressed(right, rgb(1)),
            roof__pictures=image(top, rgb(2), "rgb8"),
            elsewhere__info=camera_info(top, CAMERA),
            lonely__camera_info=camera_info(header(BEGIN_NS, "nobody"), CAMERA),
        )
        with Bag(path) as bag:
            assert find_cameras(bag, [], []) == [
                CameraTopics("/left/image_raw", "/left/camera_info"),
                CameraTopics("/right/image_color/compressed", "/right/camera_info"),
                CameraTopics("/roof/pictures", "/elsewhere/info"),
            ]
            named = find_cameras(bag, ["/roof/pictures"], ["/left/camera_info"])
            assert named == [CameraTopics("/roof/pictures", "/left/camera_info")]

    def test_each_camera_has_topics_of_its_own(self, command, tmp_path):
        left, right = (header(BEGIN_NS, name) for name in ("left", "right"))
        path = bag_of_each(
            tmp_path / "in",
            left__camera_info=camera_info(left, CAMERA),
            left__image_raw=image(left, rgb(0), "rgb8"),
            right__camera_info=camera_info(right, CAMERA.scaled(32, 24)),
            right__image_raw__compressed=compressed(right, rgb(1)[::2, ::2]),
        )
        command.says("bag", path, tmp_path / "out", *FAST)

        said = second_reader(tmp_path / "out")
        sizes = {
            topic: (m.width, m.height) for topic, ((_, m),) in said.items() if "depth/" in topic
        }
        assert sizes == {
            "/left/depth/image_rect": (64, 48),
            "/left/depth/camera_info": (64, 48),
            "/right/depth/image_rect": (32, 24),
            "/right/depth/camera_info": (32, 24),
        }

    def test_a_camera_that_zooms_has_the_camera_of_each_time(self, command, tmp_path):
        path = tmp_path / "in"
        far = Camera.from_hfov(64, 48, 40.0, "front_optical")
        with DriveBag(path) as bag:
            bag.topic("/camera_info", "sensor_msgs/msg/CameraInfo", qos())
            bag.topic("/image", "sensor_msgs/msg/Image", qos())
            for n, camera in enumerate((CAMERA, CAMERA, far)):
                head = header(BEGIN_NS + n, "front_optical")
                bag.write("/image", BEGIN_NS + n, image(head, rgb(n), "rgb8"))
                bag.write("/camera_info", BEGIN_NS + n, camera_info(head, camera))
        command.says("bag", path, tmp_path / "out", *FAST)

        infos = second_reader(tmp_path / "out")["/depth/camera_info"]
        assert [m.k[0] for _, m in infos] == [CAMERA.K[0], CAMERA.K[0], far.K[0]]


class TestRefusals:
    def test_a_broken_picture_is_left_out_and_said(self, capsys, tmp_path):
        path = small_bag(tmp_path / "in", broken=[1])
        assert main(["bag", str(path), str(tmp_path / "out"), *FAST]) == 1

        said = capsys.readouterr().out
        assert "/front/image_raw: left out: step is 5 bytes" in said
        assert "2 pictures answered\n1 left out: bad_step" in said
        found = raw(tmp_path / "out")
        assert len(found["/front/depth/image_rect"]) == 2
        assert len(found["/front/image_raw"]) == 3

    def test_topics_of_the_bag_are_not_mixed_with_new_ones(self, command, tmp_path):
        path = small_bag(tmp_path / "in", 1)
        command.says("bag", path, tmp_path / "once", *FAST)

        said = command.refuses("bag", tmp_path / "once", tmp_path / "twice", *FAST)
        assert "/front/depth/image_rect" in said and "--namespace" in said
        words = ["--namespace", "second", "--image", "/front/image_raw"]
        command.says("bag", tmp_path / "once", tmp_path / "twice", *FAST, *words)
        assert "/second/front/points" in raw(tmp_path / "twice")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--image", "/nowhere"], "has no topic '/nowhere'; it has /counter"),
            (["--image", "/counter"], "is robot_msgs/msg/Counter; expected sensor_msgs/msg/Image"),
            (["--lidar", "/counter"], "measures no ranges"),
            (["--camera-info", "/front/camera_info"], "1 times --camera-info and 0 times --image"),
            (["--images-per-file", "0"], "--images-per-file must be 1 or more"),
        ],
    )
    def test_what_cannot_be_is_said(self, command, tmp_path, words, said):
        path = small_bag(tmp_path / "in", 1)
        assert said in command.refuses("bag", path, tmp_path / "out", *FAST, *words)

    def test_what_is_no_bag_is_said(self, command, tmp_path):
        (tmp_path / "broken.mcap").write_bytes(b"no bag at all")
        (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
        path = small_bag(tmp_path / "in", 1)
        (tmp_path / "there").mkdir()

        for words, said in (
            ((tmp_path / "broken.mcap", tmp_path / "out"), "cannot read the bag"),
            ((tmp_path / "old.bag", tmp_path / "out"), "rosbags-convert"),
            ((tmp_path / "nothing", tmp_path / "out"), "cannot read the bag"),
            ((path, tmp_path / "there"), "is there already"),
            ((path,), "name either the bag to write"),
        ):
            assert said in command.refuses("bag", *words, *FAST)

    def test_a_bag_that_was_cut_off_leaves_no_bag(self, command, tmp_path):
        path = small_bag(tmp_path / "in", 40)
        file = path / "in.mcap"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

        assert "ros2 bag reindex" in command.refuses("bag", path, tmp_path / "out", *FAST)
        assert not (tmp_path / "out").exists()
