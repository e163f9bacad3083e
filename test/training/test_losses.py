import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.training import losses

# Each map loss as f(prediction, target, mask), for what must hold of all of them.
AFFINE_INVARIANT = {
    "ssimse": lambda p, t, m: losses.scale_and_shift_invariant_loss(p, t, m, "least_squares"),
    "ssimae": lambda p, t, m: losses.scale_and_shift_invariant_loss(p, t, m, trim=0.0),
    "ssitrim": losses.scale_and_shift_invariant_loss,
    "gradient": losses.gradient_matching_loss,
    "gradient_ls": lambda p, t, m: losses.gradient_matching_loss(
        p, t, m, alignment="least_squares"
    ),
    "affine": losses.affine_invariant_loss,
    "affine_pseudo": lambda p, t, m: losses.affine_invariant_loss(p, t, m, trim=0.0, discard=0.1),
}
METRIC = {
    "silog": losses.scale_invariant_log_loss,
    "log_gradient": losses.log_gradient_loss,
    "log_l1": losses.log_l1_loss,
}
MAP_LOSSES = AFFINE_INVARIANT | METRIC
NORMALISE_TARGET = sorted(
    set(AFFINE_INVARIANT) - {"ssimse", "gradient_ls"}  # these are in units of the target
)


def row(*values):
    return torch.tensor([[values]], dtype=torch.float64)


def full(values):
    return torch.ones(values.shape, dtype=torch.bool)


def random_maps(seed, shape=(2, 9, 11)):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    target = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    return prediction, target, torch.rand(shape, generator=generator) < 0.7


# Alignment


def test_least_squares_agrees_with_numpy_for_each_picture():
    prediction, target, mask = random_maps(0)
    scale, shift = losses.align_least_squares(prediction, target, mask)
    for b in range(2):
        x, y = prediction[b][mask[b]].numpy(), target[b][mask[b]].numpy()
        expected = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
        np.testing.assert_allclose([scale[b], shift[b]], expected, rtol=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.52])  # even and odd numbers of known pixels
def test_median_and_deviation_agree_with_numpy(share):
    values, _, _ = random_maps(1, (3, 5, 5))
    mask = torch.rand(values.shape, generator=torch.Generator().manual_seed(2)) >= share
    normalised = losses.align_median_mad(values, mask)
    for b in range(3):
        known = values[b][mask[b]].numpy()
        median = np.median(known)
        expected = (known - median) / np.mean(np.abs(known - median))
        np.testing.assert_allclose(normalised[b][mask[b]], expected, rtol=1e-12)
    assert (normalised[~mask] == 0).all()


def test_the_median_of_even_and_odd_rows_by_hand():
    even = losses.align_median_mad(row(1, 2, 4, 9), full(row(1, 2, 4, 9)))
    torch.testing.assert_close(even, (row(1, 2, 4, 9) - 3) / 2.5)
    odd = losses.align_median_mad(row(1, 2, 9), full(row(1, 2, 9)))
    torch.testing.assert_close(odd, (row(1, 2, 9) - 2) / (8 / 3))


def test_a_constant_prediction_aligns_to_the_mean_of_the_target():
    target = row(1, 2, 6)
    scale, shift = losses.align_least_squares(torch.full_like(target, 7.3), target, full(target))
    assert scale.item() == 0
    assert shift.item() == pytest.approx(3)


# Scale- and shift-invariant losses


def test_ssimse_is_half_the_mean_square_of_the_fit():
    # The fit to (0, 1, 2) of (0, 3, 0) is the line 1: residuals 1, −2, 1.
    prediction, target = row(0, 1, 2), row(0, 3, 0)
    loss = losses.scale_and_shift_invariant_loss(
        prediction, target, full(target), alignment="least_squares"
    )
    assert loss.item() == pytest.approx((1 + 4 + 1) / (2 * 3))


# Medians 2 and 2, mean deviations 6/5 and 8/5.
PREDICTION = (0.0, 1.0, 2.0, 3.0, 4.0)
TARGET = (0.0, 1.0, 2.0, 3.0, 6.0)
RESIDUALS = (
    abs(-2 / 1.2 + 2 / 1.6),
    abs(-1 / 1.2 + 1 / 1.6),
    0,
    1 / 1.2 - 1 / 1.6,
    4 / 1.6 - 2 / 1.2,
)


def test_ssimae_is_half_the_mean_difference_of_normalised_maps():
    target = row(*TARGET)
    loss = losses.scale_and_shift_invariant_loss(row(*PREDICTION), target, full(target), trim=0)
    assert loss.item() == pytest.approx(sum(RESIDUALS) / (2 * 5))


