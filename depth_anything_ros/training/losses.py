"""The losses of the MiDaS and Depth Anything papers, as pure torch functions.

Maps are (B, H, W), masks are bool (B, H, W) and true where the target is known; what lies outside
a mask may be NaN or infinite. Half precision is computed in float32. Each picture is averaged over
its own pixels, then the pictures that have any are averaged; a batch without one costs 0, and its
gradient is 0, never NaN. No function waits for the GPU.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import ParameterError

Alignment = Literal["least_squares", "median"]

# Trimmed share of the paper's two robust choices: ssimse has none, ssitrim 20 % (MiDaS eq. 7).
PAPER_TRIM: dict[str, float] = {"least_squares": 0.0, "median": 0.2}
# Below these shares of its own size a spread is float32 rounding: the map is one constant.
RELATIVE_SPREAD = 1e-6
ABSOLUTE_SPREAD = 1e-8
# Shorter depths, in metres, are taken as this: a logarithm needs a positive number.
NEAREST_M = 1e-4
# Below this, the scale-invariant error counts as 0: sqrt has no finite slope there.
SMALLEST_SQUARE = 1e-12


def align_least_squares(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Fit (s, t) = argmin Σ (s · prediction + t − target)², one pair a picture.

    MiDaS, arXiv 1907.01341, eq. 2–4 in centred form: s = cov(d, d*) / var(d). Where the prediction
    is constant or no pixel is known the line is undetermined: s = 0 and t = mean(d*), the solution
    of least norm of slope, with no gradient to the prediction.

    Args:
        prediction: (B, H, W), unit-less.
        target: (B, H, W).
        mask: bool (B, H, W).

    Returns:
        Scale (B,) and shift (B,), differentiable.

    Raises:
        ParameterError: where the shapes differ or the mask is not bool.
    """
    prediction, target = _known(prediction, target, mask)
    x_mean, y_mean = _picture_mean(prediction, mask), _picture_mean(target, mask)
    x = torch.where(mask, prediction - _per_pixel(x_mean), 0.0)
    y = torch.where(mask, target - _per_pixel(y_mean), 0.0)
    variance = _picture_mean(x * x, mask)
    covariance = _picture_mean(x * y, mask)
    spread = variance.detach()
    smallest = ABSOLUTE_SPREAD + RELATIVE_SPREAD * x_mean.detach().abs()
    determined = spread > smallest * smallest
    # Divide by a safe number first: 0 / 0 in the branch not taken would still give NaN gradients.
    scale = covariance / torch.where(determined, variance, 1.0)
    scale = torch.where(determined, scale, 0.0)
    return scale, y_mean - scale * x_mean


def align_median_mad(values: Tensor, mask: Tensor) -> Tensor:
    """Return (d − t) / s, with t the median and s the mean absolute deviation from it.

    MiDaS, arXiv 1907.01341, eq. 5–6; also Depth Anything, arXiv 2401.10891, section 3.1. The
    median of an even number is the mean of the middle two. A constant picture is not divided.

    Args:
        values: (B, H, W).
        mask: bool (B, H, W).

    Returns:
        (B, H, W), 0 outside the mask, differentiable.

    Raises:
        ParameterError: where the shapes differ or the mask is not bool.
    """
    values, _ = _known(values, values, mask)
    return _median_mad(values, mask)[0]


