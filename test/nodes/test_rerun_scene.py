"""What Rerun is given of each kind of message, read back from a file by Rerun's own reader."""

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from ros_harness import FRAME_ID, camera_info, picture, picture_message
from sensor_msgs.msg import CompressedImage, LaserScan, Range
from std_msgs.msg import Header

rr = pytest.importorskip("rerun", reason="needs the extra view")
pytest.importorskip("rerun.chunk", reason="of a newer Rerun")

from rerun_recording import Recorded  # noqa: E402 - it needs rerun

from depth_anything_ros.core.cloud import Cloud  # noqa: E402
from depth_anything_ros.core.errors import DepthAnythingError, ImageError  # noqa: E402
from depth_anything_ros.nodes.messages import cloud_message, image_message  # noqa: E402
from depth_anything_ros.nodes.parameters import build, specs  # noqa: E402
from depth_anything_ros.nodes.rerun_scene import RerunScene  # noqa: E402
from depth_anything_ros.nodes.view_parameters import ViewParameters  # noqa: E402
from depth_anything_ros.nodes.view_topics import OF_A_CAMERA, OF_THE_ROBOT  # noqa: E402

SHOWN = {shown.name: shown for shown in (*OF_A_CAMERA, *OF_THE_ROBOT)}
# x forward, y left, z up to an optical frame.
LOOKING_AHEAD = (0.5, -0.5, 0.5, 0.5)


def header(stamp_ns, frame_id=FRAME_ID):
    one = Header(frame_id=frame_id)
    one.stamp.sec, one.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return one


class NoTransforms:
    """Of a robot whose tf2 knows nothing."""

    def find(self, target, frame, _stamp, _wait_s, _instead):
        raise DepthAnythingError(f"no transform from {frame} to {target}", reason="no_transform")


class Stage:
    """A scene that is written to a file."""

    def __init__(self, path, **changes):
        self.path, self.warnings = path, []
        self.recording = rr.RecordingStream("test")
        self.recording.save(path)
        values = {spec.name: spec.default for spec in specs(ViewParameters)}
        parameters = build(ViewParameters, values | changes)
        self.scene = RerunScene(
            self.recording,
            lambda: parameters,
            NoTransforms(),
            lambda cause, text: self.warnings.append((cause, text)),
        )

    def show(self, name, message, info=None):
        shown = SHOWN[name]
        info_topic = f"/{shown.camera_info}" if shown.camera_info else ""
        if info is not None:
            self.scene.know_camera(info_topic, info)
        self.scene.show("/" + name.lstrip("/"), info_topic, shown, message)

    def recorded(self):
        self.recording.flush()
        self.recording.disconnect()
        return Recorded(self.path)


@pytest.fixture
def stage(tmp_path):
    return lambda **changes: Stage(tmp_path / "scene.rrd", **changes)


def test_metres_stay_and_what_is_unknown_is_rerun_s_zero(stage):
    one = stage()
    depth = np.array([[0.5, 2.25, np.nan], [np.inf, 0.0, 100.0]], np.float32)
    one.show("depth/image_rect", image_message(header(7), depth, "32FC1"), camera_info(3, 2))
    millimetres = np.array([[500, 0], [65535, 1]], np.uint16)
    one.show("anchored/depth/image_rect", image_message(header(8), millimetres, "16UC1"))
    found = one.recorded()
    values, meter = found.depth("/depth/image_rect", 7)
    assert meter == 1.0 and values.tolist() == [[0.5, 2.25, 0.0], [np.inf, 0.0, 100.0]]
    values, meter = found.depth("/anchored/depth/image_rect", 8)
    assert meter == 1.0 and np.allclose(values, [[0.5, 0.0], [65.535, 0.001]])


