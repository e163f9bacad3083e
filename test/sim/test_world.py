"""Views by seed: the same again, in any company, of any kind, with cameras in range."""

import numpy as np
import pytest
import torch

from depth_anything_ros.sim.places import PLACES, build_scene
from depth_anything_ros.sim.render import render
from depth_anything_ros.sim.world import HFOV_DEG, views


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
    again = render([build_scene(21)], seen.cameras, seen.T_world_camera)
    assert torch.equal(again.depth_m, seen.depth_m)


def test_cameras_stay_in_their_range_and_mostly_see_objects():
    seen = views(list(range(100, 124)), 28, 21)
    hfov = np.array([camera.hfov_deg for camera in seen.cameras])
    assert hfov.min() >= HFOV_DEG[0] and hfov.max() <= HFOV_DEG[1] and np.ptp(hfov) > 30
    assert 0 < sum(camera.is_distorted for camera in seen.cameras) < 12
    up = -seen.T_world_camera[:, 2, 1]  # of the camera's own y, which points down
    assert (up > 0.2).all()
    objects = [int(instance.unique().numel()) for instance in seen.instance]
    assert np.median(objects) >= 5
    nearest = seen.depth_m.flatten(1).nan_to_num(torch.inf).amin(1)
    assert float((nearest > 0.15).float().mean()) > 0.9
