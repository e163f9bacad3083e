"""Pictures with an orientation in the file, as phones and some cameras write them (EXIF 2.3)."""

import struct

import cv2
import numpy as np

# What a viewer does to the stored pixels to show them upright, by the tag's value.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


def corners(width=320, height=240):
    """A picture of four greys, uint8 (height, width, 3); JPEG keeps it where sides fill blocks."""
    bgr = np.zeros((height, width, 3), np.uint8)
    bgr[: height // 2, width // 2 :] = 80
    bgr[height // 2 :, : width // 2] = 160
    bgr[height // 2 :, width // 2 :] = 240
    return bgr


def write_turned(path, pixels, orientation):
    """Write a JPEG or TIFF of these stored pixels, with an orientation, by the path's suffix."""
    turned = _turned_tiff if path.suffix == ".tiff" else _turned_jpeg
    _, file = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
    path.write_bytes(turned(file.tobytes(), _entry(orientation)))


def _entry(orientation):
    return struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)  # the tag, a SHORT, one of it


def _turned_jpeg(data, entry):
    part = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part + data[2:]


def _turned_tiff(data, entry):
    """Append a directory with one entry more, in the order of the tags, and point to it."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [data[start : start + 12] for start in range(at + 2, at + 2 + 12 * count, 12)]
    entries = sorted([*entries, entry], key=lambda one: struct.unpack_from("<H", one))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory
