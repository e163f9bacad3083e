"""view_node as a process beside depth_node, and its recording, page and refusals."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ros_harness import (
    FRAME_ID,
    PATIENCE_S,
    RELIABLE,
    NodeProcess,
    camera_info,
    image_array,
    picture,
    read_points_numpy,
    values,
    wait_until,
)
from sensor_msgs.msg import PointCloud2

rr = pytest.importorskip("rerun", reason="needs the extra view")
pytest.importorskip("rerun.chunk", reason="of a newer Rerun")

from rerun_recording import Recorded  # noqa: E402 - it needs rerun

from depth_anything_ros.core.errors import ParameterError, SourceError  # noqa: E402
from depth_anything_ros.nodes.messages import lidar_message  # noqa: E402
from depth_anything_ros.nodes.parameters import build, specs  # noqa: E402
from depth_anything_ros.nodes.rerun_viewer import Viewer  # noqa: E402
from depth_anything_ros.nodes.view_node import Pace  # noqa: E402
from depth_anything_ros.nodes.view_parameters import ViewParameters  # noqa: E402


def free_ports(count):
    """Ports that nobody has: all open at once, or the same would come again."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def view_parameters(**changes):
    defaults = {spec.name: spec.default for spec in specs(ViewParameters)}
    return build(ViewParameters, defaults | changes)


def web(**changes):
    web_port, data_port = free_ports(2)
    ports = {"viewer.web_port": web_port, "viewer.data_port": data_port}
    return view_parameters(**ports | changes)


def test_a_recording_has_what_the_nodes_publish(camera, logs, tmp_path):
    path = tmp_path / "drive.rrd"
    given = {"show": "file", "file": path, "max_rate_hz": 1000.0, "jpeg_quality": 95}
    given |= {"extrinsics.source": "parameters", "max_points": 1_000_000}
    lidar = camera.node.create_publisher(PointCloud2, "lidar/points", RELIABLE)
    ranges = np.array([[1, 2, 3, 0.5], [4, 5, 6, 0.5]], np.float32)
    rgb, info = picture(), camera_info(d=[0.01, 0.0, 0.0, 0.0, 0.0])
    info.p[0] = info.p[5] = 140.0
    camera.statuses.clear()
    with NodeProcess("view_node", given, log=logs / "view_node.log") as view:
        view.wait_for_log(f"writing {path}")
        topics = ("image", "depth/image_rect", "points", "lidar/points", "/diagnostics")
        for topic in topics:
            view.wait_for_log(f"showing /{topic.lstrip('/')}\n")
        wait_until(lambda: camera.node.count_subscribers("/points") >= 2, what="a subscriber")
        seen = [camera.see(rgb, info) for _ in range(2)][-1]
        key, depth, cloud, out = seen.key, seen["depth/image_rect"], seen.cloud, seen.info
        lidar.publish(lidar_message(camera.header("lidar", key + 5), ranges))

        wanted = {f"/{topic.lstrip('/')}" for topic in topics}

        def has_shown(status):
            """All topics, and diagnostics of each node: its own alone come once a second."""
            said = values(status) if status.name == "view_node: view" else {}
            return wanted <= said.keys() and int(said["/diagnostics"].split()[1]) >= 4

        said = values(camera.wait_for_status(has_shown))
        assert all(said[topic].startswith("shown ") for topic in wanted)
        assert said["/lidar/points"] == "shown 1" and int(said["frames out"]) >= 7
        assert view.stop() == 0
    found = Recorded(path)
    assert found.application == "depth_anything_ros"
    assert key in found.stamps("/image")
    # Depth, as it was on the wire.
    metres, meter = found.depth("/depth/image_rect", key)
    assert meter == 1.0
    assert np.array_equal(metres, np.nan_to_num(image_array(depth), nan=0.0, posinf=np.inf))
    # The cameras: of the picture as it came, of depth as it is rectified.
    for topic, K in (("/camera_info", info.k), ("/depth/camera_info", out.k)):
        pinhole = found.static(topic)
        assert np.allclose(np.reshape(pinhole["image_from_camera"], (3, 3)).T.ravel(), K)
        assert pinhole["resolution"] == [160, 120] and pinhole["parent_frame"] == FRAME_ID
    assert list(out.k) != list(info.k)
    # The cloud and the LiDAR.
    xyz = read_points_numpy(cloud, ("x", "y", "z"))
    points, colours = found.points("/points", key)
    assert np.array_equal(points, xyz[np.isfinite(xyz).all(axis=1)])
    assert len(np.unique(colours, axis=0)) > 100
    assert np.array_equal(found.points("/lidar/points", key + 5)[0], ranges[:, :3])
    assert found.at("/tf/lidar", key + 5)["parent_frame"] == [FRAME_ID]
    rates = [e for e in found.rows if e.startswith("/diagnostics/rate/") and "depth_node" in e]
    assert len(rates) == 1
    assert found.views == {
        ("2D", "/image"),
        ("2D", "/depth/image_rect"),
        ("3D", "space"),
        ("TextLog", "diagnostics"),
        ("TimeSeries", "rate, Hz"),
        ("TimeSeries", "latency, ms"),
    }


def test_no_more_than_a_rate_is_shown_whatever_the_jitter():
    # A camera of 10 Hz that is early and late in turn loses nothing at 10 Hz, one of 30 Hz two of
    # three pictures.
    pace = Pace()
    assert all(pace.is_due(10.0, now=100 + 0.1 * i + 0.02 * (i % 2)) for i in range(50))
    pace = Pace()
    assert sum(pace.is_due(10.0, now=100 + i / 30) for i in range(300)) == pytest.approx(100, abs=2)
    # What was silent for long has no credit for it.
    pace = Pace()
    assert pace.is_due(1.0, now=10.0)
    assert [pace.is_due(1.0, now=1000.0 + i / 100) for i in range(5)].count(True) <= 2


