"""The colour of a surface point: procedural patterns in metres, from hashes alone.

Nothing here has state or draws random numbers: the same point and seed give the same colour. A
pattern is filtered over the footprint of a pixel, so that a far wall has the mean colour of its
bricks and not a moiré of them. Lines are box-filtered in closed form (Ebert et al., Texturing and
Modeling, 3rd ed., 2003, chapter 2, "Analytic prefiltering"); shades and noises fade to their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from depth_anything_ros.sim.scene import Texture

# Farther from its own origin than this a surface is all one colour, and cells still fit in int32.
_REACH_M = 1e5
_SMALLEST_SCALE_M = 1e-2
# Odd numbers that keep lattice axes apart (Teschner et al., Optimized Spatial Hashing, VMV 2003).
_PRIMES = (73856093, 19349663, 83492791)
# Periods of the noise over everything, and how much of the light each takes at roughness 1.
_ROUGH = ((0.03, 0.25), (0.2, 0.35))
# Of the layers of a print: the most columns, rows of each, and the share of cells with ink.
_PRINTED = ((2, 1.0, 0.5), (3, 3.0, 0.35), (5, 4.0, 0.25))
# The mean area of a cell with ink, (1 - 2 inset)² of 0.02 to 0.22, and of a round mark, which half
# of the prints have: π r² of 0.08 to 0.25.
_INSET_AREA, _MARK_AREA = 0.5909, 0.0466
# A turn about no axis of the lattice: between octaves it hides the lattice's own directions.
_TURN = ((0.00, 0.80, 0.60), (-0.80, 0.36, -0.48), (-0.60, -0.48, 0.64))


@dataclass(frozen=True)
class Paint:
    """How N surface points, or surfaces, look.

    Attributes:
        texture: int (N,), values of ``scene.Texture``.
        colour: float32 (N, 3), linear, 0-1.
        second: float32 (N, 3), the other colour of the pattern.
        scale_m: float32 (N,), period of the pattern in metres, at least 0.01.
        roughness: float32 (N,), strength of the fine noise, 0-1.
        seed: int64 (N,).
    """

    texture: Tensor
    colour: Tensor
    second: Tensor
    scale_m: Tensor
    roughness: Tensor
    seed: Tensor

    def at(self, index: Tensor) -> Paint:
        """Return that of some points or surfaces (n,)."""
        return Paint(*(getattr(self, f.name).index_select(0, index) for f in fields(self)))


def albedo(points: Tensor, normals: Tensor, paint: Paint, footprint_m: Tensor) -> Tensor:
    """Return the linear albedo of surface points.

    Patterns lie on the face that the normal is most along: (x, y) on floors, and own z upwards on
    walls. The two sides of a box differ in their hashes but not in their layout.

    Args:
        points: float32 (N, 3), finite, in metres in the primitive's own frame.
        normals: float32 (N, 3), in the own frame; their length does not matter.
        paint: of each point.
        footprint_m: float32 (N,), size of a pixel on the surface in metres; 0 is a point.

    Returns:
        float32 (N, 3), 0-1.
    """
    own = points.clamp(-_REACH_M, _REACH_M)
    base = _mix(_int32(paint.seed))
    texture = paint.texture.to(torch.int32)
    result = paint.colour.clone()
    for kind, pattern in _PATTERNS.items():
        at = torch.nonzero(texture == kind).squeeze(1)
        if len(at):
            fields_at = (t.index_select(0, at) for t in (own, normals, footprint_m, base))
            result.index_copy_(0, at, pattern(_patch(paint.at(at), *fields_at)))
    return _roughened(result, own, paint.roughness, footprint_m, base).clamp(0.0, 1.0)


def sky_colour(
    directions: Tensor, zenith: Tensor, horizon: Tensor, cloud: Tensor, seed: Tensor
) -> Tensor:
    """Return the light of the sky: a gradient by elevation and a flat layer of clouds.

    Args:
        directions: float32 (N, 3), unit vectors in the world (z up).
        zenith: float32 (N, 3), linear colour overhead.
        horizon: float32 (N, 3), linear colour at and below the horizon.
        cloud: float32 (N,), 0 for a clear sky to 1 for an overcast one.
        seed: int64 (N,), of the clouds.

    Returns:
        float32 (N, 3), not negative.
    """
    x, y, z = directions.T
    up = z.clamp(0.0, 1.0)
    # The path through the air shortens fast above the horizon: most of the change is low down.
    clear = torch.lerp(horizon, zenith, up.sqrt()[:, None])
    # Clouds stand on a plane; 0.2 keeps them from an endless crowd at the horizon.
    layer = torch.stack((x, y, torch.zeros_like(x))) * (1.5 / (up + 0.2))
    nothing = torch.zeros_like(up)
    height = _fbm(layer, _mix(_int32(seed)), nothing, octaves=5, contrast=1.6)
    cover = _smoothstep((height - 1.0 + 1.2 * cloud) / 0.3) * _smoothstep(up / 0.15)
    # Thick clouds are darker below.
    white = horizon.amax(1, keepdim=True) * (1.15 - 0.45 * height * cloud)[:, None]
    return torch.lerp(clear, 0.85 * white + 0.15 * horizon, (cover * (cloud > 0))[:, None])


@dataclass(frozen=True)
class _Patch:
    """Points that share a pattern.

    Attributes:
        points: (3, N) in metres.
        u: (N,) along the face, in metres.
        v: (N,) up the face, in metres.
        scale: (N,) period in metres.
        footprint: (N,) in periods.
        colour: (N, 3).
        second: (N, 3).
        seed: int32 (N,), of the surface: its layout.
        face: int32 (N,), of one face: its cells.
    """

    points: Tensor
    u: Tensor
    v: Tensor
    scale: Tensor
    footprint: Tensor
    colour: Tensor
    second: Tensor
    seed: Tensor
    face: Tensor

    def blend(self, share: Tensor, shade: Tensor | None = None) -> Tensor:
        """Return colour × shade with a share (N,) of the second colour over it."""
        first = self.colour if shade is None else self.colour * shade[:, None]
        return torch.lerp(first, self.second, share[:, None])


def _patch(
    paint: Paint, points: Tensor, normals: Tensor, footprint_m: Tensor, seed: Tensor
) -> _Patch:
    axis = normals.abs().argmax(1)
    x, y, z = own = points.T.contiguous()
    positive = normals.gather(1, axis[:, None]).squeeze(1) > 0
    scale = paint.scale_m.clamp(min=_SMALLEST_SCALE_M)
    return _Patch(
        points=own,
        u=torch.where(axis == 0, y, x),
        v=torch.where(axis == 2, y, z),
        scale=scale,
        footprint=footprint_m / scale,
        colour=paint.colour,
        second=paint.second,
        seed=seed,
        face=_hash(seed, (2 * axis + positive).to(torch.int32)),
    )


def _noise_pattern(patch: _Patch) -> Tensor:
    own = patch.points / patch.scale
    return patch.blend(_fbm(own, patch.seed, patch.footprint, octaves=3, contrast=2.2))


def _bricks(patch: _Patch) -> Tensor:
    """Bricks of scale × 0.35 scale in running bond; the second colour is the mortar."""
    across, up = patch.u / patch.scale, patch.v / (0.35 * patch.scale)
    course = up.floor()
    across = across + 0.5 * torch.remainder(course, 2.0)
    joint = 0.04
    mortar = _either(
        _line(across, joint, patch.footprint),
        _line(up, joint / 0.35, patch.footprint / 0.35),
    )
    shade = _cell_value(patch.face, across.floor(), course) - 0.5
    return patch.blend(mortar, 1.0 + 0.6 * shade * _fade(patch.footprint / 0.35))


def _tiles(patch: _Patch) -> Tensor:
    """Square tiles with grout lines of 3 %, in the second colour."""
    across, up = patch.u / patch.scale, patch.v / patch.scale
    grout = _either(_line(across, 0.03, patch.footprint), _line(up, 0.03, patch.footprint))
    shade = _cell_value(patch.face, across.floor(), up.floor()) - 0.5
    return patch.blend(grout, 1.0 + 0.15 * shade * _fade(patch.footprint))


def _stripes(patch: _Patch) -> Tensor:
    """Stripes along, up or across the face, hard or soft."""
    way = _unit(_hash(patch.seed, 1))
    angle = torch.where(way < 0.4, 0.0, torch.where(way < 0.8, math.pi / 2, way * 7.0 * math.pi))
    phase = (patch.u * angle.cos() + patch.v * angle.sin()) / patch.scale
    hard = _pulse(phase, 0.5, patch.footprint)
    soft = 0.5 + 0.5 * torch.sin(2.0 * math.pi * phase) * _fade(patch.footprint)
    return patch.blend(torch.where(_unit(_hash(patch.seed, 2)) < 0.5, hard, soft))


def _wood(patch: _Patch) -> Tensor:
    """Boards of width scale and length 6 scale; the second colour is the grain."""
    upright = _unit(_hash(patch.seed, 1)) < 0.5
    along = torch.where(upright, patch.v, patch.u) / patch.scale
    across = torch.where(upright, patch.u, patch.v) / patch.scale
    row = across.floor()
    along = along / 6.0 + _cell_value(patch.seed, row, row)
    gap = _either(
        _line(across, 0.03, patch.footprint), _line(along, 0.03 / 6.0, patch.footprint / 6.0)
    )
    board = _hash(patch.face, row.to(torch.int32), along.floor().to(torch.int32))
    # Grain runs along the board, in bows: fine noise across it, bent by a coarse one.
    bow = _noise(torch.stack((along * 3.0, across * 1.5, 0.0 * along)), board)
    rings = torch.stack((along * 5.0, across * 10.0 + 6.0 * bow, 0.0 * along))
    grain = 0.5 + 1.2 * (_noise(rings, _hash(board, 1)) - 0.5) * _fade(10.0 * patch.footprint)
    shade = 1.0 + 0.4 * (_unit(board) - 0.5) * _fade(patch.footprint)
    wood = patch.blend((0.7 * grain).clamp(0.0, 1.0)) * shade[:, None]
    return wood * (1.0 - 0.75 * gap)[:, None]


def _pages(patch: _Patch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the hash of the page of scale × scale that a point is on, and where on it, 0-1."""
    across, up = patch.u / patch.scale + 0.5, patch.v / patch.scale + 0.5
    page = _hash(patch.face, across.floor().to(torch.int32), up.floor().to(torch.int32))
    return page, across - across.floor(), up - up.floor()


