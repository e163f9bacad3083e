import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector, depth_edges
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, ImageError

CAMERA = Camera(8, 6, (10.0, 0, 3.5, 0, 12.0, 2.5, 0, 0, 1))


def constant(depth_m=2.0):
    return DepthMap(np.full((6, 8), depth_m, np.float32), CAMERA)


def test_a_wall_becomes_the_plane_z():
    cloud = BackProjector(CAMERA).project(constant())
    assert (cloud.height, cloud.width, cloud.is_dense, cloud.has_color) == (6, 8, True, False)
    assert cloud.points.flags.c_contiguous and cloud.points.dtype == np.float32
    np.testing.assert_allclose(cloud.xyz[0, 0], [2 * -3.5 / 10, 2 * -2.5 / 12, 2], rtol=1e-6)
    np.testing.assert_allclose(cloud.xyz[5, 7], [2 * 3.5 / 10, 2 * 2.5 / 12, 2], rtol=1e-6)


def test_distortion_is_honoured_ray_by_ray():
    camera = Camera(8, 6, CAMERA.K, (-0.2, 0.05, 0, 0))
    cloud = BackProjector(camera).project(DepthMap(np.full((6, 8), 3.0, np.float32), camera))
    u, v = np.meshgrid(np.arange(8), np.arange(6))
    np.testing.assert_allclose(camera.project(cloud.xyz), np.stack((u, v), axis=-1), atol=1e-4)


def test_colours_are_packed_as_pcl_reads_them():
    rgb = np.zeros((6, 8, 3), np.uint8)
    rgb[1, 2] = (10, 20, 30)
    cloud = BackProjector(CAMERA).project(constant(), rgb)
    assert cloud.points.shape == (6, 8, 4)
    assert cloud.points[1, 2, 3:].view(np.uint32)[0] == 0x000A141E
    np.testing.assert_array_equal(cloud.rgb, rgb)


def test_unknown_and_far_pixels_are_nan_or_gone():
    depth = constant()
    depth.depth_m[0, 0], depth.depth_m[2, 3] = np.nan, np.inf
    projector = BackProjector(CAMERA)
    organized = projector.project(depth)
    assert not organized.is_dense
    assert np.isnan(organized.xyz[0, 0]).all() and np.isnan(organized.xyz[2, 3]).all()
    dense = projector.project(depth, organized=False)
    assert (dense.height, dense.width, dense.is_dense) == (1, 46, True)
    assert np.isfinite(dense.points).all()
    keep = np.isfinite(organized.xyz[..., 2])
    np.testing.assert_array_equal(dense.xyz[0], organized.xyz[keep])
    assert dense.points.flags.c_contiguous


def test_far_pixels_are_put_on_their_rays_where_that_is_asked_for():
    depth = constant()
    depth.depth_m[0, 0], depth.depth_m[2, 3] = np.nan, np.inf
    cloud = BackProjector(CAMERA).project(depth, organized=False, far_m=10.0)
    assert cloud.is_dense and cloud.width == 47  # unknown stays unknown
    (far,) = cloud.xyz[0][cloud.xyz[0, :, 2] > 2.0]
    np.testing.assert_allclose(far, [10 * (3 - 3.5) / 10, 10 * (2 - 2.5) / 12, 10], rtol=1e-6)
    assert (cloud.xyz[0, :, 2] == 2.0).sum() == 46
    # With its edges, neither the far pixel nor its neighbours are left.
    edges = BackProjector(CAMERA).project(depth, organized=False, far_m=10.0, edge_jump=0.05)
    assert edges.width == 47 - 5 and (edges.xyz[..., 2] == 2.0).all()


def test_a_cloud_of_nothing_is_empty():
    cloud = BackProjector(CAMERA).project(constant(np.nan), organized=False)
    assert (cloud.height, cloud.width) == (1, 0)


@pytest.mark.parametrize("stride", [2, 3, 10])
def test_stride_takes_every_nth_pixel(stride):
    depth = DepthMap(np.arange(1, 49, dtype=np.float32).reshape(6, 8), CAMERA)
    rgb = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    whole = BackProjector(CAMERA).project(depth, rgb)
    strided = BackProjector(CAMERA, stride).project(depth, rgb)
    np.testing.assert_array_equal(strided.points, whole.points[::stride, ::stride])


def test_a_step_loses_the_pixels_on_both_sides():
    depth = np.full((5, 9), 2.0, np.float32)
    depth[:, 5:] = 3.0
    expected = np.zeros((5, 9), bool)
    expected[:, 4:6] = True
    np.testing.assert_array_equal(depth_edges(depth, 0.4), expected)
    # (3 - 2) / 2 is not more than 0.5.
    assert not depth_edges(depth, 0.5).any()


