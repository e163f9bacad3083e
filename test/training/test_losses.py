import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.training import losses


def pseudo_label_loss(prediction, target, mask):
    return sum(losses.affine_invariant_terms(prediction, target, mask, discard=0.1))


# Each map loss as f(prediction, target, mask), for what must hold of all of them. L_ssi and L_gm
# share an alignment, and so do the logarithms.
AFFINE_INVARIANT = {
    "ssi": lambda p, t, m: losses.affine_invariant_terms(p, t, m)[0],
    "gradient": lambda p, t, m: losses.affine_invariant_terms(p, t, m)[1],
}
MAP_LOSSES = {
    "pseudo-label": pseudo_label_loss,
    "silog": losses.scale_invariant_log_loss,
    "log_gradient": losses.log_gradient_loss,
    "log_l1": losses.log_l1_loss,
}


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


@pytest.mark.parametrize("share", [0.0, 0.5, 0.52])  # even and odd numbers of known pixels
def test_median_and_deviation_agree_with_numpy(share):
    values, _, _ = random_maps(1, (3, 5, 5))
    mask = torch.rand(values.shape, generator=torch.Generator().manual_seed(2)) >= share
    normalised, spreads = losses.align_median_mad(values, mask)
    for b in range(3):
        known = values[b][mask[b]].numpy()
        median = np.median(known)
        expected = (known - median) / np.mean(np.abs(known - median))
        np.testing.assert_allclose(normalised[b][mask[b]], expected, rtol=1e-12)
    assert (normalised[~mask] == 0).all() and spreads.all()


# Affine-invariant losses


# Medians 2 and 2, mean deviations 6/5 and 8/5.
PREDICTION = (0.0, 1.0, 2.0, 3.0, 4.0)
TARGET = (0.0, 1.0, 2.0, 3.0, 6.0)
RESIDUALS = sorted(
    abs((p - 2) / 1.2 - (t - 2) / 1.6) for p, t in zip(PREDICTION, TARGET, strict=True)
)


@pytest.mark.parametrize(
    ("discard", "expected"),
    [
        (0.0, sum(RESIDUALS[:4]) / (2 * 5)),  # the largest fifth is trimmed, yet all divide
        (0.2, sum(RESIDUALS[:3]) / (2 * 4)),  # what is discarded counts as unknown
    ],
)
def test_ssi_is_half_the_mean_of_the_smallest_differences_of_normalised_maps(discard, expected):
    target = row(*TARGET)
    loss, _ = losses.affine_invariant_terms(row(*PREDICTION), target, full(target), discard)
    assert loss.item() == pytest.approx(expected)


def test_the_trimmed_loss_does_not_see_how_far_outliers_are():
    # Two outliers above the median move apart: median and deviation stay, so nothing may change.
    target = torch.arange(10, dtype=torch.float64).reshape(1, 1, 10)
    near, far = target.clone(), target.clone()
    near[0, 0, 8:] = torch.tensor([500, 500])
    far[0, 0, 8:] = torch.tensor([400, 600])
    mask = full(target)
    trimmed = AFFINE_INVARIANT["ssi"](near, target, mask)
    assert AFFINE_INVARIANT["ssi"](far, target, mask).item() == trimmed.item()
    # The 8 that stay are 17 in all from the median 4.5; deviations (17 + 991) / 10 and 25 / 10.
    kept = 17 * (1 / 2.5 - 1 / 100.8)
    assert trimmed.item() == pytest.approx(kept / 20)


def test_pictures_count_alike_whatever_their_known_pixels():
    prediction, target, mask = random_maps(4)
    mask[0, 4:] = False
    parts = [slice(0, 1), slice(1, 2), slice(0, 2)]
    one, other, both = (
        AFFINE_INVARIANT["ssi"](prediction[b], target[b], mask[b]).item() for b in parts
    )
    assert both == pytest.approx((one + other) / 2)


@pytest.mark.parametrize("name", AFFINE_INVARIANT)
@settings(max_examples=25)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_scale_and_shift_do_not_matter(name, scale, shift, seed):
    prediction, target, mask = random_maps(seed)
    loss = AFFINE_INVARIANT[name]
    expected = loss(prediction, target, mask).item()
    assert expected > 0.01
    for moved in (
        loss(scale * prediction + shift, target, mask),
        loss(prediction, scale * target + shift, mask),
    ):
        assert moved.item() == pytest.approx(expected, rel=1e-6)
    assert loss(3 * target - 1, target, mask).item() == pytest.approx(0, abs=1e-9)
    assert loss(-target, target, mask).item() > 0.1


# Discarding


