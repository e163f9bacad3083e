"""Models that know the depth, and three cameras on a robot to show them: the truth of a rig.

Pictures may hold their depth in their colours; and a hall is known on every ray from any place.
"""

import time
from dataclasses import replace

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.models.any_view import ViewEstimate
from depth_anything_ros.models.estimator import Running
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.sim.path import Drive, camera_mount

WIDTH, HEIGHT = 160, 120
RIG = {
    "front": camera_mount(0.2, 0.0, 0.5),
    "left": camera_mount(0.1, 0.2, 0.6, pitch=0.1, yaw=np.radians(35)),
    "right": camera_mount(0.1, -0.15, 0.55, yaw=np.radians(-40)),
}
CAMERAS = {name: Camera.from_hfov(WIDTH, HEIGHT, 80.0, f"{name}_optical_frame") for name in RIG}
# A model is slower than a fast camera.
INFERENCE_S = 0.02
# 24 bits of 10 micrometres; the largest is the sky, and 0 is what no model should answer.
_UNIT_M, _SKY = 1e-5, (1 << 24) - 1
# Half of its length, breadth and height in metres, about the robot's base.
HALL = np.array((6.0, 4.0, 3.0))


def picture_of(depth_m):
    """Write depth into the colours of a picture, uint8 (height, width, 3)."""
    units = np.where(np.isfinite(depth_m), np.round(depth_m.astype(np.float64) / _UNIT_M), _SKY)
    units = units.astype(np.uint32)
    return np.stack([units >> 16, units >> 8, units], -1).astype(np.uint8)


def depth_of(rgb):
    """Read the depth in a picture's colours."""
    high, middle, low = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    units = (high << 16) + (middle << 8) + low
    return np.where(units == _SKY, np.inf, units * _UNIT_M).astype(np.float32)


def hall_depth(camera, T_base_camera):
    """Return the depth along Z of the walls of the hall, (height, width)."""
    directions = camera.rays() @ T_base_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        along = (np.sign(directions) * HALL - T_base_camera[:3, 3]) / directions
    return np.where(np.isnan(along), np.inf, along).min(-1).astype(np.float32)


class TrueDepth:
    """A model that reads the depth in pictures; of any view, one that sees the hall from poses."""

    device = "cpu"
    description = "the truth"
    engine = Running("truth", "fp64", "cpu")
    input_size = 518

    def __init__(self, any_view=False):
        kind = "affine_depth" if any_view else "metric"
        self.card = replace(find_card("test_metric"), kind=kind, any_view=any_view)
        self.batches = []
        self.times = StageTimes()

    def infer(self, rgb, camera=None):
        return DepthMap(np.ones(rgb.shape[:2], np.float32), camera)

    def infer_batch(self, pictures, cameras):
        self.batches.append(len(pictures))
        with self.times.of("inference"):
            time.sleep(INFERENCE_S * len(pictures))
        found = [DepthMap(depth_of(rgb), c) for rgb, c in zip(pictures, cameras, strict=True)]
        if any((depth.depth_m == 0).any() for depth in found):
            raise ModelError("the truth is not known", reason="non_finite")
        return found

    def infer_views(self, pictures, cameras, poses=None):
        poses = [np.eye(4)] * len(pictures) if poses is None else poses
        return [
            ViewEstimate(DepthMap(hall_depth(camera, pose), camera), np.ones(rgb.shape[:2]), pose)
            for rgb, camera, pose in zip(pictures, cameras, poses, strict=True)
        ]


def simulated_depths(seed=2_000_000_000, place="room"):
    """Render what each camera of the rig sees of a simulated place: exact depth, by name."""
    from depth_anything_ros.sim.places import build_scene
    from depth_anything_ros.sim.render import Renderer

    scene = build_scene(seed, place)
    T_world_base = Drive(scene.path).T_world_base(0.0)
    renderer = Renderer([scene])
    return {
        name: renderer.view([CAMERAS[name]], (T_world_base @ mount)[None]).depth_m[0].numpy()
        for name, mount in RIG.items()
    }


def in_base(points, name, rig=RIG):
    """Return the finite points (n, 3) of a camera's cloud in the robot's frame."""
    points = points.reshape(-1, points.shape[-1])[:, :3]
    return transformed(points[np.isfinite(points).all(-1)], rig[name])


def seen_by(points, name, depth_m):
    """Compare points (n, 3) of the robot's frame with what a camera sees in their place.

    Returns:
        Of the points in its picture, the depth that it sees along their rays over their own. On a
        plane that is exactly 1: there 1 / depth is linear over the picture.
    """
    own = transformed(points, np.linalg.inv(RIG[name]))
    pixels = CAMERAS[name].project(own)
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= 0) & (pixels < (WIDTH - 1, HEIGHT - 1))).all(-1)
    (u, v), z = pixels[inside].T, own[inside, 2]
    column, row = u.astype(int), v.astype(int)
    a, b = u - column, v - row
    nearness = 1 / depth_m.astype(np.float64)
    seen = (1 - b) * ((1 - a) * nearness[row, column] + a * nearness[row, column + 1])
    seen += b * ((1 - a) * nearness[row + 1, column] + a * nearness[row + 1, column + 1])
    with np.errstate(divide="ignore"):
        return 1 / seen / z
