"""Random views of a sample: crop with zoom, flip, colours, blur; and CutMix of a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.training.samples import Batch, Sample

Generator = np.random.Generator
Window = tuple[int, int, int, int]
# Below this share of known pixels a label is a cloud of points, not a surface.
_SPARSE = 0.5
# RGB to luma (ITU-R BT.601) and to two chroma axes: the YIQ of NTSC, in which a hue is an angle.
_LUMA = (0.299, 0.587, 0.114)
_YIQ = np.array([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_RGB_OF_YIQ = np.linalg.inv(_YIQ)


@dataclass(frozen=True)
class AugmentOptions:
    """How strongly samples are changed. The defaults suit pictures with exact labels.

    Attributes:
        min_area: least area of the crop, as a share of the largest window of the wanted aspect.
        flip: probability of a mirror image.
        jitter: probability of a change of colours.
        brightness: largest change of brightness, as a share.
        contrast: largest change of contrast, as a share.
        saturation: largest change of saturation, as a share.
        hue: largest change of hue, as a share of the full circle.
        gamma: largest exponent; its inverse is the least one.
        grayscale: probability of a picture with no colour.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest sigma of it, in pixels.
        noise: largest deviation of Gaussian noise, as a share of white; the least is 0.
        jpeg: probability of a picture that was compressed, with a quality of 30 to 95.
        cutmix: probability that a box of another picture is pasted into a pseudo-labelled one.
    """

    min_area: float = 0.5
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.03
    gamma: float = 1.25
    grayscale: float = 0.05
    blur: float = 0.1
    blur_sigma: tuple[float, float] = (0.1, 1.0)
    noise: float = 0.0
    jpeg: float = 0.0
    cutmix: float = 0.0


# For pseudo-labels, which an unchanged picture would only repeat to the student: colour jitter,
# blur and CutMix on half of the pictures (Depth Anything V1, arXiv 2401.10891, section 3.2-3.3).
# The paper gives no strengths; these are those usual in semi-supervised learning with CutMix.
STRONG = AugmentOptions(
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.25,
    gamma=1.5,
    grayscale=0.2,
    blur=0.5,
    blur_sigma=(0.1, 2.0),
    cutmix=0.5,
)

# For rendered pictures, whose labels are exact whatever is done to their colours: what cameras
# differ in, so that the network does not lean on the renderer's.
RENDERED = AugmentOptions(
    min_area=0.4,
    jitter=0.9,
    brightness=0.4,
    contrast=0.4,
    saturation=0.5,
    hue=0.08,
    gamma=1.6,
    grayscale=0.1,
    blur=0.3,
    blur_sigma=(0.1, 1.2),
    noise=0.03,
    jpeg=0.3,
)


def augment(
    sample: Sample, width: int, height: int, rng: Generator, options: AugmentOptions
) -> Sample:
    """Return a random view of a sample at width × height, in pixels.

    A crop leaves the focal length in pixels as it is, the resize scales it: what the canonical
    depth, depth × 300 / focal, is made of stays true.
    """
    picture = sample.rgb.shape
    window = random_window(picture[1], picture[0], width / height, rng, options.min_area)
    changed = crop_and_resize(sample, window, width, height)
    if rng.random() < options.flip:
        changed = flipped(changed)
    return replace(changed, rgb=_recoloured(changed.rgb, rng, options))


def random_window(
    width: int, height: int, aspect: float, rng: Generator, min_area: float
) -> Window:
    """Draw a window (x, y, width, height) of an aspect within a picture, in whole pixels.

    Args:
        width: of the picture.
        height: of the picture.
        aspect: width / height of the window, but for rounding to pixels.
        rng: that draws.
        min_area: least area, as a share of the largest window's.
    """
    largest = min(width, height * aspect)
    scale = math.sqrt(rng.uniform(min_area, 1.0))
    w = min(max(round(largest * scale), 1), width)
    h = min(max(round(largest * scale / aspect), 1), height)
    return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h


def crop_and_resize(sample: Sample, window: Window, width: int, height: int) -> Sample:
    """Cut a window (x, y, width, height) out of a sample and resize it to width × height."""
    x, y, w, h = window
    rows, columns = slice(y, y + h), slice(x, x + w)
    shrinks = w > width or h > height
    rgb = cv2.resize(
        sample.rgb[rows, columns],
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    )
    depth, disparity = (
        None if label is None else resize_label(label[rows, columns], width, height)
        for label in (sample.depth_m, sample.disparity)
    )
    focal = sample.focal_px * (width / w + height / h) / 2
    return Sample(np.asarray(rgb, np.uint8), depth, disparity, focal)


def resize_label(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Resize depth or disparity without mixing values: a mean across an edge lies on no surface.

    A dense label takes the pixel under each new centre. One with fewer than half of its pixels
    known (a projected LiDAR) keeps its points: each goes to the pixel it falls into, and the
    smallest value stays where several meet.
    """
    h, w = values.shape
    known = ~np.isnan(values)
    if (width < w or height < h) and np.count_nonzero(known) < _SPARSE * values.size:
        rows, columns = np.nonzero(known)
        small = np.full((height, width), np.nan, np.float32)
        far_first = np.argsort(-values[rows, columns], kind="stable")
        rows, columns = rows[far_first], columns[far_first]
        small[rows * height // h, columns * width // w] = values[rows, columns]
        return small
    rows = ((2 * np.arange(height) + 1) * h) // (2 * height)
    columns = ((2 * np.arange(width) + 1) * w) // (2 * width)
    return np.ascontiguousarray(values[rows[:, None], columns])


def flipped(sample: Sample) -> Sample:
    """Return the mirror image of a sample, left for right."""

    def mirrored(label: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if label is None else np.ascontiguousarray(label[:, ::-1])

    rgb = np.ascontiguousarray(sample.rgb[:, ::-1])
    return Sample(rgb, mirrored(sample.depth_m), mirrored(sample.disparity), sample.focal_px)


def _recoloured(
    rgb: NDArray[np.uint8], rng: Generator, options: AugmentOptions
) -> NDArray[np.uint8]:
    jitter = rng.random() < options.jitter
    is_gray = rng.random() < options.grayscale
    if jitter:
        rgb = np.asarray(cv2.LUT(rgb, _tones(rgb, rng, options)), np.uint8)
    if jitter or is_gray:
        saturation = 1 + rng.uniform(-1, 1) * options.saturation if jitter else 1.0
        angle = rng.uniform(-1, 1) * options.hue * 2 * math.pi if jitter else 0.0
        matrix = _chroma_matrix(0.0 if is_gray else saturation, angle)
        rgb = np.asarray(cv2.transform(rgb, matrix), np.uint8)
    if rng.random() < options.blur:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), rng.uniform(*options.blur_sigma)), np.uint8)
    return _recorded(rgb, rng, options)