def discard_largest(loss_map: Tensor, mask: Tensor, share: float = 0.1) -> Tensor:
    """Return the mask without the pixels of largest loss, a given share of each picture.

    Of M known pixels the ⌊(1 − share) · M⌋ smallest stay: the trimming of MiDaS (arXiv 1907.01341,
    eq. 7, share 0.2), and the noisy 10 % of a pseudo-label that Depth Anything V2 leaves out
    (arXiv 2406.09414, section 5, "top-n-largest-loss regions", n = 10 %).

    Args:
        loss_map: (B, H, W), ≥ 0; no gradient flows through the choice.
        mask: bool (B, H, W).
        share: the part that goes, 0 ≤ share < 1.

    Returns:
        bool (B, H, W).

    Raises:
        ParameterError: where the share is out of range, the shapes differ or the mask is not bool.
    """
    if not 0.0 <= share < 1.0:
        raise ParameterError(
            f"the share of pixels to discard is {share:g}: expected 0 <= share < 1; "
            "set it to 0 to keep all pixels"
        )
    _check(loss_map, loss_map, mask)
    if share == 0.0:
        return mask
    flat_mask = mask.flatten(1)
    order = (
        loss_map.detach().flatten(1).masked_fill(~flat_mask, torch.inf).argsort(dim=1, stable=True)
    )
    # 1e-6: (1 − 0.9) · 10 is 0.99999… in floats, and must keep one.
    kept = torch.floor(flat_mask.sum(1, keepdim=True).double() * (1.0 - share) + 1e-6)
    first = torch.arange(order.shape[1], device=order.device) < kept
    return torch.zeros_like(flat_mask).scatter(1, order, first).view_as(mask)


def scale_and_shift_invariant_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    alignment: Alignment = "median",
    trim: float | None = None,
    discard: float = 0.0,
) -> Tensor:
    """Return L_ssi = 1/(2M) Σ ρ(d̂ − d̂*) of the aligned maps (MiDaS, arXiv 1907.01341, eq. 1).

    ``least_squares``: ρ(x) = x², d̂ = s · d + t, d̂* = d*: ssimse (eq. 2–4), in squared units of
    the target. ``median``: ρ(x) = |x|, both maps normalised: ssimae (eq. 5–6), trimmed to the
    smallest 80 % of the residuals and still divided by 2M: ssitrim (eq. 7). A target of one
    constant has no shape to learn and is left out.

    Args:
        prediction: (B, H, W), for example disparity, unit-less; any s > 0 and t give one loss.
        target: (B, H, W) in the same space.
        mask: bool (B, H, W).
        alignment: ``least_squares`` or ``median``.
        trim: the trimmed share; None is the paper's: 0 with least squares, 0.2 with the median.
        discard: the share of largest loss that counts as unknown (see `discard_largest`), 0.1 for
            pseudo-labels. M is then the number of pixels that stay, unlike with ``trim``.

    Returns:
        A scalar, unit-less with the median.

    Raises:
        ParameterError: an unknown alignment, a share out of range, or shapes that differ.
    """
    residual, mask = _aligned_residual(prediction, target, mask, alignment)
    mask = discard_largest(residual.abs(), mask, discard)
    return _ssi(residual, mask, alignment, trim)


def gradient_matching_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    scales: int = 4,
    alignment: Alignment = "median",
) -> Tensor:
    """Return Σ_k 1/M_k Σ (|∇x R^k| + |∇y R^k|), R = d̂ − d̂* (MiDaS, arXiv 1907.01341, eq. 11).

    Level k takes every 2^k-th pixel. A difference counts where both its pixels are known; each
    level is divided by its own number of known pixels M_k, as the authors' published code does.

    Args:
        prediction: (B, H, W), for example disparity, unit-less; any s > 0 and t give one loss.
        target: (B, H, W) in the same space.
        mask: bool (B, H, W).
        scales: number of levels, K = 4 in the paper.
        alignment: ``least_squares`` or ``median``, see `scale_and_shift_invariant_loss`.

    Returns:
        A scalar.

    Raises:
        ParameterError: an unknown alignment, no level, or shapes that differ.
    """
    residual, mask = _aligned_residual(prediction, target, mask, alignment)
    return _gradient_matching(residual, mask, scales)


