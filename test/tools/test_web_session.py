"""What the page shows, without the page."""

import json
import math
import struct
import zlib
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.depth_files import DepthPicture
from depth_anything_ros.core.errors import ImageError, ModelError, SourceError
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.pipeline import depth as pipeline_module
from depth_anything_ros.tools import web_session as session
from depth_anything_ros.tools.video_files import VideoFile, VideoWriter
from depth_anything_ros.tools.web_session import Limits, ModelChoice, read_picture, reading

SIZE = (160, 120)


@pytest.fixture(scope="module")
def png(tmp_path_factory):
    """A picture of blocks of colours."""
    rgb = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("web") / "blocks.png"
    cv2.imwrite(str(path), cv2.resize(rgb, SIZE, interpolation=cv2.INTER_CUBIC))
    return path


@pytest.fixture(scope="module")
def metric():
    return pipeline_module.DepthPipeline(DepthEstimator("tiny", precision="fp32"))


@pytest.fixture(scope="module")
def relative():
    return pipeline_module.DepthPipeline(DepthEstimator("tiny_relative", precision="fp32"))


def with_exif(path, orientation, focal_mm):
    """Write a JPEG that says how it was held, and its focal length on 35 mm film."""
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.fromarray(np.zeros((60, 80, 3), np.uint8))
    exif = pillow.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = focal_mm
    picture.save(path, exif=exif)
    return path


class TestReading:
    camera = Camera(2, 2, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1))

    def test_metres(self):
        depth = DepthMap(np.array([[1, 2], [np.nan, np.inf]], np.float32), self.camera)
        # At (1, 0) the ray is (1, 0, 1): 2 m along the axis are 2 * sqrt(2) m away.
        said = reading(depth, 1, 0)
        assert said == "pixel (1, 0): **2.00 m** along the optical axis, 2.83 m from the camera"
        assert reading(depth, 0, 0).endswith("1.00 m from the camera")
        assert "unknown" in reading(depth, 0, 1)
        assert "beyond range" in reading(depth, 1, 1)

    @pytest.mark.parametrize(
        ("kind", "word"), [(DisparityMap, "nearer"), (AffineDepthMap, "farther")]
    )
    def test_a_relative_value_never_passes_for_metres(self, kind, word):
        said = reading(kind(np.array([[1.5]], np.float32)), 0, 0)
        assert said == (f"pixel (0, 0): **1.5**, a relative value without a unit; larger is {word}")

    def test_a_large_picture_is_shown_smaller_and_read_where_it_was_clicked(self):
        values = np.tile(np.arange(2560, dtype=np.float32), (4, 1))
        assert session.shown_size(2560, 4) == (1280, 2)
        assert session.shown(np.zeros((4, 2560, 3), np.uint8)).shape == (2, 1280, 3)
        # The middle of the shown pixel 100 is between the columns 200 and 201.
        assert "pixel (201, 1)" in reading(DisparityMap(values), 100, 0)
        assert "pixel (2559, 3): **2559**" in reading(DisparityMap(values), 1279, 1)
        assert "pixel (2559, 3)" in reading(DisparityMap(values), 99_999, 99_999)


