"""Rays against closed forms: each shape, from outside, from far, and next to many others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.sim.geometry import World
from depth_anything_ros.sim.scene import Primitive, Scene, Shape, rotation_of
from depth_anything_ros.sim.shapes import height_at

ANGLE = st.floats(-3.1, 3.1)


def scene_of(*primitives):
    return Scene("test", 7, tuple(primitives), ())


def trace(scene, origins, directions, dtype=torch.float32):
    world = World([scene], dtype=dtype)
    o = torch.as_tensor(np.asarray(origins), dtype=dtype).view(1, -1, 3)
    d = torch.as_tensor(np.asarray(directions), dtype=dtype).view(1, -1, 3)
    hit = world.trace(o, d / d.norm(dim=-1, keepdim=True), torch.zeros(1, dtype=torch.int64))
    return hit.distance[0], hit.primitive[0], world


def test_a_box_is_met_at_its_face():
    box = Primitive(Shape.BOX, (1.0, 2.0, 0.5), (10.0, 0.0, 0.0))
    distance, primitive, _ = trace(
        scene_of(box), [[0, 0, 0], [0, 1.9, 0.4], [0, 2.1, 0]], [[1, 0, 0]] * 3
    )
    assert distance.tolist() == pytest.approx([9.0, 9.0, math.inf])
    assert primitive.tolist() == [0, 0, -1]


def test_a_sphere_far_away_is_exact():
    sphere = Primitive(Shape.SPHERE, (2.0, 0, 0), (80.0, 0.0, 0.0))
    offsets = np.linspace(0, 1.9, 40)
    origins = np.stack((0 * offsets, offsets, 0 * offsets), 1)
    distance, _, _ = trace(scene_of(sphere), origins, np.tile([1.0, 0, 0], (40, 1)))
    assert np.allclose(distance, 80 - np.sqrt(4 - offsets**2), atol=1e-4)


def test_cylinder_side_cap_and_gap():
    cylinder = Primitive(Shape.CYLINDER, (0.5, 0, 1.0), (5.0, 0.0, 0.0))
    distance, _, _ = trace(
        scene_of(cylinder),
        [[0, 0.3, 0.5], [5.2, 0, 4], [5.4, 0.4, 4]],
        [[1, 0, 0], [0, 0, -1], [0, 0, -1]],
    )
    assert distance.tolist() == pytest.approx([5 - 0.4, 3.0, math.inf], abs=1e-5)


def test_cone_side_and_base():
    cone = Primitive(Shape.CONE, (1.0, 0, 1.0), (4.0, 0.0, 0.0))
    # At height z the cone's radius is (1 - z) / 2.
    distance, _, _ = trace(
        scene_of(cone),
        [[0, 0, 0], [0, 0, 0.6], [0, 0, 1.1], [4.5, 0, -3]],
        [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]],
    )
    assert distance.tolist() == pytest.approx([3.5, 3.8, math.inf, 2.0], abs=1e-5)


def test_a_room_is_met_from_within_on_each_wall():
    room = Primitive(Shape.ROOM, (3.0, 2.0, 1.5), (0.0, 0.0, 1.5))
    directions = np.concatenate((np.eye(3), -np.eye(3)))
    distance, _, world = trace(scene_of(room), [[0.5, 0, 1]] * 6, directions)
    assert distance.tolist() == pytest.approx([2.5, 2, 2, 3.5, 2, 1])
    points = torch.tensor([[0.5, 0, 1.0]]) + distance[:, None] * torch.from_numpy(directions)
    _, normals = world.local(points.float(), torch.zeros(6, dtype=torch.int64))
    assert np.allclose(normals, -directions)


def test_a_plane_fills_the_view_below_the_horizon():
    plane = Primitive(Shape.PLANE, (0, 0, 0))
    distance, _, _ = trace(scene_of(plane), [[0, 0, 1.5]] * 3, [[1, 0, -0.1], [1, 0, 0], [0, 0, 1]])
    assert distance.tolist() == pytest.approx([1.5 * math.hypot(1, 0.1) / 0.1, math.inf, math.inf])


@settings(max_examples=60)
@given(
    st.sampled_from([Shape.BOX, Shape.SPHERE, Shape.CYLINDER, Shape.CONE]),
    st.tuples(ANGLE, ANGLE, ANGLE),
    st.tuples(*[st.floats(0.1, 2.0)] * 3),
    st.integers(0, 1000),
)
def test_hits_lie_on_the_surface_and_normals_face_outward(shape, angles, size, seed):
    position = (6.0, 1.0, -0.5)
    primitive = Primitive(shape, size, position, rotation_of(*angles))
    rng = np.random.default_rng(seed)
    directions = np.array([1.0, 1 / 6, -0.5 / 6]) + rng.normal(0, 0.15, (200, 3))
    distance, index, world = trace(scene_of(primitive), np.zeros((200, 3)), directions)
    met = index >= 0
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = (distance[:, None] * torch.from_numpy(directions).float())[met]
    if not len(points):
        return
    own, normal = world.local(points, index[met])
    x, _, z = size
    across = own[:, :2].norm(dim=1)
    error = {
        Shape.BOX: lambda: (own.abs() / torch.tensor(size)).amax(1).sub(1) * min(size),
        Shape.SPHERE: lambda: own.norm(dim=1) - x,
        Shape.CYLINDER: lambda: torch.maximum(across - x, own[:, 2].abs() - z),
        Shape.CONE: lambda: torch.maximum(across - x * (z - own[:, 2]) / (2 * z), -own[:, 2] - z),
    }[shape]()
    assert float(error.abs().max()) < 1e-4
    along = torch.from_numpy(directions).float()[met]
    assert bool(((world.to_world(normal, index[met]) * along).sum(1) < 1e-3).all())


def crowd(count=60):
    """Solids of all bounded shapes before a camera, many of which hide one another."""
    rng = np.random.default_rng(4)
    shapes = (Shape.BOX, Shape.SPHERE, Shape.CYLINDER, Shape.CONE)
    solids = [
        Primitive(
            shapes[k % 4],
            tuple(rng.uniform(0.1, 1.5, 3)),
            tuple(rng.uniform((2.0, -6, -3), (20, 6, 3))),
            rotation_of(*rng.uniform(-3, 3, 3)),
        )
        for k in range(count)
    ]
    return [Primitive(Shape.PLANE, (0, 0, 0), (0, 0, -2.0)), *solids]


def test_what_is_culled_is_what_is_not_hit():
    """A crowd of shapes answers, in tiles, as each shape does alone."""
    parts = crowd()
    grid = [g.ravel() for g in np.meshgrid(*[np.linspace(-0.7, 0.7, 30)] * 2)]
    directions = np.stack((np.ones(900), *grid), 1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    together, index, world = trace(scene_of(*parts), np.zeros((900, 3)), directions)
    d = torch.from_numpy(directions).float().view(36, 25, 3)
    tiled = world.trace(torch.zeros_like(d), d, torch.zeros(36, dtype=torch.int64))
    assert torch.allclose(tiled.distance.ravel(), together)
    assert torch.equal(tiled.primitive.ravel(), index)
    alone = torch.stack([trace(scene_of(p), np.zeros((900, 3)), directions)[0] for p in parts])
    assert torch.equal(alone.amin(0), together)
    assert int((index > 0).sum()) > 200


def test_bundles_meet_their_own_scene_only():
    near = scene_of(Primitive(Shape.SPHERE, (1.0, 0, 0), (3.0, 0, 0)))
    far = scene_of(Primitive(Shape.SPHERE, (1.0, 0, 0), (9.0, 0, 0)))
    d = torch.tensor([1.0, 0, 0]).view(1, 1, 3).expand(2, 1, 3)
    hit = World([near, far]).trace(torch.zeros(2, 1, 3), d, torch.tensor([1, 0]))
    assert hit.distance[:, 0].tolist() == pytest.approx([8.0, 2.0])
    assert hit.primitive[:, 0].tolist() == [1, 0]


def test_nothing_is_met_beyond_the_limit():
    world = World([scene_of(Primitive(Shape.SPHERE, (1.0, 0, 0), (9.0, 0, 0)))])
    d = torch.tensor([1.0, 0, 0]).view(1, 1, 3)
    scene = torch.zeros(1, dtype=torch.int64)
    assert world.trace(torch.zeros(1, 1, 3), d, scene, torch.tensor([[7.9]])).primitive == -1
    assert world.trace(torch.zeros(1, 1, 3), d, scene, torch.tensor([[8.1]])).primitive == 0


def test_a_height_field_is_met_where_the_first_crossing_is():
    """Against a fine march in float64 along each ray."""
    field = Primitive(Shape.HEIGHT_FIELD, (0.6, 8.0, 0.0), seed=5)
    rng = np.random.default_rng(0)
    directions = np.stack(
        (np.ones(150), rng.uniform(-0.7, 0.7, 150), rng.uniform(-0.6, -0.02, 150)), 1
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.tile([0.0, 0.0, 1.4], (150, 1))
    distance, index, world = trace(scene_of(field), origins, directions)
    t = torch.arange(0, 60, 0.002, dtype=torch.float64)
    waves = world._waves.double()
    checked = 0
    for i in range(150):
        p = torch.from_numpy(origins[i]) + t[:, None] * torch.from_numpy(directions[i])
        size = torch.tensor([[0.6, 8.0, 0.0]], dtype=torch.float64).expand(len(p), 3)
        height = height_at(p[:, 0], p[:, 1], size, waves.expand(len(p), 4, 4))[0]
        under = (p[:, 2] < height).nonzero()
        if len(under):
            slope = max(0.02, -directions[i][2])
            assert float(distance[i]) == pytest.approx(float(t[under[0, 0]]), abs=0.004 / slope)
            checked += 1
    assert checked > 100
    assert bool((index[distance < 60] == 0).all())


def bundles_ahead():
    y, z = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-0.6, 0.6, 24), indexing="ij")
    d = torch.stack((torch.ones_like(y), y, z), -1).view(10, 4, 6, 4, 3).transpose(1, 2)
    return torch.nn.functional.normalize(d.reshape(60, 16, 3), dim=-1)


def test_hidden_rays_are_those_that_meet_something_in_time():
    parts, d = crowd(), bundles_ahead()
    world = World([scene_of(*parts)])
    o, which = torch.zeros(60, 16, 3), torch.zeros(60, dtype=torch.int64)
    limit = torch.full((60, 16), 9.0)
    limit[::7] = 0.0  # not asked about
    clear = torch.zeros(len(parts), dtype=torch.bool)
    hidden = world.hidden(o, d, which, limit, clear)
    assert torch.equal(hidden, world.trace(o, d, which).distance < limit)
    assert 0.1 < float(hidden.float().mean()) < 0.9
    clear[1:] = True
    ground = World([scene_of(parts[0])]).trace(o, d, which).distance
    assert torch.equal(world.hidden(o, d, which, limit, clear), ground < limit)
