import json
import math
import mmap

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.tools.anchoring_benchmark import METHODS, distorted
from depth_anything_ros.tools.command import main
from depth_anything_ros.tools.model_benchmark import relative_difference
from depth_anything_ros.tools.node_benchmark import count
from depth_anything_ros.tools.timing import PeakMemory, exponent, in_turn, markdown


@pytest.mark.slow
def test_the_table_of_anchoring(tmp_path, capsys):
    output = tmp_path / "table.json"
    words = ("anchoring", "--world", "1", "--size", "84x56", "--device", "cpu")
    assert main(["benchmark", *words, "--output", str(output)]) == 0
    said = capsys.readouterr().out.splitlines()
    rows = json.loads(output.read_text())
    # 4,704 pixels: at most half of them are fitted, so there is no line with 5000 points.
    assert {(row["source"], row["points"]) for row in rows} == {
        (source, points) for source in ("distorted", "model") for points in (16, 100, 500)
    }
    assert {row["outliers"] for row in rows} == {0.0, 0.3, 0.5}
    assert {row["method"] for row in rows} == set(METHODS)
    assert sum(any(line.startswith(s) for s in ("distorted ", "model ")) for line in said) == len(
        rows
    )
    found = {(r["source"], r["points"], r["outliers"], r["method"]): r for r in rows}
    best, plain = (found["distorted", 500, 0.0, name] for name in ("kriging", "least_squares"))
    assert best["rmse_m"] < 0.5 * plain["rmse_m"]


def test_a_distortion_is_no_line_but_near_one():
    rng = np.random.default_rng(3)
    depth = np.exp(rng.uniform(0, 3, (40, 50))).astype(np.float32)
    mask = np.ones(depth.shape, bool)
    mask[0] = False
    disparity = distorted(depth, mask, rng)
    assert disparity.dtype == np.float32 and np.isfinite(disparity).all()
    fit = fit_scale_shift(disparity, depth, mask)
    error = np.abs(fit.apply(disparity)[mask] / depth[mask] - 1)
    assert fit.scale > 0 and 0.03 < np.median(error) < 0.4


# Speed: what is there to be seen, not how fast it is ----------------------------------------


def test_ways_take_turns_and_tables_line_up():
    called = []
    times = in_turn({name: lambda name=name: called.append(name) for name in "ab"}, 2, warm_up=1)
    assert called == list("ababab") and {name: len(ms) for name, ms in times.items()} == {
        "a": 2,
        "b": 2,
    }
    assert markdown(("what", "ms"), [("1x2", "1.5"), ("three", "20.0")]) == [
        "| what  |   ms |",
        "| ----- | ---: |",
        "| 1x2   |  1.5 |",
        "| three | 20.0 |",
    ]
    sizes = (1e2, 1e3, 1e5)
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_peak_memory_is_that_of_the_block():
    # Fresh pages: numpy may be given memory that an earlier test freed, which counts as held.
    held = np.frombuffer(mmap.mmap(-1, 40_000_000), np.uint8)
    with PeakMemory() as memory:
        held[:] = 1
    assert math.isnan(memory.mb) or 35 < memory.mb < 100
    assert held.all()


def test_a_difference_is_a_share_of_the_range():
    exact = np.array([[1.0, 5.0], [np.inf, 3.0]], np.float32)
    assert relative_difference(exact, exact) == (0.0, 0.0)
    other = np.array([[1.4, 5.0], [np.inf, 3.0]], np.float32)
    assert relative_difference(other, exact) == pytest.approx((0.1, 0.025))
    assert relative_difference(np.where(exact > 4, 1, exact), exact)[0] == 1.0  # finite elsewhere


