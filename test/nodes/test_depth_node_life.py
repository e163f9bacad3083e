"""depth_node from start to stop: states, weights, transports, clocks, leaks."""

import re
import signal
import time

import cv2
import numpy as np
import pytest
import torch
from lifecycle_msgs.msg import Transition
from official_layout import official_shapes, random_state
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import (
    BEST_EFFORT,
    FRAME_ID,
    Camera,
    NodeProcess,
    camera_info,
    image_array,
    picture,
    values,
    wait_until,
)
from rosgraph_msgs.msg import Clock
from safetensors.torch import save_file
from sensor_msgs.msg import CompressedImage

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card

NODE = "/depth_node"
# Not the engine auto: what it takes depends on how busy the machine is.
TINY = {
    "model": "test_metric",
    "weights": "random",
    "input_size": 56,
    "device": "cpu",
    "engine": "torch",
}


@pytest.fixture
def start(logs, request):
    """Start a depth_node of its own, with the namespace of the test."""
    started = []
    name = re.sub(r"\W+", "_", request.node.name).rstrip("_")
    namespace = f"/{name}"

    def start_one(image_topic="image", outputs=None, arguments=(), wait=True, **parameters):
        log = logs / f"{name}.log"
        merged = {**TINY, **{key.replace("__", "."): v for key, v in parameters.items()}}
        process = NodeProcess("depth_node", merged, arguments, namespace, log)
        kept = {} if outputs is None else {"outputs": outputs}
        camera = Camera(namespace, image_topic, **kept)
        started.append((process, camera))
        if wait:
            process.wait_for_log("waiting for pictures")
            camera.connected()
        return process, camera

    yield start_one
    for process, camera in started:
        camera.close()
        assert process.stop() == 0
        assert "Traceback" not in process.log


def test_a_relative_model_publishes_disparity_and_nothing_in_metres(start):
    process, camera = start(model="test_relative")
    key = camera.ask(picture(), camera_info(), output="disparity/image_rect")
    disparity = camera.answer("disparity/image_rect", key)
    assert disparity.encoding == "32FC1" and disparity.header.frame_id == FRAME_ID
    assert np.isfinite(image_array(disparity)).all()
    assert camera.answer("depth/camera_info", key).k[0] == 150.0
    assert camera.answer("depth/image_color", key)
    for name in ("depth/image_rect", "points"):
        topic = f"{camera.node.get_namespace()}/{name}"
        assert not camera.node.get_publishers_info_by_topic(topic)
    assert "no depth in metres" in process.log


def checkpoint(path, bias):
    """Write an official-layout checkpoint of test_metric that answers sigmoid(bias) · 20 m."""
    state = random_state(official_shapes(48, 4, 16, (8, 12, 16, 24)))
    state["depth_head.scratch.output_conv2.2.weight"].zero_()
    state["depth_head.scratch.output_conv2.2.bias"].fill_(bias)
    torch.save(state, path)
    return path


def test_a_checkpoint_that_answers_a_wall_makes_a_plane(start, tmp_path):
    _, camera = start(weights=checkpoint(tmp_path / "wall.pth", 0.0))
    key = camera.ask(picture(), camera_info())
    depth = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_allclose(depth, 10.0, rtol=1e-5)
    cloud = camera.answer("points", key)
    points = np.frombuffer(cloud.data, np.float32).reshape(120, 160, 4)
    np.testing.assert_allclose(points[..., 2], 10.0, rtol=1e-5)
    np.testing.assert_allclose(points[0, 0, :2], [-79.5 / 15, -59.5 / 15], rtol=1e-5)


def test_saturated_depth_is_beyond_range_and_no_wall(start, tmp_path):
    _, camera = start(weights=checkpoint(tmp_path / "sky.pth", 9.0))
    key = camera.ask(picture(), camera_info())
    assert np.isposinf(image_array(camera.answer("depth/image_rect", key))).all()
    cloud = camera.answer("points", key)
    assert not cloud.is_dense and np.isnan(np.frombuffer(cloud.data, np.float32)[0])


