"""Read recordings: pictures, and beside them calibration, LiDAR points and depth pictures.

A recording is a folder. ``calib.json`` belongs to the pictures ``color.*``, ``image.*`` and
``color_ID.*``, and ``calib_NAME.json`` to the picture ``NAME.*`` of one camera of several. Ground
truth is the depth picture that the calibration names (``depth_file``), or ``NAME_depth.png`` beside
NAME.png, or ``depth_ID.png`` (of several cameras ``depth_NAME.png``), or else ``lidar.bin``, which
all cameras share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, SourceError, printable, quoted
from depth_anything_ros.core.files import read_document, read_file
from depth_anything_ros.core.frames import PICTURE_SUFFIXES, read_picture
from depth_anything_ros.core.picture_files import decode_file
from depth_anything_ros.core.projection import project_lidar
from depth_anything_ros.core.rectification import Rectifier

_CALIBRATIONS = ("calib*.json", "calib*.yaml", "calib*.yml")
_PICTURE_NAMES = ("color", "image")
_LIDAR_NAME = "lidar.bin"
_LARGEST_SIDE = 100_000  # pixels
_STEPS_M = (1e-9, 1e3)  # that a depth picture may have, metres
_MOST_NUMBERS = 64  # of a matrix: more than any has, so that it is refused by its count


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a calibration file says.

    Attributes:
        width: of the pictures, pixels.
        height: of the pictures, pixels.
        camera: None where the file says that the intrinsics are not known (K null or zero).
        T_camera_lidar: float64 (4, 4), maps LiDAR points to the optical frame; None if absent.
        depth_scale_m: metres in one step of the 16-bit depth pictures; None if there are none.
        depth_file: name of the depth picture beside the file; None if absent.
    """

    width: int
    height: int
    camera: Camera | None
    T_camera_lidar: NDArray[np.float64] | None = None
    depth_scale_m: float | None = None
    depth_file: str | None = None


def load_calibration(path: Path, frame_id: str = "") -> Calibration:
    """Read a calibration: YAML of ROS or of OpenCV, or a JSON with width, height, K, D.

    ROS's is what camera_calibration and camera_info_manager write; OpenCV's is what
    ``cv::FileStorage`` makes of its calibration sample (``%YAML:1.0`` or JSON), old names and
    ``fisheye_model`` included.

    Args:
        path: ending in .yaml, .yml or .json.
        frame_id: of the camera, where the file names none.

    Raises:
        SourceError: where the file is missing, malformed or lacks a field.
        CameraError: where its numbers make no camera; both name the file.
    """
    data = read_document(path, "the calibration")
    if not isinstance(data, dict):
        raise SourceError(f"the calibration {path} holds {type(data).__name__}, not a mapping")
    lower = {str(name).lower(): value for name, value in data.items()}
    try:
        if "camera_matrix" in lower:
            return _from_ros_yaml(lower, frame_id)
        return _from_json(data, frame_id)
    except KeyError as error:
        raise SourceError(f"the calibration {path} lacks the field {error}") from error
    except ValueError as error:
        raise SourceError(f"the calibration {path} has a wrong value: {error}") from error
    except CameraError as error:
        raise CameraError(f"the calibration {path}: {error}", error.reason) from error


def camera_fields(camera: Camera) -> dict[str, Any]:
    """Return the fields of a calibration in JSON that ``load_calibration`` reads as this camera."""
    names = ("width", "height", "K", "D", "distortion_model", "R", "P", "frame_id")
    return {name: getattr(camera, name) for name in names}


# Of K, D, R and P: the names that ROS and OpenCV have in common, in lower case, and those of JSON.
_ROS_NAMES = (
    "camera_matrix",
    "distortion_coefficients",
    "rectification_matrix",
    "projection_matrix",
)
_JSON_NAMES = ("K", "D", "R", "P")


