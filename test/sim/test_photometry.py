import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.sim.photometry import (
    Photometry,
    develop,
    encode_srgb,
    exposure_gain,
    luminance,
    motion_kernel,
    sample_photometry,
)


def flat(value, height=40, width=60):
    return torch.full((height, width, 3), float(value))


def textured(height=170, width=225):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [0.5 + 0.5 * torch.sin(x / (5.0 + k)) * torch.cos(y / (7.0 - k)) for k in range(3)]
    return torch.stack(waves, -1) ** 2


def impulse(size=31):
    light = torch.zeros(size, size, 3)
    light[size // 2, size // 2] = 1.0
    return light


def linear(picture):
    return picture.float().div(255).pow(2.0)


def lens(**parts):
    """A picture of gamma 2, which ``linear`` undoes."""
    return Photometry(gamma=2.0, **parts)


def test_by_default_light_is_encoded_by_the_curve_of_srgb():
    # IEC 61966-2-1: the known pairs of 8-bit values and linear light.
    light = torch.tensor([0.0, 1 / 255 / 12.92, 0.0031308, 0.2158605, 0.5, 1.0, 3.0])
    picture = develop(light[None, :, None].expand(1, 7, 3), Photometry(), seed=0)
    assert picture.dtype == torch.uint8 and picture.shape == (1, 7, 3)
    assert picture[0, :, 0].tolist() == [0, 1, 10, 128, 188, 255, 255]
    # Each of the 256 values comes back from its own light.
    encoded = torch.arange(256, dtype=torch.float64) / 255
    decoded = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055).pow(2.4))
    back = develop(decoded.float()[None, :, None].expand(1, 256, 3), Photometry(), seed=0)
    assert back[0, :, 1].tolist() == list(range(256))
    torch.testing.assert_close(encode_srgb(decoded), encoded, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "light",
    [torch.zeros(2, 5, 5, 3), torch.zeros(3, 5, 5), torch.zeros(5, 5, 3, dtype=torch.uint8)],
)
def test_light_of_another_shape_or_type_is_refused(light):
    with pytest.raises(ImageError, match=r"expected floats of shape \(height, width, 3\)"):
        develop(light, Photometry(), seed=0)


def test_vignetting_is_symmetric_and_takes_its_share_in_the_corners():
    picture = develop(flat(1.0, 41, 61), lens(vignetting=0.5), seed=0)
    for axis in (0, 1):
        assert torch.equal(picture, picture.flip(axis))
    assert picture[20, 30].tolist() == [255] * 3
    assert linear(picture[0, 0, 0]) == pytest.approx(0.5, abs=0.005)
    # The middle of the upper border is 20 px from the centre, a corner sqrt(20² + 30²).
    assert linear(picture[0, 30, 0]) == pytest.approx(1 - 0.5 * 400 / 1300, abs=0.005)


def test_blur_keeps_light_and_has_its_deviation():
    spot = linear(develop(impulse() * 3.0, lens(blur_px=1.2), seed=0))[..., 0] / 3.0
    assert spot.sum() == pytest.approx(1.0, abs=0.02)
    x = torch.arange(31) - 15.0
    assert ((spot.sum(0) * x**2).sum() / spot.sum()).sqrt() == pytest.approx(1.2, abs=0.06)
    assert torch.equal(spot, spot.T) and torch.equal(spot, spot.flip(0))
    level = develop(flat(0.25), lens(blur_px=1.2, motion_px=6.0, motion_rad=0.4), seed=0)
    assert level.unique().tolist() == [128]


@given(st.floats(1.0, 7.0), st.floats(-4.0, 4.0))
def test_a_motion_kernel_sums_to_one_about_the_middle_and_along_its_line(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert kernel.min() >= 0
    torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-5)
    reach = kernel.shape[0] // 2
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0)] * 2, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    # Bilinear shares reach one pixel from the line; a uniform streak of L - 1 has (L - 1)² / 12.
    assert (kernel * across**2).sum() < 0.5
    assert (kernel * along**2).sum() == pytest.approx((length - 1) ** 2 / 12, abs=0.8)


def test_motion_to_the_right_streaks_to_the_right_and_none_is_none():
    torch.testing.assert_close(motion_kernel(1.0, 0.3), torch.ones(1, 1))
    streak = linear(develop(impulse() * 4.0, lens(motion_px=5.0), seed=0))[..., 0]
    lit = streak > 0.05
    assert lit[15, 13:18].all() and lit.sum() == 5
    down = linear(develop(impulse() * 4.0, lens(motion_px=5.0, motion_rad=math.pi / 2), seed=0))
    torch.testing.assert_close(down[..., 0], streak.T, rtol=0, atol=0.01)


@pytest.mark.parametrize("brightness", [0.01, 1.0, 50.0])
def test_exposure_brings_what_it_meters_to_its_key(brightness):
    planes = (textured() * brightness).permute(2, 0, 1)
    sampled = luminance(planes[:, ::2, ::2])
    percentile = Photometry(key=0.6, percentile=90.0)
    exposed = sampled * exposure_gain(planes, percentile)
    assert exposed.flatten().quantile(0.9) == pytest.approx(0.6, rel=0.01)
    even = torch.full((3, 8, 8), brightness)
    exposed = even[0, 0, 0] * exposure_gain(even, Photometry(key=0.18))
    assert exposed == pytest.approx(0.18, rel=1e-5)
    # A stop is a factor of 2, and a geometric mean is half way between 1 and 4 at 2.
    assert exposure_gain(even, Photometry(stops=1.0)) == 2.0
    even[:, :, ::4] *= 4.0
    assert exposure_gain(even, Photometry(key=0.18, stops=-1.0)) == pytest.approx(
        0.18 / (2 * brightness) / 2, rel=1e-5
    )


