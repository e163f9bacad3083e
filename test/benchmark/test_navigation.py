"""Nav2's rules on points whose cells are known, and on drives of the simulator."""

import importlib

import numpy as np
import pytest
from drawn_scene import CAMERA, Scene, room
from std_msgs.msg import Header

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.nodes.messages import camera_info_message, depth_message


@pytest.fixture
def script(repository, monkeypatch):
    """Import a script of benchmark/."""
    monkeypatch.syspath_prepend(repository / "benchmark")
    return importlib.import_module


@pytest.fixture
def rules(script):
    return script("nav2_rules")


ORIGIN = np.array([0.025, 0.025, 0.5])


def lethal(grid):
    """The middles of lethal cells, as (x, y)."""
    return [
        tuple(np.round(grid.low + (cell + 0.5) * grid.resolution, 3))
        for cell in np.argwhere(grid.costs)
    ]


def test_marks_are_cells_of_points_within_range_and_height(rules):
    grid = rules.Grid(4.0, 0.05)
    source = rules.Source(min_height=0.1, max_height=1.0, obstacle_max_range=1.5)
    points = np.array(
        [
            *([1.02, 0.03, 0.5], [0.52, -0.98, 0.1], [1.02, 0.04, 0.9]),
            *([0.5, 0.5, 0.09], [0.5, 0.6, 1.1], [1.7, 0, 0.5], [3.0, 0, 0.5]),
            *([np.nan, 0.5, 0.5], [np.inf, np.inf, np.inf]),
        ]
    )
    grid.mark(points, ORIGIN, source)
    assert lethal(grid) == [(0.525, -0.975), (1.025, 0.025)]
    # As a source is by default: nothing above the ground passes.
    default = rules.Grid(4.0, 0.05)
    default.mark(points, ORIGIN, rules.Source(min_height=0.0, max_height=0.0))
    assert lethal(default) == []


@pytest.mark.parametrize(("least", "most"), [(0.0, 7.0), (0.5, 7.0), (0.0, 1.0)])
def test_a_ray_frees_the_cells_on_its_way_between_its_ranges(rules, least, most):
    grid = rules.Grid(4.0, 0.05)
    grid.costs[:] = rules.LETHAL
    source = rules.Source(raytrace_min_range=least, raytrace_max_range=most)
    grid.clear(np.array([[1.525, 0.025, 0.5]]), ORIGIN, source)
    freed = np.argwhere(grid.costs == rules.FREE)
    x = np.round(grid.low + (freed[:, 0] + 0.5) * 0.05, 3)
    assert (freed[:, 1] == 40).all()
    np.testing.assert_allclose(
        x, np.arange(40 + round(least / 0.05), 41 + min(30, round(most / 0.05))) * 0.05 - 1.975
    )


def test_a_slanted_ray_is_one_line_and_one_off_the_map_ends_at_its_edge(rules):
    grid = rules.Grid(4.0, 0.05)
    grid.costs[:] = rules.LETHAL
    grid.clear(np.array([[5.0, 2.5, 0.5], [np.nan, 1.0, 0.5]]), ORIGIN, rules.Source())
    freed = np.argwhere(grid.costs == rules.FREE)
    assert len(freed) == 40 and set(freed[:, 0]) == set(range(40, 80))  # x leads
    ideal = (freed[:, 0] - 40) * (2.475 / 4.975) + 40
    assert np.abs(freed[:, 1] - ideal).max() <= 1.0


def test_a_voxel_layer_is_cleared_at_the_height_of_the_ray_alone(rules):
    """Why a planar scan does not clear one: the post is still there below it."""
    grid = rules.VoxelGrid(4.0, 0.05)
    source = rules.Source(raytrace_max_range=3.0)
    post = np.array([[1.0, 0.025, z] for z in (-0.1, 0.3, 0.5)])
    grid.mark(post, ORIGIN, source)
    assert len(lethal(grid)) == 1 and grid.voxels.sum() == 3
    grid.clear(np.array([[1.9, 0.025, 0.5]]), ORIGIN, source)
    assert len(lethal(grid)) == 1 and grid.voxels.sum() == 2
    flat = rules.Grid(4.0, 0.05)
    flat.mark(post, ORIGIN, source)
    flat.clear(np.array([[1.9, 0.025, 0.5]]), ORIGIN, source)
    assert lethal(flat) == []


def test_the_collision_monitor_counts_points_in_its_polygon(rules):
    polygon = np.array([(1.0, 0.3), (1.0, -0.3), (0.0, -0.3), (0.0, 0.3)])
    points = np.array(
        [[0.5, 0, 0.3], [0.9, 0.29, 0.3], [1.1, 0, 0.3], [0.5, 0.4, 0.3], [0.5, 0, 5], [np.nan] * 3]
    )
    assert rules.points_inside(points, polygon) == 2
    assert rules.points_inside(points, polygon, max_height=6.0) == 3


