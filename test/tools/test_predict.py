"""``depth_anything predict`` on pictures, by its files."""

import json
import os

import cv2
import numpy as np
import pytest
from orientation import corners, write_turned
from predicted import SMALL, interrupted, tree, write_scene

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.recording import camera_fields, load_calibration
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.pipeline.depth import DepthPipeline


def png(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_every_output_is_what_the_pipeline_answers(tmp_path, predict):
    picture = write_scene(tmp_path / "in" / "one.png")
    outputs = "depth_png,color,side_by_side,npy,ply,pcd,glb"
    status, said = predict(picture, "--outputs", outputs, "--hfov", 70, "--colormap", "Spectral")
    assert status == 0, said
    out = tmp_path / "out"
    endings = "_depth.png _color.png _side_by_side.png _depth.npy .ply .pcd .glb .json"
    assert set(tree(out)) == {".predict.json", *(f"one{end}" for end in endings.split())}
    rgb = np.ascontiguousarray(png(picture)[..., ::-1])
    estimator = load_estimator("tiny", engine="torch", precision="fp32", input_size=64)
    answer = DepthPipeline(estimator).infer(rgb, Camera.from_hfov(96, 64, 70))
    depth = np.load(out / "one_depth.npy")
    np.testing.assert_array_equal(depth, answer.estimate.depth_m)
    known = np.isfinite(depth)
    steps = png(out / "one_depth.png")
    np.testing.assert_allclose(steps[known] * 0.001, depth[known], atol=0.00051)
    assert not steps[~known].any()
    both = png(out / "one_side_by_side.png")
    np.testing.assert_array_equal(both[:, :96], rgb[..., ::-1])
    np.testing.assert_array_equal(both[:, 96:], png(out / "one_color.png"))
    points = int(np.isfinite(answer.cloud().xyz[..., 2]).sum())
    assert f"element vertex {points}\n".encode() in (out / "one.ply").read_bytes()
    assert f"POINTS {points}\n".encode() in (out / "one.pcd").read_bytes()
    said = json.loads((out / "one.json").read_text())
    assert (said["kind"], said["unit"], said["source"]) == ("metric", "m", "one.png")
    assert (said["camera_from"], said["engine"]) == ("field of view", "torch fp32")
    assert load_calibration(out / "one.json").camera == answer.camera


def test_a_relative_model_writes_no_metres(tmp_path, predict):
    picture = write_scene(tmp_path / "one.png")
    status, said = predict(picture, "--model", "tiny_relative", "--outputs", "npy,depth_png,exr")
    assert status == 0 and "assumed" not in said, said
    out = tmp_path / "out"
    expected = {"one_disparity.npy", "one_disparity.png", "one_disparity.exr", "one.json"}
    assert set(tree(out)) == {*expected, ".predict.json"}
    said = json.loads((out / "one.json").read_text())
    assert (said["kind"], said["unit"], said["K"]) == ("relative", None, None)
    values, steps = np.load(out / "one_disparity.npy"), png(out / "one_disparity.png")
    back = said["png"]["offset"] + said["png"]["scale"] * steps
    np.testing.assert_allclose(back, values, atol=said["png"]["scale"])
    status, said = predict(picture, "--model", "tiny_relative", "--outputs", "npy,ply")
    assert status == 2 and "ply is a cloud, which needs metres" in said


def test_a_folder_keeps_its_folders_and_no_names_collide(tmp_path, predict):
    for name in ("a/x.png", "a/x.jpg", "b/x.png", "x.png", "b/c.PNG"):
        write_scene(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    status, said = predict(tmp_path / "in", "--outputs", "color")
    assert status == 0 and "5 written" in said
    names = {name for name in tree(tmp_path / "out") if name.endswith("_color.png")}
    stems = ("a/x.png", "a/x.jpg", "b/x", "x", "b/c")
    assert names == {f"{stem}_color.png" for stem in stems}


@pytest.mark.parametrize("batch", [1, 2])
def test_a_broken_file_costs_no_other_its_answer(tmp_path, predict, batch):
    for index in range(3):
        write_scene(tmp_path / "in" / f"{index}.png", index)
    whole = (tmp_path / "in" / "1.png").read_bytes()
    (tmp_path / "in" / "1.png").write_bytes(whole[: len(whole) // 2])
    ask = ("--batch", batch, "--outputs", "npy,color")
    status, said = predict(tmp_path / "in", *ask)
    assert status == 1 and said.count("left out: ") == 1
    assert f"{tmp_path}/in/1.png is not a picture to read: a file of PNG lacks its end" in said
    assert "2 written" in said and "1 left out" in said
    assert (tmp_path / "out" / "2.json").is_file() and not list((tmp_path / "out").glob("1*"))
    # Mended, it is all that is left to do.
    (tmp_path / "in" / "1.png").write_bytes(whole)
    before = tree(tmp_path / "out")
    status, said = predict(tmp_path / "in", *ask)
    assert status == 0 and "2 of 3 are done already" in said and "1 of 1 pictures" in said
    after = tree(tmp_path / "out")
    assert after.items() >= before.items() and len(after) == len(before) + 3
    status, said = predict(tmp_path / "in", *ask, output="unbroken")
    assert tree(tmp_path / "unbroken").keys() == after.keys()
    if batch == 1:
        assert tree(tmp_path / "unbroken") == after
    # In another batch the last bits may be others: by the processor's kernels.
    for name in (f"{index}_depth.npy" for index in range(3)):
        resumed, unbroken = (np.load(tmp_path / out / name) for out in ("out", "unbroken"))
        np.testing.assert_allclose(resumed, unbroken, rtol=1e-4)


def test_what_is_done_is_not_done_again_unless_it_is_older(tmp_path, predict):
    first, _ = (write_scene(tmp_path / "in" / f"{i}.png", i) for i in range(2))
    assert predict(tmp_path / "in")[0] == 0
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    status, said = predict(tmp_path / "in")
    assert status == 0 and "2 of 2 are done already" in said
    later = max(done.values()) + 10**9
    os.utime(first, ns=(later, later))
    assert "1 of 2 are done already" in predict(tmp_path / "in")[1]
    status, said = predict(tmp_path / "in", "--outputs", "npy,color")
    assert "2 of 2 pictures" in said  # another output of the same answers
    now = {path: path.stat().st_mtime_ns for path in done}
    assert now[tmp_path / "out" / "1_color.png"] > done[tmp_path / "out" / "1_color.png"]


def test_other_options_are_noticed_and_restart_leaves_nothing_old(tmp_path, predict):
    picture = write_scene(tmp_path / "in" / "one.png")
    kept = tmp_path / "out" / "one_notes.txt"
    assert predict(picture, "--outputs", "npy,depth_png")[0] == 0
    kept.write_text("mine")
    other = ("--model", "tiny_relative", "--outputs", "color")
    status, said = predict(picture, *other)
    assert status == 2 and "has answers of {'model': 'tiny'" in said and "--restart" in said
    assert "colormap" not in said  # which is the same
    assert predict(picture, *other, "--restart")[0] == 0
    assert set(tree(tmp_path / "out")) == {
        "one_color.png",
        "one.json",
        "one_notes.txt",
        ".predict.json",
    }


@pytest.mark.parametrize("orientation", [1, 6, 8, 2])
def test_a_picture_stands_upright_and_its_camera_with_it(orientation, tmp_path, predict):
    stored = Camera(96, 64, (80.0, 0, 40.0, 0, 90.0, 30.0, 0, 0, 1))
    (tmp_path / "calib.json").write_text(json.dumps(camera_fields(stored)))
    path = tmp_path / "in" / "turned.jpg"
    path.parent.mkdir()
    write_turned(path, corners(96, 64), orientation)
    status, said = predict(
        path, "--camera", tmp_path / "calib.json", "--outputs", "side_by_side,npy"
    )
    assert status == 0, said
    said = json.loads((tmp_path / "out" / "turned.json").read_text())
    size = (64, 96) if orientation in (6, 8) else (96, 64)
    assert (said["width"], said["height"], said["camera_from"]) == (*size, "calibration")
    fx, cx, fy, cy = (said["K"][i] for i in (0, 2, 4, 5))
    expected = {
        1: (80, 40, 90, 30),
        6: (90, 63 - 30, 80, 40),
        8: (90, 30, 80, 95 - 40),
        2: (80, 95 - 40, 90, 30),
    }
    assert (fx, cx, fy, cy) == pytest.approx(expected[orientation])
    seen = png(tmp_path / "out" / "turned_side_by_side.png")[:, : size[0]]
    np.testing.assert_array_equal(seen, cv2.imread(str(path)))  # which turns it upright


def test_a_calibration_of_another_shape_is_no_camera(tmp_path, predict):
    write_scene(tmp_path / "in" / "one.png")
    fields = camera_fields(Camera.from_hfov(640, 640, 60))
    (tmp_path / "calib.json").write_text(json.dumps(fields))
    status, said = predict(tmp_path / "in", "--camera", tmp_path / "calib.json")
    assert status == 1
    assert "one.png: it is 96x64 and the calibration is of 640x640, another shape" in said


def test_without_any_camera_one_is_assumed_and_said(tmp_path, predict):
    write_scene(tmp_path / "in" / "one.png")
    status, said = predict(tmp_path / "in")
    assert status == 0 and "1 say nothing of their camera: 60 deg are assumed" in said
    text = json.loads((tmp_path / "out" / "one.json").read_text())
    assert text["camera_from"] == "assumed"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--outputs", "depth_png,tiff"), "there is no output 'tiff'; known are depth_png, color"),
        (("--colormap", "jet"), "there is no colormap 'jet'; known are inferno"),
        (("--hfov", "180"), "--hfov is 180; expected degrees, up to 179"),
        (("--batch", "-1"), "--batch must be 0 or more"),
        (("--output-size", "3"), "output.size is '3'"),
        (("--model", "nosuch"), "nosuch"),
    ],
)
def test_wrong_options_are_one_line(words, why, tmp_path, command):
    picture = write_scene(tmp_path / "one.png")
    said = command.refuses("predict", picture, "--output", tmp_path / "out", *words)
    assert why in said


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_and_a_second_start_the_same_bytes(tmp_path, predict):
    for index in range(40):
        write_scene(tmp_path / "in" / f"{index:02d}.png", index, (320, 240))
    words = (tmp_path / "in", "--batch", 3, "--outputs", "depth_png,color,npy,ply", "--hfov", 60)
    out = tmp_path / "out"
    status, said = interrupted(
        (*words, "--output", out, *SMALL), lambda: (out / "03.json").exists()
    )
    assert status == 130 and "Traceback" not in said, said
    some = tree(out)
    assert not [name for name in some if "partial" in name]
    assert 0 < len([name for name in some if name.endswith(".json")]) < 41
    status, said = predict(*words)
    assert status == 0 and "are done already" in said
    assert predict(*words, output="unbroken")[0] == 0
    assert tree(tmp_path / "unbroken") == tree(out)
    assert tree(out).items() >= some.items()
