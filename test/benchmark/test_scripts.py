"""The scripts of benchmark/: what they say is there to be seen, not how fast it is."""

import csv
import json
import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.alignment import fit_scale_shift


@pytest.fixture
def script(repository, monkeypatch):
    """Import a script of benchmark/."""
    monkeypatch.syspath_prepend(repository / "benchmark")
    return __import__


def run(repository, name, *words):
    """Run a script in a process of its own; return what it printed."""
    command = [sys.executable, repository / "benchmark" / name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_anchoring(script, tmp_path, capsys):
    anchoring, output = script("anchoring"), tmp_path / "table.csv"
    words = ("--world", "1", "--size", "84x56", "--device", "cpu", "--output", str(output))
    assert anchoring.main(words) == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(r["source"], int(r["points"]), r["outliers"], r["method"]): r for r in rows}
    # 4,704 pixels: at most half of them are fitted, so there is no line with 5000 points.
    assert set(found) == {
        (source, points, outliers, method)
        for source in ("distorted", "model")
        for points in (16, 100, 500)
        for outliers in ("0.0", "0.3", "0.5")
        for method in anchoring.METHODS
    }
    best, plain = (found["distorted", 500, "0.0", name] for name in ("kriging", "least_squares"))
    assert float(best["rmse_m"]) < 0.5 * float(plain["rmse_m"])
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("distorted ", "model ")) for line in said) == len(rows)


def test_a_distortion_is_no_line_but_near_one(script):
    rng = np.random.default_rng(3)
    depth = np.exp(rng.uniform(0, 3, (40, 50))).astype(np.float32)
    mask = np.ones(depth.shape, bool)
    mask[0] = False
    disparity = script("anchoring").distorted(depth, mask, rng)
    assert disparity.dtype == np.float32 and np.isfinite(disparity).all()
    fit = fit_scale_shift(disparity, depth, mask)
    error = np.abs(fit.apply(disparity)[mask] / depth[mask] - 1)
    assert fit.scale > 0 and 0.03 < np.median(error) < 0.4


def test_all_ways_make_the_same_cloud(script):
    cloud = script("cloud")
    found = cloud.ways(64, 48)
    messages = {name: way() for name, way in found.items() if "flying" not in name}
    ours = messages[cloud.OURS]
    assert (ours.width, ours.height, ours.is_dense) == (64, 48, True)
    for name, message in messages.items():
        assert message.data == ours.data, name
        assert message.point_step == 16 and message.fields == ours.fields
    assert not found[f"{cloud.OURS}, without flying pixels"]().is_dense


@pytest.mark.slow
def test_clouds(repository, tmp_path):
    output = tmp_path / "cloud.json"
    said = run(repository, "cloud.py", "--size", "64x48", "--runs", 2, "--output", output)
    rows = json.loads(output.read_text())["rows"]
    assert rows[0]["ratio"] == 1 and all(row["median_ms"] > 0 for row in rows)
    assert len(rows) == 5 and "create_cloud of a list" in said


@pytest.mark.slow
def test_scaling_with_its_plot(repository, tmp_path):
    output, plot = tmp_path / "scaling.json", tmp_path / "scaling.png"
    words = ("--parts", "cameras", "clouds", "LiDAR", "--runs", 1, "--device", "cpu")
    said = run(repository, "scaling.py", *words, "--plot", plot, "--output", output)
    curves = {row["of"]: row for row in json.loads(output.read_text())["rows"]}
    assert list(curves) == ["cameras", "clouds", "LiDAR"]
    assert curves["clouds"]["sizes"][0] == 160 * 120
    assert all(math.isfinite(row["exponent"]) for row in curves.values())
    assert "clouds: time grows with size to the power of" in said
    drawn = cv2.imread(str(plot))
    assert drawn.shape[0] > 500 and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10


def test_the_exponent_of_a_power(script):
    sizes = (1e2, 1e3, 1e5)
    found = script("scaling").exponent(sizes, [3 * size**1.5 for size in sizes])
    assert found == pytest.approx(1.5)


@pytest.mark.slow
def test_engines_beside_the_pipeline_of_transformers(repository, tmp_path):
    pytest.importorskip("transformers")
    output = tmp_path / "models.json"
    words = ("--models", "depth_anything_v2_small", "--sizes", 70, "--runs", 2)
    words += ("--engines", "torch", "--precisions", "fp32", "--device", "cpu")
    said = run(repository, "transformers_pipeline.py", *words, "--output", output)
    rows = {row["way"]: row for row in json.loads(output.read_text())["rows"]}
    pipeline, ours = rows["transformers pipeline"], rows["torch fp32"]
    assert pipeline["ratio"] == 1 and ours["ratio"] > 0 and ours["runs"] == 2
    # The same network; its pipeline resizes the picture and the position embedding otherwise.
    assert 0 < pipeline["mean_difference"] < 0.1 and ours["max_difference"] < 1e-5
    eager = rows["transformers pipeline, eager attention"]
    assert eager["runs"] == 2 and "attention eager" in eager["note"]
    assert eager["mean_difference"] == pytest.approx(pipeline["mean_difference"], rel=1e-2)
    assert "of transformers pipeline's speed" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("message_path.py", ("--sizes", "64x48", "--runs", 2), "| 64x48, lens |"),
        ("memory.py", ("--at", 2, 4), "change: RSS"),
        (
            "multi_camera.py",
            ("--rounds", 1, "--seconds", 4, "--warm-up", 4),
            "| one / three       |",
        ),
    ],
)
def test_what_runs_nodes(repository, name, words, said):
    assert said in run(repository, name, *words)


@pytest.mark.slow
def test_on_gpu_runs_on_a_cpu_too(repository, tmp_path):
    command = [repository / "benchmark/on_gpu.sh", "--device", "cpu", "--quick"]
    command += ["--output", tmp_path, "--python", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        part: json.loads((tmp_path / f"{part}.json").read_text()) for part in ("model", "node")
    }
    ways = {row["way"]: row for row in found["model"]["rows"]}
    assert ways["auto"]["median_ms"] and ways["torch fp32"]["median_ms"]
    # Or the gate refuses what this processor makes of bfloat16, which differs.
    in_bf16 = ways["torch bf16"]
    assert in_bf16["median_ms"] or "(limit 2%)" in in_bf16["note"]
    assert all(row["answered"]["depth/image_rect"] > 0 for row in found["node"]["rows"])
    for words in ("## model", "of the roofline", "## scaling", "## node", "answers/s"):
        assert words in done.stdout


def test_on_gpu_says_what_it_takes(repository):
    done = subprocess.run(
        [repository / "benchmark/on_gpu.sh", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "--device cuda" in done.stderr
    lost = [repository / "benchmark/on_gpu.sh", "--python", "/nowhere/python"]
    done = subprocess.run(lost, capture_output=True, text=True)
    assert done.returncode == 2 and "there is no /nowhere/python: run make install" in done.stderr