def test_a_network_that_answers_nan_never_becomes_depth(start, tmp_path):
    process, camera = start(weights=checkpoint(tmp_path / "nan.pth", float("nan")))

    def seen(status):
        camera.show(picture(), camera_info())
        return int(values(status).get("dropped: non_finite", 0)) >= 3

    camera.wait_for_status(seen)
    camera.show(picture(), camera_info())
    status = camera.wait_for_status(lambda s: s.level == b"\x02")
    assert "non_finite" in status.message
    assert not any(camera.received.values())
    assert process.log.count("picture dropped") == 1


def test_the_status_says_which_engine_runs_and_why(start):
    process, camera = start(engine="auto", precision="fp32")
    status = camera.wait_for_status(lambda s: "engine" in values(s))

    facts = values(status)
    assert facts["engine"].endswith(" fp32") and facts["input size (px)"] == "56"
    assert facts["why this engine"] and facts["engine"].split()[0] in facts["model"]
    assert f"in fp32 by {facts['engine'].split()[0]}" in process.log


def test_an_engine_that_cannot_run_is_a_clear_failure(start):
    process, _ = start(engine="tensorrt", wait=False)

    process.wait_for_log("cannot load the model: engine tensorrt does not run on cpu, but on cuda")
    process.wait_for_log("not started: mend what the line above says")


def focal_scaled_checkpoint(path):
    """Write weights of tiny that answer e^1.5 at the canonical focal length, and no sky."""
    state = random_network(find_card("tiny")).state_dict()
    for name in ("answer.weight", "detail.weight"):
        state[name].zero_()
    state["answer.bias"].copy_(torch.tensor([1.5, -3.0, 1.0]))
    save_file(state, path)
    return path


def test_tiny_gives_no_metres_without_a_focal_length_and_says_so_once(start, tmp_path):
    weights = focal_scaled_checkpoint(tmp_path / "tiny.safetensors")
    process, camera = start(model="tiny", weights=weights)
    node = f"{camera.node.get_namespace()}{NODE}"

    def shown(reason, info):
        def seen(status):
            camera.show(picture(), info)
            return int(values(status).get(f"dropped: {reason}", 0)) >= 3

        return seen

    camera.wait_for_status(shown("no_camera_info", None))
    camera.wait_for_status(shown("uncalibrated", camera_info(k=[0.0] * 9)))
    camera.show(picture())
    status = camera.wait_for_status(lambda s: "uncalibrated" in s.message)
    assert status.level == b"\x01"
    assert "K[0] is 0" in status.message and "tiny needs the focal length" in status.message
    assert not any(camera.received.values())
    assert process.log.count("no CameraInfo has come yet") == 1
    (line,) = [text for text in process.log.splitlines() if "K[0] is 0" in text]
    assert "camera.fallback_hfov_deg" in line and "tiny_relative" in line

    def expected(focal):  # 160x120 is processed at 64x64
        return (focal * 64 / 160 + focal * 64 / 120) / 2 * np.exp(1.5) / 300

    assert camera.set_parameters(node, camera__fallback_hfov_deg=90.0) == []
    key = camera.ask(picture(), output="points")
    depth = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_allclose(depth, expected(80.0), rtol=1e-5)
    key = camera.ask(picture(), camera_info(focal=150.0))
    depth = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_allclose(depth, expected(150.0), rtol=1e-5)


def jpeg(rgb, suffix=".jpg"):
    message = CompressedImage(format=suffix[1:])
    message.data = cv2.imencode(suffix, rgb[..., ::-1])[1].tobytes()
    return message


