import logging
import os

import cv2
import numpy as np
import pytest
from orientation import UPRIGHT, corners, write_turned

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.frames import FrameSource, read_picture


def picture(level):
    return np.full((24, 32, 3), level, np.uint8)


def levels(source):
    return [int(frame.bgr[0, 0, 0]) for frame in source]


def test_a_picture_a_folder_and_a_sequence(tmp_path):
    for level in (2, 10, 1):
        cv2.imwrite(str(tmp_path / f"frame_{level:d}.png"), picture(level))
    (tmp_path / "notes.txt").write_text("no picture")
    assert levels(FrameSource(str(tmp_path / "frame_10.png"))) == [10]
    assert levels(FrameSource(str(tmp_path))) == [1, 10, 2]  # in name order
    sequence = FrameSource(str(tmp_path / "frame_%d.png"))
    assert levels(sequence) == [1, 2, 10]  # in number order
    assert levels(sequence) == [1, 2, 10]  # again
    assert next(iter(sequence)).name == str(tmp_path / "frame_1.png")


def test_a_video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    assert writer.isOpened()
    for level in (50, 100, 200):
        writer.write(picture(level))
    writer.release()
    source = FrameSource(str(path))
    assert source.is_video
    np.testing.assert_allclose(levels(source), [50, 100, 200], atol=3)
    assert [frame.name.rsplit("#")[-1] for frame in source] == ["0", "1", "2"]


def test_a_broken_picture_is_left_out_and_said(tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "a.png"), picture(7))
    jpeg = cv2.imencode(".jpg", np.full((480, 640, 3), 200, np.uint8))[1].tobytes()
    (tmp_path / "b.png").write_bytes(b"broken")
    (tmp_path / "c.jpg").write_bytes(jpeg[:-200])  # OpenCV fills the rest with grey
    (tmp_path / "d.ppm").write_bytes(b"P6 60000 60000 255\n")  # beyond OpenCV's 2^30 pixels
    (tmp_path / "e\x1b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with caplog.at_level(logging.ERROR):
        assert levels(FrameSource(str(tmp_path))) == [7]
    said = [record.getMessage() for record in caplog.records]
    assert all(line.isprintable() for line in said) and len(said) == 4
    for name, why in (
        ("b.png", "it starts with"),
        ("c.jpg", "lacks its end"),
        ("d.ppm", "60000x60000 has 3600 million pixels; 200 are allowed"),
        (r"e\x1b.png", "lacks its end"),
    ):
        assert any(f"{name} is not a picture" in line and why in line for line in said)


def test_nothing_to_play_says_what_was_looked_for(tmp_path):
    with pytest.raises(SourceError, match="a picture in the folder"):
        FrameSource(str(tmp_path))
    with pytest.raises(SourceError, match=r"files numbered as x_%04d\.png"):
        FrameSource(str(tmp_path / "x_%04d.png"))
    with pytest.raises(SourceError, match="nothing to play at"):
        FrameSource(str(tmp_path / "gone.mp4"))
    (tmp_path / "b.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match="no frame can be read"):
        list(FrameSource(str(tmp_path)))


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_orientation_in_a_file_is_left_aside_where_a_camera_goes_with_it(
    tmp_path, orientation, suffix
):
    stored, path = corners(), tmp_path / f"picture{suffix}"
    write_turned(path, stored, orientation)
    np.testing.assert_allclose(read_picture(path), stored, atol=3)
    (frame,) = FrameSource(str(path))
    np.testing.assert_allclose(frame.bgr, stored, atol=3)
    upright = UPRIGHT[orientation](stored)
    np.testing.assert_allclose(read_picture(path, upright=True), upright, atol=3)
    (frame,) = FrameSource(str(tmp_path), upright=True)
    np.testing.assert_allclose(frame.bgr, upright, atol=3)


def test_the_rotation_in_a_video_is_treated_in_the_same_way(tmp_path):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    writer.write(corners(64, 48))
    writer.release()
    data = bytearray(path.read_bytes())
    # The matrix of the track header of version 0 (ISO/IEC 14496-12, 8.3.2): a quarter turn.
    start = data.index(b"tkhd") + 44
    turn = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
    data[start : start + 36] = turn.tobytes()
    path.write_bytes(data)
    assert [frame.bgr.shape for frame in FrameSource(str(path))] == [(48, 64, 3)]
    assert [frame.bgr.shape for frame in FrameSource(str(path), upright=True)] == [(64, 48, 3)]


def test_a_video_whose_name_is_no_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.mp4")
    path.touch()
    with pytest.raises(SourceError, match=r"\\udcff.mp4: its name is no UTF-8"):
        next(iter(FrameSource(str(path))))
