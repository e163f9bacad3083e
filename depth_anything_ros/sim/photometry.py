"""From linear light to the picture that a camera delivers.

In the order in which light meets them: lens, exposure, sensor, camera. Every part is the
identity by default; ``Photometry()`` alone encodes light in 0-1 by the sRGB curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from depth_anything_ros.core.errors import ImageError

# IEC 61966-2-1:1999, sRGB: the linear toe ends at the first, its slope is the second.
_SRGB_TOE, _SRGB_SLOPE = 0.0031308, 12.92
_SRGB_OFFSET, _SRGB_GAMMA = 0.055, 2.4
# ITU-R BT.709-6, item 3.2: what red, green and blue give to luminance.
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# Middle grey, the "key" of Reinhard et al., Photographic Tone Reproduction (SIGGRAPH 2002), eq. 2.
_KEY = 0.18
# The darkest place that an exposure still lifts to its target.
_DARKEST = 1e-4


@dataclass(frozen=True)
class Photometry:
    """All of a camera but its geometry.

    Attributes:
        blur_px: standard deviation of a Gaussian blur of the lens, in pixels.
        motion_px: length of the streak that a point leaves, in pixels; up to 1 is none.
        motion_rad: its direction, from x towards y of the picture.
        vignetting: share of light lost in the corners, 0-1; it grows as the square of the radius.
        key: what the metered luminance is exposed to, full scale being 1; None takes light as it
            is.
        percentile: of the luminance that is metered, 0-100; None meters its geometric mean
            (Reinhard et al. 2002, eq. 1).
        stops: of more exposure, in powers of 2. Above about 2 the bright parts of most pictures
            clip.
        gains: of red, green and blue: a wrong white balance.
        shot: variance of the noise of light at full scale; it grows with the light.
        read: standard deviation of the noise of the electronics, full scale being 1.
        gamma: of the tone curve; None is the curve of sRGB.
        contrast: factor about mid grey, after the curve.
        saturation: factor about the luma of each pixel, after the curve; 0 is a grey picture.
        jpeg_quality: 1-100; None is no compression.
    """

    blur_px: float = 0.0
    motion_px: float = 0.0
    motion_rad: float = 0.0
    vignetting: float = 0.0
    key: float | None = None
    percentile: float | None = None
    stops: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shot: float = 0.0
    read: float = 0.0
    gamma: float | None = None
    contrast: float = 1.0
    saturation: float = 1.0
    jpeg_quality: int | None = None


def sample_photometry(rng: np.random.Generator) -> Photometry:
    """Draw a camera and its settings: the whole range of what cheap cameras on robots do."""
    # Most blur is the pixel's own, 0.3-0.7; a fifth of the lenses are anywhere in 0-1.2.
    usual, bad, which = rng.uniform(0.3, 0.7), rng.uniform(0.0, 1.2), rng.random()
    moves, length, angle = rng.random(), rng.uniform(1.0, 7.0), rng.uniform(0.0, math.pi)
    vignetting = max(0.0, rng.uniform(-0.2, 0.5))
    by_mean = rng.random() < 0.5
    stops = float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0))
    over, more = rng.random() < 0.05, rng.uniform(0.7, 1.7)
    warmth, tint = rng.normal(0.0, 0.1), rng.normal(0.0, 0.04)
    red, green, blue = (math.exp(cast) for cast in (warmth, tint, -warmth))
    # Squared draws: most pictures have little noise.
    shot, read = 0.006 * rng.random() ** 2, 0.015 * rng.random() ** 2
    plain, gamma = rng.random(), rng.uniform(1.8, 2.6)
    contrast, saturation = rng.uniform(-0.25, 0.25), rng.uniform(-0.4, 0.3)
    grey, packed, quality = rng.random(), rng.random(), int(rng.integers(40, 96))
    return Photometry(
        blur_px=usual if which < 0.8 else bad,
        motion_px=length if moves < 0.2 else 0.0,
        motion_rad=angle,
        vignetting=vignetting,
        key=_KEY if by_mean else 0.6,
        percentile=None if by_mean else 90.0,
        stops=stops + (more if over else 0.0),
        gains=(red, green, blue),
        shot=shot,
        read=read,
        gamma=None if plain < 0.5 else gamma,
        contrast=math.exp(contrast),
        saturation=0.0 if grey < 0.05 else 1.0 + saturation,
        jpeg_quality=quality if packed < 0.5 else None,
    )


def develop(light: Tensor, photometry: Photometry, seed: int) -> Tensor:
    """Return the picture that a camera makes of light.

    Args:
        light: float32 (H, W, 3), linear, not negative, on any device.
        photometry: the camera.
        seed: of its noise. The same seed gives the same picture on the same kind of device.

    Returns:
        uint8 (H, W, 3), RGB, on the device of ``light``.

    Raises:
        ImageError: if light has another shape or type.
    """
    if light.ndim != 3 or light.shape[2] != 3 or not light.is_floating_point():
        raise ImageError(
            f"Got light of {light.dtype} and shape {tuple(light.shape)}, expected floats of shape "
            "(height, width, 3); develop pictures one by one."
        )
    planes = light.permute(2, 0, 1).contiguous()
    planes = _through_lens(planes, photometry)
    planes = planes * exposure_gain(planes, photometry)
    planes = _sensed(planes, photometry, seed).clamp(0.0, 1.0)
    picture = _encoded(planes, photometry).permute(1, 2, 0).contiguous()
    quality = photometry.jpeg_quality
    return picture if quality is None else _compressed(picture, quality)


def encode_srgb(linear: Tensor) -> Tensor:
    """Return linear light in 0-1 by the curve of sRGB (IEC 61966-2-1:1999, 5.2)."""
    power = linear.clamp(min=_SRGB_TOE).pow(1.0 / _SRGB_GAMMA)
    curve = (1.0 + _SRGB_OFFSET) * power - _SRGB_OFFSET
    return torch.where(linear <= _SRGB_TOE, _SRGB_SLOPE * linear, curve)


def luminance(planes: Tensor) -> Tensor:
    """Return the luminance (H, W) of linear light (3, H, W), by ITU-R BT.709."""
    red, green, blue = _LUMINANCE
    return red * planes[0] + green * planes[1] + blue * planes[2]


def exposure_gain(planes: Tensor, camera: Photometry) -> Tensor:
    """Return the factor, a tensor without dimensions, that exposes light (3, H, W)."""
    gain = planes.new_tensor(2.0**camera.stops)
    if camera.key is None:
        return gain
    # Every other pixel both ways is enough to meter by.
    metered = luminance(planes[:, ::2, ::2]).clamp(min=_DARKEST).flatten()
    if camera.percentile is None:
        level = metered.log().mean().exp()
    else:
        rank = 1 + round(camera.percentile / 100.0 * (len(metered) - 1))
        level = metered.kthvalue(rank).values
    return gain * camera.key / level


def motion_kernel(length_px: float, angle_rad: float) -> Tensor:
    """Return the streak that a moving point leaves, float32 (odd, odd), of sum 1.

    Points along a line of the given length share themselves out bilinearly to their four pixels;
    the streak is symmetric about the middle, so that nothing moves against the depth.
    """
    half = 0.5 * max(length_px - 1.0, 0.0)
    reach = math.ceil(half)
    samples = 8 * reach + 1
    along = np.linspace(-half, half, samples)
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3))
    x = along * math.cos(angle_rad) + reach + 1
    y = along * math.sin(angle_rad) + reach + 1
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - down - (y - row)) * np.abs(1 - right - (x - column))
        inside = share > 0
        np.add.at(kernel, (row[inside] + down, column[inside] + right), share[inside])
    return torch.from_numpy((kernel / kernel.sum()).astype(np.float32)[1:-1, 1:-1])


def _through_lens(planes: Tensor, camera: Photometry) -> Tensor:
    if camera.vignetting:
        planes = planes * _vignette(planes, camera.vignetting)
    # A narrower Gaussian leaves less than 1e-21 of the light to a neighbour.
    if camera.blur_px > 0.1:
        planes = _gaussian_blur(planes, camera.blur_px)
    if camera.motion_px > 1:
        planes = _filtered(planes, motion_kernel(camera.motion_px, camera.motion_rad))
    return planes


def _vignette(planes: Tensor, loss: float) -> Tensor:
    """Return the share of light that is left at each pixel (H, W): 1 - loss (r / corner's r)²."""
    height, width = planes.shape[1:]
    y = torch.arange(height, device=planes.device, dtype=planes.dtype) - 0.5 * (height - 1)
    x = torch.arange(width, device=planes.device, dtype=planes.dtype) - 0.5 * (width - 1)
    corner = max(0.25 * ((height - 1) ** 2 + (width - 1) ** 2), 1.0)
    return 1.0 - loss / corner * (y[:, None] ** 2 + x[None] ** 2)


def _gaussian_blur(planes: Tensor, sigma_px: float) -> Tensor:
    reach = max(1, math.ceil(3.0 * sigma_px))
    x = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    return _filtered(_filtered(planes, kernel[None]), kernel[:, None])


def _filtered(planes: Tensor, kernel: Tensor) -> Tensor:
    """Filter (3, H, W) by an odd kernel, itself on the CPU; the border repeats its last pixel.

    A sum of shifted pictures: for few taps, many of them 0, torch's conv2d of one channel is
    slower on a CPU.
    """
    height, width = planes.shape[1:]
    rows, columns = kernel.shape
    border = (columns // 2, columns // 2, rows // 2, rows // 2)
    padded = pad(planes[None], border, mode="replicate")[0]
    total = torch.zeros_like(planes)
    for row, taps in enumerate(kernel.tolist()):
        for column, tap in enumerate(taps):
            if tap:
                shifted = padded[:, row : row + height, column : column + width]
                total.add_(shifted, alpha=tap)
    return total


def _sensed(planes: Tensor, camera: Photometry, seed: int) -> Tensor:
    if camera.gains != (1.0, 1.0, 1.0):
        planes = planes * planes.new_tensor(camera.gains)[:, None, None]
    if camera.shot or camera.read:
        # Full wells hold no more: clipped light has the noise of full scale.
        planes = planes.clamp(max=1.0)
        generator = torch.Generator(planes.device).manual_seed(seed)
        noise = torch.randn(
            planes.shape, generator=generator, device=planes.device, dtype=planes.dtype
        )
        planes = planes + noise * (camera.shot * planes + camera.read**2).sqrt()
    return planes


def _encoded(planes: Tensor, camera: Photometry) -> Tensor:
    """Return uint8 (3, H, W) of linear light in 0-1."""
    gamma = camera.gamma
    values = encode_srgb(planes) if gamma is None else planes.pow(1.0 / gamma)
    if camera.saturation != 1.0:
        # BT.709's weights on encoded values: its luma.
        values = torch.lerp(luminance(values)[None], values, camera.saturation)
    if camera.contrast != 1.0:
        values = (values - 0.5) * camera.contrast + 0.5
    return (values.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _compressed(picture: Tensor, quality: int) -> Tensor:
    """Return a picture after JPEG, whose code runs on the CPU."""
    bgr = np.ascontiguousarray(picture.cpu().numpy()[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    rgb = np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])
    return torch.from_numpy(rgb).to(picture.device)