class TestViewer:
    def test_the_page_lets_a_browser_speak_with_this_machine_alone(self):
        p = web()
        viewer = Viewer(p)
        try:
            assert viewer.where == f"http://127.0.0.1:{p.viewer.web_port}"
            first = self.answer(p, "/")
            assert first.status == 302
            path = first.getheader("Location")
            assert f"127.0.0.1:{p.viewer.data_port}/proxy" in path
            page = self.answer(p, path)
            policy = page.getheader("Content-Security-Policy")
            assert page.status == 200 and b"re_viewer" in page.read()
            (connect,) = [one for one in policy.split(";") if "connect-src" in one]
            allowed = connect.split()[1:]
            assert allowed == ["'self'", "data:", "blob:", f"http://*:{p.viewer.data_port}"]
            assert policy.startswith("default-src 'self'") and "https" not in policy
            program = self.answer(p, "/re_viewer_bg.wasm")
            assert program.getheader("Content-Type") == "application/wasm"
            (said,) = Path(viewer._folder.name).rglob("analytics.json")
            assert json.loads(said.read_text())["analytics_enabled"] is False
            # All of its ports are of this machine alone.
            rows = self.listening(viewer._process.pid)
            assert len(rows) == 2 and all(row[1].startswith("0100007F:") for row in rows)
            assert viewer._page._server.server_address[0] == "127.0.0.1"
        finally:
            viewer.close()
        assert viewer.has_ended and not said.exists()
        for port in (p.viewer.web_port, p.viewer.data_port):
            assert socket.socket().connect_ex(("127.0.0.1", port)) != 0

    @staticmethod
    def answer(p, path):
        connection = http.client.HTTPConnection("127.0.0.1", p.viewer.web_port, timeout=PATIENCE_S)
        connection.request("GET", path)
        return connection.getresponse()

    @staticmethod
    def listening(pid):
        """The rows of /proc/net/tcp where a process listens."""
        links = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links]

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ParameterError, match=rf"viewer\.data_port is {port}, .* in use"):
                Viewer(web(**{"viewer.data_port": port}))

    def test_an_address_that_is_none_is_named(self):
        with pytest.raises(ParameterError, match=r"'robot'; it must be an IP address"):
            Viewer(web(**{"viewer.address": "robot"}))

    def test_a_file_is_not_written_over(self, tmp_path):
        path = tmp_path / "a.rrd"
        path.write_bytes(b"precious")
        with pytest.raises(SourceError, match=r"a\.rrd exists already"):
            Viewer(view_parameters(show="file", file=str(path)))
        assert path.read_bytes() == b"precious"
        with pytest.raises(SourceError, match="there is no folder"):
            Viewer(view_parameters(show="file", file=str(tmp_path / "no/a.rrd")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topics": ("image", "depth")}, r"topics has 'depth'; known are image, depth/image_rect"),
        ({"topics": ()}, "topics has nothing"),
        ({"show": "file"}, "a file goes with show: file"),
        ({"file": "a.rrd"}, "show is web and file is 'a.rrd'"),
        ({"cameras": ("left", "left")}, "'left' 2 times"),
        ({"viewer.web_port": 9876}, "both 9876"),
        ({"extrinsics.rotation_xyzw": (0.0, 0.0, 0.0, 2.0)}, "has length 2"),
    ],
)
def test_parameters_that_make_no_sense(changes, words):
    with pytest.raises(ParameterError, match=words):
        view_parameters(**changes)


def test_without_rerun_it_says_what_to_install(logs, tmp_path):
    (tmp_path / "rerun.py").write_text("raise ImportError('no module rerun')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(
        [sys.executable, "-m", "depth_anything_ros.nodes.view_node"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=PATIENCE_S,
    )
    assert result.returncode == 2
    (line,) = (one for one in result.stderr.splitlines() if one.startswith("error: "))
    assert "pip install rerun-sdk (the extra [view])" in line


@pytest.mark.slow
def test_a_browser_shows_it_and_asks_nobody_else():
    playwright = pytest.importorskip("playwright.sync_api")
    p = web()
    viewer = Viewer(p)
    asked, refused = [], []
    try:
        for i in range(5):
            viewer.recording.set_time("stamp", timestamp=np.datetime64(i, "s"))
            viewer.recording.log("/image", rr.Image(np.full((60, 80, 3), (200, 30, 30), np.uint8)))
        viewer.recording.send_blueprint(
            rr.blueprint.Blueprint(rr.blueprint.Spatial2DView(origin="/image"))
        )
        viewer.flush()
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=SOFTWARE_GL)
            page = browser.new_page(viewport={"width": 640, "height": 400})
            page.set_default_timeout(1000 * PATIENCE_S)
            page.on("request", lambda one: asked.append(one.url))
            page.on("requestfailed", lambda one: refused.append(one.url))
            page.goto(viewer.where)
            wait_until(lambda: self_is_red(page), what="the picture in the page")
            browser.close()
    finally:
        viewer.close()
    outside = {url for url in asked if f"127.0.0.1:{p.viewer.web_port}" not in url}
    outside = {url for url in outside if f"127.0.0.1:{p.viewer.data_port}/" not in url}
    assert outside <= set(refused)
    assert any(f":{p.viewer.data_port}/" in url for url in asked)


SOFTWARE_GL = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def self_is_red(page):
    """Say whether a good part of a page has the colour of the picture."""
    import cv2

    time.sleep(1.0)
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    return (np.abs(shot.astype(int) - (30, 30, 200)).max(axis=-1) < 12).mean() > 0.2
