"""The directories of TIFF files, in which the files of cameras keep what they say of a picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator

ORIENTATION = 274
EXIF_DIRECTORY = 34665
FOCAL_LENGTH_35MM = 41989
_KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


def values(data: bytes, at: int | None = None) -> Iterator[tuple[int, str, int]]:
    """Yield the tags of a directory that hold whole numbers.

    Args:
        data: of a TIFF or BigTIFF.
        at: where the directory lies; the first picture's where None.

    Yields:
        The tag, what struct reads its first value as, and where that lies.

    Raises:
        struct.error: where the data end before the directory does.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset, count_kind, entry, value_at = ("Q", "Q", 20, 12) if is_big else ("I", "H", 12, 8)
    if at is None:
        (at,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + count_kind, data, at)
    at += struct.calcsize(order + count_kind)
    for start in range(at, min(at + count * entry, len(data)), entry):
        tag, kind = struct.unpack_from(order + "HH", data, start)
        if kind in _KINDS:
            yield tag, order + _KINDS[kind], start + value_at
