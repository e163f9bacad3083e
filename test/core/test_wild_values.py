"""NaN, Inf and what float32 hardly holds, from sensors and networks: numpy warns of none of it.

A warning of numpy's is a raw line in a node's log, once, that names a file and nothing to do.
"""

import itertools

import numpy as np
import pytest

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.core.anchoring import LocalOptions, anchored
from depth_anything_ros.core.anchors import AnchorOptions, anchors_of_depth, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.projection import project_lidar, transformed

pytestmark = pytest.mark.filterwarnings("error")

WILD = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3e38)
POINTS = np.array(list(itertools.product(WILD, repeat=3)), np.float32)
FAR_POINTS = np.array(list(itertools.product((*WILD, 1e300, -1.7e308), repeat=3)))
# x forward, y left, z up to the optical frame.
T_CAMERA_LIDAR = np.array([[0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1.0]])
PINHOLE = Camera.from_hfov(64, 48, 80.0)
LENSES = {
    "pinhole": PINHOLE,
    "plumb_bob": Camera(64, 48, PINHOLE.K, (0.1, -0.05, 0, 0, 0.01), "plumb_bob"),
    "equidistant": Camera(64, 48, PINHOLE.K, (0.01, 0.02, 0, 0), "equidistant"),
}


def picture(*rows):
    """1 to 5 m, with rows of wild values at the top."""
    values = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    for row, value in enumerate(rows):
        values[2 * row : 2 * row + 2] = value
    return values


PICTURES = {
    "sound": picture(),
    "wild": picture(np.nan, np.inf, 0, 1e-45, 3e38, -1, -np.inf),
    **{str(value): np.full((48, 64), value, np.float32) for value in (np.nan, np.inf, 0, 1e-45)},
}


@pytest.mark.parametrize("points", [POINTS, FAR_POINTS], ids=["float32", "float64"])
@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES)
def test_points_without_an_echo_are_moved_projected_and_left_out(points, camera):
    one = np.array([[4.0, 1.0, -0.5]])
    assert transformed(one, T_CAMERA_LIDAR).tolist() == [[-0.9, 0.7, 4.3]]
    moved = transformed(points, T_CAMERA_LIDAR)
    echo = np.isfinite(points).all(1) & (np.abs(points) < 1e30).all(1)
    assert np.array_equal(moved[echo, 2], points[echo, 0].astype(np.float64) + 0.3)
    assert not np.isfinite(moved[~np.isfinite(points).all(1)]).all(1).any()

    depth = project_lidar(points, T_CAMERA_LIDAR, camera)
    assert depth[~np.isnan(depth)].min() > 0
    anchors = select_anchors(moved, camera, PICTURES["wild"], AnchorOptions())
    assert np.isfinite(anchors.depth_m).all() and len(anchors) + sum(
        anchors.dropped.values()
    ) == len(points)


@pytest.mark.parametrize("name", PICTURES)
def test_answers_of_any_value_are_painted_and_make_clouds(name):
    values = PICTURES[name]
    for kind in (DepthMap, DisparityMap, AffineDepthMap):
        assert colorize(kind(values).nearness()).shape == (48, 64, 3)
    assert colorize(values).shape == (48, 64, 3)
    for camera in LENSES.values():
        cloud = BackProjector(camera).project(DepthMap(values, camera), edge_jump=0.05)
        assert np.array_equal(np.isnan(cloud.points[..., 2]), np.isnan(cloud.points[..., 0]))


@pytest.mark.parametrize("local", ["global", "lwlr", "kriging"])
@pytest.mark.parametrize("space", ["disparity", "depth", "log_depth"])
def test_predictions_of_any_value_are_anchored(local, space):
    for values, ranges in itertools.product(PICTURES.values(), repeat=2):
        anchors = anchors_of_depth(ranges, values, AnchorOptions())
        for method in ("least_squares", "log_ransac"):
            fit = fit_scale_shift(
                values[anchors.indices], anchors.depth_m, None, method, space, None
            )
            found = anchored(values, fit, anchors, LocalOptions(local, 3.0)).depth_m
            assert found.shape == (48, 64) and not (found < 0).any()
