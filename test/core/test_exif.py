import math
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.exif import Exif, read_exif

PIXELS = np.zeros((48, 64, 3), np.uint8)


def block(orientation, focal_mm, order="<"):
    """A TIFF of two directories, as a camera writes it: the second holds the focal length."""
    start = b"II*\0" if order == "<" else b"MM\0*"

    def entry(tag, kind, value):
        wide = "HH" if kind == 3 else "I"
        values = (value, 0) if kind == 3 else (value,)
        return struct.pack(f"{order}HHI{wide}", tag, kind, 1, *values)

    first = 8
    second = first + 2 + 2 * 12 + 4
    data = start + struct.pack(f"{order}I", first) + struct.pack(f"{order}H", 2)
    data += entry(0x0112, 3, orientation) + entry(0x8769, 4, second) + bytes(4)
    return data + struct.pack(f"{order}H", 1) + entry(0xA405, 3, focal_mm) + bytes(4)


def encoded(suffix):
    return cv2.imencode(suffix, PIXELS)[1].tobytes()


def as_jpeg(tiff):
    data, part = encoded(".jpg"), b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part + data[2:]


def as_png(tiff):
    data, named = encoded(".png"), b"eXIf" + tiff
    chunk = struct.pack(">I", len(tiff)) + named + struct.pack(">I", zlib.crc32(named))
    return data[:33] + chunk + data[33:]


def as_webp(tiff):
    data = encoded(".webp") + b"EXIF" + struct.pack("<I", len(tiff)) + tiff + bytes(len(tiff) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("inside", [as_jpeg, as_png, as_webp, bytes])
def test_orientation_and_focal_length_are_read(inside, order):
    assert read_exif(inside(block(6, 26, order))) == Exif(6, 26)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".bmp"])
def test_a_file_that_says_nothing(suffix):
    assert read_exif(encoded(suffix)) == Exif()


def test_nonsense_says_nothing():
    assert read_exif(as_jpeg(block(9, 0))) == Exif()
    assert read_exif(b"") == Exif()
    assert read_exif(as_jpeg(block(6, 26)[:30])) == Exif()


@given(st.binary(max_size=60), st.integers(0, 80))
def test_no_bytes_break_it(noise, at):
    whole = block(6, 26)
    for data in (whole[:at] + noise, b"\xff\xd8" + noise, b"\x89PNG\r\n\x1a\n" + noise):
        assert isinstance(read_exif(data), Exif)


def test_the_camera_sees_the_diagonal_of_film():
    film = Exif(1, 50).camera(3600, 2400)  # of film's shape: 36 mm are its width
    assert film.K[0] == pytest.approx(50 / 36 * 3600) and film.K[0] == film.K[4]
    assert (film.K[2], film.K[5]) == (1799.5, 1199.5)
    phone = Exif(1, 26).camera(4000, 3000)
    diagonal = 2 * math.atan(5000 / 2 / phone.K[0])
    assert diagonal == pytest.approx(2 * math.atan(43.2666 / 2 / 26), rel=1e-5)
    assert Exif(1, 26).camera(3000, 4000).K[0] == phone.K[0]
    assert Exif(6).camera(64, 48) is None
