"""Pictures of messages, against closed forms."""

import io
import itertools
import struct
from array import array

import cv2
import numpy as np
import pytest
from orientation import UPRIGHT, corners, write_turned
from ros_harness import picture, picture_message
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.core.image_decoding import ImageDecoder, ImageOptions

BAYER = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}
ORDER = {
    "rgb": [0, 1, 2],
    "bgr": [2, 1, 0],
    "rgba": [0, 1, 2, 0],
    "bgra": [2, 1, 0, 0],
    "mono": [1],
}
PLANAR = ("nv12", "nv21", "nv24")
# A scene of two plain colours, left and right.
SCENE = np.zeros((64, 96, 3), np.uint8)
SCENE[:, :48], SCENE[:, 48:] = (200, 100, 50), (40, 90, 160)


def decode(message, **parameters):
    return ImageDecoder().decode(message, ImageOptions(**parameters))


def refused(message, **parameters):
    with pytest.raises(ImageError) as error:
        decode(message, **parameters)
    assert str(error.value).isprintable() and len(str(error.value)) < 800
    return error.value.reason, str(error.value)


def image(encoding, width, height, data, step, big_endian=False):
    message = Image(encoding=encoding, width=width, height=height, step=step)
    message.is_bigendian, message.data = int(big_endian), array("B", data)
    return message


def compressed(form, suffix, values, arguments=()):
    data = cv2.imencode(suffix, values, list(arguments))[1].tobytes()
    return CompressedImage(format=form, data=data)


def mosaic_of(rgb, pattern):
    """Let each pixel keep the colour that its place in the pattern passes."""
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    for (row, column), colour in zip(
        itertools.product((0, 1), (0, 1)), BAYER[pattern], strict=True
    ):
        mosaic[row::2, column::2] = rgb[row::2, column::2, "RGB".index(colour)]
    return mosaic


def inner(rgb):
    """Leave out borders and the edge between the colours, where any demosaicing guesses."""
    return np.hstack([rgb[4:-4, 4:-52], rgb[4:-4, 52:-4]]).astype(int)


# Image ------------------------------------------------------------------------------------


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ORDER)
def test_colours_of_8_and_16_bits_with_padded_rows(name, bits, big_endian):
    rgb = picture(7, 5)
    values = rgb[..., ORDER[name]].astype(np.uint16) * (257 if bits == 16 else 1)
    kind = "u1" if bits == 8 else ">u2" if big_endian else "<u2"
    rows = [row.astype(kind).tobytes() + b"pad" for row in values]
    message = image(f"{name}{bits}", 7, 5, b"".join(rows), len(rows[0]), big_endian)
    expected = np.repeat(rgb[..., 1:2], 3, axis=2) if name == "mono" else rgb
    np.testing.assert_array_equal(decode(message), expected)


def test_16_bits_are_rounded_to_8():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = ((values.astype(int) + 128) // 257)[..., None]
    np.testing.assert_array_equal(decode(picture_message(values, "mono16")), expected.repeat(3, 2))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_gives_the_colours_of_the_scene(pattern, bits):
    values = mosaic_of(SCENE, pattern).astype(f"u{bits // 8}") * (257 if bits == 16 else 1)
    padded = np.pad(values, ((0, 0), (0, 3)))
    message = picture_message(padded, f"bayer_{pattern}{bits}")
    message.width -= 3
    assert np.abs(inner(decode(message)) - inner(SCENE)).max() <= 1


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("uyvy", "UYVY"), ("yuv422", "UYVY"), ("yuyv", "YUYV"), ("yuv422_yuy2", "YUYV")],
)
def test_packed_yuv_by_the_formula_of_bt601(encoding, order):
    rows = []
    for row in range(3):
        pixels = [{"Y": 120 + row, "U": 90, "V": 180}[c] for c in order] * 2
        rows.append(bytes(pixels) + b"padded")
    message = image(encoding, 4, 3, b"".join(rows), len(rows[0]))
    np.testing.assert_allclose(decode(message)[:, 0], [bt601(120 + r) for r in range(3)], atol=1)


