import math
from itertools import pairwise

import numpy as np
import pytest

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.sim.assembly import Assembly, extent
from depth_anything_ros.sim.layout import Plot, on_wall
from depth_anything_ros.sim.palette import draw_of
from depth_anything_ros.sim.places import PLACES, WEIGHTS, build_scene
from depth_anything_ros.sim.scene import Material, Shape, Texture

SEEDS = range(16)
# Rays meet only what is near them, so that a long street may have more parts than a room.
MOST = {"street": 400}
KINDS = sorted(PLACES)
BOUNDED = (Shape.BOX, Shape.SPHERE, Shape.CYLINDER, Shape.CONE)
# A robot passes under what hangs higher, and over what is flatter.
OVERHEAD_M, FLAT_M = 1.3, 0.03


@pytest.fixture(scope="module", params=KINDS)
def scenes(request):
    return [build_scene(seed, request.param) for seed in SEEDS]


def test_the_kinds_of_the_issue_are_there_and_each_can_be_drawn():
    named = {"room", "corridor", "warehouse", "workshop", "flat", "street", "ground", "primitives"}
    assert named <= set(PLACES)
    assert set(WEIGHTS) == set(PLACES) and sum(WEIGHTS.values()) == pytest.approx(1)
    assert {build_scene(seed).kind for seed in range(400)} == set(PLACES)


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_a_seed_is_a_scene(kind):
    assert build_scene(7, kind) == build_scene(7, kind)
    assert build_scene(7, kind) != build_scene(8, kind)


def test_what_is_no_seed_or_no_place_is_refused():
    with pytest.raises(ParameterError, match="-1"):
        build_scene(-1)
    with pytest.raises(ParameterError, match=r"room.*'attic'"):
        build_scene(0, "attic")


def test_scenes_keep_to_the_budget_and_differ(scenes):
    counts = [len(scene.primitives) for scene in scenes]
    assert min(counts) > 10 and max(counts) <= MOST.get(scenes[0].kind, 200)
    assert len({scene.primitives for scene in scenes}) == len(scenes)
    assert all(1 <= len(scene.lights) <= 4 for scene in scenes)


def test_surfaces_are_sound(scenes):
    for scene in scenes:
        for p in scene.primitives:
            assert min(p.size) > 0 and np.isfinite(p.position).all()
            turn = np.array(p.rotation)
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(turn) == pytest.approx(1)
            assert min(p.material.colour) >= 0 and max(p.material.colour) <= 1
            assert p.material.scale_m >= 0.01
        instances = [p.instance for p in scene.primitives]
        assert set(instances) == set(range(1, max(instances) + 1))
        assert sum(p.shape is Shape.HEIGHT_FIELD for p in scene.primitives) <= 1


def test_lights_and_air_are_plausible(scenes):
    for scene in scenes:
        assert (scene.sky is not None) == any(light.directional for light in scene.lights)
        for light in scene.lights:
            assert min(light.colour) > 0
            if light.directional:
                assert np.linalg.norm(light.position) == pytest.approx(1)
                assert math.radians(3.9) < math.asin(light.position[2]) < math.radians(71)
        assert 0 <= scene.haze <= 0.01 and min(scene.ambient) > 0 and max(scene.ambient) < 1.1


def _points_of(path):
    for a, b in pairwise(path):
        yield from np.linspace(a, b, 12)


def _gap(p, point):
    """Distance on the floor from a point to a surface's own upright bounding box, in metres."""
    if p.shape is Shape.BOX:
        turn = np.array(p.rotation)[:2, :2]
        if np.allclose(np.array(p.rotation)[2], (0, 0, 1)):
            own = np.abs(turn.T @ (point[:2] - np.array(p.position)[:2]))
            return float(np.linalg.norm(np.maximum(own - p.size[:2], 0)))
    reach = np.array(extent(p)[:2])
    if p.shape is Shape.SPHERE:
        # A hill is the top of a great ball under the ground.
        aside = p.position[2] - np.clip(p.position[2], 0, OVERHEAD_M)
        reach[:] = math.sqrt(max(0.0, p.size[0] ** 2 - aside**2))
    outside = np.abs(point[:2] - np.array(p.position)[:2]) - reach
    return float(np.linalg.norm(np.maximum(outside, 0)))


