"""Pictures of depth for people to look at; nothing is measured in them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# The 11 colours of "Spectral" by Cynthia Brewer (ColorBrewer 2.0), from blue to red, so that near
# is red: the "Spectral_r" in which Depth Anything's own pictures are painted.
_SPECTRAL = (
    (94, 79, 162),
    (50, 136, 189),
    (102, 194, 165),
    (171, 221, 164),
    (230, 245, 152),
    (255, 255, 191),
    (254, 224, 139),
    (253, 174, 97),
    (244, 109, 67),
    (213, 62, 79),
    (158, 1, 66),
)


def _between(colours: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """Return 256 colours, BGR (256, 1, 3), on the lines between these."""
    at, given = np.linspace(0, len(colours) - 1, 256), np.array(colours)
    channels = [np.interp(at, np.arange(len(colours)), given[:, i]) for i in (2, 1, 0)]
    return np.asarray(np.rint(np.stack(channels, axis=-1))[:, None], np.uint8)


# What cv2.applyColorMap takes; None is grey.
COLORMAPS: dict[str, int | NDArray[np.uint8] | None] = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "spectral": _between(_SPECTRAL),
    "gray": None,
}
_PERCENTILES = (2.0, 98.0)


def colorize(
    values: NDArray[np.float32],
    colormap: str = "inferno",
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Paint values, small dark and large bright (of ``spectral``, blue and red), NaN black.

    Args:
        values: float32 (height, width).
        colormap: a key of ``COLORMAPS``.
        limits: the values of the first and last colour; the 2nd and 98th percentile where None.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    finite = np.isfinite(values)
    if limits is None:
        # Every fourth pixel in both directions is enough to choose colours by.
        sample = values[::4, ::4][finite[::4, ::4]]
        low, high = np.percentile(sample, _PERCENTILES) if sample.size else (0.0, 1.0)
        limits = (float(low), float(high))
    low, high = limits
    scale = 255.0 / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        level = np.clip((values - low) * scale, 0, 255)
    gray = np.where(finite, level, 0).astype(np.uint8)
    table = COLORMAPS[colormap]
    if table is None:
        rgb = cv2.merge((gray, gray, gray))
    else:
        rgb = cv2.cvtColor(cv2.applyColorMap(gray, table), cv2.COLOR_BGR2RGB)
    rgb[~finite] = 0
    return np.asarray(rgb, np.uint8)
