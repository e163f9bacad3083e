import dataclasses

import numpy as np
import pytest

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.protocols import (
    KITTI_EIGEN,
    KITTI_GARG,
    NYU_EIGEN,
    PROTOCOLS,
    find_protocol,
)


def box(mask):
    rows, columns = np.nonzero(mask)
    found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert mask.sum() == (found[1] - found[0]) * (found[3] - found[2])
    return tuple(int(edge) for edge in found)


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [
        (NYU_EIGEN, (480, 640), (45, 471, 41, 601)),
        (NYU_EIGEN, (240, 320), (22, 235, 20, 300)),
        # int(0.40810811 · 375) = 153, int(0.99189189 · 375) = 371, int(0.03594771 · 1242) = 44,
        # int(0.96405229 · 1242) = 1197; int(0.3324324 · 375) = 124, int(0.91351351 · 375) = 342.
        (KITTI_GARG, (375, 1242), (153, 371, 44, 1197)),
        (KITTI_EIGEN, (375, 1242), (124, 342, 44, 1197)),
        # 366.99999 and 43.99999 are rounded down, as monodepth does.
        (KITTI_GARG, (370, 1224), (151, 366, 43, 1180)),
    ],
)
def test_crops_are_those_of_the_papers(crop, size, expected):
    assert box(crop.mask(*size)) == expected


def test_caps_are_those_of_the_papers():
    caps = {name: protocol.max_m for name, protocol in PROTOCOLS.items()}
    assert caps == {
        "range": 80,
        "nyu": 10,
        "kitti_garg": 80,
        "kitti_eigen": 80,
        "eth3d": 72,
        "tum": 10,
    }
    assert all(protocol.min_m == 1e-3 for protocol in PROTOCOLS.values())
    crops = {name: protocol.crop for name, protocol in PROTOCOLS.items() if protocol.crop}
    assert crops == {"nyu": NYU_EIGEN, "kitti_garg": KITTI_GARG, "kitti_eigen": KITTI_EIGEN}


def test_what_counts_is_in_the_range_and_in_the_crop():
    depth = np.full((480, 640), 5.0, np.float32)
    depth[100, 100:104] = np.nan, np.inf, 11.0, 10.0
    mask = find_protocol("nyu").mask(DepthMap(depth))
    assert mask.sum() == (471 - 45) * (601 - 41) - 3
    assert mask[100, 103] and not mask[100, 100:103].any() and not mask[44].any()
    assert find_protocol("tum").mask(DepthMap(depth)).sum() == 480 * 640 - 3


def test_a_protocol_clamps_to_its_cap_and_can_have_another():
    assert find_protocol("nyu").clamped(DepthMap(np.full((2, 2), 12, np.float32))).max() == 10
    other = dataclasses.replace(find_protocol("kitti_garg"), max_m=50.0)
    assert other.crop is KITTI_GARG and other.name == "kitti_garg" and other.max_m == 50
    with pytest.raises(ParameterError, match="the depth that counts"):
        dataclasses.replace(find_protocol("tum"), min_m=20.0)


def test_a_name_that_is_none():
    with pytest.raises(ParameterError, match="no protocol 'kitty'; expected range, nyu,"):
        find_protocol("kitty")
