"""Range measurements on the grid of a picture: which of them may anchor a prediction, and where.

A LiDAR does not stand where the camera stands, and a network's edges are not where the world's
are. What a nearer surface hides, what hangs on an edge and what repeats its neighbour is dropped
here and counted by reason, so that the fits see points that belong to their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, ImageError, check_ranges

Mask = NDArray[np.bool_]

# In the order in which they are tried: each point is counted under the first that holds.
REASONS = ("behind", "range", "outside", "occluded", "edge", "crowded")
# Points around a point that make its neighbourhood: a ring LiDAR then reaches the next ring.
_NEIGHBOURS = 12
_LEVELS = 3
# More points in a depth picture than this make it dense: a lattice of its pixels says enough.
_DENSE = 50_000


def _part(rows: slice | list[int], columns: slice) -> NDArray[np.uint8]:
    """Return the kernel of a part of the window of 5×5 cells."""
    kernel = np.zeros((5, 5), np.uint8)
    kernel[rows, columns] = 1
    return kernel


# Parts that lie opposite each other. Narrow ones: on ground seen at a low angle, the lower halves
# of left and right would be a nearer surface.
_OPPOSITE = (
    (_part(slice(2, 3), slice(0, 2)), _part(slice(2, 3), slice(3, 5))),
    (_part(slice(0, 2), slice(2, 3)), _part(slice(3, 5), slice(2, 3))),
    (_part(slice(0, 2), slice(0, 2)), _part(slice(3, 5), slice(3, 5))),
    (_part(slice(0, 2), slice(3, 5)), _part(slice(3, 5), slice(0, 2))),
)
# Of a single line of points the near ones run some pixels above or below the far ones.
_LINE = (_part(slice(1, 4), slice(0, 2)), _part(slice(1, 4), slice(3, 5)))
_BESIDE_LINE = _part([0, 4], slice(0, 5))


@dataclass(frozen=True)
class AnchorOptions:
    """Which points may anchor a prediction.

    Attributes:
        min_m: nearest depth along Z, metres; 0 or more.
        max_m: farthest depth along Z, metres.
        occlusion_ratio: a point is hidden where points on opposite sides of it are nearer by this
            part of its depth; unit-less, below 1, and 0 is off.
        occlusion_radius: how far from it such points may be where the points lie thin; part of
            the picture's longer side.
        edge_jump: a point is on an edge where the prediction around it varies by this part of its
            largest value there; unit-less, and 0 is off.
        edge_radius_px: how far around it; pixels of the prediction.
        edge_floor: smaller values than this part of the picture's large ones (98 %) count as
            that, for the ratio of two disparities near 0 says nothing. 0 for a prediction of
            depth.
        cell_px: the nearest point of each cell of so many pixels is kept; 1 keeps one a pixel.
        max_count: of anchors; from more, a sample spread over the picture is kept.

    Raises:
        ParameterError: where one is out of its range.
    """

    min_m: float = 0.1
    max_m: float = 120.0
    occlusion_ratio: float = 0.1
    occlusion_radius: float = 1 / 32
    edge_jump: float = 0.2
    edge_radius_px: int = 2
    edge_floor: float = 0.1
    cell_px: int = 4
    max_count: int = 5000

    def __post_init__(self) -> None:
        ranges = {
            "max_m": self.min_m < self.max_m,
            "min_m": self.min_m >= 0,
            "occlusion_ratio": 0 <= self.occlusion_ratio < 1,
            "occlusion_radius": 0 < self.occlusion_radius <= 1,
            "edge_jump": self.edge_jump >= 0,
            "edge_radius_px": self.edge_radius_px >= 1,
            "edge_floor": 0 <= self.edge_floor <= 1,
            "cell_px": self.cell_px >= 1,
            "max_count": self.max_count >= 1,
        }
        check_ranges(self, ranges)


@dataclass(frozen=True, eq=False)
class Anchors:
    """Points whose depth and pixel are both known.

    Attributes:
        columns: float32 (n,), sub-pixel, on the grid of the prediction.
        rows: float32 (n,), likewise.
        depth_m: float32 (n,), metres along Z.
        seen: how many points came.
        dropped: how many were dropped, by each of ``REASONS``.
    """

    columns: NDArray[np.float32]
    rows: NDArray[np.float32]
    depth_m: NDArray[np.float32]
    seen: int
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.depth_m)

    @property
    def indices(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the nearest pixels, to index a map with."""
        return np.rint(self.rows).astype(np.intp), np.rint(self.columns).astype(np.intp)


