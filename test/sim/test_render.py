"""Pictures of scenes: depth against closed forms, tiles, lenses, mirrors, shadows, batches."""

import math

import numpy as np
import pytest
import torch

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.sim.path import camera_mount
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.scene import Finish, Light, Material, Primitive, Scene, Shape, Sky

GREY = Material((0.5, 0.5, 0.5), roughness=0.0)


def scene_of(*primitives, lights=(), sky=None, ambient=(1.0, 1.0, 1.0), haze=0.0):
    return Scene("test", 3, tuple(primitives), lights, ambient, sky, haze)


def view(scene, camera, position=(0, 0, 0), yaw=0.0, pitch=0.0):
    seen = Renderer([scene]).view([camera], camera_mount(*position, pitch=pitch, yaw=yaw)[None])
    return seen.light[0].numpy(), seen.depth_m[0].numpy(), seen.instance[0].numpy()


@pytest.mark.parametrize("size", [(97, 61), (28, 14), (5, 3)])
def test_depth_of_a_wall_is_along_z_whatever_the_tiles(size):
    camera = Camera.from_hfov(*size, 90.0)
    wall = Primitive(Shape.BOX, (0.5, 50.0, 50.0), (5.5, 0, 0), instance=4)
    _, depth, instance = view(scene_of(wall), camera)
    assert depth.shape == size[::-1]
    assert np.allclose(depth, 5.0, atol=1e-4)
    assert (instance == 4).all()


def test_depth_of_the_ground_from_a_tilted_camera():
    camera = Camera.from_hfov(120, 90, 70.0)
    _, depth, instance = view(
        scene_of(Primitive(Shape.PLANE, (0, 0, 0))), camera, (3, -2, 1.4), 0.7, 0.4
    )
    down = camera.rays() @ np.array([0.0, math.cos(0.4), math.sin(0.4)])
    met = instance > 0
    assert met.any() and np.isinf(depth[~met]).all()
    near = met & (depth < 50)
    assert np.allclose(depth[near], 1.4 / down[near], rtol=1e-5, atol=1e-4)
    assert (met == ((down > 1.4 / 400) & met)).all()


@pytest.mark.parametrize(
    ("D", "model"),
    [((-0.2, 0.05, 0.001, -0.001, 0.0), "plumb_bob"), ((0.1, -0.02, 0.0, 0.0), "equidistant")],
)
def test_a_lens_sees_along_its_own_rays(D, model):
    """The depth of each pixel, put on the ray of that pixel, lies on the sphere."""
    camera = Camera(160, 120, (90, 0, 79.5, 0, 88, 59.5, 0, 0, 1), D, model)
    sphere = Primitive(Shape.SPHERE, (1.5, 0, 0), (4.0, 0, 0))
    _, depth, _ = view(scene_of(sphere), camera)
    points = camera.rays() * depth[..., None]
    points = points[np.isfinite(depth)]
    assert len(points) > 1000
    assert np.allclose(np.linalg.norm(points - (0, 0, 4.0), axis=1), 1.5, atol=1e-4)


def test_a_lens_that_has_no_ray_gives_unknown_depth_and_no_light():
    camera = Camera(80, 60, (20, 0, 39.5, 0, 20, 29.5, 0, 0, 1), (-0.6, 0, 0, 0, 0))
    light, depth, instance = view(scene_of(Primitive(Shape.ROOM, (9, 9, 9))), camera)
    lost = np.isnan(camera.rays()[..., 2])
    assert 0 < lost.sum() < lost.size
    assert (np.isnan(depth) == lost).all()
    assert (light[lost] == 0).all() and (instance[lost] == 0).all()


def test_scenes_of_a_batch_do_not_mix():
    camera = Camera.from_hfov(60, 45, 80.0)
    scenes = [scene_of(Primitive(Shape.ROOM, (r, r, r))) for r in (2.0, 3.0, 4.0)]
    poses = np.stack([camera_mount()] * 3)
    together = Renderer(scenes).view([camera] * 3, poses)
    for i, scene in enumerate(scenes):
        alone = Renderer([scene]).view([camera], poses[:1])
        assert torch.equal(alone.depth_m[0], together.depth_m[i])
        assert torch.allclose(alone.light[0], together.light[i], atol=1e-5)


def test_cameras_of_two_sizes_are_refused():
    cameras = [Camera.from_hfov(60, 45, 80.0), Camera.from_hfov(64, 45, 80.0)]
    scene = scene_of(Primitive(Shape.ROOM, (2, 2, 2)))
    with pytest.raises(CameraError, match=r"one size.*\(60, 45\), \(64, 45\)"):
        Renderer([scene] * 2).view(cameras, np.stack([np.eye(4)] * 2))


