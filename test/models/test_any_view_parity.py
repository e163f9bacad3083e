"""Views from pictures, and what they are made of, against the package depth-anything-3."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from three_views import SIZE, pictures

from depth_anything_ros.core.poses import inverse, similarity
from depth_anything_ros.models import DepthEstimator, find_card
from depth_anything_ros.models.any_view import (
    cameras_from_encoding,
    extrinsics_as_trained,
    metric_factor,
)
from depth_anything_ros.models.networks.depth_anything_3 import ViewsOutput, prepare
from depth_anything_ros.models.networks.output import DepthWithSky


def test_poses_are_decoded_as_by_the_reference():
    transform = pytest.importorskip("depth_anything_3.model.utils.transform")
    encoding = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    encoding[:, 7:] = encoding[:, 7:].relu()

    poses, K = cameras_from_encoding(encoding.numpy(), *SIZE)
    expected, intrinsics = transform.pose_encoding_to_extri_intri(encoding[None], SIZE[::-1])

    np.testing.assert_allclose(poses[:, :3], expected[0], atol=1e-5)
    K[:, :2, 2] += 0.5  # where the reference has the corner of the first pixel
    np.testing.assert_allclose(K, intrinsics[0], rtol=1e-4)


def test_metres_are_the_reference_s():
    """The factor that ``NestedDepthAnything3Net`` scales its answer by, of the same two answers."""
    da3 = pytest.importorskip("depth_anything_3.model.da3")
    addict = pytest.importorskip("addict")
    generator = torch.Generator().manual_seed(0)
    depth, confidence, raw, sky = torch.rand(4, 3, 42, 56, generator=generator)
    depth[0, :5], raw[1, :5] = 5e-4, 1e-3  # below what is scaled by
    K = torch.diag(torch.tensor((500.0, 400.0, 1.0))).expand(1, 3, 3, 3)
    theirs = addict.Dict(
        depth=depth[None].clone(),
        depth_conf=1 + confidence[None],
        intrinsics=K,
        extrinsics=torch.eye(4)[None, None, :3].repeat(1, 3, 1, 1),
    )
    metric = addict.Dict(depth=raw[None].clone(), sky=sky[None])
    nested = da3.NestedDepthAnything3Net
    nested._apply_metric_scaling(None, theirs, metric)
    expected = nested._apply_depth_alignment(None, theirs, metric).scale_factor
    empty = torch.zeros(0)

    factor = metric_factor(
        ViewsOutput(depth, 1 + confidence, empty, empty, empty),
        DepthWithSky(raw / 300, sky),
        np.full(3, 450.0),
    )

    print(f"\nmetric factor: {factor / expected - 1:.1e}")
    assert factor == pytest.approx(expected, rel=1e-4)


def _official(card, folder):
    """The official network of a card, whole, and its file."""
    from da3_reference import Published, fill  # skips where the package is not installed

    da3 = pytest.importorskip("depth_anything_3.model.da3")
    published = fill(Published(card))
    # A field of view of nearly 0 would make the focal length, and so the metres, a matter of luck.
    torch.nn.init.ones_(getattr(published.model, "da3", published.model).cam_dec.fc_fov[0].bias)
    save_model(published, folder / "model.safetensors")
    network = published.model
    if card.option("network") == "nested":
        network.__class__ = da3.NestedDepthAnything3Net  # with the parts of one, but not its init
    return network.eval()


@torch.inference_mode()
def _forward(network, card, pictures, cameras=None, poses=None):
    """Depth and confidence (n, h, w), T_world_camera and K of the official forward."""
    images = torch.cat([prepare(rgb, card, SIZE[0], torch.device("cpu")) for rgb in pictures])
    conditions = {}
    if poses is not None:
        K = torch.tensor([camera.K for camera in cameras]).view(1, -1, 3, 3)
        extrinsics = torch.from_numpy(extrinsics_as_trained(poses)).float()[None]
        conditions = {"extrinsics": extrinsics, "intrinsics": K.float()}
    answer = network(images[None], **conditions)
    whole = torch.eye(4, dtype=torch.float64).repeat(len(pictures), 1, 1)
    whole[:, :3] = answer.extrinsics[0]
    K = answer.intrinsics[0].double().numpy()
    K[:, :2, 2] -= 0.5
    maps = answer.depth[0].numpy(), answer.depth_conf[0].numpy()
    return *maps, inverse(whole.numpy()), K


@pytest.mark.parametrize("name", ["test_da3_any", "test_da3_nested"])
@pytest.mark.parametrize(("count", "posed"), [(1, False), (3, False), (3, True)])
def test_views_are_the_reference_s(name, count, posed, rig, tmp_path):
    """From pictures to depth and poses, with all that comes after the network."""
    card = find_card(name)
    official = _official(card, tmp_path)
    estimator = DepthEstimator(card, str(tmp_path), "cpu", "fp32", SIZE[0])
    cameras, poses = (rig.cameras, rig.poses) if posed else (None, None)
    depth, confidence, T, K = _forward(official, card, pictures(count), cameras, poses)

    found = estimator.infer_views(pictures(count), cameras, poses)

    if posed:  # of api.py, _align_to_input_extrinsics_intrinsics
        depth = depth / similarity(poses[:, :3, 3], T[:, :3, 3]).scale
        expected = rig.poses
    else:
        expected = inverse(T[0]) @ T
    values = np.stack([getattr(v.depth, "depth_m", getattr(v.depth, "depth", None)) for v in found])
    seen = np.isfinite(values)  # where we answer +Inf in the sky, it answers the farthest depth
    depth_error = np.abs(values - depth)[seen].max() / np.ptp(depth[seen])
    confidence_error = np.abs(np.stack([v.confidence for v in found]) - confidence).max()
    unit = max(1.0, np.abs(expected[:, :3, 3]).max())
    pose_error = np.abs(np.stack([v.T_world_camera for v in found]) - expected).max() / unit
    print(
        f"\n{name}, {count} pictures{', with poses' * posed}: depth {depth_error:.1e}, "
        f"confidence {confidence_error / np.ptp(confidence):.1e}, pose {pose_error:.1e}"
    )
    assert seen.mean() > 0.2 and (seen.all() or name.endswith("nested"))
    assert max(depth_error, confidence_error / np.ptp(confidence)) < 1e-4
    assert pose_error < 1e-3
    if not posed:
        np.testing.assert_allclose([v.depth.camera.K for v in found], K.reshape(-1, 9), rtol=1e-3)
