from fractions import Fraction

import cv2
import numpy as np
import pytest
from videos import LEVELS, STAMPS, TIME_BASE, levels_of, times_of, write_turned, write_video

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.tools.video_files import VideoFile, VideoWriter

pytest.importorskip("av")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_frames_come_with_their_times(suffix, tmp_path):
    path = write_video(tmp_path / f"clip{suffix}", is_steady=suffix == ".avi")
    video = VideoFile(path)
    assert (video.size, video.count, video.orientation) == ((64, 48), len(LEVELS), 1)
    frames = list(video)
    assert [frame.index for frame in frames] == list(range(len(LEVELS)))
    times = [frame.stamp * video.time_base for frame in frames]
    expected = times_of(path)
    assert times == [time - expected[0] for time in expected]
    if suffix != ".avi":
        assert np.allclose(
            [float(t) for t in times], [float(s * TIME_BASE) for s in STAMPS], atol=1e-3
        )
    for frame, level in zip(frames, LEVELS, strict=True):
        rgb = frame.rgb()
        assert rgb.shape == (48, 64, 3) and abs(float(rgb.mean()) - level) < 3
    assert len(list(video)) == len(LEVELS)  # from the first again


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_what_is_written_has_these_times_and_colours(size, tmp_path):
    path, rate = tmp_path / "out.partial", Fraction(30000, 1001)
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    rgb[:, : size[0] // 2], rgb[:, size[0] // 2 :] = (200, 30, 30), (30, 60, 220)
    with VideoWriter(path, size, TIME_BASE, rate) as writer:
        for stamp, after in zip(STAMPS, (*STAMPS[1:], STAMPS[-1] + 777), strict=True):
            writer.add(rgb, stamp, after - stamp)
    assert times_of(path) == [stamp * TIME_BASE for stamp in STAMPS]
    video = VideoFile(path)
    assert video.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    *_, last = video
    assert last.duration * video.time_base == 777 * TIME_BASE
    seen = last.rgb()[: size[1], : size[0]].astype(int)
    assert np.abs(seen[:, :20] - (200, 30, 30)).max() < 8
    assert np.abs(seen[:, -20:] - (30, 60, 220)).max() < 8


def test_the_same_frames_are_the_same_bytes(tmp_path):
    def written(name):
        with VideoWriter(tmp_path / name, (64, 48), TIME_BASE, Fraction(25)) as writer:
            for stamp, level in zip(STAMPS, LEVELS, strict=True):
                writer.add(np.full((48, 64, 3), level, np.uint8), stamp)
        return (tmp_path / name).read_bytes()

    assert written("a") == written("b")


@pytest.mark.parametrize(("degrees", "orientation"), [(90, 6), (180, 3), (270, 8)])
def test_frames_stand_upright_as_opencv_turns_them(degrees, orientation, tmp_path):
    path = write_turned(tmp_path / "turned.mp4", degrees)
    video = VideoFile(path)
    assert video.orientation == orientation
    rgb = next(iter(video)).rgb()
    assert (rgb.shape[1], rgb.shape[0]) == video.size
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    _, bgr = capture.read()
    capture.release()
    assert rgb.shape == bgr.shape
    assert np.abs(rgb.astype(int) - bgr[..., ::-1]).mean() < 4


def test_what_is_no_video_is_named(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    for name, data in (
        ("cut.mp4", path.read_bytes()[:300]),
        ("text.mp4", b"no video"),
        ("0.mp4", b""),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=f"cannot read the video .*{name}: "):
            VideoFile(tmp_path / name)
    with pytest.raises(SourceError, match="No such file"):
        VideoFile(tmp_path / "absent.mp4")


def test_broken_packets_cost_their_frames_alone(tmp_path, caplog):
    path = write_video(tmp_path / "clip.mkv")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    seen = levels_of(VideoFile(path))
    assert 0 < len(seen) <= len(LEVELS) and abs(seen[0] - LEVELS[0]) < 3