def _from_ros_yaml(data: dict[str, Any], frame_id: str) -> Calibration:
    size = _size(data, "image_width"), _size(data, "image_height")
    model = _text(data, "distortion_model") or _opencv_model(data)
    frame_id = frame_id or _text(data, "camera_name")
    return Calibration(*size, _camera_or_none(data, size, _ROS_NAMES, model, frame_id))


def _opencv_model(data: dict[str, Any]) -> str:
    """Name the lens of a file that does not: OpenCV's own is told by the number of its D."""
    if data.get("fisheye_model"):
        return "equidistant"
    is_long = len(_numbers(data, "distortion_coefficients")) > 5
    return "rational_polynomial" if is_long else "plumb_bob"


def _from_json(data: dict[str, Any], frame_id: str) -> Calibration:
    size = _size(data, "width"), _size(data, "height")
    if "K" not in data:
        raise KeyError("K")
    model = _text(data, "distortion_model") or "plumb_bob"
    frame_id = frame_id or _text(data, "frame_id")
    return Calibration(
        *size,
        _camera_or_none(data, size, _JSON_NAMES, model, frame_id),
        _transform(data, "T_camera_lidar"),
        _depth_scale(data),
        _text(data, "depth_file") or None,
    )


def _camera_or_none(
    data: dict[str, Any], size: tuple[int, int], names: Sequence[str], model: str, frame_id: str
) -> Camera | None:
    K, D, R, P = (_numbers(data, name) for name in names)
    if not K:
        return None
    try:
        return Camera(*size, K, D, model, R or (0.0,) * 9, P, frame_id)
    except CameraError as error:
        if error.reason == "uncalibrated":
            return None
        raise


def _size(data: dict[str, Any], name: str) -> int:
    size = _number(data[name], name)
    if not 1 <= size <= _LARGEST_SIDE or size != int(size):
        raise ValueError(f"{name} is {quoted(data[name])}, expected 1 to {_LARGEST_SIDE} pixels")
    return int(size)


