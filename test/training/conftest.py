"""Samples with an exact answer: a plane seen by a pinhole, and pictures that show their depth."""

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.training.samples import Sample, write_sample

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


class Lesson:
    """Pictures 56 x 42 whose colours tell the depth, 2 to 8 m, seen by a camera of 70°."""

    camera = Camera.from_hfov(56, 42, 70.0)

    @staticmethod
    def picture(number):
        """Return the colours of a smooth random surface, and its depth."""
        rng = np.random.default_rng(number)
        surface = cv2.resize(rng.uniform(0, 1, (3, 4)).astype(np.float32), (56, 42))
        tone = np.rint(255 * surface).astype(np.uint8)
        noise = rng.integers(0, 256, (42, 56), np.uint8)
        return np.stack((tone, 255 - tone, noise), -1), 2 * 4**surface

    @classmethod
    def write(cls, folder, count=6, first=0):
        """Write pictures with depth and camera; return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            rgb, depth = cls.picture(number)
            write_sample(folder, f"p{number:02d}", rgb, depth_m=depth, camera=cls.camera)
        return folder


@pytest.fixture(scope="session")
def lesson():
    return Lesson
