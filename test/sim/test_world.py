"""Views by seed: the same again, in any company, of any kind, with cameras in range."""

import math

import numpy as np
import pytest
import torch

from depth_anything_ros.sim.places import PLACES, build_scene
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.world import _OUTDOORS, HFOV_DEG, _camera, views


def test_the_same_seed_is_the_same_view_in_any_company():
    together = views([3, 11, 4], 56, 42)
    alone = views([11], 56, 42)
    assert torch.equal(together.rgb[1], alone.rgb[0])
    assert torch.equal(together.depth_m[1], alone.depth_m[0])
    assert torch.equal(together.instance[1], alone.instance[0])
    assert together.cameras[1] == alone.cameras[0]
    assert not torch.equal(together.depth_m[0], together.depth_m[1])


@pytest.mark.parametrize("kind", PLACES)
def test_each_kind_gives_a_picture_with_its_depth(kind):
    seen = views([5], 70, 49, kind=kind)
    assert seen.kinds == (kind,)
    assert seen.rgb.shape == (1, 49, 70, 3) and seen.rgb.dtype == torch.uint8
    assert float(seen.rgb.float().std()) > 8
    depth = seen.depth_m[0]
    assert bool((depth[~depth.isnan()] > 0.01).all())
    assert bool((seen.sky[0] == depth.isinf()).all())
    assert int(seen.instance[0].unique().numel()) >= 2


def test_the_depth_of_a_view_is_that_of_its_scene_from_its_pose():
    seen = views([21], 56, 42)
    again = Renderer([build_scene(21)]).view(seen.cameras, seen.T_world_camera)
    assert torch.equal(again.depth_m, seen.depth_m)


def test_cameras_stay_in_their_range_and_mostly_see_objects():
    seen = views(list(range(100, 124)), 28, 21)
    # Of the focal length: a cut at the side of a wide picture sees a smaller angle.
    hfov = np.array([2 * math.degrees(math.atan(14 / c.K[0])) for c in seen.cameras])
    assert hfov.min() >= HFOV_DEG[0] and hfov.max() <= HFOV_DEG[1] and np.ptp(hfov) > 30
    assert 0 < sum(camera.is_distorted for camera in seen.cameras) < 12
    up = -seen.T_world_camera[:, 2, 1]  # of the camera's own y, which points down
    assert (up > 0.2).all()
    objects = [int(instance.unique().numel()) for instance in seen.instance]
    assert np.median(objects) >= 5
    nearest = seen.depth_m.flatten(1).nan_to_num(torch.inf).amin(1)
    assert float((nearest > 0.15).float().mean()) > 0.9


def test_cameras_are_mostly_those_of_cars_and_hands_or_cuts_of_their_pictures():
    rng = np.random.default_rng(0)
    cameras = [_camera(rng, 320, 224, _OUTDOORS) for _ in range(400)]
    focal = np.array([camera.K[0] / 224 for camera in cameras])
    # KITTI: 1242 x 375 pixels, fx 721.5; a cut of its full height keeps fx / height.
    kitti = np.abs(focal / (721.5 / 375) - 1) < 0.04
    assert 0.03 < kitti.mean() < 0.2
    aside = np.array([camera.K[2] - 159.5 for camera in cameras])
    assert np.abs(aside[kitti]).max() > 60 and (aside == 0).mean() > 0.5


def test_most_street_cameras_are_as_high_as_those_of_cars():
    low, high = np.array([build_scene(s, "street").stand[0] for s in range(80)])[..., 2].T
    middle = (low + high) / 2
    assert 0.55 < ((middle > 1.2) & (middle < 2.0)).mean() < 0.95
    assert (middle < 1.0).any()
