"""From a global fit and the points it was made of to a metric map: a correction that varies.

A scale and a shift per picture leave most of the error of a relative prediction: what is left
varies over the picture and with depth. It is corrected as a factor of depth, exp(r) with
r = log(true / fitted depth), which is bounded and of one size near and far, for relative and metric
predictions alike. Where the fit has inverse depth at or below 0, r has no value; so a first part of
the correction is made of lines in inverse depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Fit
from depth_anything_ros.core.anchors import Anchors
from depth_anything_ros.core.errors import ImageError, ParameterError, check_ranges
from depth_anything_ros.core.kriging import Field, Sites, cross_validated, doubted, krige
from depth_anything_ros.core.local_lines import fit_local_lines

LocalMethod = Literal["global", "lwlr", "kriging"]
METHODS: tuple[LocalMethod, ...] = get_args(LocalMethod)

# Depth beyond the farthest anchor by this factor is not told apart from what is farther.
_FAR = 1.5
# q of what the fit has beyond range goes on as far as this, by which sky is told from far walls.
_BEYOND = 2.0
# Anchors of the same depth near, and as a part of all, without which what the fit has beyond range
# stays there: sky is beyond what LiDAR sees, and the roofs before it are not.
_BEYOND_SUPPORT, _BEYOND_SHARE = 2.0, 0.005
# Anchors near at which confidence is half of what it is amid many.
_HALF_SUPPORT = 0.5
# Of a normal distribution: standard deviation over median absolute deviation.
_SIGMA_OF_MAD = 1.4826
# The pictures of support and error are this much smaller.
_COARSE = 4
# Rows at a time, so that what is in work stays in the cache: twice as fast.
_BLOCK = 64


@dataclass(frozen=True)
class LocalOptions:
    """How the global fit is corrected.

    Attributes:
        method: ``lwlr``, local lines in inverse depth (``core.local_lines``); ``kriging``, these
            and then kriging of the log residuals that they leave (``core.kriging``); or
            ``global``, no correction.
        max_factor: the corrected depth is within this factor of the fitted one, above 1.
            What the fit has farther than 1.5 times the farthest anchor counts as there.
        min_anchors: with fewer the global fit stands as it is.
        confident_error: relative error of depth at which the confidence is halved.
    """

    method: LocalMethod = "kriging"
    max_factor: float = 3.0
    min_anchors: int = 8
    confident_error: float = 0.1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ParameterError(
                f"unknown method {self.method!r} of the local correction: expected one of "
                f"{', '.join(METHODS)}"
            )
        ranges = {
            "max_factor": 1 < self.max_factor < float("inf"),
            "min_anchors": self.min_anchors >= 2,
            "confident_error": 0 < self.confident_error < float("inf"),
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class Anchored:
    """A prediction in metres.

    Attributes:
        depth_m: float32 (height, width), metres along Z; +Inf beyond range, NaN unknown.
        confidence: float32 (height, width), 0 to 1. It falls with the distance to the anchors and
            with what they leave of each other's residuals, and is 0 where depth is not finite.
    """

    depth_m: NDArray[np.float32]
    confidence: NDArray[np.float32]


def anchored(
    prediction: NDArray[np.float32],
    fit: Fit,
    anchors: Anchors,
    options: LocalOptions,
) -> Anchored:
    """Apply the global fit, then correct it by what it leaves at the anchors.

    Args:
        prediction: float32 (height, width), what the fit is of.
        fit: global; without one (``fit.ok`` False) all is unknown.
        anchors: on the prediction's grid; the fit need not be of the same.
        options: of the correction.

    Raises:
        ImageError: a prediction that is not float32 (height, width).
    """
    _check(prediction)
    depth = fit.apply(prediction)
    place = _usable(depth, anchors, _goes_on(fit))
    if options.method == "global" or place.columns.size < options.min_anchors:
        return Anchored(depth, _even_confidence(depth, place, options))
    far = _FAR * float(np.percentile(place.depth_m, 99.5))
    inverse = _inverse(prediction, depth, fit)
    here = inverse[place.rows, place.columns]
    sites = _sites(_log_depth(here, far), depth.shape, place, far)
    belief = doubted(sites)
    lines = fit_local_lines(sites.x, sites.y, sites.aspect, here, 1 / place.depth_m, belief.trusted)
    inverse = lines.apply(inverse)
    q = _log_depth(inverse, far)
    sites = _sites(q[place.rows, place.columns], depth.shape, place, far)
    field = krige(cross_validated(sites, belief))
    if options.method == "kriging":
        inverse = _corrected(inverse, q, field, far)
    needed = max(_BEYOND_SUPPORT, _BEYOND_SHARE * sites.q.size)
    corrected = _metres(inverse, depth, q, field, far, options.max_factor, needed)
    return Anchored(corrected, _confidence(corrected, q, field, options))


def _check(prediction: NDArray[np.float32]) -> None:
    if prediction.ndim != 2 or prediction.dtype != np.float32:
        raise ImageError(
            "a prediction must be a float32 array of shape (height, width), "
            f"got {prediction.dtype} of shape {prediction.shape}"
        )


@dataclass(frozen=True, eq=False)
class _Place:
    """The usable anchors: pixels and true depth."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    depth_m: NDArray[np.float32]