def _text(patch: _Patch) -> Tensor:
    """Pages of scale × scale about the origin; the second colour is the ink.

    A page has 12 lines, the first and the last empty, and margins of 8 %. A line is 30 letters of
    3 × 5 dots; a sixth of the letters are blank and part the words; some lines are short or empty.
    """
    page, x, y = _pages(patch)
    column, row = x * 30.0, (1.0 - y) * 12.0
    line, letter = row.floor().to(torch.int32), column.floor().to(torch.int32)
    of_line = _hash(page, line)
    length = torch.where(_unit(of_line) < 0.12, 0.0, 27.6)
    length = torch.where(_unit(_hash(of_line, 1)) < 0.3, 0.6 * length, length)
    written = (line > 0) & (line < 11) & (letter >= 2) & (letter < length)
    of_letter = _hash(of_line, letter, 2)
    size = 30.0 * patch.footprint
    present = _faded((_unit(of_letter) > 1 / 6).float(), 5 / 6, _fade(0.5 * size))
    # Dots fill the left three quarters of a letter and the middle 60 % of its line.
    dot_x = ((column - letter) * 4.0).floor().clamp(0, 2).to(torch.int32)
    dot_y = (((row - line) - 0.2) / 0.12).floor().clamp(0, 4).to(torch.int32)
    bit = (_hash(of_letter, 3) >> (dot_y * 3 + dot_x)) | (_hash(of_letter, 4) >> (15 - dot_y * 3))
    dots = _faded((bit & 1).float(), 0.75, _fade(2.0 * size))
    body = _pulse(column, 0.75, size) * _pulse(row - 0.2, 0.6, 12.0 * patch.footprint)
    ink = body * present * dots * written
    # Of the letters of a page 22.8 of 30 × 10 of 12, less the short and the empty lines, are ink.
    mean = 0.75 * 0.6 * (5 / 6) * 0.75 * (10 / 12) * (0.85 * 0.88 * 26 / 30)
    return patch.blend(_faded(ink, mean, _fade(patch.footprint)))


