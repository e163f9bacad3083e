"""CvBridge by content, on real messages; expected values are computed without OpenCV's codes."""

import array
import inspect
import itertools

import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image
from std_msgs.msg import Header

DTYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
GENERIC = [f"{code}C{channels}" for code in DTYPES for channels in (1, 2, 3, 4, 5)]
# What each channel of a plain colour encoding holds.
ORDER = {"mono": "Y", "rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA"}
COLOURS = [f"{name}{bits}" for name in ORDER for bits in (8, 16)]
BAYER = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}

bridge = CvBridge()


def random_image(encoding, height, width, seed=0):
    code, channels = encoding.split("C")
    shape = (height, width, int(channels))
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, 8), dtype=np.uint8)
    dtype = np.dtype(DTYPES[code])
    image = raw.view(np.int64)[..., 0].astype(dtype)
    return image[..., 0] if channels == "1" else image


def message_of(image, encoding, step=None, big_endian=False):
    """Lay an image out in a message byte by byte, without cv_bridge."""
    height, width = image.shape[:2]
    swapped = image.astype(image.dtype.newbyteorder(">" if big_endian else "<"))
    rows = [swapped[i].tobytes() for i in range(height)]
    step = len(rows[0]) if step is None else step
    data = b"".join(row.ljust(step, b"\xa5") for row in rows)
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.is_bigendian = int(big_endian)
    message.data = array.array("B", data)
    return message


def bits_of(encoding):
    return 16 if encoding.endswith("16") else 8


def colour_image(encoding, red, green, blue):
    """One colour all over, in 8 bits scaled to the encoding; alpha is full, Y by BT.601."""
    scale = 257 if bits_of(encoding) == 16 else 1
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    values = {"R": red, "G": green, "B": blue, "A": 255, "Y": luma}
    pixel = [round(values[c] * scale) for c in ORDER[encoding.rstrip("168")]]
    image = np.empty((3, 5, len(pixel)), np.uint16 if scale == 257 else np.uint8)
    image[:] = pixel
    return image[..., 0] if len(pixel) == 1 else image


def test_signatures_are_those_of_jazzy():
    assert str(inspect.signature(CvBridge)) in ("()", "() -> None")
    names = {
        "imgmsg_to_cv2": [("img_msg", None), ("desired_encoding", "passthrough")],
        "cv2_to_imgmsg": [("cvim", None), ("encoding", "passthrough"), ("header", None)],
    }
    for name, expected in names.items():
        parameters = list(inspect.signature(getattr(bridge, name)).parameters.values())
        assert [p.name for p in parameters] == [n for n, _ in expected]
        assert [p.default for p in parameters[1:]] == [d for _, d in expected[1:]]
    assert issubclass(CvBridgeError, TypeError)


@settings(max_examples=150)
@given(
    encoding=st.sampled_from(GENERIC),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 9),
    big_endian=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_reads_any_layout(encoding, height, width, padding, big_endian, seed):
    image = random_image(encoding, height, width, seed)
    row = image[0].nbytes
    # Whole pixels of padding, which the real package reads too, when rows are padded.
    step = row + padding * row // width
    message = message_of(image, encoding, step, big_endian)
    got = bridge.imgmsg_to_cv2(message)
    assert got.dtype == image.dtype
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, image)


@settings(max_examples=150)
@given(
    encoding=st.sampled_from(GENERIC),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    order=st.sampled_from("<>"),
    strided=st.booleans(),
)
def test_round_trip(encoding, height, width, order, strided):
    image = random_image(encoding, 2 * height, width)
    image = image[::2] if strided else image[:height]
    message = bridge.cv2_to_imgmsg(image.astype(image.dtype.newbyteorder(order)))
    assert (message.height, message.width, message.encoding) == (height, width, encoding)
    assert message.step == image[0].nbytes
    assert len(message.data) == image.nbytes
    assert bool(message.is_bigendian) == (order == ">" and image.itemsize > 1)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message), image)


def test_padding_need_not_be_whole_pixels():
    image = random_image("16UC3", 4, 3)
    got = bridge.imgmsg_to_cv2(message_of(image, "bgr16", step=4 * 8 - 3))
    np.testing.assert_array_equal(got, image)


def test_last_row_needs_no_padding():
    image = random_image("8UC3", 4, 3)
    message = message_of(image, "bgr8", step=16)
    message.data = message.data[: 3 * 16 + 9]
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message), image)