def _recorded(rgb: NDArray[np.uint8], rng: Generator, options: AugmentOptions) -> NDArray[np.uint8]:
    """Add what a sensor and a compressed file add, where that is asked for."""
    if options.noise:
        deviation = 255 * options.noise * rng.random() ** 2  # most cameras have little
        noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(deviation)
        rgb = np.asarray(np.clip(rgb + noise, 0, 255), np.uint8)
    if options.jpeg and rng.random() < options.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
        written = cv2.imencode(".jpg", rgb[..., ::-1], quality)[1]
        rgb = np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        rgb = np.ascontiguousarray(rgb)
    return rgb


def _tones(rgb: NDArray[np.uint8], rng: Generator, options: AugmentOptions) -> NDArray[np.uint8]:
    """Return the table (256,) of brightness, contrast about the mean, and gamma together."""
    brightness = 1 + rng.uniform(-1, 1) * options.brightness
    contrast = 1 + rng.uniform(-1, 1) * options.contrast
    exponent = options.gamma ** rng.uniform(-1, 1)
    values = np.arange(256) / 255 * brightness
    mean = brightness * float(np.dot(cv2.mean(rgb)[:3], _LUMA)) / 255
    values = np.clip((values - mean) * contrast + mean, 0, 1) ** exponent
    return np.asarray(np.rint(255 * values), np.uint8)


def _chroma_matrix(saturation: float, angle: float) -> NDArray[np.float64]:
    """Return the matrix (3, 3) that turns and stretches chroma, and keeps luma."""
    c, s = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = np.array([(1, 0, 0), (0, c, -s), (0, s, c)])
    return np.asarray(_RGB_OF_YIQ @ turn @ _YIQ, np.float64)


def cutmix(batch: Batch, rng: Generator, probability: float | NDArray[np.float64] = 0.5) -> Batch:
    """Paste a box of another picture, with its disparity, into some pictures of a batch.

    Only between pictures with a pseudo-label and no metric depth: a picture with two focal
    lengths has no canonical depth. Which of them gives to which is a random cycle.

    Args:
        batch: stays as it is.
        rng: that draws.
        probability: that a picture gets a box, one for all or one for each; 0.5 in Depth Anything
            V1 (arXiv 2401.10891, 3.3).

    Returns:
        The batch, its ``region`` True where a box was pasted.
    """
    has_depth = ~batch.depth_m.isnan().flatten(1).all(1)
    has_disparity = batch.disparity.isfinite().flatten(1).any(1)
    able = rng.permutation((has_disparity & ~has_depth).nonzero()[:, 0].numpy())
    probabilities = np.broadcast_to(probability, len(has_depth))
    if len(able) < 2:
        return batch
    image, disparity = batch.image.clone(), batch.disparity.clone()
    region = batch.region.clone()
    height, width = region.shape[1:]
    for taker, giver in zip(able, np.roll(able, 1), strict=True):
        if rng.random() >= probabilities[taker]:
            continue
        rows, columns = _box(width, height, rng)
        image[taker, :, rows, columns] = batch.image[giver, :, rows, columns]
        disparity[taker, rows, columns] = batch.disparity[giver, rows, columns]
        region[taker, rows, columns] = True
    focal = torch.where(region.flatten(1).any(1), torch.nan, batch.focal_px)
    return replace(batch, image=image, disparity=disparity, region=region, focal_px=focal)


def _box(width: int, height: int, rng: Generator) -> tuple[slice, slice]:
    """Draw a box of 5-50 % of the picture's area with an aspect of 1/2-2 of the picture's."""
    area, aspect = rng.uniform(0.05, 0.5), math.exp(rng.uniform(-1, 1) * math.log(2))
    w = min(max(round(width * math.sqrt(area * aspect)), 1), width)
    h = min(max(round(height * math.sqrt(area / aspect)), 1), height)
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return slice(y, y + h), slice(x, x + w)
