"""A Kalman filter of the log depth of each pixel, on a grid that moves with the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.reprojection import LookBack, look_back
from depth_anything_ros.pipeline.steady_values import BEYOND, KNOWN_TO
from depth_anything_ros.pipeline.steady_ways import Grid, Way

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Of an answer, relative, before anything is known of it.
_FIRST_DEVIATION = 0.05
# A confidence of one half is where depth is this uncertain, relative.
_HALF_SURE = 0.03
# Of a step between neighbouring coarse pixels, what the place of an edge is uncertain by.
_EDGE_SHARE = 0.1
# The share of each picture in the tracking signal, and from where on that quickens the filter.
_SIGNAL_SHARE = 0.2
_SIGNAL_FROM = 0.8
# What is interpolated with what is beyond is not exact to more.
_NEAREST = np.float32(1e-4)
# Of the depth that 95 % of the pixels are below: what is farther may be sky at times.
_FAR = 0.7
# The least share of a picture in the votes: four in a row are a majority.
_VOTE = 0.17
_AROUND = np.ones((3, 3), np.uint8)
# Every so many pixels in both directions tell how far things are.
_FEW = 8
# |mean of a normal number| / standard deviation.
_DEVIATION_OF_SIGMA = 0.8
# Of log depth, where a picture is the same before a camera that stands: a factor of two.
_SAME_CHANGE = 0.7


@dataclass(frozen=True, eq=False)
class Depths:
    """The depth of a picture in parts that calculate well.

    Attributes:
        depth: float32 (height, width), more than 0; beyond ``KNOWN_TO`` where it is not known.
        known: bool, the same shape; None where all is known.
        sky: bool, the same shape; None where none is.
    """

    depth: Map
    known: Mask | None = None
    sky: Mask | None = None


@dataclass(frozen=True, eq=False)
class State:
    """What is remembered of pixels.

    Attributes:
        depth: float32 (height, width); ``BEYOND`` where it is not known, and in the sky.
        variance: float32 (coarse height, coarse width), of log depth, in units of one answer's.
        bias: float32 (coarse), the mean of the last innovations of log depth.
        deviation: float32 (coarse), the mean of their absolutes.
        sky: float32 (height, width), in which share of the pictures it was sky; None for 0.
        unknown: float32 (height, width), likewise where nothing was known.
    """

    depth: Map
    variance: Map
    bias: Map
    deviation: Map
    sky: Map | None = None
    unknown: Map | None = None

    @classmethod
    def first(cls, grid: Grid, depths: Depths) -> State:
        """Return what one picture says."""
        depth, few = depths.depth, grid.coarse[::-1]
        unknown = None
        if depths.known is not None:
            depth = np.where(depths.known, depth, BEYOND)
            empty = ~depths.known if depths.sky is None else ~(depths.known | depths.sky)
            unknown = empty.astype(np.float32)
        return cls(
            depth,
            np.ones(few, np.float32),
            np.zeros(few, np.float32),
            np.full(few, _DEVIATION_OF_SIGMA * _FIRST_DEVIATION, np.float32),
            None if depths.sky is None else depths.sky.astype(np.float32),
            unknown,
        )

    def confidence(self, grid: Grid) -> Map:
        """Return how sure depth is, 0 to 1, float32 (height, width): 0.5 at 3 % uncertainty."""
        depth = np.maximum(grid.sampled(self.depth), np.float32(1e-6))
        step = np.log(cv2.dilate(depth, _AROUND) / cv2.erode(depth, _AROUND))
        variance = self.variance * (self.deviation / np.float32(_DEVIATION_OF_SIGMA)) ** 2
        variance += (np.float32(_EDGE_SHARE) * step) ** 2
        sure = 1 / (1 + variance / np.float32(_HALF_SURE**2))
        return grid.spread(sure, np.empty(self.depth.shape, np.float32))


class Updated(NamedTuple):
    """A filtered picture.

    Attributes:
        depths: what is known now.
        state: what is remembered.
        carried: share of the pixels of which memory told something.
    """

    depths: Depths
    state: State
    carried: float


class PixelFilter:
    """The filter; it keeps the memory that it calculates in."""

    def __init__(self) -> None:
        self._spaces: dict[str, Map] = {}

    def _space(self, name: str, grid: Grid) -> Map:
        width, height = grid.size
        space = self._spaces.get(name)
        if space is None or space.shape != (height, width):
            space = self._spaces[name] = np.empty((height, width), np.float32)
        return space

    def carried(self, grid: Grid, state: State, way: Way, depths: Depths, there: LookBack) -> State:
        """Return what is remembered of the pixels of the present picture.

        Args:
            grid: of the map.
            state: after the picture before.
            way: how pixels came where they are.
            depths: of the present picture, in the unit of the way.
            there: where coarse pixels were, as of ``Way.back``.
        """
        coarse = grid.on_coarse(there)
        variance = coarse.fetch(state.variance, beyond=1.0)
        bias = coarse.fetch(state.bias)
        deviation = coarse.fetch(state.deviation, beyond=_DEVIATION_OF_SIGMA * _FIRST_DEVIATION)
        depth = self._space("carried", grid)
        if way.stands:
            np.copyto(depth, state.depth)
            return State(depth, variance, bias, deviation, state.sky, state.unknown)
        full = self._look_back(grid, state, way, depths)
        full.fetch(state.depth, depth, beyond=float(BEYOND))
        depth /= full.ratio
        np.clip(depth, _NEAREST, np.float32(np.inf), out=depth)
        sky, unknown = (
            None if part is None else full.fetch(part, how=cv2.INTER_NEAREST)
            for part in (state.sky, state.unknown)
        )
        return State(depth, variance, bias, deviation, sky, unknown)

    def _look_back(self, grid: Grid, state: State, way: Way, depths: Depths) -> LookBack:
        inverse = np.reciprocal(depths.depth, out=self._space("inverse", grid))
        if depths.known is not None:
            # What is not known now may be where it was before, and the sky has no parallax.
            empty = ~depths.known if depths.sky is None else ~(depths.known | depths.sky)
            np.divide(1, state.depth, out=inverse, where=empty)
        out = LookBack(*(self._space(name, grid) for name in ("columns", "rows", "ratio")))
        look_back(inverse, way.T_before_now, grid.K, grid.columns, grid.rows, out)
        if way.moved is not None:
            np.add(out.columns, grid.spread(way.moved[..., 0], inverse), out=out.columns)
            np.add(out.rows, grid.spread(way.moved[..., 1], inverse), out=out.rows)
        return out

    def updated(
        self,
        grid: Grid,
        prior: State,
        depths: Depths,
        shares: Map,
        active: Map,
        rests: bool,
        max_change: float,
        trust: Map | None,
    ) -> Updated:
        """Return the present picture and memory together.

        Args:
            grid: of the map.
            prior: as carried to the present picture.
            depths: of the present picture.
            shares: float32 (coarse or 1, 1), of a picture in a mean over the memory.
            active: float32 (coarse), 0 where the picture is what it was, to 1.
            rests: whether the camera does.
            max_change: by what share depth may differ to be the same thing where that is active.
            trust: float32 (coarse), whether memory was carried well; None where all was.
        """
        limit = most = float(np.log1p(max_change))
        predicted, quickened = prior.variance + shares * shares, _quickened(prior)
        if rests:
            quickened, most = quickened * active, max(limit, _SAME_CHANGE)
        gain = np.maximum(predicted / (1 + predicted), quickened)
        memory_weight = 1 - gain if trust is None else (1 - gain) * trust
        innovation, spread = (
            self._innovation(grid, prior, depths, most),
            self._space("spread", grid),
        )
        weight = self._space("weight", grid)
        np.abs(innovation, out=weight)
        if rests:
            weight *= grid.spread(_per_limit(prior, active, limit, most), spread)
        else:
            weight *= np.float32(1 / limit)
        # All of it up to half of the limit, less beyond, none from the limit on.
        np.subtract(np.float32(1), weight, out=weight)
        np.clip(weight, np.float32(0), np.float32(0.5), out=weight)
        memory_weight *= np.float32(2)
        weight *= grid.spread(memory_weight, spread)
        kept = grid.averaged(weight)
        mean = -np.clip(grid.averaged(innovation), -most, most)
        weight *= innovation
        cv2.exp(weight, weight)
        depth = depths.depth * weight
        state = State(
            depth,
            1 - kept,
            prior.bias + np.float32(_SIGNAL_SHARE) * (mean - prior.bias),
            prior.deviation + np.float32(_SIGNAL_SHARE) * (np.abs(mean) - prior.deviation),
        )
        carried = float(np.mean(kept > 0.05))
        if depths.known is None and prior.sky is None and prior.unknown is None:
            return Updated(Depths(depth), state, carried)
        same = grid.spread(active, spread) < 0.5
        return Updated(*_with_classes(prior, depths, state, float(shares.max()), same), carried)

    def _innovation(self, grid: Grid, prior: State, depths: Depths, limit: float) -> Map:
        """Return log(remembered depth / depth), at most twice the limit."""
        innovation = self._space("innovation", grid)
        np.divide(prior.depth, depths.depth, out=innovation)
        cv2.log(innovation, innovation)
        return np.clip(innovation, np.float32(-2 * limit), np.float32(2 * limit), out=innovation)


def _per_limit(prior: State, active: Map, limit: float, most: float) -> Map:
    """Return 1 / by how much log depth may differ before a camera that rests.

    More where the picture is the same, unless answers have said for some time that it is not.
    """
    bias = np.abs(prior.bias) * np.float32(1 / limit)
    free = np.maximum(active, np.clip(bias - 1, 0, 1))
    return np.asarray(np.float32(1 / most) + np.float32(1 / limit - 1 / most) * free, np.float32)


def _quickened(prior: State) -> Map:
    """Return the least gain where innovations keep their sign (Trigg and Leach 1967).

    The tracking signal is |mean innovation| / mean |innovation|: near 0 where answers scatter
    about the memory, near 1 where depth moves away from it.
    """
    signal = np.abs(prior.bias) / (prior.deviation + np.float32(1e-6))
    gain = (signal - np.float32(_SIGNAL_FROM)) / np.float32(1 - _SIGNAL_FROM)
    return np.asarray(np.clip(gain, 0, 1), np.float32)


def _with_classes(
    prior: State, depths: Depths, state: State, share: float, same: Mask
) -> tuple[Depths, State]:
    """Decide what is sky and what is unknown; both votes are over the memory.

    Only what is far or sky, and looks ``same``, takes part in that of the sky: a thing before it is
    there at once, and gone at once.
    """
    depth, shape = state.depth, state.depth.shape
    known = np.ones(shape, bool) if depths.known is None else depths.known
    empty, remembered = ~known, prior.depth < KNOWN_TO
    filled, is_sky, sky_now, unknown_now = np.zeros(shape, bool), None, None, None
    share = max(share, _VOTE)
    if depths.sky is not None or prior.sky is not None:
        sky = np.zeros(shape, bool) if depths.sky is None else depths.sky
        few = known[::_FEW, ::_FEW]
        some = depth[::_FEW, ::_FEW][few]
        far = np.float32(_FAR * np.quantile(some, 0.95) if some.size else 0)
        votes = (sky | (known & (depth > far))) & same
        was_far = remembered & (prior.depth > far)
        votes &= was_far if prior.sky is None else was_far | (prior.sky > 0.5)
        sky_now = sky.astype(np.float32)
        cv2.copyTo(_voted(prior.sky, sky_now, share), votes.view(np.uint8), sky_now)
        is_sky = sky_now > 0.5
        filled |= sky & ~is_sky
        empty &= ~sky
    if prior.unknown is not None or empty.any():
        unknown_now = empty.astype(np.float32)
        voted = _voted(prior.unknown, unknown_now, share)
        cv2.copyTo(voted, empty.view(np.uint8), unknown_now)
        filled |= empty & (unknown_now <= 0.5)
    filled &= remembered
    is_known = known | filled
    if is_sky is not None:
        is_known &= ~is_sky
    cv2.copyTo(prior.depth, filled.view(np.uint8), depth)
    np.copyto(depth, BEYOND, where=~is_known)
    state = State(
        depth,
        state.variance,
        state.bias,
        state.deviation,
        None if sky_now is None or not cv2.countNonZero(sky_now) else sky_now,
        None if unknown_now is None or not cv2.countNonZero(unknown_now) else unknown_now,
    )
    return Depths(depth, is_known, is_sky), state


def _voted(before: Map | None, now: Map, share: float) -> Map:
    """Return the mean over the memory; None of before is 0."""
    if before is None:
        return np.asarray(now * np.float32(share), np.float32)
    return np.asarray(cv2.addWeighted(now, share, before, 1 - share, 0), np.float32)
