"""depth_node from start to stop: arguments, signals, weights, transports, clocks, leaks."""

import re
import signal
import threading
import time

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rclpy.qos import ReliabilityPolicy
from ros_harness import (
    SMALL,
    Camera,
    NodeProcess,
    SimulatedTime,
    camera_info,
    picture,
    values,
    wait_until,
)
from sensor_msgs.msg import CompressedImage
from test_depth_node_models import checkpoint


def launch(logs, name, image_topic="image", arguments=(), **parameters):
    """Start a depth_node and its camera in a namespace."""
    merged = {**SMALL, "input_size": 56, **parameters}
    log = logs / f"{name}.log"
    process = NodeProcess("depth_node", merged, arguments, f"/{name}", log)
    return Camera(f"/{name}", image_topic, process=process)


def end(camera):
    camera.close()
    assert camera.process.stop() == 0
    assert "Traceback" not in camera.process.log


@pytest.fixture
def start(logs, request):
    """Start a depth_node of its own, with the namespace of the test."""
    started = []
    name = re.sub(r"\W+", "_", request.node.name).rstrip("_")

    def start_one(**given):
        started.append(launch(logs, name, **given))
        return started[-1]

    yield start_one
    for camera in started:
        end(camera)


@pytest.fixture(scope="module")
def rectified(logs):
    """A node with arguments that only the command line has."""
    override = "qos_overrides./rect/image_rect_color.subscription.reliability:=best_effort"
    arguments = ("-r", "image:=image_rect_color", "-p", override, "-p", "cloud.strid:=2")
    camera = launch(logs, "rect", "image_rect_color", arguments)
    camera.process.wait_for_log("waiting for pictures")
    yield camera.connected()
    end(camera)


def test_a_topic_named_image_rect_is_rectified_already(rectified):
    info = camera_info(d=[-0.3, 0.1, 0.0, 0.0, 0.0])
    info.p = [140.0, 0.0, 79.0, 0.0, 0.0, 140.0, 59.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    rgb = picture(seed=6)
    seen = rectified.see(rgb, info)
    assert not any(seen.info.d) and (seen.info.k[0], seen.info.k[2]) == (140.0, 79.0)
    np.testing.assert_array_equal(seen.colours, rgb)


def test_an_override_of_the_reliability_is_final(rectified):
    assert rectified.ask(picture(), camera_info())
    rectified.status()
    rectified.status()  # it has looked around since
    topic = rectified.image.topic_name
    (info,) = rectified.node.get_subscriptions_info_by_topic(topic)
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_a_misspelt_parameter_is_named_with_its_neighbour(rectified):
    words = "unknown parameter cloud.strid is ignored; did you mean cloud.stride?"
    assert words in rectified.process.log


@pytest.fixture(scope="module")
def default_transport(logs):
    """A node without this package's profile of Fast DDS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
        patch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
        camera = launch(logs, "transport")
    camera.process.wait_for_log("waiting for pictures")
    yield camera
    end(camera)


def test_pictures_survive_the_default_transport(default_transport):
    """Larger than Fast DDS's default shared memory, in fragments."""
    camera = default_transport
    camera.restart("/transport/depth_node", image_transport="raw")
    big, info = picture(640, 480), camera_info(640, 480, 500.0)
    camera.ask(big, info)
    for _ in range(5):
        assert camera.shown(big, info).cloud


def jpeg(rgb, suffix=".jpg"):
    message = CompressedImage(format=suffix[1:])
    message.data = cv2.imencode(suffix, rgb[..., ::-1])[1].tobytes()
    return message


@pytest.fixture
def compressed(default_transport):
    camera = Camera("/transport", "image/compressed", process=default_transport.process)
    yield camera.restart("/transport/depth_node", image_transport="compressed")
    camera.close()


def test_compressed_pictures(compressed):
    rgb = picture(seed=5)
    for suffix, tolerance in ((".jpg", 3), (".png", 0)):
        colours = compressed.see(jpeg(rgb, suffix), camera_info()).colours
        assert np.abs(colours.astype(int) - rgb).mean() <= tolerance
    with_trailer = CompressedImage(format="jpeg", data=bytes(jpeg(rgb).data) + b"maker's notes")
    gray = CompressedImage(format="jpeg")
    gray.data = cv2.imencode(".jpg", rgb[..., 0])[1].tobytes()
    for message in (with_trailer, gray):
        assert compressed.see(message, camera_info()).cloud


def test_broken_compressed_pictures_are_counted_and_never_answered(compressed):
    rgb = picture(seed=5)
    compressed.ask(jpeg(rgb), camera_info())
    whole, png = bytes(jpeg(rgb).data), bytes(jpeg(rgb, ".png").data)
    too_large = bytes(jpeg(np.zeros((5001, 8000, 3), np.uint8)).data)
    bad = [
        ("truncated", "jpeg", whole[: len(whole) // 2]),
        ("truncated", "jpeg", png[:-40]),
        ("undecodable", "jpeg", b"no picture at all"),
        ("encoding", "16UC1; png compressed", png),
        ("empty", "jpeg", b""),
        ("too_large", "jpeg", too_large),
    ]
    keys = []
    for reason, form, data in bad:
        keys.append(compressed.show(CompressedImage(format=form, data=data), camera_info()))
        compressed.wait_for_status(lambda s, r=reason: f"dropped: {r}" in values(s))
    compressed.wait_for_status(lambda s: values(s)["dropped: truncated"] == "2")
    assert compressed.ask(jpeg(rgb), camera_info())
    assert compressed.never_answered(*keys)
    assert compressed.process.log.count("lacks its end") == 2  # of a JPEG, and of a PNG
    assert compressed.process.log.count("40 are allowed") == 1


def test_weights_that_cannot_be_had_fail_to_configure_and_can_be_mended(start, tmp_path):
    damaged = tmp_path / "damaged.pth"
    checkpoint(damaged, 0.0)
    damaged.write_bytes(damaged.read_bytes()[:2000])
    camera = start(weights=damaged)
    camera.process.wait_for_log("not started: mend what the line above says")
    log = camera.process.log.splitlines()
    (line,) = [text for text in log if "cannot load the model" in text]
    assert "damaged.pth" in line
    camera.wait_for_status(lambda s: s.level == b"\x02" and "damaged.pth" in s.message)
    node = camera.process.full_name
    assert camera.state(node) == "unconfigured"
    assert not camera.change_state(node, Transition.TRANSITION_CONFIGURE)
    camera.restart(node, weights=checkpoint(tmp_path / "good.pth", 0.0))
    assert camera.ask(picture(), camera_info())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"cloud.stride": "many"}, "cloud.stride"),
        ({"cameras": ["front", "front"]}, "'front' 2 times"),
    ],
)
def test_a_wrong_value_at_start_is_one_line_and_status_2(logs, parameters, words):
    process = NodeProcess("depth_node", parameters, log=logs / "wrong.log")
    assert process.process.wait(timeout=300) == 2
    assert words in process.log and "Traceback" not in process.log