def _checker(patch: _Patch) -> Tensor:
    """Squares of scale, of the second colour where their numbers add up to an odd one."""
    half = 0.5 * patch.footprint
    across = 2.0 * _pulse(0.5 * patch.u / patch.scale, 0.5, half) - 1.0
    up = 2.0 * _pulse(0.5 * patch.v / patch.scale, 0.5, half) - 1.0
    return patch.blend(0.5 - 0.5 * across * up)


def _windows(patch: _Patch) -> Tensor:
    """Storeys of height scale of a façade, with panes of the second colour in frames."""
    layout = [_unit(_hash(patch.seed, k)) for k in range(1, 5)]
    bay = 0.7 + 0.6 * layout[0]
    wide, high = 0.35 + 0.4 * layout[1], 0.45 + 0.2 * layout[2]
    across, up = patch.u / (patch.scale * bay), patch.v / patch.scale
    wide_print, high_print = patch.footprint / bay, patch.footprint
    window = _window(across, wide, wide_print) * _window(up, high, high_print)
    edge = 0.06
    # Panes are the window less its frame and, in some buildings, a bar in the middle.
    bar = _line(across - 0.5, 0.04, wide_print) * (layout[3] < 0.6)
    pane = _window(across, wide - edge / bay, wide_print) - bar
    pane = pane.clamp(min=0.0) * _window(up, high - edge, high_print)
    cell = _cell_value(patch.face, across.floor(), up.floor())
    # Most rooms are dark, some have curtains, some are lit.
    lit = torch.where(cell < 0.45, 0.35, torch.where(cell < 0.8, 1.0, 1.8))
    lit = _faded(lit, 0.45 * 0.35 + 0.35 + 0.2 * 1.8, _fade(patch.footprint))
    ledge = _line(up, 0.05, high_print) * (layout[0] < 0.5)
    bright = patch.colour.amax(1, keepdim=True) > 0.5
    frame = torch.where(bright, 0.45 * patch.colour, 0.35 + 0.6 * patch.colour)
    # Shares of the pixel, which lie within or beside one another, add up.
    wall = (1.0 - window - 0.35 * ledge)[:, None] * patch.colour
    return wall + (window - pane)[:, None] * frame + (pane * lit)[:, None] * patch.second


