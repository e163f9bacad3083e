import math

import numpy as np
import pytest
import torch
from refusals import refused
from safetensors.torch import save_file

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, CheckpointError, ModelError
from depth_anything_ros.models import DepthEstimator, find_card
from depth_anything_ros.models.networks.build import (
    empty_network,
    random_network,
    untrained_network,
)
from depth_anything_ros.models.networks.depth_and_sky import evenly_exposed
from depth_anything_ros.models.networks.efficientnet import EfficientNetLite, timm
from depth_anything_ros.models.networks.output import DepthWithSky, beyond_sky

CARD = find_card("tiny")
LOG_DEPTH = 1.5  # exact in float16, as the other constants
DISPARITY = 0.625
IS_SKY, IS_NOT_SKY = 0.0, -1.0  # sigmoids of 0.5 and 0.27


@pytest.fixture(scope="module")
def rgb(real_picture):
    return real_picture[::4, ::4].copy()


def _picture(batch=1, height=64, width=96):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def _camera(width, height, fx, fy):
    return Camera(width, height, (fx, 0, (width - 1) / 2, 0, fy, (height - 1) / 2, 0, 0, 1))


def _constant(path, sky_logit=IS_NOT_SKY, log_depth=LOG_DEPTH):
    """Write weights, as the trainer does, that answer the same for every pixel."""
    state = {name: v.half() for name, v in random_network(CARD).state_dict().items()}
    for name in ("answer.weight", "detail.weight", "detail.bias"):
        state[name] = torch.zeros_like(state[name])
    state["answer.bias"] = torch.tensor([log_depth, sky_logit, DISPARITY]).half()
    save_file(state, path, metadata={"model": "tiny"})
    return str(path)


def _estimator(model, weights, input_size=64):
    return DepthEstimator(model, weights, "cpu", "fp32", input_size)


# The network


@pytest.mark.parametrize("build", [random_network, untrained_network])
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_three_maps_and_a_logit_for_each_pixel(size, build):
    network = build(CARD).eval()

    with torch.inference_mode():
        prediction = network(_picture(2, *size))

    assert prediction.names == ("depth", "sky", "disparity", "sky_logit")
    for values in prediction.parts:
        assert values.shape == (2, *size)
        assert values.dtype == torch.float32
    torch.testing.assert_close(prediction.sky, prediction.sky_logit.sigmoid())


def test_it_is_small_enough_for_the_package():
    parameters = sum(values.numel() for values in empty_network(CARD).parameters())

    assert 4e6 < parameters < 8e6
    assert 2 * parameters < 16e6  # bytes of float16
    assert not list(
        empty_network(CARD).buffers()
    )  # of batch norms, which are parts of convolutions


