import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.anchors import (
    REASONS,
    AnchorOptions,
    anchors_of_depth,
    beam_of_range,
    hidden_points,
    points_of_scan,
    select_anchors,
)
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError, ImageError, ParameterError
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.core.recording import frames_of, load_lidar

SHAPE = (480, 640)
CAMERA = Camera(640, 480, (500, 0, 319.5, 0, 500, 239.5, 0, 0, 1))
LENS = Camera(640, 480, CAMERA.K, (-0.2, 0.05, 1e-3, -1e-3, 0.01))
ALL = AnchorOptions(occlusion_ratio=0, edge_jump=0, cell_px=1, max_count=10**9)


def seen_at(pixels, depth_m, camera=CAMERA):
    """Points that are seen at pixels (n, 2), column and row."""
    rays = camera.unproject(np.asarray(pixels, np.float64))
    return rays * np.broadcast_to(depth_m, len(rays))[:, None]


def grid_of(step, shape=SHAPE):
    columns, rows = np.meshgrid(np.arange(step, shape[1], step), np.arange(step, shape[0], step))
    return np.stack((columns.ravel(), rows.ravel()), axis=-1).astype(np.float64)


@pytest.mark.parametrize("camera", [CAMERA, LENS])
def test_anchors_lie_where_the_lens_puts_them(camera):
    pixels = np.random.default_rng(0).uniform((0, 0), (639, 479), (50, 2))
    depth = np.linspace(1, 20, 50)
    anchors = select_anchors(seen_at(pixels, depth, camera), camera, None, ALL)
    np.testing.assert_allclose(anchors.columns, pixels[:, 0], atol=1e-3)
    np.testing.assert_allclose(anchors.rows, pixels[:, 1], atol=1e-3)
    np.testing.assert_allclose(anchors.depth_m, depth, rtol=1e-6)
    rows, columns = anchors.indices
    np.testing.assert_array_equal(rows, np.rint(pixels[:, 1]))
    np.testing.assert_array_equal(columns, np.rint(pixels[:, 0]))
    assert len(anchors) == anchors.seen == 50 and not any(anchors.dropped.values())


def test_each_reason_is_counted():
    prediction = np.ones(SHAPE, np.float32)
    prediction[:, 400:] = 2  # an edge between the columns 399 and 400
    prediction[:50] = np.nan
    pixels = [(100, 100), (101, 100), (400, 300), (396, 300), (200, 10), (300, 200), (300, 200)]
    points = seen_at(pixels, [5, 4, 3, 3, 3, 100, 0.2])
    unseen = np.array([[0, 0, -1], [0, 0, 0], [9, 0, 1], [np.nan, 0, 1], [np.nan] * 3])
    options = AnchorOptions(min_m=0.5, max_m=50)
    anchors = select_anchors(np.concatenate((points, unseen)), CAMERA, prediction, options)
    assert anchors.seen == 12
    assert anchors.depth_m.tolist() == [4, 3]
    assert anchors.columns.tolist() == [101, 396]
    assert anchors.dropped == {
        "behind": 2,
        "range": 3,
        "outside": 3,
        "occluded": 0,
        "edge": 1,
        "crowded": 1,
    }


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 300), st.booleans())
def test_every_point_is_kept_or_counted_once(seed, count, has_prediction):
    rng = np.random.default_rng(seed)
    points = rng.normal((0, 0, 2), 3, (count, 3))
    points[rng.random((count, 3)) < 0.02] = rng.choice([np.nan, np.inf, -np.inf, 0])
    prediction = rng.uniform(1, 1.3, SHAPE).astype(np.float32) if has_prediction else None
    options = AnchorOptions(max_count=20)
    anchors = select_anchors(points, LENS, prediction, options)
    assert tuple(anchors.dropped) == REASONS
    assert len(anchors) + sum(anchors.dropped.values()) == anchors.seen == count
    assert len(anchors) <= 20
    rows, columns = anchors.indices
    assert ((rows >= 0) & (rows < 480) & (columns >= 0) & (columns < 640)).all()
    assert ((anchors.depth_m >= options.min_m) & (anchors.depth_m <= options.max_m)).all()