def select_anchors(
    points_optical: NDArray[np.floating],
    camera: Camera,
    prediction: NDArray[np.float32] | None,
    options: AnchorOptions,
) -> Anchors:
    """Project points to the picture and keep those that may anchor its prediction.

    Args:
        points_optical: (N, 3 or more), metres in the camera's optical frame, at the time of the
            picture. NaN and Inf are beams without an echo.
        camera: of the prediction's grid, lens included.
        prediction: float32 (height, width), disparity or depth, NaN where it is not known; None
            leaves the edges untested.
        options: what to drop.

    Returns:
        The anchors, in the order of the points.

    Raises:
        CameraError: where the camera is of another size than the prediction.
        ImageError: where the points have no three columns.
    """
    if points_optical.ndim != 2 or points_optical.shape[1] < 3:
        raise ImageError(f"points must be (N, 3) in metres, got shape {points_optical.shape}")
    shape = (camera.height, camera.width)
    if prediction is not None and prediction.shape != shape:
        raise CameraError(
            f"the prediction is {prediction.shape[::-1]} and its camera {shape[::-1]}; scale the "
            "camera with Camera.scaled() first",
            reason="camera_size",
        )
    dropped = dict.fromkeys(REASONS, 0)
    near = _in_range(points_optical[:, 2], options, dropped)
    xyz = points_optical[near]
    with np.errstate(over="ignore"):  # pixels far outside become infinite
        found = np.vstack((camera.project(xyz[:, :3]).T, xyz[:, 2])).astype(np.float32)
    return _thinned(found, len(points_optical), dropped, shape, prediction, options)


def anchors_of_depth(
    depth_m: NDArray[np.floating], prediction: NDArray[np.float32] | None, options: AnchorOptions
) -> Anchors:
    """Take anchors from a sparse depth picture on the grid of the prediction.

    Nothing of it is taken to be hidden: it has one point of view.

    Args:
        depth_m: (height, width), metres along Z; NaN and 0 are no point. Of a dense picture, some
            50,000 pixels on a lattice are looked at.
        prediction: float32 (height, width) or None, as in ``select_anchors``.
        options: what to drop.

    Raises:
        ImageError: where the two are of different sizes.
    """
    if depth_m.ndim != 2 or (prediction is not None and prediction.shape != depth_m.shape):
        expected = "(height, width)" if prediction is None else prediction.shape
        raise ImageError(
            f"the sparse depth picture has shape {depth_m.shape} and should have {expected}; "
            "register it to the picture"
        )
    is_point = ~((depth_m == 0) | np.isnan(depth_m))
    seen = int(np.count_nonzero(is_point))
    step = int(np.ceil(np.sqrt(seen / _DENSE))) or 1
    rows, columns = (step * axis for axis in np.nonzero(is_point[::step, ::step]))
    values = depth_m[rows, columns]
    dropped = dict.fromkeys(REASONS, 0)
    dropped["crowded"] = seen - len(values)
    near = _in_range(values, options, dropped)
    found = np.stack((columns, rows, values)).astype(np.float32)[:, near]
    shape = (depth_m.shape[0], depth_m.shape[1])
    options = replace(options, occlusion_ratio=0)
    return _thinned(found, seen, dropped, shape, prediction, options)


def _in_range(
    z: NDArray[np.floating], options: AnchorOptions, dropped: dict[str, int]
) -> NDArray[np.intp]:
    """Find the depths in front and in range, and count the others."""
    near = np.flatnonzero((z > 0) & (z >= options.min_m) & (z <= options.max_m))
    dropped["behind"] = int(np.count_nonzero((z <= 0) & (z > -np.inf)))
    dropped["range"] = len(z) - len(near) - dropped["behind"]
    return near


def _thinned(
    found: NDArray[np.float32],
    seen: int,
    dropped: dict[str, int],
    shape: tuple[int, int],
    prediction: NDArray[np.float32] | None,
    options: AnchorOptions,
) -> Anchors:
    """Drop columns of found (3, n), column, row and depth, by one reason after the other."""

    def keep(kept: Mask, reason: str) -> None:
        nonlocal found
        dropped[reason] += len(kept) - int(np.count_nonzero(kept))
        found = found[:, kept]

    # As float32, so that no half-way pixel rounds to one outside.
    limit = np.array([[shape[1] - 0.5], [shape[0] - 0.5]], np.float32)
    is_inside = (found[:2] >= -0.5) & (found[:2] < limit)
    keep(is_inside[0] & is_inside[1], "outside")
    if options.occlusion_ratio > 0:
        keep(~hidden_points(found[0], found[1], found[2], shape, options), "occluded")
    if prediction is not None:
        keep(np.isfinite(prediction[_pixels(found)]), "outside")
    if prediction is not None and options.edge_jump > 0 and found.size:
        keep(_smooth_around(prediction, _pixels(found), options), "edge")
    keep(_nearest_of_cells(found, shape, options.cell_px), "crowded")
    keep(_spread(found, shape, options.max_count), "crowded")
    return Anchors(found[0], found[1], found[2], seen, dropped)