def test_the_encoder_answers_as_timms_does_with_its_batch_norms():
    """And so does the gradient of its weights, with statistics that are frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = timm.create_model(CARD.timm_id, pretrained=False, features_only=True).eval()
    generator = torch.Generator().manual_seed(0)
    for name, values in theirs.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            values.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            values.uniform_(0.5, 1.5, generator=generator)
    ours = EfficientNetLite(CARD.timm_id)
    ours.load_state_dict(ours.from_timm(theirs.state_dict()))

    expected, found = theirs(_picture(2)), ours(_picture(2))

    assert [maps.shape[1:] for maps in found] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(ours.channels, (2, 4, 8, 16, 32), strict=True)
    ]
    for maps in (found, expected):
        sum(one.square().mean() for one in maps).backward()
    weights = [
        [net.get_submodule(name).weight.grad for name in ("conv_stem", "blocks.6.0.conv_pwl")]
        for net in (ours.lite, theirs)
    ]
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 1e-3 * other.norm()
    for one, other in zip(
        *weights, strict=True
    ):  # ReLU6 has kinks: a value on one falls either way
        assert (one - other).norm() < 0.03 * other.norm()


def test_the_exposure_does_not_matter():
    """Before anything is clipped: half a stop is a factor of 2^(0.5 / 2.2) of coded values."""
    network, light = random_network(CARD).eval(), 0.5 + 0.1 * _picture()
    pictures = torch.cat([2 * light * 2 ** (stops / 2.2) - 1 for stops in (-1, -0.5, 0, 0.5, 1)])

    with torch.inference_mode():
        prediction = network(pictures)

    for values in prediction.parts:
        torch.testing.assert_close(values, values[2:3].expand_as(values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("light", "seen"), [(0.0, 0.0), (0.05, 0.15), (0.15, 0.45), (1.0, 0.45)])
def test_night_stays_dark_and_white_stays_finite(light, seen):
    picture = torch.full((1, 3, 32, 32), 2 * light - 1, dtype=torch.float16)

    evened = evenly_exposed(picture)

    assert evened.dtype == torch.float32
    torch.testing.assert_close(evened, torch.full_like(evened, 2 * seen - 1), rtol=0, atol=2e-3)


def test_detail_differs_between_the_four_pixels_of_a_place_of_the_answer():
    network = random_network(CARD).eval()
    with torch.no_grad():
        network.answer.weight.zero_()
        network.detail.weight.zero_()
        network.detail.bias[:4] = torch.tensor(
            [0.0, 0.1, 0.2, 0.3]
        )  # of depth: a row, then the next
        depth = network(_picture()).depth

    pattern = 6.0 * torch.tensor([[0.0, 0.1], [0.2, 0.3]]).exp()
    torch.testing.assert_close(depth[0], pattern.repeat(32, 48))


def test_an_untrained_network_answers_a_room_without_sky():
    network = untrained_network(CARD).eval()

    with torch.inference_mode():
        prediction = network(_picture(1, 96, 128))

    assert 4 < prediction.depth.min() <= prediction.depth.max() < 8
    assert prediction.sky.max() < 0.1
    assert prediction.disparity.min() > 0.5


def test_random_weights_see_no_sky():
    with torch.inference_mode():
        prediction = random_network(CARD).eval()(_picture())

    assert (prediction.sky < 0.3).all()


def test_untrained_weights_are_the_same_for_a_seed_and_leave_the_global_one_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)

    first, again, other = (untrained_network(CARD, seed).state_dict() for seed in (0, 0, 1))

    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    name = "encoder.lite.blocks.3.1.conv_pw.weight"
    assert not torch.equal(first[name], other[name])


def test_an_untrained_encoder_passes_on_what_it_sees():
    """Without batch norms, torch's own initial values would leave nothing of it after 60 layers."""
    encoder = untrained_network(CARD).encoder.eval()

    with torch.inference_mode():
        maps = encoder(_picture())

    assert all(0.3 < one.std() < 10 for one in maps)


def test_gradients_reach_every_parameter():
    network = untrained_network(CARD).train()

    prediction = network(_picture(2))
    (prediction.depth.log() + prediction.sky_logit + prediction.disparity).mean().backward()

    for name, values in network.named_parameters():
        assert values.grad is not None and values.grad.isfinite().all(), name
        assert values.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("raw", "expected"), [(-50, math.exp(-6)), (50, math.exp(9))])
def test_depth_stays_finite_and_positive_whatever_the_weights(raw, expected):
    network = random_network(CARD).eval()
    with torch.no_grad():
        network.answer.weight.zero_()
        network.detail.weight.zero_()
        network.answer.bias.fill_(raw)
        depth = network(_picture()).depth

    torch.testing.assert_close(depth, torch.full_like(depth, expected))


# From its answer to metres


def _row(depth, sky):
    depth, sky = torch.tensor(depth)[None, None], torch.tensor(sky)[None, None]
    return DepthWithSky(depth, sky)


def test_the_sky_begins_at_exactly_0_3():
    threshold = np.float32(0.3)
    below = float(np.nextafter(threshold, np.float32(0)))

    metres = beyond_sky(_row([4.0, 4.0], [below, float(threshold)]), 0.5, 1, 2)

    assert metres.tolist() == [[[2.0, math.inf]]]


def test_what_the_network_answers_in_the_sky_does_not_bend_the_edge():
    # A roof at 2 m before a sky to which the network gave 1000 m; 13 pixels of a quarter each.
    metres = beyond_sky(_row([2.0, 2.0, 1000.0, 1000.0], [0.0, 0.0, 1.0, 1.0]), 1.0, 1, 13)

    # The sky is 0.25 at position 1.25, and 0.5 at 1.5.
    assert metres[0, 0].tolist() == pytest.approx([2.0] * 6 + [math.inf] * 7, rel=1e-6)


