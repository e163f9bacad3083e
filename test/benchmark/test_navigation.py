"""Nav2's rules on points whose cells are known, and on drives of the simulator."""

import importlib

import numpy as np
import pytest


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
        assert len(list(navigation.rows(table))) == 2 + 2 * len(places) * len(kinds)
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
    kinds = ("tiny", "anchored")
    for place, found in compared(("office", "warehouse", "street"), 8, kinds, (640, 480)).items():
        anchored, tiny = found["anchored"], found["tiny"]
        assert anchored["obstacles"]["false cells (%)"] <= 1, place
        assert anchored["obstacles"]["missed (%)"] <= 5, place
        assert anchored["obstacles"]["missed stops"] == 0
        assert tiny["obstacles"]["false cells (%)"] <= 1, place
        assert (
            max(way["points, most"] for way in (anchored["obstacles"], tiny["obstacles"])) <= 5000
        )
