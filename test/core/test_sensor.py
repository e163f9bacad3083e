"""Which pixels of a sensor a picture shows, against where their blocks lie on it."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.sensor import Sensor

K = (500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0)
ROI = (100, 60, 320, 240)
NO_ROI = (0, 0, 0, 0)


def info(size=(640, 480), roi=NO_ROI, binning=(0, 0), k=K):
    names = ("x_offset", "y_offset", "width", "height")
    return SimpleNamespace(
        width=size[0],
        height=size[1],
        k=k,
        d=(),
        r=(0.0,) * 9,
        p=(0.0,) * 12,
        distortion_model="plumb_bob",
        binning_x=binning[0],
        binning_y=binning[1],
        roi=SimpleNamespace(**dict(zip(names, roi, strict=True))),
        header=SimpleNamespace(frame_id="camera"),
    )


def sees(camera, origin, block):
    """The ray of each pixel is that of the middle of its block of the sensor, closed form."""
    rays = camera.rays()
    columns = origin[0] + (np.arange(camera.width) + 0.5) * block[0] - 0.5
    rows = origin[1] + (np.arange(camera.height) + 0.5) * block[1] - 0.5
    np.testing.assert_allclose(rays[0, :, 0], (columns - 319.5) / 500, atol=1e-12)
    np.testing.assert_allclose(rays[:, 0, 1], (rows - 239.5) / 500, atol=1e-12)


@pytest.mark.parametrize(
    ("cropped", "binned", "decimated"),
    list(itertools.product((True, False), (1, 2), (1, 2, 4))),
)
def test_every_picture_that_a_roi_and_binning_may_come_with(cropped, binned, decimated):
    """The CameraInfo says a ROI of another aspect and binning; the picture may be any of these."""
    x, y, width, height = roi = (100, 60, 320, 200)
    sensor = Sensor.from_info(info(roi=roi, binning=(2, 2)))
    if not cropped:
        x, y, width, height = 0, 0, 640, 480
    block = binned * decimated
    shown = sensor.camera_of(width // block, height // block)
    assert (shown.camera.width, shown.camera.height) == (width // block, height // block)
    sees(shown.camera, (x, y), (block, block))
    as_said = cropped and (binned, decimated) != (1, 1)
    assert bool(shown.remark) != as_said
    assert shown.is_sure or not cropped


def test_a_picture_of_the_sensors_size_is_not_cropped():
    """A ROI of the sensor's own aspect that nobody applied: fx is not 1000."""
    sensor = Sensor.from_info(info(roi=ROI))
    shown = sensor.camera_of(640, 480)
    assert shown.camera.K == K and shown.is_sure
    assert "ROI of 320x240 at (100, 60)" in shown.remark and "whole sensor" in shown.remark
    own = sensor.camera_of(320, 240)
    assert (own.remark, own.camera) == ("", Camera(640, 480, K, frame_id="camera").cropped(*ROI))
    half = sensor.camera_of(160, 120)  # by the CameraInfo's word
    assert half.remark == "" and half.camera.K[0] == 250
    sees(half.camera, ROI[:2], (2, 2))


@pytest.mark.parametrize("size", [(641, 481), (960, 720), (1280, 960), (500, 375)])
def test_a_roi_that_is_enlarged_is_warned_of(size):
    shown = Sensor.from_info(info(roi=ROI)).camera_of(*size)
    assert "larger than that" in shown.remark and not shown.is_sure
    assert shown.camera.K[0] == pytest.approx(500 * size[0] / 320)


@pytest.mark.parametrize(
    ("roi", "binning", "words"),
    [
        ((400, 0, 320, 240), (0, 0), "320x240 at (400, 0), and the window 320x240 at (400, 0) le"),
        (NO_ROI, (1000, 1), "for 640x480 and binning 1000x1, and cannot bin a picture of 640x480"),
    ],
)
def test_a_roi_or_binning_that_no_sensor_has_is_named(roi, binning, words):
    with refused(CameraError, "camera_size") as error:
        Sensor.from_info(info(roi=roi, binning=binning))
    assert words in str(error.value) and str(error.value).endswith("; mend that in the driver")


def test_a_size_that_two_parts_of_the_sensor_have_is_doubted():
    """Half of the sensor and binning by 2: the ROI unbinned, or all of the sensor, binned."""
    sensor = Sensor.from_info(info(roi=ROI, binning=(2, 2)))
    shown = sensor.camera_of(320, 240)
    sees(shown.camera, (0, 0), (2, 2))
    assert "clear the ROI, or else the binning, in the driver" in shown.remark
    assert not shown.is_sure
    for size in ((640, 480), (160, 120)):  # the sensor's own size, and what the CameraInfo says
        assert sensor.camera_of(*size).is_sure


def test_a_roi_of_the_whole_sensor_is_none():
    for roi in ((0, 0, 640, 480), NO_ROI, (5, 5, 0, 0)):
        sensor = Sensor.from_info(info(roi=roi))
        for size in ((640, 480), (320, 240), (1280, 960)):
            shown = sensor.camera_of(*size)
            assert shown.remark == "" and shown.is_sure
            assert shown.camera.K[0] == 500 * size[0] / 640
    assert sensor.camera_of(640, 360) is None


@given(st.integers(60, 90), st.integers(40, 70), st.integers(1, 4), st.integers(1, 4))
def test_odd_sizes_that_are_binned_or_not(width, height, bx, by):
    """What does not fill a block is cut off where it is binned, and is there where it is not."""
    k = (80.0, 0.0, 31.0, 0.0, 80.0, 22.0, 0.0, 0.0, 1.0)
    sensor = Sensor.from_info(info((width, height), binning=(bx, by), k=k))
    whole, binned = (
        sensor.camera_of(*size).camera for size in ((width, height), (width // bx, height // by))
    )
    assert k == whole.K
    assert (binned.K[0], binned.K[4]) == pytest.approx((80 / bx, 80 / by))
    assert binned.K[2] == pytest.approx((31.0 + 0.5) / bx - 0.5)