def published(depth_m, encoding):
    """The pixels of a depth image that a node publishes, and the P of its CameraInfo."""
    depth = DepthMap(depth_m.astype(np.float32), CAMERA)
    image = depth_message(Header(), depth, encoding)
    kind = np.float32 if encoding == "32FC1" else np.uint16
    pixels = np.frombuffer(image.data, kind).reshape(image.height, image.width)
    return pixels, camera_info_message(Header(), CAMERA, (image.width, image.height)).p


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depthimage_to_laserscan_has_a_rooms_walls_where_they_are(script, encoding):
    rule = script("depth_scan_rule")
    scan = rule.depth_scan(*published(room(pitch_deg=0.0).depth, encoding))
    half = np.radians(40)  # of the field of view
    assert scan.angle_min == pytest.approx(-half, abs=0.01) and len(scan.ranges) == CAMERA.width
    points, low, high = scan.points(), scan.angle_increment, 0.002
    # Bearings are even and columns are not: in the middle some bearings have none.
    assert len(points) > 0.9 * CAMERA.width and np.abs(points[:, 2]).max() == 0
    bearings = np.arctan2(points[:, 1], points[:, 0])
    box = (bearings > np.arctan2(-1.5, 1.5) + low) & (bearings < np.arctan2(-0.5, 1.5) - low)
    far_box = (bearings > np.arctan2(0.4, 2.0) + low) & (bearings < np.arctan2(1.0, 2.0) - low)
    wall = (bearings > np.arctan2(1.0, 2.0) + low) | (np.abs(bearings) < np.arctan2(0.4, 3.0) - low)
    for seen, ahead in ((box, 1.5), (far_box, 2.0), (wall, 6.0)):
        # A column's range is put at the bearing below its own, by up to one step.
        off = ahead * low * np.abs(np.tan(bearings[seen])) + high
        assert seen.sum() > 20 and (np.abs(points[seen, 0] - ahead) < off).all(), ahead


def test_depthimage_to_laserscan_says_what_is_far_unknown_or_out_of_its_limits(script):
    rule = script("depth_scan_rule")
    depth = np.full((240, 320), 3.0)
    depth[:, :40], depth[:, 40:80], depth[:, 80:120], depth[:, 120:160] = np.nan, np.inf, 0.3, 20
    columns = np.array([20, 60, 100, 140, 250])
    bearings = -np.arctan((columns - CAMERA.K[2]) / CAMERA.K[0])
    straight = 3.0 / np.cos(bearings[-1])
    for encoding, beyond in (("32FC1", np.inf), ("16UC1", np.nan)):  # where that is 0
        scan = rule.depth_scan(*published(depth, encoding))
        at = ((bearings - scan.angle_min) / scan.angle_increment).astype(int)
        expected = [np.nan, beyond, np.nan, np.nan, straight]
        np.testing.assert_allclose(scan.ranges[at], expected, rtol=1e-3)
    with pytest.raises(ValueError, match="too large"):
        rule.depth_scan(*published(depth, "32FC1"), rule.DepthScanOptions(scan_height=260))


def test_depthimage_to_laserscan_misses_what_is_low_and_takes_the_floor_for_a_wall(script):
    """Of one row it sees that alone; of many rows, or with the camera pitched, the floor."""
    rule = script("depth_scan_rule")
    scene = Scene(0.5, 0.0).surface((0, 0, 1), 0.0).box((1.5, 2.0), (-0.5, 0.5), (0, 0.4))
    row = rule.depth_scan(*published(scene.depth, "32FC1"))
    assert not np.isfinite(row.ranges).any()
    many = rule.DepthScanOptions(scan_height=200)
    rows = rule.depth_scan(*published(scene.depth, "32FC1"), many)
    seen = rows.points()
    beside = seen[np.abs(seen[:, 1]) > 0.55]
    floor = 0.5 / (100 / CAMERA.K[4])  # where the lowest row meets it
    assert len(beside) > 50
    np.testing.assert_allclose(beside[:, 0], floor, rtol=0.03)
    pitched = Scene(0.5, 10.0).surface((0, 0, 1), 0.0)
    seen = rule.depth_scan(*published(pitched.depth, "32FC1")).points()
    assert len(seen) > 0.9 * CAMERA.width
    np.testing.assert_allclose(seen[:, 0], 0.5 / np.sin(np.radians(10)), rtol=0.03)


@pytest.fixture
def compared(script):
    """Drive through places; the figures by place, kind of depth and way."""
    navigation = script("navigation")

    def run(places, frames, kinds, size=(320, 240)):
        estimator = None
        if set(kinds) - {"true", "short"}:
            estimator = navigation.DepthEstimator("tiny", device="cpu")
        comparison = navigation.Comparison(estimator, kinds)
        for place in places:
            comparison.add(place, navigation.drive(place, frames, size))
        table = navigation.report(comparison)
        assert len(list(navigation.rows(table))) == 2 + 3 * len(places) * len(kinds)
        return table

    return run


def test_true_depth_marks_what_stands_and_short_depth_no_floor(compared):
    for place, kinds in compared(("office", "warehouse"), 2, ("true", "short")).items():
        true, short = kinds["true"], kinds["short"]
        assert true["obstacles"]["obstacles"] >= 10, place
        assert true["obstacles"]["false cells"] == 0 and true["obstacles"]["missed (%)"] == 0
        assert true["obstacles"]["free cells cleared (%)"] > 80
        assert true["cloud"]["false cells"] == 0
        assert short["cloud"]["false cells (%)"] > 30  # the floor
        assert 10 * short["obstacles"]["false cells"] <= short["cloud"]["false cells"]
        assert 100 < true["obstacles"]["points, most"] <= 5000
        scan = kinds["scan of true depth"]
        assert scan["median (m)"] < 0.01 and scan["within 5 cm (%)"] > 75


@pytest.mark.slow
def test_what_a_network_sees_is_fit_to_drive_by(compared):
    """The targets of this package, on a part of each drive."""
    kinds, false = ("tiny", "anchored"), []
    for place, found in compared(("office", "warehouse", "street"), 8, kinds, (640, 480)).items():
        anchored, tiny = found["anchored"], found["tiny"]
        assert anchored["obstacles"]["false cells (%)"] <= 1, place
        assert anchored["obstacles"]["missed (%)"] <= 5, place
        assert anchored["obstacles"]["missed stops"] == 0
        false.append(tiny["obstacles"]["false cells (%)"])
        assert (
            max(way["points, most"] for way in (anchored["obstacles"], tiny["obstacles"])) <= 5000
        )
    assert sum(false) / len(false) <= 1