def test_light_by_lambert_and_by_distance():
    wall = Primitive(Shape.BOX, (0.5, 9, 9), (2.5, 0, 0), material=GREY)
    camera = Camera.from_hfov(15, 15, 5.0)
    sun = Light((-math.cos(1.0), 0.0, math.sin(1.0)), (1.0, 0.5, 0.25), directional=True)
    light, _, _ = view(scene_of(wall, lights=(sun,), ambient=(0, 0, 0)), camera)
    assert np.allclose(light[7, 7], 0.5 * math.cos(1.0) * np.array([1.0, 0.5, 0.25]), atol=1e-3)
    lamp = Light((-2.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    light, _, _ = view(scene_of(wall, lights=(lamp,), ambient=(0, 0, 0)), camera)
    assert np.allclose(light[7, 7], 0.5 / 16, atol=1e-3)


@pytest.mark.parametrize(
    "light",
    [
        Light((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), directional=True),
        Light((3.0, 0.0, 3.0), (9.0, 9.0, 9.0)),
    ],
)
def test_a_shadow_lies_where_the_light_is_hidden(light):
    ground = Primitive(Shape.PLANE, (0, 0, 0), material=GREY)
    board = Primitive(Shape.BOX, (0.5, 0.5, 0.05), (3.0, 0, 1.0), material=GREY)
    camera = Camera.from_hfov(90, 60, 60.0)
    scene = scene_of(ground, board, lights=(light,), ambient=(0.1, 0.1, 0.1))
    seen, depth, _ = view(scene, camera, (0, 0, 3.0), 0.0, 0.75)
    # The board reaches to x = 3.5, and its shadow so far under the sun and to 3.75 under the lamp.
    pose = camera_mount(z=3.0, pitch=0.75)
    for x, y, dark in ((3.3, 0, True), (3.65, 0, not light.directional), (3.0, 1.0, False)):
        point = (np.array((x, y, 0.0)) - pose[:3, 3]) @ pose[:3, :3]
        column, row = np.round(camera.project(point)).astype(int)
        assert depth[row, column] == pytest.approx(point[2], abs=0.12)
        assert (seen[row, column, 0] < 0.06) == dark


def test_a_mirror_has_its_own_depth_and_the_light_of_what_it_reflects():
    mirror = Primitive(
        Shape.BOX, (0.01, 2, 2), (2.0, 0, 0), material=Material(finish=Finish.MIRROR)
    )
    red = Primitive(
        Shape.BOX, (0.01, 9, 9), (-3.0, 0, 0), material=Material((1, 0, 0), glow=1.0, roughness=0)
    )
    light, depth, _ = view(scene_of(mirror, red), Camera.from_hfov(15, 15, 20.0))
    assert np.allclose(depth, 1.99, atol=1e-4)
    assert (light[..., 0] > 1.0).all() and (light[..., 1] < 0.2).all()


def test_glass_has_its_own_depth_and_lets_light_through():
    pane = Primitive(Shape.BOX, (0.01, 2, 2), (2.0, 0, 0), material=Material(finish=Finish.GLASS))
    green = Primitive(
        Shape.BOX, (0.01, 9, 9), (5.0, 0, 0), material=Material((0, 1, 0), glow=1.0, roughness=0)
    )
    light, depth, _ = view(scene_of(pane, green), Camera.from_hfov(15, 15, 20.0))
    assert np.allclose(depth, 1.99, atol=1e-4)
    assert (light[..., 1] > 2 * light[..., 0]).all()


def test_the_sky_is_infinitely_far_and_no_instance():
    sky = Sky(zenith=(0.1, 0.2, 0.9), horizon=(0.8, 0.8, 0.8), cloud=0.0)
    scene = scene_of(Primitive(Shape.PLANE, (0, 0, 0)), sky=sky)
    light, depth, instance = view(scene, Camera.from_hfov(60, 60, 60.0), (0, 0, 1.5))
    assert np.isinf(depth[:29]).all() and (instance[:29] == 0).all()
    assert np.isfinite(depth[31:]).all()
    assert light[0, 30, 2] > light[0, 30, 0]


def test_haze_takes_far_things_to_the_colour_of_the_horizon():
    sky = Sky(horizon=(0.9, 0.9, 0.9))
    wall = Primitive(Shape.BOX, (1, 99, 99), (101.0, 0, 0), material=GREY)
    clear, _, _ = view(scene_of(wall, sky=sky), Camera.from_hfov(15, 15, 10.0))
    hazy, _, _ = view(scene_of(wall, sky=sky, haze=0.01), Camera.from_hfov(15, 15, 10.0))
    left = math.exp(-1.0)
    assert np.allclose(hazy[7, 7], clear[7, 7] * left + 0.9 * (1 - left), atol=5e-3)