def test_compressed_pictures_and_broken_ones(start):
    process, camera = start(image_topic="image/compressed", image_transport="compressed")
    rgb = picture(seed=5)
    for suffix, tolerance in ((".jpg", 3), (".png", 0)):
        key = camera.ask(jpeg(rgb, suffix), camera_info())
        cloud = np.frombuffer(camera.answer("points", key).data, np.uint8)
        colours = cloud.reshape(120, 160, 16)[..., 14:11:-1]
        assert np.abs(colours.astype(int) - rgb).mean() <= tolerance
    with_trailer = CompressedImage(format="jpeg", data=bytes(jpeg(rgb).data) + b"maker's notes")
    assert camera.answer("points", camera.ask(with_trailer, camera_info()))
    gray = CompressedImage(format="jpeg")
    gray.data = cv2.imencode(".jpg", rgb[..., 0])[1].tobytes()
    assert camera.answer("points", camera.ask(gray, camera_info()))
    whole = bytes(jpeg(rgb).data)
    bad = {
        "truncated": [whole[: len(whole) // 2], bytes(jpeg(rgb, ".png").data)[:-40]],
        "undecodable": [b"no picture at all"],
        "encoding": [("16UC1; png compressed", bytes(jpeg(rgb, ".png").data))],
        "empty": [b""],
        "too_large": [bytes(jpeg(np.zeros((5001, 8000, 3), np.uint8)).data)],
    }
    for reason, datas in bad.items():
        for data in datas:
            form, data = data if isinstance(data, tuple) else ("jpeg", data)
            key = camera.show(CompressedImage(format=form, data=data), camera_info())
            camera.wait_for_status(lambda s, r=reason: f"dropped: {r}" in values(s))
            assert not any(key in of_topic for of_topic in camera.received.values())
    camera.wait_for_status(lambda s: values(s)["dropped: truncated"] == "2")
    assert camera.ask(jpeg(rgb), camera_info())
    assert process.log.count("lacks its end") == 2  # of a JPEG, and of a PNG
    assert process.log.count("40 are allowed") == 1


def test_a_topic_named_image_rect_is_rectified_already(start):
    _, camera = start(image_topic="image_rect_color", arguments=("-r", "image:=image_rect_color"))
    info = camera_info(d=[-0.3, 0.1, 0.0, 0.0, 0.0])
    info.p = [140.0, 0.0, 79.0, 0.0, 0.0, 140.0, 59.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    rgb = picture(seed=6)
    key = camera.ask(rgb, info)
    published = camera.answer("depth/camera_info", key)
    assert not any(published.d) and (published.k[0], published.k[2]) == (140.0, 79.0)
    cloud = np.frombuffer(camera.answer("points", key).data, np.uint8)
    np.testing.assert_array_equal(cloud.reshape(120, 160, 16)[..., 14:11:-1], rgb)


def test_the_first_picture_waits_for_its_camera_info(start):
    _, camera = start()
    message_key = camera.show(picture())  # as drivers do: the Image just before its CameraInfo
    info = camera_info()
    info.header = camera.header(stamp_ns=message_key)
    camera.info.publish(info)
    assert camera.answer("points", message_key)


def test_the_subscription_is_as_reliable_as_the_driver(start, logs):
    process, camera = start()
    topic = f"{camera.node.get_namespace()}/image"

    def reliability():
        infos = camera.node.get_subscriptions_info_by_topic(topic)
        return [info.qos_profile.reliability for info in infos]

    assert reliability() == [ReliabilityPolicy.RELIABLE]
    assert camera.ask(picture(), camera_info())
    hasty = Camera(camera.node.get_namespace(), qos=BEST_EFFORT)
    try:
        wait_until(lambda: reliability() == [ReliabilityPolicy.BEST_EFFORT], 10, "best effort")
        # Both are heard now.
        assert hasty.connected().ask(picture(), camera_info(), stamp_ns=10**12)
        assert camera.ask(picture(), camera_info(), stamp_ns=2 * 10**12)
    finally:
        hasty.close()
    wait_until(lambda: reliability() == [ReliabilityPolicy.RELIABLE], 30, "reliable again")
    assert camera.ask(picture(), camera_info(), stamp_ns=3 * 10**12)
    assert process.log.count("subscribed to") == 2


def test_an_override_of_the_reliability_is_final(start):
    namespace_topic = "/test_an_override_of_the_reliability_is_final/image"
    override = f"qos_overrides.{namespace_topic}.subscription.reliability:=best_effort"
    _, camera = start(arguments=("-p", override))
    assert camera.ask(picture(), camera_info())
    time.sleep(1.5)
    (info,) = camera.node.get_subscriptions_info_by_topic(namespace_topic)
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_pictures_survive_the_default_transport(start, monkeypatch):
    """Larger than Fast DDS's default shared memory, in fragments."""
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
    _, camera = start()
    big, info = picture(640, 480), camera_info(640, 480, 500.0)
    camera.ask(big, info)
    for _ in range(5):
        key = camera.show(big, info)
        assert camera.answer("points", key)


def test_a_camera_faster_than_the_model_gets_the_newest_answered(start):
    # The camera stops after these: the last may be old when it is answered by a busy machine.
    _, camera = start(model="test_metric", input_size=518, diagnostics__input_timeout_s=60.0)
    camera.ask(picture(), camera_info())
    keys = []
    for _ in range(60):
        keys.append(camera.show(picture()))
        time.sleep(0.005)
    camera.answer("depth/image_rect", keys[-1])

    def all_accounted_for(status):
        shown = values(status)
        dropped = int(shown.get("dropped: newer_frame", 0))
        return dropped > 0 and int(shown["frames in"]) == int(shown["frames out"]) + dropped

    status = camera.wait_for_status(all_accounted_for)
    assert status.level == b"\x00"  # that is the design, no fault
    assert camera.order["depth/image_rect"] == sorted(camera.order["depth/image_rect"])


def test_weights_that_cannot_be_had_fail_to_configure_and_can_be_mended(start, tmp_path):
    damaged = checkpoint(tmp_path / "damaged.pth", 0.0)
    damaged.write_bytes(damaged.read_bytes()[:2000])
    process, camera = start(wait=False, weights=damaged)
    process.wait_for_log("not started: mend")
    (line,) = [text for text in process.log.splitlines() if "cannot load the model" in text]
    assert "damaged.pth" in line
    camera.wait_for_status(lambda s: s.level == b"\x02" and "damaged.pth" in s.message)
    node = f"{camera.node.get_namespace()}{NODE}"
    assert camera.state(node) == "unconfigured"
    assert not camera.change_state(node, Transition.TRANSITION_CONFIGURE)
    assert camera.set_parameters(node, weights=str(checkpoint(tmp_path / "good.pth", 0.0))) == []
    assert camera.change_state(node, Transition.TRANSITION_CONFIGURE)
    assert camera.change_state(node, Transition.TRANSITION_ACTIVATE)
    camera.connected()
    assert camera.ask(picture(), camera_info())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "depth_anything_v2_smal"}, "depth_anything_v2_small"),
        ({"weights": ""}, "weights"),
        ({"device": "cuda:7"}, "cuda"),
        ({"device": "toaster"}, "toaster"),
    ],
)
def test_what_cannot_be_loaded_says_so_in_one_line(start, parameters, words):
    process, _ = start(wait=False, **parameters)
    process.wait_for_log("not started: mend")
    (line,) = [text for text in process.log.splitlines() if "cannot load the model" in text]
    assert words in line


