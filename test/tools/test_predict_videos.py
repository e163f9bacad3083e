"""``depth_anything predict`` on videos, by its files."""

import json

import cv2
import numpy as np
import pytest
from predicted import SMALL, interrupted, tree, write_scene
from videos import (
    STAMPS,
    TIME_BASE,
    duration_of,
    frames_by_opencv,
    times_of,
    write_turned,
    write_video,
)

from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.panels import color_limits

pytest.importorskip("av")


def scenes(count=20, size=(96, 64), seed=0):
    """Smooth noise that moves from picture to picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    wide = cv2.resize(coarse, (size[0] + 3 * count, size[1]), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(wide[:, 3 * i : 3 * i + size[0]]) for i in range(count)]


def test_a_depth_video_has_the_times_and_the_length_of_its_own(tmp_path, predict):
    source = write_video(tmp_path / "clip.mp4", pictures=scenes())
    outputs = "color,side_by_side,npy"
    status, said = predict(source, "--hfov", 70, "--outputs", outputs, "--colormap", "gray")
    assert status == 0 and "20 of 20 frames of clip.mp4" in said, said
    out = tmp_path / "out"
    for name in ("clip_color.mp4", "clip_side_by_side.mp4"):
        assert times_of(out / name) == [stamp * TIME_BASE for stamp in STAMPS]
        assert duration_of(out / name) == pytest.approx(duration_of(source), abs=0.001)
    text = json.loads((out / "clip.json").read_text())
    assert (text["frames"], text["kind"], text["source"]) == (20, "metric", "clip.mp4")
    # One range of colours for all frames: that of all values.
    maps = [DepthMap(np.load(out / "clip_frames" / f"{i:06d}_depth.npy")) for i in range(20)]
    near = [depth.nearness() for depth in maps]
    limits = color_limits(np.concatenate([values[::4, ::4].ravel() for values in near]))
    assert tuple(text["colors_of_nearness"]) == pytest.approx(limits)
    painted = frames_by_opencv(out / "clip_color.mp4")
    assert len(painted) == 20 and len(list((out / "clip_frames").glob("*.json"))) == 20
    for values, frame in zip(near, painted, strict=True):
        expected = colorize(values, "gray", limits).astype(int)
        assert np.abs(frame.astype(int) - expected).mean() < 3
    both = frames_by_opencv(out / "clip_side_by_side.mp4")[7].astype(int)
    assert both.shape == (64, 192, 3)
    assert np.abs(both[:, :96, ::-1] - scenes()[7]).mean() < 6
    assert np.abs(both[:, 96:] - painted[7]).mean() < 3
    one = json.loads((out / "clip_frames" / "000007.json").read_text())
    assert one["source"] == "clip.mp4#7" and one["time_s"] == float(STAMPS[7] * TIME_BASE)


def test_the_depth_of_a_video_is_steadied_by_flow(tmp_path, predict):
    """One scene whose exposure and noise change; the two runs are of the same frames."""
    rng, flicker = np.random.default_rng(1), {}
    still = scenes(1, (160, 128))[0] * 0.8
    noisy = [still * rng.uniform(0.8, 1.1) + rng.normal(0, 10, still.shape) for _ in range(20)]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in noisy]
    source = write_video(tmp_path / "clip.mkv", pictures=frames)
    for steady in ("off", "flow"):
        words = ("--hfov", 70, "--outputs", "npy", "--steady", steady)
        assert predict(source, *words, output=steady)[0] == 0
        files = sorted((tmp_path / steady / "clip_frames").glob("*.npy"))
        flicker[steady] = np.std([np.log(np.load(file)) for file in files[8:]], axis=0).mean()
        said = [tmp_path / steady / "clip.json", files[3].parent / "000003.json"]
        assert [json.loads(f.read_text()).get("steady", "off") for f in said] == [steady] * 2
    assert flicker["flow"] < 0.6 * flicker["off"]
    assert predict(source, *words[:-1], "off", output="flow")[0] == 2  # of another run
    picture = write_scene(tmp_path / "one.png")
    assert "--steady is for videos, and there is none" in predict(picture, "--steady", "flow")[1]


def test_what_is_done_of_a_video_is_known(tmp_path, predict):
    source = write_video(tmp_path / "clip.mkv", pictures=scenes(5))
    assert predict(source, "--outputs", "color")[0] == 0
    assert "1 of 1 are done already" in predict(source, "--outputs", "color")[1]
    assert "5 of 5 frames" in predict(source, "--outputs", "npy")[1]
    assert "1 of 1 are done already" in predict(source, "--outputs", "color,npy")[1]
    (tmp_path / "out" / "clip_frames" / "000004.json").unlink()
    assert "5 of 5 frames" in predict(source, "--outputs", "color,npy")[1]
    other = ("--outputs", "color", "--colormap", "turbo", "--restart")
    assert predict(source, *other)[0] == 0
    assert set(tree(tmp_path / "out")) == {"clip_color.mp4", "clip.json", ".predict.json"}


def test_a_broken_video_costs_no_other_its_answer(tmp_path, predict):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "in" / name, pictures=scenes(3))
    (tmp_path / "in" / "a.mp4").write_bytes((tmp_path / "in" / "a.mp4").read_bytes()[:400])
    cv2.imwrite(str(tmp_path / "in" / "c.png"), scenes(1)[0])
    status, said = predict(tmp_path / "in", "--outputs", "color")
    assert status == 1 and f"left out: cannot read the video {tmp_path}/in/a.mp4: " in said
    assert set(tree(tmp_path / "out")) == {
        "b_color.mp4",
        "b.json",
        "c_color.png",
        "c.json",
        ".predict.json",
    }


def test_a_video_stands_upright(tmp_path, predict):
    source = write_turned(tmp_path / "turned.mp4", 90)
    assert predict(source, "--outputs", "side_by_side")[0] == 0
    frame = frames_by_opencv(tmp_path / "out" / "turned_side_by_side.mp4")[0]
    assert frame.shape == (64, 96, 3)
    text = json.loads((tmp_path / "out" / "turned.json").read_text())
    assert (text["width"], text["height"]) == (48, 64)


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_video_and_a_second_start_the_same_bytes(tmp_path, predict):
    (tmp_path / "in").mkdir()
    for index in range(3):
        pictures = scenes(20, (320, 240), index)
        write_video(tmp_path / "in" / f"{index}.mp4", pictures=pictures)
    words = (tmp_path / "in", "--outputs", "color,npy", "--hfov", 60)
    out = tmp_path / "out"
    amid = out / "1_frames" / "000007.json"
    status, said = interrupted((*words, "--output", out, *SMALL), amid.exists)
    assert status == 130 and "Traceback" not in said, said
    some = tree(out)
    assert not [name for name in some if "partial" in name]
    assert {"0_color.mp4", "0.json"} <= some.keys() and "1_color.mp4" not in some
    status, said = predict(*words)
    assert status == 0 and "1 of 3 are done already" in said
    assert predict(*words, output="unbroken")[0] == 0
    assert tree(tmp_path / "unbroken") == tree(out)