@pytest.mark.parametrize("name", ["disparity/image_rect", "affine_depth/image_rect"])
def test_relative_values_are_colours_and_never_depth(stage, name):
    one = stage()
    values = np.tile(np.linspace(1, 2, 32, dtype=np.float32), (32, 1))
    one.show(name, image_message(header(5), values, "32FC1"), camera_info(32, 32))
    shown = one.recorded().at(f"/{name}", 5)
    assert set(shown) == {"blob", "media_type"} and shown["media_type"] == ["image/jpeg"]
    bgr = cv2.imdecode(np.frombuffer(bytes(shown["blob"][0]), np.uint8), cv2.IMREAD_COLOR)
    left, right = bgr[16, 1].sum(), bgr[16, -2].sum()
    assert (left < right) == (name == "disparity/image_rect")  # near is bright


def test_a_picture_is_seen_by_the_camera_of_its_size(stage):
    one = stage()
    rgb = picture(80, 60)
    message = picture_message(rgb)
    message.header = header(1_500_000_000)
    info = camera_info(160, 120, focal=150.0)
    info.header = message.header
    one.show("image", message, info)
    found = one.recorded()
    pinhole = found.static("/camera_info")
    # Half of it: K is given column by column, and pixel centres are whole numbers.
    expected = [75.0, 0, 0, 0, 75.0, 0, (79.5 + 0.5) / 2 - 0.5, (59.5 + 0.5) / 2 - 0.5, 1]
    assert np.allclose(pinhole["image_from_camera"], expected)
    assert pinhole["resolution"] == [80, 60] and pinhole["parent_frame"] == FRAME_ID
    assert pinhole["camera_xyz"] == [3, 2, 5]  # right, down, forward
    assert found.static("/image")["frame"] == pinhole["child_frame"]
    (blob,) = found.at("/image", 1_500_000_000)["blob"]
    bgr = cv2.imdecode(np.frombuffer(bytes(blob), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(bgr[..., ::-1].astype(int) - rgb).mean() < 5
    assert one.scene.frame == FRAME_ID and one.scene.sizes == {"/image": (80, 60)}
    assert one.warnings == []


def test_a_picture_of_another_aspect_is_shown_without_a_place(stage):
    one = stage()
    message = CompressedImage(header=header(3), format="jpeg")
    message.data.frombytes(cv2.imencode(".jpg", picture(60, 60))[1].data)
    one.show("image", message, camera_info())
    found = one.recorded()
    assert found.stamps("/image") == [3] and "/camera_info" not in found.rows
    ((cause, text),) = one.warnings
    assert cause == "camera_size /image" and "60x60" in text and "has no place" in text


def test_a_cloud_keeps_its_points_and_colours_up_to_a_limit(stage):
    one = stage(max_points=100)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 5, 4)).astype(np.float32)
    points[..., 3] = rng.integers(0, 1 << 24, (6, 5)).astype(np.uint32).view(np.float32)
    points[0, :2, :3] = np.nan
    one.show("points", cloud_message(header(1), Cloud(points, False)))
    many = np.zeros((1, 1000, 4), np.float32)
    many[0, :, 0] = np.arange(1000)
    one.show("points", cloud_message(header(2), Cloud(many, True)))
    found = one.recorded()
    kept, colours = found.points("/points", 1)
    assert np.array_equal(kept, points[..., :3].reshape(-1, 3)[2:])
    packed = np.ascontiguousarray(points[..., 3]).view(np.uint32).ravel()[2:]
    assert np.array_equal(colours, np.stack([packed >> s & 255 for s in (16, 8, 0)], axis=-1))
    spread = found.points("/points", 2)[0][:, 0]
    assert len(spread) == 100 and (spread[0], spread[-1]) == (0, 999)
    assert np.diff(spread).min() >= 10 and np.diff(spread).max() <= 11
    assert found.static("/points")["frame"] == FRAME_ID


