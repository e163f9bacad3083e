"""Headers of picture files, against what OpenCV writes and what is written here byte by byte."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refused

from depth_anything_ros.core.errors import ImageError, SourceError
from depth_anything_ros.core.picture_files import (
    check_header,
    decode_file,
    doubt_of_filling,
    read_header,
    write_picture,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
# Suffix of OpenCV, arguments of its encoder, and the name of the format.
WRITTEN = [
    (".png", (), "PNG"),
    (".jpg", (), "JPEG"),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "JPEG"),
    (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 1), "JPEG"),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80), "WebP"),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101), "WebP"),
    (".tiff", (), "TIFF"),
    (".bmp", (), "BMP"),
    (".jp2", (), "JPEG 2000"),
    (".gif", (), "GIF"),
    (".avif", (), "AVIF"),
    (".ppm", (), "PNM"),
    (".pam", (), "PAM"),
    (".ras", (), "Sun raster"),
]


def encoded(suffix, arguments=(), values=COLOURS):
    try:
        return cv2.imencode(suffix, values, list(arguments))[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {suffix}")


def png(width, height):
    """Write a small PNG that claims any size."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(("suffix", "arguments", "name"), WRITTEN)
def test_the_size_is_read_of_every_format_and_of_none_that_is_cut(suffix, arguments, name):
    data = encoded(suffix, arguments)
    header = check_header(data, 1)
    assert (header.format, header.width, header.height) == (name, 53, 37)
    with refused(ImageError, "too_large", r"53x37 has 0.001961 million pixels"):
        check_header(data, 0.001)
    for length in (*range(1, min(len(data), 300)), len(data) // 2, len(data) - 40):
        # Never a crash; refused here, or by the decoder.
        try:
            check_header(data[:length], 1)
        except ImageError:
            continue
        assert cv2.imdecode(np.frombuffer(data[:length], np.uint8), cv2.IMREAD_COLOR) is None


def test_alpha_and_other_headers_that_opencv_does_not_write():
    rgba = np.dstack([COLOURS, COLOURS[..., 0]])
    assert read_header(encoded(".webp", (cv2.IMWRITE_WEBP_QUALITY, 80), rgba)).width == 53
    old_bmp = b"BM" + bytes(12) + struct.pack("<IHH", 12, 53, 37)
    upside_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 53, -37)
    big_tiff = struct.pack(">2sHHHQQ", b"MM", 43, 8, 0, 16, 2)
    big_tiff += struct.pack(">HHQHHI", 256, 3, 1, 53, 0, 0)
    big_tiff += struct.pack(">HHQQ", 257, 16, 1, 37)
    for data in (old_bmp, upside_down, big_tiff, b"P5 # made by hand\n53 # wide\n37\n255\n"):
        header = read_header(data)
        assert (header.width, header.height) == (53, 37)


def test_tiles_of_a_tiff_and_a_second_codestream_count():
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 4)
    for tag, value in ((256, 53), (257, 37), (322, 1 << 20), (323, 1 << 20)):
        tiff += struct.pack("<HHII", tag, 4, 1, value)
    stream = b"\xff\x4f\xff\x51" + bytes(4)
    jp2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    jp2 += stream + struct.pack(">IIII", 53, 37, 0, 0)
    jp2 += stream + struct.pack(">IIII", 1 << 20, 1 << 20, 0, 0)
    for data in (tiff, jp2):
        with refused(ImageError, "too_large", "1048576x1048576"):
            check_header(data, 40)


