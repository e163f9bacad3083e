from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.training.augment import (
    RENDERED,
    STRONG,
    AugmentOptions,
    augment,
    crop_and_resize,
    cutmix,
    flipped,
    random_window,
    resize_label,
)
from depth_anything_ros.training.batches import collate
from depth_anything_ros.training.samples import Sample

PLAIN = AugmentOptions(flip=0, jitter=0, grayscale=0, blur=0)


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([(224, 168), (154, 210), (280, 210)]))
@settings(max_examples=30)
def test_a_plane_stays_a_plane_through_crop_and_zoom(plane, seed, size):
    rng = np.random.default_rng(seed)
    window = random_window(308, 210, size[0] / size[1], rng, 0.35)
    seen = crop_and_resize(plane.sample(), window, *size)
    camera = plane.camera.cropped(*window).scaled(*size)
    assert seen.depth_m.shape == seen.rgb.shape[:2] == size[::-1]
    assert seen.focal_px == pytest.approx((camera.K[0] + camera.K[4]) / 2)
    assert camera.K[0] == pytest.approx(camera.K[4], rel=0.01)  # the zoom does not stretch
    # The nearest pixel is at most half a pixel off: as far as depth changes over one.
    exact = plane.depth(camera)
    step = np.max(np.abs(np.diff(np.pad(exact, 1, mode="edge"), axis=0)), initial=0)
    step += np.max(np.abs(np.diff(exact, axis=1)))
    assert np.median(plane.residual(seen.depth_m, camera)) < 0.012
    assert np.abs(seen.depth_m - exact).max() <= step * max(window[3] / size[1], 1)


def test_labels_take_the_pixel_under_each_centre_without_a_shift(plane):
    sample = plane.sample()
    half = crop_and_resize(sample, (0, 0, 308, 210), 154, 105)
    camera = plane.camera.scaled(154, 105)
    assert half.focal_px == pytest.approx(camera.K[0])
    thirds = crop_and_resize(sample, (1, 0, 306, 210), 102, 70)
    np.testing.assert_array_equal(thirds.depth_m, sample.depth_m[1::3, 2:307:3])
    np.testing.assert_array_equal(thirds.disparity, sample.disparity[1::3, 2:307:3])
    double = resize_label(sample.depth_m, 616, 420)
    np.testing.assert_array_equal(double[1::2, ::2], sample.depth_m)


def test_no_value_is_invented_at_an_edge():
    step = np.where(np.arange(100) < 37, 1.0, np.inf).astype(np.float32)[None].repeat(80, 0)
    step[:, 50] = np.nan
    for size in ((41, 33), (230, 190)):
        made = resize_label(step, *size)
        assert set(np.unique(made[~np.isnan(made)])) == {1.0, np.inf}


def test_a_sparse_label_keeps_its_points_and_the_nearest_of_those_that_meet():
    sparse = np.full((120, 160), np.nan, np.float32)
    sparse[::10, ::10] = 5.0
    sparse[31, 41] = 3.0
    small = resize_label(sparse, 40, 30)
    assert np.count_nonzero(~np.isnan(small)) == 12 * 16
    assert small[7, 10] == 3.0 and np.count_nonzero(small == 5.0) == 12 * 16 - 1


def test_canonical_depth_is_that_of_the_wider_or_narrower_lens(plane):
    """A zoom by s looks as if the plane were s times nearer: depth × 300 / focal says so."""
    near = crop_and_resize(plane.sample(), (77, 52, 154, 105), 308, 210)
    assert near.focal_px == pytest.approx(2 * plane.camera.K[0], rel=0.01)
    canonical = near.depth_m * 300 / near.focal_px
    whole = plane.sample()
    expected = (whole.depth_m * 300 / whole.focal_px)[52:157, 77:231] / 2
    np.testing.assert_allclose(canonical[::2, ::2], expected, rtol=1e-5)


def test_flip_mirrors_all(plane):
    sample = plane.sample()
    mirrored = flipped(sample)
    np.testing.assert_array_equal(mirrored.rgb, sample.rgb[:, ::-1])
    np.testing.assert_array_equal(mirrored.depth_m, sample.depth_m[:, ::-1])
    np.testing.assert_array_equal(mirrored.disparity, sample.disparity[:, ::-1])
    options = replace(PLAIN, flip=1.0, min_area=1.0)
    made = augment(sample, 308, 210, np.random.default_rng(0), options)
    np.testing.assert_array_equal(made.rgb, mirrored.rgb)
    assert made.focal_px == sample.focal_px


def test_the_crop_keeps_to_its_area_and_its_picture():
    rng = np.random.default_rng(3)
    areas = []
    for _ in range(400):
        x, y, w, h = random_window(308, 210, 4 / 3, rng, 0.35)
        assert 0 <= x <= 308 - w and 0 <= y <= 210 - h
        assert w / h == pytest.approx(4 / 3, rel=0.01)
        areas.append(w * h / (280 * 210))
    assert 0.34 < min(areas) < 0.4 and 0.95 < max(areas) <= 1
    assert random_window(7, 5, 40.0, rng, 0.35)[3] == 1


