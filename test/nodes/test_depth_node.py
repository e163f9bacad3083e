"""depth_node in a process of its own, asked by a camera in the test's process."""

import json

import cv2
import numpy as np
import pytest
from ros_harness import (
    BEST_EFFORT,
    FRAME_ID,
    Camera,
    NodeProcess,
    camera_info,
    image_array,
    picture,
    picture_message,
    read_points_numpy,
    values,
    wait_until,
)

from depth_anything_ros.core.camera import Camera as CameraModel
from depth_anything_ros.core.colormap import COLORMAPS

NODE = "/depth_node"
DEFAULTS = {
    "rectify": "auto",
    "diagnostics__input_timeout_s": 2.0,
    "image__bits": 16,
    "depth__encoding": "32FC1",
    "range__min_m": 0.0,
    "range__max_m": 1000.0,
    "cloud__organized": True,
    "cloud__color": True,
    "cloud__stride": 1,
    "cloud__edge_jump": 0.0,
    "camera__fallback_hfov_deg": 0.0,
    "camera__check_frame_id": True,
    "output__size": "image",
    "preview__colormap": "inferno",
    "sync__max_late_s": 1.0,
}


@pytest.fixture(scope="module")
def depth_node(logs):
    parameters = {
        "model": "test_metric",
        "weights": "random",
        "device": "cpu",
        "engine": "torch",  # what auto would take depends on how busy the machine is
        "precision": "fp32",
        "input_size": 112,
        "cloud.edge_jump": 0.0,
    }
    with NodeProcess("depth_node", parameters, log=logs / "depth_node.log") as process:
        yield process.wait_for_log("waiting for pictures on /image")


@pytest.fixture(scope="module")
def shared_camera(depth_node):
    camera = Camera().connected()
    yield camera
    camera.close()


@pytest.fixture
def camera(shared_camera):
    """The camera, with every parameter of the node back at its default afterwards."""
    yield shared_camera
    assert shared_camera.set_parameters(NODE, **DEFAULTS) == []


def cloud_points(message):
    return read_points_numpy(message, ("x", "y", "z"))


def back_projected(depth, info):
    """Points (height, width, 3) by the published CameraInfo alone."""
    rays = CameraModel.from_info(info).rays()
    return rays * depth[..., None].astype(np.float64)


def test_one_answer_of_every_kind_with_stamp_and_frame_intact(camera):
    rgb = picture()
    key = camera.ask(rgb, camera_info())
    names = ("depth/image_rect", "depth/camera_info", "depth/image_color", "points")
    answers = {name: camera.answer(name, key) for name in names}
    for answer in answers.values():
        assert answer.header.frame_id == FRAME_ID
    depth = answers["depth/image_rect"]
    assert depth.encoding == "32FC1" and not depth.is_bigendian
    metres = image_array(depth)
    assert metres.shape == (120, 160)
    assert (metres > 0).all() and metres.std() > 0.01
    info = answers["depth/camera_info"]
    assert (info.width, info.height) == (160, 120)
    np.testing.assert_allclose(info.k, camera_info().k)
    np.testing.assert_allclose(info.p, camera_info().p)
    assert answers["depth/image_color"].encoding == "rgb8"
    assert not camera.received["disparity/image_rect"]
    names = [name for name, _ in camera.node.get_topic_names_and_types()]
    # Only the test itself has an end point of it.
    assert not camera.node.get_publishers_info_by_topic("/disparity/image_rect"), names


def test_the_cloud_is_the_back_projection_of_depth_and_camera_info(camera):
    rgb = picture(seed=1)
    key = camera.ask(rgb, camera_info())
    depth = image_array(camera.answer("depth/image_rect", key))
    info = camera.answer("depth/camera_info", key)
    cloud = camera.answer("points", key)
    assert (cloud.width, cloud.height, cloud.is_dense) == (160, 120, True)
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("rgb", 12, 7),
    ]
    assert (cloud.point_step, cloud.row_step) == (16, 16 * 160)
    points = cloud_points(cloud).reshape(120, 160, 3)
    np.testing.assert_allclose(points, back_projected(depth, info), atol=1e-4)
    packed = np.frombuffer(cloud.data, np.uint8).reshape(120, 160, 16)
    np.testing.assert_array_equal(packed[..., 14:11:-1], rgb)