def test_the_outer_half_pixel_belongs_to_the_picture():
    pixels = [(-0.49, -0.49), (639.49, 479.49), (-0.51, 0), (639.51, 0), (0, 479.51)]
    anchors = select_anchors(seen_at(pixels, 2.0), CAMERA, None, ALL)
    assert anchors.dropped["outside"] == 3
    rows, columns = anchors.indices
    assert rows.tolist() == [0, 479] and columns.tolist() == [0, 639]


@pytest.mark.parametrize("count", [0, 1, 2, 13])
def test_few_points_are_all_kept(count):
    pixels = grid_of(60)[:count]
    anchors = select_anchors(
        seen_at(pixels, 2.0), CAMERA, np.ones(SHAPE, np.float32), AnchorOptions()
    )
    assert len(anchors) == anchors.seen == count
    assert anchors.columns.dtype == anchors.rows.dtype == anchors.depth_m.dtype == np.float32


def test_a_cell_keeps_its_nearest_and_of_equal_ones_one():
    pixels = [(8, 8), (9, 8), (8, 9), (12, 8), (13, 9), (400, 8)]
    points = seen_at(pixels, [3.0, 2.9, 3.1, 2.5, 2.5, 9.0])
    anchors = select_anchors(points, CAMERA, None, AnchorOptions(cell_px=4))
    assert sorted(anchors.depth_m.tolist()) == pytest.approx([2.5, 2.9, 9.0])
    assert anchors.dropped["crowded"] == 3


def test_too_many_give_way_where_they_are_dense():
    dense, thin = grid_of(4), grid_of(40)
    dense, thin = dense[dense[:, 0] < 300], thin[thin[:, 0] > 340]
    points = seen_at(np.concatenate((dense, thin)), 2.0)
    anchors = select_anchors(points, CAMERA, None, AnchorOptions(max_count=500))
    assert len(anchors) == 500
    assert np.count_nonzero(anchors.columns > 340) == len(thin)
    # The dense half is thinned evenly: no part of 100 x 120 pixels is left empty or full.
    left = anchors.columns < 300
    counts, _, _ = np.histogram2d(
        anchors.columns[left], anchors.rows[left], bins=(3, 4), range=((0, 300), (0, 480))
    )
    assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.4 * counts.mean()


def edges_of(prediction, **options):
    pixels = grid_of(1, (41, 61)) - (1, 1)
    camera = CAMERA.cropped(0, 0, 60, 40)
    return select_anchors(
        seen_at(pixels, 2.0, camera),
        camera,
        prediction.astype(np.float32),
        AnchorOptions(occlusion_ratio=0, cell_px=1, **options),
    )


def test_points_beside_a_step_of_the_prediction_are_dropped():
    step = np.ones((40, 60))
    step[:, 30:] = 1.3
    anchors = edges_of(step)
    # 28 and 29 reach the 1.3 within two pixels, 30 and 31 the 1.
    assert sorted(set(anchors.columns.tolist())) == [*range(28), *range(32, 60)]
    assert anchors.dropped["edge"] == 4 * 40
    assert edges_of(step, edge_jump=0.25).dropped["edge"] == 0
    assert edges_of(step, edge_radius_px=1).dropped["edge"] == 2 * 40


@given(st.floats(1e-3, 1e3), st.floats(1.0, 2.0))
@settings(max_examples=25)
def test_edges_do_not_depend_on_the_unit_of_the_prediction(unit, high):
    step = np.ones((40, 60))
    step[:, 30:] = high
    is_edge = high > 1.25
    if abs(high - 1.25) > 1e-3:
        assert edges_of(unit * step).dropped["edge"] == 4 * 40 * is_edge


