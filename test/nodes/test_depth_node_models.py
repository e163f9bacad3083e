"""depth_node with other models, weights and cameras, which it takes while it is inactive."""

import time

import numpy as np
import pytest
import torch
from lifecycle_msgs.msg import Transition
from official_layout import official_shapes, random_state
from rclpy.qos import ReliabilityPolicy
from ros_harness import (
    BEST_EFFORT,
    FRAME_ID,
    Answers,
    Camera,
    camera_info,
    image_array,
    picture,
    values,
    wait_until,
)
from safetensors.torch import save_file
from test_depth_node import NODE

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card


def test_a_relative_model_publishes_disparity_and_nothing_in_metres(camera):
    camera.restart(NODE, model="test_relative")
    seen = camera.see(picture(), camera_info(), output="disparity/image_rect")
    disparity = seen["disparity/image_rect"]
    assert disparity.encoding == "32FC1" and disparity.header.frame_id == FRAME_ID
    assert np.isfinite(image_array(disparity)).all()
    assert seen.info.k[0] == 150.0 and seen["depth/image_color"]
    for name in ("/depth/image_rect", "/points"):
        assert not camera.node.get_publishers_info_by_topic(name)
    camera.wait_for_status(lambda s: "test_relative" in values(s)["model"])
    assert "no depth in metres" in camera.process.log


def checkpoint(path, bias):
    """Write an official-layout checkpoint of test_metric that answers sigmoid(bias) · 20 m."""
    state = random_state(official_shapes(48, 4, 16, (8, 12, 16, 24)))
    state["depth_head.scratch.output_conv2.2.weight"].zero_()
    state["depth_head.scratch.output_conv2.2.bias"].fill_(bias)
    torch.save(state, path)
    return str(path)


def test_a_checkpoint_that_answers_a_wall_makes_a_plane(camera, tmp_path):
    camera.restart(NODE, weights=checkpoint(tmp_path / "wall.pth", 0.0))
    seen = camera.see(picture(), camera_info())
    np.testing.assert_allclose(seen.depth, 10.0, rtol=1e-5)
    np.testing.assert_allclose(seen.points[..., 2], 10.0, rtol=1e-5)
    np.testing.assert_allclose(seen.points[0, 0, :2], [-79.5 / 15, -59.5 / 15], rtol=1e-5)


def test_saturated_depth_is_beyond_range_and_no_wall(camera, tmp_path):
    camera.restart(NODE, weights=checkpoint(tmp_path / "sky.pth", 9.0))
    seen = camera.see(picture(), camera_info())
    assert np.isposinf(seen.depth).all()
    assert not seen.cloud.is_dense and np.isnan(seen.points[0, 0, 0])


def test_a_network_that_answers_nan_never_becomes_depth(camera, tmp_path):
    camera.restart(NODE, weights=checkpoint(tmp_path / "nan.pth", float("nan")))

    def seen(status):
        camera.show(picture(), camera_info())
        return int(values(status).get("dropped: non_finite", 0)) >= 3

    camera.wait_for_status(seen)
    camera.show(picture(), camera_info())
    status = camera.wait_for_status(lambda s: s.level == b"\x02")
    assert "non_finite" in status.message
    assert not any(camera.received.values())
    assert camera.process.log.count("picture dropped") == 1


def test_the_status_says_which_engine_runs_and_why(camera):
    camera.restart(NODE, engine="auto", input_size=56)
    facts = values(camera.wait_for_status(lambda s: "engine" in values(s)))
    assert facts["engine"].endswith(" fp32") and facts["input size (px)"] == "56"
    assert facts["why this engine"] and facts["engine"].split()[0] in facts["model"]
    assert f"in fp32 by {facts['engine'].split()[0]}" in camera.process.log


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "depth_anything_v2_smal"}, "depth_anything_v2_small"),
        ({"weights": ""}, "weights"),
        ({"device": "cuda:7"}, "cuda"),
        ({"device": "toaster"}, "toaster"),
        ({"engine": "tensorrt"}, "engine tensorrt does not run on cpu, but on cuda"),
    ],
)
def test_what_cannot_be_loaded_says_so_in_one_line(camera, parameters, words):
    camera.restart(NODE)
    assert camera.change_state(NODE, Transition.TRANSITION_DEACTIVATE)
    assert camera.change_state(NODE, Transition.TRANSITION_CLEANUP)
    assert camera.set_parameters(NODE, **parameters) == []
    assert not camera.change_state(NODE, Transition.TRANSITION_CONFIGURE)
    log = camera.process.log.splitlines()
    (line,) = [text for text in log if "cannot load the model" in text]
    assert words in line
    camera.wait_for_status(lambda s: s.level == b"\x02" and words in s.message)
    camera.restart(NODE, model="test_metric", weights="random", device="cpu", engine="torch")
    assert camera.ask(picture(), camera_info())


def focal_scaled_checkpoint(path):
    """Write weights of tiny that answer e^1.5 at the canonical focal length, and no sky."""
    state = random_network(find_card("tiny")).state_dict()
    for name in ("answer.weight", "detail.weight"):
        state[name].zero_()
    state["answer.bias"].copy_(torch.tensor([1.5, -3.0, 1.0]))
    save_file(state, path)
    return str(path)