def test_a_value_of_a_wrong_type_at_start_is_one_line_and_status_2(logs):
    log = logs / "wrong_type.log"
    process = NodeProcess("depth_node", {"cloud.stride": "many"}, log=log)
    assert process.process.wait(timeout=60) == 2
    assert "cloud.stride" in process.log and "Traceback" not in process.log


def test_a_misspelt_parameter_is_named_with_its_neighbour(start):
    process, _ = start(cloud__strid=2)
    assert "unknown parameter cloud.strid is ignored; did you mean cloud.stride?" in process.log


@pytest.mark.parametrize(
    ("after_ms", "by"), [(0, signal.SIGINT), (900, signal.SIGTERM), (2500, signal.SIGINT)]
)
def test_a_signal_while_the_model_loads_leaves_no_traceback(start, after_ms, by):
    process, _ = start(wait=False, model="depth_anything_v2_large")
    process.wait_for_log("loading depth_anything_v2_large")
    time.sleep(after_ms / 1000)
    assert process.stop(by) == 0  # the fixture looks for a traceback


def test_services_and_diagnostics_answer_while_the_model_loads(start):
    process, camera = start(wait=False, model="depth_anything_v2_large")
    process.wait_for_log("loading depth_anything_v2_large")
    node = f"{camera.node.get_namespace()}{NODE}"
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
    assert process.log.count("ask again when that is done") == 3
    assert camera.state(node) == "configuring" and "loaded depth_any" not in process.log