def _goes_on(fit: Fit) -> bool:
    """Say whether the fit has an order beyond range: of inverse depth below 0."""
    return fit.space == "disparity" and fit.knots is None


def _usable(depth: NDArray[np.float32], anchors: Anchors, beyond: bool) -> _Place:
    """Leave out anchors where the fit says nothing, or no more than ``beyond`` range."""
    rows, columns = anchors.indices
    fitted = depth[rows, columns]
    known = ~np.isnan(fitted) if beyond else np.isfinite(fitted)
    return _Place(rows[known], columns[known], anchors.depth_m[known])


def _inverse(
    prediction: NDArray[np.float32], depth: NDArray[np.float32], fit: Fit
) -> NDArray[np.float32]:
    """Return fitted inverse depth, below 0 too where a line in disparity has it there.

    That tells sky, far below 0, from a wall that the line has barely lost.
    """
    if _goes_on(fit):
        inverse = prediction * np.float32(fit.scale)
        inverse += np.float32(fit.shift)
        return np.asarray(inverse, np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(np.isposinf(depth), np.float32(-1), np.asarray(1 / depth, np.float32))


def _log_depth(inverse: NDArray[np.float32], far: float) -> NDArray[np.float32]:
    """Return log depth; beyond ``far`` it goes on in proportion to -inverse, with one slope."""
    q = np.log(np.maximum(inverse, np.float32(1 / far)))
    np.negative(q, out=q)
    farther = inverse < np.float32(1 / far)
    q[farther] += np.minimum(1 - inverse[farther] * np.float32(far), np.float32(_BEYOND))
    return np.asarray(q, np.float32)


def _sites(q: NDArray[np.float32], shape: tuple[int, ...], place: _Place, far: float) -> Sites:
    height, width = shape
    fitted = np.minimum(q, np.float32(np.log(far)))
    true = np.log(place.depth_m)
    return Sites(
        ((place.columns + 0.5) / width).astype(np.float32),
        ((place.rows + 0.5) / width).astype(np.float32),
        q,
        true - fitted,
        # An error of disparity is one of log depth in proportion to depth.
        np.maximum(np.exp(fitted - np.median(fitted)), np.float32(1)),
        max(float(np.ptp(true)), 0.5),
        height / width,
    )


def _corrected(
    inverse: NDArray[np.float32], q: NDArray[np.float32], field: Field, far: float
) -> NDArray[np.float32]:
    """Return inverse / exp(field); what is farther than ``far`` is taken to be there."""
    factor = _sliced(field, -field.residual, q)
    np.exp(factor, out=factor)
    factor *= np.maximum(inverse, np.float32(1 / far))
    return factor


def _metres(
    inverse: NDArray[np.float32],
    depth: NDArray[np.float32],
    q: NDArray[np.float32],
    field: Field,
    far: float,
    factor: float,
    needed: float,
) -> NDArray[np.float32]:
    """Return depth within a factor of the fitted one; +Inf stays where too few anchors deny it."""
    corrected = np.maximum(inverse, 0)
    bound = np.minimum(depth, np.float32(far))
    bound *= np.float32(1 / factor)
    with np.errstate(divide="ignore", over="ignore"):
        np.reciprocal(corrected, out=corrected)
        np.maximum(corrected, bound, out=corrected)
        np.multiply(depth, np.float32(factor), out=bound)
    np.minimum(corrected, bound, out=corrected)
    beyond = depth == np.inf
    if beyond.any():
        support = _sliced(field, field.support, q) * field.fading(q)
        corrected[beyond & (support < needed)] = np.inf
    return corrected


def _even_confidence(
    depth: NDArray[np.float32], place: _Place, options: LocalOptions
) -> NDArray[np.float32]:
    """Return one confidence for all of a global fit: by the count and spread of the anchors."""
    confidence = np.zeros_like(depth)
    fitted = depth[place.rows, place.columns]
    finite = np.isfinite(fitted)
    count = int(np.count_nonzero(finite))
    if count:
        left = np.abs(np.log(place.depth_m[finite] / fitted[finite]))
        error = _SIGMA_OF_MAD * float(np.median(left)) / options.confident_error
        even = count / (count + options.min_anchors) / (1 + error**2)
        confidence[np.isfinite(depth)] = even
    return confidence


def _confidence(
    corrected: NDArray[np.float32], q: NDArray[np.float32], field: Field, options: LocalOptions
) -> NDArray[np.float32]:
    """Return support / (support + half) · 1 / (1 + (error / confident error)²)."""
    height, width = q.shape
    size = (-(-width // _COARSE), -(-height // _COARSE))
    small = np.asarray(cv2.resize(q, size, interpolation=cv2.INTER_NEAREST), np.float32)
    support = _sliced(field, field.support, small) * field.fading(small)
    error = _sliced(field, field.error, small) / np.float32(options.confident_error)
    coarse = support / ((support + _HALF_SUPPORT) * (1 + error * error))
    confidence = cv2.resize(np.nan_to_num(coarse), (width, height))
    confidence[~np.isfinite(corrected)] = 0
    return np.asarray(confidence, np.float32)


def _sliced(
    field: Field, values: NDArray[np.float32], q: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return values on the field's lattice at each pixel, by trilinear interpolation.

    The levels lie below each other in one picture, so that ``cv2.remap`` interpolates in the
    picture: once at the level below, once the difference to the level above.
    """
    levels, rows, columns = values.shape
    height, width = q.shape
    below = np.ascontiguousarray(values[:-1].reshape(-1, columns))
    above = (values[1:] - values[:-1]).reshape(-1, columns)
    at_row = np.clip((np.arange(height) + 0.5) * (rows / height) - 0.5, 0, rows - 1)
    at_column = np.clip((np.arange(width) + 0.5) * (columns / width) - 0.5, 0, columns - 1)
    across = np.repeat(at_column.astype(np.float32)[None], _BLOCK, axis=0)
    down = at_row.astype(np.float32)[:, None]
    # NaN to 0 by fmax; the last level is reached from the one before.
    last = np.float32((levels - 1) * (1 - 1e-6))
    sliced = np.empty_like(q)
    for top in range(0, height, _BLOCK):
        block = np.s_[top : top + _BLOCK]
        part = (q[block] - np.float32(field.low)) * np.float32(1 / field.step)
        np.minimum(np.fmax(part, 0, out=part), last, out=part)
        level = np.floor(part)
        part -= level
        level *= np.float32(rows)
        level += down[block]
        x = across[: len(level)]
        part *= cv2.remap(above, x, level, cv2.INTER_LINEAR)
        part += cv2.remap(below, x, level, cv2.INTER_LINEAR)
        sliced[block] = part
    return sliced