def bt601(y, u=90, v=180):
    luma = 1.164 * (y - 16)
    red, blue = luma + 1.596 * (v - 128), luma + 2.018 * (u - 128)
    return red, luma - 0.813 * (v - 128) - 0.391 * (u - 128), blue


@pytest.mark.parametrize(("padding", "said_step"), [(0, 6), (5, 11), (0, 9), (0, 12), (0, 18)])
@pytest.mark.parametrize("encoding", PLANAR)
def test_planar_yuv_by_the_formula_of_bt601(encoding, padding, said_step):
    width, height = 6, 4
    chroma = b"\xb4\x5a" if encoding == "nv21" else b"\x5a\xb4"  # U is 90, V is 180
    luma = [bytes([100 + 10 * row] * width) for row in range(height)]
    if encoding == "nv24":  # rows of chroma are two of luma's, padding too
        planes = [row + bytes(padding) for row in luma] + [
            chroma * width + bytes(2 * padding) for _ in range(height)
        ]
    else:
        planes = [row + bytes(padding) for row in luma] + [
            chroma * (width // 2) + bytes(padding) for _ in range(height // 2)
        ]
    message = image(encoding, width, height, b"".join(planes), said_step)
    expected = [[bt601(100 + 10 * row)] * width for row in range(height)]
    np.testing.assert_allclose(decode(message), expected, atol=1.5)


@pytest.mark.parametrize(("width", "height"), [(5, 4), (4, 5)])
@pytest.mark.parametrize("encoding", ["uyvy", "yuyv", "yuv422", "yuv422_yuy2", *PLANAR])
def test_odd_sides_of_pixels_that_share_chroma_are_refused(encoding, width, height):
    data = bytes((3 if encoding == "nv24" else 2) * width * height)
    message = image(encoding, width, height, data, width * (1 if encoding in PLANAR else 2))
    # Of nv24 no pixels share it, and of the packed ones those beside each other.
    if encoding == "nv24" or (height % 2 and encoding not in PLANAR):
        assert decode(message).shape == (height, width, 3)
        return
    reason, said = refused(message)
    assert reason == "undecodable" and f"{width}x{height}" in said and "even" in said


def test_planes_of_a_wrong_length_or_step_are_refused():
    assert refused(image("nv12", 4, 4, bytes(23), 4))[0] == "bad_length"
    assert refused(image("nv24", 4, 4, bytes(24), 4))[0] == "bad_length"
    assert refused(image("nv12", 4, 4, bytes(24), 3))[0] == "bad_step"
    assert refused(image("uyvy", 4, 4, bytes(32), 4))[0] == "bad_step"


@pytest.mark.parametrize(
    ("encoding", "taken"),
    [
        ("8UC1", "mono8"),
        ("8UC3", "bgr8"),
        ("8UC4", "bgra8"),
        ("16UC3", "bgr16"),
        ("16UC4", "bgra16"),
    ],
)
def test_names_without_colours_are_opencvs_order_and_said(encoding, taken):
    channels = int(encoding[-1])
    values = np.random.default_rng(1).integers(0, 256, (4, 6, channels))
    values = values.astype(np.uint8 if encoding.startswith("8") else np.uint16) * np.uint8(1)
    decoder = ImageDecoder()
    rgb = decoder.decode(picture_message(values, encoding))
    doubts = " ".join(decoder.doubts.values())
    np.testing.assert_array_equal(rgb, decode(picture_message(values, taken)))
    if encoding != "8UC1":  # grey has no order
        assert encoding in doubts and f"taken for {taken}" in doubts
    assert decoder.decode(picture_message(picture())).any() and not decoder.doubts


@pytest.mark.parametrize(
    ("encoding", "remedy"),
    [
        ("16UC1", "remap image to a colour camera"),
        ("32FC1", "remap image to a colour camera"),
        ("8UC2", "yuyv or uyvy"),
        ("YUYV", "set the driver's to yuyv"),
        ("BGR8", "set the driver's to bgr8"),
        ("nv16", "rgb8"),
        ("h264", "rgb8"),
        ("bayer_rggb12", "rgb8"),
        ("rgb", "rgb8"),
        ("8UC5", "rgb8"),
        ("", "rgb8"),
        ("rgb8\n\x1b[31m[FATAL] on fire", r"'rgb8\n\x1b[31m[FATAL] on fire'"),
        ("A" * 10**6, "(1000000 characters)"),
    ],
)
def test_other_encodings_are_refused_by_name_with_a_remedy(encoding, remedy):
    reason, said = refused(image(encoding, 4, 4, bytes(64), 16))
    assert reason == "encoding" and remedy in said


def test_rgb8_is_looked_at_where_it_lies():
    message = picture_message(picture(7, 5))
    assert np.shares_memory(decode(message), np.frombuffer(message.data, np.uint8))


def test_a_picture_larger_than_the_limit_is_refused():
    message = image("mono8", 2000, 1000, bytes(2_000_000), 2000)
    assert decode(message).shape == (1000, 2000, 3)
    assert refused(message, max_megapixels=1.9)[0] == "too_large"
    huge = Image(encoding="rgb8", width=2**32 - 1, height=2**32 - 1, step=2**32 - 1)
    assert refused(huge)[0] == "too_large"
    assert refused(Image(encoding="rgb8"))[0] == "empty"


# Bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize(
    "encoding", ["mono16", "rgb16", "rgba16", "bgra16", "16UC4", "bayer_rggb16", "png", "bayer png"]
)
def test_fewer_bits_than_16_are_said_and_set(encoding, bits):
    full = (1 << bits) - 1
    values = np.full((4, 6, 4), full, np.uint16)
    values[0, 0] = full // 2
    values[..., 3] = 65535  # alpha is no brightness
    channels = 4 if encoding in ("rgba16", "bgra16", "16UC4", "png") else 3
    values = values[..., :channels] if channels == 4 or encoding == "rgb16" else values[..., 0]
    if "png" in encoding:
        name = "bayer_rggb16" if encoding.startswith("bayer") else "rgb16"
        message = compressed(f"{name}; png compressed ", ".png", values)
    else:
        message = picture_message(np.ascontiguousarray(values), encoding)
    decoder = ImageDecoder()
    assert decoder.decode(message)[2, 2].tolist() == [round(full * 255 / 65535)] * 3
    said = decoder.doubts[f"bits {bits}"]
    assert f"set image.bits to {bits}" in said and f"{1 << 16 - bits} times too dark" in said
    assert decoder.decode(message, ImageOptions(bits=bits))[2, 2].tolist() == [255] * 3
    assert not any(cause.startswith("bits") for cause in decoder.doubts)


