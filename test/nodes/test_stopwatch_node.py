"""stopwatch_node: its two roles, in processes of their own."""

import json

import pytest
from ros_harness import NodeProcess


def test_what_a_camera_sends_a_listener_notes(logs):
    files = {role: logs / f"{role}.json" for role in ("camera", "listener")}
    given = {role: {"role": role, "output": str(file)} for role, file in files.items()}
    given["listener"] |= {"topics": ["image"]}
    given["camera"] |= {"width": 32, "height": 24, "rate_hz": 20.0, "count": 5}
    listener, camera = (
        NodeProcess("stopwatch_node", given[role], (), "/stopwatch", logs / f"{role}.log")
        for role in ("listener", "camera")
    )
    try:
        assert camera.process.wait(timeout=300) == 0, camera.log
        assert listener.process.poll() is None
    finally:
        camera.stop()
        listener.stop()
    assert listener.process.returncode == 0, listener.log
    published = json.loads(files["camera"].read_text())["published"]
    received = json.loads(files["listener"].read_text())["received"]["image"]
    assert len(published) == 5 and published == sorted(published)
    # It takes pictures as depth_node does: the newest, and no more than come.
    assert received and [s for s, _ in received] == sorted({s for s, _ in received} & {*published})
    assert all(0 < arrival - stamp < 1e9 for stamp, arrival in received)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "parameter output is empty"),
        ({"role": "player", "output": "x.json"}, "role"),
        ({"role": "listener", "output": "x.json", "topics": ["depth"]}, "topics has depth"),
    ],
)
def test_what_cannot_be_timed_is_one_line_and_status_2(logs, parameters, words):
    process = NodeProcess("stopwatch_node", parameters, log=logs / "stopwatch_refused.log")
    assert process.process.wait(timeout=300) == 2
    lines = process.log.strip().splitlines()
    assert words in lines[-1] and "Traceback" not in process.log
