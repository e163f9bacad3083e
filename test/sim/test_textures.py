import pytest
import torch

from depth_anything_ros.sim.scene import Texture
from depth_anything_ros.sim.textures import Paint, _int32, _mix, _noise, albedo, sky_colour

COLOUR = (0.6, 0.4, 0.3)
SECOND = (0.1, 0.2, 0.15)
PATTERNED = [kind for kind in Texture if kind != Texture.PLAIN]
# A wall that faces x: u is its y, v its z.
WALL = (1.0, 0.0, 0.0)


def paint_of(texture, count, scale=0.5, roughness=0.0, seed=0):
    return Paint(
        torch.full((count,), int(texture)),
        torch.tensor(COLOUR).expand(count, 3),
        torch.tensor(SECOND).expand(count, 3),
        torch.full((count,), scale),
        torch.full((count,), roughness),
        torch.full((count,), seed),
    )


def wall(uv, texture, footprint=0.0, **look):
    uv = torch.as_tensor(uv, dtype=torch.float32)
    count = len(uv)
    points, normals = torch.cat((torch.zeros(count, 1), uv), 1), torch.tensor(WALL).expand(count, 3)
    return albedo(
        points, normals, paint_of(texture, count, **look), torch.full((count,), footprint)
    )


def value_noise(points, seed):
    return _noise(points.T.contiguous(), _mix(_int32(seed)))


def grid(span=4.0, count=120):
    # Cell centres: the mean over whole periods is then the pattern's own.
    t = (torch.arange(count) + 0.5) / count * span
    return torch.cartesian_prod(t, t)


def distance(colours, expected):
    return (colours - torch.tensor(expected)).abs().amax(1)


