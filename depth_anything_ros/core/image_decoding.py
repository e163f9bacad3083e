"""From messages that hold a picture to RGB of 8 bits.

They are any objects with the fields of sensor_msgs' Image or CompressedImage: of rclpy, or read
from a bag without ROS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import ImageError, first_line, quoted
from depth_anything_ros.core.options import parameter
from depth_anything_ros.core.picture_files import check_size, decode_picture, doubt_of_filling

# sensor_msgs names a Bayer pattern by its first two pixels of the first two rows; OpenCV by the
# second and third pixels of the second row.
_BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
# Channels of a pixel, and what makes RGB of it.
_COLOURS: dict[str, tuple[int, int | None]] = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
    **{name: (1, code) for name, code in _BAYER.items()},
}


class _Pixels(NamedTuple):
    """What an encoding says of pixels: its name, channels, bits of each, what makes RGB of it."""

    encoding: str
    channels: int
    bits: int
    code: int | None


# By encoding of sensor_msgs/image_encodings.hpp.
_PLAIN = {
    f"{name}{bits}": _Pixels(f"{name}{bits}", channels, bits, code)
    for bits in (8, 16)
    for name, (channels, code) in _COLOURS.items()
}
# OpenCV's own names say how many channels there are and not of which colours: its own order then.
_UNNAMED = {
    "8UC1": "mono8",  # 16UC1 is depth, REP 118
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "16UC3": "bgr16",
    "16UC4": "bgra16",
}
_PLAIN |= {name: _PLAIN[taken] for name, taken in _UNNAMED.items()}
# Two pixels share their chroma, in 4 bytes; two names each, of which one is older.
_PACKED = {
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
}
# A plane of luma and one of chroma. Of nv12 and nv21 four pixels share it, of nv24 none.
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21, "nv24": None}
# Wherever a format names one: drivers of their own write "jpeg; bayer_rggb8".
_MOSAIC = re.compile(rf"(?:{'|'.join(_BAYER)})\d*")
# RGB from Y, U, V of BT.601 in the limited range, as OpenCV has it for the other encodings.
_BT601 = np.array([[1.164, 0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0]], np.float32)
_BT601 = np.hstack([_BT601, _BT601 @ np.array([[-16], [-128], [-128]], np.float32)])
# What makes RGB of a picture that OpenCV has read, by its channels.
_FILE_CODES = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_DEPTH_FORMATS = ("16uc1", "32fc1")
# A coarse grid, and the difference of its colours above which a picture has any.
_COARSE_PX, _COLOURED = 16, 1.0


@dataclass(frozen=True)
class ImageOptions:
    """How the pictures that come are read."""

    bits: int = parameter(
        16,
        "Bits that the camera fills of a 16-bit picture (mono16, rgb16, bayer_*16, a 16-bit PNG), "
        "counted from the lowest: 10, 12 or 14 for a sensor that does not scale its numbers up.",
        low=8,
        high=16,
    )
    max_megapixels: float = parameter(
        40.0,
        "Larger pictures are refused before they are decoded: a file of 100 kB can hold 100 "
        "million pixels, which take gigabytes.",
        unit="Mpx",
        low=0.01,
        high=1000.0,
    )


class ImageMessage(NamedTuple):
    """The fields of sensor_msgs/Image that pixels are read by."""

    encoding: str
    width: int
    height: int
    step: int
    data: Any
    is_bigendian: int = 0


def check_rows(message: Any, row: int) -> None:  # noqa: ANN401 - as above
    """Refuse an Image whose step or data do not hold rows of so many bytes.

    Raises:
        ImageError: with the reason ``bad_step`` or ``bad_length``.
    """
    if message.step < row:
        raise ImageError(
            f"step is {message.step} bytes and a row of {message.width} {message.encoding} pixels "
            f"takes {row}",
            reason="bad_step",
        )
    if len(message.data) != message.step * message.height:
        raise ImageError(
            f"data has {len(message.data)} bytes and {message.height} rows of step "
            f"{message.step} take {message.step * message.height}",
            reason="bad_length",
        )


class ImageDecoder:
    """Decode the pictures of one camera.

    Attributes:
        doubts: what may be wrong with the colours or the brightness of the newest picture although
            it was decoded, and what to do, by cause.
    """

    def __init__(self) -> None:
        self.doubts: dict[str, str] = {}
        self._brightest = ("", 0)

    def decode(
        self,
        message: Any,  # noqa: ANN401 - any object with the fields of one
        options: ImageOptions | None = None,
    ) -> NDArray[np.uint8]:
        """Return the picture of an Image or CompressedImage as uint8 (height, width, 3), RGB.

        One of rgb8 shares the message's memory: nobody is to write into it.

        Raises:
            ImageError: with the reason ``empty``, ``too_large``, ``encoding``, ``bad_step``,
                ``bad_length``, ``truncated`` or ``undecodable``.
        """
        self.doubts = {}
        decode = self._image if hasattr(message, "encoding") else self._compressed
        return decode(message, options or ImageOptions())

    # Image ----------------------------------------------------------------------------------

    def _image(self, message: Any, p: ImageOptions) -> NDArray[np.uint8]:  # noqa: ANN401
        check_size(message.width, message.height, p.max_megapixels)
        encoding = message.encoding
        if encoding in _PACKED:
            return _from_packed(message)
        if encoding in _PLANAR:
            return _from_planar(message)
        if encoding not in _PLAIN:
            raise ImageError(_refusal(encoding), reason="encoding")
        pixels = _PLAIN[encoding]
        if encoding in _UNNAMED and pixels.channels > 1:
            self.doubts[f"colours {pixels.encoding}"] = (
                f"encoding {quoted(encoding)} does not name its colours, which are taken for "
                f"{pixels.encoding}: set the driver's encoding to that, or to what they are"
            )
        rgb = _from_plain(message, pixels)
        return rgb if pixels.bits == 8 else self._eight_bits(rgb, encoding, p)

    def _eight_bits(self, rgb: NDArray[Any], what: str, p: ImageOptions) -> NDArray[np.uint8]:
        """Scale 16 bits to 8, and look whether all that a camera ever sent fills less of them."""
        known = self._brightest[1] if self._brightest[0] == what else 0
        brightest = max(known, int(rgb.max()))
        self._brightest = (what, brightest)
        filled = next((bits for bits in (8, 10, 12, 14) if brightest < 1 << bits), 16)
        if brightest >= 1 << p.bits:
            self.doubts["bits beyond"] = (
                f"a pixel of {what} is {brightest}, more than the {p.bits} bits of image.bits "
                f"hold: brighter ones are cut; set image.bits to {filled}"
            )
        elif brightest and filled < p.bits == 16:
            self.doubts[f"bits {filled}"] = (
                f"no pixel of {what} so far is brighter than {brightest} of 65535: if the sensor "
                f"has {filled} bits, set image.bits to {filled}, for depth is now taken of a "
                f"picture {1 << 16 - filled} times too dark"
            )
        return np.asarray(cv2.convertScaleAbs(rgb, alpha=255 / ((1 << p.bits) - 1)), np.uint8)

    # CompressedImage ------------------------------------------------------------------------

    def _compressed(self, message: Any, p: ImageOptions) -> NDArray[np.uint8]:  # noqa: ANN401
        """Decode by what the format says: ``encoding; codec compressed encoding-in-the-file``."""
        data, text = bytes(message.data), message.format
        encoding, _, rest = text.lower().partition(";")
        encoding, target = encoding.strip(), rest.partition("compressed")[2].strip()
        if "compresseddepth" in text.lower() or encoding.startswith(_DEPTH_FORMATS):
            raise ImageError(
                f"format {quoted(text)} is depth and no picture: remap image/compressed to the "
                "compressed topic of a colour camera",
                reason="encoding",
            )
        try:
            name, picture = decode_picture(data, cv2.IMREAD_UNCHANGED, p.max_megapixels)
        except ImageError as error:
            raise ImageError(f"{error} (format {quoted(text)})", error.reason) from error
        if doubt := doubt_of_filling(name, picture):
            self.doubts["filled"] = doubt
        if picture.dtype not in (np.uint8, np.uint16):
            raise ImageError(
                f"a file of {name} with numbers of {picture.dtype} is no picture (format "
                f"{quoted(text)})",
                reason="undecodable",
            )
        mosaic = _MOSAIC.search(text.lower())
        if mosaic is not None:
            return self._from_bayer_file(picture, mosaic[0], target, name, p)
        is_colour = _channels(picture) in (3, 4)
        if name == "TIFF" and encoding.startswith("rgb") and not target and is_colour:
            # compressed_image_transport writes the channels as they lie.
            picture = np.ascontiguousarray(picture[..., 2::-1])
        return self._from_file(picture, name, p)

    def _from_file(self, picture: NDArray[Any], what: str, p: ImageOptions) -> NDArray[np.uint8]:
        """Turn what a file holds (grey, BGR or BGRA of 8 or 16 bits) into RGB of 8 bits."""
        code = _FILE_CODES.get(_channels(picture))
        if code is None:
            raise ImageError(
                f"a file of {what} with {_channels(picture)} channels", reason="undecodable"
            )
        rgb = cv2.cvtColor(picture, code)
        if rgb.dtype == np.uint16:
            return self._eight_bits(rgb, f"16-bit {what}", p)
        return np.asarray(rgb, np.uint8)

    def _from_bayer_file(
        self, picture: NDArray[Any], encoding: str, target: str, what: str, p: ImageOptions
    ) -> NDArray[np.uint8]:
        """Debayer what was compressed as a mosaic; senders may have made colours or grey of it.

        compressed_image_transport of ROS 2 makes grey for JPEG (``mono8`` in the file), and leaves
        the mosaic for PNG and TIFF, as that of ROS 1 does for JPEG. Others write the mosaic and
        call it bgr8.
        """
        grey = picture if picture.ndim == 2 else picture[..., 0]
        if picture.ndim == 3 and (picture[..., :3] != grey[..., None]).any():
            return self._from_file(picture, what, p)
        bits = 8 * picture.dtype.itemsize
        name = encoding.rstrip("0123456789")
        height, width = grey.shape
        rows = np.ascontiguousarray(grey).reshape(-1).view(np.uint8)
        rgb = self._image(ImageMessage(f"{name}{bits}", width, height, width * bits // 8, rows), p)
        advice = "compress PNG (the driver's parameter …compressed.format), or debayer it before"
        is_mosaic = picture.ndim == 2 and not target.startswith("mono")
        if not is_mosaic and not _has_colours(rgb):
            self.doubts["bayer_grey"] = (
                f"the {what} of a {encoding} picture is grey, its colours are lost: {advice}"
            )
            return self._from_file(picture, what, p)
        if what == "JPEG":
            self.doubts["bayer_lossy"] = (
                f"JPEG blurs the colours of a {encoding} picture into each other: {advice}"
            )
        return rgb


def _refusal(encoding: str) -> str:
    """Say why an encoding is not decoded, and what to set where."""
    if encoding.lower() in {*_PLAIN, *_PACKED, *_PLANAR}:
        return f"encoding {quoted(encoding)} is unknown: set the driver's to {encoding.lower()}"
    if encoding in ("16UC1", "32FC1", "16SC1", "64FC1"):
        return (
            f"encoding {quoted(encoding)} is depth and no picture: remap image to a colour camera"
        )
    if encoding == "8UC2":
        return "encoding '8UC2' does not name its colours: set the driver's to yuyv or uyvy"
    return (
        f"encoding {quoted(encoding)} is no picture that is decoded here: set the driver's pixel "
        "format or encoding to rgb8, or to bgr, rgba, bgra, mono or bayer_* of 8 or 16 bits, yuyv, "
        "uyvy, nv12, nv21 or nv24"
    )


def _from_plain(message: Any, pixels: _Pixels) -> NDArray[Any]:  # noqa: ANN401
    """Return the RGB of an Image, of as many bits as it has.

    What is RGB of the machine's byte order shares the message's memory where its rows are tight.
    """
    size = pixels.bits // 8
    kind = np.dtype(f"{'>' if message.is_bigendian else '<'}u{size}")
    check_rows(message, message.width * pixels.channels * size)
    shape: tuple[int, ...] = (message.height, message.width, pixels.channels)
    strides: tuple[int, ...] = (message.step, pixels.channels * size, size)
    if pixels.channels == 1:
        shape, strides = shape[:2], strides[:2]
    view = np.ndarray(shape, kind, message.data, strides=strides)
    image = np.ascontiguousarray(view, kind.newbyteorder("="))
    if pixels.code is None:
        return image
    try:
        return np.asarray(cv2.cvtColor(image, pixels.code))
    except cv2.error as error:  # a mosaic of less than a tile
        raise ImageError(
            f"OpenCV cannot decode {pixels.encoding} of {message.width}x{message.height}: "
            f"{first_line(error)}",
            reason="undecodable",
        ) from error


def _from_packed(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    _check_even(message, message.width)
    check_rows(message, 2 * message.width)
    shape, strides = (message.height, message.width, 2), (message.step, 2, 1)
    pixels = np.ndarray(shape, np.uint8, message.data, strides=strides)
    return np.asarray(cv2.cvtColor(pixels, _PACKED[message.encoding]), np.uint8)


def _from_planar(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    """Decode planes that follow each other.

    ``step`` is of the rows of luma. A few drivers write that of all planes together, or of nothing:
    planes without padding are known by their length.
    """
    width, height, code = message.width, message.height, _PLANAR[message.encoding]
    if code is not None:
        _check_even(message, width, height)
    rows = 3 * height if code is None else 3 * height // 2
    if message.step < width:
        check_rows(message, width)
    stride = width if len(message.data) == width * rows else message.step
    if len(message.data) != stride * rows:
        raise ImageError(
            f"data has {len(message.data)} bytes; {message.encoding} of {width}x{height} with "
            f"rows of step {message.step} takes {message.step * rows}",
            reason="bad_length",
        )
    data = np.frombuffer(message.data, np.uint8)
    if code is not None:
        planes = np.ascontiguousarray(data.reshape(rows, stride)[:, :width])
        return np.asarray(cv2.cvtColor(planes, code), np.uint8)
    luma = data[: stride * height].reshape(height, stride)[:, :width, None]
    chroma = data[stride * height :].reshape(height, stride, 2)[:, :width]
    return np.asarray(cv2.transform(np.concatenate([luma, chroma], axis=2), _BT601), np.uint8)


def _check_even(message: Any, *sides: int) -> None:  # noqa: ANN401
    """Refuse sides that do not divide into pixels that share their chroma: OpenCV 4 reads on."""
    if any(side % 2 for side in sides):
        raise ImageError(
            f"{message.encoding} of {message.width}x{message.height}: its pixels share chroma in "
            "pairs, so its sides are even numbers; set the driver to such a size, or to rgb8",
            reason="undecodable",
        )


def _channels(picture: NDArray[Any]) -> int:
    return 1 if picture.ndim == 2 else int(picture.shape[2])


def _has_colours(rgb: NDArray[np.uint8]) -> bool:
    """Say whether what was debayered has colours on a coarse grid, as of a mosaic of colours."""
    height, width = rgb.shape[:2]
    size = (max(width // _COARSE_PX, 1), max(height // _COARSE_PX, 1))
    coarse = cv2.resize(rgb.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return float(np.ptp(coarse, axis=-1).mean()) > _COLOURED