def test_edges_beside_sky_and_unknown():
    depth = np.array([[2, 2, np.inf, np.inf, np.nan, 5, 5]], np.float32)
    np.testing.assert_array_equal(
        depth_edges(depth, 0.05), [[False, True, True, False, False, False, False]]
    )


def test_the_far_side_alone_of_a_step_and_of_what_hangs_in_between():
    depth = np.full((4, 9), 5.0, np.float32)
    depth[:, 3], depth[:, 4] = 1.0, 3.0  # a post, one pixel wide, and what hangs beside it
    depth[1, 7], depth[2, 7] = np.inf, np.nan
    edges = depth_edges(depth, 0.05, far_side_only=True)
    expected = np.zeros_like(edges)
    expected[:, 2] = expected[:, 4] = expected[:, 5] = True
    expected[1, 7] = True  # the sky beside a wall; the wall stays
    np.testing.assert_array_equal(edges, expected)
    assert not edges[:, 3].any() and depth_edges(depth, 0.05)[:, 3].all()


def test_a_floor_survives_and_flying_pixels_go():
    camera = Camera.from_hfov(160, 120, 60)
    rows = np.arange(120) - camera.K[5]
    floor = np.where(rows > 8, camera.K[4] * 1.0 / np.maximum(rows, 1e-6), 20.0)
    depth = np.repeat(floor[:, None], 160, axis=1).astype(np.float32)
    depth[40:80, 60:100] = 1.5  # a box, with a bridge of two flying pixels at its left
    depth[40:80, 58], depth[40:80, 59] = 8.0, 4.0
    cloud = BackProjector(camera).project(DepthMap(depth, camera), edge_jump=0.05)
    kept = np.isfinite(cloud.xyz[..., 2])
    assert not kept[41:79, 58:60].any()
    assert kept[41:79, 62:98].all()
    assert kept[100:].all()  # the near floor


def test_mismatches_are_refused():
    projector = BackProjector(CAMERA)
    with pytest.raises(CameraError, match="make a BackProjector for its camera"):
        projector.project(DepthMap(np.ones((5, 8), np.float32)))
    with pytest.raises(CameraError, match="not of this camera"):
        other = CAMERA.cropped(0, 0, 8, 6)
        moved = Camera(8, 6, (11.0, *other.K[1:]))
        projector.project(DepthMap(np.ones((6, 8), np.float32), moved))
    with pytest.raises(ImageError, match=r"got uint8 \(6, 7, 3\)"):
        projector.project(constant(), np.zeros((6, 7, 3), np.uint8))
    with pytest.raises(ImageError, match="stride must be 1 or more, got 0"):
        BackProjector(CAMERA, 0)


def plain(camera, depth_m, rgb, jump):
    """The cloud by its definition, point by point and in one piece."""
    rays = camera.rays()[..., :2].astype(np.float32)
    lost = ~np.isfinite(depth_m) | ~np.isfinite(rays[..., 0])
    for axis in (0, 1):
        first, second = np.delete(depth_m, 0, axis), np.delete(depth_m, -1, axis)
        with np.errstate(invalid="ignore"):
            far = np.abs(first - second) > jump * np.minimum(first, second)
        after, before = ((1, 0), (0, 0)), ((0, 1), (0, 0))
        if axis:
            after, before = after[::-1], before[::-1]
        lost |= np.pad(far, after) | np.pad(far, before)
    z = np.where(lost, np.float32(np.nan), depth_m)
    bits = rgb[..., 0].astype(np.uint32) << 16 | rgb[..., 1].astype(np.uint32) << 8 | rgb[..., 2]
    return np.dstack((rays[..., 0] * z, rays[..., 1] * z, z, bits.view(np.float32)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (401, 397), (70000, 3)])
@pytest.mark.parametrize("lens", [(), (-0.3, 0.1, 1e-3, -1e-3)])
def test_clouds_of_any_size_have_the_bits_of_the_definition(size, lens):
    width, height = size
    focal = 0.7 * max(size)
    K = (focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1)
    camera, rng = Camera(width, height, K, lens), np.random.default_rng(width)
    depth = np.exp(rng.normal(1, 0.05, (height, width))).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = np.nan
    depth[rng.random(depth.shape) < 0.1] = np.inf
    rgb = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    memory = np.full((height, width, 4), 7, np.float32)
    cloud = BackProjector(camera).project(
        DepthMap(depth, camera), rgb, edge_jump=0.05, allocate=lambda _: memory
    )
    assert cloud.points is memory
    expected = plain(camera, depth, rgb, 0.05)
    np.testing.assert_array_equal(memory[..., :3], expected[..., :3])
    np.testing.assert_array_equal(memory[..., 3].view(np.uint32), expected[..., 3].view(np.uint32))