def test_a_floor_up_to_the_horizon_is_no_edge():
    # The disparity of a plane is linear in the row, 0 at the horizon. Around row 240 + r, r > 2, it
    # varies by 4 of r + 2: an edge by itself up to r = 17.
    floor = np.repeat(np.maximum(np.arange(480) - 240.0, 0)[:, None], 640, axis=1)
    points = seen_at([(300, row) for row in range(240, 480)], 2.0)

    def rows(edge_floor):
        options = AnchorOptions(cell_px=1, edge_floor=edge_floor)
        return select_anchors(points, CAMERA, floor.astype(np.float32), options).rows.tolist()

    assert rows(0.0) == list(range(258, 480))
    assert rows(0.1) == list(range(240, 480))


def test_sky_and_unknown_pixels_of_a_depth_prediction():
    depth = np.full((40, 60), 5.0)
    depth[:10] = np.inf
    depth[30:] = np.nan
    anchors = edges_of(depth, edge_floor=0)
    # Beside the sky there is an edge, beside unknown pixels there is none.
    assert (anchors.rows.min(), anchors.rows.max()) == (12, 29)
    assert anchors.dropped["outside"] == 20 * 60 and anchors.dropped["edge"] == 2 * 60


def box_before_a_wall(lidar, azimuth_deg, elevation_deg):
    """Cast rays from a LiDAR at a box (Z = 2, |x| < 0.4, |y| < 0.5) before a wall (Z = 6).

    Returns the points in the picture, in the optical frame, and which of them the box hides.
    """
    azimuth, elevation = np.meshgrid(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    ray = np.stack((np.tan(azimuth), np.tan(elevation) / np.cos(azimuth), 0 * azimuth + 1), -1)
    ray, origin = ray.reshape(-1, 3), np.array(lidar)
    box, wall = (origin + (z - origin[2]) * ray for z in (2.0, 6.0))
    meets = (np.abs(box[:, :2]) < (0.4, 0.5)).all(-1)
    points = np.where(meets[:, None], box, wall)
    behind = ~meets & (np.abs(points[:, :2] / 3) < (0.4, 0.5)).all(-1)
    pixels = CAMERA.project(points)
    inside = ((pixels > 0) & (pixels < (639, 479))).all(-1)
    return points[inside], behind[inside]


def hidden(points, ratio=0.1):
    pixels = CAMERA.project(points).astype(np.float32)
    options = AnchorOptions(occlusion_ratio=ratio)
    depth = points[:, 2].astype(np.float32)
    return hidden_points(pixels[:, 0], pixels[:, 1], depth, SHAPE, options)


FINE = np.arange(-40, 40, 0.2)
SENSORS = {
    "64 rings": ((0.3, -0.2, -0.1), FINE, np.arange(-24, 24, 0.4), 0.95),
    "16 rings": ((0.3, -0.2, -0.1), FINE, np.arange(-15, 16, 2.0), 0.6),
    "scan beside": ((0.3, 0.0, 0.0), np.arange(-40, 40, 0.5), [0.0], 0.9),
    "coarse scan": ((0.3, 0.0, 0.0), np.arange(-40, 40, 1.0), [0.0], 0.8),
    "scan below": ((0.3, 0.02, 0.0), np.arange(-40, 40, 0.5), [0.0], 0.8),
}


@pytest.mark.parametrize("name", SENSORS)
def test_what_the_box_hides_from_the_camera_is_found(name):
    *sensor, least = SENSORS[name]
    points, behind = box_before_a_wall(*sensor)
    found = hidden(points)
    assert behind.sum() > 3
    assert found[behind].mean() > least
    assert found[~behind].mean() < 0.005
    assert not found[points[:, 2] < 3].any()  # never the box itself
    assert not hidden(points, ratio=0.7).any()  # the wall is three times as far: 1 - 1 / 3 < 0.7


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_neither_order_nor_unit_of_the_points_matters(seed, unit):
    points, _ = box_before_a_wall((0.3, -0.2, -0.1), FINE[::2], np.arange(-24, 24, 0.8))
    order = np.random.default_rng(seed).permutation(len(points))
    np.testing.assert_array_equal(hidden(points[order] * unit), hidden(points)[order])


@pytest.mark.parametrize("step_deg", [0.4, 2.0])
def test_ground_and_a_corner_hide_nothing(step_deg):
    pixels = grid_of(500 * np.deg2rad(step_deg))
    below = pixels[pixels[:, 1] > 260]
    ground = seen_at(below, 1.5 * 500 / (below[:, 1] - 239.5))  # 1.5 m below the camera
    assert ground[:, 2].max() > 30
    assert not hidden(ground).any()
    # Two walls at 45° that meet 5 m away: the corner is behind what is left and right of it.
    rays = CAMERA.unproject(pixels)
    assert not hidden(rays * (5 / (1 + np.abs(rays[:, :1])))).any()


def test_a_sparse_depth_picture_is_the_same_points():
    rng = np.random.default_rng(0)
    depth = np.zeros(SHAPE, np.float32)
    at = rng.integers(0, 480, 400), rng.integers(0, 640, 400)
    depth[at] = rng.uniform(1, 30, 400)
    depth[0, 0], depth[0, 1], depth[0, 2] = np.nan, np.inf, -1
    prediction = rng.uniform(1, 1.1, SHAPE).astype(np.float32)
    anchors = anchors_of_depth(depth, prediction, AnchorOptions())
    rows, columns = np.nonzero(depth > 0)
    finite = np.isfinite(depth[rows, columns])
    pixels = np.stack((columns, rows), axis=-1)[finite]
    same = select_anchors(
        seen_at(pixels, depth[rows, columns][finite]),
        CAMERA,
        prediction,
        AnchorOptions(occlusion_ratio=0),  # a depth picture hides nothing of itself
    )
    assert anchors.seen == same.seen + 2
    assert (anchors.dropped["range"], anchors.dropped["behind"]) == (1, 1)
    np.testing.assert_array_equal(anchors.depth_m, same.depth_m)
    np.testing.assert_array_equal(anchors.indices, same.indices)


def test_of_a_dense_depth_picture_a_lattice_is_looked_at():
    rows, columns = np.indices(SHAPE)
    depth = (2 + columns / 320 + rows / 480).astype(np.float32)
    anchors = anchors_of_depth(depth, None, AnchorOptions())
    assert anchors.seen == 640 * 480 and len(anchors) == 5000
    assert len(anchors) + sum(anchors.dropped.values()) == anchors.seen
    assert anchors.dropped["occluded"] == 0
    np.testing.assert_array_equal(anchors.depth_m, depth[anchors.indices])


def test_a_scan_becomes_points():
    ranges = np.array([1.0, 2.0, np.inf, np.nan, 0.05, 99.0, -1.0])
    points = points_of_scan(ranges, -np.pi / 2, np.pi / 4, 0.1, 50)
    assert points.shape == (7, 3)
    np.testing.assert_allclose(points[0], [0, -1, 0], atol=1e-15)  # x forward, y left
    np.testing.assert_allclose(points[1], [np.sqrt(2), -np.sqrt(2), 0])
    assert np.isnan(points[2:]).all()
    # Beams without an echo are counted, wherever they pointed.
    to_optical = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    anchors = select_anchors(transformed(points[1:], to_optical), CAMERA, None, ALL)
    assert anchors.dropped["range"] == 5


def test_a_single_range_lies_on_the_axis():
    beam = beam_of_range(2.0, np.deg2rad(30), 0.1, 5.0)
    assert beam.points.tolist() == [[2.0, 0.0, 0.0]]
    assert beam.footprint_m == pytest.approx(4 * np.tan(np.deg2rad(15)))
    assert beam.field_of_view_rad == pytest.approx(np.pi / 6)
    for silent in (np.inf, -np.inf, np.nan, 0.05, 6.0):
        assert np.isnan(beam_of_range(silent, 0.5, 0.1, 5.0).points).all()


def test_what_does_not_fit_is_refused():
    points = np.ones((2, 3))
    with pytest.raises(CameraError, match=r"\(60, 40\) and its camera \(640, 480\)"):
        select_anchors(points, CAMERA, np.ones((40, 60), np.float32), ALL)
    with pytest.raises(ImageError, match=r"got shape \(2, 2\)"):
        select_anchors(points[:, :2], CAMERA, None, ALL)
    with pytest.raises(ImageError, match="register it"):
        anchors_of_depth(np.ones((4, 6)), np.ones((40, 60), np.float32), ALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_m", -1),
        ("max_m", 0.05),
        ("max_m", float("nan")),
        ("occlusion_ratio", 1),
        ("occlusion_radius", 0),
        ("edge_jump", -1),
        ("edge_radius_px", 0),
        ("edge_floor", 2),
        ("cell_px", 0),
        ("max_count", 0),
    ],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ParameterError, match=f"AnchorOptions.{name} is "):
        AnchorOptions(**{name: value})


