"""``depth_anything evaluate`` on folders made here, on the world, and on real recordings."""

import csv
import json
import math
import os

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.alignment import METHODS, SPACES
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.evaluation import DepthRange, compare
from depth_anything_ros.core.metrics import METRICS
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.core.protocols import KITTI_EIGEN, PROTOCOLS
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.sim.world import views
from depth_anything_ros.tools import evaluation
from depth_anything_ros.tools.evaluation import ImageScores
from depth_anything_ros.tools.evaluation_report import EvaluationResult, lines, means, worst_first
from depth_anything_ros.tools.parsers import DATASETS, build_parser

CAMERA = Camera.from_hfov(64, 48, 70.0)
# x forward, y left, z up of the LiDAR to x right, y down, z forward.
T_CAMERA_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0.1], [1, 0, 0, 0], [0, 0, 0, 1.0]])
RANDOM = ["--weights", "random", "--device", "cpu", "--input-size", "28"]


@pytest.fixture
def evaluate(command):
    """Evaluate with random weights; return what was said, the report and the rows of the CSV."""

    def run(output, *words):
        said = command.says("evaluate", *RANDOM, "--output", output, *words)
        with (output / "pictures.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return said, json.loads((output / "report.json").read_text()), rows

    return run


def recording(folder, depth_m=None, points=None, camera=CAMERA):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    cv2.imwrite(str(folder / "color.png"), rng.integers(0, 255, (48, 64, 3), np.uint8))
    fields = {"width": 64, "height": 48, "K": camera and camera.K, "D": []}
    if depth_m is not None:
        steps = np.round(depth_m * 256).astype(np.uint16)
        cv2.imwrite(str(folder / "depth.png"), steps)
        fields |= {"depth_file": "depth.png", "depth_scale_m": 1 / 256}
    if points is not None:
        points.astype("<f4").tofile(folder / "lidar.bin")
        fields["T_camera_lidar"] = T_CAMERA_LIDAR.ravel().tolist()
    (folder / "calib.json").write_text(json.dumps(fields))


@pytest.fixture
def data(tmp_path):
    """A wall, a floor, LiDAR points, a picture of an unknown camera, and a folder of pictures."""
    folder = tmp_path / "data"
    recording(folder / "wall", np.full((48, 64), 4.0))
    rows = np.arange(48.0)[:, None] + np.zeros((1, 64))
    recording(folder / "floor", 60 / (rows + 2))
    xyz = np.random.default_rng(0).uniform((3, -2, -1), (9, 2, 1), (300, 3))
    recording(folder / "lidar", points=np.column_stack((xyz, np.ones(300))))
    noise = np.random.default_rng(1).uniform(1, 9, (48, 64))
    recording(folder / "unknown", noise, camera=None)
    recording(folder / "far", np.full((48, 64), 200.0))
    recording(folder / "plain")
    (folder / "pictures").mkdir()
    return folder


def test_recordings_are_scored_worst_first(data, tmp_path, evaluate):
    said, report, _ = evaluate(tmp_path / "out", "--data", data)
    rows = {row["name"]: row for row in report["worst_first"]}
    assert set(rows) == {"wall", "floor", "lidar", "unknown"}
    errors = [row["aligned_abs_rel"] for row in report["worst_first"]]
    assert errors == sorted(errors, reverse=True)
    places = [said.index(f"\n{row['name']} ") for row in report["worst_first"]]
    assert places == sorted(places) and places[-1] < said.index("\nmean of 4 pictures")
    for line in (
        "left out: pictures: no calibration",
        "left out: plain: no ground truth",
        "left out: far: fewer than 10 pixels with ground truth from 0.001 to 80 m",
    ):
        assert line in said and line.removeprefix("left out: ") in report["left_out"]
    assert rows["wall"]["best_constant_abs_rel"] == 0 == rows["wall"]["aligned_abs_rel"]
    # Rounded to 1/256 m.
    assert rows["floor"]["best_plane_abs_rel"] < 2e-3 < rows["floor"]["best_constant_abs_rel"]
    assert rows["unknown"]["metric_abs_rel"] is None and report["pictures_with_metres"] == 3
    assert rows["lidar"]["metric_abs_rel"] > 0 and 100 < rows["lidar"]["pixels"] <= 300
    panels = sorted(path.name for path in (tmp_path / "out" / "panels").iterdir())
    assert panels == ["floor.png", "lidar.png", "unknown.png", "wall.png"]


def test_the_csv_says_what_the_report_says(data, tmp_path, evaluate):
    _, report, rows = evaluate(tmp_path / "out", "--data", data, "--model", "tiny_relative")
    assert [row["name"] for row in rows] == [row["name"] for row in report["worst_first"]]
    for row, told in zip(rows, report["worst_first"], strict=True):
        assert row["metric_abs_rel"] == "" and told["metric_abs_rel"] is None
        assert float(row["aligned_abs_rel"]) == told["aligned_abs_rel"]
    mean = np.mean([row["aligned_abs_rel"] for row in report["worst_first"]])
    assert report["mean"]["aligned_abs_rel"] == pytest.approx(mean, rel=1e-4)
    assert "MiDaS" in report["alignment"] and report["range_m"] == [0.001, 80.0]
    assert report["protocol"]["name"] == "range" and report["protocol"]["crop"] is None
    columns = {f"{prefix}_{name}" for prefix in ("metric", "aligned") for name in METRICS}
    assert columns <= set(rows[0])


def test_the_alignment_is_chosen_and_told(data, tmp_path, evaluate):
    words = ("--align", "ransac", "--align-space", "log_depth")
    said, report, table = evaluate(tmp_path / "out", "--data", data, *words)
    assert report["align"] == {"method": "ransac", "space": "log_depth"}
    assert report["alignment"] == "RANSAC of scale and shift in log depth, per picture"
    told = {row["name"]: row["aligned_by"] for row in report["worst_first"]}
    assert told["wall"] == "scale_only"  # one depth determines no line
    assert sum(report["aligned_by"].values()) == report["pictures"] == 4
    assert told == {row["name"]: row["aligned_by"] for row in table}
    assert "\nalignment: RANSAC of scale and shift in log depth, per picture\n" in said
    assert "\naligned by a simpler method: " in said


def test_without_an_alignment_only_metres_are_scored(data, tmp_path, evaluate, command):
    _, report, _ = evaluate(tmp_path / "out", "--data", data, "--align", "none")
    assert {row["name"] for row in report["worst_first"]} == {"wall", "floor", "lidar"}
    assert "unknown: no metres, for its camera is not known" in report["left_out"]
    for row in report["worst_first"]:
        assert row["aligned_by"] == "none" and row["aligned_rmse"] == row["metric_rmse"]
    words = ("--data", data, "--model", "tiny_relative", "--align", "none")
    assert "tiny_relative answers no metres" in command.refuses("evaluate", *words)


def test_a_protocol_by_name_with_a_cap_of_its_own(data, tmp_path, evaluate):
    words = ("--protocol", "kitti_eigen", "--max-depth", "20")
    _, report, _ = evaluate(tmp_path / "out", "--data", data, *words)
    protocol, crop = report["protocol"], KITTI_EIGEN.mask(48, 64)
    assert protocol["name"] == "kitti_eigen"
    assert (protocol["min_m"], protocol["max_m"]) == (1e-3, 20)
    assert protocol["crop"]["source"] == KITTI_EIGEN.source
    wall = next(row for row in report["worst_first"] if row["name"] == "wall")
    assert wall["pixels"] == crop.sum() < 48 * 64


def test_the_help_names_every_protocol_and_alignment(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["evaluate", "--help"])
    said = capsys.readouterr().out
    names = (*PROTOCOLS, *METHODS, "none", *SPACES, *DATASETS)
    assert [name for name in names if name not in said] == []


def test_lidar_truth_is_the_projection(data):
    (frame,) = evaluation.frames_under(data / "lidar", [])
    (picture,) = evaluation.recorded([frame])
    points = np.fromfile(data / "lidar" / "lidar.bin", "<f4").reshape(-1, 4)
    expected = project_lidar(points, T_CAMERA_LIDAR, CAMERA)
    np.testing.assert_array_equal(picture.truth.depth_m, expected)


def test_views_of_the_world_by_kind_of_place(tmp_path, evaluate):
    first = 2_000_000_007
    said, report, _ = evaluate(tmp_path, "--world", 3, "--size", "56x42", "--first-seed", first)
    kinds = [views([first + i], 14, 14).kinds[0] for i in range(3)]
    assert set(report["groups"]) == set(kinds)
    assert {row["name"] for row in report["worst_first"]} == {f"seed {first + i}" for i in range(3)}
    assert 0 <= report["mean"]["sky_accuracy"] <= 1
    assert report["source"] == {"world": 3, "first_seed": first, "size": "56x42"}
    assert all(f"{kind} ({kinds.count(kind)})" in said for kind in kinds)
    assert "weights random" in said and "mean of 3 pictures" in said


def test_sky_that_is_known_is_scored():
    estimator = DepthEstimator("tiny", "random", "cpu", input_size=32)
    job = evaluation.Evaluation(estimator, DepthRange(0.1, 80))
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    answer = estimator.infer(rgb, CAMERA)
    truth = np.where(np.isinf(answer.depth_m), np.inf, 5).astype(np.float32)
    truth[:12] = np.where(np.isinf(truth[:12]), 5, np.inf)  # a quarter is the other way round
    truth[12, 0] = np.nan
    picture = evaluation.LabelledImage(
        "a", "b", rgb, CAMERA, type(answer)(truth, CAMERA), knows_sky=True
    )
    job.add(picture)
    assert job.rows[0].values["sky_accuracy"] == pytest.approx((36 * 64 - 1) / (48 * 64 - 1))


def test_the_mean_ratio_is_the_ratio_of_means():
    rows = [
        ImageScores(
            name, "", {"aligned_abs_rel": a, "best_plane_abs_rel": b, "plane_ratio": a / b, "x": x}
        )
        for name, a, b, x in (("easy", 0.02, 0.01, math.nan), ("hard", 0.4, 0.8, 3.0))
    ]
    found = means(row.values for row in rows)
    assert found["plane_ratio"] == pytest.approx(0.42 / 0.81) and found["x"] == 3
    assert [row.name for row in worst_first(rows)] == ["hard", "easy"]


def test_an_alignment_that_swaps_near_and_far_is_told():
    truth = np.random.default_rng(0).uniform(1, 9, (48, 64)).astype(np.float32)
    upside_down = compare(DepthMap(1 / (1.2 - 1 / truth)), DepthMap(truth), DepthRange(0.1, 80))
    assert upside_down.fit.scale == pytest.approx(-1, rel=1e-3)
    picture = evaluation.LabelledImage(
        "a", "b", np.zeros((48, 64, 3), np.uint8), CAMERA, DepthMap(truth)
    )
    values = evaluation._values(upside_down, DepthMap(truth), picture)
    result = EvaluationResult({}, [ImageScores("a", "b", values)], [], by_group=False)
    assert lines(result)[-1] == "aligned upside down, scale below 0: a"
    result = EvaluationResult(
        {}, [ImageScores("a", "b", {**values, "scale": 1.0})], [], by_group=False
    )
    assert "upside down" not in lines(result)[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--world", "0"], "--world must be 1 or more"),
        (["--world", "1", "--first-seed", "-1"], "--first-seed must be 0 or more"),
        (["--world", "1", "--first-seed", "9" * 30], "the last view's at most 9007199254740992"),
        (["--world", "1", "--size", "big"], "'big' is no size"),
        (["--world", "1", "--size", "²x²"], "'²x²' is no size"),
        (["--world", "1", "--size", "9" * 5000 + "x1"], "(5002 characters) is no size"),
        (["--world", "1", "--size", "99999x1"], "of at most 16384 px"),
        (["--world", "1", "--max-depth", "0"], "the depth that counts"),
        (["--world", "1", "--protocol", "kitty"], "no protocol 'kitty'; expected range, nyu"),
        (["--world", "1", "--align", "best"], "no alignment 'best'; expected none, least_squares"),
        (["--world", "1", "--align-space", "x"], "no alignment 'x'; expected disparity, depth"),
        (["--world", "1", "--dataset", "nyu"], "--dataset nyu needs its files"),
        (["--data", ".", "--dataset", "kitti_eigen"], "--dataset kitti_eigen needs the list"),
        (["--data", ".", "--split", "x"], "--dataset folder has no --split"),
        (["--data", ".", "--annotated", "x"], "--dataset folder has no --annotated"),
        (["--data", ".", "--dataset", "da2k", "--protocol", "nyu"], "has no --protocol"),
        (["--data", ".", "--dataset", "da2k"], "cannot read the annotations"),
        (["--data", ".", "--dataset", "nyu"], "as a MATLAB 7.3 file"),
        (["--world", "1", "--model", "tinny"], "did you mean tiny"),
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--data", "."], "no recording in"),
    ],
)
def test_errors_take_one_line(tmp_path, monkeypatch, command, words, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in command.refuses("evaluate", *words)


def test_a_file_in_the_place_of_the_output(data, tmp_path, command):
    (tmp_path / "out").write_text("")
    said = command.refuses("evaluate", "--data", data, "--output", tmp_path / "out")
    assert "cannot make the folder" in said


@pytest.mark.slow
def test_the_real_recordings(shared_data, tmp_path, evaluate):
    _, report, _ = evaluate(tmp_path, "--data", shared_data)
    assert report["pictures"] == 25 and report["pictures_with_metres"] == 24
    errors = [row["aligned_abs_rel"] for row in report["worst_first"]]
    assert errors == sorted(errors, reverse=True)
    # At 80 m, rectified. The data's README has 0.42 and 0.35 by definitions that it does not state.
    mean, by_recording = report["mean"], report["mean_over_groups"]
    assert mean["best_constant_abs_rel"] == pytest.approx(0.326, abs=0.001)
    assert mean["best_plane_abs_rel"] == pytest.approx(0.251, abs=0.001)
    assert len(report["groups"]) == 14
    assert by_recording["best_constant_abs_rel"] == pytest.approx(0.342, abs=0.001)
    assert by_recording["best_plane_abs_rel"] == pytest.approx(0.264, abs=0.001)
    assert len(list((tmp_path / "panels").iterdir())) == 25


def test_where_nothing_can_be_scored_it_says_why(tmp_path, command):
    recording(tmp_path / "data", points=np.zeros((0, 4)))
    words = ("--data", tmp_path / "data", "--output", tmp_path / "out", "--device", "cpu")
    said = command.refuses("evaluate", *words)
    assert "no picture could be scored: data: fewer than 10 pixels with ground truth" in said


def test_names_of_folders_are_printed_and_written_in_one_line(tmp_path, evaluate):
    for name in (b"a\n\x1b[31m", b"\xff"):
        recording(tmp_path / "data" / "made", np.full((48, 64), 4.0))
        (tmp_path / "data" / "made").rename(tmp_path / "data" / os.fsdecode(name))
    said, report, _ = evaluate(tmp_path / "out", "--data", tmp_path / "data")
    assert "\x1b" not in said and "\na\\n\\x1b[31m " in said and "\n\\udcff " in said
    assert {row["name"] for row in report["worst_first"]} == {r"a\n\x1b[31m", r"\udcff"}
    assert len(list((tmp_path / "out" / "panels").iterdir())) == 2


@pytest.mark.parametrize("dataset", ["da2k", "kitti_eigen", "nyu"])
def test_lists_of_pictures_that_never_end(dataset, tmp_path, command):
    for name in ("annotations.json", "list.txt"):
        (tmp_path / name).symlink_to("/dev/zero")
    if dataset == "nyu":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "nyu.mat", "w") as file:
            for name in ("images", "rawDepths", "depths", "sceneTypes"):
                file[name] = np.zeros(1)
    data = tmp_path / "nyu.mat" if dataset == "nyu" else tmp_path
    split = [] if dataset == "da2k" else ["--split", tmp_path / "list.txt"]
    assert "it is no file" in command.refuses(
        "evaluate", "--data", data, "--dataset", dataset, *split
    )