def test_the_largest_share_of_each_picture_is_discarded():
    loss_map = torch.stack([torch.arange(20.0), 100 - torch.arange(20.0)]).reshape(2, 4, 5)
    mask = full(loss_map)
    mask[0, 3, 4] = False  # 19 known: ⌊0.9 · 19⌋ = 17 stay, without 18 and 17
    kept = losses.discard_largest(loss_map, mask, 0.1)
    assert kept[0].flatten().tolist() == [True] * 17 + [False] * 3
    assert kept[1].flatten().tolist() == [False] * 2 + [True] * 18


@given(st.integers(1, 60), st.integers(0, 9))
def test_the_number_that_stays_is_exact_also_with_ties(count, tenths):
    mask = full(torch.zeros(1, 1, count))
    kept = losses.discard_largest(torch.zeros(1, 1, count), mask, tenths / 10)
    assert kept.sum().item() == count * (10 - tenths) // 10


def test_no_numbers_go_first_and_stay_where_nothing_else_is_left():
    loss_map = torch.tensor([[[math.nan, 1.0, math.inf, 2.0, 3.0]], [[math.nan] * 5]])
    mask = full(loss_map)
    mask[1, 0, 0] = False
    kept = losses.discard_largest(loss_map, mask, 0.4)
    assert kept[0, 0].tolist() == [False, True, False, True, True]
    assert kept[1, 0].tolist() == [False, True, True, False, False]  # ⌊0.6 · 4⌋


# Gradient matching


def test_a_step_has_its_known_value():
    # 8 × 8, R = 3 in the right half. Level k has n = 8, 4, 2, 1 pixels a side and n steps of 3
    # (none at n = 1) over n² pixels: 3/8 + 3/4 + 3/2 + 0.
    target_m = torch.ones(1, 8, 8, dtype=torch.float64)
    prediction_m = target_m.clone()
    prediction_m[..., 4:] = math.exp(3)
    loss = losses.log_gradient_loss(prediction_m, target_m, full(target_m))
    assert loss.item() == pytest.approx(3 / 8 + 3 / 4 + 3 / 2)


def test_gradient_matching_by_hand():
    # Normalised: (−1, 0, 2)/1 and (−2, 0, 1)/1, so R = (1, 0, 1): differences 1 + 1 over 3 pixels,
    # then 0 over the first and the last, and none of a single one.
    _, loss = losses.affine_invariant_terms(row(-1, 0, 2), row(-2, 0, 1), full(row(0, 0, 0)))
    assert loss.item() == pytest.approx(2 / 3)


def test_differences_across_unknown_pixels_do_not_count():
    target_m = torch.ones(1, 1, 4)
    prediction_m = torch.tensor([[[1.0, math.nan, math.nan, 50.0]]])
    mask = torch.tensor([[[True, False, False, True]]])
    assert losses.log_gradient_loss(prediction_m, target_m, mask).item() == 0


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
    assert (student.grad[0, :, 0, 1:] != 0).any() and teacher.grad is None


def test_features_all_within_the_margin_cost_nothing():
    student = features(0, 20, 30).requires_grad_()
    loss = losses.feature_alignment_loss(student, features(0, 0, 0))
    loss.backward()
    assert loss.item() == 0 and not student.grad.any()
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


def test_a_sky_of_which_nothing_is_known_costs_nothing():
    logit = torch.full((2, 3, 3), math.inf, requires_grad=True)
    nothing = torch.zeros(2, 3, 3, dtype=torch.bool)
    loss = losses.sky_loss(logit, nothing, nothing)
    loss.backward()
    assert loss.item() == 0 and not logit.grad.any()


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
    assert loss.isfinite() and prediction.grad.isfinite().all()
    assert not prediction.grad[~mask].any()
    if case == "no pixel" or (case in ("one depth", "one pixel") and name == "pseudo-label"):
        assert loss.item() == 0 and not prediction.grad.any()


@pytest.mark.parametrize("name", MAP_LOSSES)
def test_what_holds_of_all_losses(name):
    loss = MAP_LOSSES[name]
    # A picture without pixels does not dilute the others.
    prediction, target, mask = random_maps(10)
    mask[1] = False
    alone = loss(prediction[:1], target[:1], mask[:1])
    assert loss(prediction, target, mask).item() == pytest.approx(alone.item())
    # Half precision is computed in single.
    half = prediction.bfloat16()
    found = loss(half, target.float(), mask)
    assert found.dtype is torch.float32
    assert found.item() == pytest.approx(loss(half.double(), target, mask).item())
    # Gradients are those of finite differences.
    prediction, target, mask = random_maps(11, (2, 4, 5))
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(p, target, mask), prediction)
    # Shapes that would broadcast are refused.
    with pytest.raises(ParameterError, match=r"\(B, H, W\)"):
        loss(prediction[:, None], target, mask)
    with pytest.raises(ParameterError, match="bool"):
        loss(prediction, target, mask.float())


def test_features_of_two_shapes_are_refused():
    with pytest.raises(ParameterError, match="features"):
        losses.feature_alignment_loss(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 1, 1))