def test_cloud_options(camera):
    rgb, info = picture(seed=2), camera_info()
    free = image_array(camera.answer("depth/image_rect", camera.ask(rgb, info)))
    median = float(np.median(free))
    options = {"cloud__organized": False, "cloud__color": False, "cloud__stride": 3}
    assert camera.set_parameters(NODE, **options, range__max_m=median) == []
    key = camera.ask(rgb, info)
    depth = image_array(camera.answer("depth/image_rect", key))
    cloud = camera.answer("points", key)
    near = depth[::3, ::3] <= median
    assert 0 < near.sum() < near.size
    assert (cloud.height, cloud.width, cloud.point_step) == (1, near.sum(), 12)
    assert cloud.is_dense
    expected = back_projected(depth, camera.answer("depth/camera_info", key))[::3, ::3][near]
    np.testing.assert_allclose(cloud_points(cloud), expected, atol=1e-4)


def test_a_cloud_without_a_point_is_empty(camera):
    options = {"cloud__organized": False, "range__max_m": 0.01}
    assert camera.set_parameters(NODE, **options) == []
    cloud = camera.answer("points", camera.ask(picture(), camera_info()))
    assert (cloud.height, cloud.width, len(cloud.data), cloud.is_dense) == (1, 0, 0, True)


def test_range_limits_follow_rep_117(camera):
    key = camera.ask(picture(), camera_info())
    free = image_array(camera.answer("depth/image_rect", key))
    low, high = (float(v) for v in np.percentile(free, (25, 75)))
    assert camera.set_parameters(NODE, range__min_m=low, range__max_m=high) == []
    key = camera.ask(picture(), camera_info())
    limited = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_array_equal(np.isnan(limited), free < low)
    np.testing.assert_array_equal(np.isposinf(limited), free > high)
    cloud = camera.answer("points", key)
    assert not cloud.is_dense
    kept = np.isfinite(cloud_points(cloud)).all(axis=1).reshape(free.shape)
    np.testing.assert_array_equal(kept, np.isfinite(limited))


def test_16uc1_is_millimetres_with_0_for_unknown_and_far(camera):
    key = camera.ask(picture(), camera_info())
    metres = image_array(camera.answer("depth/image_rect", key))
    median = float(np.median(metres))
    assert camera.set_parameters(NODE, depth__encoding="16UC1", range__max_m=median) == []
    key = camera.ask(picture(), camera_info())
    depth = camera.answer("depth/image_rect", key)
    assert depth.encoding == "16UC1"
    expected = np.where(metres > median, 0, np.round(metres * 1000))
    np.testing.assert_allclose(image_array(depth), expected, atol=1)
    assert ((image_array(depth) == 0) == (metres > median)).all()


def test_camera_info_of_another_resolution_is_scaled(camera):
    key = camera.ask(picture(), camera_info(640, 480, 600.0))
    info = camera.answer("depth/camera_info", key)
    assert (info.width, info.height) == (160, 120)
    np.testing.assert_allclose(info.k, camera_info().k)
    np.testing.assert_allclose(info.p, camera_info().p)
    cloud = camera.answer("points", key)
    depth = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_allclose(
        cloud_points(cloud).reshape(120, 160, 3), back_projected(depth, info), atol=1e-4
    )