def test_paths_are_free(scenes):
    for scene in scenes:
        obstacles = []
        for p in scene.primitives:
            if p.shape in BOUNDED:
                low, top = (p.position[2] + s * extent(p)[2] for s in (-1, 1))
                flat_here = top <= FLAT_M + max(z for _, _, z in scene.path)
                if not flat_here and low < OVERHEAD_M and extent(p)[0] < 140:
                    obstacles.append(p)
        for point in _points_of(scene.path):
            for p in obstacles:
                assert _gap(p, point) >= 0.4, (scene.kind, scene.seed, p, point)
        room = [p for p in scene.primitives if p.shape is Shape.ROOM]
        for x, y, _ in scene.path:
            assert all(abs(x) <= p.size[0] - 0.4 and abs(y) <= p.size[1] - 0.4 for p in room)


def test_paths_are_as_long_as_the_place_allows(scenes):
    for scene in scenes:
        length = sum(math.dist(a, b) for a, b in pairwise(scene.path))
        rooms = [p.size[0] for p in scene.primitives if p.shape is Shape.ROOM]
        if rooms or scene.kind in ("street", "parking", "ground"):
            assert length >= min([3.0, *(2 * half_x - 1.5 for half_x in rooms)])


def _inside(p, point):
    own = np.array(p.rotation).T @ (np.array(point) - np.array(p.position))
    if p.shape is Shape.BOX:
        return bool((np.abs(own) < p.size).all())
    if p.shape is Shape.SPHERE:
        return bool(np.linalg.norm(own) < p.size[0])
    if p.shape is Shape.CYLINDER:
        return bool(np.hypot(*own[:2]) < p.size[0] and abs(own[2]) < p.size[2])
    share = (p.size[2] - own[2]) / (2 * p.size[2])
    return bool(abs(own[2]) < p.size[2] and np.hypot(*own[:2]) < p.size[0] * share)


def test_cameras_stand_in_the_open(scenes):
    blocked = total = 0
    for scene in scenes:
        for low, high in scene.stand:
            assert all(a < b for a, b in zip(low, high, strict=True))
            assert low[2] >= 0.2 - 0.6 * (scene.kind == "ground") and high[2] < 3.0
            for share in (0.1, 0.5, 0.9):
                point = np.array(low) * (1 - share) + np.array(high) * share
                solid = (p for p in scene.primitives if p.shape in BOUNDED)
                blocked += any(_inside(p, point) for p in solid)
                total += 1
                for p in scene.primitives:
                    assert p.shape is not Shape.ROOM or _within(p, point)
    # Sidewalks are for cameras and for people; the renderer looks for another view there.
    assert blocked <= 0.03 * total


def _within(p, point):
    return (np.abs(point - np.array(p.position)) < p.size).all()


def test_things_have_their_real_sizes():
    from depth_anything_ros.sim import fittings, furniture, people, vehicles

    expected = {
        furniture.table: (0.72, 0.76),
        furniture.chair: (0.75, 1.05),
        furniture.counter: (0.87, 2.1),
        fittings.door: (2.04, 2.2),
        people.pedestrian: (1.05, 2.0),
        vehicles.car: (1.4, 1.75),
    }
    for make, (low, high) in expected.items():
        heights = [make(draw_of(seed, "test")).height for seed in range(30)]
        assert low <= min(heights) and max(heights) <= high and len(set(heights)) > 5, make
    lengths = [vehicles.car(draw_of(seed, "test")).half()[0] * 2 for seed in range(30)]
    assert min(lengths) > 3.4 and max(lengths) < 5.1


