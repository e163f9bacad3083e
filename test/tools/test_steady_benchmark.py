"""``depth_anything benchmark steady``: sequences, answers, figures, and the whole of it, small."""

import csv
import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.tools.steady_answers import distorted, distorted_disparity
from depth_anything_ros.tools.steady_panel import over_time
from depth_anything_ros.tools.steady_scores import Figures, Judge
from depth_anything_ros.tools.steady_sequences import (
    APPEARS,
    PosedSequence,
    recorded,
    rendered,
)
from depth_anything_ros.tools.steady_table import Row, table

WIDTH, HEIGHT = 32, 24


@pytest.fixture(scope="module")
def standing():
    """Six pictures by a camera that stands: a wall at 4 m, before which a box appears at 2 m."""
    truth = np.full((6, HEIGHT, WIDTH), 4.0, np.float32)
    things = np.zeros(truth.shape, np.uint8)
    truth[3:5, 8:16, 8:16], things[3:5, 8:16, 8:16] = 2.0, APPEARS
    return PosedSequence(
        "standing",
        Camera.from_hfov(WIDTH, HEIGHT, 70.0),
        np.zeros((*truth.shape, 3), np.uint8),
        truth,
        things,
        np.stack([np.eye(4)] * 6),
        tuple(range(0, 600_000_000, 100_000_000)),
        is_still=True,
    )


def test_the_truth_has_no_error_and_an_answer_that_lags_is_told(standing):
    judge = Judge(standing)
    right = judge.figures([DepthMap(depth) for depth in standing.truth_m])
    assert right.flicker == right.tae == right.abs_rel == right.appearing == right.uncovered == 0
    assert right.delta1 == 1 and right.edges == pytest.approx(1) and np.isnan(right.moving)
    # One picture late: the box is seen one picture after it came, and one after it is gone.
    late = standing.truth_m[[0, 0, 1, 2, 3, 4]]
    figures = judge.figures([DepthMap(depth) for depth in late])
    assert figures.appearing == pytest.approx((1.0 + 0.0) / 2)
    assert figures.uncovered == pytest.approx(0.5)
    swinging = [DepthMap(d * np.float32(1 + 0.1 * (i % 2))) for i, d in enumerate(standing.truth_m)]
    swung = judge.figures(swinging)
    assert swung.flicker == pytest.approx(50 * np.log(1.1), rel=1e-5)
    assert swung.tae == pytest.approx(100 * (0.1 + 0.1 / 1.1) / 2, rel=1e-4)
    assert swung.contrast == pytest.approx(1)


def test_answers_without_metres_are_scored_by_one_line_for_all_pictures(standing):
    judge = Judge(standing)
    disparities = [DisparityMap(3 / depth - np.float32(1)) for depth in standing.truth_m]
    assert judge.figures(disparities).abs_rel == pytest.approx(0, abs=1e-6)
    disparities[2] = DisparityMap(disparities[2].values * np.float32(1.5))
    assert judge.figures(disparities).abs_rel > 0.01


def test_the_truth_is_distorted_anew_in_each_picture_and_the_same_again(standing):
    answers, again = distorted(standing, 3), distorted(standing, 3)
    ratios = [
        np.log(answer.values / truth)
        for answer, truth in zip(answers.estimates, standing.truth_m, strict=True)
    ]
    for one, other in zip(answers.estimates, again.estimates, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    scales = [float(np.median(ratio)) for ratio in ratios]
    assert np.ptp(scales) > 0.02 and max(map(abs, scales)) < 0.2
    assert all(0.01 < ratio.std() < 0.1 for ratio in ratios)
    assert all(isinstance(one, DisparityMap) for one in distorted_disparity(standing).estimates)


def test_a_row_over_time_shows_when_it_changes():
    images = [np.full((10, 20, 3), level, np.uint8) for level in (0, 100, 200, 50, 250)]
    images[3][6] = 7
    strip = over_time(images, 0.6)
    assert strip.shape == images[0].shape
    assert strip[:, 5, 0].tolist() == [0, 0, 100, 100, 200, 200, 7, 7, 250, 250]


def test_a_table_says_how_much_changed():
    plain = Figures(10.0, float("nan"), 0.2, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2)
    steady = Figures(2.0, float("nan"), 0.15, 0.5, 0.4, 0.3, 0.3, 0.2, 0.2)
    rows = [Row("a", "tiny", "off", plain, {}), Row("a", "tiny", "flow", steady, {"steady": 3})]
    heading, _, off, flow = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table(rows)
    ]
    found = dict(zip(heading, flow, strict=True))
    assert off[:3] == ["tiny", "off", "10"] and found["flicker"] == "-80.0" and found["TAE"] == ""
    assert (found["AbsRel"], found["worst AbsRel"], found["moving"]) == ("-25.0", "-25.0", "+50.0")


