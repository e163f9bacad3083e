"""Read what a recording keeps beside its pictures: calibration, LiDAR points, depth pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, SourceError


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
    """Read a ROS calibration YAML (camera_info_manager) or a JSON with width, height, K, D.

    Args:
        path: ending in .yaml, .yml or .json.
        frame_id: of the camera, where the file names none.

    Raises:
        SourceError: where the file is missing, malformed or lacks a field.
        CameraError: where its numbers make no camera.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise SourceError(f"cannot read the calibration {path}: {error}") from error
    if not isinstance(data, dict):
        raise SourceError(f"the calibration {path} holds {type(data).__name__}, not a mapping")
    try:
        if "camera_matrix" in data:
            return _from_ros_yaml(data, frame_id)
        return _from_json(data, frame_id)
    except KeyError as error:
        raise SourceError(f"the calibration {path} lacks the field {error}") from error
    except (TypeError, ValueError) as error:
        raise SourceError(f"the calibration {path} has a wrong value: {error}") from error


def _from_ros_yaml(data: dict[str, Any], frame_id: str) -> Calibration:
    def matrix(name: str) -> tuple[float, ...]:
        return tuple(data[name]["data"]) if name in data else ()

    width, height = int(data["image_width"]), int(data["image_height"])
    camera = _camera_or_none(
        width,
        height,
        matrix("camera_matrix"),
        matrix("distortion_coefficients"),
        str(data.get("distortion_model", "plumb_bob")),
        matrix("rectification_matrix"),
        matrix("projection_matrix"),
        frame_id or str(data.get("camera_name", "")),
    )
    return Calibration(width, height, camera)


def _from_json(data: dict[str, Any], frame_id: str) -> Calibration:
    width, height = int(data["width"]), int(data["height"])
    camera = _camera_or_none(
        width,
        height,
        tuple(data["K"] or ()),
        tuple(data.get("D") or ()),
        str(data.get("distortion_model", "plumb_bob")),
        tuple(data.get("R") or ()),
        tuple(data.get("P") or ()),
        frame_id or str(data.get("frame_id", "")),
    )
    transform = data.get("T_camera_lidar")
    return Calibration(
        width,
        height,
        camera,
        None if transform is None else np.array(transform, np.float64).reshape(4, 4),
        data.get("depth_scale_m"),
        data.get("depth_file"),
    )


def _camera_or_none(
    width: int,
    height: int,
    K: tuple[float, ...],
    D: tuple[float, ...],
    model: str,
    R: tuple[float, ...],
    P: tuple[float, ...],
    frame_id: str,
) -> Camera | None:
    if not K:
        return None
    try:
        return Camera(width, height, K, D, model, R or (0.0,) * 9, P, frame_id)
    except CameraError as error:
        if error.reason == "uncalibrated":
            return None
        raise


def load_lidar(path: Path) -> NDArray[np.float32]:
    """Read LiDAR points: a file of little-endian float32 x, y, z, intensity, as KITTI has it.

    Returns:
        float32 (points, 4), metres in the LiDAR's frame.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read the LiDAR points {path}: {error}") from error
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
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
        found = "nothing readable" if raw is None else f"{raw.dtype} of shape {raw.shape}"
        raise SourceError(f"{path} must be a 16-bit depth picture of one channel, found {found}")
    depth = raw.astype(np.float32) * np.float32(scale_m)
    depth[raw == 0] = np.nan
    return DepthMap(depth, camera)