def test_unpadded_pixels_share_the_memory_of_the_message():
    message = message_of(np.zeros((2, 2), np.uint8), "mono8")
    bridge.imgmsg_to_cv2(message)[1, 1] = 7
    assert message.data[3] == 7


def test_an_empty_image_is_empty():
    assert bridge.imgmsg_to_cv2(Image(encoding="bgr8")).shape == (0, 0, 3)


@pytest.mark.parametrize(
    "encoding",
    [*COLOURS, *(f"bayer_{p}{b}" for p in BAYER for b in (8, 16)), "yuv422", "yuv422_yuy2"],
)
def test_named_encodings_pass_through(encoding):
    channels = 2 if encoding.startswith("yuv") else len(ORDER.get(encoding.rstrip("168"), "Y"))
    image = random_image(f"{16 if encoding.endswith('16') else 8}UC{channels}", 4, 6)
    message = bridge.cv2_to_imgmsg(image, encoding)
    assert message.encoding == encoding
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message), image)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message, encoding), image)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(COLOURS, COLOURS)))
def test_colours_between_all_plain_encodings(source, target):
    grey = source.startswith("mono")
    red, green, blue = (120, 120, 120) if grey else (200, 30, 90)
    image = colour_image(source, red, green, blue)
    got = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(image, source), target)
    expected = colour_image(target, red, green, blue)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    # Luma is rounded in the depth of the source.
    tolerance = 257 if target.startswith("mono") and target.endswith("16") else 1
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= tolerance
    if not target.startswith("mono"):
        np.testing.assert_array_equal(got, expected)


def test_alpha_is_dropped_and_kept():
    image = np.array([[[10, 20, 30, 40]]], np.uint8)
    message = bridge.cv2_to_imgmsg(image, "rgba8")
    assert bridge.imgmsg_to_cv2(message, "bgra8").tolist() == [[[30, 20, 10, 40]]]
    assert bridge.imgmsg_to_cv2(message, "bgr8").tolist() == [[[30, 20, 10]]]
    assert bridge.imgmsg_to_cv2(message, "rgba16").tolist() == [[[2570, 5140, 7710, 10280]]]


def test_depth_is_scaled_by_257_and_rounded():
    wide = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    narrow = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(wide, "mono16"), "mono8")
    np.testing.assert_array_equal(narrow, (wide.astype(int) + 128) // 257)
    back = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(narrow, "mono8"), "mono16")
    np.testing.assert_array_equal(back, narrow.astype(int) * 257)
    # Types without colours are scaled by their depth as well.
    back = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(narrow), "16UC1")
    np.testing.assert_array_equal(back, narrow.astype(int) * 257)


def test_other_depths_are_cast_rounded_and_saturated():
    image = np.array([[-5.0, 2.5, 3.5, 70000.0, np.nan]], np.float32)
    message = bridge.cv2_to_imgmsg(image)
    assert bridge.imgmsg_to_cv2(message, "16UC1").tolist() == [[0, 2, 4, 65535, 0]]
    assert bridge.imgmsg_to_cv2(message, "16SC1").tolist()[0][:4] == [-5, 2, 4, 32767]
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message, "64FC1"), image.astype(float))
    millimetres = bridge.cv2_to_imgmsg(np.array([[1234]], np.uint16))
    assert bridge.imgmsg_to_cv2(millimetres, "32FC1").tolist() == [[1234.0]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["rgb", "bgr", "mono"])
