import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.colormap import nearness
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, ImageError


@pytest.mark.parametrize("kind", [DepthMap, DisparityMap])
def test_a_map_refuses_another_type_shape_or_camera(kind):
    with pytest.raises(ImageError, match=r"got float64 of shape \(2, 3\)"):
        kind(np.ones((2, 3)))
    with pytest.raises(ImageError, match=r"shape \(2, 3, 1\)"):
        kind(np.ones((2, 3, 1), np.float32))
    with pytest.raises(CameraError, match="is 3x2 and its camera is 640x480") as error:
        kind(np.ones((2, 3), np.float32), Camera.from_hfov(640, 480, 60))
    assert error.value.reason == "camera_size"


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
    np.testing.assert_array_equal(nearness(affine), -values)
    with pytest.raises(ImageError, match="depth must be a float32 array"):
        AffineDepthMap(np.zeros((2, 2)))
