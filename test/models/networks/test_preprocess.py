import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.models.networks.preprocess import (
    MAX_ASPECT,
    network_size,
    preprocess,
    resized,
)
from depth_anything_ros.models.zoo import find_card

CARD = find_card("test_relative")
CPU = torch.device("cpu")
MEAN, STD = np.array(CARD.mean), np.array(CARD.std)

sides = st.integers(1, 4000)


@pytest.fixture(scope="module")
def picture_of(real_picture):
    """The real picture at a size."""

    def made(width, height):
        return cv2.resize(real_picture, (width, height), interpolation=cv2.INTER_AREA)

    return made


@pytest.mark.parametrize(
    ("picture", "input_size", "expected"),
    [
        ((640, 480), 518, (686, 518)),  # field.md E6: 690.7 to the nearest multiple
        ((480, 640), 518, (518, 686)),
        ((1280, 720), 518, (924, 518)),
        ((1242, 375), 518, (1722, 518)),
        ((518, 518), 518, (518, 518)),
        ((640, 480), 256, (336, 266)),  # 252 is nearest to 256, but less
        ((1, 1), 28, (28, 28)),
    ],
)
def test_sizes_of_the_official_code(picture, input_size, expected):
    assert network_size(*picture, input_size, 14) == expected


@given(width=sides, height=sides, input_size=st.integers(28, 1200))
def test_size_is_a_multiple_at_least_the_input_size_and_keeps_the_aspect(width, height, input_size):
    if max(width, height) > MAX_ASPECT * min(width, height):
        with pytest.raises(ImageError):
            network_size(width, height, input_size, 14)
        return

    new = network_size(width, height, input_size, 14)

    scale = input_size / min(width, height)
    for side, new_side in zip((width, height), new, strict=True):
        assert new_side % 14 == 0
        assert new_side >= input_size
        assert abs(new_side - scale * side) < 14
        if scale * side > input_size + 7:
            assert abs(new_side - scale * side) <= 7 + 1e-6
    assert min(new) < input_size + 14


@pytest.mark.parametrize(
    ("fit", "picture", "input_size", "expected"),
    [
        ("longer", (640, 480), 256, (256, 192)),
        ("longer", (480, 640), 256, (192, 256)),
        ("longer", (1242, 375), 384, (384, 128)),  # 115.9
        ("longer", (300, 290), 270, (256, 256)),  # 256 is nearest to 261, 288 to 270, but more
        ("nearest", (640, 480), 384, (512, 384)),  # shrinks less by the height
        ("nearest", (480, 640), 384, (384, 512)),
        ("nearest", (1242, 375), 384, (1280, 384)),
        ("nearest", (100, 50), 384, (384, 192)),  # grows less by the width
        ("nearest", (640, 300), 384, (832, 384)),  # a height of 1.28 is nearer to 1 than 0.6
        ("nearest", (384, 384), 370, (384, 384)),  # rounded to the nearest: 370 is no multiple
        ("square", (640, 480), 224, (224, 224)),
        ("square", (30, 40), 250, (256, 256)),
        ("area", (640, 480), 256, (352, 256)),  # 341.3
        ("area", (480, 640), 256, (256, 352)),
        ("area", (1242, 375), 256, (544, 160)),  # 538.0, 162.4
        ("area", (1920, 1080), 256, (384, 224)),  # 394.1, 221.7
        ("area", (100, 800), 32, (32, 96)),  # 13.1, 104.5
    ],
)
def test_sizes_by_other_sides(fit, picture, input_size, expected):
    assert network_size(*picture, input_size, 32, fit) == expected


@given(
    width=sides,
    height=sides,
    input_size=st.integers(28, 1200),
    fit=st.sampled_from(["longer", "nearest", "square", "area"]),
)
def test_size_by_other_sides_is_near_and_never_0(width, height, input_size, fit):
    if max(width, height) > MAX_ASPECT * min(width, height):
        return

    new = network_size(width, height, input_size, 32, fit)

    assert all(side % 32 == 0 and side >= 32 for side in new)
    if fit == "longer":
        assert max(new) <= max(input_size, 32)
        assert max(new) > input_size - 32
    elif fit == "nearest":
        assert any(abs(side - input_size) <= 16 for side in new)
    elif fit == "square":
        assert new[0] == new[1]
        assert abs(new[0] - input_size) <= 16
    else:
        scale = input_size * math.sqrt(4 / 3 / (width * height))
        sides = zip(new, (width, height), strict=True)
        assert all(abs(side - scale * old) < 16.001 or side == 32 for side, old in sides)


@pytest.mark.parametrize("new", [(320, 240), (160, 120), (504, 378), (640, 100), (97, 480), (1, 1)])
def test_area_is_that_of_opencv(new):
    rgb = np.random.default_rng(1).random((480, 640, 3), np.float32)
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]

    found = resized(picture, new[1], new[0], "area")[0].permute(1, 2, 0).numpy()

    expected = cv2.resize(rgb, new, interpolation=cv2.INTER_AREA)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4


def test_area_is_the_mean_of_what_a_new_pixel_covers():
    picture = torch.arange(6.0).view(1, 1, 2, 3)  # columns of means 1.5, 2.5 and 3.5

    found = resized(picture, 1, 2, "area")  # one and a half columns each

    expected = [(1.5 + 2.5 / 2) / 1.5, (2.5 / 2 + 3.5) / 1.5]
    assert found.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("new", [(700, 500), (320, 500), (700, 240)])