def test_roi_and_binning_are_folded_in(camera):
    full = camera_info(1000, 800, 600.0, binning_x=2, binning_y=2)
    full.roi.x_offset, full.roi.y_offset, full.roi.width, full.roi.height = 200, 100, 320, 240
    key = camera.ask(picture(), full)
    info = camera.answer("depth/camera_info", key)
    assert (info.width, info.height, info.k[0]) == (160, 120, 300.0)
    assert info.k[2] == pytest.approx((499.5 - 200 + 0.5) / 2 - 0.5)
    assert info.k[5] == pytest.approx((399.5 - 100 + 0.5) / 2 - 0.5)
    assert info.binning_x in (0, 1) and info.roi.width == 0


def test_a_roi_that_nobody_applied_is_said_once_and_left_out(camera, depth_node):
    full = camera_info(160, 120, 150.0)
    full.roi.x_offset, full.roi.y_offset, full.roi.width, full.roi.height = 25, 15, 80, 60
    for _ in range(2):
        key = camera.ask(picture(), full, frame_id="uncropped")
        info = camera.answer("depth/camera_info", key)
        np.testing.assert_allclose(info.k, camera_info().k)
        np.testing.assert_allclose(info.p, camera_info().p)
    assert depth_node.log.count("ROI of 80x60 at (25, 15)") == 1
    key = camera.ask(picture(80, 60), full, frame_id="uncropped")
    info = camera.answer("depth/camera_info", key)
    assert (info.k[0], info.k[2], info.k[5]) == (150.0, 79.5 - 25, 59.5 - 15)


def test_a_camera_that_is_hardly_one_is_warned_of_as_long_as_it_lasts(camera, depth_node):
    millimetres = camera_info(160, 120, 0.96)
    for _ in range(2):
        camera.ask(picture(), millimetres, frame_id="lens")
    status = camera.wait_for_status(lambda s: "0.96 px see" in s.message)
    assert status.level == b"\x01"
    assert depth_node.log.count("0.96 px see 178.6 deg of 160x120") == 1
    camera.ask(picture(), camera_info(), frame_id="lens")
    camera.wait_for_status(lambda s: s.level == b"\x00")


def test_a_camera_info_of_no_frame_is_taken_and_of_another_where_that_is_asked_for(
    camera, depth_node
):
    unnamed = camera_info(320, 240, 280.0)
    unnamed.header.frame_id = ""
    camera.info.publish(unnamed)
    key = camera.ask(picture(), frame_id="bare")
    assert camera.answer("depth/camera_info", key).k[0] == 140.0
    assert camera.answer("depth/camera_info", key).header.frame_id == "bare"
    assert depth_node.log.count("CameraInfo has no frame_id") == 1


