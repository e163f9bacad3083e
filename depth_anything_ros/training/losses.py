"""The losses of the MiDaS and Depth Anything papers, as pure torch functions.

Maps are (B, H, W), masks are bool (B, H, W) and true where the target is known; what lies outside
a mask may be NaN or infinite. Half precision is computed in float32. Each picture is averaged over
its own pixels, then the pictures that have any are averaged to a scalar; a batch without one costs
0, and its gradient is 0, never NaN. No function waits for the GPU. Each raises ParameterError
(``shape``) where the shapes differ or the mask is not bool.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import ParameterError

# Trimmed share of the residuals of ssitrim (MiDaS, arXiv 1907.01341, eq. 7).
TRIM = 0.2
# Levels of gradient matching, K of MiDaS, eq. 11.
LEVELS = 4
# Below these shares of its own size a spread is float32 rounding: the map is one constant.
RELATIVE_SPREAD = 1e-6
ABSOLUTE_SPREAD = 1e-8
# Shorter depths, in metres, are taken as this: a logarithm needs a positive number.
NEAREST_M = 1e-4
# Below this, the scale-invariant error counts as 0: sqrt has no finite slope there.
SMALLEST_SQUARE = 1e-12


def align_median_mad(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (d − t) / s, with t the median and s the mean absolute deviation from it.

    MiDaS, arXiv 1907.01341, eq. 5–6; also Depth Anything, arXiv 2401.10891, section 3.1. The
    median of an even number is the mean of the middle two. A constant picture is not divided.

    Returns:
        (B, H, W), 0 outside the mask, differentiable; and bool (B,), False of a constant picture.
    """
    values, _ = _known(values, values, mask)
    flat, flat_mask = values.flatten(1), mask.flatten(1)
    count = flat_mask.sum(1, keepdim=True)
    ordered = flat.detach().masked_fill(~flat_mask, torch.inf)
    # The middle two, counted from 1; an empty picture takes two of its zeros.
    middle = torch.cat([(count + 1) // 2, count // 2 + 1], dim=1).clamp(1, flat.shape[1])
    median = flat.gather(1, _places_of(ordered, middle)).mean(1)
    centred = torch.where(mask, values - _per_pixel(median), 0.0)
    deviation = _picture_mean(centred.abs(), mask)
    smallest = ABSOLUTE_SPREAD + RELATIVE_SPREAD * median.detach().abs()
    spreads = deviation.detach() > smallest
    # Divide by a safe number: 0 / 0 in the branch not taken would still give NaN gradients.
    return centred / _per_pixel(torch.where(spreads, deviation, 1.0)), spreads


def discard_largest(loss_map: Tensor, mask: Tensor, share: float) -> Tensor:
    """Return the mask without the pixels of largest loss, a given share of each picture.

    Of M known pixels the ⌊(1 − share) · M⌋ smallest stay: the trimming of MiDaS (arXiv 1907.01341,
    eq. 7, share 0.2), and the noisy 10 % of a pseudo-label that Depth Anything V2 leaves out
    (arXiv 2406.09414, section 5, "top-n-largest-loss regions", n = 10 %).

    Args:
        loss_map: (B, H, W), ≥ 0; no gradient flows through the choice.
        mask: bool (B, H, W).
        share: the part that goes, 0 ≤ share < 1.
    """
    if share == 0.0:
        return mask
    flat_mask = mask.flatten(1)
    values = loss_map.detach().flatten(1)
    # What is no number counts as the largest: where it has to stay, the loss is none either.
    ordered = torch.where(flat_mask & ~values.isnan(), values, torch.inf)
    # 1e-6: (1 − 0.9) · 10 is 0.99999… in floats, and must keep one.
    kept = torch.floor(flat_mask.sum(1, keepdim=True).double() * (1.0 - share) + 1e-6).long()
    largest = ordered.gather(1, _places_of(ordered, kept.clamp(min=1)))
    below, alike = ordered < largest, flat_mask & (ordered == largest)
    # Of those that are as large as the largest, the first.
    alike &= alike.cumsum(1) <= kept - below.sum(1, keepdim=True)
    return (below | alike).view_as(mask)


def _places_of(values: Tensor, ranks: Tensor) -> Tensor:
    """Return the places of the values of given ranks, from 1: (B, K) of (B, N) and (B, K).

    On a CPU, to select takes less than half of the time of sorting; a GPU sorts all rows at once.
    """
    if values.device.type != "cpu":
        return values.argsort(dim=1, stable=True).gather(1, ranks - 1)
    rows = zip(values, ranks.tolist(), strict=True)
    return torch.stack([torch.stack([row.kthvalue(k).indices for k in some]) for row, some in rows])


def affine_invariant_terms(
    prediction: Tensor, target: Tensor, mask: Tensor, discard: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return L_ssi and L_gm of disparities that are aligned by median and deviation.

    L_ssi = 1/(2M) Σ |d̂ − d̂*| over the smallest 80 % of the residuals: ssitrim of MiDaS (arXiv
    1907.01341, eq. 5–7). L_gm is its gradient matching (eq. 11), which is not trimmed. Any s > 0
    and t of the prediction give the same losses. A target of one constant has no shape to learn
    and is left out. Depth Anything V2 has L_ssi + 2 · L_gm (arXiv 2406.09414, appendix B.7).

    Args:
        prediction: (B, H, W), unit-less.
        target: (B, H, W) in the same space.
        mask: bool (B, H, W).
        discard: the share of largest loss that counts as unknown in both terms (see
            `discard_largest`), 0.1 for pseudo-labels. M is then the number of pixels that stay.
    """
    prediction, target = _known(prediction, target, mask)
    normalised, spreads = align_median_mad(target, mask)
    mask = mask & _per_pixel(spreads)
    residual = torch.where(mask, align_median_mad(prediction, mask)[0] - normalised, 0.0)
    mask = discard_largest(residual.abs(), mask, discard)
    kept = discard_largest(residual.abs(), mask, TRIM)
    trimmed = _picture_mean(torch.where(kept, residual.abs(), 0.0), mask) / 2.0
    return _batch_mean(trimmed, mask), _gradient_matching(residual, mask)


def scale_invariant_log_loss(
    prediction_m: Tensor, target_m: Tensor, mask: Tensor, lam: float = 0.85
) -> Tensor:
    """Return √(1/n Σ d² − λ/n² (Σ d)²), d = log prediction − log target, of each picture.

    Eigen et al. 2014, arXiv 1406.2283, eq. 4, where λ = 0.5 and there is no root; the root and
    λ = 0.85 are of later work (BTS, arXiv 1907.10326, there times 10). λ = 1 does not see
    a common factor of the depths, λ = 0 is the root mean square error of the logarithm.
    """
    difference = _log_difference(prediction_m, target_m, mask)
    mean = _picture_mean(difference, mask)
    centred = torch.where(mask, difference - _per_pixel(mean), 0.0)
    # The same number as variance + (1 − λ) · mean²: no rounding can make that negative.
    square = _picture_mean(centred * centred, mask) + (1.0 - lam) * mean * mean
    positive = square > SMALLEST_SQUARE
    root = torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
    return _batch_mean(root, mask)


def log_gradient_loss(prediction_m: Tensor, target_m: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient matching of R = log prediction − log target, with no alignment.

    For metric training: MiDaS (arXiv 1907.01341) eq. 11 in the log space of MegaDepth (Li and
    Snavely 2018, arXiv 1804.00607, L_grad). A common factor of the depths leaves it unchanged.
    """
    return _gradient_matching(_log_difference(prediction_m, target_m, mask), mask)


def log_l1_loss(prediction_m: Tensor, target_m: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of |log prediction − log target| (log-L1, 0.1 is about 10 % of depth)."""
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
    """
    logit, sky_target = _known(logit, sky_target, known)
    entropy = functional.binary_cross_entropy_with_logits(
        logit, sky_target.to(logit.dtype), reduction="none"
    )
    return _batch_mean(_picture_mean(torch.where(known, entropy, 0.0), known), known)


def _upcast(values: Tensor) -> Tensor:
    return values if values.dtype is torch.float64 else values.float()


def _known(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps in float32 or float64, with 0 where the mask is false."""
    same = prediction.shape == target.shape == mask.shape and mask.ndim == 3
    if not same or mask.dtype is not torch.bool:
        raise ParameterError(
            f"a loss got maps {tuple(prediction.shape)} and {tuple(target.shape)} with a mask "
            f"{tuple(mask.shape)} of {mask.dtype}: expected (B, H, W) three times and a bool mask; "
            "drop the channel axis and compare to make the mask",
            reason="shape",
        )
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


def _gradient_matching(residual: Tensor, mask: Tensor) -> Tensor:
    """Return Σ_k 1/M_k Σ (|∇x R^k| + |∇y R^k|) (MiDaS, arXiv 1907.01341, eq. 11).

    Level k takes every 2^k-th pixel. A difference counts where both its pixels are known; each
    level is divided by its own number of known pixels M_k, as the authors' published code does.
    """
    total = torch.zeros_like(residual[:, 0, 0])
    for level in range(LEVELS):
        coarse, known = (values[:, :: 2**level, :: 2**level] for values in (residual, mask))
        across, down = coarse.diff(dim=2).abs(), coarse.diff(dim=1).abs()
        across = torch.where(known[:, :, 1:] & known[:, :, :-1], across, 0.0)
        down = torch.where(known[:, 1:] & known[:, :-1], down, 0.0)
        differences = across.sum((1, 2)) + down.sum((1, 2))
        total = total + differences / known.sum((1, 2)).clamp(min=1)
    return _batch_mean(total, mask)


def _log_difference(prediction_m: Tensor, target_m: Tensor, mask: Tensor) -> Tensor:
    """Return log prediction − log target, 0 where unknown."""
    prediction_m, target_m = _known(prediction_m, target_m, mask)
    # Unknown pixels are 0 by now in both, so both become the nearest depth: a difference of 0.
    return prediction_m.clamp(min=NEAREST_M).log() - target_m.clamp(min=NEAREST_M).log()
