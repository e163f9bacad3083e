"""Depth that neither flickers nor jumps in scale, one picture of a camera after the other.

Each pixel has a Kalman filter of its log depth, whose state is carried from picture to picture by
``pipeline.steady_ways``; what does not go with it is taken as it comes. Before that, the scale of
the whole picture is brought together with that of the memory. Relative answers are filtered as
depth without a unit, 1 / (disparity + c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.plain_arrays import as_arrays, from_arrays
from depth_anything_ros.core.reprojection import LookBack
from depth_anything_ros.pipeline.options import SteadyOptions
from depth_anything_ros.pipeline.steady_changes import Brightness, Changes, changes
from depth_anything_ros.pipeline.steady_filter import Depths, PixelFilter, State
from depth_anything_ros.pipeline.steady_values import BEYOND, KNOWN_TO, NOTHING, Affine, Values
from depth_anything_ros.pipeline.steady_ways import Grid, Way, WayFinder, relative_pose

Map = NDArray[np.float32]
Status = Literal["steady", "restarted", "plain"]

# Of the pixels that memory tells of: where fewer go with the picture, the scene was cut.
_FEWEST_AGREE, _AGREE_WITHIN = 0.25, 0.25
# Of more coarse pixels, every other in both directions is matched.
_MANY = 5000
# Of the median difference from the memory: what differs by more is another thing, but never by so
# little as max_change; and at most by this share.
_GATE, _MOST_CHANGE = 8.0, 0.5
# The scale of all is forgotten so much faster than a pixel's depth. Without a unit, memory does not
# know how depth changes as the camera moves, so that its scale drifts.
_SCALE_SHARE, _UNITLESS_SCALE_SHARE = 2.0, 8.0
# While little moves, a picture forgets this part of what it does where pixels move so far.
_STILL_SHARE = 0.2
_MOVES_PX = 0.5
# So long is the memory of what does not change before a camera that rests.
_FROZEN_S = 60.0


@dataclass(frozen=True, eq=False)
class Moment:
    """When and where a picture was taken.

    Attributes:
        stamp_ns: of the picture.
        epoch: counts backward jumps of time.
        T_fixed_camera: float64 (4, 4), takes points of the optical frame to the fixed one; None
            where it is not known.
        no_pose: why it is not known.
    """

    stamp_ns: int
    epoch: int = 0
    T_fixed_camera: NDArray[np.float64] | None = None
    no_pose: str = ""

    def turned(self, turn: NDArray[np.float64] | None) -> Moment:
        """Return the moment of a camera that is turned, as rectification turns it.

        Args:
            turn: (3, 3), from this camera's frame to the other's; None where the two are one.
        """
        if turn is None or self.T_fixed_camera is None:
            return self
        T = self.T_fixed_camera.copy()
        T[:3, :3] = T[:3, :3] @ turn.T
        return replace(self, T_fixed_camera=T)


@dataclass(frozen=True)
class SteadyReport:
    """How a picture was steadied.

    Attributes:
        status: ``steady``; ``restarted``: it is the first of a memory; ``plain``: it was left as it
            is.
        method: by what memory was carried, ``motion`` or ``flow``; "" where nothing was.
        reason: why it began anew, or why by another method than asked for.
        scale: what the answer was multiplied by, to go with the memory.
        shift: what was then added, in its own unit.
        carried: share of the pixels that memory told of.
    """

    status: Status
    method: str = ""
    reason: str = ""
    scale: float = 1.0
    shift: float = 0.0
    carried: float = 0.0

    def values(self) -> dict[str, str]:
        """Return the key-value pairs of a status."""
        return {
            "steadying": self.status,
            "steadied by": self.method or "nothing",
            "steadying: reason": self.reason,
            "steadying: scale": f"{self.scale:.4g}",
            "steadying: shift": f"{self.shift:.4g}",
            "remembered pixels (%)": f"{100 * self.carried:.0f}",
        }


@dataclass(frozen=True, eq=False)
class Steadied:
    """A steadied answer.

    Attributes:
        estimate: of the type that came.
        report: how that went.
        confidence: makes that of each pixel, float32 (height, width), 0 to 1.
    """

    estimate: Estimate
    report: SteadyReport
    confidence: Callable[[], Map]


@dataclass(frozen=True, eq=False)
class _Memory:
    """What goes on from picture to picture.

    Attributes:
        camera: of the answers.
        moment: of the last picture.
        values: how answers become depth, and their kind.
        state: of the pixels.
        scale_variance: of the scale of all, in units of one answer's.
        picture: uint8 (coarse height, coarse width), grey.
        usual: float32, likewise, as of ``Changes``.
        active: likewise.
        light: likewise.
    """

    camera: Camera | None
    moment: Moment
    values: Values
    state: State
    scale_variance: float
    picture: NDArray[np.uint8]
    usual: Map
    active: Map
    light: Brightness


class _Match(NamedTuple):
    """How an answer goes with the memory.

    Attributes:
        line: brings its values onto the memory's; None where nothing does.
        agree: share of the pixels that then agree.
        spread: median |difference| of log depth.
    """

    line: Affine | None
    agree: float = 0.0
    spread: float = 0.0


class Steadier:
    """Steady the answers of one camera and one model.

    Args:
        options: what is asked of it.

    Attributes:
        options: what is asked of pictures to come; may be replaced at any time.
    """

    def __init__(self, options: SteadyOptions | None = None) -> None:
        self.options = options or SteadyOptions()
        self._ways = WayFinder()
        self._filter = PixelFilter()
        self._memory: _Memory | None = None

    def forget(self) -> None:
        """Begin anew with the next picture."""
        self._memory = None

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return what goes on from picture to picture, as arrays by name."""
        return {} if self._memory is None else as_arrays(self._memory)

    def remember(self, memory: Mapping[str, NDArray[Any]]) -> None:
        """Go on, to the last bit, where another steadier was when it returned its ``memory``."""
        self._memory = from_arrays(_Memory, memory) if memory else None

    def steady(
        self,
        estimate: Estimate,
        moment: Moment,
        rgb: NDArray[np.uint8] | None = None,
        scale_is_sure: bool = False,
    ) -> Steadied:
        """Return the answer as memory and picture together have it, and remember it.

        A picture that is no newer than the one before it is left as it is, and not remembered.

        Args:
            estimate: of any type. Values that are no depth (of metres, 0 and less) are unknown.
            moment: when and where it was taken.
            rgb: uint8 (any height, any width, 3), the same view as the answer; where None, flow is
                that of the answers.
            scale_is_sure: whether the scale is measured, so that memory follows it.
        """
        memory, options = self._memory, self.options
        if options.method == "off" or (memory is not None and _is_late(memory, moment, options)):
            why = "off" if options.method == "off" else "it is no newer than the picture before it"
            report = SteadyReport("plain", reason=why)
            return Steadied(estimate, report, partial(_all_sure, estimate))
        height, width = estimate.values.shape
        grid = Grid.of(width, height, estimate.camera)
        why = _why_anew(memory, estimate, moment, options)
        if memory is None or why:
            return self._begin(grid, estimate, moment, rgb, why)
        values = memory.values
        sampled = grid.sampled(estimate.values)
        picture = _picture(grid, rgb, values, sampled)
        coarse = _depths(sampled, values, Affine())
        way = self._way(grid, memory, coarse, moment, picture)
        way, there, moved = way.held(grid, _inverse(coarse))
        match = _match(memory, there, sampled, coarse)
        if match.line is None or match.agree < _FEWEST_AGREE:
            agree = f"{100 * match.agree:.0f} % of the pixels go with the picture before"
            return self._begin(grid, estimate, moment, rgb, f"the scene was cut: {agree}")
        seconds = (moment.stamp_ns - memory.moment.stamp_ns) * 1e-9
        changed = self._changes(grid, memory, way, there, picture, seconds)
        shares = _shares(seconds, options.memory_s, moved, changed.active if way.rests else None)
        share = float(shares.mean())
        # A network's scale goes with the exposure. Before a camera that rests, all is as it was.
        jumps = changed.light.has_jumped and not way.rests
        gain = 1.0 if jumps else _scale_gain(memory, estimate.metric is not None, share)
        line = Affine() if scale_is_sure else match.line.part(1 - gain)
        depths = _depths(estimate.values, values, line)
        prior = self._filter.carried(grid, memory.state, way, depths, there)
        values.moved(prior.depth, line.after(match.line))
        change = max(options.max_change, min(_GATE * match.spread, _MOST_CHANGE))
        new = self._filter.updated(
            grid, prior, depths, shares, changed.active, way.rests, change, way.trust
        )
        self._memory = _Memory(estimate.camera, moment, values, new.state, gain, picture, *changed)
        report = SteadyReport("steady", way.method, way.reason, *line, new.carried)
        answer = _answer(estimate, new.depths, values)
        return Steadied(answer, report, partial(_confidence, grid, new.state, new.depths))

    def _begin(
        self,
        grid: Grid,
        estimate: Estimate,
        moment: Moment,
        rgb: NDArray[np.uint8] | None,
        why: str,
    ) -> Steadied:
        """Return the answer as it is, and remember nothing else."""
        sampled = grid.sampled(estimate.values)
        values = Values.of(estimate, sampled)
        depths = _depths(estimate.values, values, Affine())
        state = State.first(grid, depths)
        picture = _picture(grid, rgb, values, sampled)
        first = Changes.first(picture)
        self._memory = _Memory(estimate.camera, moment, values, state, 1.0, picture, *first)
        report = SteadyReport("restarted", reason=why)
        return Steadied(estimate, report, partial(_confidence, grid, state, depths))

    def _changes(
        self,
        grid: Grid,
        memory: _Memory,
        way: Way,
        there: LookBack,
        picture: NDArray[np.uint8],
        seconds: float,
    ) -> Changes:
        """Find where the picture is another than before."""
        if way.rests:
            return Changes(memory.usual, memory.active, memory.light).after(picture, seconds)
        x, y, _ = grid.on_coarse(there)
        before = cv2.remap(memory.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return changes(np.asarray(before, np.uint8), picture, memory.light)

    def _way(
        self,
        grid: Grid,
        memory: _Memory,
        coarse: Depths,
        moment: Moment,
        picture: NDArray[np.uint8],
    ) -> Way:
        """Find where pixels were, by poses if that was asked for and they are right."""
        inverse, why = _inverse(coarse), ""
        before, now = memory.moment.T_fixed_camera, moment.T_fixed_camera
        if self.options.method == "motion":
            if memory.values.kind != "metric":
                why = "depth without a unit does not go with the poses' metres"
            elif memory.camera is None:
                why = "the camera is not known"
            elif memory.camera.is_distorted:
                why = "the pictures keep their lens (rectify: never)"
            elif now is None or before is None:
                why = moment.no_pose or memory.moment.no_pose or "no pose"
            else:
                T = relative_pose(before, now)
                way = self._ways.by_poses(grid, inverse, T, memory.picture, picture)
                if isinstance(way, Way):
                    return way
                why = way
        return replace(self._ways.by_flow(grid, inverse, memory.picture, picture), reason=why)


def _shares(seconds: float, memory_s: float, moved: float, active: Map | None) -> Map:
    """Return the share of a picture in a mean over the memory.

    Args:
        seconds: from the picture before.
        memory_s: of a camera that moves.
        moved: by how many pixels.
        active: where the picture changes, of a camera that rests; None of another.
    """
    share = min(seconds / memory_s, 1.0)
    if active is None:
        moves = min(moved / _MOVES_PX, 1.0)
        return np.full((1, 1), share * (_STILL_SHARE + (1 - _STILL_SHARE) * moves), np.float32)
    frozen = min(seconds / _FROZEN_S, share)
    return np.asarray(frozen + np.float32(share - frozen) * active, np.float32)


def _scale_gain(memory: _Memory, has_unit: bool, share: float) -> float:
    """Return the share of a picture in the scale; ``share`` is that in each pixel's memory."""
    faster = _SCALE_SHARE if has_unit else _UNITLESS_SCALE_SHARE
    variance = memory.scale_variance + (faster * share) ** 2
    return variance / (1 + variance)


def _all_sure(estimate: Estimate) -> Map:
    return np.ones(estimate.values.shape, np.float32)


def _is_late(memory: _Memory, moment: Moment, options: SteadyOptions) -> bool:
    back_s = (memory.moment.stamp_ns - moment.stamp_ns) * 1e-9
    return memory.moment.epoch == moment.epoch and 0 <= back_s <= options.memory_s


def _why_anew(
    memory: _Memory | None, estimate: Estimate, moment: Moment, options: SteadyOptions
) -> str:
    """Say why nothing before this picture counts; "" where it does, or where nothing was."""
    if memory is None:
        return ""
    last = memory.moment
    gap_s = (moment.stamp_ns - last.stamp_ns) * 1e-9
    if moment.epoch != last.epoch or gap_s < 0:
        return "time went back"
    if gap_s > options.memory_s:
        return f"no picture for {gap_s:.3g} s; it remembers {options.memory_s:g} s"
    if estimate.kind != memory.values.kind:
        return f"{estimate.name} after {memory.values.kind}"
    if estimate.values.shape != memory.state.depth.shape:
        height, width = estimate.values.shape
        before = memory.state.depth.shape
        return f"answers of {width}x{height} after such of {before[1]}x{before[0]}"
    return "another camera" if estimate.camera != memory.camera else ""


def _depths(values: Map, how: Values, line: Affine) -> Depths:
    """Return the depth of values of an answer, and where they are any."""
    low, high = float(values.min()), float(values.max())
    depth = how.depth(values, line)
    least = 0.0 if how.kind == "metric" else -np.inf
    if low > least and high < np.inf:  # not so of NaN
        return Depths(depth)
    known = (values > least) & (values < np.inf)
    sky = values == np.inf
    np.copyto(depth, NOTHING, where=~known)
    return Depths(depth, known, sky if sky.any() else None)


def _inverse(depths: Depths) -> Map:
    """Return 1 / depth, 0 where it is not known."""
    inverse = np.reciprocal(depths.depth)
    if depths.known is not None:
        inverse[~depths.known] = 0
    return inverse


def _match(memory: _Memory, there: LookBack, sampled: Map, coarse: Depths) -> _Match:
    """Bring an answer onto the memory."""
    values, state = memory.values, memory.state
    was = there.fetch(state.depth, how=cv2.INTER_NEAREST, beyond=float(BEYOND)) / there.ratio
    both = was < KNOWN_TO
    if coarse.known is not None:
        both &= coarse.known
    step = 2 if both.size > _MANY else 1
    both, was = both[::step, ::step], was[::step, ::step]
    now, before = sampled[::step, ::step][both], was[both]
    line = values.line_onto(now, values.values(before))
    if line is None:
        return _Match(None)
    off = np.abs(cv2.log(values.depth(now, line) / before))
    return _Match(line, float(np.mean(off < _AGREE_WITHIN)), float(np.median(off)))


def _picture(
    grid: Grid, rgb: NDArray[np.uint8] | None, values: Values, sampled: Map
) -> NDArray[np.uint8]:
    """Return what flow is found in, uint8 (coarse height, coarse width)."""
    if rgb is not None:
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(grey, grid.coarse, interpolation=cv2.INTER_AREA), np.uint8)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = -np.log(values.depth(sampled, Affine()))
    known = np.isfinite(near)
    low, high = (near[known].min(), near[known].max()) if known.any() else (0.0, 1.0)
    grey = np.where(known, 255 * (near - low) / max(high - low, 1e-3), 0)
    return grey.astype(np.uint8)


def _confidence(grid: Grid, state: State, depths: Depths) -> Map:
    """Return that of the state, 0 where nothing is known."""
    confidence = state.confidence(grid)
    if depths.known is not None:
        told = depths.known if depths.sky is None else depths.known | depths.sky
        confidence[~told] = 0
    return confidence


def _answer(estimate: Estimate, depths: Depths, values: Values) -> Estimate:
    found = values.values(depths.depth)
    if found is depths.depth and not (depths.known is None and depths.sky is None):
        found = found.copy()  # it is remembered
    if depths.known is not None:
        np.copyto(found, np.float32(np.nan), where=~depths.known)
    if depths.sky is not None:
        np.copyto(found, np.float32(np.inf), where=depths.sky)
    return estimate.with_values(found)
