"""``depth_anything view``: view_node in its place, or with a robot of its own."""

import signal
import subprocess
import sys

import pytest

pytest.importorskip("rerun", reason="needs the extra view")
pytest.importorskip("rerun.chunk", reason="of a newer Rerun")

from rerun_recording import Recorded

COMMAND = [sys.executable, "-m", "depth_anything_ros", "view"]


def test_it_is_view_node_until_ctrl_c(tmp_path):
    path = tmp_path / "it's mine.rrd"
    words = ["--save", str(path), "--ros-args", "-r", "__ns:=/front", "-p", "max_points:=7"]
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "writing" in line:
            break
    assert f"[front.view_node]: writing {path}\n" in lines[-1], lines
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 0, process.stdout.read()
    assert Recorded(path).application == "depth_anything_ros"


def test_what_view_node_refuses_is_one_line(tmp_path):
    path = tmp_path / "there.rrd"
    path.write_bytes(b"")
    result = subprocess.run(
        [*COMMAND, "--save", str(path)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 2
    assert f"error: {path} exists already; remove it or name another file" in result.stderr


def test_a_demo_that_cannot_begin(command):
    assert "there is no place 'moon'" in command.refuses("view", "--demo", "--place", "moon")
    assert "--frames" in command.refuses("view", "--demo", "--frames", "-1")
    assert "--rate must be 0.1 to 30 Hz, got 0" in command.refuses("view", "--demo", "--rate", "0")
    said = command.refuses("view", "--demo", "--ros-args", "-r", "image:=/my/image")
    assert "--ros-args is for a view of your own robot" in said


@pytest.mark.slow
def test_the_demo_shows_robot_depth_and_anchored_depth(tmp_path):
    path = tmp_path / "demo.rrd"
    words = ["--demo", "--save", path, "--frames", "5", "--rate", "1", "--place", "corridor"]
    result = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"writing {path}" in result.stdout and "it drives" in result.stdout
    found = Recorded(path)
    pictures = found.stamps("/demo/image")
    assert len(pictures) == 5
    for topic in ("depth/image_rect", "points", "anchored/depth/image_rect", "anchored/points"):
        stamps = found.stamps(f"/demo/{topic}")
        assert len(stamps) >= 3 and set(stamps) <= set(pictures), topic
    # The LiDAR turns twice as often as the camera looks; no more than the rate is shown.
    assert 4 <= len(found.stamps("/demo/lidar/points")) <= 7
    (place, *_) = (values for stamp, values in found.rows["/tf/lidar"] if stamp is not None)
    assert place["parent_frame"] == ["camera_optical_frame"]
    views = {("2D", f"/demo/{topic}") for topic in ("image", "depth/image_rect")}
    assert views | {("2D", "/demo/anchored/depth/image_rect"), ("3D", "space")} <= found.views
