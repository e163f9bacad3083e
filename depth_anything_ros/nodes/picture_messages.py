"""From messages that hold a picture to RGB of 8 bits."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.core.errors import ImageError, first_line, quoted
from depth_anything_ros.core.picture_files import check_size, decode_picture, doubt_of_filling
from depth_anything_ros.nodes.depth_parameters import ImageParameters
from depth_anything_ros.nodes.messages import byte_array, check_rows

# Encodings of sensor_msgs/image_encodings.hpp. Channels of a pixel, and what makes RGB of it; rgb8
# is looked at where it lies.
_COLOURS: dict[str, tuple[int, int | None]] = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
}
# OpenCV's own names say how many channels there are and not of which colours: its own order then.
_UNNAMED = {
    f"{bits}UC{n}": f"{bgr}{bits}" for bits in (8, 16) for n, bgr in ((3, "bgr"), (4, "bgra"))
}
_UNNAMED["8UC1"] = "mono8"  # 16UC1 is depth, REP 118
# Two pixels share their chroma, in 4 bytes; yuv422 and yuv422_yuy2 are the older names.
_PACKED = {
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
}
# A plane of luma and one of chroma. Of nv12 and nv21 four pixels share it, of nv24 none.
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21, "nv24": None}
_BAYER = tuple(f"bayer_{tile}" for tile in ("rggb", "bggr", "gbrg", "grbg"))
# Wherever a format names one: drivers of their own write "jpeg; bayer_rggb8".
_MOSAIC = re.compile(rf"(?:{'|'.join(_BAYER)})\d*")
PICTURE_ENCODINGS = (
    *(f"{name}{bits}" for bits in (8, 16) for name in (*_COLOURS, *_BAYER)),
    *_PACKED,
    *_PLANAR,
    *_UNNAMED,
)
# RGB from Y, U, V of BT.601 in the limited range, as OpenCV has it for the other encodings.
_BT601 = np.array([[1.164, 0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0]], np.float32)
_BT601 = np.hstack([_BT601, _BT601 @ np.array([[-16], [-128], [-128]], np.float32)])
_DEPTH_FORMATS = ("16uc1", "32fc1")
# A coarse grid, and the difference of its colours above which a picture has any.
_COARSE_PX, _COLOURED = 16, 1.0
_BRIDGE = CvBridge()


class PictureDecoder:
    """Decode the pictures of one camera.

    Attributes:
        doubts: what may be wrong with the colours or the brightness of the newest picture although
            it was decoded, and what to do, by cause.
    """

    def __init__(self) -> None:
        self.doubts: dict[str, str] = {}
        self._brightest = ("", 0)

    def decode(
        self, message: Image | CompressedImage, parameters: ImageParameters | None = None
    ) -> NDArray[np.uint8]:
        """Return the picture of a message as uint8 (height, width, 3), RGB.

        One of rgb8 shares the message's memory: nobody is to write into it.

        Raises:
            ImageError: with the reason ``empty``, ``too_large``, ``encoding``, ``bad_step``,
                ``bad_length``, ``truncated`` or ``undecodable``.
        """
        self.doubts = {}
        decode = self._image if isinstance(message, Image) else self._compressed
        return decode(message, parameters or ImageParameters())

    # Image ----------------------------------------------------------------------------------

    def _image(self, message: Image, p: ImageParameters) -> NDArray[np.uint8]:
        check_size(message.width, message.height, p.max_megapixels)
        encoding = message.encoding
        if encoding in _UNNAMED:
            encoding = _UNNAMED[message.encoding]
            if encoding != "mono8":
                self.doubts[f"colours {encoding}"] = (
                    f"encoding {quoted(message.encoding)} does not name its colours, which are "
                    f"taken for {encoding}: set the driver's encoding to that, or to what they are"
                )
        if encoding in _PACKED:
            return _from_packed(message)
        if encoding in _PLANAR:
            return _from_planar(message)
        name, bits = encoding.rstrip("0123456789"), 16 if encoding.endswith("16") else 8
        if encoding != f"{name}{bits}" or name not in (*_COLOURS, *_BAYER):
            raise ImageError(_refusal(encoding), reason="encoding")
        if name in _BAYER:
            return self._from_bayer(message, bits, p)
        channels, code = _COLOURS[name]
        check_rows(message, message.width * channels * bits // 8)
        pixels = _pixels(message, channels, bits)
        narrow = pixels if bits == 8 else self._eight_bits(pixels, message.encoding, p)
        return narrow if code is None else np.asarray(cv2.cvtColor(narrow, code), np.uint8)

    def _from_bayer(self, message: Image, bits: int, p: ImageParameters) -> NDArray[np.uint8]:
        row = message.width * bits // 8
        check_rows(message, row)
        if message.step != row:
            message = _without_padding(message, row)
        try:
            rgb = _BRIDGE.imgmsg_to_cv2(message, f"rgb{bits}")
        except (CvBridgeError, cv2.error, TypeError, ValueError) as error:
            raise ImageError(
                f"cv_bridge cannot decode {message.encoding} of {message.width}x{message.height}: "
                f"{first_line(error)}",
                reason="undecodable",
            ) from error
        return np.asarray(
            rgb if bits == 8 else self._eight_bits(rgb, message.encoding, p), np.uint8
        )

    def _eight_bits(
        self, values: NDArray[np.uint16], what: str, p: ImageParameters
    ) -> NDArray[np.uint8]:
        """Scale 16 bits to 8, and look whether all that a camera ever sent fills less of them."""
        known = self._brightest[1] if self._brightest[0] == what else 0
        colours = values[..., :3] if values.ndim == 3 else values  # alpha fills all of its bits
        brightest = max(known, int(colours.max()))
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
        return np.asarray(cv2.convertScaleAbs(values, alpha=255 / ((1 << p.bits) - 1)), np.uint8)

    # CompressedImage ------------------------------------------------------------------------

    def _compressed(self, message: CompressedImage, p: ImageParameters) -> NDArray[np.uint8]:
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
        # Not by cv_bridge: that of Humble leaves 8 bits of 16, and turns the picture as EXIF says.
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
        if name == "TIFF" and encoding.startswith("rgb") and not target:
            # compressed_image_transport writes the channels as they lie.
            picture = _swapped(picture)
        return self._from_file(picture, name, p)

    def _from_file(self, picture: NDArray[Any], what: str, p: ImageParameters) -> NDArray[np.uint8]:
        """Turn what a file holds (grey, BGR or BGRA of 8 or 16 bits) into RGB of 8 bits."""
        channels = 1 if picture.ndim == 2 else picture.shape[2]
        code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
        if code is None:
            raise ImageError(f"a file of {what} with {channels} channels", reason="undecodable")
        if picture.dtype == np.uint16:
            picture = self._eight_bits(picture, f"16-bit {what}", p)
        return np.asarray(cv2.cvtColor(picture, code), np.uint8)

    def _from_bayer_file(
        self, picture: NDArray[Any], encoding: str, target: str, what: str, p: ImageParameters
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
        mosaic = _BRIDGE.cv2_to_imgmsg(np.ascontiguousarray(grey), f"{name}{bits}")
        rgb = self._from_bayer(mosaic, bits, p)
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
    if encoding.lower() in PICTURE_ENCODINGS:
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


def _pixels(message: Image, channels: int, bits: int) -> NDArray[Any]:
    """Return the pixels (height, width, channels); of 8 bits as they lie, padded rows or not."""
    kind = np.dtype(f"u{bits // 8}").newbyteorder(">" if message.is_bigendian else "<")
    shape = (message.height, message.width, channels)
    strides = (message.step, channels * kind.itemsize, kind.itemsize)
    view: NDArray[Any] = np.ndarray(shape, kind, buffer=message.data, strides=strides)
    return view if bits == 8 else np.ascontiguousarray(view, np.uint16)


def _without_padding(message: Image, row: int) -> Image:
    """Return the Image with tight rows: cv_bridge misreads a step that is no whole pixel."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    tight = Image(header=message.header, height=message.height, width=message.width)
    tight.encoding, tight.is_bigendian, tight.step = message.encoding, message.is_bigendian, row
    tight.data = byte_array(rows[:, :row])
    return tight


