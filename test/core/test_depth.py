import numpy as np
import pytest
from refusals import refused

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import ESTIMATES, AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, ImageError


@pytest.mark.parametrize("kind", [DepthMap, DisparityMap])
def test_a_map_refuses_another_type_shape_or_camera(kind):
    with pytest.raises(ImageError, match=r"got float64 of shape \(2, 3\)"):
        kind(np.ones((2, 3)))
    with pytest.raises(ImageError, match=r"shape \(2, 3, 1\)"):
        kind(np.ones((2, 3, 1), np.float32))
    with refused(CameraError, "camera_size", "is 3x2 and its camera is 640x480"):
        kind(np.ones((2, 3), np.float32), Camera.from_hfov(640, 480, 60))


def test_limits_follow_rep_117():
    nan, inf = np.nan, np.inf
    depth = DepthMap(np.array([[0.0, -1.0, 0.3, 2.0], [20.0, 21.0, inf, nan]], np.float32))
    limited = depth.limited(0.5, 20.0).depth_m
    np.testing.assert_array_equal(limited, [[nan, nan, nan, 2.0], [20.0, inf, inf, nan]])
    assert limited.dtype == np.float32
    # Without a lower limit, zero and negative values are still no depth.
    np.testing.assert_array_equal(depth.limited(0, 1000).depth_m[0, :2], [nan, nan])


def test_affine_depth_is_no_depth_and_checks_its_shape():
    values = np.array([[1, np.inf], [np.nan, 3]], np.float32)
    affine = AffineDepthMap(values)
    assert not isinstance(affine, DepthMap) and not hasattr(affine, "depth_m")
    np.testing.assert_array_equal(affine.nearness(), -values)
    with pytest.raises(ImageError, match="depth must be a float32 array"):
        AffineDepthMap(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("kind", "name", "unit", "nearness", "farness"),
    [
        ("metric", "depth", "m", [2.0, 0.25, 0.0], [0.5, 4.0, np.inf]),
        ("relative", "disparity", "", [0.5, 4.0, np.inf], [2.0, 0.25, 0.0]),
        ("affine_depth", "affine_depth", "", [-0.5, -4.0, -np.inf], [0.5, 4.0, np.inf]),
    ],
)
def test_each_answer_knows_its_own_rules(kind, name, unit, nearness, farness):
    values = np.array([[0.5, 4.0, np.inf, np.nan]], np.float32)
    answer = ESTIMATES[kind](values, None)
    assert (answer.kind, answer.name, answer.unit) == (kind, name, unit)
    assert answer.values is values and answer.masked(None) is answer
    assert (answer.metric is answer) == (kind == "metric")
    np.testing.assert_array_equal(answer.nearness(), [[*nearness, np.nan]])
    np.testing.assert_array_equal(answer.farness(), [[*farness, np.nan]])
    masked = answer.masked(np.array([[True, False, True, True]]))
    assert type(masked) is type(answer) and masked.values.dtype == np.float32
    np.testing.assert_array_equal(masked.values, [[0.5, np.nan, np.inf, np.nan]])
    limited = answer.limited(0.0, 1.0)
    assert (limited is answer) == (kind != "metric")