def real_points(folder, scale):
    frame = frames_of(folder)[0]
    calibration = frame.calibration
    camera = calibration.camera.scaled(calibration.width // scale, calibration.height // scale)
    return transformed(load_lidar(frame.lidar_file), calibration.T_camera_lidar), camera


def test_most_of_a_real_street_stays(shared_data):
    points, camera = real_points(shared_data / "kitti_000001", 1)
    anchors = select_anchors(points, camera, None, AnchorOptions(cell_px=1, max_count=10**6))
    inside = len(anchors) + anchors.dropped["occluded"] + anchors.dropped["crowded"]
    assert inside > 15000
    assert 0.01 < anchors.dropped["occluded"] / inside < 0.1
    # The road before the car, 5 to 15 m: all of it is seen.
    on_road = (np.abs(points[:, 0]) < 2) & (points[:, 1] > 1.5) & (np.abs(points[:, 2] - 10) < 5)
    assert on_road.sum() > 1000
    found = select_anchors(points[on_road], camera, None, ALL)
    kept = select_anchors(points, camera, None, AnchorOptions(cell_px=1, max_count=10**6))
    pairs = {(c, r) for c, r in zip(kept.columns, kept.rows, strict=True)}
    assert np.mean([(c, r) in pairs for c, r in zip(found.columns, found.rows, strict=True)]) > 0.99


@pytest.mark.parametrize("scale", [1, 3])
def test_the_laboratory_behind_the_real_chessboard_is_dropped(shared_data, scale):
    points, camera = real_points(shared_data / "lab_fisheye_vlp16_02", scale)
    # The chessboard's corners in the picture, some 10 pixels inwards; it stands at 2 m.
    board = np.array([[495, 428], [846, 64], [1123, 285], [723, 687]], np.float32) / scale

    def see_through(anchors):
        pixels = np.stack((anchors.columns, anchors.rows), axis=-1)
        on_board = np.array([cv2.pointPolygonTest(board, p, False) > 0 for p in pixels.tolist()])
        far = anchors.depth_m > 3
        return np.count_nonzero(on_board & far), np.count_nonzero(on_board & ~far)

    through, board_points = see_through(select_anchors(points, camera, None, ALL))
    kept = select_anchors(points, camera, None, AnchorOptions(cell_px=1, max_count=10**6))
    still_through, still_board = see_through(kept)
    assert through > 100
    assert still_through < 0.25 * through
    assert still_board > 0.98 * board_points
    assert len(kept) > 0.85 * (len(kept) + kept.dropped["occluded"] + kept.dropped["crowded"])
