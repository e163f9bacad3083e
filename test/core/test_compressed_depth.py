"""compressedDepth: its bytes, and what a subscriber makes of them."""

import struct

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.compressed_depth import CompressedDepthOptions, compressed_depth
from depth_anything_ros.core.depth import DepthMap

DEFAULT = CompressedDepthOptions()


def decoded(form, data):
    """Read it by the format's description alone: the header, a PNG, depth = A / (step - B)."""
    encoding, transport = form.split("; ")
    assert transport == "compressedDepth png"
    kind, a, b = struct.unpack("<iff", data[:12])
    assert kind == 0 and data[12:20] == b"\x89PNG\r\n\x1a\n"
    steps = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert steps.dtype == np.uint16
    if encoding == "16UC1":
        return steps
    with np.errstate(divide="ignore"):
        metres = a / (steps.astype(np.float64) - b)
    return np.where(steps == 0, np.nan, metres)


def test_the_bytes_of_a_few_depths():
    """A = 100 · 101, B = 1 - A / 10, and each step cut off, in float32."""
    depth = np.array([[1.0, 2.5, 9.99, 0.16, 10.0, np.nan, np.inf, 0.1]], np.float32)
    form, data = compressed_depth(DepthMap(depth), "32FC1", DEFAULT)
    assert form == "32FC1; compressedDepth png"
    assert data[:12] == bytes(4) + struct.pack("<ff", 10100.0, -1009.0)
    steps = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    # 10100 / 0.1 is more than 16 bits hold.
    assert steps.tolist() == [[9091, 3031, 2, 62116, 0, 0, 0, 65535]]


@pytest.mark.parametrize("most", [5.0, 10.0, 60.0])
@pytest.mark.parametrize("q", [50.0, 100.0, 150.0])
def test_depth_comes_back_within_a_step(most, q):
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 1.5 * most, (37, 53)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = np.nan
    options = CompressedDepthOptions(most, q)
    found = decoded(*compressed_depth(DepthMap(depth), "32FC1", options))
    seen = depth < most
    np.testing.assert_array_equal(np.isfinite(found), seen)
    off = found[seen] - depth[seen]  # a step is cut off, so that it comes back farther
    room = found[seen] ** 2 / (q * (q + 1)) * 1.01 + 1e-5
    assert (off > -1e-4).all() and (off <= room).all()


def test_millimetres_are_the_picture_itself_without_what_is_too_far():
    depth = np.array([[1.2342, 9.999, 10.0004, 10.2, np.nan, np.inf]], np.float32)
    form, data = compressed_depth(DepthMap(depth), "16UC1", DEFAULT)
    assert form == "16UC1; compressedDepth png" and data[:12] == bytes(12)
    assert decoded(form, data).tolist() == [[1234, 9999, 10000, 0, 0, 0]]
    far = np.array([[65.0, 70.0]], np.float32)
    options = CompressedDepthOptions(100.0)
    assert decoded(*compressed_depth(DepthMap(far), "16UC1", options)).tolist() == [[65000, 0]]


def test_a_higher_level_is_smaller():
    rows = np.linspace(1, 9, 480, dtype=np.float32)[:, None]
    depth = DepthMap(rows + np.sin(np.arange(640, dtype=np.float32) / 50))
    sizes = [
        len(compressed_depth(depth, "32FC1", CompressedDepthOptions(png_level=level))[1])
        for level in (0, 3, 9)
    ]
    assert sizes[0] > 2 * 480 * 640 > 2 * sizes[1] > 2 * sizes[2]