def affine_invariant_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    alignment: Alignment = "median",
    trim: float | None = None,
    discard: float = 0.0,
    gradient_weight: float = 2.0,
    scales: int = 4,
) -> Tensor:
    """Return L_ssi + 2 · L_gm, the loss of a relative model.

    Depth Anything V2, arXiv 2406.09414, appendix B.7: L_ssi : L_gm = 1 : 2, so the gradient
    matching has the 2 (MiDaS, eq. 12, has 1 : 0.5).

    Args:
        prediction: (B, H, W), for example disparity, unit-less; any s > 0 and t give one loss.
        target: (B, H, W) in the same space.
        mask: bool (B, H, W).
        alignment: see `scale_and_shift_invariant_loss`.
        trim: see `scale_and_shift_invariant_loss`; L_gm is not trimmed.
        discard: see `scale_and_shift_invariant_loss`; these pixels leave both terms.
        gradient_weight: the weight of L_gm.
        scales: levels of L_gm.

    Returns:
        A scalar.

    Raises:
        ParameterError: an unknown alignment, a share out of range, or shapes that differ.
    """
    ssi, gradient = affine_invariant_terms(
        prediction, target, mask, alignment, trim, discard, scales
    )
    return ssi + gradient_weight * gradient


def affine_invariant_terms(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    alignment: Alignment = "median",
    trim: float | None = None,
    discard: float = 0.0,
    scales: int = 4,
) -> tuple[Tensor, Tensor]:
    """Return L_ssi and L_gm of one alignment, which costs more than both; see the sum above."""
    residual, mask = _aligned_residual(prediction, target, mask, alignment)
    mask = discard_largest(residual.abs(), mask, discard)
    return _ssi(residual, mask, alignment, trim), _gradient_matching(residual, mask, scales)


def scale_invariant_log_loss(
    prediction_m: Tensor, target_m: Tensor, mask: Tensor, lam: float = 0.85
) -> Tensor:
    """Return √(1/n Σ d² − λ/n² (Σ d)²), d = log prediction − log target, of each picture.

    Eigen et al. 2014, arXiv 1406.2283, eq. 4, where λ = 0.5 and there is no root; the root and
    λ = 0.85 are of later work (BTS, arXiv 1907.10326, there times 10). λ = 1 does not see
    a common factor of the depths, λ = 0 is the root mean square error of the logarithm.

    Args:
        prediction_m: (B, H, W), metres, > 0.
        target_m: (B, H, W), metres, > 0 in the mask.
        mask: bool (B, H, W).
        lam: λ, 0 to 1.

    Returns:
        A scalar.

    Raises:
        ParameterError: where the shapes differ or the mask is not bool.
    """
    difference = _log_difference(prediction_m, target_m, mask)
    mean = _picture_mean(difference, mask)
    centred = torch.where(mask, difference - _per_pixel(mean), 0.0)
    # The same number as variance + (1 − λ) · mean²: no rounding can make that negative.
    square = _picture_mean(centred * centred, mask) + (1.0 - lam) * mean * mean
    positive = square > SMALLEST_SQUARE
    root = torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
    return _batch_mean(root, mask)


def log_gradient_loss(
    prediction_m: Tensor, target_m: Tensor, mask: Tensor, scales: int = 4
) -> Tensor:
    """Return the gradient matching of R = log prediction − log target, with no alignment.

    For metric training: MiDaS (arXiv 1907.01341) eq. 11 in the log space of MegaDepth (Li and
    Snavely 2018, arXiv 1804.00607, L_grad). A common factor of the depths leaves it unchanged.

    Args:
        prediction_m: (B, H, W), metres, > 0.
        target_m: (B, H, W), metres, > 0 in the mask.
        mask: bool (B, H, W).
        scales: number of levels, see `gradient_matching_loss`.

    Returns:
        A scalar.

    Raises:
        ParameterError: no level, or shapes that differ.
    """
    return _gradient_matching(_log_difference(prediction_m, target_m, mask), mask, scales)