def test_a_signal_while_a_graph_is_made_leaves_no_crash(start):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    process, camera = start(engine="openvino", precision="fp32")
    wide, info = picture(160, 60), camera_info(160, 60)
    for _ in range(3):  # another aspect than those that are made ready
        camera.ask(wide, info)
    process.wait_for_log("making test_metric in OpenVINO")
    assert process.stop() == 0
    assert "Fatal" not in process.log and "terminate called" not in process.log


def test_a_model_changed_while_inactive_is_loaded_at_activation(start):
    _, camera = start()
    node = f"{camera.node.get_namespace()}{NODE}"
    assert camera.change_state(node, Transition.TRANSITION_DEACTIVATE)
    assert camera.set_parameters(node, model="test_relative") == []
    assert camera.change_state(node, Transition.TRANSITION_ACTIVATE)
    assert camera.ask(picture(), camera_info(), output="disparity/image_rect")
    camera.wait_for_status(lambda s: "test_relative" in values(s)["model"])


def test_simulated_time_that_is_reset_is_counted_and_goes_on(start):
    process, camera = start(wait=False, use_sim_time=True)
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE)
    clock = camera.node.create_publisher(Clock, "/clock", qos)
    process.wait_for_log("waiting for pictures")
    camera.connected()
    # Before there is any time: diagnostics come, and say so.
    status = camera.wait_for_status(lambda s: "/clock" in s.message)
    assert status.level != b"\x00" and "use_sim_time" in status.message
    assert camera.ask(picture(), camera_info(), stamp_ns=1)

    def tick(seconds):
        message = Clock()
        message.clock.sec = seconds
        clock.publish(message)

    now = [100]

    def running():
        now[0] += 1
        tick(now[0])
        time.sleep(0.05)
        return "/clock" not in camera.statuses[-1].message

    wait_until(running, 20, "diagnostics in simulated time")
    key = camera.ask(picture(), camera_info(), stamp_ns=now[0] * 10**9)
    assert camera.answer("points", key)
    now[0] = 5

    def counted(status):
        now[0] += 1
        tick(now[0])
        time.sleep(0.05)
        return int(values(status)["clock jumps"]) >= 1

    status = camera.wait_for_status(counted)
    assert status is not None
    key = camera.ask(picture(), camera_info(), stamp_ns=now[0] * 10**9)
    assert camera.answer("points", key)
    assert process.log.count("jumped backwards") == 1


def test_fifty_cycles_under_30_hz_leave_nothing_behind(start):
    process, camera = start()
    node = f"{camera.node.get_namespace()}{NODE}"
    camera.ask(picture(), camera_info())
    running = [True]

    def flood():
        info = camera_info()
        while running[0]:
            camera.show(picture(seed=1), info)  # with its pause of 50 ms: two of these make 30 Hz

    import threading

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
            wait_until(lambda b=before: len(camera.order["depth/image_rect"]) > b, 20, "depth")
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