def _number(value: object, name: str) -> float:
    """Return a number; YAML reads 1e-05, which other writers make, as text."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {quoted(value)}, expected a number") from None


def _numbers(data: dict[str, Any], name: str) -> tuple[float, ...]:
    """Return the numbers of a matrix: a list, rows of it, or a mapping with ``data``.

    Empty where there is no such field, or null in it.
    """
    values = data.get(name)
    if isinstance(values, dict):
        if "data" not in values:
            raise KeyError(f"{name}.data")
        values = values["data"]
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ValueError(f"{name} is {quoted(values)}, expected numbers")
    rows = [row if isinstance(row, list) else [row] for row in values[:_MOST_NUMBERS]]
    return tuple(_number(value, name) for row in rows for value in row[:_MOST_NUMBERS])


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is {quoted(value)}, expected text")
    return str(value)


def _transform(data: dict[str, Any], name: str) -> NDArray[np.float64] | None:
    values = np.array(_numbers(data, name), np.float64)
    if not values.size:
        return None
    if values.size != 16 or not np.isfinite(values).all():
        raise ValueError(f"{name} is {quoted(data[name])}, expected 16 finite numbers")
    return values.reshape(4, 4)


def _depth_scale(data: dict[str, Any]) -> float | None:
    name = "depth_scale_m"
    if data.get(name) is None:
        return None
    scale_m = _number(data[name], name)
    if not _STEPS_M[0] <= scale_m <= _STEPS_M[1]:
        raise ValueError(
            f"{name} is {quoted(data[name])}, expected metres above 0: 0.001 for millimetres"
        )
    return scale_m


def load_lidar(path: Path) -> NDArray[np.float32]:
    """Read LiDAR points: a file of little-endian float32 x, y, z, intensity, as KITTI has it.

    Returns:
        float32 (points, 4), metres in the LiDAR's frame.
    """
    data = read_file(path, "the LiDAR points")
    if len(data) % 16:
        raise SourceError(f"{path} has {len(data)} bytes; x, y, z, intensity take 16 a point")
    return np.frombuffer(data, "<f4").reshape(-1, 4).astype(np.float32)


def load_depth(path: Path, scale_m: float, camera: Camera | None = None) -> DepthMap:
    """Read a 16-bit depth picture; 0 becomes NaN.

    Args:
        path: of a one-channel 16-bit picture, PNG as a rule.
        scale_m: metres in one step.
        camera: of the picture, where it has the same size.
    """
    raw = decode_file(path, cv2.IMREAD_UNCHANGED)
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise SourceError(
            f"{path} must be a 16-bit depth picture of one channel, found {raw.dtype} of shape "
            f"{raw.shape}"
        )
    depth = raw.astype(np.float32) * np.float32(scale_m)
    depth[raw == 0] = np.nan
    return DepthMap(depth, camera)


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """A picture of a recording and where its ground truth lies; files are read when asked for.

    Attributes:
        recording: name of the folder, ``printable``.
        name: of the picture in it, without suffix, ``printable``.
        picture: its file.
        calibration: of its camera.
        depth_file: 16-bit depth picture; None if there is none.
        lidar_file: points to project; None if there are none, or nothing says how.
    """

    recording: str
    name: str
    picture: Path
    calibration: Calibration
    depth_file: Path | None = None
    lidar_file: Path | None = None

    @property
    def has_truth(self) -> bool:
        """Say whether there is anything to compare a depth map with."""
        return self.depth_file is not None or self.lidar_file is not None

    def read_rgb(self) -> NDArray[np.uint8]:
        """Read the picture as the lens made it, uint8 (height, width, 3).

        Raises:
            SourceError: where it cannot be read, or its calibration is of another shape.
        """
        rgb = np.ascontiguousarray(read_picture(self.picture)[..., ::-1])
        size, said = rgb.shape[1::-1], (self.calibration.width, self.calibration.height)
        if not same_aspect(said, (size[0], size[1])):
            raise SourceError(
                f"{self.picture} is {size[0]}x{size[1]} and its calibration is of "
                f"{said[0]}x{said[1]}, another shape (an orientation in the file is left aside)"
            )
        return rgb

    def camera(self, width: int, height: int) -> Camera | None:
        """Return the camera of the picture at its size; None where it is not known."""
        camera = self.calibration.camera
        return None if camera is None else camera.scaled(width, height)

    def read_truth(self, width: int, height: int) -> DepthMap:
        """Read the ground truth on the picture's grid: the depth picture, or else the LiDAR.

        Args:
            width: of the picture.
            height: of the picture.

        Returns:
            Metres along Z, NaN unknown. A coarser depth picture is enlarged by nearest neighbour,
            for depth is not to be mixed across edges.

        Raises:
            SourceError: where a file cannot be used, or there is no ground truth at all.
        """
        camera = self.camera(width, height)
        if self.depth_file is not None:
            return DepthMap(self._depth(self.depth_file, width, height), camera)
        if camera is None:
            raise SourceError(f"there is no ground truth for {self.picture}")
        return DepthMap(self._lidar(camera, np.eye(4)), camera)

    def read_rectified(self) -> tuple[NDArray[np.uint8], DepthMap]:
        """Read picture and ground truth as depth_node takes them: through a pinhole.

        Where the lens bends lines, both are rectified; otherwise they are as they were taken.

        Returns:
            uint8 (height, width, 3), and metres along Z on its grid with the camera of it.

        Raises:
            SourceError: as read_rgb and read_truth.
            CameraError: where the camera cannot be rectified.
        """
        rgb = self.read_rgb()
        height, width = rgb.shape[:2]
        camera = self.camera(width, height)
        if camera is None or not camera.is_distorted:
            return rgb, self.read_truth(width, height)
        rectifier = Rectifier(camera)
        if self.depth_file is not None:
            truth = rectifier.rectify_depth(self.read_truth(width, height))
        else:
            turn = np.eye(4)
            turn[:3, :3] = np.array(camera.R).reshape(3, 3)
            truth = DepthMap(self._lidar(rectifier.camera, turn), rectifier.camera)
        seen = np.where(rectifier.valid, truth.depth_m, np.float32(np.nan))
        return rectifier.rectify(rgb), DepthMap(seen, truth.camera)

    def _lidar(self, camera: Camera, turn: NDArray[np.float64]) -> NDArray[np.float32]:
        """Project the LiDAR into a camera whose frame is the optical frame turned."""
        transform = self.calibration.T_camera_lidar
        if self.lidar_file is None or transform is None:
            raise SourceError(f"there is no ground truth for {self.picture}")
        return project_lidar(load_lidar(self.lidar_file), turn @ transform, camera)

    def _depth(self, path: Path, width: int, height: int) -> NDArray[np.float32]:
        scale_m = self.calibration.depth_scale_m
        if scale_m is None:
            raise SourceError(
                f"nothing says how long a step of {path} is; write depth_scale_m (0.001 for "
                "millimetres) into its calibration"
            )
        depth = load_depth(path, scale_m).depth_m
        if depth.shape == (height, width):
            return depth
        if not same_aspect((depth.shape[1], depth.shape[0]), (width, height)):
            raise SourceError(
                f"{path} is {depth.shape[1]}x{depth.shape[0]} and its picture is {width}x{height}, "
                "another shape; register the depth to the picture"
            )
        nearest = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(nearest, np.float32)


def recordings_under(folder: Path) -> tuple[list[Path], list[Path]]:
    """Find recordings: the folder itself, or else those directly in it, by name.

    Returns:
        The recordings, and the folders without a calibration, which are none.

    Raises:
        SourceError: where there is no such folder, or no recording.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; give one with recordings")
    if _calibrations(folder):
        return [folder], []
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [path for path in folders if _calibrations(path)]
    if not found:
        raise SourceError(
            f"no recording in {folder}: expected calib.json, color.png and depth.png or lidar.bin, "
            "there or in folders below"
        )
    return found, [path for path in folders if path not in found]


