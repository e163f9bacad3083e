"""Where the pixels of a picture were in the picture before: by poses, or by what moved in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import degrees
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import ASSUMED_HFOV_DEG, Camera
from depth_anything_ros.core.egomotion import Egomotion, egomotion
from depth_anything_ros.core.poses import inverse
from depth_anything_ros.core.reprojection import LookBack, look_back

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]

# Pixels on the longer side of the coarse grid, on which flow, variances and scale are found.
COARSE_SIDE = 160
# Smaller pictures have no room for DIS's patches of 8 pixels on two scales.
_LEAST_SIDE = 32
# Of flow forward and back again, in coarse pixels: what returns so near is believed.
_RETURNS_WITHIN = 0.7
# A pixel whose flow is farther than this from that of a still world moves by itself, coarse pixels.
_MOVES_BY = 1.0
# Pixels of the map: less is no motion.
_STANDS_WITHIN = 0.05
# Coarse pixels: what a camera that stands seems to move by in its flow.
_FLOW_NOISE = 0.15
# Of the points: with fewer, the motion of the camera is not known.
_FEWEST_INLIERS = 0.6
_FEWEST_POINTS = 40
# Every n-th coarse pixel in both directions is a point of the camera's motion.
_POINT_STEP = 6
# By how much a pose must be off to be told from the noise of flow.
_POSE_OFF_DEG = 0.3
# Of the contrast of a picture: with more of it left over, a turn is not known. A first guess at a
# turn is about half of it.
_UNEXPLAINED, _GUESS_DEG = 0.5, 0.25


@dataclass(frozen=True, eq=False)
class Grid:
    """A map's pixels, and the coarse ones that stand for them.

    Attributes:
        size: width and height of the map.
        coarse: width and height of the coarse grid.
        K: float64 (3, 3) of the map's camera; an assumed one where it is not known.
        columns: float32, of the map, (width,).
        rows: likewise, (height,).
        coarse_columns: intp, the columns of the map in which coarse pixels are, (coarse width,).
        coarse_rows: likewise, (coarse height,).
    """

    size: tuple[int, int]
    coarse: tuple[int, int]
    K: NDArray[np.float64]
    columns: Map
    rows: Map
    coarse_columns: NDArray[np.intp]
    coarse_rows: NDArray[np.intp]

    @classmethod
    def of(cls, width: int, height: int, camera: Camera | None) -> Grid:
        """Make the grid of a map."""
        camera = camera or Camera.from_hfov(width, height, ASSUMED_HFOV_DEG)
        step = max(1, round(max(width, height) / COARSE_SIDE))
        coarse = (max(1, width // step), max(1, height // step))
        places = [
            ((np.arange(few) + 0.5) * many / few).astype(np.intp)
            for many, few in zip((width, height), coarse, strict=True)
        ]
        columns, rows = (
            np.arange(width, dtype=np.float32),
            np.arange(height, dtype=np.float32),
        )
        K = np.array(camera.K, np.float64).reshape(3, 3)
        return cls((width, height), coarse, K, columns, rows, *places)

    def sampled(self, values: Map) -> Map:
        """Return the values at coarse pixels."""
        return values[self.coarse_rows[:, None], self.coarse_columns]

    def averaged(self, values: Map) -> Map:
        """Return the mean value around each coarse pixel."""
        return np.asarray(cv2.resize(values, self.coarse, interpolation=cv2.INTER_AREA), np.float32)

    def spread(self, values: Map, out: Map) -> Map:
        """Return the values of coarse pixels at all pixels, in ``out``."""
        cv2.resize(values, self.size, out, interpolation=cv2.INTER_LINEAR)
        return out

    def look_back(self, inverse_depth: Map, T_before_now: NDArray[np.float64]) -> LookBack:
        """Find where coarse pixels were, in pixels of the map."""
        columns, rows = (x.astype(np.float32) for x in (self.coarse_columns, self.coarse_rows))
        out = LookBack.empty(len(rows), len(columns))
        return look_back(inverse_depth, T_before_now, self.K, columns, rows, out)

    def on_coarse(self, there: LookBack) -> LookBack:
        """Return places on the map as places on the coarse grid, whose pixels are its own there."""
        sx, sy = (few / many for few, many in zip(self.coarse, self.size, strict=True))
        first_x, first_y = self.coarse_columns[0], self.coarse_rows[0]
        x = there.columns * np.float32(sx) - np.float32(first_x * sx)
        y = there.rows * np.float32(sy) - np.float32(first_y * sy)
        return LookBack(x, y, there.ratio)


@dataclass(frozen=True, eq=False)
class Way:
    """How pixels came where they are.

    Attributes:
        method: ``motion`` or ``flow``.
        reason: why it is not the one that was asked for, or what is wrong with a pose.
        T_before_now: float64 (4, 4), as far as the camera's motion says; in the depth's unit.
        moved: float32 (coarse height, coarse width, 2), what is added to that, in pixels of the
            map; None where nothing is.
        trust: float32 (coarse height, coarse width), 0 to 1, whether that is where they were;
            None where nothing speaks against it.
        rests: whether the camera is where it was.
        stands: whether all is.
    """

    method: Literal["motion", "flow"]
    reason: str
    T_before_now: NDArray[np.float64]
    moved: Map | None = None
    trust: Map | None = None
    rests: bool = False
    stands: bool = False

    def held(self, grid: Grid, inverse_depth: Map) -> tuple[Way, LookBack, float]:
        """Return it without what is too little to be motion, ``back``, and how far pixels moved.

        Each time that memory is moved by parts of a pixel it is blurred.
        """
        there = self.back(grid, inverse_depth)
        right = there.columns - grid.coarse_columns[None].astype(np.float32)
        down = there.rows - grid.coarse_rows[:, None].astype(np.float32)
        length = float(np.median(cv2.magnitude(right, down)[::2, ::2]))
        noise = _FLOW_NOISE * grid.size[0] / grid.coarse[0] if self.method == "flow" else 0.0
        if length > max(noise, _STANDS_WITHIN):
            return self, there, length
        still = replace(self, T_before_now=np.eye(4), rests=True, stands=self.moved is None)
        return still, still.back(grid, inverse_depth), 0.0

    def back(self, grid: Grid, inverse_depth: Map) -> LookBack:
        """Find where coarse pixels were, in pixels of the map."""
        there = grid.look_back(inverse_depth, self.T_before_now)
        if self.moved is not None:
            there.columns[:] += self.moved[..., 0]
            there.rows[:] += self.moved[..., 1]
        return there


class WayFinder:
    """Find how pixels moved from one picture to the next."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._quick = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._quick.setFinestScale(1)

    def by_poses(
        self,
        grid: Grid,
        inverse_depth: Map,
        T_before_now: NDArray[np.float64],
        before: Grey,
        now: Grey,
    ) -> Way | str:
        """Return the way that poses tell; or why not, where the pictures deny it.

        Args:
            grid: of the map.
            inverse_depth: float32 (coarse height, coarse width), of the present picture, 1/m.
            T_before_now: float64 (4, 4), by the poses.
            before: the picture before, uint8 (coarse height, coarse width).
            now: the present one.
        """
        if min(grid.coarse) < _LEAST_SIDE:
            return Way("motion", "", T_before_now)
        there = grid.look_back(inverse_depth, T_before_now)
        x, y, _ = grid.on_coarse(there)
        edge = cv2.BORDER_REPLICATE
        warped = np.asarray(cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=edge), np.uint8)
        if not _may_be_turned(grid, now, warped):
            return Way("motion", "", T_before_now)
        left = _flow(self._quick, now, _exposed_as(now, warped))
        inside = (x >= 0) & (y >= 0) & (x <= grid.coarse[0] - 1) & (y <= grid.coarse[1] - 1)
        textured = _has_texture(now)
        rows, columns = _points(inside & textured)
        if len(rows) >= _FEWEST_POINTS and _is_off(grid, left[rows, columns]):
            found = self._motion(
                grid,
                inverse_depth,
                rows,
                columns,
                left,
                there,
                T_before_now,
                turns_only=True,
            )
            turned = found.T_before_now[:3, :3] @ T_before_now[:3, :3].T
            angle = degrees(float(np.linalg.norm(cv2.Rodrigues(turned)[0])))
            if angle > _POSE_OFF_DEG:
                return f"the pose is {angle:.1f} deg off from what the pictures say"
        return Way("motion", "", T_before_now)

    def _motion(
        self,
        grid: Grid,
        inverse_depth: Map,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        flow: Map,
        there: LookBack | None,
        start: NDArray[np.float64] | None = None,
        turns_only: bool = False,
    ) -> Egomotion:
        """Fit the camera's motion to the flow of points; ``there`` is what the flow is added to."""
        K = grid.K
        x, y = grid.coarse_columns[columns], grid.coarse_rows[rows]
        scale = grid.size[0] / grid.coarse[0]
        at = np.stack((x, y), 1).astype(np.float64)
        seen = scale * flow[rows, columns].astype(np.float64)
        if there is None:
            seen += at
        else:
            seen += np.stack((there.columns[rows, columns], there.rows[rows, columns]), 1)
        centre, focal = K[:2, 2], np.diagonal(K)[:2]
        rays = (at - centre) / focal
        least = 0.1 * scale / K[0, 0]
        q = inverse_depth[rows, columns].astype(np.float64)
        return egomotion(rays, q, (seen - centre) / focal, least, start, turns_only)

    def by_flow(
        self,
        grid: Grid,
        inverse_depth: Map,
        before: Grey,
        now: Grey,
    ) -> Way:
        """Return the way that dense flow tells.

        What goes with one motion of the camera is put where that says, which is smoother than
        flow and knows how depth changes; the rest where the flow itself says.
        """
        if min(grid.coarse) < _LEAST_SIDE:
            return Way("flow", "", np.eye(4))
        before = _exposed_as(now, before)
        back = _flow(self._flow, now, before)
        forth = _flow(self._quick, before, now)
        returns = _returns(back, forth)
        rows, columns = _points(returns & _has_texture(now))
        scale = grid.size[0] / grid.coarse[0]
        if len(rows) >= _FEWEST_POINTS:
            found = self._motion(grid, inverse_depth, rows, columns, back, None)
            if found.inliers >= _FEWEST_INLIERS:
                return _beside(grid, inverse_depth, found.T_before_now, back, returns)
        return Way("flow", "", np.eye(4), back * np.float32(scale), returns.astype(np.float32))


