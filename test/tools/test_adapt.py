"""``depth_anything adapt`` on bags whose true depth is known."""

import json

import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags", reason="pip install depth_anything_ros[bag]")

from bag_of_a_drive import (
    BEGIN_NS,
    DriveBag,
    DriveOptions,
    camera_info,
    header,
    image,
    qos,
    write_drive,
)

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.tools.command import main

CAMERA = Camera.from_hfov(96, 64, 75.0, "front_optical")
SMALL = ["--input-size", "64", "--device", "cpu"]
COUNT = 25


def rgb(number):
    """Stripes of several widths, which are near to each other in time as in number."""
    v, u = np.mgrid[:64, :96]
    waves = [np.sin((u * a + v * b) / 9 + number / 7) for a, b in ((1, 0), (0, 1), (1, 1))]
    return np.asarray(127 + 120 * np.stack(waves, -1), np.uint8)


def write_bag(path, factors, pictures=COUNT):
    """A bag whose depth camera measures what tiny answers times a factor, by the share of time."""
    estimator = DepthEstimator("tiny", device="cpu", input_size=64)
    with DriveBag(path) as bag:
        bag.topic("/front/camera_info", "sensor_msgs/msg/CameraInfo", qos())
        bag.topic("/front/image_raw", "sensor_msgs/msg/Image", qos())
        bag.topic("/front/depth", "sensor_msgs/msg/Image", qos())
        for n in range(pictures):
            stamp = BEGIN_NS + n * 100_000_000
            head = header(stamp, "front_optical")
            answer = estimator.infer(rgb(n), CAMERA).depth_m
            depth = np.where(np.isfinite(answer), answer * factors(n / pictures), 0)
            bag.write("/front/camera_info", stamp, camera_info(head, CAMERA))
            bag.write("/front/image_raw", stamp, image(head, rgb(n), "rgb8"))
            bag.write("/front/depth", stamp, image(head, depth.astype(np.float32), "32FC1"))
    return path


def adapt(path, output, *more):
    words = ["adapt", path, "--output", output, "--lidar", "/front/depth", *SMALL, *more]
    return main([str(word) for word in words])


def test_metres_become_those_of_the_bag_and_the_node_can_use_them(tmp_path, capsys):
    path = write_bag(tmp_path / "bag", lambda share: 3.0)
    assert adapt(path, tmp_path / "out", "--minutes", "0.01") == 0

    said = capsys.readouterr().out.strip().splitlines()
    parameters = yaml.safe_load(said[-1])["/**"]["ros__parameters"]
    assert parameters["model"] == "tiny"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    before, after = (report["held_out"][when]["metric_abs_rel"] for when in ("before", "after"))
    assert before == pytest.approx(2 / 3, abs=0.01) and after < 0.05
    assert report["handed_over"] and sum(report["pictures"].values()) == COUNT
    assert report["pictures"]["held_out"] == COUNT // 5
    own, tuned = (
        DepthEstimator("tiny", weights, "cpu", input_size=64).infer(rgb(3), CAMERA).depth_m
        for weights in ("", parameters["weights"])
    )
    assert np.nanmedian(tuned / own) == pytest.approx(3.0, rel=0.05)
    card = (tmp_path / "out" / "card.md").read_text()
    assert "Apache-2.0" in card and report["weights_sha256"] in card

    before = {file: file.read_bytes() for file in (tmp_path / "out").glob("*.*")}
    assert adapt(path, tmp_path / "out", "--minutes", "0.01") == 0  # and no step is trained more
    assert {file: file.read_bytes() for file in (tmp_path / "out").glob("*.*")} == before
    capsys.readouterr()
    assert adapt(path, tmp_path / "out", "--minutes", "5") == 2
    assert "choose another folder" in capsys.readouterr().err


def test_weights_that_score_worse_are_not_handed_over(tmp_path, capsys):
    """The end of the bag is as the model has it, and the LiDAR of before was wrong."""
    path = write_bag(tmp_path / "bag", lambda share: 2.0 if share < 0.79 else 1.0)
    assert adapt(path, tmp_path / "out", "--minutes", "0.01") == 1

    assert "no weights are handed over" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not report["handed_over"] and report["weights_sha256"] == ""
    assert report["held_out"]["after"]["metric_abs_rel"] > 0.5
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert not names & {"weights.safetensors", "card.md"}


def test_what_cannot_be_is_said(command, tmp_path):
    path = write_bag(tmp_path / "bag", lambda share: 1.0, 6)
    for words, said in (
        ((), "name one with --lidar"),
        (("--lidar", "/front/depth"), "6 pictures with ranges are too few"),
        (("--model", "tiny_relative"), "gives no metres"),
        (("--minutes", "0"), "--minutes must be more than 0"),
        (("--weights", "random"), "name a checkpoint"),
    ):
        assert said in command.refuses("adapt", path, "--output", tmp_path / "out", *SMALL, *words)


@pytest.mark.slow
def test_a_lidar_teaches_another_camera_in_another_place(tmp_path):
    """Half a minute of training; in doc/training.md are the figures of fifteen."""
    drive = DriveOptions(
        place="street",
        seed=3_000_000_011,
        frames=160,
        rate_hz=2.0,
        width=160,
        height=112,
        hfov_deg=100.0,
        fisheye=True,
        camera_height_m=0.9,
        camera_pitch_deg=10.0,
        speed_mps=2.0,
        lidar="spinning_32",
    )
    write_drive(tmp_path / "bag", drive)
    words = ["adapt", tmp_path / "bag", "--output", tmp_path / "out", "--minutes", "0.5"]
    assert main([str(word) for word in (*words, "--input-size", "96", "--device", "cpu")]) == 0

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    before, after = (report["held_out"][when]["metric_abs_rel"] for when in ("before", "after"))
    assert report["chosen"] == "fine-tuned" and after < before / 2
