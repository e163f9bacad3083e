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


def write_turned(path, bgr, orientation):
    """Write a JPEG of these stored pixels, with an orientation in its EXIF part."""
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 100])
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)  # the tag, a SHORT, one of it
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    part = b"Exif\0\0" + tiff
    data = jpeg.tobytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part + data[2:])
