"""depth_node in a process of its own, asked by a camera in the test's process."""

import struct

import cv2
import numpy as np
import pytest
from ros_harness import (
    BEST_EFFORT,
    FRAME_ID,
    camera_info,
    image_array,
    picture,
    picture_message,
    values,
)

from depth_anything_ros.core.camera import Camera as CameraModel
from depth_anything_ros.core.colormap import COLORMAPS

NODE = "/depth_node"
OUTPUTS = ("depth/image_rect", "depth/camera_info", "depth/image_color", "points")


def back_projected(seen):
    """Points (height, width, 3) of the depth by the published CameraInfo alone."""
    return CameraModel.from_info(seen.info).rays() * seen.depth[..., None].astype(np.float64)


def test_one_answer_of_every_kind_with_stamp_and_frame_intact(camera):
    seen = camera.see(picture(), camera_info())
    assert {seen[name].header.frame_id for name in OUTPUTS} == {FRAME_ID}
    depth = seen["depth/image_rect"]
    assert depth.encoding == "32FC1" and not depth.is_bigendian
    assert seen.depth.shape == (120, 160)
    assert (seen.depth > 0).all() and seen.depth.std() > 0.01
    assert (seen.info.width, seen.info.height) == (160, 120)
    np.testing.assert_allclose(seen.info.k, camera_info().k)
    np.testing.assert_allclose(seen.info.p, camera_info().p)
    assert seen["depth/image_color"].encoding == "rgb8"
    assert not camera.received["disparity/image_rect"]
    # Only the test itself has an end point of it.
    assert not camera.node.get_publishers_info_by_topic("/disparity/image_rect")
    # As config/depth.yaml has it, with which the node was started.
    assert list(camera.get_parameter(NODE, "cameras").string_array_value) == []


def test_the_cloud_is_the_back_projection_of_depth_and_camera_info(camera):
    rgb = picture(seed=1)
    seen = camera.see(rgb, camera_info())
    cloud = seen.cloud
    assert (cloud.width, cloud.height, cloud.is_dense) == (160, 120, True)
    fields = [(f.name, f.offset, f.datatype) for f in cloud.fields]
    assert fields == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 7)]
    assert (cloud.point_step, cloud.row_step) == (16, 16 * 160)
    np.testing.assert_allclose(seen.points, back_projected(seen), atol=1e-4)
    np.testing.assert_array_equal(seen.colours, rgb)


def test_depth_for_thin_networks_is_that_of_the_depth_image(camera):
    """By the formula of compressed_depth_image_transport's subscriber."""
    rgb, name = picture(seed=3), "depth/image_rect/compressedDepth"
    most = float(np.median(camera.see(rgb, camera_info()).depth))
    assert camera.set_parameters(NODE, compressed_depth__max_m=max(most, 1.0)) == []
    seen = camera.see(rgb, camera_info(), name)
    message, depth = seen[name], seen.depth
    assert message.header == seen["depth/image_rect"].header
    assert message.format == "32FC1; compressedDepth png"
    _, a, b = struct.unpack("<iff", message.data[:12])
    steps = cv2.imdecode(np.frombuffer(message.data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    known = depth < max(most, 1.0)
    np.testing.assert_array_equal(steps > 0, known)
    metres = a / (steps[known].astype(np.float64) - b)
    near = depth[known] > 0.16  # nearer than 16 bits tell apart
    np.testing.assert_allclose(metres[near], depth[known][near], rtol=1e-3 * max(most, 1.0))
    assert camera.set_parameters(NODE, depth__encoding="16UC1") == []
    seen = camera.see(rgb, camera_info(), name)
    assert seen[name].format == "16UC1; compressedDepth png"
    steps = cv2.imdecode(np.frombuffer(seen[name].data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    expected = seen.depth.copy()
    expected[expected > round(1000 * max(most, 1.0))] = 0
    np.testing.assert_array_equal(steps, expected)


def test_cloud_options(camera):
    rgb, info = picture(seed=2), camera_info()
    median = float(np.median(camera.see(rgb, info).depth))
    options = {"cloud__organized": False, "cloud__color": False, "cloud__stride": 3}
    assert camera.set_parameters(NODE, **options, range__max_m=median) == []
    seen = camera.see(rgb, info)
    near = seen.depth[::3, ::3] <= median
    assert 0 < near.sum() < near.size
    assert (seen.cloud.height, seen.cloud.width, seen.cloud.point_step) == (1, near.sum(), 12)
    assert seen.cloud.is_dense
    np.testing.assert_allclose(seen.points[0], back_projected(seen)[::3, ::3][near], atol=1e-4)
    assert camera.set_parameters(NODE, range__max_m=0.01) == []
    cloud = camera.see(rgb, info).cloud
    assert (cloud.height, cloud.width, len(cloud.data), cloud.is_dense) == (1, 0, 0, True)


def test_range_limits_follow_rep_117(camera):
    free = camera.see(picture(), camera_info()).depth
    low, high = (float(v) for v in np.percentile(free, (25, 75)))
    assert camera.set_parameters(NODE, range__min_m=low, range__max_m=high) == []
    seen = camera.see(picture(), camera_info())
    np.testing.assert_array_equal(np.isnan(seen.depth), free < low)
    np.testing.assert_array_equal(np.isposinf(seen.depth), free > high)
    assert not seen.cloud.is_dense
    np.testing.assert_array_equal(np.isfinite(seen.points).all(-1), np.isfinite(seen.depth))
    assert camera.set_parameters(NODE, depth__encoding="16UC1") == []
    seen = camera.see(picture(), camera_info())
    assert seen["depth/image_rect"].encoding == "16UC1"  # millimetres, 0 for unknown and far
    within = (free >= low) & (free <= high)
    np.testing.assert_allclose(seen.depth, np.where(within, np.round(free * 1000), 0), atol=1)
    np.testing.assert_array_equal(seen.depth == 0, ~within)


def test_encodings_of_the_same_colours_give_the_same_depth(camera):
    """What each encoding means: test_image_decoding."""
    rgb, alpha = picture(seed=3), np.full((120, 160), 9, np.uint8)
    expected = camera.see(rgb, camera_info()).depth
    for encoding in ("bgr8", "rgba8", "bgra8"):
        colours = rgb if encoding.startswith("rgb") else rgb[..., ::-1]
        sent = np.dstack((colours, alpha)) if "a" in encoding else np.ascontiguousarray(colours)
        seen = camera.see(picture_message(sent, encoding), camera_info())
        np.testing.assert_array_equal(seen.colours, rgb)
        np.testing.assert_array_equal(seen.depth, expected)


def broken(**changes):
    message = picture_message(picture())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


BAD_PICTURES = {
    "bad_step": (broken(step=160 * 2), "step is 320"),
    "bad_length": (broken(data=b"\0" * (160 * 3 * 119)), "data has"),
    "encoding": (broken(encoding="32FC1"), "'32FC1'"),
    "empty": (broken(width=0, height=0, step=0, data=b""), "0x0"),
}


def test_bad_pictures_are_counted_said_once_and_never_answered(camera):
    camera.restart(NODE).ask(picture(), camera_info())
    before, keys = values(camera.status()), []
    for reason, (message, words) in BAD_PICTURES.items():
        name = f"dropped: {reason}"
        count = int(before.get(name, "0"))
        keys.append(camera.show(message))
        status = camera.wait_for_status(lambda s, w=f"1 {reason}": w in s.message)
        assert status.level == b"\x01" and words in status.message
        keys.append(camera.show(message))
        camera.wait_for_status(lambda s, n=name, c=count: values(s)[n] == str(c + 2))
    assert camera.see(picture(), camera_info()).cloud
    assert camera.never_answered(*keys)
    said = [line for line in camera.process.log.splitlines() if "picture dropped" in line]
    assert len(said) == len(BAD_PICTURES)
    assert all(words in line for line, (_, words) in zip(said, BAD_PICTURES.values(), strict=True))


def test_a_fault_is_named_in_log_and_status_again_when_its_cause_changes(camera):
    camera.restart(NODE)
    hostile = "nv98\n\x1b[31m[FATAL] on fire" + "A" * 10**6
    for encoding, named in (("nv99", "'nv99'"), (hostile, r"'nv98\n\x1b[31m[FATAL] on fireAA")):
        camera.show(broken(encoding=encoding))
        status = camera.wait_for_status(lambda s, n=named: n in s.message)
        assert "1 encoding" in status.message and "set the driver's" in status.message
        assert status.level == b"\x01" and status.message.isprintable()
        (line,) = [text for text in camera.process.log.splitlines() if named in text]
        assert line.isprintable() and len(line) < 1000
    lines = camera.process.log.splitlines()
    assert not any(line.startswith("\x1b[31m[FATAL]") for line in lines)


def test_12_bits_in_mono16_are_said_once_and_scaled_by_a_parameter(camera):
    camera.restart(NODE)
    full = np.rint(picture(seed=3)[..., 0] * (4095 / 255)).astype(np.uint16)
    answers = []
    for bits in (16, 12):
        # However slow the machine, the picture stays the newest thing to tell of.
        changes = {"image__bits": bits, "diagnostics__input_timeout_s": 60.0}
        assert camera.set_parameters(NODE, **changes) == []
        answers.append(camera.see(picture_message(full, "mono16"), camera_info()).depth)
        if bits == 16:
            status = camera.wait_for_status(lambda s: "image.bits to 12" in s.message)
            assert status.level == b"\x01"
    expected = camera.see(picture_message(picture(seed=3)[..., 0], "mono8"), camera_info()).depth
    np.testing.assert_allclose(answers[1], expected, rtol=1e-4)
    assert np.abs(answers[0] / expected - 1).max() > 1e-3
    camera.wait_for_status(lambda s: s.level == b"\0")
    assert camera.process.log.count("set image.bits to 12") == 1


def test_the_resolution_may_change_from_one_picture_to_the_next(camera):
    for width, height in ((160, 120), (320, 240), (120, 160), (161, 97)):
        seen = camera.see(picture(width, height), camera_info(width, height))
        sizes = {(seen[name].width, seen[name].height) for name in OUTPUTS}
        assert sizes == {(width, height)}


def test_depth_camera_info_and_cloud_on_a_coarser_grid(camera):
    """All that goes out is of one grid; the network's is 154 x 112 for its input of 112."""
    rgb, info = picture(640, 480, seed=5), camera_info(640, 480, 600.0)
    full = camera.see(rgb, info).depth
    given = CameraModel.from_info(info)
    for size, (width, height) in (("network", (154, 112)), (60, (80, 60)), ("480", (640, 480))):
        assert camera.set_parameters(NODE, output__size=size) == []
        seen = camera.see(rgb, info)
        assert {(seen[name].width, seen[name].height) for name in OUTPUTS} == {(width, height)}
        expected = given.scaled(width, height)
        np.testing.assert_allclose((*seen.info.k, *seen.info.p), (*expected.K, *expected.P))
        np.testing.assert_allclose(seen.points, back_projected(seen), atol=1e-4)
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        assert np.abs(seen.depth / small - 1).mean() < 0.01
        colours = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(seen.colours - colours).max() <= 2
    (reason,) = camera.set_parameters(NODE, output__size="half")
    assert "output.size is 'half'; it must be image, network, or the pixels" in reason
    (reason,) = camera.set_parameters(NODE, output__size=0.5)
    assert "output.size" in reason and "Type.DOUBLE" in reason


def flicker(camera, count=14, first=6):
    """Standard deviation over time of log depth of noisy pictures of one scene, and the last."""
    rng, logs = np.random.default_rng(0), []
    for _ in range(count):
        noisy = picture(seed=6) * rng.uniform(0.8, 1.0) + rng.normal(0, 12, (120, 160, 3))
        key = camera.ask(np.clip(noisy, 0, 255).astype(np.uint8), camera_info())
        logs.append(np.log(image_array(camera.answer("depth/image_rect", key))))
    return np.std(logs[first:], axis=0).mean(), key


def test_depth_is_steadied_by_flow_from_when_that_is_asked_for(camera):
    name = "confidence/image"
    camera.restart(NODE)
    plain, key = flicker(camera)
    assert key not in camera.received[name] and "steadying" not in values(camera.status())
    assert camera.process.log.count(f"nothing goes out on /{name} while steady.method is off") == 1
    assert camera.set_parameters(NODE, steady__method="flow") == []
    steady, key = flicker(camera)
    assert steady < 0.6 * plain
    message = camera.answer(name, key)
    confidence = image_array(message)
    assert message.header == camera.answer("depth/image_rect", key).header
    assert confidence.shape == (120, 160) and 0 < confidence.max() <= 1
    status = camera.wait_for_status(lambda s: values(s).get("steadied by") == "flow")
    assert status.level == b"\0" and float(values(status)["stage steady p50 (ms)"]) > 0
    camera.show(picture(seed=6), camera_info(), stamp_ns=7)  # time is back
    camera.wait_for_status(lambda s: values(s).get("steadying") == "restarted")
    assert camera.set_parameters(NODE, steady__method="off") == []
    key = camera.ask(picture(seed=6), camera_info(), stamp_ns=10**8)
    assert key not in camera.received[name]
    camera.wait_for_status(lambda s: "steadying" not in values(s))


def test_stamps_that_jump_backwards_are_counted_and_go_on(camera):
    camera.ask(picture(), camera_info(), stamp_ns=5 * 10**9)
    jumps = int(values(camera.status())["clock jumps"])
    assert camera.shown(picture(), camera_info(), stamp_ns=7).cloud
    camera.wait_for_status(lambda s: int(values(s)["clock jumps"]) == jumps + 1)
    assert camera.shown(picture(), camera_info(), stamp_ns=8).cloud
    assert int(values(camera.status())["clock jumps"]) == jumps + 1


def answered_again(camera, stamp_ns):
    """Show a picture whose stamp may have been answered before, and wait for its answer."""
    seen = camera.shown(picture(), camera_info(), stamp_ns=stamp_ns)
    return seen["depth/image_rect"].header.stamp.sec == stamp_ns // 10**9


def test_pictures_that_come_late_are_answered_and_time_has_not_jumped(camera):
    base = camera.restart(NODE).ask(picture(), camera_info()) + 10**9
    before = values(camera.status())
    # Of a picture that is 1 s before the newest nobody can say more than that it is late.
    for offset in (33_000_000, 0, 99_000_000, 66_000_000, 10**9, 0):
        assert answered_again(camera, base + offset)
    camera.wait_for_status(lambda s: int(values(s)["frames in"]) >= int(before["frames in"]) + 6)
    assert values(camera.status())["clock jumps"] == before["clock jumps"]
    log = camera.process.log
    assert log.count("/image: pictures come out of order, by 0.033 s") == 1
    # Beyond, time has jumped.
    assert camera.set_parameters(NODE, sync__max_late_s=0.5) == []
    assert answered_again(camera, base + 10**9 - 600_000_000)
    jumps = str(int(before["clock jumps"]) + 1)
    camera.wait_for_status(lambda s: values(s)["clock jumps"] == jumps)


@pytest.mark.parametrize("odd_s", [2**31 - 1, -(2**31), 0, -5])
def test_after_an_odd_stamp_what_comes_next_is_answered(camera, odd_s):
    camera.ask(picture(), camera_info(), stamp_ns=10**12)
    assert answered_again(camera, odd_s * 10**9)
    for i in range(1, 4):
        assert answered_again(camera, 10**12 + i * 10**8)


def test_without_subscribers_nothing_is_inferred(camera):
    names = list(camera.subscriptions)
    answered = int(values(camera.status())["frames out"])
    for name in names:
        camera.silence(name)

    def ignored(status):
        camera.show(picture())
        return int(values(status).get("dropped: no_subscriber", 0)) >= 3

    status = camera.wait_for_status(ignored)
    assert status.level == b"\x00" and "nobody subscribes" in status.message
    assert int(values(status)["frames out"]) == answered
    # A best-effort subscriber is served as well as a reliable one.
    for name in names:
        camera.listen(name, BEST_EFFORT)
    assert camera.see(picture(), camera_info()).cloud


def test_diagnostics_tell_how_the_node_does(camera):
    for _ in range(5):
        camera.ask(picture(), camera_info())
    status = camera.wait_for_status(lambda s: s.level == b"\x00" and "depth at" in s.message)
    assert status.name == "depth_node: depth" and status.hardware_id == "cpu"
    shown = values(status)
    assert "test_metric" in shown["model"]
    assert float(shown["latency p50 (ms)"]) > 0
    assert float(shown["latency p95 (ms)"]) >= float(shown["latency p50 (ms)"])
    assert float(shown["memory (MB)"]) > 50
    assert int(shown["frames in"]) >= int(shown["frames out"]) >= 5
    stale = camera.wait_for_status(lambda s: s.level == b"\x03")
    assert "no picture on /image for" in stale.message
    assert float(values(stale)["age of newest input (s)"]) > 2
    camera.ask(picture(), camera_info())
    camera.wait_for_status(lambda s: s.level == b"\x00")


def test_parameters_are_described_and_wrong_ones_refused_with_the_reason(camera):
    names = ["cloud.stride", "range.max_m", "rectify", "model"]
    stride, far, rectify, _ = camera.describe(NODE, names)
    assert (stride.integer_range[0].from_value, stride.integer_range[0].to_value) == (1, 64)
    assert far.floating_point_range[0].from_value > 0 and "[m]" in far.description
    assert "One of: auto, never, always" in rectify.description
    refused = {
        "cloud__stride": (0, "range"),
        "rectify": ("sometimes", "must be one of auto, never, always"),
        "range__min_m": (1000.0, "must be below range.max_m"),
        "cloud__color": (3, "BOOL"),
        "no_such": (1, "undeclared parameter"),
        "model": ("test_relative", "cannot change while the node is active"),
        "device": ("cuda", "cannot change while the node is active"),
    }
    for name, (value, words) in refused.items():
        (reason,) = camera.set_parameters(NODE, **{name: value})
        assert words.lower() in reason.lower(), (name, reason)
    assert camera.set_parameters(NODE, model="test_metric") == []  # no change, no refusal
    assert camera.get_parameter(NODE, "cloud.stride").integer_value == 1


def test_the_preview_takes_every_colormap(camera):
    seen = set()
    for name in COLORMAPS:
        assert camera.set_parameters(NODE, preview__colormap=name) == []
        preview = camera.see(picture(), camera_info(), "depth/image_color")["depth/image_color"]
        seen.add(image_array(preview).tobytes())
    assert len(seen) == len(COLORMAPS)
