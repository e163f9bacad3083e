import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.tools import pseudo_label
from depth_anything_ros.tools.command import build_parser
from depth_anything_ros.training.pseudo_label import PROVENANCE
from depth_anything_ros.training.samples import FolderSource

CAMERA = Camera.from_hfov(64, 48, 70.0)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        picture = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
        cv2.imwrite(str(folder / f"p{i}.png"), picture)
    return folder


def label(pictures, output, *more, model="test_relative"):
    words = ["pseudo-label", "--model", model, "--weights", "random", "--device", "cpu"]
    words += ["--input-size", "56", "--input", str(pictures), "--output", str(output), *more]
    return pseudo_label.run(build_parser().parse_args(words))


def test_disparity_of_a_relative_teacher(pictures, tmp_path, capsys):
    output = tmp_path / "labels"
    assert label(pictures, output) == 0
    assert "3 of 3 pictures" in capsys.readouterr().out
    source = FolderSource(output)
    teacher = DepthEstimator("test_relative", "random", "cpu", input_size=56)
    assert source.count == 3
    for i in range(3):
        sample = source.get(i)
        exact = teacher.infer(sample.rgb).disparity
        np.testing.assert_allclose(sample.disparity, exact, rtol=1e-3, atol=1e-6)
        assert sample.depth_m is None
    assert (output / "p0.png").samefile(pictures / "p0.png")
    made_by = json.loads((output / PROVENANCE).read_text())
    assert made_by["teacher"] == "test_relative" and made_by["input_size"] == 56


def test_depth_of_a_metric_teacher_with_its_camera(pictures, tmp_path):
    fields = {"width": 128, "height": 96, "K": CAMERA.scaled(128, 96).K}
    (pictures / "calib.json").write_text(json.dumps(fields))
    output = tmp_path / "labels"
    label(pictures, output, model="test_metric")
    sample = FolderSource(output).get(1)
    teacher = DepthEstimator("test_metric", "random", "cpu", input_size=56)
    np.testing.assert_allclose(sample.depth_m, teacher.infer(sample.rgb).depth_m, rtol=1e-5)
    assert sample.disparity is None and sample.focal_px == pytest.approx(CAMERA.K[0])


def test_a_metric_teacher_wants_a_camera(pictures, tmp_path):
    with pytest.raises(SourceError, match=r"p0\.png needs its camera; write p0\.json"):
        label(pictures, tmp_path / "labels", model="test_metric")


def test_a_stopped_run_goes_on_where_it_stopped(pictures, tmp_path, capsys):
    output = tmp_path / "labels"
    label(pictures, output)
    (output / "p1.png").unlink()  # as if killed between a label and its picture
    written = {p.name: p.stat().st_mtime_ns for p in output.iterdir()}
    capsys.readouterr()
    label(pictures, output)
    assert "1 of 3 pictures to label" in capsys.readouterr().out
    assert FolderSource(output).count == 3
    changed = {p.name for p in output.iterdir() if p.stat().st_mtime_ns != written.get(p.name)}
    assert changed == {"p1.png", "p1_disparity.npy"} or changed == {"p1_disparity.npy"}


def test_labels_of_two_teachers_are_not_mixed(pictures, tmp_path):
    label(pictures, tmp_path / "labels")
    with pytest.raises(SourceError, match=r"has labels of .*'input_size': 56"):
        label(pictures, tmp_path / "labels", "--input-size", "70")
    with pytest.raises(SourceError, match="choose another output"):
        label(pictures, pictures)
