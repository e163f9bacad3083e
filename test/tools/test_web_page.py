"""The page in a real headless Chromium: what people do with it, and what it asks of the network."""

import json
import re
import signal
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth_files import DepthPicture
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.sim.world import views
from depth_anything_ros.tools.video_files import VideoFile, VideoWriter

pytest.importorskip("gradio")
pytest.importorskip("av")
playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = pytest.mark.slow
WAIT_MS = 300_000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def screenshot(repository):
    """The script that takes pictures of the page."""
    spec = spec_from_file_location("screenshot", repository / "doc" / "screenshot.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return module


@pytest.fixture(scope="module")
def address(screenshot):
    with screenshot.served("--max-upload", "1", "--max-megapixels", "2") as address:
        yield address


@pytest.fixture(scope="module")
def chromium(screenshot):
    with screenshot.browser() as browser:
        yield browser


@pytest.fixture(params=[(1280, 800), (390, 800)], ids=["desktop", "phone"])
def size(request):
    return request.param


@pytest.fixture
def page(chromium, address, size, tmp_path, request):
    """The page, opened; at its end, nothing was asked of another machine, and no script failed."""
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(WAIT_MS)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(address)
    expect(page.locator("#picture")).to_be_visible()
    yield page
    page.screenshot(
        path=tmp_path / f"{request.node.name}.png", full_page=True, animations="disabled"
    )
    page.close()
    local = (address, "data:", "blob:")
    assert not [url for url in asked if not url.startswith(local)]
    assert not failed


@pytest.fixture(scope="module")
def png(tmp_path_factory):
    """A view of the simulator."""
    rgb = views([2_000_000_001], 320, 240, kind="corridor").rgb[0].numpy()
    path = tmp_path_factory.mktemp("pictures") / "corridor.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path


@pytest.fixture(scope="module")
def answer(png):
    """Answer the view as the page does; by a model's name and a field of view."""
    pipelines = {}

    def estimate(model, hfov_deg):
        if model not in pipelines:
            pipelines[model] = DepthPipeline(load_estimator(model))
        rgb = cv2.imread(str(png))[..., ::-1]
        camera = Camera.from_hfov(rgb.shape[1], rgb.shape[0], hfov_deg)
        return pipelines[model].infer(np.ascontiguousarray(rgb), camera).estimate

    return estimate


def upload(page, path):
    page.set_input_files("#picture input[type=file]", path)


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def see_cloud(page):
    """Open the cloud's tab; once more where Chromium, which draws it by the CPU, got no canvas."""
    canvas = page.locator("#cloud canvas")
    open_tab(page, "Point cloud")
    try:
        expect(canvas).to_be_visible(timeout=40_000)
    except AssertionError:
        open_tab(page, "Compare")
        open_tab(page, "Point cloud")
        expect(canvas).to_be_visible()


def saved(page, name, folder):
    """Click on a button that downloads; return the file's path."""
    with page.expect_download() as download:
        page.locator(f"#save-{name}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def read_at(page, x, y):
    """Click into the depth image, at a share of its width and height; return what is said."""
    image = page.locator("#depth img")
    # A click on a picture that is still on its way is a click on nothing.
    is_there = "image => image.complete && image.naturalWidth > 0"
    page.wait_for_function(is_there, arg=image.element_handle())
    box = image.bounding_box()
    reading = page.locator("#reading")
    image.click(position={"x": x * box["width"], "y": y * box["height"]})
    expect(reading).to_contain_text("pixel (")
    return reading.inner_text().strip()


def test_from_a_picture_to_its_files(page, png, answer, tmp_path):
    upload(page, png)
    expect(page.locator("#summary")).to_contain_text("tiny")
    expect(page.locator("#compare img")).to_have_count(2)
    estimate = answer("tiny", 60.0)
    path = saved(page, "depth_png", tmp_path)
    assert path.name == "corridor_depth.png"
    steps = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert steps.dtype == np.uint16
    np.testing.assert_allclose(steps, DepthPicture.of(estimate).steps.astype(float), atol=1)
    said = json.loads(saved(page, "json", tmp_path).read_text())
    assert (said["depth_file"], said["depth_scale_m"]) == (path.name, 0.001)
    assert cv2.imread(str(saved(page, "color", tmp_path))).shape == (240, 320, 3)
    assert saved(page, "glb", tmp_path).read_bytes()[:4] == b"glTF"


def test_a_value_is_read_where_it_was_clicked(page, png, answer):
    upload(page, png)
    expect(page.locator("#summary")).to_contain_text("tiny")
    open_tab(page, "Depth")
    said = read_at(page, 0.25, 0.75)
    column, row = map(int, said.removeprefix("pixel (").partition(")")[0].split(","))
    assert abs(column - 80) <= 1 and abs(row - 180) <= 1
    assert f"{answer('tiny', 60.0).values[row, column]:.2f} m along the optical axis" in said


def test_the_field_of_view_changes_metres_and_cloud(page, png, answer, tmp_path):
    upload(page, png)
    expect(page.locator("#summary")).to_contain_text("tiny")
    before = page.locator("#summary").inner_text()
    see_cloud(page)
    narrow = saved(page, "glb", tmp_path).read_bytes()
    page.locator("#hfov input[type=number]").fill("120")
    expect(page.locator("#summary")).not_to_have_text(before)
    near, far = np.percentile(answer("tiny", 120.0).values, (2, 98))
    expect(page.locator("#summary")).to_contain_text(f"{near:.2f} to {far:.2f} m")
    assert saved(page, "glb", tmp_path).read_bytes() != narrow
    expect(page.locator("#cloud canvas")).to_be_visible()


def test_a_relative_model_gives_no_metres(page, png, answer, tmp_path):
    upload(page, png)
    expect(page.locator("#summary")).to_contain_text(" m,")
    page.locator("#model input").click()
    page.get_by_role("option", name="tiny_relative").click()
    expect(page.locator("#summary")).to_contain_text("tiny_relative")
    expect(page.locator("#summary")).not_to_contain_text(" m,")
    expect(page.locator("#save-glb")).to_be_disabled()
    open_tab(page, "Depth")
    said = read_at(page, 0.5, 0.5)
    assert "a relative value without a unit; larger is nearer" in said and " m " not in said
    path = saved(page, "depth_png", tmp_path)
    assert path.name == "corridor_disparity.png"
    steps = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(float)
    wanted = DepthPicture.of(answer("tiny_relative", 60.0)).steps
    np.testing.assert_allclose(steps, wanted, atol=60)  # a thousandth of the range


def test_an_example_brings_its_field_of_view(page):
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#summary")).to_contain_text("640 × 480")
    expect(page.locator("#hfov input[type=number]")).not_to_have_value("60")


def test_a_video_plays_beside_its_depth(page, png, tmp_path):
    rgb = cv2.imread(str(png))[..., ::-1]
    with VideoWriter(tmp_path / "still.mp4", (320, 240), Fraction(1, 10), Fraction(10)) as writer:
        for stamp in range(5):
            writer.add(rgb, stamp)
    open_tab(page, "Video")
    page.locator("#start").click()
    expect(page.locator(".toast-wrap")).to_contain_text("there is no video yet")
    page.set_input_files("#video input[type=file]", tmp_path / "still.mp4")
    expect(page.locator("#video video")).to_be_visible()
    page.locator("#steady input").check()
    page.locator("#start").click()
    expect(page.locator("#video-summary")).to_contain_text("5 frames")
    expect(page.locator("#video-summary")).to_contain_text("steadied by flow")
    playing = page.locator("#depth-video video")
    expect(playing).to_be_visible()
    playing.evaluate(
        "video => new Promise(loaded => video.readyState ? loaded() : "
        "video.addEventListener('loadeddata', loaded))"
    )
    size = playing.evaluate("video => [video.videoWidth, video.videoHeight, video.duration]")
    assert size == [640, 240, 0.5]
    with page.expect_download() as download:
        page.locator("#video-save-color").click()
    assert download.value.suggested_filename == "still_color.mp4"
    download.value.save_as(tmp_path / "color.mp4")
    assert VideoFile(tmp_path / "color.mp4").count == 5


def test_it_serves_nothing_else_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which is not asked for the page
    command = [sys.executable, "-m", "depth_anything_ros", "web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
            ask = build_opener(ProxyHandler({})).open
            functions = json.load(ask(f"{address}/gradio_api/info"))
            assert functions == {"named_endpoints": {}, "unnamed_endpoints": {}}
            for path in ("/etc/passwd", Path(__file__).resolve()):
                with pytest.raises(HTTPError) as refused:
                    ask(f"{address}/gradio_api/file={path}")
                assert refused.value.code == 403
            (folder,) = tmp_path.glob("depth_anything_web_*")
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert not folder.exists()


def png_of(width, height):
    """A PNG of a size, whose pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("size", [(1280, 800)], indirect=True)
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\nnonsense and no header", "'wrong.png': a file of PNG"),
        (png_of(30_000, 30_000), "900 million pixels; 2 are allowed"),
        (bytes(2 << 20), "maximum allowed size of 1.0 Mb"),
    ],
    ids=["broken", "megapixels", "bytes"],
)
def test_a_file_that_cannot_be_used(page, png, tmp_path, data, why):
    upload(page, png)
    expect(page.locator("#summary")).to_contain_text("tiny")
    path = tmp_path / "wrong.png"
    path.write_bytes(data)
    page.get_by_label("Remove Image").click()
    expect(page.locator("#summary")).to_be_empty()
    upload(page, path)
    expect(page.locator(".toast-wrap")).to_contain_text(why)
    # Nothing of the picture before passes for the answer to this one.
    expect(page.locator("#summary")).to_be_empty()
    expect(page.locator("#compare img")).to_have_count(0)
    expect(page.locator("#save-depth_png")).to_be_disabled()
