"""Things that move, against closed forms."""

import math

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.moving import Mover, first_mover, with_movers
from depth_anything_ros.sim.path import camera_mount
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.scene import Light, Material, Primitive, Scene, Shape

WALL = Primitive(Shape.BOX, (0.5, 50.0, 50.0), (6.5, 0.0, 0.0), instance=4)
SCENE = Scene("wall", 0, (WALL,), (Light((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), True),))
BOX = Assembly().box((1.0, 0.5, 1.0), (0, 0, 0), Material())
# Its x points to the right of the camera, and its side of 0.5 m towards it.
CROSSES = Mover(BOX, (3.25, 1.0, 0.0), -math.pi / 2, speed_mps=2.0)
APPEARS = Mover(BOX, (5.0, -3.0, 0.0), from_s=0.5, until_s=1.0)


def seen(t):
    camera = Camera.from_hfov(90, 60, 90.0)
    renderer = Renderer([with_movers(SCENE, (CROSSES, APPEARS), t)])
    view = renderer.view([camera], camera_mount(z=0.5)[None])
    return view.depth_m[0].numpy(), view.instance[0].numpy()


def test_a_thing_is_where_its_speed_takes_it_and_hides_what_is_behind():
    assert first_mover(SCENE) == 5
    for t, y in ((0.0, 1.0), (0.75, -0.5)):
        depth, instance = seen(t)
        mask = instance == 5
        np.testing.assert_allclose(depth[mask & (depth < 3.1)], 3.0, atol=1e-4)
        np.testing.assert_allclose(depth[instance == 4], 6.0, atol=1e-4)
        # Its front is from y - 0.5 to y + 0.5, 3 m ahead: 45 pixels are 1 in tan.
        columns = np.flatnonzero((mask & (depth < 3.1)).any(0))
        first, last = 44.5 - 45 * np.array([y + 0.5, y - 0.5]) / 3
        assert abs(columns[0] - first) <= 1 and abs(columns[-1] - last) <= 1


def test_a_thing_is_there_from_its_first_to_its_last_time_and_the_others_keep_their_numbers():
    there = [6 in np.unique(seen(t)[1]) for t in (0.0, 0.49, 0.5, 0.99, 1.0)]
    assert there == [False, False, True, True, False]
    assert all(5 in np.unique(seen(t)[1]) for t in (0.0, 0.5))


def test_its_pattern_goes_with_it():
    seeds = [
        [part.seed for part in with_movers(SCENE, (CROSSES, APPEARS), t).primitives]
        for t in (0.0, 0.2)
    ]
    assert seeds[0] == seeds[1]
    assert with_movers(SCENE, (), 0.0) == SCENE