def test_ssitrim_drops_the_largest_fifth_and_still_divides_by_all():
    target = row(*TARGET)
    loss = losses.scale_and_shift_invariant_loss(row(*PREDICTION), target, full(target))
    assert loss.item() == pytest.approx(sum(sorted(RESIDUALS)[:4]) / (2 * 5))


def test_discarded_pixels_count_as_unknown():
    target = row(*TARGET)
    loss = losses.scale_and_shift_invariant_loss(
        row(*PREDICTION), target, full(target), trim=0, discard=0.2
    )
    assert loss.item() == pytest.approx(sum(sorted(RESIDUALS)[:4]) / (2 * 4))


def test_the_trimmed_loss_does_not_see_how_far_outliers_are():
    # Two outliers above the median move apart: median and deviation stay, so nothing may change.
    target = torch.arange(10, dtype=torch.float64).reshape(1, 1, 10)
    near, far = target.clone(), target.clone()
    near[0, 0, 8:] = torch.tensor([500, 500])
    far[0, 0, 8:] = torch.tensor([400, 600])
    mask = full(target)
    trimmed = losses.scale_and_shift_invariant_loss(near, target, mask)
    assert losses.scale_and_shift_invariant_loss(far, target, mask).item() == trimmed.item()
    # The 8 that stay are 17 in all from the median 4.5; deviations (17 + 991) / 10 and 25 / 10.
    kept = 17 * (1 / 2.5 - 1 / 100.8)
    assert trimmed.item() == pytest.approx(kept / 20)


def test_pictures_count_alike_whatever_their_known_pixels():
    prediction, target, mask = random_maps(4)
    mask[0, 4:] = False
    together = losses.scale_and_shift_invariant_loss(prediction, target, mask)
    alone = [
        losses.scale_and_shift_invariant_loss(
            prediction[b : b + 1], target[b : b + 1], mask[b : b + 1]
        )
        for b in range(2)
    ]
    assert together.item() == pytest.approx((alone[0].item() + alone[1].item()) / 2)


@pytest.mark.parametrize("name", AFFINE_INVARIANT)
@settings(max_examples=25)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_scale_and_shift_of_the_prediction_do_not_matter(name, scale, shift, seed):
    prediction, target, mask = random_maps(seed)
    expected = AFFINE_INVARIANT[name](prediction, target, mask).item()
    moved = AFFINE_INVARIANT[name](scale * prediction + shift, target, mask).item()
    assert moved == pytest.approx(expected, rel=1e-6)
    assert expected > 0.01


@pytest.mark.parametrize("name", NORMALISE_TARGET)
@settings(max_examples=25)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_scale_and_shift_of_the_target_do_not_matter_to_the_median(name, scale, shift, seed):
    prediction, target, mask = random_maps(seed)
    expected = AFFINE_INVARIANT[name](prediction, target, mask).item()
    moved = AFFINE_INVARIANT[name](prediction, scale * target + shift, mask).item()
    assert moved == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", AFFINE_INVARIANT)
def test_an_affine_copy_costs_nothing_but_a_mirrored_one_does(name):
    _, target, mask = random_maps(5)
    assert AFFINE_INVARIANT[name](3 * target - 1, target, mask).item() == pytest.approx(0, abs=1e-9)
    if name not in ("ssimse", "gradient_ls"):  # a line may have any slope
        assert AFFINE_INVARIANT[name](-target, target, mask).item() > 0.1


# Discarding


def test_the_largest_share_of_each_picture_is_discarded():
    loss_map = torch.stack([torch.arange(20.0), 100 - torch.arange(20.0)]).reshape(2, 4, 5)
    mask = full(loss_map)
    mask[0, 3, 4] = False  # 19 known: ⌊0.9 · 19⌋ = 17 stay, without 18 and 17
    kept = losses.discard_largest(loss_map, mask)
    assert kept[0].flatten().tolist() == [True] * 17 + [False] * 3
    assert kept[1].flatten().tolist() == [False] * 2 + [True] * 18


@given(st.integers(1, 60), st.integers(0, 9))
def test_the_number_that_stays_is_exact_also_with_ties(count, tenths):
    mask = full(torch.zeros(1, 1, count))
    kept = losses.discard_largest(torch.zeros(1, 1, count), mask, tenths / 10)
    assert kept.sum().item() == count * (10 - tenths) // 10


# Gradient matching


