"""Samples with an exact answer: a plane seen by a pinhole."""

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.training.samples import Sample

NORMAL, OFFSET = np.array([0.1, -0.6, 0.7]), 2.5


class Plane:
    """The plane NORMAL · X = OFFSET in the optical frame, and a camera that sees it."""

    camera = Camera.from_hfov(308, 210, 70.0)

    @staticmethod
    def depth(camera):
        return (OFFSET / (camera.rays() @ NORMAL)).astype(np.float32)

    @staticmethod
    def residual(depth_m, camera):
        """Distance of the points of a depth map to the plane, metres."""
        points = camera.rays() * depth_m[..., None]
        return np.abs(points @ NORMAL - OFFSET) / np.linalg.norm(NORMAL)

    @classmethod
    def sample(cls):
        """The picture holds the pixel's own column and row in red and green, halved."""
        u, v = np.meshgrid(np.arange(308), np.arange(210))
        rgb = np.stack((u // 2, v, 0 * u), axis=-1).astype(np.uint8)
        depth = cls.depth(cls.camera)
        return Sample(rgb, depth, 1 / depth, cls.camera.K[0])


@pytest.fixture(scope="session")
def plane():
    return Plane