def _foliage(patch: _Patch) -> Tensor:
    """Clumps of size scale, leaves of a sixth of it in both colours, and dark gaps."""
    own = patch.points / patch.scale
    turn = own.new_tensor(_TURN)
    clump = _noise(own, patch.seed) - 0.5
    leaf = _noise(turn @ own * 6.0, _hash(patch.seed, 1)) - 0.5
    spot = _noise(turn @ (turn @ own) * 13.0, _hash(patch.seed, 2)) - 0.5
    near = _fade(6.0 * patch.footprint)
    clump = clump * _fade(patch.footprint)
    leaf = leaf * near
    spot = spot * _fade(13.0 * patch.footprint)
    # Steps are not linear: where leaves are too small to see, this keeps the mean of both colours.
    light = _smoothstep(0.567 + 0.053 * near + 1.1 * clump + 1.4 * leaf + 1.3 * spot)
    mix = _smoothstep(0.528 - 0.028 * near + 1.6 * spot - 1.2 * leaf + 0.8 * clump)
    return patch.blend(mix) * (0.15 + 0.95 * light)[:, None]


def _labels(patch: _Patch) -> Tensor:
    """Labels of scale × scale about the origin: panels, blocks, lines and a round mark.

    Their inks are both colours, a third one, white and black; each print has a ground of its own.
    """
    page, x, y = _pages(patch)
    third = patch.second.roll(1, 1)
    white, black = (torch.full_like(third, value) for value in (0.85, 0.04))
    inks = torch.stack((patch.colour, patch.second, third, white, black))
    mean = inks.mean(0)
    every = torch.arange(len(page), device=page.device)

    def ink(of: Tensor, contrast: Tensor) -> Tensor:
        number = (5.0 * _unit(of)).to(torch.int64).clamp(0, 4)
        return _faded(inks[number, every], mean, contrast[:, None])

    result = ink(page, _fade(patch.footprint))
    for layer, (most, tall, present) in enumerate(_PRINTED):
        of_layer = _hash(page, layer)
        columns = 1.0 + (most * _unit(of_layer)).floor().clamp(max=most - 1)
        rows = tall * columns
        column, row = (x * columns).floor(), (y * rows).floor()
        cell = _hash(of_layer, column.to(torch.int32), row.to(torch.int32))
        inset = 0.02 + 0.2 * _unit(_hash(cell, 1))
        wide = _window(x * columns, 1.0 - 2.0 * inset, columns * patch.footprint)
        high = _window(y * rows, 1.0 - 2.0 * inset, rows * patch.footprint)
        contrast = _fade(torch.maximum(columns, rows) * patch.footprint)
        share = _faded(wide * high * (_unit(cell) < present), _INSET_AREA * present, contrast)
        result = torch.lerp(result, ink(_hash(cell, 2), contrast), share[:, None])
    middle_x, middle_y, size, shown = (_unit(_hash(page, k)) for k in range(4, 8))
    radius, contrast = 0.08 + 0.17 * size, _fade(4.0 * patch.footprint)
    away = torch.hypot(x - 0.3 - 0.4 * middle_x, y - 0.3 - 0.4 * middle_y)
    # How much of the pixel lies within the mark, which is wider than it.
    mark = ((radius - away) / patch.footprint.clamp(min=1e-3) + 0.5).clamp(0.0, 1.0)
    share = _faded(mark * (shown < 0.5), _MARK_AREA, contrast)
    return torch.lerp(result, ink(_hash(page, 8), contrast), share[:, None])