UNUSABLE = {
    "camera_frame_id": (camera_info(), "elsewhere", "frame_id is 'elsewhere'"),
    "camera_size": (camera_info(160, 90), FRAME_ID, "of another aspect"),
    "uncalibrated": (camera_info(k=[0.0] * 9), FRAME_ID, "not calibrated"),
    "rectification": (
        camera_info(d=[-0.1, 0.0, 0.0, 0.0, 0.0], r=[-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0]),
        FRAME_ID,
        "rectification sees nothing",
    ),
    "distortion_model": (
        camera_info(distortion_model="fov", d=[0.9]),
        FRAME_ID,
        "unknown distortion model 'fov'",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_without_a_usable_camera_info_depth_goes_out_and_the_cloud_does_not(logs, case):
    """Each in a node of its own: what came before would be used otherwise."""
    info, frame_id, words = UNUSABLE[case]
    parameters = {"model": "test_metric", "weights": "random", "input_size": 56}
    namespace = f"/{case}"
    process = NodeProcess("depth_node", parameters, namespace=namespace, log=logs / f"{case}.log")
    camera = Camera(namespace)
    try:
        process.wait_for_log("waiting for pictures")
        camera.connected()
        info.header.frame_id = FRAME_ID
        camera.info.publish(info)
        wait_until(lambda: camera.image.get_subscription_count(), 10)
        key = camera.ask(picture(), frame_id=frame_id)
        camera.info.publish(info)
        key = camera.ask(picture(), frame_id=frame_id)
        published = camera.answer("depth/camera_info", key)
        assert (published.width, published.height) == (160, 120)
        assert not any(published.k) and not any(published.p)
        assert not camera.received["points"]
        status = camera.wait_for_status(lambda s: words in s.message)
        assert status.level == b"\x01" and "no cloud goes out" in status.message
        process.wait_for_log(words)
        assert process.log.count(words) == 1  # said once, though several pictures came
        if case == "camera_frame_id":
            set_ = camera.set_parameters(f"{namespace}{NODE}", camera__check_frame_id=False)
            key = camera.ask(picture(), output="points", frame_id=frame_id)
            assert set_ == [] and camera.answer("depth/camera_info", key).k[0] == 150.0
            return
        assert camera.set_parameters(f"{namespace}{NODE}", camera__fallback_hfov_deg=90.0) == []
        key = camera.ask(picture(), output="points", frame_id=frame_id)
        assert camera.answer("depth/camera_info", key).k[0] == pytest.approx(80.0)
    finally:
        camera.close()
        process.stop()


def encoded(rgb, encoding):
    """The picture as a driver of that encoding sends it."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if encoding.startswith("bayer"):
        pattern = encoding[6:10]
        channel = {"r": 0, "g": 1, "b": 2}
        mosaic = np.empty(rgb.shape[:2], np.uint8)
        for i, letter in enumerate(pattern):
            mosaic[i // 2 :: 2, i % 2 :: 2] = rgb[i // 2 :: 2, i % 2 :: 2, channel[letter]]
        return mosaic
    if encoding.startswith("yuv422"):
        # ITU-R BT.601, studio range, as cameras send it.
        matrix = np.array([[0.257, 0.504, 0.098], [-0.148, -0.291, 0.439], [0.439, -0.368, -0.071]])
        yuv = np.clip(rgb @ matrix.T + (16, 128, 128), 0, 255).round().astype(np.uint8)
        packed = np.empty((*rgb.shape[:2], 2), np.uint8)
        luma, chroma = (0, 1) if encoding == "yuv422_yuy2" else (1, 0)
        packed[..., luma] = yuv[..., 0]
        packed[:, 0::2, chroma] = yuv[:, 0::2, 1]
        packed[:, 1::2, chroma] = yuv[:, 0::2, 2]
        return packed
    return {
        "rgb8": rgb,
        "bgr8": bgr,
        "rgba8": np.dstack((rgb, np.full_like(gray, 9))),
        "bgra8": np.dstack((bgr, np.full_like(gray, 9))),
        "mono8": gray,
        "mono16": gray.astype(np.uint16) * 257,
    }[encoding]


@pytest.mark.parametrize(
    ("encoding", "tolerance"),
    [
        ("rgb8", 0),
        ("bgr8", 0),
        ("rgba8", 0),
        ("bgra8", 0),
        ("mono8", 1),
        ("mono16", 2),
        ("yuv422", 12),
        ("yuv422_yuy2", 12),
        ("bayer_rggb8", 12),
        ("bayer_bggr8", 12),
        ("bayer_gbrg8", 12),
        ("bayer_grbg8", 12),
    ],
)
def test_every_encoding_gives_the_same_colours_and_depth(camera, encoding, tolerance):
    rgb = picture(seed=3)
    seen = rgb
    if encoding.startswith("mono"):
        seen = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    reference = camera.ask(seen, camera_info())
    key = camera.ask(picture_message(encoded(rgb, encoding), encoding), camera_info())
    packed = np.frombuffer(camera.answer("points", key).data, np.uint8).reshape(120, 160, 16)
    difference = np.abs(packed[..., 14:11:-1].astype(int) - seen.astype(int))
    inner = difference[4:-4, 4:-4]
    assert inner.max() <= 4 * tolerance and inner.mean() <= tolerance / 3
    expected = image_array(camera.answer("depth/image_rect", reference))
    depth = image_array(camera.answer("depth/image_rect", key))
    assert np.abs(depth / expected - 1).mean() <= (0.02 if tolerance > 1 else 1e-3)


def test_padded_rows_are_read_by_step(camera):
    rgb = picture(seed=4)
    message = picture_message(rgb)
    message.step = 160 * 3 + 7  # no whole number of pixels
    rows = np.zeros((120, message.step), np.uint8)
    rows[:, : 160 * 3] = rgb.reshape(120, -1)
    message.data = rows.ravel().tobytes()
    key = camera.ask(message, camera_info())
    packed = np.frombuffer(camera.answer("points", key).data, np.uint8).reshape(120, 160, 16)
    np.testing.assert_array_equal(packed[..., 14:11:-1], rgb)


def broken(**changes):
    message = picture_message(picture())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


BAD_PICTURES = {
    "bad_step": broken(step=160 * 2),
    "bad_length": broken(data=b"\0" * (160 * 3 * 119)),
    "encoding": broken(encoding="32FC1"),
    "empty": broken(width=0, height=0, step=0, data=b""),
}


@pytest.mark.parametrize("reason", BAD_PICTURES)
def test_a_bad_picture_is_counted_said_once_and_never_answered(camera, depth_node, reason):
    camera.ask(picture(), camera_info())
    before = int(values(camera.status()).get(f"dropped: {reason}", "0"))
    bad = [camera.show(BAD_PICTURES[reason])]
    camera.wait_for_status(lambda s: f"dropped: {reason}" in values(s))
    status = camera.wait_for_status(lambda s: s.level == b"\x01" and reason in s.message)
    assert f"1 {reason}" in status.message
    bad.append(camera.show(BAD_PICTURES[reason]))
    camera.wait_for_status(lambda s: int(values(s)[f"dropped: {reason}"]) == before + 2)
    good = camera.ask(picture(), camera_info())
    assert camera.answer("points", good)
    for key in bad:
        assert not any(key in of_topic for of_topic in camera.received.values())
    said = [line for line in depth_node.log.splitlines() if "picture dropped" in line]
    words = {"bad_step": "step is 320", "bad_length": "data has", "encoding": "'32FC1'"}
    assert len([line for line in said if words.get(reason, "0x0") in line]) == 1


def test_a_fault_is_named_in_log_and_status_again_when_its_cause_changes(camera, depth_node):
    hostile = "nv98\n\x1b[31m[FATAL] on fire" + "A" * 10**6
    for encoding, named in (("nv99", "'nv99'"), (hostile, r"'nv98\n\x1b[31m[FATAL] on fireAA")):
        camera.show(broken(encoding=encoding))
        status = camera.wait_for_status(lambda s, n=named: n in s.message)
        assert "1 encoding" in status.message and "set the driver's" in status.message
        assert status.level == b"\x01" and status.message.isprintable()
        (line,) = [text for text in depth_node.log.splitlines() if named in text]
        assert line.isprintable() and len(line) < 1000
    assert not any(line.startswith("\x1b[31m[FATAL]") for line in depth_node.log.splitlines())


def test_12_bits_in_mono16_are_said_once_and_scaled_by_a_parameter(camera, depth_node):
    full = np.rint(picture(seed=3)[..., 0] * (4095 / 255)).astype(np.uint16)
    # Another encoding is another camera: what earlier tests showed of mono16 counts no more.
    camera.ask(picture_message(picture(seed=3).astype(np.uint16) * 257, "rgb16"), camera_info())
    answers = []
    for bits in (16, 12):
        # However slow the machine, the picture stays the newest thing to tell of.
        changes = {"image__bits": bits, "diagnostics__input_timeout_s": 60.0}
        assert camera.set_parameters(NODE, **changes) == []
        key = camera.ask(picture_message(full, "mono16"), camera_info())
        answers.append(image_array(camera.answer("depth/image_rect", key)))
        if bits == 16:
            status = camera.wait_for_status(lambda s: "image.bits to 12" in s.message)
            assert status.level == b"\x01"
    expected = camera.ask(picture_message(picture(seed=3)[..., 0], "mono8"), camera_info())
    expected = image_array(camera.answer("depth/image_rect", expected))
    np.testing.assert_allclose(answers[1], expected, rtol=1e-4)
    assert np.abs(answers[0] / expected - 1).max() > 1e-3
    camera.wait_for_status(lambda s: s.level == b"\0")
    assert depth_node.log.count("set image.bits to 12") == 1


def test_the_resolution_may_change_from_one_picture_to_the_next(camera):
    for width, height in ((160, 120), (320, 240), (120, 160), (161, 97)):
        key = camera.ask(picture(width, height), camera_info(width, height))
        depth = camera.answer("depth/image_rect", key)
        info, cloud = camera.answer("depth/camera_info", key), camera.answer("points", key)
        assert {(m.width, m.height) for m in (depth, info, cloud)} == {(width, height)}


def test_depth_camera_info_and_cloud_on_a_coarser_grid(camera):
    """All that goes out is of one grid; the network's is 154 x 112 for its input of 112."""
    rgb, info = picture(640, 480, seed=5), camera_info(640, 480, 600.0)
    full = image_array(camera.answer("depth/image_rect", camera.ask(rgb, info)))
    given = CameraModel.from_info(info)
    for size, (width, height) in (("network", (154, 112)), (60, (80, 60)), ("480", (640, 480))):
        assert camera.set_parameters(NODE, output__size=size) == []
        key = camera.ask(rgb, info)
        names = ("depth/image_rect", "depth/camera_info", "depth/image_color", "points")
        answers = {name: camera.answer(name, key) for name in names}
        assert {(m.width, m.height) for m in answers.values()} == {(width, height)}
        published = answers["depth/camera_info"]
        expected = given.scaled(width, height)
        np.testing.assert_allclose((*published.k, *published.p), (*expected.K, *expected.P))
        depth = image_array(answers["depth/image_rect"])
        points = cloud_points(answers["points"]).reshape(height, width, 3)
        np.testing.assert_allclose(points, back_projected(depth, published), atol=1e-4)
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        assert np.abs(depth / small - 1).mean() < 0.01
        packed = np.frombuffer(answers["points"].data, np.uint8).reshape(height, width, 16)
        colours = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(packed[..., 14:11:-1] - colours).max() <= 2
    (reason,) = camera.set_parameters(NODE, output__size="half")
    assert "output.size is 'half'; it must be image, network, or the pixels" in reason
    (reason,) = camera.set_parameters(NODE, output__size=0.5)
    assert "output.size" in reason and "Type.DOUBLE" in reason


def test_stamps_that_jump_backwards_are_counted_and_go_on(camera):
    camera.ask(picture(), camera_info(), stamp_ns=5 * 10**9)
    jumps = int(values(camera.status())["clock jumps"])
    key = camera.show(picture(), camera_info(), stamp_ns=7)
    assert camera.answer("depth/image_rect", key)
    camera.wait_for_status(lambda s: int(values(s)["clock jumps"]) == jumps + 1)
    key = camera.show(picture(), camera_info(), stamp_ns=8)
    assert camera.answer("depth/image_rect", key)
    assert int(values(camera.status())["clock jumps"]) == jumps + 1


def test_pictures_that_come_late_are_answered_and_time_has_not_jumped(camera, depth_node):
    base = camera.ask(picture(), camera_info()) + 10**9
    before = values(camera.status())
    # Of a picture that is 1 s before the newest nobody can say more than that it is late.
    for offset in (33_000_000, 0, 99_000_000, 66_000_000, 10**9, 0):
        key = camera.show(picture(), camera_info(), stamp_ns=base + offset)
        assert camera.answer("depth/image_rect", key)
        del camera.received["depth/image_rect"][key]
    camera.wait_for_status(lambda s: int(values(s)["frames in"]) >= int(before["frames in"]) + 6)
    assert values(camera.status())["clock jumps"] == before["clock jumps"]
    assert depth_node.log.count("/image: pictures come out of order, by 0.033 s") == 1
    # Beyond, time has jumped.
    assert camera.set_parameters(NODE, sync__max_late_s=0.5) == []
    key = camera.show(picture(), camera_info(), stamp_ns=base + 10**9 - 600_000_000)
    assert camera.answer("depth/image_rect", key)
    jumps = str(int(before["clock jumps"]) + 1)
    camera.wait_for_status(lambda s: values(s)["clock jumps"] == jumps)
    camera._stamp = base + 2 * 10**9


@pytest.mark.parametrize("odd_s", [2**31 - 1, -(2**31), 0])
def test_after_an_odd_stamp_what_comes_next_is_answered(camera, odd_s):
    camera.ask(picture(), camera_info(), stamp_ns=10**12)
    message = picture_message(picture())
    message.header.frame_id, message.header.stamp.sec = FRAME_ID, odd_s
    camera.image.publish(message)
    assert camera.answer("depth/image_rect", odd_s * 10**9)
    del camera.received["depth/image_rect"][odd_s * 10**9]
    for i in range(1, 4):
        key = camera.show(picture(), camera_info(), stamp_ns=10**12 + i * 10**8)
        assert camera.answer("depth/image_rect", key)
        del camera.received["depth/image_rect"][key]
    camera.show(picture(), camera_info())  # back to the stamps of the other tests


def test_a_stamp_before_the_epoch_is_a_stamp(camera):
    message = picture_message(picture())
    for _ in range(2):
        message.header.frame_id, message.header.stamp.sec = FRAME_ID, -5
        camera.image.publish(message)
    assert camera.answer("depth/image_rect", -5 * 10**9).header.stamp.sec == -5
    assert camera.show(picture(), camera_info(), stamp_ns=9)


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
    key = camera.ask(picture(), camera_info())
    assert camera.answer("points", key)


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
        key = camera.ask(picture(), camera_info(), output="depth/image_color")
        seen.add(bytes(camera.answer("depth/image_color", key).data))
    assert len(seen) == len(COLORMAPS)


def distorted(width=320, height=240):
    """A distorted camera with its rectification, and the picture it takes of waves at Z = 1."""
    R, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.01]))
    info = camera_info(width, height, 250.0, d=[-0.25, 0.08, 1e-3, -1e-3, 0.0])
    info.r = [float(v) for v in R.ravel()]
    info.p = [230.0, 0.0, 155.0, 0.0, 0.0, 230.0, 118.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    model = CameraModel.from_info(info)
    return info, R, model, waves(model.rays())


def waves(rays):
    x, y = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    level = 127 + 55 * np.sin(9 * x) + 55 * np.sin(9 * y)
    return np.dstack((level, 255 - level, level / 2)).astype(np.uint8)


def test_a_distorted_picture_is_rectified_and_the_camera_info_says_so(camera):
    info, R, model, rgb = distorted()
    key = camera.ask(rgb, info)
    published = camera.answer("depth/camera_info", key)
    assert not any(published.d)
    np.testing.assert_allclose(published.k, [230, 0, 155, 0, 230, 118, 0, 0, 1])
    np.testing.assert_allclose(published.p, info.p)
    np.testing.assert_allclose(published.r, np.eye(3).ravel())
    cloud = camera.answer("points", key)
    colours = np.frombuffer(cloud.data, np.uint8).reshape(240, 320, 16)[..., 14:11:-1]
    expected = waves(CameraModel.from_info(published).rays() @ R)
    _, _, valid = model.rectification_maps()
    inner = cv2.erode(valid.astype(np.uint8), np.ones((7, 7))) > 0
    assert np.abs(colours.astype(int) - expected.astype(int))[inner].max() <= 6
    depth = image_array(camera.answer("depth/image_rect", key))
    np.testing.assert_array_equal(np.isnan(depth), ~valid)
    points = cloud_points(cloud).reshape(240, 320, 3)
    np.testing.assert_allclose(points, back_projected(depth, published), atol=1e-4)


def test_rectify_never_keeps_the_lens_and_always_turns_a_pinhole(camera, depth_node):
    info, _, _, rgb = distorted()
    height, width = rgb.shape[:2]
    assert camera.set_parameters(NODE, rectify="never") == []
    key = camera.ask(rgb, info)
    published = camera.answer("depth/camera_info", key)
    np.testing.assert_allclose(published.d, info.d)
    np.testing.assert_allclose(published.k, info.k)
    assert published.p[0] == published.k[0]
    depth = image_array(camera.answer("depth/image_rect", key))
    points = cloud_points(camera.answer("points", key)).reshape(height, width, 3)
    np.testing.assert_allclose(points, back_projected(depth, published), atol=1e-4)
    # Without distortion auto leaves R and P alone, and always follows them. Pictures that come
    # rectified have the camera P, whatever D is.
    for policy, focal, d in (
        ("already", 230.0, info.d),
        ("already", 230.0, [0.1] * 9),  # of no known lens
        ("auto", 250.0, []),
        ("always", 230.0, []),
    ):
        info.d = d
        assert camera.set_parameters(NODE, rectify=policy) == []
        key = camera.ask(rgb, info)
        published = camera.answer("depth/camera_info", key)
        assert published.k[0] == focal and not any(published.d)
        np.testing.assert_array_equal(np.reshape(published.p, (3, 4))[:, :3].ravel(), published.k)
        depth = image_array(camera.answer("depth/image_rect", key))
        points = cloud_points(camera.answer("points", key)).reshape(height, width, 3)
        np.testing.assert_allclose(points, back_projected(depth, published), atol=1e-4)
        assert np.isfinite(depth).all() == (policy != "always")
    for words in (
        "(rectify: auto, D is not zero)",
        "(rectify: auto, D is zero): K",
        "(rectify: already)",
    ):
        assert depth_node.log.count(words) == 1


def test_real_recordings_are_answered_on_their_own_camera(camera, shared_data):
    """Fisheye, plumb_bob and rectified cameras of five makers, at a quarter of their size."""
    for name in ("lab_fisheye_vlp16_02", "opencalib_crossing", "kitti_000001", "tum_desk"):
        folder = shared_data / name
        calibration = json.loads((folder / "calib.json").read_text())
        bgr = cv2.imread(str(next(p for p in folder.iterdir() if p.stem in ("image", "color"))))
        height, width = bgr.shape[0] // 4, bgr.shape[1] // 4
        rgb = cv2.cvtColor(cv2.resize(bgr, (width, height)), cv2.COLOR_BGR2RGB)
        info = camera_info(calibration["width"], calibration["height"])
        info.k = [float(v) for v in calibration["K"]]
        info.p = [0.0] * 12
        info.d = [float(v) for v in calibration["D"]]
        info.distortion_model = calibration["distortion_model"]
        key = camera.ask(rgb, info)
        published = camera.answer("depth/camera_info", key)
        assert (published.width, published.height) == (width, height)
        assert not any(published.d)
        depth = image_array(camera.answer("depth/image_rect", key))
        points = cloud_points(camera.answer("points", key)).reshape(height, width, 3)
        np.testing.assert_allclose(points, back_projected(depth, published), atol=1e-4)
        assert np.isfinite(depth).mean() > 0.5