def test_the_brightest_pixel_of_all_pictures_counts():
    decoder = ImageDecoder()
    dark, bright = (picture_message(np.full((2, 2), v, np.uint16), "mono16") for v in (900, 40000))
    decoder.decode(picture_message(np.zeros((2, 2), np.uint16), "mono16"))
    assert not decoder.doubts  # a lens cap says nothing
    decoder.decode(dark)
    assert "10 bits" in " ".join(decoder.doubts.values())
    decoder.decode(bright)
    decoder.decode(dark)
    assert not decoder.doubts


def test_more_bits_than_were_set_are_cut_and_said():
    decoder = ImageDecoder()
    message = picture_message(np.array([[1000, 5000]], np.uint16), "mono16")
    rgb = decoder.decode(message, ImageOptions(bits=12))
    assert rgb[0, :, 0].tolist() == [round(1000 * 255 / 4095), 255]
    (said,) = decoder.doubts.values()
    assert "5000" in said and "set image.bits to 14" in said


# CompressedImage --------------------------------------------------------------------------


BGR = SCENE[..., ::-1]
ALPHA = np.full(SCENE.shape[:2], 7, np.uint8)


@pytest.mark.parametrize(
    ("form", "suffix", "values"),
    [
        ("png", ".png", BGR),
        ("tiff", ".tiff", BGR),
        ("bmp", ".bmp", BGR),
        ("webp", ".webp", BGR),
        ("rgb16; png compressed bgr16", ".png", BGR.astype(np.uint16) * 257),
        ("png", ".png", np.dstack([BGR, ALPHA])),
        ("png", ".png", np.dstack([BGR, ALPHA]).astype(np.uint16) * 257),
        # A TIFF of compressed_image_transport has the channels as they lay.
        ("bgr8; tiff compressed ", ".tiff", BGR),
        ("rgb8; tiff compressed ", ".tiff", SCENE),
        ("rgba8; tiff compressed ", ".tiff", np.dstack([SCENE, ALPHA])),
    ],
)
def test_files_without_loss_give_the_picture(form, suffix, values):
    arguments = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    np.testing.assert_array_equal(decode(compressed(form, suffix, values, arguments)), SCENE)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_grey_files_give_grey(suffix):
    grey = decode(compressed(f"mono8; {suffix[1:]} compressed ", suffix, SCENE[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(SCENE[..., :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_orientation_of_exif_is_the_cameras_business(tmp_path, orientation, suffix):
    """CameraInfo is of the pixels as they lie."""
    path, stored = tmp_path / f"turned{suffix}", corners(96, 64)
    write_turned(path, stored, orientation)
    rgb = decode(CompressedImage(format=suffix[1:], data=path.read_bytes()))
    np.testing.assert_allclose(rgb, stored, atol=3)


def test_progressive_jpeg_and_cmyk():
    smooth = (cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    rgb = decode(compressed("rgb8; jpeg compressed bgr8", ".jpg", SCENE[..., ::-1], smooth))
    assert np.abs(inner(rgb) - inner(SCENE)).max() <= 3
    # C, M, Y, K as Adobe writes them: 255 is no ink, and k = 200 darkens what is left by 200/255.
    pil = pytest.importorskip("PIL.Image")
    file, cmyk = io.BytesIO(), np.full((16, 16, 4), (255 - 200, 255 - 100, 255 - 50, 55), np.uint8)
    pil.fromarray(cmyk, "CMYK").save(file, "JPEG", quality=100)
    rgb = decode(CompressedImage(format="jpeg", data=file.getvalue()))
    np.testing.assert_allclose(rgb[8, 8], np.array([200, 100, 50]) * 200 / 255, atol=3)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_compressed_mosaic_is_debayered_as_the_raw_one(suffix, pattern, bits):
    mosaic = np.random.default_rng(2).integers(0, 1 << bits, (64, 96)).astype(f"u{bits // 8}")
    encoding = f"bayer_{pattern}{bits}"
    decoder = ImageDecoder()
    rgb = decoder.decode(compressed(f"{encoding}; {suffix[1:]} compressed ", suffix, mosaic))
    np.testing.assert_array_equal(rgb, decode(picture_message(mosaic, encoding)))
    assert not decoder.doubts


@pytest.mark.parametrize("target", ["", "mono8", "bgr8"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pattern", BAYER)
def test_a_mosaic_in_a_jpeg_is_debayered_and_said(pattern, channels, target):
    mosaic = mosaic_of(SCENE, pattern)
    values = mosaic if channels == 1 else np.repeat(mosaic[..., None], 3, axis=2)
    form = f"bayer_{pattern}8; jpeg compressed {target}"
    decoder = ImageDecoder()
    rgb = decoder.decode(compressed(form, ".jpg", values, (cv2.IMWRITE_JPEG_QUALITY, 100)))
    assert np.abs(inner(rgb) - inner(SCENE)).max() <= 4
    (said,) = decoder.doubts.values()
    assert "JPEG" in said and "compressed.format" in said


@pytest.mark.parametrize(
    "form",
    [
        "jpeg; bayer_rggb8",
        "mono8; jpeg compressed bayer_rggb8",
        " BAYER_RGGB8;JPEG",
        "bayer_rggb10p; jpeg compressed ",
        "bayer_rggb16; jpeg compressed mono8",
        "bayer_rggb",
    ],
)
def test_a_mosaic_is_known_wherever_the_format_names_it(form):
    mosaic = mosaic_of(SCENE, "rggb")
    rgb = decode(compressed(form, ".jpg", mosaic, (cv2.IMWRITE_JPEG_QUALITY, 100)))
    assert np.abs(inner(rgb) - inner(SCENE)).max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bayer_that_its_sender_has_debayered_stays(suffix):
    best = (cv2.IMWRITE_JPEG_QUALITY, 100) if suffix == ".jpg" else ()
    codec = {".png": "png", ".jpg": "jpeg"}[suffix]
    form = f"bayer_rggb8; {codec} compressed bgr8"
    decoder = ImageDecoder()
    rgb = decoder.decode(compressed(form, suffix, SCENE[..., ::-1], best))
    assert np.abs(inner(rgb) - inner(SCENE)).max() <= 3 and not decoder.doubts
    # As compressed_image_transport of ROS 2 has it: grey, with all its detail.
    noise = cv2.GaussianBlur(
        np.random.default_rng(3).integers(0, 256, (64, 96), np.uint8), (0, 0), 1.5
    )
    grey = decoder.decode(compressed(form.replace("bgr8", "mono8"), suffix, noise, best))
    assert np.abs(grey.astype(int) - noise[..., None]).max() <= (0 if suffix == ".png" else 3)
    assert "its colours are lost" in " ".join(decoder.doubts.values())


def test_a_jpeg_whose_data_end_too_early_is_said():
    noise = np.random.default_rng(4).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    data = bytes(compressed("jpeg", ".jpg", noise).data)
    decoder = ImageDecoder()
    decoder.decode(CompressedImage(format="jpeg", data=data[: len(data) // 2] + b"\xff\xd9"))
    assert "of 64 rows of a JPEG are the grey" in decoder.doubts["filled"]
    decoder.decode(CompressedImage(format="jpeg", data=data))
    assert not decoder.doubts


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded():
    for suffix in (".png", ".jpg", ".webp", ".tiff"):
        message = compressed("rgb8", suffix, np.zeros((2000, 1500), np.uint8))
        assert decode(message).shape == (2000, 1500, 3)
        reason, said = refused(message, max_megapixels=2.9)
        assert reason == "too_large" and "1500x2000" in said
    claims = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 10100, 10000) + bytes(9)
    assert refused(CompressedImage(format="png", data=claims))[0] == "too_large"


@pytest.mark.parametrize(
    ("form", "data", "reason", "said"),
    [
        ("jpeg", b"", "empty", "without data"),
        ("16UC1; png compressed ", b"\x89PNG", "encoding", "remap image/compressed"),
        ("16UC1; compressedDepth png", b"\x89PNG", "encoding", "is depth"),
        ("jpeg\n\x1b[31m[FATAL] ", b"no picture", "undecodable", "it starts with b'no p'"),
        ("32FC1\n\x1b[31m" + "A" * 10**6, b"no", "encoding", r"'32FC1\n\x1b[31mAAA"),
        ("h264", b"\x00\x00\x00\x01", "undecodable", "no picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_printable_line(form, data, reason, said):
    found, text = refused(CompressedImage(format=form, data=data))
    assert found == reason and said in text


def test_pixels_that_are_no_integers_and_broken_files_are_refused():
    message = compressed("32F; tiff", ".tiff", np.zeros((4, 4), np.float32))
    assert refused(message) == (
        "undecodable",
        "a file of TIFF with numbers of float32 is no picture (format '32F; tiff')",
    )
    whole = bytes(compressed("png", ".png", SCENE).data)
    broken = CompressedImage(format="png\n", data=whole[:40] + bytes(60) + whole[100:])
    assert refused(broken)[0] == "undecodable"
    assert r"'png\n'" in refused(broken)[1]