_PATTERNS: dict[Texture, Callable[[_Patch], Tensor]] = {
    Texture.NOISE: _noise_pattern,
    Texture.BRICKS: _bricks,
    Texture.TILES: _tiles,
    Texture.STRIPES: _stripes,
    Texture.WOOD: _wood,
    Texture.TEXT: _text,
    Texture.CHECKER: _checker,
    Texture.WINDOWS: _windows,
    Texture.FOLIAGE: _foliage,
    Texture.LABELS: _labels,
}


def _roughened(
    colours: Tensor, points: Tensor, roughness: Tensor, footprint_m: Tensor, seed: Tensor
) -> Tensor:
    """Darken and lighten (N, 3) colours by the noise over everything, where a pixel can see it."""
    factor = torch.ones_like(roughness)
    for period, share in _ROUGH:
        strength = 2.0 * share * roughness * _fade(footprint_m / period)
        at = torch.nonzero(strength > 0).squeeze(1)
        if len(at):
            own = points.index_select(0, at).T.contiguous() / period
            noise = _noise(own, _hash(seed.index_select(0, at), round(1000 * period)))
            factor.index_add_(0, at, strength.index_select(0, at) * (noise - 0.5))
    return colours * factor[:, None]


def _pulse(t: Tensor, duty: Tensor | float, footprint: Tensor) -> Tensor:
    """Return how much of [t ± footprint / 2] lies in [k, k + duty] for any whole k.

    From 1 to 2 periods of footprint the ripple that a box filter leaves fades out.
    """
    width = footprint.clamp(1e-3, 2.0)
    t = t - t.floor()
    share = _filled(t + 0.5 * width, duty) - _filled(t - 0.5 * width, duty)
    return _faded(share / width, duty, _fade(0.5 * footprint)).clamp(0.0, 1.0)


def _filled(t: Tensor, duty: Tensor | float) -> Tensor:
    """Return the integral of a pulse train from 0 to t."""
    whole = t.floor()
    rest = t - whole
    return whole * duty + (
        torch.minimum(rest, duty) if isinstance(duty, Tensor) else rest.clamp(max=duty)
    )