def test_a_step_has_its_known_value():
    # 8 × 8, R = 3 in the right half. Level k has n = 8, 4, 2, 1 pixels a side and n steps of 3
    # (none at n = 1) over n² pixels: 3/8 + 3/4 + 3/2 + 0.
    target_m = torch.ones(1, 8, 8, dtype=torch.float64)
    prediction_m = target_m.clone()
    prediction_m[..., 4:] = math.exp(3)
    mask = full(target_m)
    loss = losses.log_gradient_loss(prediction_m, target_m, mask)
    assert loss.item() == pytest.approx(3 / 8 + 3 / 4 + 3 / 2)
    assert losses.log_gradient_loss(prediction_m, target_m, mask, scales=1).item() == pytest.approx(
        3 / 8
    )


def test_gradient_matching_by_hand():
    # Normalised: (−1, 0, 2)/1 and (−2, 0, 1)/1, so R = (1, 0, 1) and differences 1 + 1 over 3.
    loss = losses.gradient_matching_loss(row(-1, 0, 2), row(-2, 0, 1), full(row(0, 0, 0)), scales=1)
    assert loss.item() == pytest.approx(2 / 3)


def test_differences_across_unknown_pixels_do_not_count():
    target_m = torch.ones(1, 1, 3)
    prediction_m = torch.tensor([[[1.0, math.nan, 50.0]]])
    mask = torch.tensor([[[True, False, True]]])
    assert losses.log_gradient_loss(prediction_m, target_m, mask, scales=1).item() == 0


def test_the_relative_loss_has_gradients_twice():
    prediction, target, mask = random_maps(6)
    ssi = losses.scale_and_shift_invariant_loss(prediction, target, mask)
    gradient = losses.gradient_matching_loss(prediction, target, mask)
    combined = losses.affine_invariant_loss(prediction, target, mask)
    assert combined.item() == pytest.approx(ssi.item() + 2 * gradient.item())


# Metric losses


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.85, 1.0])
def test_the_scale_invariant_log_loss_is_equation_4(lam):
    prediction_m, target_m, mask = random_maps(7, (1, 6, 6))
    d = np.log(prediction_m[mask].numpy()) - np.log(target_m[mask].numpy())
    expected = math.sqrt((d**2).mean() - lam * d.mean() ** 2)
    loss = losses.scale_invariant_log_loss(prediction_m, target_m, mask, lam)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_common_factor_costs_by_lambda():
    _, target_m, mask = random_maps(8)
    doubled = 2 * target_m
    assert losses.scale_invariant_log_loss(doubled, target_m, mask, 1.0).item() == 0
    loss = losses.scale_invariant_log_loss(doubled, target_m, mask)
    assert loss.item() == pytest.approx(math.sqrt(0.15) * math.log(2))
    assert losses.log_l1_loss(doubled, target_m, mask).item() == pytest.approx(math.log(2))
    assert losses.log_gradient_loss(doubled, target_m, mask).item() == pytest.approx(0, abs=1e-12)


def test_log_l1_is_symmetric_in_factors():
    prediction_m, target_m = row(2, 4, 1), row(1, 8, 1)
    loss = losses.log_l1_loss(prediction_m, target_m, full(target_m))
    assert loss.item() == pytest.approx(2 * math.log(2) / 3)


# Features and sky


