"""The demo as `make demo` runs it, and as a user runs it on a picture of their own."""

import argparse
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from orientation import UPRIGHT, corners, write_turned

from depth_anything_ros.tools.command import main
from depth_anything_ros.tools.demo import _prepare_picture

Reader = pytest.importorskip("rosbags.rosbag2", reason="needs the extra demo").Reader
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


def topic_counts(bag):
    with Reader(bag) as reader:
        return {c.topic: c.msgcount for c in reader.connections}


def check_scores(scores, kinds=("metric", "aligned", "mean_depth", "best_constant", "best_plane")):
    for kind in kinds:
        one = scores[kind]
        assert one["abs_rel"] > 0 and 0 <= one["delta1"] <= 1 and one["rmse"] > 0 and one["pixels"]
    # Least squares in disparity with three numbers is better there than with one.
    assert scores["best_plane"]["abs_rel"] < scores["mean_depth"]["abs_rel"]


def demo(output, *options):
    """Run the demo; return its report and what it said."""
    result = run("demo", *options, "--output", output)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((output / "report.json").read_text())
    assert report["passed"]
    return report, result.stdout


@pytest.mark.slow
def test_the_robot_and_the_real_picture_through_the_checkpoint_in_the_box(tmp_path):
    options = ("--frames", 4, "--size", "320x240", "--place", "corridor")
    report, said = demo(tmp_path, *options)
    assert (report["model"], report["weights"], report["gives"]) == ("tiny", "", "metres")
    assert "tiny.safetensors" in report["estimator"] and "warning" not in report
    assert list(report["sources"]) == ["robot", "picture"]
    for name, frame_id in (
        ("robot", "camera_optical_frame"),
        ("picture", "right_hand_camera_left_rgb_optical_frame"),
    ):
        part = report["sources"][name]
        answered = part["frames_out"]
        assert part["frames_in"] == 4 == answered + sum(part["drops"].values())
        assert answered >= 2 and part["stamps_intact"] == answered
        assert all(part["checks"].values()) and len(part["checks"]) >= 7
        assert (part["encoding"], part["frame_id"]) == ("32FC1", frame_id)
        assert 0 < part["latency_ms"]["p50"] <= part["latency_ms"]["p95"]
        assert part["ground_truth"]
        check_scores(part["scores"])
        assert ply_vertices(tmp_path / f"{name}.ply") == part["cloud"]["points"] > 1000
        counts = topic_counts(tmp_path / "bag" / name)
        assert counts["/demo/image"] == 4 and counts["/diagnostics"] > 0
        assert counts["/demo/depth/image_rect"] == counts["/demo/points"] == answered
    robot, real = report["sources"]["robot"], report["sources"]["picture"]
    # All of the robot's pictures have a truth of their own; the other one is the same each time.
    assert (robot["frames_scored"], real["frames_scored"]) == (robot["frames_out"], 1)
    assert robot["lidar"]["points"] > 1000 and robot["lidar"]["median_error_m"] < 0.03
    assert robot["topics"]["lidar/points"] >= 4 == robot["topics"]["ground_truth/depth"]
    # The LiDAR sets the scale, and what is wrong of the shape near its points.
    anchored = robot["scores"]["anchored"]
    assert anchored["abs_rel"] < min(robot["scores"]["metric"]["abs_rel"], 0.07)
    assert real["scores"]["anchored"] is None
    panel = cv2.imread(str(tmp_path / "panel.png"))
    assert panel.shape[1] == 6 * 480 and panel[60:, :480].std() > 20
    # Each answer has the colours of its own range, whatever its scale is: from dark to bright.
    first, over_time, last = np.split(panel, 3)
    for row in (first, last):
        answer = row[60:, 490:950].max(axis=2)
        assert np.percentile(answer, 2) < 60 and np.percentile(answer, 98) > 200
    off = f"Metres are off by {robot['scores']['metric']['abs_rel']:.0%} on average; anchored"
    assert robot["in_words"].startswith(off) and robot["in_words"] in said
    assert "anchored" not in real["in_words"]
    plain, steady = robot["steadied"]["plain"], robot["steadied"]["steadied"]
    assert plain["tae"] > steady["tae"] > 0 and "Steadied by motion: temporal" in said
    assert "steadied" not in real and over_time[60:, 1450:].std() > 20
    for words in ("metres as they come", "baseline: best plane", "LiDAR against the ground truth"):
        assert words in said
    assert said.strip().endswith("report.json")