def test_darkness_stays_dark_and_overexposure_clips():
    camera = Photometry(key=0.18)
    assert develop(flat(0.0), camera, seed=0).max() == 0
    assert develop(textured(), Photometry(stops=9.0), seed=0).float().mean() > 250


def test_a_colour_cast_multiplies_light():
    camera = Photometry(gains=(2.0, 1.0, 0.25), gamma=2.0)
    assert develop(flat(0.25), camera, seed=0)[0, 0].tolist() == [180, 128, 64]


@pytest.mark.parametrize("level", [0.2, 0.6])
def test_noise_has_the_deviation_of_shot_and_read(level):
    camera = Photometry(shot=0.002, read=0.01, gamma=1.0)
    picture = develop(flat(level, 200, 200), camera, seed=7).float() / 255
    expected = math.sqrt(0.002 * level + 0.01**2 + 1 / 255**2 / 12)
    assert picture.std() == pytest.approx(expected, rel=0.02)
    assert picture.mean() == pytest.approx(level, abs=1e-3)
    # Neither colours nor neighbours share their noise.
    assert abs(torch.corrcoef(picture.reshape(-1, 3).T)[0, 1]) < 0.02


def test_the_seed_decides_the_picture_and_the_global_generator_is_left_alone():
    camera = Photometry(shot=0.004, read=0.01)
    light = textured()
    untouched = light.clone()
    state = torch.get_rng_state()
    first = develop(light, camera, seed=1)
    torch.rand(3)
    assert torch.equal(first, develop(light, camera, seed=1))
    assert not torch.equal(first, develop(light, camera, seed=2))
    assert torch.equal(light, untouched)
    torch.set_rng_state(state)
    develop(light, camera, seed=3)
    assert torch.equal(state, torch.get_rng_state())


def test_tone_contrast_and_saturation():
    light = torch.tensor([0.25, 0.04, 0.64]).expand(4, 4, 3)
    # Gamma 2: 0.5, 0.2, 0.8 encoded.
    plain = develop(light, Photometry(gamma=2.0), seed=0)
    assert plain[0, 0].tolist() == [128, 51, 204]
    contrast = develop(light, Photometry(gamma=2.0, contrast=1.5), seed=0)
    assert contrast[0, 0].tolist() == [128, 13, 242]
    grey = develop(light, Photometry(gamma=2.0, saturation=0.0), seed=0)
    luma = round(255 * (0.2126 * 0.5 + 0.7152 * 0.2 + 0.0722 * 0.8))
    assert grey[0, 0].tolist() == [luma] * 3
    half = develop(light, Photometry(gamma=2.0, saturation=0.5), seed=0)
    assert half[0, 0].tolist() == pytest.approx([(c + luma) / 2 for c in (128, 51, 204)], abs=1)


def test_jpeg_changes_little_and_less_at_higher_quality():
    light = textured()
    clean = develop(light, Photometry(), seed=0).float()
    errors = []
    for quality in (40, 95):
        camera = Photometry(jpeg_quality=quality)
        packed = develop(light, camera, seed=0)
        assert packed.shape == clean.shape and packed.dtype == torch.uint8
        errors.append((packed.float() - clean).square().mean())
    psnr = [10 * math.log10(255**2 / float(error)) for error in errors]
    assert 20 < psnr[0] < psnr[1] < 60
    # Red stays red: the code's order of channels is undone.
    red = develop(
        torch.tensor((1.0, 0.0, 0.0)).expand(32, 32, 3),
        Photometry(jpeg_quality=90),
        seed=0,
    )
    assert red[16, 16].tolist() == pytest.approx([255, 0, 0], abs=4)


def test_sampled_cameras_keep_their_ranges_and_rates():
    rng = np.random.default_rng(0)
    cameras = [sample_photometry(rng) for _ in range(2000)]

    def rate(condition):
        return sum(map(condition, cameras)) / len(cameras)

    assert all(0 <= c.blur_px <= 1.2 and 0 <= c.motion_px <= 7 for c in cameras)
    assert all(0 <= c.vignetting <= 0.5 and -1 <= c.stops <= 2.7 for c in cameras)
    assert all(c.gamma is None or 1.8 <= c.gamma <= 2.6 for c in cameras)
    assert all(c.jpeg_quality in {None, *range(40, 96)} for c in cameras)
    assert rate(lambda c: 0.3 <= c.blur_px <= 0.7) > 0.75
    assert rate(lambda c: c.motion_px > 0) == pytest.approx(0.2, abs=0.04)
    assert rate(lambda c: c.jpeg_quality is not None) == pytest.approx(0.5, abs=0.05)
    assert rate(lambda c: c.saturation == 0) == pytest.approx(0.05, abs=0.02)
    assert rate(lambda c: c.stops > 1) > 0.01
    again = np.random.default_rng(0)
    assert [sample_photometry(again) for _ in range(5)] == cameras[:5]


@given(st.integers(0, 2**32 - 1))
def test_any_sampled_camera_delivers_a_picture(seed):
    camera = sample_photometry(np.random.default_rng(seed))
    picture = develop(textured(24, 33), camera, seed)
    assert picture.shape == (24, 33, 3) and picture.dtype == torch.uint8
    assert 10 < picture.float().mean() < 250
    assert torch.equal(picture, develop(textured(24, 33), camera, seed))
