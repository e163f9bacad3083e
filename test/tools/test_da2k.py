"""DA-2K's annotations, of that layout, made here."""

import csv
import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.pairs import PairScores
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.tools.da2k import da2k_pictures
from depth_anything_ros.tools.evaluation import assumed_camera
from depth_anything_ros.tools.pair_evaluation import PairRow, by_group, lines, total


def pair(first, second, closer="point1"):
    return {"point1": list(first), "point2": list(second), "closer_point": closer}


def write_da2k(folder, annotations, without=()):
    for name in annotations:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name not in without:
            rng = np.random.default_rng(len(name))
            cv2.imwrite(str(folder / name), rng.integers(0, 255, (40, 60, 3), np.uint8))
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def test_pairs_by_row_and_column_whichever_is_closer(tmp_path):
    left_out = []
    write_da2k(
        tmp_path,
        {
            "images/indoor/a.jpg": [pair((1, 2), (3, 4)), pair((5, 6), (7, 8), "point2")],
            "images/outdoor/b.jpg": [pair((0, 59), (39, 0))],
            "images/outdoor/c.jpg": [pair((0, 1), (1, 0))],
        },
        without=("images/outdoor/c.jpg",),
    )
    first, second = da2k_pictures(tmp_path, left_out)
    assert (first.name, first.group, second.group) == ("images/indoor/a.jpg", "indoor", "outdoor")
    np.testing.assert_array_equal(first.nearer, [(1, 2), (7, 8)])
    np.testing.assert_array_equal(first.farther, [(3, 4), (5, 6)])
    assert second.path == tmp_path / "images/outdoor/b.jpg"
    assert len(left_out) == 1 and left_out[0].startswith("images/outdoor/c.jpg: there is no ")


@pytest.mark.parametrize(
    "data",
    [
        [1],
        {"a.jpg": 3},
        {"a.jpg": [{"point1": [1, 2]}]},
        {"a.jpg": [pair((1, 2), (3, 4), "point3")]},
        {"a.jpg": [pair((1, 2, 3), (3, 4))]},
        {"a.jpg": [pair("ab", (3, 4))]},
    ],
)
def test_annotations_of_another_form(tmp_path, data):
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    with pytest.raises(SourceError, match="is not as DA-2K has it"):
        da2k_pictures(tmp_path, [])


def test_what_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="cannot read the annotations"):
        da2k_pictures(tmp_path, [])
    (tmp_path / "annotations.json").write_text("{")
    with pytest.raises(SourceError, match="cannot read the annotations"):
        da2k_pictures(tmp_path, [])
    (tmp_path / "annotations.json").write_text(json.dumps({"a.jpg": [pair((1, 2), (3, 4))]}))
    with pytest.raises(SourceError, match=r"no picture that .* names"):
        da2k_pictures(tmp_path, [])


def pairs_of(nearness, count, seed):
    """Choose pairs whose first point is the nearer one of a map."""
    rng = np.random.default_rng(seed)
    points = [
        tuple(int(v) for v in rng.integers((0, 0), nearness.shape)) for _ in range(20 * count)
    ]
    found = [(a, b) for a, b in zip(points[::2], points[1::2], strict=True)]
    return [(a, b) for a, b in found if nearness[a] > nearness[b]][:count]


@pytest.mark.parametrize("model", ["tiny", "tiny_relative"])
def test_the_command_counts_pairs_by_scenario(tmp_path, model, command):
    folder, name = tmp_path / "DA-2K", "images/{}/{}.png"
    names = [name.format(*one) for one in (("indoor", "a"), ("indoor", "bb"), ("object", "ccc"))]
    write_da2k(folder, dict.fromkeys(names, ()))
    # The truth is what the bundled model says, and of 2 of 10 pairs of "object" the reverse.
    estimator = DepthEstimator(model, device="cpu", input_size=28)
    annotations = {}
    for seed, one in enumerate(names):
        rgb = np.ascontiguousarray(cv2.imread(str(folder / one))[..., ::-1])
        answer = estimator.infer(rgb, assumed_camera(rgb))
        nearness = 1 / answer.depth_m if model == "tiny" else answer.disparity
        found = pairs_of(nearness, 10, seed)
        wrong = 2 if "object" in one else 0
        closer = ["point2"] * wrong + ["point1"] * (10 - wrong)
        annotations[one] = [pair(*points, word) for points, word in zip(found, closer, strict=True)]
    (folder / "annotations.json").write_text(json.dumps(annotations))
    words = ["evaluate", "--dataset", "da2k", "--data", folder, "--output", tmp_path / "o"]
    words += ["--model", model, "--device", "cpu", "--input-size", "28"]
    said = command.says(*words)
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["all_pairs"] == {"pairs": 30, "right": 28, "accuracy": 0.933333}
    assert report["mean_over_groups"] == pytest.approx(0.9)
    assert report["groups"]["object"] == {"pairs": 10, "right": 8, "accuracy": 0.8}
    assert list(report["groups"]) == ["object", "indoor"]
    assert report["source"] == {"dataset": "da2k", "data": str(folder)}
    with (tmp_path / "o" / "pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "name": names[2],
        "group": "object",
        "pairs": "10",
        "right": "8",
        "accuracy": "0.8",
    }
    assert "all pairs of 3 pictures" in said


def test_pairs_are_counted_and_not_averaged():
    rows = [
        PairRow("a", "x", PairScores(1, 1)),
        PairRow("b", "x", PairScores(1, 3)),
        PairRow("c", "y", PairScores(0, 0)),
    ]
    assert total(rows) == PairScores(2, 4) and by_group(rows)["x"].accuracy == 0.5
    said = lines(rows, ["d: lost"])
    assert said[-1] == "left out: d: lost" and said[-2].endswith("4      2     0.500")