def test_a_tall_picture_for_a_wide_batch(plane):
    sample = Sample(np.zeros((500, 100, 3), np.uint8))
    made = augment(sample, 224, 168, np.random.default_rng(0), STRONG)
    assert made.rgb.shape == (168, 224, 3) and made.depth_m is None


@pytest.mark.parametrize("options", [AugmentOptions(), STRONG, RENDERED])
def test_colours_change_and_depth_does_not(plane, options):
    sample = plane.sample()
    still = replace(options, flip=0.0, min_area=1.0)
    changed = 0
    for seed in range(40):
        made = augment(sample, 308, 210, np.random.default_rng(seed), still)
        np.testing.assert_array_equal(made.depth_m, sample.depth_m)
        changed += not np.array_equal(made.rgb, sample.rgb)
    assert changed > 25


def test_gray_has_no_colour_and_keeps_luma():
    rgb = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    gray = replace(PLAIN, grayscale=1.0, min_area=1.0)
    made = augment(Sample(rgb), 40, 30, np.random.default_rng(0), gray).rgb
    assert np.ptp(made.astype(int), axis=-1).max() <= 1
    luma = rgb @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(made[..., 0], luma, atol=1.5)


def test_strong_changes_are_stronger(plane):
    sample = plane.sample()

    def change(options):
        still = replace(options, flip=0.0, min_area=1.0)
        made = [augment(sample, 308, 210, np.random.default_rng(s), still).rgb for s in range(30)]
        return np.mean([np.abs(m.astype(int) - sample.rgb).mean() for m in made])

    assert change(STRONG) > 1.5 * change(AugmentOptions())


def test_noise_is_normal_and_of_all_strengths_up_to_its_own():
    noisy = replace(PLAIN, min_area=1.0, noise=0.1)
    gray = Sample(np.full((60, 80, 3), 128, np.uint8))
    deviations = []
    for seed in range(60):
        made = augment(gray, 80, 60, np.random.default_rng(seed), noisy).rgb.astype(float)
        assert abs(made.mean() - 128) < 1.5
        deviations.append(made.std() / 255)
    assert min(deviations) < 0.01 and 0.08 < max(deviations) < 0.102


def test_compression_leaves_blocks_of_8_pixels():
    packed = replace(PLAIN, min_area=1.0, jpeg=1.0)
    noise = Sample(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    made = augment(noise, 64, 64, np.random.default_rng(0), packed).rgb.astype(int)
    assert made.shape == (64, 64, 3) and 2 < np.abs(made - noise.rgb).mean() < 80
    gray = Sample(np.repeat(noise.rgb[..., :1], 3, axis=-1))  # and red stays red: RGB, not BGR
    made = augment(gray, 64, 64, np.random.default_rng(0), packed).rgb
    red = Sample(np.full((64, 64, 3), (200, 30, 10), np.uint8))
    found = augment(red, 64, 64, np.random.default_rng(0), packed).rgb
    assert np.ptp(made, axis=-1).max() <= 2 and np.abs(found.astype(int) - (200, 30, 10)).max() < 12


def relative_batch(count=6, metric=()):
    samples = []
    for i in range(count):
        rgb = np.full((20, 30, 3), i * 10, np.uint8)
        label = np.full((20, 30), i, np.float32)
        samples.append(Sample(rgb, label if i in metric else None, label, 100.0))
    return collate(samples)


def test_cutmix_pastes_picture_and_disparity_together():
    batch = relative_batch()
    mixed = cutmix(batch, np.random.default_rng(1), 1.0)
    of_picture = (mixed.image[:, 0] * 255 / 10).round()
    assert torch.equal(of_picture, mixed.disparity)
    own = torch.arange(6.0)[:, None, None].expand_as(mixed.disparity)
    assert torch.equal(mixed.region, mixed.disparity != own)
    share = mixed.region.flatten(1).float().mean(1)
    assert (share > 0.02).all() and (share < 0.6).all()
    assert mixed.focal_px.isnan().all() and not batch.region.any()


def test_cutmix_leaves_metric_pictures_alone():
    batch = relative_batch(metric=(0, 1, 2))
    mixed = cutmix(batch, np.random.default_rng(1), 1.0)
    assert not mixed.region[:3].any() and mixed.region[3:].flatten(1).any(1).all()
    assert (mixed.disparity[3:] >= 3).all()
    assert torch.equal(mixed.focal_px[:3], batch.focal_px[:3])
    alone = relative_batch(2, metric=(1,))
    assert cutmix(alone, np.random.default_rng(1), 1.0) is alone


def test_cutmix_on_half_of_the_pictures():
    batch, rng = relative_batch(), np.random.default_rng(5)
    shares = [cutmix(batch, rng).region.flatten(1).any(1).float().mean() for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
