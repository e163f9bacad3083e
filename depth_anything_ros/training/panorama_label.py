"""Labels for views of panoramas, from one teacher's answers all around each."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ImageError, SourceError
from depth_anything_ros.core.files import claim_folder, read_file, write_atomically
from depth_anything_ros.core.frames import PICTURE_SUFFIXES
from depth_anything_ros.core.picture_files import MAX_FILE_MEGAPIXELS, check_size, decode_file
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.training.panorama import (
    ASKED,
    GAMMA,
    AnsweredView,
    agree,
    bring_to_ground,
    cut_depth,
    exposed,
    rings,
    rotation,
)
from depth_anything_ros.training.pseudo_label import PROVENANCE, Provenance
from depth_anything_ros.training.samples import picture_paths, write_labels

SUFFIXES = (*PICTURE_SUFFIXES, ".hdr")
_RADIANCE, _RADIANCE_SIZE = b"#?", re.compile(rb"\n-Y (\d{1,9}) \+X (\d{1,9})\n")
# The views that are written: the share of the first size, and their horizontal angles.
_SIZES, _FIRST_SHARE, _HFOV_DEG = ((384, 288), (448, 256)), 0.8, (60.0, 118.0)
# Mean and standard deviation of their pitch, and the deviations of roll and of their exposure.
_PITCH_DEG, _ROLL_DEG, _EXPOSURE = (-6.0, 12.0), 2.5, 0.35
_LEAST_SHARED = 0.05


@dataclass(frozen=True)
class PanoramaOptions:
    """How views of panoramas are labelled.

    Attributes:
        views: written of each panorama.
        camera_height_m: of the cameras above the ground, which then gives the scale; 0 leaves it
            to the teacher.
        level_ground: whether the ground is a plane, of which the height says where it is.
        disparity: whether 1 / depth is written, of which a student learns shape and no metres.
    """

    views: int = 20
    camera_height_m: float = 0.0
    level_ground: bool = False
    disparity: bool = False

    def __post_init__(self) -> None:
        if self.views < 1:
            raise SourceError(f"--views {self.views}: give 1 or more")
        if not 0 <= self.camera_height_m < 1000:
            raise SourceError(f"--camera-height {self.camera_height_m:g}: give metres, 0 to 1000")
        if self.level_ground and not self.camera_height_m:
            raise SourceError("--level-ground needs --camera-height, which says where it is")


@dataclass(frozen=True)
class Labelled:
    """What became of one panorama.

    Attributes:
        path: of its file.
        spread: standard deviation of the logarithm of the scales of the teacher's answers.
        height_m: of the camera in the teacher's own scale; NaN where it saw no ground.
    """

    path: Path
    spread: float
    height_m: float


class PanoramaLabeller:
    """Write views of equirectangular panoramas and their depth, as ``FolderSource`` reads them.

    A view gets its picture after its labels, and a panorama with all its views is not asked again.

    Args:
        teacher: of metres.
        provenance: of the labels, written into the output with the options.
        panoramas: folder of pictures twice as wide as high, Radiance's .hdr among them.
        output: folder of the views, made if absent.
        options: how they are labelled.

    Attributes:
        total: number of panoramas.
        missing: those of which a view is missing.

    Raises:
        SourceError: where there are no panoramas, the teacher gives no metres, or the output has
            labels that were made otherwise.
    """

    def __init__(
        self,
        teacher: DepthEstimator,
        provenance: Provenance,
        panoramas: Path,
        output: Path,
        options: PanoramaOptions,
    ) -> None:
        if teacher.card.kind != "metric":
            raise SourceError(
                f"{teacher.card.name} is {teacher.card.kind}: views of a panorama are brought to "
                "one scale, so take a teacher of metres"
            )
        paths = picture_paths(panoramas, SUFFIXES)
        self.teacher, self.output, self.options = teacher, output, options
        output.mkdir(parents=True, exist_ok=True)
        made_of = asdict(provenance) | asdict(options)
        claim_folder(output / PROVENANCE, made_of, "labels of panoramas")
        self.total = len(paths)
        self.missing = tuple(p for p in paths if not self._picture(p, options.views - 1).exists())

    def _picture(self, panorama: Path, number: int) -> Path:
        return self.output / f"{panorama.stem}_{number:03d}.png"

    def run(self) -> Iterator[Labelled]:
        """Label what is missing; yield each panorama when its last view is written.

        Raises:
            SourceError: where one cannot be read, or is not twice as wide as high.
        """
        for path in self.missing:
            light = read_light(path)
            depth = agree([self._ask(light, turned) for turned in rings()])
            grounded, height = bring_to_ground(
                depth, self.options.camera_height_m or None, self.options.level_ground
            )
            rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
            for number in range(self.options.views):
                camera, turned, gain = _drawn(rng, (number + rng.random()) / self.options.views)
                picture = self._picture(path, number)
                depth_m = cut_depth(grounded, camera, turned)
                label = (
                    {"disparity": 1 / depth_m} if self.options.disparity else {"depth_m": depth_m}
                )
                write_labels(self.output, picture.stem, camera=camera, **label)
                bgr = exposed(light, camera, turned, gain)[..., ::-1]
                write_atomically(picture, cv2.imencode(".png", bgr)[1].tobytes(), SourceError)
            yield Labelled(path, depth.spread, height)

    def _ask(self, light: NDArray[np.float32], turned: NDArray[np.float64]) -> AnsweredView:
        """Ask the teacher for a view and its mirror image, and return the mean of both."""
        rgb = exposed(light, ASKED, turned)
        mirrored = np.ascontiguousarray(rgb[:, ::-1])
        plain, other = (
            np.nan_to_num(1 / answer.values, nan=0.0).astype(np.float32)
            for answer in self.teacher.infer_batch([rgb, mirrored], [ASKED, ASKED])
        )
        other = other[:, ::-1].copy()
        both = (plain > 0) & (other > 0)
        if both.mean() > _LEAST_SHARED:
            other *= float(np.exp(np.median(np.log(plain[both] / other[both]))))
        count = (plain > 0).astype(np.float32) + (other > 0)
        with np.errstate(divide="ignore"):
            depth_m = np.maximum(count, 1) / (plain + other)  # +Inf where both see the sky
        return AnsweredView(ASKED, turned, depth_m.astype(np.float32))


def _drawn(rng: np.random.Generator, share: float) -> tuple[Camera, NDArray[np.float64], float]:
    """Draw a view that looks so far around: its camera, its rotation and its exposure."""
    width, height = _SIZES[int(rng.random() > _FIRST_SHARE)]
    camera = Camera.from_hfov(width, height, float(rng.uniform(*_HFOV_DEG)))
    yaw, pitch, roll = 2 * np.pi * share, rng.normal(*_PITCH_DEG), rng.normal(0, _ROLL_DEG)
    turned = rotation(float(yaw), float(np.radians(pitch)), float(np.radians(roll)))
    return camera, turned, float(np.exp(rng.normal(0, _EXPOSURE)))


def read_light(path: Path) -> NDArray[np.float32]:
    """Read an equirectangular panorama as linear light, RGB, float32 (rows, columns, 3).

    Raises:
        SourceError: where the file is no picture, or not twice as wide as high.
    """
    data = read_file(path, "the panorama")
    if data.startswith(_RADIANCE):
        bgr = _read_radiance(path, data)
    else:
        coded = decode_file(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, data)
        bgr = np.power(coded / np.float32(255), np.float32(GAMMA))
    rows, columns = bgr.shape[:2]
    if columns != 2 * rows:
        raise SourceError(
            f"{path} is {columns}x{rows}; an equirectangular panorama is twice as wide as high"
        )
    return np.ascontiguousarray(bgr[..., ::-1])


def _read_radiance(path: Path, data: bytes) -> NDArray[np.float32]:
    size = _RADIANCE_SIZE.search(data[:10_000])
    if size is None:
        raise SourceError(f"{path} is a Radiance file without '-Y rows +X columns' in its header")
    try:
        check_size(int(size[2]), int(size[1]), MAX_FILE_MEGAPIXELS)
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (ImageError, cv2.error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    if bgr is None:
        raise SourceError(f"OpenCV finds no picture in {path}; is the file whole?")
    return np.asarray(bgr, np.float32)