def test_tiny_gives_no_metres_without_a_focal_length_and_says_so_once(camera, tmp_path):
    weights = focal_scaled_checkpoint(tmp_path / "tiny.safetensors")
    camera.restart(NODE, model="tiny", weights=weights, input_size=56)

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
    log = camera.process.log
    assert log.count("no CameraInfo has come yet") == 1
    (line,) = [text for text in log.splitlines() if "K[0] is 0" in text]
    assert "camera.fallback_hfov_deg" in line and "tiny_relative" in line

    def expected(focal):  # 160x120 is processed at 64x64
        return (focal * 64 / 160 + focal * 64 / 120) / 2 * np.exp(1.5) / 300

    assert camera.set_parameters(NODE, camera__fallback_hfov_deg=90.0) == []
    depth = camera.see(picture(), output="points").depth
    np.testing.assert_allclose(depth, expected(80.0), rtol=1e-5)
    depth = camera.see(picture(), camera_info(focal=150.0)).depth
    np.testing.assert_allclose(depth, expected(150.0), rtol=1e-5)


def test_the_first_picture_waits_for_its_camera_info(camera):
    camera.restart(NODE)
    key = camera.show(picture())  # as drivers do: the Image just before its CameraInfo
    info = camera_info()
    info.header = camera.header(stamp_ns=key)
    camera.info.publish(info)
    assert Answers(camera, key).cloud


def test_the_subscription_is_as_reliable_as_the_driver(camera):
    camera.restart(NODE)

    def reliability():
        infos = camera.node.get_subscriptions_info_by_topic("/image")
        return [info.qos_profile.reliability for info in infos]

    assert reliability() == [ReliabilityPolicy.RELIABLE]
    assert camera.ask(picture(), camera_info())
    hasty = Camera(qos=BEST_EFFORT)
    try:
        wait_until(lambda: reliability() == [ReliabilityPolicy.BEST_EFFORT], what="best effort")
        # Both are heard now.
        assert hasty.connected().ask(picture(), camera_info(), stamp_ns=10**12)
        assert camera.ask(picture(), camera_info(), stamp_ns=2 * 10**12)
    finally:
        hasty.close()
    wait_until(lambda: reliability() == [ReliabilityPolicy.RELIABLE], what="reliable again")
    assert camera.ask(picture(), camera_info(), stamp_ns=3 * 10**12)
    assert camera.process.log.count("subscribed to") == 2


def test_a_camera_faster_than_the_model_gets_the_newest_answered(camera):
    # The camera stops after these: the last may be old when it is answered by a busy machine.
    camera.restart(NODE, input_size=280, diagnostics__input_timeout_s=60.0)
    before = values(camera.status())
    camera.ask(picture(), camera_info())
    keys = []

    def since_before(status):
        return {name: int(n) - int(before.get(name, 0)) for name, n in counts(status).items()}

    def one_is_dropped():
        time.sleep(0.01)
        keys.append(camera.show(picture()))
        return since_before(camera.last_status)["dropped: newer_frame"] > 0

    wait_until(one_is_dropped, what="a picture that is dropped for a newer one")
    camera.answer("depth/image_rect", keys[-1])

    def all_accounted_for(status):
        new = since_before(status)
        done = sum(n for name, n in new.items() if name != "frames in")
        return done == new["frames in"] > len(keys)  # those that the middleware replaced, too

    status = camera.wait_for_status(all_accounted_for)
    assert status.level == b"\x00"  # that is the design, no fault
    assert camera.order["depth/image_rect"] == sorted(camera.order["depth/image_rect"])


def counts(status):
    shown = {"dropped: newer_frame": 0, **values(status)}
    return {name: n for name, n in shown.items() if name.startswith(("frames", "dropped"))}


def test_cameras_are_static_and_changed_while_inactive(camera):
    (reason,) = camera.set_parameters(NODE, cameras=["front", "rear"])
    assert "cannot change while the node is active" in reason
    front, rear = (Camera(name=name) for name in ("front", "rear"))
    try:
        front.restart(NODE, cameras=["front", "rear"])
        assert list(camera.get_parameter(NODE, "cameras").string_array_value) == ["front", "rear"]
        assert front.ask(picture(), camera_info())
        assert rear.connected().ask(picture(), camera_info())
        assert camera.change_state(NODE, Transition.TRANSITION_DEACTIVATE)
        (reason,) = front.set_parameters(NODE, cameras=["front", "2nd"])
        assert "'2nd', which cannot be part of a topic" in reason
    finally:
        front.close()
        rear.close()
        camera.restart(NODE, cameras=[])


@pytest.mark.slow
def test_a_diffusion_model_publishes_affine_depth(camera, tmp_path):
    marigold = pytest.importorskip("tiny_marigold")
    marigold.save(tmp_path / "one")
    camera.restart(NODE, model=f"hf:{tmp_path / 'one'}", weights="", input_size=0)
    seen = camera.see(picture(), camera_info(), output="affine_depth/image_rect")
    depth = image_array(seen["affine_depth/image_rect"])
    assert np.isfinite(depth).all() and np.ptp(depth) > 0.1
    camera.restart(NODE, model="test_metric", weights="random")