def test_a_recording_has_poses_by_the_numbers_of_its_pictures(tmp_path):
    poses = {f"{i:06d}": np.eye(4).ravel().tolist() for i in (0, 5, 10)}
    calibration = {
        "width": WIDTH,
        "height": HEIGHT,
        "K": [20, 0, 16, 0, 20, 12, 0, 0, 1],
        "depth_scale_m": 0.001,
    }
    for number in poses:
        write_picture(tmp_path / f"color_{number}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        write_picture(tmp_path / f"depth_{number}.png", np.full((HEIGHT, WIDTH), 1500, np.uint16))
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    with pytest.raises(SourceError, match="lacks T_world_camera"):
        recorded(tmp_path)
    calibration |= {"T_world_camera": poses, "frame_rate_hz": 30}
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    sequence = recorded(tmp_path, (16, 12))
    assert sequence.stamps_ns == (0, 166_666_667, 333_333_333)
    assert sequence.truth_m.shape == (3, 12, 16) and np.allclose(sequence.truth_m, 1.5)
    assert sequence.camera.K[0] == 10 and not sequence.moving.any()
    calibration["T_world_camera"] = {"000000": poses["000000"]}
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    with pytest.raises(SourceError, match="1 pictures with depth and pose"):
        recorded(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "flaw"), "no method 'flaw'"),
        (("--places", "moon"), "no place 'moon'"),
        (("--places", "none"), "nothing to measure"),
        (("--answers", "huge"), "huge"),
        (("--frames", "1"), "--frames must be 2 or more"),
    ],
)
def test_options_that_make_no_sense(command, tmp_path, words, said):
    assert said in command.refuses("benchmark", "steady", "--output", tmp_path, *words)


@pytest.mark.slow
def test_two_places_from_rendering_to_panels(command, tmp_path):
    words = ["--places", "corridor,street", "--frames", "4", "--size", "64x48", "--runs", "2"]
    said = command.says("benchmark", "steady", "--output", tmp_path, *words)
    assert "| distorted truth" in said and "on one thread (median" in said
    report = json.loads((tmp_path / "report.json").read_text())
    with (tmp_path / "rows.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(report["rows"]) == 2 * 2 * 3 * 6
    by_method = {
        (row["sequence"], row["method"]): row
        for row in report["rows"]
        if row["answers"] == "distorted truth"
    }
    for name in ("corridor still", "street moving"):
        assert by_method[name, "motion"]["tae"] < by_method[name, "off"]["tae"]
    assert by_method["corridor still", "flow"]["flicker"] > 0
    assert by_method["street moving", "flow"]["flicker"] is None
    panel = cv2.imread(str(tmp_path / "panel_truth.png"))
    assert panel.shape[1] == 6 * 240 and panel.std() > 20
    # What is in the cache is read, not rendered again.
    kept = sorted((tmp_path / "cache").iterdir())
    again = rendered("corridor", True, 4, (64, 48), tmp_path / "cache")
    assert sorted((tmp_path / "cache").iterdir()) == kept
    assert set(np.unique(again.things)) == {0, 1, 2, APPEARS} and again.is_still