class TestPictures:
    def test_upright_and_with_its_field_of_view(self, tmp_path):
        path = with_exif(tmp_path / "held.jpg", 6, 50)
        picture = read_picture(path, Limits())
        assert picture.rgb.shape == (80, 60, 3)  # turned
        # 50 mm on a diagonal of 43.27 mm, of 100 px: the width of 60 px is seen at this angle.
        focal = 50 / math.hypot(36, 24) * 100
        assert picture.hfov_deg == round(math.degrees(2 * math.atan(30 / focal)), 1)
        assert not picture.doubt

    def test_nothing_is_known_of_other_cameras(self, png, tmp_path):
        assert read_picture(png, Limits()).hfov_deg is None
        # 1.1 deg: no camera of a phone, so rather a wrong entry.
        assert read_picture(with_exif(tmp_path / "a.jpg", 1, 2000), Limits()).hfov_deg is None

    def test_colours_are_rgb(self, tmp_path):
        cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 4, 3), (0, 0, 255), np.uint8))
        assert (read_picture(tmp_path / "red.png", Limits()).rgb == (255, 0, 0)).all()

    def test_too_many_bytes(self, tmp_path):
        path = tmp_path / "large.png"
        path.write_bytes(bytes(3 << 19))
        with pytest.raises(
            ImageError, match=r"'large.png' has 1.5 MiB; 1 MiB are allowed"
        ) as error:
            read_picture(path, Limits(upload_mib=1))
        assert error.value.reason == "too_large"

    def test_too_many_pixels_are_refused_by_the_header(self, tmp_path):
        def chunk(kind, data):
            return (
                struct.pack(">I", len(data))
                + kind
                + data
                + struct.pack(">I", zlib.crc32(kind + data))
            )

        header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
        (tmp_path / "wide.png").write_bytes(data)
        with pytest.raises(ImageError, match="900 million pixels; 50 are allowed"):
            read_picture(tmp_path / "wide.png", Limits())

    def test_a_broken_file_is_named(self, png, tmp_path):
        (tmp_path / "cut.png").write_bytes(png.read_bytes()[:200])
        with pytest.raises(ImageError, match=r"'cut.png': a file of PNG lacks its end"):
            read_picture(tmp_path / "cut.png", Limits())
        (tmp_path / "text.png").write_text("hello")
        with pytest.raises(ImageError, match=r"'text.png': no picture: it starts with b'hell'"):
            read_picture(tmp_path / "text.png", Limits())

    def test_a_jpeg_that_lacks_data_is_doubted_in_the_summary(self, metric, tmp_path):
        picture = np.full((64, 64, 3), 128, np.uint8)
        picture[:32] = np.random.default_rng(1).integers(0, 256, (32, 64, 3))
        cv2.imwrite(str(tmp_path / "lost.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
        view = session.view_of(read_picture(tmp_path / "lost.jpg", Limits()), metric, 60.0)
        assert "of 64 rows of a JPEG are the grey that stands in" in view.summary


class TestViews:
    def test_it_is_the_pipeline_s_answer(self, png, metric):
        picture = read_picture(png, Limits())
        view = session.view_of(picture, metric, 70.0)
        answer = metric.infer(picture.rgb, Camera.from_hfov(*SIZE, 70.0))
        np.testing.assert_array_equal(view.estimate.values, answer.estimate.values)
        assert view.answer.camera.hfov_deg == pytest.approx(70.0)
        near, middle, far = np.percentile(answer.estimate.values, (2, 50, 98))
        assert f"{near:.2f} to {far:.2f} m, median {middle:.2f}" in view.summary
        assert view.summary.startswith("**tiny** on cpu (torch) · 160 × 120 px · ")

    def test_the_field_of_view_scales_the_metres_of_a_model_that_needs_the_focal_length(
        self, png, metric
    ):
        picture = read_picture(png, Limits())
        wide, narrow = (session.view_of(picture, metric, hfov) for hfov in (90.0, 45.0))
        factor = math.tan(math.radians(45)) / math.tan(math.radians(22.5))
        np.testing.assert_allclose(narrow.estimate.values, factor * wide.estimate.values, rtol=1e-5)
        assert "the field of view scales depth" in wide.summary

    def test_a_relative_answer_has_no_metres_and_no_cloud(self, png, relative, tmp_path):
        view = session.view_of(read_picture(png, Limits()), relative, 60.0)
        assert view.answer.cloud() is None
        assert " m," not in view.summary and "no metres" in view.summary
        files = session.write_files(view, "turbo", tmp_path)
        assert [path.name for path in files.values()] == [
            "blocks_disparity.png",
            "blocks_color.png",
            "blocks.json",
        ]
        said = json.loads(files["json"].read_text())
        assert said["unit"] is None and "depth_scale_m" not in said

    def test_files_are_those_of_the_answer(self, png, metric, tmp_path):
        view = session.view_of(read_picture(png, Limits()), metric, 60.0)
        files = session.write_files(view, "turbo", tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted(files.values())
        steps = cv2.imread(str(files["depth_png"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(steps, DepthPicture.of(view.estimate).steps)
        said = json.loads(files["json"].read_text())
        assert (said["unit"], said["depth_scale_m"], said["model"]) == ("m", 0.001, "tiny")
        assert said["depth_file"] == files["depth_png"].name and said["source"] == "blocks.png"
        assert said["K"] == list(view.answer.camera.K)
        painted = colorize(view.estimate.nearness(), "turbo")
        np.testing.assert_array_equal(cv2.imread(str(files["color"]))[..., ::-1], painted)
        assert files["glb"].read_bytes()[:4] == b"glTF"

    def test_a_long_name_makes_files_all_the_same(self, png, metric, tmp_path):
        path = tmp_path / f"{'a' * 250}.png"
        path.write_bytes(png.read_bytes())
        view = session.view_of(read_picture(path, Limits()), metric, 60.0)
        (tmp_path / "files").mkdir()
        session.write_files(view, "turbo", tmp_path / "files")
        assert len(list((tmp_path / "files").iterdir())) == 4

    def test_a_cloud_of_a_large_picture_is_thinned(self, metric, monkeypatch, png):
        monkeypatch.setattr(session, "MOST_POINTS", 160 * 120 / 4)
        view = session.view_of(read_picture(png, Limits()), metric, 60.0)
        assert view.estimate.values.shape == (120, 160)  # the depth is not
        assert 0 < view.answer.cloud().width <= 80 * 60


class TestModels:
    def test_those_that_are_here_are_offered_and_others_named(self):
        models = ModelChoice("tiny_relative")
        assert models.names[:2] == ["tiny_relative", "tiny"]
        absent = {card.name: card for card in models.absent}
        assert absent and not set(absent) & set(models.names)
        lines = list(models.absent_lines())
        assert len(lines) == 2 + len(absent)
        for name, how in (
            ("depth_anything_v2_small", "weights fetch depth_anything_v2_small`"),
            ("depth_anything_v2_giant", "not released"),
        ):
            (line,) = (line for line in lines if line.startswith(f"| {name} |"))
            assert how in line
        assert any("**not for commercial use**" in line for line in lines)

    def test_one_that_is_not_offered_is_not_loaded(self):
        with pytest.raises(ModelError, match="'test_v2' is not one of tiny, tiny_relative"):
            ModelChoice("tiny").pipeline("test_v2")

    def test_one_is_loaded_at_a_time_and_stays(self, monkeypatch):
        monkeypatch.setattr(session, "load_estimator", DepthEstimator)  # no search for an engine
        models = ModelChoice("test_da3_metric", "random")
        first = models.pipeline("test_da3_metric")
        assert models.pipeline("test_da3_metric") is first
        assert models.pipeline("tiny_relative").kind == "relative"
        assert models.pipeline("test_da3_metric") is not first


class TestVideos:
    @pytest.fixture
    def mp4(self, tmp_path):
        """Four frames of 64x48, at 10 a second."""
        pytest.importorskip("av")
        path = tmp_path / "clip.mp4"
        rng = np.random.default_rng(2)
        with VideoWriter(path, (64, 48), Fraction(1, 10), Fraction(10)) as writer:
            for stamp in range(4):
                writer.add(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), stamp)
        return path

    @pytest.fixture
    def asked(self, tmp_path):
        (tmp_path / "out").mkdir()
        return ModelChoice("tiny").asked("tiny", 70.0, "turbo", tmp_path / "out")

    @pytest.fixture(autouse=True)
    def no_search_for_an_engine(self, monkeypatch):
        monkeypatch.setattr(session, "load_estimator", DepthEstimator)

    def test_it_becomes_videos_of_the_same_length(self, mp4, asked, metric):
        told = []
        files = session.predict_video(mp4, asked, metric, Limits(), lambda *n: told.append(n))
        assert list(files) == list(session.VIDEO_DOWNLOADS)
        assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
        painted, beside = VideoFile(files["color"]), VideoFile(files["side_by_side"])
        assert (painted.size, painted.count, painted.rate) == ((64, 48), 4, 10)
        assert (beside.size, beside.count) == ((128, 48), 4)
        camera = Camera.from_hfov(64, 48, 70.0)
        assert json.loads(files["json"].read_text())["K"] == list(camera.K)
        assert session.video_summary(files["json"]) == (
            "**tiny** · 64 × 48 px · 4 frames · 10 a second"
        )

    def test_steady_depth_is_of_the_frames_before_too(self, mp4, asked, metric):
        steady = replace(asked, steady="flow")
        values = []
        for one in (asked, steady, asked):
            files = session.predict_video(mp4, one, metric, Limits(), print)
            values.append(list(VideoFile(files["color"])))
            said = session.video_summary(files["json"])
            assert ("steadied by flow" in said) == (one is steady)
        plain, steadied, again = ([frame.rgb() for frame in frames] for frames in values)
        assert all(map(np.array_equal, plain, again))
        assert not all(map(np.array_equal, plain, steadied))

    @pytest.mark.parametrize(
        ("limits", "why"),
        [
            (Limits(frames=3), "'clip.mp4' has 4 frames; 3 are allowed"),
            (Limits(upload_mib=0.0001), "MiB; 0.0001 MiB are allowed"),
            (Limits(megapixels=0.001), "a picture of 64x48 has 0.003072 million pixels"),
        ],
    )
    def test_one_that_is_too_large(self, mp4, asked, metric, limits, why):
        with pytest.raises(ImageError, match=why):
            session.predict_video(mp4, asked, metric, limits, print)

    def test_what_is_no_video_is_named_without_this_machine_s_folders(
        self, tmp_path, asked, metric
    ):
        pytest.importorskip("av")
        path = tmp_path / "text.mp4"
        path.write_text("hello")
        with pytest.raises(SourceError, match=r"cannot read the video 'text.mp4': ") as error:
            session.predict_video(path, asked, metric, Limits(), print)
        assert str(tmp_path) not in str(error.value)