def test_plain_is_its_colour_and_roughness_moves_it_about_it():
    torch.testing.assert_close(
        wall(grid(), Texture.PLAIN), torch.tensor(COLOUR).expand(120 * 120, 3), rtol=0, atol=0
    )
    rough = wall(grid(span=20.0), Texture.PLAIN, roughness=1.0) / torch.tensor(COLOUR)
    assert rough.std() > 0.1
    assert rough.mean() == pytest.approx(1.0, abs=0.02)
    half = wall(grid(span=20.0), Texture.PLAIN, roughness=0.5) / torch.tensor(COLOUR)
    torch.testing.assert_close(half - 1, (rough - 1) / 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize("texture", list(Texture))
def test_the_same_seed_gives_the_same_colours_and_they_are_albedo(texture):
    first = wall(grid(), texture, roughness=0.7, seed=12345678901234)
    again = wall(grid(), texture, roughness=0.7, seed=12345678901234)
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1
    # Fully rough, colours have to be clipped, and are.
    assert wall(grid(), texture, roughness=5.0).min() >= 0


@pytest.mark.parametrize("texture", [t for t in PATTERNED if t != Texture.CHECKER])
def test_seeds_differ_though_they_share_their_low_32_bits(texture):
    pictures = [wall(grid(), texture, seed=seed) for seed in (3, 4, 5, 3 + (1 << 40))]
    assert any(not torch.equal(pictures[0], other) for other in pictures[1:3])
    assert not torch.equal(pictures[0], pictures[3]) or texture == Texture.STRIPES


@pytest.mark.parametrize("texture", PATTERNED)
def test_a_pattern_has_contrast_up_close_and_one_colour_far_away(texture):
    near = wall(grid(), texture, seed=2)
    assert near.std(0).max() > 0.01
    # Three of the largest period that any pattern has: six scales, the length of a board.
    far = wall(grid(), texture, seed=2, roughness=1.0, footprint=9.0)
    assert far.std(0).max() < 1e-5


@pytest.mark.parametrize("texture", PATTERNED)
def test_far_away_a_pattern_has_its_mean_colour(texture):
    # A step that is no simple part of any period.
    uv = grid(span=12.37, count=600)
    far = wall(uv[:1], texture, seed=2, footprint=9.0)[0]
    torch.testing.assert_close(wall(uv, texture, seed=2).mean(0), far, rtol=0, atol=0.035)


def test_the_mean_of_lines_is_exact():
    brick, tile = (wall([(0.1, 0.1)], t, footprint=9.0)[0] for t in (Texture.BRICKS, Texture.TILES))
    mortar = 1 - (1 - 0.04) * (1 - 0.04 / 0.35)
    grout = 1 - (1 - 0.03) ** 2
    colour, second = torch.tensor(COLOUR), torch.tensor(SECOND)
    torch.testing.assert_close(brick, torch.lerp(colour, second, mortar), rtol=0, atol=1e-6)
    torch.testing.assert_close(tile, torch.lerp(colour, second, grout), rtol=0, atol=1e-6)


def test_checker_alternates_every_scale_in_both_directions():
    columns, rows = torch.meshgrid(torch.arange(-3, 4), torch.arange(-3, 4), indexing="ij")
    odd = (columns + rows).flatten() % 2 == 1
    for within in (0.05, 0.25, 0.45):
        uv = torch.stack((columns, rows), -1).reshape(-1, 2) * 0.5 + within
        colours = wall(uv, Texture.CHECKER)
        assert distance(colours[odd], SECOND).max() < 1e-3
        assert distance(colours[~odd], COLOUR).max() < 1e-3


def test_a_pixel_across_an_edge_sees_both_sides_by_their_share():
    # A pixel of 0.2 m, a quarter of it beyond the edge at 0.5 m.
    (colour,) = wall([(0.45, 0.25)], Texture.CHECKER, footprint=0.2)
    expected = torch.lerp(torch.tensor(COLOUR), torch.tensor(SECOND), 0.25)
    torch.testing.assert_close(colour, expected, rtol=0, atol=1e-5)


def test_bricks_lie_in_level_courses_with_every_other_one_moved_by_half():
    height = 0.35 * 0.5
    u = torch.arange(40) * 0.037
    for course in (-2, 0, 1, 5):
        bed = torch.stack((u, torch.full_like(u, course * height)), 1)
        assert distance(wall(bed, Texture.BRICKS), SECOND).max() < 1e-3
    for course in (0, 1, 2, 3):
        middle = (course + 0.5) * height
        start = 0.25 if course % 2 else 0.0
        joints = torch.tensor([(start + 0.5 * k, middle) for k in range(4)])
        assert distance(wall(joints, Texture.BRICKS), SECOND).max() < 1e-3
        bricks = wall(joints + torch.tensor((0.25, 0.0)), Texture.BRICKS)
        assert distance(bricks, SECOND).min() > 0.05
        # One brick is of one shade, all over; the next is of another.
        torch.testing.assert_close(
            wall(joints + torch.tensor((0.1, 0.05)), Texture.BRICKS), bricks, rtol=0, atol=1e-4
        )
        assert len(bricks[:, 0].unique()) == len(bricks)


def test_bricks_are_level_on_each_wall_and_lie_along_y_on_a_floor():
    count = 50
    points = torch.rand(count, 3, generator=torch.Generator().manual_seed(0))
    rest = (paint_of(Texture.BRICKS, count), torch.zeros(count))
    for axis, sign, up in ((0, 1, 2), (0, -1, 2), (1, 1, 2), (1, -1, 2), (2, 1, 1), (2, -1, 1)):
        normals = torch.full((count, 3), 0.3)
        normals[:, axis] = sign
        bed = points.clone()
        bed[:, up] = 0.175
        assert distance(albedo(bed, normals, *rest), SECOND).max() < 1e-3


def test_grout_runs_on_whole_tiles():
    t = torch.arange(20) * 0.061
    for line in (-1.0, 0.0, 1.5):
        across = torch.stack((t, torch.full_like(t, line)), 1)
        for uv in (across, across.flip(1)):
            assert distance(wall(uv, Texture.TILES), SECOND).max() < 1e-3
    inner = wall([(0.02, 0.02), (0.48, 0.48), (0.25, 0.25)], Texture.TILES)
    torch.testing.assert_close(inner[1:], inner[:2], rtol=0, atol=1e-4)


def test_stripes_repeat_after_one_period_and_are_hard_or_soft():
    uv = grid(span=1.0, count=60)
    hard = 0
    for seed in range(20):
        first = wall(uv, Texture.STRIPES, seed=seed)
        shifts = [
            wall(uv + torch.tensor(s), Texture.STRIPES, seed=seed) for s in ((0.5, 0.0), (0.0, 0.5))
        ]
        straight = [torch.allclose(first, other, atol=2e-2) for other in shifts]
        assert any(straight) or not torch.allclose(*shifts)
        hard += bool(
            (torch.minimum(distance(first, COLOUR), distance(first, SECOND)) < 1e-2).float().mean()
            > 0.95
        )
    assert 3 <= hard <= 17


def test_a_page_keeps_its_margins_and_its_words_stand_on_lines():
    page = wall(grid(span=1.0, count=360) - 0.5, Texture.TEXT, scale=1.0, seed=1)
    ink = (distance(page, COLOUR) > 0.2).reshape(360, 360)
    assert 0.05 < ink.float().mean() < 0.3
    # The first and the last of 12 lines are empty, and so are 2 of 30 letters at both sides.
    assert not ink[:, :30].any() and not ink[:, -30:].any()
    assert not ink[:24].any() and not ink[-24:].any()
    # A fifth of each line, above and below the letters, is blank.
    lines = ink.any(0).flip(0).reshape(12, 30)
    assert not lines[:, :5].any() and not lines[:, 25:].any()
    assert lines[:, 7:23].any(1).sum() >= 6


def test_windows_repeat_by_storey_and_leave_wall_between():
    u = torch.arange(300) * 0.013
    for seed in range(4):
        between = torch.stack((u, torch.full_like(u, 0.15 * 3.0)), 1)
        # Halfway between ledge and window of the tallest windows, 0.65 of a storey, is wall.
        assert distance(wall(between, Texture.WINDOWS, scale=3.0, seed=seed), COLOUR).max() < 1e-3
        middle = torch.stack((u * 3, torch.full_like(u, 1.5)), 1)
        facade = wall(middle, Texture.WINDOWS, scale=3.0, seed=seed)
        panes = distance(facade, COLOUR) > 0.05
        assert 0.25 < panes.float().mean() < 0.85
        above = wall(middle + torch.tensor((0.0, 3.0)), Texture.WINDOWS, scale=3.0, seed=seed)
        assert torch.equal(panes, distance(above, COLOUR) > 0.05)


def test_boards_have_a_gap_every_scale():
    t = torch.arange(80) * 0.0371
    for seed in range(6):
        on_gap = torch.stack((torch.full_like(t, 1.0), t), 1)
        lines = [wall(uv, Texture.WOOD, seed=seed).mean(1).max() for uv in (on_gap, on_gap.flip(1))]
        # Gaps keep a quarter of the light of a board, whose lightest shade is 1.2.
        assert min(lines) < 0.25 * 1.2 * sum(COLOUR) / 3 + 1e-3


def test_a_mix_is_the_same_as_its_parts_and_leaves_its_arguments_alone():
    generator = torch.Generator().manual_seed(5)
    count = 700
    texture = torch.arange(count) % len(Texture)
    points = 4 * torch.rand(count, 3, generator=generator) - 2
    normals = torch.randn(count, 3, generator=generator)
    paint = Paint(
        texture,
        torch.rand(count, 3, generator=generator),
        torch.rand(count, 3, generator=generator),
        0.1 + torch.rand(count, generator=generator),
        torch.rand(count, generator=generator),
        torch.randint(-(2**62), 2**62, (count,), generator=generator),
    )
    footprint = 0.02 * torch.rand(count, generator=generator)
    arguments = (points, normals, *vars(paint).values(), footprint)
    before = [argument.clone() for argument in arguments]
    state = torch.get_rng_state()
    mixed = albedo(points, normals, paint, footprint)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(*pair) for pair in zip(before, arguments, strict=True))
    for kind in Texture:
        at = (texture == kind).nonzero()[:, 0]
        alone = albedo(points[at], normals[at], paint.at(at), footprint[at])
        torch.testing.assert_close(alone, mixed[at], rtol=0, atol=1e-5)
    none = torch.zeros(0, dtype=torch.int64)
    assert albedo(points[:0], normals[:0], paint.at(none), footprint[:0]).shape == (0, 3)