@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_patterns_give_the_colour_of_a_uniform_scene(pattern, target, bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    scale = 1 if bits == 8 else 257
    values = {"R": 200, "G": 100, "B": 50}
    tile = np.array([values[c] for c in BAYER[pattern]], dtype).reshape(2, 2) * dtype(scale)
    message = bridge.cv2_to_imgmsg(np.tile(tile, (4, 5)), f"bayer_{pattern}{bits}")
    got = bridge.imgmsg_to_cv2(message, f"{target}{bits}")
    expected = colour_image(f"{target}{bits}", 200, 100, 50)[1, 1]
    assert np.abs(got[2:-2, 2:-2].astype(int) - np.asarray(expected, int)).max() <= scale
    other = bridge.imgmsg_to_cv2(message, f"{target}{24 - bits}")
    assert other.dtype == (np.uint16 if bits == 8 else np.uint8)


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "UYVY"), ("yuv422_yuy2", "YUYV")])
def test_yuv_by_the_formula_of_bt601(encoding, order):
    y, u, v = 120, 90, 180
    luma = 1.164 * (y - 16)
    red, blue = luma + 1.596 * (v - 128), luma + 2.018 * (u - 128)
    green = luma - 0.813 * (v - 128) - 0.391 * (u - 128)
    image = np.array([{"Y": y, "U": u, "V": v}[c] for c in order], np.uint8).reshape(1, 2, 2)
    message = bridge.cv2_to_imgmsg(np.tile(image, (2, 3, 1)), encoding)
    for target in ("rgb8", "bgr8", "rgba8", "bgra8"):
        got = bridge.imgmsg_to_cv2(message, target)
        assert got.shape == (2, 6, len(target) - 1)
        named = dict(zip(target.upper(), got[0, 0].tolist(), strict=False))
        assert [named[c] for c in "RGB"] == pytest.approx([red, green, blue], abs=2)
    assert (bridge.imgmsg_to_cv2(message, "mono8") == y).all()
    assert (bridge.imgmsg_to_cv2(message, "mono16") == y * 257).all()


@pytest.mark.parametrize(
    ("image", "encoding", "target"),
    [
        (np.zeros((4, 4, 3), np.uint8), "8UC3", "bgr8"),  # names no colours
        (np.zeros((4, 4), np.uint16), "16UC1", "mono8"),
        (np.zeros((4, 4), np.uint8), "mono8", "8UC3"),  # other number of channels
        (np.zeros((4, 4), np.uint8), "8UC1", "8UC2"),
        (np.zeros((4, 4), np.uint8), "bayer_rggb8", "rgba8"),  # not in cv_bridge
        (np.zeros((4, 4), np.uint8), "bayer_rggb8", "bayer_rggb16"),
        (np.zeros((4, 4, 3), np.uint8), "bgr8", "yuv422"),
        (np.zeros((4, 4, 3), np.uint8), "bgr8", "uyvy"),
        (np.zeros((4, 4, 3), np.uint8), "bgr8", "nonsense"),
        (np.zeros((4, 3, 2), np.uint8), "yuv422", "bgr8"),  # OpenCV needs an even width
    ],
)
def test_conversions_that_do_not_exist(image, encoding, target):
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(image, encoding), target)


@pytest.mark.parametrize("encoding", ["", "uyvy", "nv12", "nv21", "8UC", "8UC0", "32UC1", "RGB8"])
def test_unknown_encodings(encoding):
    message = message_of(np.zeros((2, 2), np.uint8), encoding)
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(message)


def test_a_message_with_too_little_data():
    message = message_of(np.zeros((4, 4, 3), np.uint8), "bgr8")
    message.data = message.data[:-1]
    with pytest.raises(TypeError):
        bridge.imgmsg_to_cv2(message)


def test_a_type_without_channels_has_one():
    image = random_image("16UC1", 2, 3)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message_of(image, "16U")), image)


def test_cv2_to_imgmsg_refuses_what_does_not_fit():
    with pytest.raises(TypeError):
        bridge.cv2_to_imgmsg([[1]])
    with pytest.raises(KeyError):
        bridge.cv2_to_imgmsg(np.zeros((2, 2), bool))
    for image, encoding in (
        (np.zeros((2, 2, 3), np.uint8), "rgba8"),
        (np.zeros((2, 2), np.uint8), "mono16"),
        (np.zeros((2, 2), np.float32), "16UC1"),
        (np.zeros((2, 2), np.uint8), "nonsense"),
    ):
        with pytest.raises(CvBridgeError):
            bridge.cv2_to_imgmsg(image, encoding)


def test_the_header_is_the_callers_own():
    header = Header(frame_id="camera")
    header.stamp.sec = 12
    message = bridge.cv2_to_imgmsg(np.zeros((2, 2), np.uint8), "mono8", header=header)
    assert message.header is header
    assert bridge.cv2_to_imgmsg(np.zeros((2, 2), np.uint8)).header == Header()


def test_the_pixels_of_a_message_are_a_copy():
    image = np.zeros((2, 2), np.uint8)
    message = bridge.cv2_to_imgmsg(image)
    image[:] = 1
    assert isinstance(message.data, array.array)
    assert message.data.tolist() == [0, 0, 0, 0]
