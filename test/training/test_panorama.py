"""Views of a panorama that agree: against a room whose every range is known."""

import math

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.tools.command import main
from depth_anything_ros.training.panorama import (
    ASKED,
    GRID,
    AnsweredView,
    PanoramaDepth,
    agree,
    bring_to_ground,
    cut,
    cut_depth,
    directions,
    exposed,
    rings,
    rotation,
)
from depth_anything_ros.training.panorama_label import PanoramaOptions, read_light
from depth_anything_ros.training.samples import FolderSource

# The camera is 1.5 m above the floor of a room of 6 by 9 m.
NEAREST, FARTHEST = np.array([-3.0, -1.2, -4.0]), np.array([3.0, 1.5, 5.0])
OPEN = np.array([-3.0, -np.inf, -4.0]), FARTHEST  # without a ceiling


def range_of(unit, low=NEAREST, high=FARTHEST):
    """Return how far the room's sides are along unit vectors (..., 3); +Inf where it is open."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(unit > 0, high / unit, low / unit)
    return np.nanmin(far, -1)


def seen(camera, turned, room=(NEAREST, FARTHEST)):
    """Return the depth of the room as a camera sees it."""
    rays = camera.rays() @ turned.T
    length = np.linalg.norm(rays, axis=-1)
    return (range_of(rays / length[..., None], *room) / length).astype(np.float32)


def views(spread, room=(NEAREST, FARTHEST)):
    """Return views that a teacher has wrong by a factor each, and the logarithms of those."""
    turned = list(rings())
    factors = np.random.default_rng(3).normal(0, spread, len(turned))
    of_room = [
        AnsweredView(ASKED, R, seen(ASKED, R, room) * np.float32(math.exp(f)))
        for R, f in zip(turned, factors, strict=True)
    ]
    return of_room, factors


@pytest.fixture(scope="module")
def agreed():
    return agree(views(0.4)[0]), views(0.4)[1]


@pytest.mark.parametrize("yaw, pitch, roll", [(0, 0, 0), (90, 0, 0), (-140, 30, 5), (20, -50, -9)])
def test_a_view_is_cut_where_its_camera_looks(yaw, pitch, roll):
    turned = rotation(*np.radians([yaw, pitch, roll]))
    middle = turned @ (0, 0, 1)
    expected = (
        math.cos(math.radians(pitch)) * math.sin(math.radians(yaw)),
        -math.sin(math.radians(pitch)),
        math.cos(math.radians(pitch)) * math.cos(math.radians(yaw)),
    )
    assert np.allclose(middle, expected)
    camera = Camera.from_hfov(64, 48, 70.0)
    rays = camera.rays() @ turned.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    found = cut(directions(256, 512).astype(np.float32), camera, turned)
    assert np.abs(found - rays).max() < 0.02


def test_views_get_one_scale_where_they_overlap(agreed):
    depth, factors = agreed
    covered = depth.nearness > 0
    assert covered.mean() > 0.7  # but for the zenith and the feet of the tripod
    ratio = np.log(depth.nearness[covered] * range_of(directions(*GRID))[covered])
    assert np.percentile(np.abs(ratio - np.median(ratio)), 95) < 0.02
    assert np.median(ratio) == pytest.approx(-factors.mean(), abs=0.01)
    assert depth.spread == pytest.approx(factors.std(), rel=0.05)
    assert not depth.sky.any()


def test_the_height_of_the_camera_gives_metres(agreed):
    depth, factors = agreed
    grounded, height = bring_to_ground(depth, 1.5, level=False)
    assert height == pytest.approx(1.5 * math.exp(factors.mean()), rel=0.02)
    covered = depth.nearness > 0
    assert np.abs((grounded.nearness * range_of(directions(*GRID)))[covered] - 1).mean() < 0.02
    assert bring_to_ground(depth, None, level=False) == (depth, height)


def test_what_is_near_the_ground_comes_onto_its_plane():
    unit = directions(*GRID)
    truth = range_of(unit)
    wavy = np.exp(0.15 * np.sin(np.arange(GRID[1]) / 40))[None] / truth
    depth = PanoramaDepth(wavy.astype(np.float32), np.zeros(GRID, np.float32), 0.0)
    level, _ = bring_to_ground(depth, 1.5, level=True)
    floor = (range_of(unit) * unit[..., 1] > 1.499) & (unit[..., 1] > math.sin(math.radians(3)))
    before, after = (np.abs(np.log(one * truth)) for one in (wavy, level.nearness))
    assert after[floor].mean() < 0.2 * before[floor].mean()
    above = unit[..., 1] < 0
    assert np.allclose(after[above], before[above], atol=0.02)


def test_a_panorama_without_ground_below_keeps_its_scale():
    sky = PanoramaDepth(np.zeros(GRID, np.float32), np.ones(GRID, np.float32), 0.0)
    same, height = bring_to_ground(sky, 1.5, level=True)
    assert same is sky and math.isnan(height)


@pytest.mark.parametrize("hfov", [60.0, 115.0])
def test_a_label_is_the_depth_of_its_view(agreed, hfov):
    grounded, _ = bring_to_ground(agreed[0], 1.5, level=False)
    camera, turned = Camera.from_hfov(96, 72, hfov), rotation(1.0, -0.2, 0.05)
    found = cut_depth(grounded, camera, turned)
    error = np.abs(found / seen(camera, turned) - 1)
    assert np.median(error) < 0.01 and np.percentile(error, 98) < 0.05


def test_the_open_sky_is_infinitely_far_and_its_border_is_unknown():
    of_room, _ = views(0.2, OPEN)
    depth = agree(of_room)
    camera, turned = Camera.from_hfov(96, 72, 90.0), rotation(0.3, 0.4)
    found, truth = cut_depth(depth, camera, turned), seen(camera, turned, OPEN)
    known = ~np.isnan(found)
    assert known.mean() > 0.9
    assert (np.isposinf(found) == np.isposinf(truth))[known].mean() > 0.98


def test_nobody_knows_what_no_view_has_seen(agreed):
    found = cut_depth(agreed[0], Camera.from_hfov(96, 72, 60.0), rotation(0.0, -math.pi / 2))
    assert np.isnan(found[20:-20, 30:-30]).all() and np.isfinite(found).any()


def test_an_exposure_does_not_hang_on_the_unit_of_light():
    light = np.random.default_rng(0).random((64, 128, 3)).astype(np.float32) ** 4
    one, other = (exposed(light * k, ASKED, rotation(0, 0)) for k in (1.0, 300.0))
    assert one.dtype == np.uint8 and np.array_equal(one, other)
    brighter = exposed(light, ASKED, rotation(0, 0), gain=2.0)
    assert 60 < one.mean() < brighter.mean() < 250


def painted(rows=256):
    """Return the room with tiles on its sides: float32 (rows, 2 rows, 3), linear light."""
    unit = directions(rows, 2 * rows)
    place = unit * range_of(unit)[..., None]
    tiles = np.floor(place / 0.5 + 1e-3).sum(-1) % 2
    return np.stack([tiles * shade + 0.2 for shade in (0.7, 0.5, 0.3)], -1).astype(np.float32)


def label(pictures, output, *words, model="tiny", size="64"):
    common = ["--input", str(pictures), "--output", str(output), "--model", model]
    return main(["pseudo-label", *common, "--device", "cpu", "--input-size", size, *words])


@pytest.fixture(scope="module")
def panoramas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoramas")
    light = painted()
    assert cv2.imwrite(str(folder / "room.hdr"), light * 40)
    coded = (light.clip(0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    assert cv2.imwrite(str(folder / "same.png"), coded)
    return folder


def test_both_kinds_of_files_are_read_as_light(panoramas):
    hdr, png = (read_light(panoramas / name) for name in ("room.hdr", "same.png"))
    assert hdr.shape == png.shape == (256, 512, 3)
    assert np.abs(hdr / 40 - png).max() < 0.02
    assert hdr[..., 2].mean() > 1.2 * hdr[..., 0].mean()  # RGB of BGR


@pytest.mark.slow
def test_panoramas_become_a_folder_that_training_reads(panoramas, tmp_path, capsys):
    words = ["--panoramas", "--views", "3", "--camera-height", "1.5", "--level-ground"]
    assert label(panoramas, tmp_path / "labels", *words) == 0
    said = capsys.readouterr().out
    assert "2 of 2 panoramas" in said and "room.hdr: scales of its views differ by" in said
    source = FolderSource(tmp_path / "labels")
    assert source.count == 6
    for sample in map(source.get, range(6)):
        height, width = sample.rgb.shape[:2]
        assert sample.depth_m.shape == (height, width) and width in (384, 448)
        assert 60 <= 2 * math.degrees(math.atan(width / 2 / sample.focal_px)) <= 118
        assert (sample.depth_m > 0).mean() > 0.8
    assert label(panoramas, tmp_path / "labels", *words) == 0
    assert "0 of 2 panoramas" in capsys.readouterr().out
    words[2] = "1"
    assert label(panoramas, tmp_path / "labels", *words) != 0
    assert "views" in capsys.readouterr().err
    assert label(panoramas, tmp_path / "shape", *words, "--disparity") == 0
    shape = FolderSource(tmp_path / "shape").get(0)
    assert shape.depth_m is None and np.nanmedian(shape.disparity) > 0


@pytest.mark.parametrize(
    "words, model, said",
    [
        (["--views", "3"], "tiny", "--views: only with --panoramas"),
        (["--disparity"], "tiny", "--disparity: only with --panoramas"),
        (["--level-ground"], "tiny", "--level-ground: only with --panoramas"),
        (["--panoramas"], "tiny_relative", "take a teacher of metres"),
        (["--panoramas", "--level-ground"], "tiny", "needs --camera-height"),
        (["--panoramas", "--views", "0"], "tiny", "--views 0: give 1 or more"),
        (["--panoramas", "--camera-height", "nan"], "tiny", "give metres"),
    ],
)
def test_what_cannot_be_is_refused(panoramas, tmp_path, capsys, words, model, said):
    assert label(panoramas, tmp_path / "labels", *words, model=model) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "data, said",
    [
        (cv2.imencode(".png", np.zeros((60, 90, 3), np.uint8))[1].tobytes(), "twice as wide"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n", "room"),
        (b"#?RADIANCE\n\n+X 16 -Y 8\n", "without '-Y rows +X columns'"),
        (b"#?RADIANCE\n\n-Y 99999 +X 199998\n", "million pixels"),
        (b"", "room"),
        (b"GIF?", "room"),
    ],
)
def test_a_file_that_is_no_panorama_is_named(tmp_path, data, said):
    path = tmp_path / "room.hdr"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"room\.hdr") as caught:
        read_light(path)
    assert said in str(caught.value)


def test_options_say_what_they_need():
    with pytest.raises(SourceError, match="metres"):
        PanoramaOptions(camera_height_m=-1.0)
