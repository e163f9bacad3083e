"""Three cameras in a room, what they see, and pictures of their size."""

import math
from types import SimpleNamespace

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.world import views

SIZE = 112, 84  # of what the network sees: width and height
RIG = ((0.0, 0.0), (0.35, 40.0), (-0.35, -40.0))  # to the right, and turned to it [m, degrees]


def turned(right_m, yaw_deg):
    """The pose of a camera of a rig in the first one's frame; both are optical frames."""
    c, s = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, :3] = ((c, 0, s), (0, 1, 0), (-s, 0, c))
    pose[0, 3] = right_m
    return pose


def make_rig():
    """A room that three cameras see, with 90° each and 40° between them."""
    first = views([1], 28, 21, kind="room").T_world_camera[0]
    poses = np.stack([first @ turned(*mount) for mount in RIG])
    cameras = [Camera.from_hfov(*SIZE, 90.0, name) for name in ("front", "right", "left")]
    seen = Renderer([build_scene(1, "room")] * 3).view(cameras, poses)
    assert bool(seen.depth_m.isfinite().all())
    return SimpleNamespace(cameras=cameras, poses=poses, depth_m=seen.depth_m)


def pictures(count, width=SIZE[0], height=SIZE[1]):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]
