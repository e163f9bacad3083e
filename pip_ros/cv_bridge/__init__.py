"""Convert between ROS images and numpy arrays: a stand-in for ROS 2 Jazzy's cv_bridge.

For machines without a ROS distribution; never installed beside one. It converts what
depth_anything_ros asks for: every encoding with colours to RGB of as many bits, and arrays to
messages.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

__all__ = ["CvBridge", "CvBridgeError"]

# Channels of a pixel, and what makes RGB of it. sensor_msgs names a Bayer pattern by its first two
# pixels of the first two rows; OpenCV by the second and third pixels of the second row.
_COLOURS = {
    "mono": (1, cv2.COLOR_GRAY2RGB),
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "bayer_rggb": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2RGB),
}
# Bytes of a channel, channels, and what makes RGB.
_ENCODINGS = {
    **{f"{name}{8 * size}": (size, *facts) for name, facts in _COLOURS.items() for size in (1, 2)},
    "yuv422": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (1, 2, cv2.COLOR_YUV2RGB_YUY2),
}


class CvBridgeError(TypeError):
    """Say that an image could not be converted."""


class CvBridge:
    """Convert ROS images to numpy arrays and back."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray[Any]:
        """Return the pixels of an image message, (H, W) for one channel, else (H, W, C).

        Values are in native byte order. With "passthrough" and rows without padding the array
        shares the memory of the message. As the real package it misreads rows whose step is no
        whole number of pixels. Raises CvBridgeError for an unknown encoding and for a conversion
        that does not exist, TypeError for too little data.
        """
        size, channels, code = _facts(img_msg.encoding)
        kind = np.dtype(f"{'>' if img_msg.is_bigendian else '<'}u{size}")
        shape = (img_msg.height, img_msg.step // (size * channels), channels)
        rows = np.ndarray(shape[: 3 if channels > 1 else 2], kind, img_msg.data)
        image = np.ascontiguousarray(rows[:, : img_msg.width], kind.newbyteorder("="))
        if desired_encoding in ("passthrough", img_msg.encoding):
            return image
        if desired_encoding != f"rgb{8 * size}" or code is None:
            raise CvBridgeError(f"no conversion from {img_msg.encoding!r} to {desired_encoding!r}")
        return cv2.cvtColor(image, code)

    def cv2_to_imgmsg(
        self, cvim: NDArray[Any], encoding: str = "passthrough", header: Header | None = None
    ) -> Image:
        """Return an image message with a copy of the pixels, (H, W) or (H, W, C).

        The header is the caller's own object, not a copy. Raises CvBridgeError where the encoding
        is of another type or number of channels; "passthrough" is not in this stand-in.
        """
        size, channels, _ = _facts(encoding)
        if cvim.dtype != f"u{size}" or channels != (cvim.shape[2] if cvim.ndim > 2 else 1):
            raise CvBridgeError(f"{encoding!r} is not that of {cvim.dtype} of shape {cvim.shape}")
        message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding)
        if header is not None:
            message.header = header
        message.step = message.width * channels * size
        message.data.frombytes(np.ascontiguousarray(cvim).reshape(-1).view(np.uint8).data)
        return message


def _facts(encoding: str) -> tuple[int, int, int | None]:
    """Return the bytes of a channel, the number of channels and OpenCV's code to RGB."""
    if encoding not in _ENCODINGS:
        raise CvBridgeError(f"unknown image encoding {encoding!r}: {', '.join(_ENCODINGS)} are not")
    return _ENCODINGS[encoding]
