"""Convert between sensor_msgs images and numpy arrays, as cv_bridge of ROS 2 Jazzy does."""

import array
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cv_bridge._encodings import (
    CvBridgeError,
    PixelFormat,
    convert,
    generic_encoding,
    pixel_format,
)

__all__ = ["CvBridge", "CvBridgeError"]


class CvBridge:
    """Convert ROS images to numpy arrays and back."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray[Any]:
        """Return the pixels of an image message, (H, W) for one channel, else (H, W, C).

        Values are in native byte order. With "passthrough" and rows without padding the array
        shares the memory of the message: copy it before writing into it. Raises CvBridgeError,
        which is a TypeError, for an unknown encoding, a conversion that does not exist, and
        step or data too small for the size (where the real package may return a narrower image).
        """
        image = _pixels(img_msg, pixel_format(img_msg.encoding))
        if desired_encoding == "passthrough":
            return image
        return convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: NDArray[Any], encoding: str = "passthrough", header: Header | None = None
    ) -> Image:
        """Return an image message with a copy of the pixels, (H, W) or (H, W, C).

        "passthrough" names the numpy type, such as "8UC3"; another encoding must have the same
        type and channels. The header is the caller's own object, not a copy. Raises TypeError for
        what is no array, KeyError for a type without encoding, CvBridgeError for a mismatch.
        """
        if not isinstance(cvim, np.ndarray | np.generic):
            raise TypeError(f"cv2_to_imgmsg got {type(cvim).__name__}, expected a numpy array")
        message = Image()
        message.height = cvim.shape[0]
        message.width = cvim.shape[1]
        if header is not None:
            message.header = header
        channels = 1 if cvim.ndim < 3 else cvim.shape[2]
        generic = generic_encoding(cvim.dtype, channels)
        message.encoding = generic if encoding == "passthrough" else encoding
        wanted = pixel_format(message.encoding)
        if generic_encoding(wanted.dtype, wanted.channels) != generic:
            raise CvBridgeError(f"encoding {encoding!r} does not fit an image of type {generic}")
        message.is_bigendian = _is_big_endian(cvim.dtype)
        message.step = message.width * channels * cvim.dtype.itemsize
        message.data = _bytes_of(cvim)
        return message


def _pixels(message: Image, pixel: PixelFormat) -> NDArray[Any]:
    """Return the pixels as a contiguous array in native byte order; rows start `step` apart."""
    itemsize = pixel.dtype.itemsize
    row_bytes = message.width * pixel.channels * itemsize
    needed = message.step * (message.height - 1) + row_bytes if message.height else 0
    if message.step < row_bytes or len(message.data) < needed:
        raise CvBridgeError(
            f"malformed image: {message.width}×{message.height} {message.encoding} needs rows of "
            f"{row_bytes} bytes and {needed} bytes in all; step is {message.step}, "
            f"data has {len(message.data)} bytes"
        )
    shape: tuple[int, ...] = (message.height, message.width, pixel.channels)
    strides: tuple[int, ...] = (message.step, pixel.channels * itemsize, itemsize)
    if pixel.channels == 1:
        shape, strides = shape[:2], strides[:2]
    dtype = pixel.dtype.newbyteorder(">" if message.is_bigendian else "<")
    if 0 in shape:
        return np.empty(shape, pixel.dtype)
    image: NDArray[Any] = np.ndarray(shape, dtype, buffer=message.data, strides=strides)
    return np.ascontiguousarray(image, dtype=pixel.dtype)


def _is_big_endian(dtype: np.dtype[Any]) -> bool:
    return dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big")


def _bytes_of(image: NDArray[Any]) -> "array.array[int]":
    """Copy an array into the only type that message setters take without walking every byte."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(image).reshape(-1).view(np.uint8).data)
    return data