def features(*angles_deg):
    angles = torch.deg2rad(torch.tensor([[angles_deg]], dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_features_within_the_margin_are_left_out():
    # cos 20° = 0.94 is within 0.85; 60° and 90° are not.
    student = features(20, 60, 90).requires_grad_()
    teacher = (5 * features(0, 0, 0)).requires_grad_()
    loss = losses.feature_alignment_loss(student, teacher)
    assert loss.item() == pytest.approx((0.5 + 1) / 2)
    loss.backward()
    assert student.grad[0, :, 0, 0].tolist() == [0, 0]
    assert (student.grad[0, :, 0, 1:] != 0).any()
    assert teacher.grad is None


def test_features_all_within_the_margin_cost_nothing():
    student = features(0, 20, 30).requires_grad_()
    loss = losses.feature_alignment_loss(student, features(0, 0, 0))
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()
    loss = losses.feature_alignment_loss(student, features(0, 0, 0), margin=0.9)
    assert loss.item() == pytest.approx(1 - math.cos(math.radians(30)))


def test_features_of_nothing_have_finite_gradients():
    student = torch.zeros(1, 4, 2, 2, requires_grad=True)
    losses.feature_alignment_loss(student, torch.ones(1, 4, 2, 2)).backward()
    assert student.grad.isfinite().all()


def test_the_sky_loss_is_cross_entropy_of_the_known():
    logit = row(0, math.log(3), 100)
    sky = torch.tensor([[[True, False, False]]])
    known = torch.tensor([[[True, True, False]]])
    # σ = 1/2 for sky, 3/4 for what is not.
    expected = (math.log(2) + math.log(4)) / 2
    assert losses.sky_loss(logit, sky, known).item() == pytest.approx(expected)


# What must never happen: NaN


def degenerate_pictures():
    prediction, target, mask = (x.float() if x.is_floating_point() else x for x in random_maps(9))
    one = torch.zeros_like(mask)
    one[:, 3, 4] = True
    nan, inf = torch.full_like(target, math.nan), torch.full_like(target, math.inf)
    constant = torch.full_like(target, 3.3)
    return {
        "no pixel": (prediction, nan, torch.zeros_like(mask)),
        "no pixel in one": (prediction, target, mask & torch.tensor([True, False])[:, None, None]),
        "sky outside": (prediction, torch.where(mask, target, inf), mask),
        "prediction NaN outside": (torch.where(mask, prediction, nan), target, mask),
        "one pixel": (prediction, target, one),
        "one depth": (prediction, constant, mask),
        "constant prediction": (constant, target, mask),
        "zero prediction": (torch.zeros_like(target), target, mask),
        "both constant": (constant, constant, mask),
        "nearly constant": (constant + 1e-6 * prediction, target, mask),
        "exact": (target, target, mask),
        "large": (1e4 * prediction, 1e4 * target, mask),
        "one row": (prediction[:, :1], target[:, :1], mask[:, :1]),
    }


@pytest.mark.parametrize("name", MAP_LOSSES)
@pytest.mark.parametrize("case", degenerate_pictures())
def test_no_loss_or_gradient_is_ever_nan(name, case):
    prediction, target, mask = degenerate_pictures()[case]
    prediction = prediction.clone().requires_grad_()
    loss = MAP_LOSSES[name](prediction, target, mask)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()
    assert not prediction.grad[~mask].any()
    if case == "no pixel" or (case in ("one depth", "one pixel") and name in AFFINE_INVARIANT):
        assert loss.item() == 0
        assert not prediction.grad.any()


def test_a_sky_of_which_nothing_is_known_costs_nothing():
    logit = torch.full((2, 3, 3), math.inf, requires_grad=True)
    nothing = torch.zeros(2, 3, 3, dtype=torch.bool)
    loss = losses.sky_loss(logit, nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert not logit.grad.any()


@pytest.mark.parametrize("name", MAP_LOSSES)
def test_a_picture_without_pixels_does_not_dilute_the_others(name):
    prediction, target, mask = random_maps(10)
    mask[1] = False
    alone = MAP_LOSSES[name](prediction[:1], target[:1], mask[:1])
    assert MAP_LOSSES[name](prediction, target, mask).item() == pytest.approx(alone.item())


@pytest.mark.parametrize("name", MAP_LOSSES)
def test_gradients_agree_with_finite_differences(name):
    prediction, target, mask = random_maps(11, (2, 4, 5))
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: MAP_LOSSES[name](p, target, mask), prediction)


@pytest.mark.parametrize("name", MAP_LOSSES)
def test_half_precision_is_computed_in_single(name):
    prediction, target, mask = random_maps(12)
    prediction = prediction.bfloat16()
    loss = MAP_LOSSES[name](prediction, target.float(), mask)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(MAP_LOSSES[name](prediction.double(), target, mask).item())


# Errors


@pytest.mark.parametrize("name", MAP_LOSSES)
def test_shapes_that_would_broadcast_are_refused(name):
    prediction, target, mask = random_maps(13)
    with pytest.raises(ParameterError, match=r"\(B, H, W\)"):
        MAP_LOSSES[name](prediction[:, None], target, mask)
    with pytest.raises(ParameterError, match="bool"):
        MAP_LOSSES[name](prediction, target, mask.float())


def test_bad_options_are_refused():
    maps = random_maps(14)
    with pytest.raises(ParameterError, match="least_squares"):
        losses.scale_and_shift_invariant_loss(*maps, alignment="mean")
    with pytest.raises(ParameterError, match="share"):
        losses.scale_and_shift_invariant_loss(*maps, trim=1.0)
    with pytest.raises(ParameterError, match="levels"):
        losses.gradient_matching_loss(*maps, scales=0)
    with pytest.raises(ParameterError, match="features"):
        losses.feature_alignment_loss(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 1, 1))