@pytest.mark.parametrize(("after_ms", "by"), [(0, signal.SIGINT), (900, signal.SIGTERM)])
def test_a_signal_while_the_model_loads_leaves_no_traceback(start, after_ms, by):
    camera = start(model="depth_anything_v2_large")
    camera.process.wait_for_log("loading depth_anything_v2_large")
    time.sleep(after_ms / 1000)
    assert camera.process.stop(by) == 0  # the fixture looks for a traceback


def test_services_and_diagnostics_answer_while_the_model_loads(start):
    camera = start(model="depth_anything_v2_large")
    camera.process.wait_for_log("loading depth_anything_v2_large")
    node = camera.process.full_name
    assert camera.state(node) == "configuring"
    assert camera.set_parameters(node, range__max_m=50) == []
    assert camera.get_parameter(node, "range.max_m").double_value == 50.0
    assert camera.wait_for_status(lambda s: s.message.startswith("configuring for "))
    for transition in (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    ):
        assert not camera.change_state(node, transition)
    assert camera.process.log.count("ask again when that is done") == 3
    assert camera.state(node) == "configuring" and "loaded depth_any" not in camera.process.log


def test_a_signal_while_a_graph_is_made_leaves_no_crash(start):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    camera = start(engine="openvino")
    camera.process.wait_for_log("waiting for pictures")
    camera.connected()
    wide, info = picture(160, 60), camera_info(160, 60)
    for _ in range(3):  # another aspect than those that are made ready
        camera.ask(wide, info)
    camera.process.wait_for_log("making test_metric in openvino")
    assert camera.process.stop() == 0
    log = camera.process.log
    assert "Fatal" not in log and "terminate called" not in log


def test_simulated_time_that_is_reset_is_counted_and_goes_on(start):
    camera = start(use_sim_time=True)
    camera.process.wait_for_log("waiting for pictures")
    camera.connected()
    # Before there is any time: diagnostics come, and say so.
    status = camera.wait_for_status(lambda s: "/clock" in s.message)
    assert status.level != b"\x00" and "use_sim_time" in status.message
    assert camera.ask(picture(), camera_info(), stamp_ns=1)
    clock = SimulatedTime(camera)
    clock.wait_for_status(lambda s: "/clock" not in s.message)
    assert camera.shown(picture(), camera_info(), stamp_ns=clock.now_s * 10**9).cloud
    clock.now_s = 5
    clock.wait_for_status(lambda s: int(values(s)["clock jumps"]) >= 1)
    assert camera.shown(picture(), camera_info(), stamp_ns=clock.now_s * 10**9).cloud
    assert camera.process.log.count("jumped backwards") == 1


@pytest.mark.slow
def test_fifty_cycles_under_30_hz_leave_nothing_behind(start):
    camera = start()
    process, node = camera.process, camera.process.full_name
    process.wait_for_log("waiting for pictures")
    camera.connected().ask(picture(), camera_info())
    running = [True]

    def flood():
        info = camera_info()
        while running[0]:
            camera.show(picture(seed=1), info)  # with its pause of 50 ms: two of these make 30 Hz

    floods = [threading.Thread(target=flood) for _ in range(2)]
    for thread in floods:
        thread.start()
    try:
        counts = []
        for cycle in range(50):
            assert camera.change_state(node, Transition.TRANSITION_DEACTIVATE)
            assert camera.change_state(node, Transition.TRANSITION_CLEANUP)
            assert camera.change_state(node, Transition.TRANSITION_CONFIGURE)
            assert camera.change_state(node, Transition.TRANSITION_ACTIVATE)
            before = len(camera.order["depth/image_rect"])
            wait_until(lambda b=before: len(camera.order["depth/image_rect"]) > b, what="depth")
            if cycle in (9, 49):
                counts.append((process.memory_kb(), process.threads()))
    finally:
        running[0] = False
        for thread in floods:
            thread.join()
    (memory_early, threads_early), (memory_late, threads_late) = counts
    assert threads_late <= threads_early
    assert memory_late < 1.05 * memory_early
    assert process.log.count("loaded test_metric") == 51