def test_a_thumbnail_and_a_trailer_are_not_the_picture():
    whole, thumbnail = encoded(".jpg"), encoded(".jpg", (), COLOURS[:8, :8])
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    with_both = whole[:2] + app1 + whole[2:] + b"a movie \xff\xda of the moment"
    header = check_header(with_both, 1)
    assert (header.width, header.height) == (53, 37)
    for cut in (with_both[: len(app1) + len(whole) // 2], with_both[: len(app1) + 2]):
        with refused(ImageError, "truncated"):
            check_header(cut, 1)


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (b"", "empty", "without data"),
        (png(0, 5), "empty", "0x5"),
        (png(2**31 - 1, 2**31 - 1), "too_large", "2147483647x2147483647"),
        (b"no picture\n\x1b[31m", "undecodable", r"it starts with b'no p'"),
        (b"\xff\x0a", "undecodable", "JPEG XL"),
        (b"#?RADIANCE\n", "undecodable", "Radiance"),
        (b"PF\n53 37\n", "undecodable", "PFM"),
        (b"\x00\x00\x00\x18ftypheic", "undecodable", "HEIF"),
        (b"RIFF\x10\x00\x00\x00WEBPVP9\n" + bytes(20), "undecodable", r"VP9\\n"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\x04CgBI" + bytes(20), "undecodable", "IHDR"),
        (b"\xff\xd8\xff\xe0\x00\x10", "truncated", "JPEG"),
    ],
)
def test_what_is_refused_says_why(data, reason, said):
    with refused(ImageError, reason, said) as error:
        check_header(data, 40)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_files_that_are_cut_too_large_or_gone_are_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    whole = encoded(suffix)
    path.write_bytes(whole)
    picture = decode_file(path, cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(picture, cv2.imread(str(path)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=rf"a{suffix} is not a picture to read: .* lacks its end"):
        decode_file(path, cv2.IMREAD_COLOR)
    path.write_bytes(png(60000, 60000))
    with pytest.raises(SourceError, match="60000x60000 has 3600 million pixels; 200 are allowed"):
        decode_file(path, cv2.IMREAD_COLOR)
    path.write_bytes(png(53, 37))  # its data are of 64 bytes
    with pytest.raises(SourceError, match="OpenCV finds no picture in a file of PNG"):
        decode_file(path, cv2.IMREAD_COLOR)
    path.unlink()
    with pytest.raises(SourceError, match="cannot read the picture"):
        decode_file(path, cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 2_000_000,  # fill bytes: for hours, were each looked at from anew
        b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(50),  # the directory at 2^64 - 1
        b"II+\0\x08\0\0\0" + b"\0" * 7 + b"\x80" + bytes(50),
    ],
)
def test_headers_that_lead_nowhere_are_cut_files(data):
    with refused(ImageError, "truncated", "lacks its end"):
        read_header(data)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("grey", [True, False])
def test_a_jpeg_that_ends_too_early_is_doubted(tmp_path, caplog, grey, progressive):
    """What is missing is 128 in a sequential JPEG, and only blurred in a progressive one."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    whole = noise[..., 0] if grey else noise
    data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    path = tmp_path / "cut.jpg"
    for part, is_doubted in (
        (data, False),
        (data[: len(data) // 2] + b"\xff\xd9", not progressive),
    ):
        caplog.clear()
        path.write_bytes(part)
        picture = decode_file(path, cv2.IMREAD_UNCHANGED)
        rows = int((picture == 128).reshape(240, -1).all(axis=1).sum())
        said = f"the lower {rows} of 240 rows of a JPEG are the grey"
        assert (said in caplog.text) == is_doubted and (rows > 100) == is_doubted
    plain = np.full((240, 320, 3), 128, np.uint8)
    assert doubt_of_filling("JPEG", plain) == doubt_of_filling("PNG", picture) == ""


def test_a_pipe_and_a_file_of_nothing_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "sparse.png").touch()
    os.truncate(tmp_path / "sparse.png", 10**12)
    for name, words in (
        ("pipe.png", "it is no file"),
        ("endless.png", "it is no file"),
        ("sparse.png", "it has 1000000000000 bytes, and 2000000000 is the most"),
    ):
        with pytest.raises(SourceError, match=rf"cannot read the picture .*{name}: {words}"):
            decode_file(tmp_path / name, cv2.IMREAD_COLOR)


def test_a_picture_is_written_under_any_name(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.png")  # of which OpenCV would end the process
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_picture(path, picture)
    assert (decode_file(path, cv2.IMREAD_COLOR) == picture).all()
    for place, words in ((tmp_path, "Is a directory"), ("/dev/full", "No space left on device")):
        with pytest.raises(OSError, match=rf"{words}: '{place}'"):
            write_picture(Path(place), picture)