def _line(t: Tensor, width: float, footprint: Tensor) -> Tensor:
    """Return the pulse of lines that are centred on whole t."""
    return _pulse(t + 0.5 * width, width, footprint)


def _window(t: Tensor, width: Tensor, footprint: Tensor) -> Tensor:
    """Return the pulse of openings that are centred between whole t."""
    return _pulse(t - 0.5 * (1.0 - width), width, footprint)


def _either(first: Tensor, other: Tensor) -> Tensor:
    return first + other - first * other


def _fade(footprint: Tensor) -> Tensor:
    """Return 1 up to half a period of footprint, and 0 from a whole one."""
    return (2.0 - 2.0 * footprint).clamp(0.0, 1.0)


def _faded(value: Tensor, mean: Tensor | float, contrast: Tensor) -> Tensor:
    return mean + (value - mean) * contrast


def _smoothstep(t: Tensor) -> Tensor:
    t = t.clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _fbm(own: Tensor, seed: Tensor, footprint: Tensor, octaves: int, contrast: float) -> Tensor:
    """Sum octaves of noise of (3, N) points in periods, each half the one before; mean 0.5."""
    turn = own.new_tensor(_TURN)
    total = torch.zeros_like(footprint)
    for octave in range(octaves):
        wave = _noise(own, _hash(seed, octave)) - 0.5
        total += 0.5**octave * wave * _fade(2.0**octave * footprint)
        own = turn @ own * 2.0
    return (0.5 + contrast / (2.0 - 2.0 ** (1 - octaves)) * total).clamp(0.0, 1.0)


def _noise(own: Tensor, seed: Tensor) -> Tensor:
    """Return value noise of (3, N) points, with mixed int32 seeds."""
    cell = own.floor()
    weight = _smoothstep(own - cell)
    axes = []
    for k, prime in zip(cell.to(torch.int32), _PRIMES, strict=True):
        low = k * prime
        axes.append(torch.stack((low, low + prime)))
    x, y, z = axes
    x = x ^ seed
    # The middle of ``_mix`` will do here: the number is made of the upper bits alone.
    corner = ((x[:, None] ^ y[None])[:, :, None] ^ z[None, None]) * 0x7FEB352D
    corner ^= (corner >> 15) & 0x1FFFF
    corner *= 0x846CA68B - (1 << 32)
    value = _unit(corner)
    for t in weight:
        value = torch.lerp(value[0], value[1], t)
    return value


def _cell_value(seed: Tensor, first: Tensor, other: Tensor) -> Tensor:
    """Return a number in 0-1 for each cell of a grid (whole float indices)."""
    return _unit(_hash(seed, first.to(torch.int32), other.to(torch.int32)))


def _hash(seed: Tensor, *numbers: Tensor | int) -> Tensor:
    """Return int32 hashes of int32 seeds and whole numbers, in their order."""
    for number in numbers:
        seed = _mix(seed + (number + 1) * _PRIMES[0])
    return seed


def _int32(seed: Tensor) -> Tensor:
    """Fold int64 seeds to int32."""
    seed = seed.to(torch.int64)
    folded = (seed ^ (seed >> 32)) & 0xFFFFFFFF
    return torch.where(folded < 1 << 31, folded, folded - (1 << 32)).to(torch.int32)


def _mix(h: Tensor) -> Tensor:
    """Mix the bits of int32 numbers: lowbias32 of C. Wellons, Hash Prospector (2018).

    int32 products wrap, on a CPU and on a GPU; int64 ones would take six times as long. The masks
    take off the copies of the sign that a shift brings in.
    """
    h = (h ^ ((h >> 16) & 0xFFFF)) * 0x7FEB352D
    h ^= (h >> 15) & 0x1FFFF
    h *= 0x846CA68B - (1 << 32)
    h ^= (h >> 16) & 0xFFFF
    return h


def _unit(h: Tensor) -> Tensor:
    """Return hashes as float32 in 0-1."""
    return h.float() * 2.0**-32 + 0.5