def log_l1_loss(prediction_m: Tensor, target_m: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of |log prediction − log target| (log-L1, 0.1 is about 10 % of depth).

    Args:
        prediction_m: (B, H, W), metres, > 0.
        target_m: (B, H, W), metres, > 0 in the mask.
        mask: bool (B, H, W).

    Returns:
        A scalar.

    Raises:
        ParameterError: where the shapes differ or the mask is not bool.
    """
    difference = _log_difference(prediction_m, target_m, mask)
    return _batch_mean(_picture_mean(difference.abs(), mask), mask)


def feature_alignment_loss(student: Tensor, teacher: Tensor, margin: float = 0.85) -> Tensor:
    """Return the mean of 1 − cos(f, f′) over the pixels whose cosine is not above the margin.

    Depth Anything, arXiv 2401.10891, section 3.3, L_feat with its tolerance margin α = 0.85: what
    is similar enough is left out, so that parts of one object may still differ in depth.

    Args:
        student: (B, C, h, w), features in training.
        teacher: (B, C, h, w), features of the frozen encoder; they get no gradient.
        margin: α, a cosine.

    Returns:
        A scalar, 0 to 2.

    Raises:
        ParameterError: where the two are not of one shape (B, C, h, w).
    """
    if student.shape != teacher.shape or student.ndim != 4:
        raise ParameterError(
            f"features are {tuple(student.shape)} and {tuple(teacher.shape)}: expected one shape "
            "(B, C, h, w) for both; give student and teacher the same picture size and width",
            reason="shape",
        )
    cosine = functional.cosine_similarity(
        _upcast(student), _upcast(teacher.detach()), dim=1, eps=1e-6
    )
    mask = cosine.detach() <= margin
    return _batch_mean(_picture_mean(torch.where(mask, 1.0 - cosine, 0.0), mask), mask)


def sky_loss(logit: Tensor, sky_target: Tensor, known: Tensor) -> Tensor:
    """Return the binary cross-entropy of the sky, −y log σ(z) − (1 − y) log(1 − σ(z)).

    Args:
        logit: (B, H, W), z.
        sky_target: bool or 0–1 (B, H, W), y: 1 is sky.
        known: bool (B, H, W), true where it is known whether it is sky.

    Returns:
        A scalar.

    Raises:
        ParameterError: where the shapes differ or the mask is not bool.
    """
    logit, sky_target = _known(logit, sky_target, known)
    entropy = functional.binary_cross_entropy_with_logits(
        logit, sky_target.to(logit.dtype), reduction="none"
    )
    return _batch_mean(_picture_mean(torch.where(known, entropy, 0.0), known), known)


def _check(prediction: Tensor, target: Tensor, mask: Tensor) -> None:
    same = prediction.shape == target.shape == mask.shape and mask.ndim == 3
    if not same or mask.dtype is not torch.bool:
        raise ParameterError(
            f"a loss got maps {tuple(prediction.shape)} and {tuple(target.shape)} with a mask "
            f"{tuple(mask.shape)} of {mask.dtype}: expected (B, H, W) three times and a bool mask; "
            "drop the channel axis and compare to make the mask",
            reason="shape",
        )


def _upcast(values: Tensor) -> Tensor:
    return values if values.dtype is torch.float64 else values.float()


def _known(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps in float32 or float64, with 0 where the mask is false."""
    _check(prediction, target, mask)
    return (
        torch.where(mask, _upcast(prediction), 0.0),
        torch.where(mask, _upcast(target), 0.0),
    )


def _per_pixel(per_picture: Tensor) -> Tensor:
    return per_picture[:, None, None]


def _picture_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) means; values must be 0 outside the mask."""
    return values.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)


def _batch_mean(per_picture: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the pictures with any known pixel."""
    pictures = mask.flatten(1).any(1)
    return torch.where(pictures, per_picture, 0.0).sum() / pictures.sum().clamp(min=1)