def test_value_noise_is_a_hash_at_corners_and_smooth_between():
    corners = torch.cartesian_prod(*[torch.arange(-12.0, 12.0)] * 3)
    seed = torch.zeros(len(corners), dtype=torch.int64)
    values = value_noise(corners, seed)
    # Uniform on 0-1: its mean, its variance of 1/12, and its tenths.
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.var() == pytest.approx(1 / 12, abs=0.003)
    tenths = torch.histc(values, 10, 0, 1) / len(values)
    assert tenths.min() > 0.09 and tenths.max() < 0.11
    # Neighbours along each axis know nothing of each other.
    cube = values.reshape(24, 24, 24)
    for axis in range(3):
        pair = torch.stack((cube.narrow(axis, 0, 23).flatten(), cube.narrow(axis, 1, 23).flatten()))
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.04
    # Halfway between two corners is their mean; a quarter of the way 3/16 - 2/64 = 0.15625.
    half = value_noise(corners + torch.tensor((0.5, 0.0, 0.0)), seed).reshape(24, 24, 24)
    torch.testing.assert_close(half[:-1], (cube[:-1] + cube[1:]) / 2, rtol=0, atol=1e-5)
    quarter = value_noise(corners + torch.tensor((0.0, 0.0, 0.25)), seed).reshape(24, 24, 24)
    expected = torch.lerp(cube[..., :-1], cube[..., 1:], 0.15625)
    torch.testing.assert_close(quarter[..., :-1], expected, rtol=0, atol=1e-5)
    other = value_noise(corners, seed + 1)
    assert abs(torch.corrcoef(torch.stack((values, other)))[0, 1]) < 0.04