def test_depth_is_resized_bilinearly_where_there_is_no_sky():
    metres = beyond_sky(_row([1.0, 3.0], [0.0, 0.2]), 2.0, 1, 5)

    assert metres[0, 0].tolist() == pytest.approx([2.0, 3.0, 4.0, 5.0, 6.0], rel=1e-6)


@pytest.mark.parametrize("input_size", [64, 128])
@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 240), (161, 97), (90, 120)])
def test_metres_are_the_processed_focal_length_times_depth_over_300(
    width, height, input_size, tmp_path
):
    """The focal lengths scale as the sides do, each by its own factor (DA3, alignment.py)."""
    estimator = _estimator("tiny", _constant(tmp_path / "w.safetensors"), input_size)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    sides = {
        (160, 120): {64: (96, 64), 128: (160, 128)},
        (320, 240): {64: (96, 64), 128: (160, 128)},
        (161, 97): {64: (96, 64), 128: (192, 128)},
        (90, 120): {64: (64, 96), 128: (128, 160)},
    }[width, height][input_size]

    answer = estimator.infer(picture, _camera(width, height, 150.0, 130.0))

    assert isinstance(answer, DepthMap)
    focal = (150.0 * sides[0] / width + 130.0 * sides[1] / height) / 2
    expected = focal * math.exp(LOG_DEPTH) / 300
    np.testing.assert_allclose(answer.depth_m, expected, rtol=1e-6)
    assert answer.depth_m.shape == (height, width)


def test_the_resolution_of_the_same_camera_does_not_matter(rgb, tmp_path):
    estimator = _estimator("tiny", _constant(tmp_path / "w.safetensors"))
    camera = _camera(160, 120, 150.0, 150.0)
    large = np.repeat(np.repeat(rgb, 3, axis=0), 3, axis=1)

    small_m = estimator.infer(rgb, camera).depth_m
    large_m = estimator.infer(large, camera.scaled(480, 360)).depth_m

    np.testing.assert_allclose(large_m, small_m[0, 0], rtol=1e-6)


def test_the_sky_is_beyond_range(rgb, tmp_path):
    estimator = _estimator("tiny", _constant(tmp_path / "w.safetensors", IS_SKY))

    assert np.isposinf(estimator.infer(rgb, _camera(160, 120, 150.0, 150.0)).depth_m).all()


def test_without_a_camera_there_are_no_metres(rgb):
    with refused(CameraError, "uncalibrated", "tiny gives no depth in metres without") as error:
        _estimator("tiny", "random").infer(rgb)
    for remedy in ("calibrate the camera", "camera.fallback_hfov_deg", "tiny_relative"):
        assert remedy in str(error.value)


# Weights


def test_the_twin_gives_disparity_from_the_same_file_and_without_a_camera(rgb, tmp_path):
    weights = _constant(tmp_path / "w.safetensors", IS_SKY)

    answer = _estimator("tiny_relative", weights).infer(rgb)

    assert isinstance(answer, DisparityMap)
    np.testing.assert_allclose(answer.disparity, DISPARITY, rtol=1e-6)


def test_weights_of_tiny_are_no_weights_of_another_model(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(random_network(CARD).state_dict(), path)  # without metadata

    with refused(
        CheckpointError, "other_model", r"is a checkpoint of tiny \(tiny, tiny_relative\)"
    ):
        DepthEstimator("test_metric", str(path), "cpu")


def test_weights_of_another_model_of_that_width_lack_the_sky(tmp_path):
    state = random_network(CARD).state_dict()
    state["decoder.head3.weight"] = state.pop("answer.weight")[:1].clone()
    state["decoder.head3.bias"] = state.pop("answer.bias")[:1].clone()
    save_file(state, tmp_path / "w.safetensors")

    with refused(CheckpointError, "missing_keys", r"lacks 2: answer\."):
        DepthEstimator("tiny", str(tmp_path / "w.safetensors"), "cpu")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_weights_that_are_not_numbers_never_become_depth(part, rgb, tmp_path):
    state = random_network(CARD).state_dict()
    state["answer.bias"][part] = math.nan
    save_file(state, tmp_path / "w.safetensors")
    estimator = _estimator("tiny", str(tmp_path / "w.safetensors"))

    with refused(ModelError, "non_finite", r"tiny answered \d+ of \d+ values as NaN"):
        estimator.infer(rgb, _camera(160, 120, 150.0, 150.0))