def _median_and_deviation(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the median (B,), the mean absolute deviation (B,), and whether that is above 0."""
    flat, flat_mask = values.flatten(1), mask.flatten(1)
    count = flat_mask.sum(1, keepdim=True)
    order = flat.detach().masked_fill(~flat_mask, torch.inf).argsort(dim=1, stable=True)
    middle = torch.cat([(count - 1).clamp(min=0) // 2, count // 2], dim=1)
    # An empty picture takes two of its zeros; a full one of one pixel has only index 0.
    median = flat.gather(1, order.gather(1, middle.clamp(max=flat.shape[1] - 1))).mean(1)
    deviation = _picture_mean(torch.where(mask, (values - _per_pixel(median)).abs(), 0.0), mask)
    smallest = ABSOLUTE_SPREAD + RELATIVE_SPREAD * median.detach().abs()
    return median, deviation, deviation.detach() > smallest


def _median_mad(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return what align_median_mad does, and (B,) whether the deviation is above 0."""
    median, deviation, spreads = _median_and_deviation(values, mask)
    divisor = torch.where(spreads, deviation, 1.0)
    return torch.where(mask, (values - _per_pixel(median)) / _per_pixel(divisor), 0.0), spreads


def _aligned_residual(
    prediction: Tensor, target: Tensor, mask: Tensor, alignment: Alignment
) -> tuple[Tensor, Tensor]:
    """Return d̂ − d̂*, 0 where unknown, and the mask without the pictures of constant target."""
    if alignment not in PAPER_TRIM:
        raise ParameterError(
            f"unknown alignment {alignment!r} of the loss: expected one of {sorted(PAPER_TRIM)}; "
            "set it in the recipe's losses"
        )
    prediction, target = _known(prediction, target, mask)
    normalised, spreads = _median_mad(target, mask)
    mask = mask & _per_pixel(spreads)
    if alignment == "median":
        residual = _median_mad(prediction, mask)[0] - normalised
    else:
        scale, shift = align_least_squares(prediction, target, mask)
        residual = _per_pixel(scale) * prediction + _per_pixel(shift) - target
    return torch.where(mask, residual, 0.0), mask


def _ssi(residual: Tensor, mask: Tensor, alignment: Alignment, trim: float | None) -> Tensor:
    loss_map = residual.abs() if alignment == "median" else residual * residual
    kept = discard_largest(loss_map, mask, PAPER_TRIM[alignment] if trim is None else trim)
    return _batch_mean(_picture_mean(torch.where(kept, loss_map, 0.0), mask) / 2.0, mask)


def _gradient_matching(residual: Tensor, mask: Tensor, scales: int) -> Tensor:
    if scales < 1:
        raise ParameterError(f"gradient matching got {scales} levels: expected 1 or more, say 4")
    total = torch.zeros_like(residual[:, 0, 0])
    for level in range(scales):
        step = 2**level
        coarse, known = residual[:, ::step, ::step], mask[:, ::step, ::step]
        along_x = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs()
        along_y = (coarse[:, 1:] - coarse[:, :-1]).abs()
        along_x = torch.where(known[:, :, 1:] & known[:, :, :-1], along_x, 0.0)
        along_y = torch.where(known[:, 1:] & known[:, :-1], along_y, 0.0)
        differences = along_x.sum((1, 2)) + along_y.sum((1, 2))
        total = total + differences / known.sum((1, 2)).clamp(min=1)
    return _batch_mean(total, mask)


def _log_difference(prediction_m: Tensor, target_m: Tensor, mask: Tensor) -> Tensor:
    """Return log prediction − log target, 0 where unknown."""
    prediction_m, target_m = _known(prediction_m, target_m, mask)
    # Unknown pixels are 0 by now in both, so both become the nearest depth: a difference of 0.
    return prediction_m.clamp(min=NEAREST_M).log() - target_m.clamp(min=NEAREST_M).log()
