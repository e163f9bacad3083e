"""KITTI's Eigen split: a list of pictures, the raw recordings, and LiDAR or annotated depth.

The folders are those of the downloads: ``DATE/DRIVE/image_02/data/NUMBER.png``,
``DATE/DRIVE/velodyne_points/data/NUMBER.bin`` and ``DATE/calib_*.txt`` of the raw data, and
``DRIVE/proj_depth/groundtruth/image_02/NUMBER.png`` of the annotated depth, in ``train`` and
``val`` or without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import SourceError, quoted
from depth_anything_ros.core.files import read_file
from depth_anything_ros.core.frames import read_picture
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.core.recording import load_depth, load_lidar
from depth_anything_ros.tools.evaluation import LabelledImage

# Metres in one step of the annotated depth (Uhrig et al. 2017, arXiv 1708.06500, the devkit).
_STEP_M = 1 / 256
# monodepth's list has .jpg, for it converted the pictures first; the download has .png.
_SUFFIXES = (".png", ".jpg")
# DATE/DRIVE/image_02/data/NUMBER.png, as of Eigen, monodepth and BTS, or DATE/DRIVE NUMBER l, as of
# monodepth2.
_LINE = re.compile(
    r"(?P<date>[^/\s]+)/(?P<drive>[^/\s]+)"
    r"(/image_0(?P<camera>[23])/data/(?P<file>\d+)\.|\s+(?P<number>\d+)\s+(?P<side>[lr])\b)"
)
_CAMERA_OF = {"l": "2", "r": "3"}
_DIGITS = 10


@dataclass(frozen=True)
class KittiFrame:
    """A picture of the list; files are read when asked for.

    Attributes:
        name: drive, camera and number.
        drive: name of its folder.
        camera: "2" or "3", the left or the right colour camera.
        picture: its file.
        truth: annotated depth (.png), or the LiDAR's sweep (.bin).
        calibration: folder of calib_cam_to_cam.txt and calib_velo_to_cam.txt.
    """

    name: str
    drive: str
    camera: str
    picture: Path
    truth: Path
    calibration: Path


def kitti_frames(
    raw: Path, listed: Path, left_out: list[str], annotated: Path | None = None
) -> list[KittiFrame]:
    """Find the pictures of a list.

    Args:
        raw: folder with a folder a date.
        listed: one picture a line, as Eigen, monodepth, monodepth2 and BTS have it.
        left_out: gets a line for each picture without ground truth, or that is not there.
        annotated: folder of the annotated depth; without it, the truth is the sweep of the LiDAR.

    Raises:
        SourceError: where the list cannot be read, or nothing of it is there.
    """
    try:
        lines = read_file(listed, "the list of pictures").decode().splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot read the list of pictures {listed}: {error}") from error
    found: list[KittiFrame] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            frame = _frame(raw, annotated, line.strip(), f"{listed}, line {number}")
            missing = [path for path in (frame.picture, frame.truth) if not path.is_file()]
            left_out += [f"{frame.name}: there is no {path}" for path in missing[:1]]
            found += [] if missing else [frame]
    if not found:
        raise SourceError(
            f"no picture of {listed} with ground truth is in {raw}: expected folders such as "
            "2011_09_26/2011_09_26_drive_0002_sync with image_02/data, and velodyne_points/data "
            f"or annotated depth ({'; '.join(left_out[:1]) or 'the list is empty'})"
        )
    return found


def _frame(raw: Path, annotated: Path | None, line: str, where: str) -> KittiFrame:
    match = _LINE.match(line)
    if match is None:
        raise SourceError(
            f"{where}: {quoted(line)} names no picture; expected "
            "DATE/DRIVE/image_02/data/NUMBER.png or "
            "DATE/DRIVE NUMBER l"
        )
    drive, camera = match["drive"], match["camera"] or _CAMERA_OF[match["side"]]
    number = (match["file"] or match["number"]).zfill(_DIGITS)
    folder = raw / match["date"] / drive
    stem = folder / f"image_0{camera}" / "data" / number
    pictures = [stem.with_suffix(suffix) for suffix in _SUFFIXES]
    picture = next((path for path in pictures if path.is_file()), pictures[0])
    truth = folder / "velodyne_points" / "data" / f"{number}.bin"
    if annotated is not None:
        truth = _annotated(annotated, drive, camera, number)
    return KittiFrame(f"{drive}/{camera}/{number}", drive, camera, picture, truth, folder.parent)


def _annotated(folder: Path, drive: str, camera: str, number: str) -> Path:
    below = Path(drive) / "proj_depth" / "groundtruth" / f"image_0{camera}" / f"{number}.png"
    places = [folder / part / below for part in ("", "train", "val")]
    return next((path for path in places if path.is_file()), places[0])


def kitti_pictures(frames: Iterable[KittiFrame]) -> Iterator[LabelledImage]:
    """Read frames, one after the other.

    Depth is along Z. Eigen's own code took the LiDAR's x for it and shifted the points by a pixel,
    which was left behind with the annotated depth.

    Raises:
        SourceError: where a file cannot be used.
    """
    for frame in frames:
        rgb = np.ascontiguousarray(read_picture(frame.picture)[..., ::-1])
        height, width = rgb.shape[:2]
        camera, T_camera_lidar = kitti_calibration(frame.calibration, frame.camera)
        camera = camera.scaled(width, height)
        if frame.truth.suffix == ".bin":
            depth_m = project_lidar(load_lidar(frame.truth), T_camera_lidar, camera)
        else:
            depth_m = load_depth(frame.truth, _STEP_M).depth_m
        if depth_m.shape != (height, width):
            raise SourceError(
                f"{frame.truth} is {depth_m.shape[1]}x{depth_m.shape[0]} and {frame.picture} is "
                f"{width}x{height}; use pictures of the size of the download"
            )
        yield LabelledImage(frame.name, frame.drive, rgb, camera, DepthMap(depth_m, camera))


def kitti_calibration(folder: Path, camera: str) -> tuple[Camera, NDArray[np.float64]]:
    """Read the calibration of a date (KITTI raw data development kit, Geiger et al. 2013).

    Args:
        folder: of calib_cam_to_cam.txt and calib_velo_to_cam.txt.
        camera: "2" or "3".

    Returns:
        The rectified camera, and float64 (4, 4) that maps LiDAR points to its optical frame.

    Raises:
        SourceError: where a file cannot be read or lacks a field.
    """
    cameras = _fields(folder / "calib_cam_to_cam.txt")
    lidar = _fields(folder / "calib_velo_to_cam.txt")
    try:
        width, height = (int(v) for v in cameras[f"S_rect_0{camera}"])
        P = np.reshape(cameras[f"P_rect_0{camera}"], (3, 4))
        rectification, velo_to_cam = np.eye(4), np.eye(4)
        rectification[:3, :3] = np.reshape(cameras["R_rect_00"], (3, 3))
        velo_to_cam[:3, :3] = np.reshape(lidar["R"], (3, 3))
        velo_to_cam[:3, 3] = lidar["T"]
    except KeyError as error:
        raise SourceError(f"the calibration in {folder} lacks the field {error}") from error
    except ValueError as error:
        raise SourceError(f"the calibration in {folder} has a wrong value: {error}") from error
    # P = K (I | t): its last column is where camera 0 is in the frame of this one.
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(P[:, :3], P[:, 3])
    K = tuple(float(v) for v in P[:, :3].ravel())
    return Camera(width, height, K), offset @ rectification @ velo_to_cam


def _fields(path: Path) -> dict[str, list[float]]:
    """Return the fields of a calibration file that are numbers."""
    try:
        lines = read_file(path, "the calibration").decode().splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot read the calibration {path}: {error}") from error
    found: dict[str, list[float]] = {}
    for line in lines:
        name, _, values = line.partition(":")
        try:
            found[name] = [float(v) for v in values.split()]
        except ValueError:  # calib_time: 09-Jan-2012 13:57:47
            continue
    return found
