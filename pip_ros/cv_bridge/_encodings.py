"""Know the image encodings of sensor_msgs and convert pixels between them."""

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_CODE_OF_DTYPE = {
    "uint8": "8U",
    "int8": "8S",
    "uint16": "16U",
    "int16": "16S",
    "int32": "32S",
    "float32": "32F",
    "float64": "64F",
}
_DTYPE_OF_CODE = {code: name for name, code in _CODE_OF_DTYPE.items()}
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([1-9][0-9]*))?")

_CHANNELS_OF_PLAIN = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}
# sensor_msgs names a Bayer pattern by its first two pixels of the first two rows; OpenCV by the
# second and third pixels of the second row.
_OPENCV_BAYER = {"rggb": "BayerBG", "bggr": "BayerRG", "gbrg": "BayerGR", "grbg": "BayerGB"}
_OPENCV_YUV = {"yuv422": "UYVY", "yuv422_yuy2": "YUY2"}


class CvBridgeError(TypeError):
    """Say that an image could not be converted."""


@dataclass(frozen=True)
class PixelFormat:
    """Describe a pixel: type of a channel, number of channels and, if known, its colours."""

    dtype: np.dtype[Any]
    channels: int
    family: str | None = None


def _named_formats() -> dict[str, PixelFormat]:
    formats = {}
    for bits in (8, 16):
        dtype = np.dtype(f"uint{bits}")
        for family, channels in _CHANNELS_OF_PLAIN.items():
            name = "mono" if family == "GRAY" else family.lower()
            formats[f"{name}{bits}"] = PixelFormat(dtype, channels, family)
        for pattern, family in _OPENCV_BAYER.items():
            formats[f"bayer_{pattern}{bits}"] = PixelFormat(dtype, 1, family)
    for name, family in _OPENCV_YUV.items():
        formats[name] = PixelFormat(np.dtype(np.uint8), 2, family)
    return formats


def _conversion_codes() -> dict[tuple[str, str], int]:
    """Map (family from, family to) to the OpenCV code; what is absent is not supported."""
    plain = list(_CHANNELS_OF_PLAIN)
    names = {(a, b): f"COLOR_{a}2{b}" for a in plain for b in plain if a != b}
    for bayer in _OPENCV_BAYER.values():
        names |= {(bayer, b): f"COLOR_{bayer}2{b}" for b in ("GRAY", "RGB", "BGR")}
    for yuv in _OPENCV_YUV.values():
        names |= {(yuv, b): f"COLOR_YUV2{b}_{yuv}" for b in plain}
    return {pair: int(getattr(cv2, name)) for pair, name in names.items()}


_NAMED = _named_formats()
_CODES = _conversion_codes()


def pixel_format(encoding: str) -> PixelFormat:
    """Return the pixel format of an encoding of sensor_msgs, such as "bgr8" or "32FC1".

    Raises CvBridgeError for an encoding that cv_bridge does not know.
    """
    if encoding in _NAMED:
        return _NAMED[encoding]
    match = _GENERIC.fullmatch(encoding)
    if match is None:
        raise CvBridgeError(
            f"unknown image encoding {encoding!r}: expected one of {', '.join(_NAMED)}, "
            "or an OpenCV type such as 8UC3 or 32FC1"
        )
    return PixelFormat(np.dtype(_DTYPE_OF_CODE[match[1]]), int(match[2] or 1))


def generic_encoding(dtype: np.dtype[Any], channels: int) -> str:
    """Return the encoding of plain numbers, such as "16UC1"; KeyError for a type without one."""
    try:
        code = _CODE_OF_DTYPE[dtype.name]
    except KeyError:
        known = ", ".join(_CODE_OF_DTYPE)
        raise KeyError(f"no image encoding holds {dtype.name}: expected one of {known}") from None
    return f"{code}C{channels}"


def convert(image: NDArray[Any], from_encoding: str, to_encoding: str) -> NDArray[Any]:
    """Return a copy of an image, (H, W) or (H, W, C), in another encoding.

    Colours go through OpenCV; 8 and 16 bits are scaled by 257, other depths are cast, rounded and
    saturated. Raises CvBridgeError for a conversion that cv_bridge does not have.
    """
    if to_encoding in ("", from_encoding):
        return np.array(image)
    source, target = pixel_format(from_encoding), pixel_format(to_encoding)
    if source.family is None or target.family is None:
        _require_castable(source, target, f"{from_encoding!r} to {to_encoding!r}")
        return _convert_depth(image, source.dtype, target.dtype)
    if source.family == target.family and source.family in _CHANNELS_OF_PLAIN:
        return _convert_depth(image, source.dtype, target.dtype)
    code = _CODES.get((source.family, target.family))
    if code is None:
        raise CvBridgeError(f"no conversion from {from_encoding!r} to {to_encoding!r}")
    if source.family in _OPENCV_YUV.values() and image.shape[1] % 2:
        # OpenCV 5 says so too; 4 makes the last column of what lies behind it.
        raise CvBridgeError(f"{from_encoding!r} has pixels in pairs, and {image.shape[1]} in a row")
    try:
        converted: NDArray[Any] = cv2.cvtColor(image, code)
    except cv2.error as error:
        raise CvBridgeError(
            f"OpenCV cannot convert a {image.dtype} image of shape {image.shape} "
            f"from {from_encoding!r} to {to_encoding!r}: {error}"
        ) from error
    if source.dtype.itemsize == target.dtype.itemsize:
        return converted
    return _convert_depth(converted, source.dtype, target.dtype)


def _require_castable(source: PixelFormat, target: PixelFormat, what: str) -> None:
    if source.family is None and target.family is not None:
        raise CvBridgeError(f"no conversion from {what}: the first does not name its colours")
    if source.channels != target.channels:
        raise CvBridgeError(
            f"no conversion from {what}: {source.channels} and {target.channels} channels"
        )


def _convert_depth(
    image: NDArray[Any], source: np.dtype[Any], target: np.dtype[Any]
) -> NDArray[Any]:
    """Cast as cv::Mat::convertTo does on x86-64; the encodings' depths set the scale."""
    if target.kind == "f":
        return image.astype(target)
    bytes_from_to = (source.itemsize, target.itemsize)
    scale = {(1, 2): 65535 / 255, (2, 1): 255 / 65535}.get(bytes_from_to, 1.0)
    values = np.rint(image.astype(np.float64) * scale)
    # OpenCV rounds through int32, where NaN, Inf and all that does not fit become the least value.
    values[~(np.abs(values) < 2.0**31)] = -(2.0**31)
    limits = np.iinfo(target)
    return values.clip(limits.min, limits.max).astype(target)