def test_ranges_are_placed_by_the_extrinsics_that_are_given(stage):
    one = stage(
        **{
            "extrinsics.source": "parameters",
            "extrinsics.translation_m": (0.0, -0.2, 0.1),
            "extrinsics.rotation_xyzw": LOOKING_AHEAD,
        }
    )
    message = picture_message(picture())
    message.header = header(1)
    one.show("image", message, camera_info())
    scan = LaserScan(header=header(2, "lidar"), angle_increment=0.1, range_max=20.0)
    scan.ranges = [1.0, float("inf"), 2.0]
    one.show("scan", scan)
    beam = Range(header=header(3, "sonar"), range=0.5, min_range=0.1, max_range=4.0)
    one.show("range", beam)
    found = one.recorded()
    points, colours = found.points("/scan", 2)
    assert np.allclose(points, [[1, 0, 0], [2 * np.cos(0.2), 2 * np.sin(0.2), 0]], atol=1e-6)
    assert not np.array_equal(*colours)
    assert np.array_equal(found.points("/range", 3)[0], [[0.5, 0, 0]])
    transform = found.at("/tf/lidar", 2)
    assert transform["parent_frame"] == [FRAME_ID] and transform["child_frame"] == ["lidar"]
    R = np.reshape(transform["mat3x3"][0], (3, 3)).T  # column by column
    assert np.allclose(R @ [1, 0, 0], [0, 0, 1], atol=1e-6)  # forward
    assert np.allclose(R @ [0, 0, 1], [0, -1, 0], atol=1e-6)  # up
    assert np.allclose(transform["translation"][0], [0, -0.2, 0.1])
    assert found.stamps("/tf/sonar") == [3] and one.warnings == []


def test_ranges_without_a_transform_are_kept_and_said(stage):
    one = stage(fixed_frame="odom")
    scan = LaserScan(header=header(2, "lidar"), angle_increment=0.1, range_max=20.0, ranges=[1.0])
    one.show("scan", scan)
    assert one.warnings == [("no_transform lidar", "no transform from lidar to odom")]
    found = one.recorded()
    assert found.stamps("/scan") == [2] and "/tf/lidar" not in found.rows


def test_diagnostics_are_said_when_they_change_and_drawn_over_time(stage):
    one = stage()

    def status(stamp, message, level=DiagnosticStatus.OK, rate="5.00"):
        values = [KeyValue(key="rate (Hz)", value=rate), KeyValue(key="model", value="7")]
        values.append(KeyValue(key="latency p50 (ms)", value="no number"))
        said = DiagnosticStatus(name="a/depth_node: depth", message=message, level=level)
        said.values = values
        one.show("/diagnostics", DiagnosticArray(header=header(stamp), status=[said]))

    status(1, "5.1 pictures")
    status(2, "4.9 pictures", rate="4.50")
    status(3, "no pictures", DiagnosticStatus.STALE)
    found = one.recorded()
    lines = next(rows for entity, rows in found.rows.items() if "status" in entity)
    said = sorted((stamp, v["level"][0], v["text"][0]) for stamp, v in lines)
    assert said == [
        (1, "INFO", "a/depth_node: depth: 5.1 pictures"),
        (3, "WARN", "a/depth_node: depth: no pictures"),
    ]
    (entity,) = (one for one in found.rows if one.startswith("/diagnostics/rate/"))
    drawn = {s: v["scalars"][0] for s, v in found.rows[entity] if s is not None}
    assert drawn == {1: 5.0, 2: 4.5, 3: 5.0}
    assert found.static(entity)["names"] == "depth_node"
    assert not any("latency" in entity for entity in found.rows)


def test_what_cannot_be_read_is_an_error_with_a_reason(stage):
    one = stage()
    with pytest.raises(ImageError, match="'8UC7'"):
        one.show("image", image_message(header(1), picture(), "8UC7"), camera_info())
    with pytest.raises(ImageError, match="no depth"):
        one.show("depth/image_rect", image_message(header(1), picture(), "rgb8"))
    assert "/image" not in one.recorded().rows
