"""depth_node that publishes in a second thread: order, counts, errors, and a stop while busy."""

import time

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from ros_harness import Camera, NodeProcess, camera_info, picture, values, wait_until
from test_multi_camera import PROGRAM
from true_depth import CAMERAS, HEIGHT, WIDTH, picture_of

NODE = "/depth_node"


@pytest.fixture(scope="module")
def shared_camera(logs):
    """A depth_node whose model reads the depth in pictures, and who asks it."""
    given = {"model": "truth", "device": "cpu"}
    with NodeProcess("depth_node", given, log=logs / "overlap.log", program=PROGRAM) as process:
        process.wait_for_log("waiting for pictures")
        camera = Camera(process=process)
        yield camera
        camera.close()
    assert process.stop() == 0
    assert "Traceback" not in process.log_path.read_text()


def scenes(count):
    """Return pictures that differ, with the depth that is written into them."""
    ramp = np.linspace(1, 8, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    return [picture_of(ramp + i) for i in range(count)]


def counts(status):
    """How many pictures came, were answered, and were dropped."""
    said = values(status)
    dropped = sum(int(n) for name, n in said.items() if name.startswith("dropped: "))
    return int(said["frames in"]), int(said["frames out"]), dropped


@pytest.mark.parametrize("overlap", [True, False])
def test_fast_pictures_are_answered_in_order_each_with_its_own_cloud(shared_camera, overlap):
    camera = shared_camera.restart(NODE, overlap=overlap)
    before = counts(camera.status())
    info, shown = camera_info(WIDTH, HEIGHT, CAMERAS["front"].K[0]), scenes(40)
    camera.ask(shown[0], info)
    keys = {}
    for i, rgb in enumerate(shown):
        keys[camera.show(rgb)] = i
        time.sleep(0.01)
    last = max(keys)
    for output in ("points", "depth/image_rect", "depth/camera_info", "depth/image_color"):
        camera.answer(output, last)
        assert camera.order[output] == sorted(camera.order[output])
    answered = [key for key in keys if key in camera.received["points"]]
    assert len(answered) > 5
    for key in answered:
        cloud = np.frombuffer(camera.received["points"][key].data, np.float32)
        depth = np.frombuffer(camera.answer("depth/image_rect", key).data, np.float32)
        z = cloud.reshape(-1, 4)[:, 2]
        # 10 micrometres are a picture's unit.
        np.testing.assert_allclose(depth[0], 1 + keys[key], atol=2e-5)
        np.testing.assert_array_equal(z[np.isfinite(z)], depth[np.isfinite(z)])

    def all_accounted_for(status):
        came, out, dropped = np.subtract(counts(status), before)
        return out >= len(answered) and came == out + dropped

    said = values(camera.wait_for_status(all_accounted_for))
    stages = ("wait", "decode", "rectify", "inference", "post", "depth", "cloud", "publish")
    for stage in (*stages, "preview"):
        assert 0 <= float(said[f"stage {stage} p50 (ms)"]) <= float(said[f"stage {stage} p95 (ms)"])


def test_an_answer_that_cannot_be_published_is_counted_and_the_next_goes_out(shared_camera):
    camera = shared_camera.restart(NODE, overlap=True)
    info = camera_info(WIDTH, HEIGHT, 100.0)
    good = scenes(1)[0]
    camera.ask(good, info)
    camera.show(np.zeros((HEIGHT, WIDTH, 3), np.uint8))  # the model does not know it
    camera.wait_for_status(lambda s: int(values(s).get("dropped: non_finite", 0)) == 1)
    assert camera.answer("points", camera.ask(good, info))


def test_deactivation_while_busy_ends_what_is_on_its_way(shared_camera):
    camera = shared_camera.restart(NODE, overlap=True)
    process = camera.process
    info, rgb = camera_info(WIDTH, HEIGHT, 100.0), picture(WIDTH, HEIGHT, 1)
    camera.ask(rgb, info)
    points, depths = camera.order["points"], camera.order["depth/image_rect"]
    threads = 0
    for _ in range(5):
        for _ in range(8):
            camera.show(rgb)
            time.sleep(0.007)
        assert camera.change_state(NODE, Transition.TRANSITION_DEACTIVATE)
        time.sleep(0.2)
        # All outputs of each picture that was answered went out, and none comes after the stop.
        wait_until(lambda: len(points) == len(depths), what="a cloud for each depth")
        answered = len(points), len(depths)
        came, out, dropped = counts(camera.status())
        assert came == out + dropped
        assert answered == (len(points), len(depths))
        assert camera.change_state(NODE, Transition.TRANSITION_ACTIVATE)
        camera.connected()
        camera.ask(rgb, info)
        threads = threads or process.threads()  # libraries start some of theirs at first use
    wait_until(lambda: process.threads() <= threads, what="the threads of the first cycle")