def _from_packed(message: Image) -> NDArray[np.uint8]:
    _check_even(message, message.width)
    check_rows(message, 2 * message.width)
    return np.asarray(cv2.cvtColor(_pixels(message, 2, 8), _PACKED[message.encoding]), np.uint8)


def _from_planar(message: Image) -> NDArray[np.uint8]:
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


def _check_even(message: Image, *sides: int) -> None:
    """Refuse sides that do not divide into pixels that share their chroma: OpenCV 4 reads on."""
    if any(side % 2 for side in sides):
        raise ImageError(
            f"{message.encoding} of {message.width}x{message.height}: its pixels share chroma in "
            "pairs, so its sides are even numbers; set the driver to such a size, or to rgb8",
            reason="undecodable",
        )


def _swapped(picture: NDArray[Any]) -> NDArray[Any]:
    """Exchange red and blue."""
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(channels)
    return picture if code is None else np.asarray(cv2.cvtColor(picture, code))


def _has_colours(rgb: NDArray[np.uint8]) -> bool:
    """Say whether what was debayered has colours on a coarse grid, as of a mosaic of colours."""
    height, width = rgb.shape[:2]
    size = (max(width // _COARSE_PX, 1), max(height // _COARSE_PX, 1))
    coarse = cv2.resize(rgb.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return float(np.ptp(coarse, axis=-1).mean()) > _COLOURED
