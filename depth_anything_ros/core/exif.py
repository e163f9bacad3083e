"""What a picture file says of its camera: how it was held, and its focal length (EXIF)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from depth_anything_ros.core import tiff
from depth_anything_ros.core.camera import Camera

# The diagonal of a picture of 35 mm film, 36 x 24 mm.
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_EXIF = b"Exif\0\0"
_NO_NUMBER = (struct.error, OverflowError)


@dataclass(frozen=True)
class Exif:
    """What is of use here.

    Attributes:
        orientation: 1 to 8, as of ``orientation.upright``; 1 where it is not said.
        focal_35mm: the focal length that sees the same on 35 mm film, mm; 0 where it is not said.
    """

    orientation: int = 1
    focal_35mm: int = 0

    def camera(self, width: int, height: int) -> Camera | None:
        """Return the ideal pinhole of a whole picture of a size; None without a focal length.

        The same angle is seen along the diagonal (CIPA DCG-001-2018, 35 mm film equivalent focal
        length), so it does not matter how the picture is turned.
        """
        if not self.focal_35mm:
            return None
        focal = self.focal_35mm / FILM_DIAGONAL_MM * math.hypot(width, height)
        middle = ((width - 1) / 2, (height - 1) / 2)
        return Camera(width, height, (focal, 0, middle[0], 0, focal, middle[1], 0, 0, 1))


def read_exif(data: bytes) -> Exif:
    """Read it from a JPEG, PNG, WebP or TIFF file; what cannot be read is not said."""
    try:
        block = _block(data)
        said = _numbers(block) if block else {}
        inner = said.get(tiff.EXIF_DIRECTORY)
        if inner is not None:
            said = _numbers(block, inner) | said
    except _NO_NUMBER:
        return Exif()
    orientation = said.get(tiff.ORIENTATION, 1)
    return Exif(
        orientation if 1 <= orientation <= 8 else 1, max(said.get(tiff.FOCAL_LENGTH_35MM, 0), 0)
    )


def _numbers(block: bytes, at: int | None = None) -> dict[int, int]:
    wanted = (tiff.ORIENTATION, tiff.EXIF_DIRECTORY, tiff.FOCAL_LENGTH_35MM)
    found = tiff.values(block, at)
    return {
        tag: struct.unpack_from(form, block, place)[0]
        for tag, form, place in found
        if tag in wanted
    }


def _block(data: bytes) -> bytes:
    """Return the part of a file that is laid out as a TIFF; none where there is no such."""
    if data[:2] in (b"II", b"MM"):
        return data
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunk(data, 8, b"eXIf", ">", named_first=False)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _chunk(data, 12, b"EXIF", "<", named_first=True).removeprefix(_EXIF)
    return b""


def _jpeg(data: bytes) -> bytes:
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b"\xd9"):
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE1 and segment.startswith(_EXIF):
            return segment[len(_EXIF) :]
        at += 2 + length
    return b""


def _chunk(data: bytes, at: int, wanted: bytes, order: str, named_first: bool) -> bytes:
    """Find a chunk of a PNG (length, name, data, checksum) or a RIFF (name, length, data, even)."""
    while at + 8 <= len(data):
        name_at, length_at = (at, at + 4) if named_first else (at + 4, at)
        (length,) = struct.unpack_from(order + "I", data, length_at)
        if data[name_at : name_at + 4] == wanted:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + (length % 2 if named_first else 4)
    return b""