def test_extent_of_a_leaning_rod_and_a_turned_box():
    thing = Assembly()
    thing.bar((0, 0, 0), (3, 0, 4), 0.5, Material())
    half = extent(thing.parts[0])
    # The axis is (0.6, 0, 0.8): 2.5 · 0.6 + 0.5 · 0.8, 0.5, 2.5 · 0.8 + 0.5 · 0.6.
    np.testing.assert_allclose(half, (1.9, 0.5, 2.3), atol=1e-12)
    np.testing.assert_allclose(thing.parts[0].position, (1.5, 0, 2))
    axis = np.array(thing.parts[0].rotation)[:, 2]
    np.testing.assert_allclose(axis, (0.6, 0, 0.8), atol=1e-12)
    box = Assembly()
    box.box((2, 4, 6), (0, 0, 1), Material(), yaw=math.pi / 2)
    np.testing.assert_allclose(extent(box.parts[0]), (2, 1, 3), atol=1e-12)
    assert box.half(math.pi / 2) == pytest.approx((1, 2)) and box.height == 7


@pytest.mark.parametrize("wall", range(4))
def test_backs_are_at_the_wall(wall):
    x, y, yaw = on_wall(wall, 0.5, 2.0)
    back = np.array((-math.sin(yaw), math.cos(yaw)))
    assert back @ (x, y) == pytest.approx(2.0)
    assert np.array((math.cos(yaw), math.sin(yaw))) @ (x, y) == pytest.approx(0.5)


def test_a_plot_refuses_what_is_taken_outside_or_over_budget():
    plot = Plot(draw_of(0, "test"), (2.0, 2.0), limit=3)
    crate = Assembly()
    crate.box((1, 1, 1), (0, 0, 0), Material(texture=Texture.WOOD))
    assert plot.put(crate, 0, 0)
    assert not plot.put(crate, 0.9, 0)
    assert not plot.put(crate, 1.6, 1.2)
    assert plot.put(crate, 1.2, 0)
    plot.lane([(-1.4, -1.4), (1.4, -1.4)])
    assert not plot.put(crate, -1.2, -1.0)
    assert plot.put(crate, -1.2, 1.2)
    assert not plot.put(crate, 1.2, 1.2)
    assert [p.instance for p in plot.surfaces] == [1, 2, 3]


def test_workshops_have_boards_on_stands_and_cables_that_lie_on_the_floor():
    for scene in [build_scene(seed, "workshop") for seed in SEEDS]:
        by_object: dict[int, list] = {}
        for part in scene.primitives:
            by_object.setdefault(part.instance, []).append(part)
        flat = [parts for parts in by_object.values() if all(_top(p) < FLAT_M for p in parts)]
        assert any(sum(p.shape == Shape.CYLINDER for p in parts) > 1 for parts in flat)
        stands = [
            parts
            for parts in by_object.values()
            if [p.shape for p in parts] == [Shape.CYLINDER] * 4 + [Shape.BOX]
            and _top(parts[0]) > 0.5  # no power strip with its cable
        ]
        assert stands
        for *legs, board in stands:
            assert all(leg.position[2] - extent(leg)[2] < 0.05 for leg in legs)
            assert 0.6 <= board.position[2] <= 1.6


def test_flats_have_doorways_that_the_lane_leads_through():
    for scene in [build_scene(seed, "flat") for seed in SEEDS]:
        (x0, lane_y, _), (x1, *_) = scene.path
        beside: dict[int, set] = {}
        for part in scene.primitives:
            (x, y, _), (half_x, half_y, _) = part.position, extent(part)
            if part.shape == Shape.BOX and x0 < x < x1 and half_x < 0.2 and _top(part) > 0.85:
                reach = y - half_y if y > lane_y else y + half_y
                if abs(reach - lane_y) > 0.4 and half_y > 0.02:
                    beside.setdefault(part.instance, set()).add(y > lane_y)
        assert any(beside.values())
        # What stands in the next room is seen from the lane's start.
        assert not any(_blocks(part, x0, x1, lane_y) for part in scene.primitives)


def _blocks(part, x0, x1, lane_y):
    (x, y, z), (half_x, half_y, half_z) = part.position, extent(part)
    is_between = part.shape in BOUNDED and x0 < x - half_x and x + half_x < x1
    return is_between and abs(y - lane_y) < half_y + 0.1 and abs(z - 1.0) < half_z


def _top(part):
    return part.position[2] + extent(part)[2]