@pytest.mark.slow
def test_models_beside_the_pipeline(tmp_path, capsys):
    pytest.importorskip("transformers")
    output = tmp_path / "models.json"
    words = ["--models", "tiny,depth_anything_v2_small", "--sizes", "70", "--runs", "2"]
    words += ["--engines", "torch,tensorrt", "--precisions", "fp32", "--device", "cpu"]
    assert main(["benchmark", "model", *words, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    content = json.loads(output.read_text())
    assert content["machine"]["cores"] >= 1 and "torch" in content["machine"]["versions"]
    rows = {(row["model"], row["way"]): row for row in content["rows"]}
    assert len(rows) == len(content["rows"]) == 2 * 3 + 1
    sizes = {(row["model"], row["height"], row["width"]) for row in rows.values()}
    assert sizes == {("tiny", 96, 96), ("depth_anything_v2_small", 70, 98)}
    pipeline, ours = (
        rows["depth_anything_v2_small", way] for way in ("transformers pipeline", "torch fp32")
    )
    assert pipeline["ratio"] == 1 and ours["ratio"] > 0 and ours["runs"] == 2
    assert ours["max_difference"] < 1e-5 and ours["median_ms"] <= ours["p95_ms"]
    # The same network; its pipeline resizes the picture and the position embedding otherwise.
    assert 0 < pipeline["mean_difference"] < 0.1
    eager = rows["depth_anything_v2_small", "transformers pipeline, eager attention"]
    assert eager["runs"] == 2 and "attention eager" in eager["note"]
    assert eager["mean_difference"] == pytest.approx(pipeline["mean_difference"], rel=1e-2)
    assert "no such network" in rows["tiny", "transformers pipeline"]["note"]
    assert rows["tiny", "tensorrt fp32"]["median_ms"] is None
    assert "tensorrt" in rows["tiny", "tensorrt fp32"]["note"]
    assert "depth_anything_v2_small 70x98, torch fp32: depth_anything_v2_small" in said


@pytest.mark.slow
def test_scaling_with_its_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    output, plot = tmp_path / "scaling.json", tmp_path / "scaling.png"
    words = ["--parts", "cameras,clouds,LiDAR", "--runs", "1", "--device", "cpu"]
    words += ["--engine", "torch", "--plot", str(plot), "--output", str(output)]
    assert main(["benchmark", "scaling", *words]) == 0
    curves = {row["of"]: row for row in json.loads(output.read_text())["rows"]}
    assert list(curves) == ["cameras", "clouds", "LiDAR"]
    assert curves["clouds"]["sizes"][0] == 160 * 120
    assert all(math.isfinite(row["exponent"]) for row in curves.values())
    assert "clouds: time grows with size to the power of" in capsys.readouterr().out
    drawn = cv2.imread(str(plot))
    assert drawn.shape[0] > 500 and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10


def test_pictures_are_counted_after_the_warm_up():
    begin = 10**18
    published = [begin + i * 100_000_000 for i in range(60)]  # at 10 Hz
    delay = 20_000_000
    depth = [(stamp, stamp + delay) for stamp in published if stamp % 1_000_000_000]
    counted = count(published, {"depth/image_rect": depth}, 3.0, 2.0)
    assert counted.published == 20 and counted.missing("depth/image_rect") == 2
    assert set(counted.latency_ms["depth/image_rect"]) == {20.0}


@pytest.mark.slow
def test_the_node_between_a_camera_and_a_listener(tmp_path, capsys):
    output = tmp_path / "nodes.json"
    words = ["--sizes", "160x120", "--input-sizes", "56", "--transports", "profile"]
    words += [
        "--rate",
        "5",
        "--warm-up",
        "1",
        "--seconds",
        "2",
        "--transport-rounds",
        "1",
        "--device",
        "cpu",
        "--engine",
        "torch",
    ]
    assert main(["benchmark", "node", *words, "--output", str(output)]) == 0
    transport, _, node = json.loads(output.read_text())["rows"]
    assert transport["transport"] == "profile, best effort"
    assert 0 < transport["published"] <= 41 and transport["latency_ms"]["p50"] > 0
    assert 0 < node["published"] <= 11 and node["transport"] == "profile"
    assert 0 < node["answered"]["depth/image_rect"] <= 11 and node["answered"]["points"] > 0
    assert node["cpu_cores"] > 0 and node["memory_mb"] > 50
    assert float(node["diagnostics"]["latency p50 (ms)"]) > 0
    said = capsys.readouterr().out
    stages = next(line for line in said.splitlines() if "stages, p50 (ms)" in line)
    assert {"transport", "wait", "decode", "net", "cloud", "publish", "in the node but net"} <= {
        cell.strip() for cell in stages.split("|")
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model", "--engines", "torche"), "no engine 'torche'"),
        (("model", "--sizes", "a"), "--sizes is 'a'"),
        (("model", "--runs", "0"), "--runs must be 1 or more"),
        (("scaling", "--parts", "pixels"), "no part 'pixels'"),
        (("node", "--transports", "tcp"), "no transport 'tcp'"),
        (("node", "--sizes", "640"), "'640' is no size"),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, said, capsys):
    assert main(["benchmark", *words]) == 2
    assert said in capsys.readouterr().err