def frames_of(folder: Path) -> list[RecordedFrame]:
    """List the frames of a recording, by camera and name; nothing but calibrations is read.

    Raises:
        SourceError: where a calibration cannot be used or has no picture.
        CameraError: where its numbers make no camera.
    """
    frames: list[RecordedFrame] = []
    for path in _calibrations(folder):
        calibration = load_calibration(path)
        camera_name = path.stem.removeprefix("calib").removeprefix("_")
        pictures = _pictures_of(folder, camera_name)
        if not pictures:
            wanted = camera_name or " or ".join(_PICTURE_NAMES)
            raise SourceError(f"{path} has no picture: expected {wanted} with a picture's suffix")
        frames += [_frame(folder, picture, calibration) for picture in pictures]
    return frames


def _calibrations(folder: Path) -> list[Path]:
    return sorted(path for pattern in _CALIBRATIONS for path in folder.glob(pattern))


def _pictures_of(folder: Path, camera_name: str) -> list[Path]:
    pictures = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    pictures = [p for p in pictures if not p.stem.endswith("_depth")]
    if camera_name:
        return [p for p in pictures if p.stem == camera_name]
    sequences = tuple(f"{name}_" for name in _PICTURE_NAMES)
    return [p for p in pictures if p.stem in _PICTURE_NAMES or p.stem.startswith(sequences)]


def _frame(folder: Path, picture: Path, calibration: Calibration) -> RecordedFrame:
    named = folder / (calibration.depth_file or "")
    identity = picture.stem.removeprefix("color_").removeprefix("image_")
    depth = picture.with_name(f"{picture.stem}_depth.png")  # as training has it
    if not depth.is_file():
        depth = folder / f"depth_{identity}.png"
    if calibration.depth_file and not named.is_file():
        raise SourceError(f"the calibration of {picture} names {named}, which is not there")
    lidar = folder / _LIDAR_NAME
    can_project = calibration.camera is not None and calibration.T_camera_lidar is not None
    return RecordedFrame(
        printable(folder.name),
        printable(picture.stem),
        picture,
        calibration,
        named if calibration.depth_file else depth if depth.is_file() else None,
        lidar if can_project and lidar.is_file() else None,
    )