def _pixels(found: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the nearest pixels of found (3, n)."""
    return np.rint(found[1]).astype(np.intp), np.rint(found[0]).astype(np.intp)


def _cells(
    columns: NDArray[np.float32], rows: NDArray[np.float32], shape: tuple[int, int], cell_px: float
) -> tuple[NDArray[np.intp], tuple[int, int]]:
    """Return the flat index of each point's cell, and the (height, width) of the grid of cells."""
    height, width = (int(np.ceil(size / cell_px)) for size in shape)
    row = ((rows + 0.5) / np.float32(cell_px)).astype(np.intp)
    column = ((columns + 0.5) / np.float32(cell_px)).astype(np.intp)
    return np.minimum(row, height - 1) * width + np.minimum(column, width - 1), (height, width)


def hidden_points(
    columns: NDArray[np.float32],
    rows: NDArray[np.float32],
    depth_m: NDArray[np.float32],
    shape: tuple[int, int],
    options: AnchorOptions,
) -> Mask:
    """Find the points that lie behind a surface which nearer points around them span.

    What lies behind both of two opposite neighbours (left and right, above and below, or across)
    is hidden by the surface between them. One side alone says nothing: the ground is nearer below,
    and so is an object beside a wall that is seen. Of a planar scan whose near and far points lie
    farther apart in the picture than the neighbourhood, nobody knows what hides what: all stay.

    The neighbourhood is a window of 5×5 cells, of the finest of three sizes with which it holds a
    dozen points, as the density of a LiDAR differs along and across its rings and with distance
    (after Biasutti et al., "Visibility estimation in point clouds with variable density", VISAPP
    2019, who compare with the k nearest neighbours in the picture).

    Args:
        columns: float32 (n,), in the picture.
        rows: float32 (n,), likewise.
        depth_m: float32 (n,), positive.
        shape: (height, width) of the picture.
        options: ``occlusion_ratio`` and ``occlusion_radius``.

    Returns:
        bool (n,), True where hidden.
    """
    hidden = np.zeros(len(depth_m), np.bool_)
    remaining = np.arange(len(depth_m))
    coarsest_px = options.occlusion_radius * max(shape) / 2.5
    for level in reversed(range(_LEVELS)):
        ids, grid = _cells(columns, rows, shape, max(coarsest_px / 2**level, 1.0))
        here = ids[remaining]
        is_dense = _counts_around(ids, grid)[here] >= (_NEIGHBOURS if level else 0)
        chosen = remaining[is_dense]
        if len(chosen):
            surface = _surface_depth(ids, depth_m, grid)[here[is_dense]]
            hidden[chosen] = surface < depth_m[chosen] * np.float32(1 - options.occlusion_ratio)
        remaining = remaining[~is_dense]
    return hidden


def _counts_around(ids: NDArray[np.intp], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return for each cell the number of points in the window of 5×5 cells about it, flat."""
    counts = np.bincount(ids, minlength=grid[0] * grid[1]).astype(np.float32).reshape(grid)
    around = cv2.boxFilter(counts, -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(around, np.float32).ravel()


def _surface_depth(
    ids: NDArray[np.intp], depth_m: NDArray[np.float32], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """Return for each cell, flat, the nearest depth spanned across it, +Inf where none is."""
    nearest = np.full(grid, np.inf, np.float32)
    np.minimum.at(nearest.reshape(-1), ids, depth_m)

    def lowest(part: NDArray[np.uint8]) -> NDArray[np.float32]:
        eroded = cv2.erode(nearest, part, borderType=cv2.BORDER_CONSTANT, borderValue=float(np.inf))
        return np.asarray(eroded, np.float32)

    surface = np.maximum(lowest(_LINE[0]), lowest(_LINE[1]))
    surface[np.isfinite(lowest(_BESIDE_LINE))] = np.inf
    for one, other in _OPPOSITE:
        np.minimum(surface, np.maximum(lowest(one), lowest(other)), out=surface)
    return surface.ravel()


def _smooth_around(
    prediction: NDArray[np.float32],
    at: tuple[NDArray[np.intp], NDArray[np.intp]],
    options: AnchorOptions,
) -> Mask:
    """Find the pixels (rows, columns) around which the prediction has no edge."""
    kernel = np.ones((2 * options.edge_radius_px + 1,) * 2, np.uint8)
    low_of, high_of = prediction, prediction
    unknown = np.isnan(prediction)
    if unknown.any():
        low_of = np.where(unknown, np.float32(np.inf), prediction)
        high_of = np.where(unknown, np.float32(-np.inf), prediction)
    low, high = cv2.erode(low_of, kernel)[at], cv2.dilate(high_of, kernel)[at]
    sample = prediction[::8, ::8]
    sample = np.abs(sample[np.isfinite(sample)])
    large = np.quantile(sample, 0.98) if len(sample) else 0.0
    floor = np.float32(options.edge_floor * large)
    # Not high - low > jump · max(high, floor), which is NaN beside +Inf.
    is_edge = (low < (1 - options.edge_jump) * high) & (high - low > options.edge_jump * floor)
    return np.asarray(~is_edge)


def _nearest_of_cells(found: NDArray[np.float32], shape: tuple[int, int], cell_px: int) -> Mask:
    """Mark the nearest point of each cell; of equal ones, one."""
    columns, rows, depth_m = found
    ids, grid = _cells(columns, rows, shape, cell_px)
    nearest = np.full(grid[0] * grid[1], np.inf, np.float32)
    np.minimum.at(nearest, ids, depth_m)
    candidates = np.flatnonzero(depth_m == nearest[ids])
    owner = np.empty(grid[0] * grid[1], np.intp)
    owner[ids[candidates]] = candidates
    kept = np.zeros(len(depth_m), np.bool_)
    kept[owner[ids[candidates]]] = True
    return kept


def _spread(found: NDArray[np.float32], shape: tuple[int, int], count: int) -> Mask:
    """Mark at most count points: the first of every coarse cell, then the second of each, and on.

    Dense parts of the picture give way to thin ones, which have nothing else to hold them.
    """
    columns, rows, _ = found
    total = len(columns)
    if total <= count:
        return np.ones(total, np.bool_)
    side = max(1.0, float(np.sqrt(4 * shape[0] * shape[1] / count)))
    ids, _ = _cells(columns, rows, shape, side)
    shuffle = np.random.default_rng(0).permutation(total)
    order = np.lexsort((shuffle, ids))
    is_first = np.diff(ids[order], prepend=-1) != 0
    position = np.arange(total)
    rank = position - np.maximum.accumulate(np.where(is_first, position, 0))
    kept = np.zeros(total, np.bool_)
    kept[order[np.lexsort((shuffle[order], rank))[:count]]] = True
    return kept


def points_of_scan(
    ranges_m: NDArray[np.floating],
    angle_min_rad: float,
    angle_increment_rad: float,
    range_min_m: float = 0.0,
    range_max_m: float = np.inf,
) -> NDArray[np.float64]:
    """Return the points of a planar scan, as sensor_msgs/LaserScan describes it.

    Args:
        ranges_m: (n,), metres; NaN and Inf are no echo (REP 117).
        angle_min_rad: of the first beam, about z from the x axis, counter-clockwise.
        angle_increment_rad: from beam to beam.
        range_min_m: what is nearer is no measurement.
        range_max_m: what is farther is none.

    Returns:
        float64 (n, 3), metres in the scanner's frame (REP 103: x forward, y left, z up; z is 0),
        NaN where there is no measurement.
    """
    ranges = _measured(np.asarray(ranges_m, np.float64), range_min_m, range_max_m)
    angles = angle_min_rad + angle_increment_rad * np.arange(len(ranges))
    flat = np.where(np.isnan(ranges), np.nan, 0.0)
    return np.stack((ranges * np.cos(angles), ranges * np.sin(angles), flat), axis=-1)


@dataclass(frozen=True, eq=False)
class Beam:
    """A single range, as of sonar or an infrared ranger.

    Attributes:
        points: float64 (1, 3), on the axis, metres in the sensor's frame (x forward); NaN where
            there is no measurement.
        field_of_view_rad: of the whole cone. The echo came from the nearest surface somewhere in
            it, so a wide one says little about the pixel on its axis.
    """

    points: NDArray[np.float64]
    field_of_view_rad: float

    @property
    def footprint_m(self) -> float:
        """Diameter of the cone where the echo came from, in metres."""
        return float(2 * self.points[0, 0] * np.tan(self.field_of_view_rad / 2))


def beam_of_range(
    range_m: float, field_of_view_rad: float, range_min_m: float = 0.0, range_max_m: float = np.inf
) -> Beam:
    """Return the point of a sensor_msgs/Range, on the x axis of the sensor (REP 117 for Inf)."""
    measured = float(_measured(np.array([range_m], np.float64), range_min_m, range_max_m)[0])
    flat = measured * 0.0
    return Beam(np.array([[measured, flat, flat]]), field_of_view_rad)


def _measured(
    ranges_m: NDArray[np.float64], range_min_m: float, range_max_m: float
) -> NDArray[np.float64]:
    good = np.isfinite(ranges_m) & (ranges_m >= range_min_m) & (ranges_m <= range_max_m)
    return np.where(good & (ranges_m > 0), ranges_m, np.nan)
