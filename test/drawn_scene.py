"""Scenes of planes and boxes, drawn exactly, that a camera above the ground sees."""

import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap

CAMERA = Camera.from_hfov(320, 240, 80.0)


def up_of(pitch_deg, roll_deg=0.0):
    """Return up of a camera that looks down and leans over."""
    pitch, roll = np.radians((pitch_deg, roll_deg))
    level = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ level


class Scene:
    """What rays meet first, in a frame with z upwards and the camera at a height above z = 0."""

    def __init__(self, height_m, pitch_deg=10.0, roll_deg=0.0):
        self.up = up_of(pitch_deg, roll_deg)
        forward = np.array([0.0, 0.0, 1.0])
        forward -= (forward @ self.up) * self.up
        forward /= np.linalg.norm(forward)
        axes = np.stack((forward, np.cross(self.up, forward), self.up))
        self.rays = CAMERA.rays() @ axes.T  # forward, left, up
        self.height = height_m
        self.depth = np.full(self.rays.shape[:2], np.inf)

    def surface(self, normal, offset, within=lambda x, y, z: True):
        """Add the plane of points p with normal · p = offset, where within says so."""
        normal, origin = np.asarray(normal, float), np.array([0.0, 0.0, self.height])
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (offset - origin @ normal) / (self.rays @ normal)
            x, y, z = np.moveaxis(origin + along[..., None] * self.rays, -1, 0)
            met = (along > 0.05) & (along < self.depth) & within(x, y, z)
        self.depth = np.where(met, along, self.depth)
        return self

    def box(self, x, y, z):
        """Add a box from its corners (low, high) of each axis: its front, sides and top."""
        self.surface((1, 0, 0), x[0], lambda _, b, c: self._in(b, y) & self._in(c, z))
        for side in y:
            self.surface((0, 1, 0), side, lambda a, _, c: self._in(a, x) & self._in(c, z))
        return self.surface((0, 0, 1), z[1], lambda a, b, _: self._in(a, x) & self._in(b, y))

    @staticmethod
    def _in(values, limits):
        return (values >= limits[0]) & (values <= limits[1])

    def depth_map(self, scale=1.0, noise=0.0):
        speckle = 1 + noise * np.random.default_rng(0).standard_normal(self.depth.shape)
        return DepthMap((self.depth * scale * speckle).astype(np.float32), CAMERA)


def room(height_m=0.5, **pose):
    """A floor with a wall at its end, and boxes on it."""
    scene = Scene(height_m, **pose).surface((0, 0, 1), 0.0).surface((1, 0, 0), 6.0)
    return scene.box((1.5, 2.0), (-1.5, -0.5), (0, 0.6)).box((2.0, 3.0), (0.4, 1.0), (0, 1.2))


def stairs(step, going=0.3):
    """Ten steps that begin where the picture does; down where step is negative."""
    scene = Scene(0.6)
    for i in range(10):
        near, low, high = 0.6 + i * going, i * step, (i + 1) * step
        scene.surface((0, 0, 1), high, lambda x, y, z, a=near: (x >= a) & (x < a + going))
        if step > 0:
            scene.surface((1, 0, 0), near, lambda x, y, z, a=low, b=high: (z >= a) & (z < b))
    return scene


def slope(degrees):
    angle = np.radians(degrees)
    return Scene(0.5).surface((-np.sin(angle), 0, np.cos(angle)), 0.0)


def table(reach=0.8):
    """A table's top 0.5 m below the camera, and the floor 0.7 m below that, behind it."""
    scene = Scene(1.2, pitch_deg=35.0).surface((0, 0, 1), 0.0).surface((1, 0, 0), 4.0)
    return scene.surface((0, 0, 1), 0.7, lambda x, y, z: (x < 0.9) & (np.abs(y) < reach))
