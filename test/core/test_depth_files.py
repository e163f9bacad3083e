import io
import json

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.depth_files import (
    EXR_CHANNELS,
    DepthPicture,
    millimetres,
    npy_bytes,
    png_bytes,
    sidecar,
    write_exr,
)
from depth_anything_ros.core.recording import load_calibration, load_depth

METRES = np.array([[1.0, 0.0004, 65.535], [np.nan, np.inf, 70.0]], np.float32)
CAMERA = Camera(3, 2, (10.0, 0, 1.0, 0, 12.0, 0.5, 0, 0, 1), (0.1, 0, 0.01, 0), frame_id="front")


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_metres_are_millimetres_and_zero_is_unknown():
    picture = DepthPicture.of(DepthMap(METRES))
    np.testing.assert_array_equal(picture.steps, [[1000, 0, 65535], [0, 0, 0]])
    assert (picture.scale, picture.offset) == (0.001, 0.0)
    read = decoded(picture.png())
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, picture.steps)
    memory = np.zeros(METRES.shape, np.uint16)
    assert millimetres(METRES, memory) is memory and memory[0, 0] == 1000


@pytest.mark.parametrize("kind", [DisparityMap, AffineDepthMap])
def test_what_has_no_unit_fills_the_steps_and_comes_back(kind):
    values = np.linspace(-3, 8, 600, dtype=np.float32).reshape(20, 30)
    values[0, 0], values[1, 1] = np.nan, np.inf
    picture = DepthPicture.of(kind(values))
    known = np.isfinite(values)
    assert (picture.steps[~known] == 0).all()
    assert (picture.steps[known].min(), picture.steps.max()) == (1, 65535)
    back = picture.offset + picture.scale * picture.steps[known].astype(np.float64)
    np.testing.assert_allclose(back, values[known], atol=picture.scale)


@pytest.mark.parametrize("value", [0.0, 5.0, np.nan])
def test_one_value_alone_comes_back(value):
    picture = DepthPicture.of(DisparityMap(np.full((2, 3), value, np.float32)))
    if np.isnan(value):
        assert not picture.steps.any()
    else:
        np.testing.assert_allclose(picture.offset + picture.scale * picture.steps, value)


def test_npy_holds_the_values_as_they_are():
    read = np.load(io.BytesIO(npy_bytes(DepthMap(METRES))), allow_pickle=False)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, METRES)


@pytest.mark.parametrize("kind", [DepthMap, DisparityMap, AffineDepthMap])
def test_exr_names_its_channel_by_the_kind(kind, tmp_path):
    exr = pytest.importorskip("OpenEXR")
    path = tmp_path / "depth.exr"
    write_exr(path, kind(METRES))
    channels = exr.File(str(path)).channels()
    assert list(channels) == [EXR_CHANNELS[kind.kind]]
    np.testing.assert_array_equal(channels[EXR_CHANNELS[kind.kind]].pixels, METRES)
    with pytest.raises(OSError):
        write_exr(tmp_path / "nowhere" / "depth.exr", kind(METRES))


def test_the_sidecar_of_metres_is_a_calibration_with_depth(tmp_path):
    depth = DepthMap(METRES, CAMERA)
    picture = DepthPicture.of(depth)
    (tmp_path / "one_depth.png").write_bytes(picture.png())
    text = sidecar(depth, CAMERA, {"model": "tiny"}, ("one_depth.png", picture))
    (tmp_path / "one.json").write_bytes(text)
    said = json.loads(text)
    assert (said["kind"], said["unit"], said["model"]) == ("metric", "m", "tiny")
    calibration = load_calibration(tmp_path / "one.json")
    assert calibration.camera == CAMERA and calibration.depth_file == "one_depth.png"
    read = load_depth(tmp_path / calibration.depth_file, calibration.depth_scale_m)
    np.testing.assert_allclose(read.depth_m, [[1.0, np.nan, 65.535], [np.nan] * 3], rtol=1e-6)


def test_the_sidecar_of_no_unit_gives_no_metres(tmp_path):
    disparity = DisparityMap(np.ones((2, 3), np.float32))
    text = sidecar(disparity, None, {}, ("one_depth.png", DepthPicture.of(disparity)))
    (tmp_path / "one.json").write_bytes(text)
    said = json.loads(text)
    assert (said["kind"], said["unit"], said["png"]["file"]) == ("relative", None, "one_depth.png")
    calibration = load_calibration(tmp_path / "one.json")
    assert calibration.camera is None and calibration.depth_scale_m is None
    assert calibration.depth_file is None


def test_png_is_of_rgb_and_of_grey():
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = 200
    np.testing.assert_array_equal(decoded(png_bytes(rgb)), rgb[..., ::-1])
    np.testing.assert_array_equal(decoded(png_bytes(rgb[..., 0])), rgb[..., 0])