def _beside(
    grid: Grid,
    inverse_depth: Map,
    T_before_now: NDArray[np.float64],
    back: Map,
    returns: NDArray[np.bool_],
) -> Way:
    """Return the way of a moving camera and of what moves by itself."""
    scale = np.float32(grid.size[0] / grid.coarse[0])
    still = grid.look_back(inverse_depth, T_before_now)
    own = back * scale
    own[..., 0] -= still.columns - grid.coarse_columns[None].astype(np.float32)
    own[..., 1] -= still.rows - grid.coarse_rows[:, None].astype(np.float32)
    off = cv2.magnitude(own[..., 0], own[..., 1])
    moves = (off > _MOVES_BY * scale) & returns
    if not moves.any():
        return Way("flow", "", T_before_now)
    own *= moves[..., None]
    return Way("flow", "", T_before_now, own)


def _exposed_as(now: Grey, before: Grey) -> Grey:
    """Return a picture with the contrast and the brightness of another of the same scene.

    Flow takes what is brighter for what has moved.
    """
    (mean, spread), (mean_now, spread_now) = (
        (float(value[0, 0]) for value in cv2.meanStdDev(picture)) for picture in (before, now)
    )
    gain = max(spread_now, 1.0) / max(spread, 1.0)
    offset = mean_now - gain * mean
    return np.asarray(cv2.addWeighted(before, gain, before, 0, offset), np.uint8)