def sky(directions, cloud, seed=0):
    directions = torch.nn.functional.normalize(torch.as_tensor(directions), dim=1)
    count = len(directions)
    return sky_colour(
        directions,
        torch.tensor((0.2, 0.4, 0.8)).expand(count, 3),
        torch.tensor((0.8, 0.85, 0.9)).expand(count, 3),
        torch.full((count,), cloud),
        torch.full((count,), seed),
    )


def test_a_clear_sky_goes_from_horizon_to_zenith_and_ends_below():
    colours = sky([(1.0, 0.0, 0.0), (0.6, 0.0, -0.8), (0.0, 0.0, 1.0), (0.0, 3.0**0.5, 0.5)], 0.0)
    horizon, zenith = torch.tensor((0.8, 0.85, 0.9)), torch.tensor((0.2, 0.4, 0.8))
    torch.testing.assert_close(colours[:2], horizon.expand(2, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(colours[2], zenith, rtol=0, atol=1e-6)
    rise = (0.25 / 3.25) ** 0.25
    torch.testing.assert_close(colours[3], torch.lerp(horizon, zenith, rise), rtol=0, atol=1e-6)


def test_more_cloud_covers_more_of_the_sky():
    t = torch.linspace(-1, 1, 40)
    x, y = torch.meshgrid(t, t, indexing="ij")
    directions = torch.stack((x, y, torch.full_like(x, 0.6)), -1).reshape(-1, 3)
    clear = sky(directions, 0.0)
    covered = [
        ((sky(directions, cloud, seed=4) - clear).abs().amax(1) > 0.05).float().mean()
        for cloud in (0.0, 0.3, 0.6, 1.0)
    ]
    assert covered[0] == 0 and covered[1] < covered[2] < covered[3] and covered[3] > 0.95
    assert not torch.equal(sky(directions, 0.6, seed=4), sky(directions, 0.6, seed=5))
    below = directions * torch.tensor((1.0, 1.0, -1.0))
    assert torch.equal(sky(below, 1.0), sky(below, 0.0))
    assert sky(directions, 1.0).min() >= 0
