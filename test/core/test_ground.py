"""The ground of drawn scenes, whose planes are known exactly."""

import numpy as np
import pytest
from drawn_scene import CAMERA, Scene, room, slope, stairs, table

from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.ground import GroundFinder, GroundLimits


def find(scene, scale=1.0, noise=0.0, **limits):
    finder = GroundFinder(CAMERA, scene.up, GroundLimits(**limits))
    return finder.find(scene.depth_map(scale, noise))


@pytest.mark.parametrize("pose", [{}, {"pitch_deg": 30.0}, {"pitch_deg": 0.0, "roll_deg": 12.0}])
def test_the_plane_of_a_floor_with_boxes_on_it(pose):
    scene = room(**pose)
    ground = find(scene)
    assert ground.ok and ground.confidence > 0.5
    assert ground.height == pytest.approx(0.5, rel=2e-3)
    assert np.degrees(np.arccos(ground.normal @ scene.up)) < 0.1


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.0])
def test_a_wrong_scale_is_told_by_the_height_of_the_camera(scale):
    ground = find(room(), scale, noise=0.02)
    assert ground.ok and ground.height == pytest.approx(0.5 * scale, rel=0.01)
    # Its pixels, where the true height puts them, are on the floor: metres without any range.
    points, true = ground.points(0.5), room().depth[ground.pixels]
    np.testing.assert_allclose(points[:, 2], true, rtol=0.11)
    assert np.median(np.abs(points[:, 2] / true - 1)) < 0.005


@pytest.mark.parametrize("kind", [DisparityMap, AffineDepthMap])
def test_a_relative_estimate_shows_the_ground_of_a_known_height(kind):
    scene = room()
    values = 3 / scene.depth + 0.4 if kind is DisparityMap else 0.2 * scene.depth + 0.7
    finder = GroundFinder(CAMERA, scene.up)
    ground = finder.find(kind(values.astype(np.float32), CAMERA), 0.5)
    assert ground.ok and ground.height == pytest.approx(0.5, rel=0.01)
    np.testing.assert_allclose(ground.points(0.5)[:, 2], scene.depth[ground.pixels], rtol=0.12)
    wall = DisparityMap(np.full((240, 320), 0.7, np.float32), CAMERA)
    assert not finder.find(wall, 0.5).ok


def test_the_floor_beside_a_table_is_the_ground():
    ground = find(table(reach=0.3))
    assert ground.ok and ground.height == pytest.approx(1.2, rel=1e-3)


@pytest.mark.parametrize(
    ("scene", "reasons"),
    [
        (Scene(0.5, 0.0).surface((1, 0, 0), 0.8), {"no_plane"}),
        (slope(15), {"no_plane", "tilted"}),
        (slope(-12), {"no_plane", "tilted"}),
        (stairs(0.17).surface((1, 0, 0), 4.0), {"no_plane", "tilted", "uneven", "narrow"}),
        (stairs(-0.17), {"no_plane", "tilted", "holes", "narrow"}),
        (table(), {"holes", "tilted"}),
        (Scene(0.5), {"unseen"}),
        (room(pitch_deg=-60.0), {"unseen"}),
    ],
    ids=["wall", "ramp up", "ramp down", "stair up", "stair down", "table", "nothing", "sky"],
)
def test_what_is_no_ground_is_not_taken_for_it(scene, reasons):
    ground = find(scene)
    assert ground.reason in reasons and not ground.ok and ground.confidence == 0


def test_a_floor_that_is_not_flat_enough_is_told_by_its_unevenness():
    ground = find(room(), noise=0.05, max_unevenness=0.02)
    assert (ground.reason, ground.confidence) == ("uneven", 0)
    assert ground.unevenness == pytest.approx(0.05, rel=0.25)


def test_options_outside_of_their_range_are_refused():
    with pytest.raises(ParameterError, match="max_tilt_deg"):
        GroundLimits(max_tilt_deg=50)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_of_a_lean_that_is_the_networks_the_scale_is_that_of_the_pixels(share):
    """A floor that is seen 40 % too far in the middle and leans by 3 degrees."""
    scene, leans = Scene(0.5).surface((0, 0, 1), 0.0), Scene(0.5, 13.0).surface((0, 0, 1), 0.0)
    seen = np.where(leans.depth < 20, leans.depth, np.nan) * 1.4
    found = GroundFinder(CAMERA, scene.up).find(DepthMap(seen.astype(np.float32), CAMERA))
    ground = found.leaning(scene.up, share)
    assert found.tilt_deg == pytest.approx(3.0, abs=0.1)
    lean = np.degrees(np.arccos(min(1.0, ground.normal @ scene.up)))
    assert lean == pytest.approx(3 * share, abs=0.1)
    expected = np.median((seen / scene.depth)[found.pixels])
    if share == 0:
        assert ground.height == pytest.approx(0.5 * expected, rel=0.01)
    between = sorted((0.5 * 1.4, 0.5 * expected))
    assert between[0] - 0.005 <= ground.height <= between[1] + 0.005
    np.testing.assert_allclose(ground.points(0.5) @ ground.normal, -0.5, rtol=1e-9)