def _flow(how: cv2.DISOpticalFlow, now: Grey, before: Grey) -> Map:
    """Return where pixels were, relative to where they are, float32 (height, width, 2)."""
    # A flow that is handed in is where it begins, and must be one.
    found = how.calc(now, before, None)  # type: ignore[call-overload]
    return np.nan_to_num(np.asarray(found, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _may_be_turned(grid: Grid, now: Grey, warped: Grey) -> bool:
    """Say whether a picture and the one before it, put where a pose says, may differ by a turn.

    The turn is that of least squares over the brightness (Lucas and Kanade 1981), gain and offset
    of the exposure too, at half the coarse size. Where it leaves much unexplained, it is not known.
    """
    width, height = half = (grid.coarse[0] // 2, grid.coarse[1] // 2)
    after, before = (
        cv2.resize(grey, half, interpolation=cv2.INTER_AREA).astype(np.float32)
        for grey in (now, warped)
    )
    scale = np.array((width, height)) / grid.size
    fx, fy = np.diagonal(grid.K)[:2] * scale
    x = ((np.arange(width) + 0.5 - grid.K[0, 2] * scale[0]) / fx).astype(np.float32)
    y = ((np.arange(height) + 0.5 - grid.K[1, 2] * scale[1]) / fy).astype(np.float32)[:, None]
    across, down = (
        cv2.Sobel(before, cv2.CV_32F, *order, ksize=3, scale=f / 8)
        for order, f in (((1, 0), fx), ((0, 1), fy))
    )
    # The last three of the motion field in core.egomotion.
    turns = (-down - y * (x * across + y * down), across + x * (x * across + y * down))
    parts = (*turns, x * down - y * across, before, after)
    field = np.stack([part[1:-1, 1:-1].ravel() for part in parts])
    field -= field.mean(1, keepdims=True)  # of the brightness, it is the offset
    products = (field @ field.T).astype(np.float64)
    normal, wanted, contrast = products[:4, :4], products[:4, 4], products[4, 4]
    found = np.linalg.solve(normal + np.diag(1e-6 * np.diagonal(normal) + 1e-3), wanted)
    turn = degrees(float(np.linalg.norm(found[:3])))
    return turn > _GUESS_DEG or contrast - found @ wanted > _UNEXPLAINED**2 * contrast


def _is_off(grid: Grid, left: Map) -> bool:
    """Say whether the flow (n, 2) that a pose leaves is enough to look for a turn in it."""
    least = np.radians(_POSE_OFF_DEG / 2) * grid.K[0, 0] * grid.coarse[0] / grid.size[0]
    return bool(np.median(np.hypot(left[:, 0], left[:, 1])) > least)


def _returns(back: Map, forth: Map) -> NDArray[np.bool_]:
    """Say of each pixel whether its flow there and back ends where it began."""
    height, width = back.shape[:2]
    x = back[..., 0] + np.arange(width, dtype=np.float32)
    y = back[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    there = back + cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    off = cv2.magnitude(there[..., 0], there[..., 1])
    return np.asarray((off < _RETURNS_WITHIN) & inside)


def _has_texture(picture: Grey) -> NDArray[np.bool_]:
    """Say where flow can be told at all: there the picture is not even."""
    edges = cv2.Laplacian(cv2.GaussianBlur(picture, (3, 3), 0), cv2.CV_32F, ksize=3)
    return np.asarray(cv2.blur(np.abs(edges), (5, 5)) > 2.0)


def _points(wanted: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    part = wanted[_POINT_STEP // 2 :: _POINT_STEP, _POINT_STEP // 2 :: _POINT_STEP]
    rows, columns = np.nonzero(part)
    return (
        rows * _POINT_STEP + _POINT_STEP // 2,
        columns * _POINT_STEP + _POINT_STEP // 2,
    )


def relative_pose(
    T_fixed_before: NDArray[np.float64], T_fixed_now: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return T_before_now."""
    return np.asarray(inverse(T_fixed_before) @ T_fixed_now, np.float64)
