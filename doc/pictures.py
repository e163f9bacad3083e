"""Make the pictures of README from the simulator and the model in the package.

    python doc/pictures.py               # all of them, into doc/
    python doc/pictures.py hero          # one

Those of the pages need playwright (in the extra ``test``) and a Chromium of the system.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import rerun as rr
from numpy.typing import NDArray
from PIL import Image
from screenshot import browser, served, show

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import Cloud
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.nodes.parameters import build, specs
from depth_anything_ros.nodes.rerun_viewer import Viewer
from depth_anything_ros.nodes.view_parameters import ViewParameters
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.sim.world import views

DOC = Path(__file__).parent
# Of the seeds that no training has seen.
SEED, PLACE, SIZE = 2_000_000_001, "office", (640, 480)
TILE_WIDTH, GAP_PX = 480, 8
# Where the eye is that looks at the cloud, in the optical frame, and at what.
EYE_M, TARGET_M = (-1.3, -1.0, -0.2), (0.15, 0.2, 3.2)
PAPER = 250
WINDOW = (1400, 800)
# A page draws in software, and says of nothing when it is done.
DRAWN_S = 75.0
COLOURS = 200


def scene() -> tuple[NDArray[np.uint8], Camera]:
    """Render a picture of the simulator, uint8 (height, width, 3), RGB, with its camera."""
    view = views([SEED], *SIZE, kind=PLACE)
    return view.rgb[0].numpy(), view.cameras[0]


def hero(path: Path) -> None:
    """Write picture, depth and cloud side by side."""
    rgb, camera = scene()
    answer = DepthPipeline(load_estimator("tiny")).infer(rgb, camera)
    estimate, cloud = answer.estimate, answer.cloud()
    assert estimate is not None and cloud is not None  # tiny gives metres, and the camera is known
    tiles = (rgb, colorize(estimate.nearness(), "spectral"), render(cloud, SIZE))
    gap = np.full((SIZE[1], GAP_PX, 3), 255, np.uint8)
    row = np.hstack([tiles[0], gap, tiles[1], gap, tiles[2]])
    height = round(row.shape[0] * 3 * TILE_WIDTH / row.shape[1])
    save(path, cv2.resize(row, (3 * TILE_WIDTH, height), interpolation=cv2.INTER_AREA))


def render(cloud: Cloud, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the points of a cloud as an eye beside the camera sees them, uint8 RGB."""
    points = cloud.points.reshape(-1, cloud.points.shape[-1])
    points = points[np.isfinite(points[:, 2])]
    packed = np.ascontiguousarray(points[:, 3]).view(np.uint8).reshape(-1, 4)
    forward = np.subtract(TARGET_M, EYE_M) / np.linalg.norm(np.subtract(TARGET_M, EYE_M))
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    seen = (points[:, :3].astype(np.float64) - EYE_M) @ axes.T
    eye = Camera.from_hfov(*size, 68.0)
    ahead = seen[:, 2] > 0.1
    order = np.argsort(-seen[ahead, 2])  # what is nearer is drawn later
    pixels = np.round(eye.project(seen[ahead][order])).astype(int)
    colours = packed[ahead][order][:, 2::-1]
    image = np.full((size[1], size[0], 3), PAPER, np.uint8)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):  # each point is four pixels
        x, y = (pixels + np.array([dx, dy])).T
        inside = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
        image[y[inside], x[inside]] = colours[inside]
    return image


def web(path: Path) -> None:
    """Write what the page of ``depth_anything web`` shows of the same picture."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "office.png"
        Image.fromarray(scene()[0]).save(picture)
        with served("--model", "tiny") as address, browser() as running:
            page = running.new_page(viewport={"width": 1280, "height": 800})
            show(page, address, picture)
            # Of its examples, the first is a picture of others.
            page.locator(".gallery-item").first.evaluate("one => one.style.display = 'none'")
            page.screenshot(path=Path(folder) / "page.png", full_page=True)
        save(path, np.asarray(Image.open(Path(folder) / "page.png").convert("RGB")))


def view(path: Path) -> None:
    """Write what the page of ``depth_anything view --demo`` shows after a few pictures."""
    with tempfile.TemporaryDirectory() as folder:
        drive = Path(folder) / "drive.rrd"
        command = [sys.executable, "-m", "depth_anything_ros", "view", "--demo", "--frames", "25"]
        subprocess.run([*command, "--place", "warehouse", "--save", drive], check=True)
        values = {spec.name: spec.default for spec in specs(ViewParameters)}
        viewer = Viewer(build(ViewParameters, values))
        try:
            rr.log_file_from_path(drive, recording=viewer.recording)
            viewer.flush()
            with browser() as running:
                page = running.new_page(
                    viewport={"width": WINDOW[0], "height": WINDOW[1]}, color_scheme="dark"
                )
                page.goto(viewer.where)
                time.sleep(DRAWN_S)
                page.screenshot(path=Path(folder) / "page.png", timeout=120_000)
        finally:
            viewer.close()
        save(path, np.asarray(Image.open(Path(folder) / "page.png").convert("RGB")))


def save(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write a PNG of few colours, which is small."""
    few = Image.fromarray(rgb).quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


MAKERS: dict[str, Callable[[Path], None]] = {"hero": hero, "web": web, "view": view}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", choices=[*MAKERS, []], help="all where none is given")
    for name in parser.parse_args(arguments).names or MAKERS:
        MAKERS[name](DOC / f"{name}.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