def test_area_is_cubic_where_a_side_grows(new):
    picture = torch.rand(1, 3, 480, 640, generator=torch.Generator().manual_seed(0))

    found = resized(picture, new[1], new[0], "area")

    assert torch.equal(found, resized(picture, new[1], new[0], "cubic"))


@pytest.mark.parametrize(
    ("interpolation", "flag"), [("cubic", cv2.INTER_CUBIC), ("linear", cv2.INTER_LINEAR)]
)
@pytest.mark.parametrize("new", [(320, 240), (517, 301), (800, 700)])
def test_cubic_and_linear_are_those_of_opencv(interpolation, flag, new):
    rgb = np.random.default_rng(2).random((480, 640, 3), np.float32)
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]

    found = resized(picture, new[1], new[0], interpolation)[0].permute(1, 2, 0).numpy()

    assert np.abs(found - cv2.resize(rgb, new, interpolation=flag)).max() < 1e-3


@pytest.mark.parametrize("interpolation", ["cubic", "area", "linear"])
def test_a_picture_of_the_size_is_not_touched(interpolation):
    picture = torch.rand(1, 3, 5, 7)

    assert resized(picture, 5, 7, interpolation) is picture


def test_the_card_says_which_side_and_which_kernel(picture_of):
    rgb = picture_of(200, 120)
    card = dataclasses.replace(CARD, fit="longer", multiple=4, interpolation="area")

    found = preprocess(rgb, card, 100, CPU)[0].permute(1, 2, 0).numpy() * STD + MEAN

    expected = cv2.resize(rgb / 255.0, (100, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("size", [(640, 480), (200, 120), (120, 200), (1920, 1080), (37, 41)])
@pytest.mark.parametrize("input_size", [518, 126])
def test_pixels_are_those_of_opencv(picture_of, size, input_size):
    rgb = picture_of(*size)

    network_input = preprocess(rgb, CARD, input_size, CPU)

    new_size = network_size(*size, input_size, 14)
    expected = cv2.resize(rgb / 255.0, new_size, interpolation=cv2.INTER_CUBIC)
    found = network_input[0].permute(1, 2, 0).numpy() * STD + MEAN
    assert network_input.dtype == torch.float32
    assert network_input.shape == (1, 3, new_size[1], new_size[0])
    assert np.abs(found - expected).max() < 1e-3  # the issue asks for 2e-2


def test_noise_is_neither_smoothed_nor_clipped():
    rgb = np.random.default_rng(0).integers(0, 2, (300, 400, 3)).astype(np.uint8) * 255

    found = preprocess(rgb, CARD, 56, CPU)[0].permute(1, 2, 0).numpy() * STD + MEAN

    expected = cv2.resize(rgb / 255.0, found.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert found.min() < -0.05
    assert found.max() > 1.05
    assert np.abs(found - expected).max() < 1e-3


def test_read_only_and_reversed_arrays_are_taken(picture_of):
    rgb = picture_of(64, 48)
    read_only = rgb.copy()
    read_only.setflags(write=False)
    bgr = np.ascontiguousarray(rgb[..., ::-1])

    expected = preprocess(rgb, CARD, 56, CPU)

    assert torch.equal(preprocess(read_only, CARD, 56, CPU), expected)
    assert torch.equal(preprocess(bgr[..., ::-1], CARD, 56, CPU), expected)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_their_shape(rgb):
    with pytest.raises(
        ImageError, match=r"uint8 array of shape \(height, width, 3\), got"
    ) as error:
        preprocess(rgb, CARD, 56, CPU)

    assert str(rgb.shape) in str(error.value)
    assert error.value.reason == "shape"


def test_a_strip_is_refused_with_its_size():
    with refused(ImageError, "aspect", r"picture is 7x900; .* at most 8 times"):
        preprocess(np.zeros((900, 7, 3), np.uint8), CARD, 56, CPU)


@pytest.mark.parametrize("new", [(320, 240), (182, 140), (97, 480), (1, 1), (640, 100)])
@pytest.mark.parametrize("kernel", ["cubic", "linear"])
def test_filtering_kernels_are_those_of_torch(new, kernel):
    picture = torch.rand(1, 480, 640, 3, generator=torch.manual_seed(0)).permute(0, 3, 1, 2)

    found = resized(picture, new[1], new[0], kernel, antialias=True)

    mode = {"cubic": "bicubic", "linear": "bilinear"}[kernel]
    expected = torch.nn.functional.interpolate(picture, new[::-1], mode=mode, antialias=True)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", ["cubic", "linear"])
def test_bytes_that_are_filtered_are_rounded_and_no_more(kernel):
    # Within bounds that the cubic kernel does not leave, where bytes would be clipped.
    noise = np.random.default_rng(0).integers(64, 192, (480, 640, 3)).astype(np.uint8)
    picture = torch.from_numpy(noise).permute(2, 0, 1)[None]

    found = resized(picture, 252, 336, kernel, antialias=True)

    expected = resized(picture.float(), 252, 336, kernel, antialias=True)
    assert found.dtype == torch.uint8
    assert (found.float() - expected).abs().max() < 1.2  # to whole levels, in two directions
    assert (found.float() - expected).abs().mean() < 0.5


def test_bytes_become_floats_where_a_side_grows():
    picture = torch.zeros(1, 3, 60, 80, dtype=torch.uint8)

    assert resized(picture, 90, 60, "cubic", antialias=True).dtype == torch.float32
    assert resized(picture, 30, 40, "area").dtype == torch.float32
