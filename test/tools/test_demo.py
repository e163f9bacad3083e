"""The demo as `make demo` runs it, and as a user runs it on a picture of their own."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader

COMMAND = [sys.executable, "-m", "depth_anything_ros"]


def run(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def ply_vertices(path):
    for line in path.read_bytes().split(b"end_header")[0].splitlines():
        if line.startswith(b"element vertex"):
            return int(line.split()[-1])
    raise AssertionError("no vertices")


def test_the_real_picture_through_a_relative_model(tmp_path):
    result = run("demo", "--frames", 8, "--output", tmp_path, "--input-size", 126)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"] and report["frames_in"] == 8
    answered = report["frames_out"]
    assert answered + sum(report["drops"].values()) == 8 and answered >= 4
    assert all(report["checks"].values()) and len(report["checks"]) >= 6
    assert report["gives"] == "disparity without scale" and "random weights" in report["warning"]
    assert report["stamps_intact"] == answered and report["encoding"] == "32FC1"
    assert report["frame_id"] == "right_hand_camera_left_rgb_optical_frame"
    assert "input size 126" in report["estimator"]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    # A plane of no meaning fitted to a bin that is 0.5 to 2 m deep: far from 0, far from 1.
    assert 0.02 < report["abs_rel_aligned"] < 0.6
    assert report["alignment"]["pixels"] > 100_000
    assert "ground truth" in report["cloud"]["source"]
    assert ply_vertices(tmp_path / "cloud.ply") == report["cloud"]["points"] > 10_000
    panel = cv2.imread(str(tmp_path / "panel.png"))
    assert panel.shape[1] == 3 * 560 and panel[60:, :560].std() > 20
    with Reader(tmp_path / "bag") as bag:
        counts = {c.topic: c.msgcount for c in bag.connections}
    assert counts["/demo/image"] == 8 and counts["/diagnostics"] > 0
    assert counts["/demo/disparity/image_rect"] == counts["/demo/depth/image_color"] == answered
    assert result.stdout.strip().endswith("report.json")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "mine.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (9, 16, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (320, 180), interpolation=cv2.INTER_CUBIC))
    return path


def test_a_picture_of_yours_through_a_metric_model(tmp_path, picture):
    output = tmp_path / "out"
    options = ("--model", "test_metric", "--frames", 5, "--input-size", 112)
    result = run("demo", "--image", picture, *options, "--output", output)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((output / "report.json").read_text())
    assert report["passed"] and report["frames_in"] == 5 and report["gives"] == "metres"
    assert not report["ground_truth"] and report["abs_rel_aligned"] is None
    assert report["topics"]["points"] == report["frames_out"] > 0
    assert report["cloud"]["source"] == "points as published"
    assert ply_vertices(output / "cloud.ply") == report["cloud"]["points"] > 1000
    assert cv2.imread(str(output / "panel.png")).shape[1] == 2 * 560


def test_real_recordings_with_their_calibration(tmp_path, shared_data):
    """A desk with its depth picture; a large phone picture with unknown K and small depth."""
    options = ("--model", "test_metric", "--frames", 3, "--input-size", 112)
    for picture_name in ("tum_desk/color.png", "arkit_shelf/color.jpg"):
        # The second run replaces the first.
        result = run("demo", "--image", shared_data / picture_name, *options, "--output", tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["passed"] and report["ground_truth"]
        assert 0 < report["abs_rel_aligned"] < 1
        assert report["abs_rel"] > 0
        assert report["cloud"]["points"] > 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--image", "/no/such.jpg"), "there is no picture /no/such.jpg"),
        (("--model", "depth_anything_v3_small"), "depth_anything_v2_small"),
        (("--weights", "/no/such.pth"), "/no/such.pth"),
        (("--calibration", "/no/such.json"), "goes with --image"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_status_2(tmp_path, arguments, words):
    result = run("demo", "--output", tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and words in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_explains_itself():
    overview = run("--help")
    assert overview.returncode == 0 and "demo" in overview.stdout
    details = run("demo", "--help")
    for option in ("--image", "--model", "--weights", "--calibration", "--output"):
        assert option in details.stdout
    assert run("--version").stdout.strip() == "0.1.0"
    assert run().returncode == 2
