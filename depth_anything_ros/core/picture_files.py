"""Decode picture files of unknown origin: their header is read, and judged, before they are."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core import tiff
from depth_anything_ros.core.errors import ImageError, SourceError, first_line, quoted
from depth_anything_ros.core.files import read_file

_LOG = logging.getLogger(__name__)
# Of a file on disk; the largest sensors of phones have 200 million pixels.
MAX_FILE_MEGAPIXELS = 200.0

# What decoders of JPEG fill in where data are missing: blocks of coefficients of 0.
_FILLING, _BLOCK_ROWS = 128, 8
# In a JPEG's scan, 0xFF is followed by 0 (a byte of data), a restart, or a fill byte: 0xFF again.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_JPEG_END = b"\xff\xd9"
_JPEG_ALONE = b"\x01\xd8"  # markers without a length
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_J2K_START = re.compile(rb"\xff\x4f\xff\x51")
_AVIF_SIZE = re.compile(rb"ispe")
_TIFF_SIZES = {256: 0, 257: 1, 322: 0, 323: 1}  # width, length, of the picture and of a tile
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)")
_PAM = tuple(
    re.compile(rb"^%s\s+(\d{1,10})" % side, re.MULTILINE) for side in (b"WIDTH", b"HEIGHT")
)


@dataclass(frozen=True)
class PictureHeader:
    """What a picture file says of itself.

    Attributes:
        format: its name.
        width: in pixels, the larger where the file says it twice.
        height: likewise.
        is_cut: True where the file lacks its end.
    """

    format: str
    width: int
    height: int
    is_cut: bool = False


def read_header(data: bytes) -> PictureHeader:
    """Read the header of a PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, GIF, AVIF, PNM or Sun file.

    Raises:
        ImageError: with the reason ``empty``, ``truncated`` or ``undecodable``; formats whose
            pixels are no 8 or 16 bits (Radiance, PFM, OpenEXR) are among the latter.
    """
    if not data:
        raise ImageError("a picture file without data", reason="empty")
    for name, start, reader in _READERS:
        if not start.match(data):
            continue
        if reader is None:
            raise ImageError(f"a file of {name}, which is not read here", reason="undecodable")
        try:
            width, height, is_cut = reader(data)
        except (struct.error, IndexError, OverflowError):  # the last of an offset of 64 bits
            raise ImageError(
                f"a file of {name} lacks its end, in its header", reason="truncated"
            ) from None
        except ValueError as error:
            raise ImageError(f"a file of {name}: {error}", reason="undecodable") from error
        return PictureHeader(name, width, height, is_cut)
    raise ImageError(
        f"no picture: it starts with {quoted(data[:4])}; known are "
        f"{', '.join(name for name, _, reader in _READERS if reader)}",
        reason="undecodable",
    )


def check_header(data: bytes, max_megapixels: float) -> PictureHeader:
    """Return the header of a picture file that is whole and not too large to be decoded.

    A file of 100 kB can hold 100 million pixels. One that is cut is refused because decoders fill
    the rest with grey, which would become depth.

    Raises:
        ImageError: with the reason ``empty``, ``undecodable``, ``truncated`` or ``too_large``.
    """
    header = read_header(data)
    check_size(header.width, header.height, max_megapixels)
    if header.is_cut:
        raise ImageError(f"a file of {header.format} lacks its end", reason="truncated")
    return header


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Refuse a picture of no pixels, or of more than so many millions.

    Raises:
        ImageError: with the reason ``empty`` or ``too_large``.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f"a picture of {width}x{height}", reason="empty")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"a picture of {width}x{height} has {width * height / 1e6:g} million pixels; "
            f"{max_megapixels:g} are allowed",
            reason="too_large",
        )


def decode_picture(data: bytes, flags: int, max_megapixels: float) -> tuple[str, NDArray[Any]]:
    """Decode a picture file as ``cv2.imdecode`` does, once its header was judged.

    Args:
        data: of the file.
        flags: of cv2.imread.
        max_megapixels: that are allowed.

    Returns:
        The name of its format, and its pixels, (height, width[, channels]).

    Raises:
        ImageError: with the reasons of ``check_header``.
    """
    name = check_header(data, max_megapixels).format
    if name == "TIFF" and flags & cv2.IMREAD_IGNORE_ORIENTATION:  # IMREAD_UNCHANGED has it, too
        data = _as_stored(data)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(
            f"OpenCV cannot decode a file of {name}: {first_line(error)}", reason="undecodable"
        ) from error
    if picture is None:
        raise ImageError(f"OpenCV finds no picture in a file of {name}", reason="undecodable")
    return name, picture


def decode_file(path: Path, flags: int, data: bytes | None = None) -> NDArray[Any]:
    """Read a picture file as ``cv2.imread`` does, once its header was judged.

    Of a JPEG whose data end too early, though not the file, the log has a warning.

    Args:
        path: of the file.
        flags: of cv2.imread.
        data: of the file, where they are there already.

    Raises:
        SourceError: naming the file, where it is no picture, cut, or too large.
    """
    data = read_file(path, "the picture") if data is None else data
    try:
        name, picture = decode_picture(data, flags, MAX_FILE_MEGAPIXELS)
    except ImageError as error:
        raise SourceError(f"{path} is not a picture to read: {error}") from error
    if doubt := doubt_of_filling(name, picture):
        _warn_once(f"{path}: {doubt}")
    return picture


@lru_cache(maxsize=1024)
def _warn_once(text: str) -> None:
    """Say it of each file once, however often training reads it."""
    _LOG.warning("%s", text)


def doubt_of_filling(name: str, picture: NDArray[Any]) -> str:
    """Say how much of a JPEG is probably missing; "" where nothing is.

    Cameras and networks lose parts of a file and end it all the same. Decoders then fill what is
    left with a grey that hardly any picture has over whole rows.

    Args:
        name: of the file's format.
        picture: its pixels, (height, width[, channels]).
    """
    if name != "JPEG" or (picture[-1] != _FILLING).any():
        return ""
    other = (picture != _FILLING).reshape(len(picture), -1).any(axis=1)
    rows = int(np.argmax(other[::-1]))  # 0 of a picture that is this grey as a whole
    if rows < _BLOCK_ROWS:
        return ""
    return (
        f"the lower {rows} of {len(picture)} rows of a JPEG are the grey that stands in for "
        "missing data: does the camera, its cable or the network lose some?"
    )


def write_picture(path: Path, picture: NDArray[Any]) -> None:
    """Write a picture as PNG: ``cv2.imwrite`` says no reason, and dies of a name of other bytes.

    Args:
        path: to write.
        picture: as OpenCV takes it, BGR.

    Raises:
        OSError: naming the path, where it cannot be written.
    """
    data = cv2.imencode(".png", picture)[1].tobytes()
    try:
        path.write_bytes(data)
    except OSError as error:  # of a full disk, it names no file
        raise OSError(error.errno, error.strerror, str(path)) from error


def _png(data: bytes) -> tuple[int, int, bool]:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise ValueError(f"it starts with {quoted(data[12:16])} and not with IHDR")
    return width, height, data.rfind(b"IEND") < 0


def _jpeg(data: bytes) -> tuple[int, int, bool]:
    """Walk from segment to segment to the end; thumbnails and trailers lie outside of that."""
    at, width, height = 2, 0, 0
    while found := _JPEG_MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == 0xD9:
            return width, height, False
        if marker in _JPEG_ALONE:
            continue
        if marker in _JPEG_FRAMES and not width:
            height, width = struct.unpack_from(">HH", data, at + 3)
            if data.endswith(_JPEG_END):  # as most do; to walk through a scan takes its time
                return width, height, False
        at += struct.unpack_from(">H", data, at)[0]
    if not width:
        raise struct.error
    return width, height, True


def _webp(data: bytes) -> tuple[int, int, bool]:
    kind, is_cut = data[12:16], len(data) < 8 + struct.unpack_from("<I", data, 4)[0]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError(f"of the unknown kind {quoted(kind)}")
    return width, height, is_cut


def _tiff(data: bytes) -> tuple[int, int, bool]:
    sizes = [0, 0]
    for tag, form, at in tiff.values(data):
        if tag in _TIFF_SIZES:
            (value,) = struct.unpack_from(form, data, at)
            sizes[_TIFF_SIZES[tag]] = max(sizes[_TIFF_SIZES[tag]], value)
    return sizes[0], sizes[1], False


def _as_stored(data: bytes) -> bytes:
    """Return a TIFF without its orientation, which OpenCV follows whatever it is asked for."""
    for tag, form, at in tiff.values(data):
        if tag == tiff.ORIENTATION and struct.unpack_from(form, data, at) != (1,):
            data = data[:at] + struct.pack(form, 1) + data[at + struct.calcsize(form) :]
    return data


def _bmp(data: bytes) -> tuple[int, int, bool]:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return width, abs(height), False


def _jpeg_2000(data: bytes) -> tuple[int, int, bool]:
    """Read the codestreams, which are what is decoded, and not the box around them."""
    areas = [struct.unpack_from(">IIII", data, at.end() + 4) for at in _J2K_START.finditer(data)]
    return *_largest([(right - left, low - top) for right, low, left, top in areas]), False


def _gif(data: bytes) -> tuple[int, int, bool]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height, False


def _avif(data: bytes) -> tuple[int, int, bool]:
    """Read the sizes of the picture, its tiles and its alpha."""
    at_each = [at.end() + 4 for at in _AVIF_SIZE.finditer(data)]
    return *_largest([struct.unpack_from(">II", data, at) for at in at_each]), False


def _largest(sizes: list[tuple[Any, ...]]) -> tuple[int, int]:
    if not sizes:
        raise struct.error
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _pnm(data: bytes) -> tuple[int, int, bool]:
    found = _PNM.match(data)
    if found is None:
        raise struct.error
    return int(found[1][:10]), int(found[2][:10]), False


def _pam(data: bytes) -> tuple[int, int, bool]:
    width, height = (max([0, *map(int, side.findall(data[:4096]))]) for side in _PAM)
    return width, height, False


def _sun(data: bytes) -> tuple[int, int, bool]:
    width, height = struct.unpack_from(">II", data, 4)
    return width, height, False


# Name, how a file of it starts, and what reads its size; None of what is known and not decoded.
_READERS: tuple[
    tuple[str, re.Pattern[bytes], Callable[[bytes], tuple[int, int, bool]] | None], ...
] = tuple(
    (name, re.compile(start, re.DOTALL), reader)
    for name, start, reader in (
        ("PNG", rb"\x89PNG\r\n\x1a\n", _png),
        ("JPEG", rb"\xff\xd8", _jpeg),
        ("WebP", rb"RIFF....WEBP", _webp),
        ("TIFF", rb"II[*+]\x00|MM\x00[*+]", _tiff),
        ("BMP", rb"BM", _bmp),
        ("JPEG 2000", rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", _jpeg_2000),
        ("GIF", rb"GIF8[79]a", _gif),
        ("AVIF", rb"....ftyp(?:avi[fs]|mif1|msf1)", _avif),
        ("PNM", rb"P[1-6]\s", _pnm),
        ("PAM", rb"P7\s", _pam),
        ("Sun raster", rb"\x59\xa6\x6a\x95", _sun),
        ("JPEG XL", rb"\xff\x0a|\x00\x00\x00\x0cJXL ", None),
        ("Radiance HDR", rb"#\?R", None),
        ("PFM", rb"P[Ff]\s", None),
        ("OpenEXR", rb"\x76\x2f\x31\x01", None),
        ("HEIF", rb"....ftyp", None),
    )
)