@pytest.mark.slow
def test_the_disparity_of_a_relative_model_is_anchored_by_the_robots_lidar(tmp_path):
    report, _ = demo(tmp_path, "--model", "tiny_relative", "--frames", 3, "--size", "160x120")
    assert report["gives"] == "disparity without scale" and "in disparity" in report["alignment"]
    scores = report["sources"]["robot"]["scores"]
    # The LiDAR has a quarter of the picture; the fit by the truth has all of it, and is a line.
    assert scores["metric"] is None
    assert scores["anchored"]["abs_rel"] < 0.9 * scores["aligned"]["abs_rel"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "mine.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (9, 16, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (320, 180), interpolation=cv2.INTER_CUBIC))
    return path


def test_random_weights_on_a_picture_of_yours_say_so(tmp_path, picture):
    options = ("--model", "test_relative", "--weights", "random", "--input-size", 126)
    report, said = demo(tmp_path / "out", "--image", picture, *options, "--frames", 3)
    assert report["gives"] == "disparity without scale" and "RANDOM WEIGHTS" in report["warning"]
    assert "RANDOM WEIGHTS" in said and "input size 126" in report["estimator"]
    part = report["sources"]["picture"]
    assert part["scores"] is None and part["cloud"]["source"].startswith("none")
    counts = topic_counts(tmp_path / "out" / "bag" / "picture")
    assert counts["/demo/disparity/image_rect"] == part["frames_out"] > 0


@pytest.mark.slow
def test_a_picture_of_yours_without_a_calibration(tmp_path, picture):
    output = tmp_path / "out"
    report, _ = demo(output, "--image", picture, "--frames", 5)
    (part,) = report["sources"].values()
    assert report["gives"] == "metres" and part["frames_in"] == 5
    assert not part["ground_truth"] and part["scores"] is None
    assert part["topics"]["points"] == part["frames_out"] > 0
    assert part["cloud"]["source"] == "points as published"
    # What the model takes for sky has no point: of noise it may be much.
    assert ply_vertices(output / "picture.ply") == part["cloud"]["points"]
    assert cv2.imread(str(output / "panel.png")).shape[1] == 2 * 480


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_is_upright_unless_a_calibration_is_of_its_stored_pixels(tmp_path, orientation):
    source, into = tmp_path / "phone.jpg", tmp_path / "input"
    into.mkdir()
    stored = corners()
    write_turned(source, stored, orientation)
    options = argparse.Namespace(image=source, calibration=None)
    for expected in (UPRIGHT[orientation](stored), stored):
        assert _prepare_picture(options, into) == (expected is stored)
        np.testing.assert_allclose(cv2.imread(str(into / "color.png")), expected, atol=3)
        calibration = {"width": 320, "height": 240, "K": [300, 0, 160, 0, 300, 120, 0, 0, 1]}
        (tmp_path / "calib.json").write_text(json.dumps(calibration))


@pytest.mark.slow
def test_real_recordings_with_their_calibration(tmp_path, shared_data):
    """A desk with its depth picture; a large phone picture with unknown K and small depth."""
    for name, is_calibrated in (("tum_desk/color.png", True), ("arkit_shelf/color.jpg", False)):
        # The second run replaces the first.
        report, _ = demo(tmp_path, "--image", shared_data / name, "--frames", 3)
        (part,) = report["sources"].values()
        assert part["ground_truth"]
        check_scores(part["scores"], ("aligned", "mean_depth", "best_constant", "best_plane"))
        # Metres of an assumed camera are not scored.
        assert (part["scores"]["metric"] is not None) == is_calibrated
        assert part["cloud"]["points"] > 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--image", "/no/such.jpg"), "there is no picture /no/such.jpg"),
        (("--model", "depth_anything_v3_small"), "depth_anything_v2_small"),
        (("--weights", "/no/such.pth"), "/no/such.pth"),
        (("--calibration", "/no/such.json"), "goes with --image"),
        (("--place", "moon"), "warehouse"),
        (("--size", "large"), "WIDTHxHEIGHT"),
        (("--frames", "1"), "--frames must be 2 or more, got 1"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_status_2(tmp_path, command, arguments, words):
    assert words in command.refuses("demo", "--output", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_the_command_explains_itself(capsys):
    result = run("--help")
    assert result.returncode == 0 and "demo" in result.stdout
    for words, status in ((["demo", "--help"], 0), (["--version"], 0), ([], 2)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == status
    said = capsys.readouterr().out
    for option in ("--image", "--model", "--weights", "--calibration", "--output"):
        assert option in said
    assert said.endswith("0.1.0\n")
