"""doc/architecture.md is true: the ways that it draws are those that nodes go."""

import json
import re
from pathlib import Path

import pytest
from anchor_harness import FOCAL, HEIGHT, ROTATION, TRANSLATION, WIDTH, Robot, sweep
from ros_harness import SMALL, Camera, NodeProcess, camera_info, picture

PROGRAM = str(Path(__file__).with_name("traced_node.py"))
ROW = re.compile(r"^\| (\d+) \| `(.+?)` \| `(.+?)` \|", re.MULTILINE)


def stops(repository, heading):
    """Return the (file, function) of a way, in its order."""
    text = (repository / "doc" / "architecture.md").read_text()
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = ROW.findall(section)
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    return [(file, function.split(".")[-1]) for _, file, function in rows]


@pytest.fixture
def calls(logs, monkeypatch):
    """Start a node that is traced, let a camera ask it, and return what it has called."""
    path = logs / "calls.json"
    monkeypatch.setenv("TRACED_CALLS", str(path))

    def trace(node, parameters, who, use):
        monkeypatch.setenv("TRACED_NODE", node)
        with NodeProcess(node, parameters, (), "/traced", logs / f"{node}.log", PROGRAM) as process:
            process.wait_for_log("waiting for pictures")
            camera = who("/traced").connected()
            use(camera)
            camera.close()
        assert process.stop() == 0
        return [tuple(call) for call in json.loads(path.read_text())]

    return trace


def assert_goes(called, way):
    """Assert that a way's stops are among the calls, in their order, from its last start on."""
    last = len(called) - 1 - called[::-1].index(way[0])
    rest = iter(called[last:])
    missed = next((stop for stop in way if stop not in rest), None)
    assert missed is None


@pytest.mark.slow
def test_an_image_goes_the_way_that_is_drawn(calls, repository):
    way = stops(repository, "The way of an image")
    assert 20 < len(way) <= 30

    def show(camera):
        info = camera_info(WIDTH, HEIGHT, FOCAL, d=[0.1, 0.0, 0.0, 0.0, 0.0])
        camera.ask(picture(WIDTH, HEIGHT, 1), info, "points")
        camera.answer("points", camera.show(picture(WIDTH, HEIGHT, 2), info))

    assert_goes(calls("depth_node", SMALL, Camera, show), way)


@pytest.mark.slow
def test_a_lidar_point_goes_the_way_that_is_drawn(calls, repository):
    extrinsics = {
        "extrinsics.source": "parameters",
        "extrinsics.translation_m": list(TRANSLATION),
        "extrinsics.rotation_xyzw": list(ROTATION),
    }

    def look(robot):
        robot.anchored(sweep(1000))
        robot.answer("points", robot.look(sweep(1000, 1), after_s=1.5))

    way = stops(repository, "The way of a LiDAR point")
    assert_goes(calls("scale_anchor_node", extrinsics, Robot, look), way)
