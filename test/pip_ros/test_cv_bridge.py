"""CvBridge on real messages. That its colours are right is held by test/nodes on any cv_bridge."""

import array

import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import Image
from std_msgs.msg import Header

CHANNELS = {"mono": 1, "bayer_rggb": 1, "rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}
bridge = CvBridge()


def pixels(encoding, height=3, width=4):
    name, bits = encoding.rstrip("168"), 16 if encoding.endswith("16") else 8
    shape = (height, width, *([CHANNELS[name]] if CHANNELS[name] > 1 else []))
    return np.random.default_rng(0).integers(0, 1 << bits, shape).astype(f"u{bits // 8}")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", CHANNELS)
def test_pixels_come_back_and_are_a_copy_in_the_message(name, bits):
    image, header = pixels(f"{name}{bits}"), Header(frame_id="camera")
    message = bridge.cv2_to_imgmsg(image, f"{name}{bits}", header)
    before = image.copy()
    image[:] = 0
    assert message.header is header and message.step == before[0].nbytes
    assert isinstance(message.data, array.array)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message), before)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgra16", "rgb8"])
def test_rows_may_be_padded_by_whole_pixels_and_bytes_in_either_order(encoding, big_endian):
    image = pixels(encoding)
    padded = np.concatenate([image, image[:, :1]], axis=1)
    message = Image(height=3, width=4, encoding=encoding, step=padded[0].nbytes)
    message.is_bigendian = int(big_endian)
    order = padded.dtype.newbyteorder(">" if big_endian else "<")
    message.data = array.array("B", padded.astype(order).tobytes())
    got = bridge.imgmsg_to_cv2(message)
    np.testing.assert_array_equal(got, image)
    assert got.dtype.isnative and got.flags.c_contiguous


def test_unpadded_pixels_share_the_memory_of_the_message():
    message = bridge.cv2_to_imgmsg(pixels("mono8"), "mono8")
    bridge.imgmsg_to_cv2(message)[0, 1] = 7
    assert message.data[1] == 7


def test_what_does_not_fit_is_refused():
    grey = bridge.cv2_to_imgmsg(pixels("mono8"), "mono8")
    for target in ("yuv422", "nonsense", "bayer_rggb8"):
        with pytest.raises(CvBridgeError):
            bridge.imgmsg_to_cv2(grey, target)
    for encoding in ("", "uyvy", "nv12", "RGB8"):
        with pytest.raises(CvBridgeError, match="unknown image encoding"):
            bridge.imgmsg_to_cv2(Image(encoding=encoding, width=1, height=1, step=4))
    for encoding in ("rgba8", "mono16", "nonsense"):
        with pytest.raises(CvBridgeError):
            bridge.cv2_to_imgmsg(pixels("mono8"), encoding)
    grey.data = grey.data[:-1]
    with pytest.raises(TypeError):
        bridge.imgmsg_to_cv2(grey)
