"""The parameters of obstacles_node.

config/obstacles.yaml and doc/obstacles_node.md hold the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.options import group, parameter
from depth_anything_ros.nodes.depth_parameters import AnsweringParameters
from depth_anything_ros.nodes.mount import MountParameters
from depth_anything_ros.nodes.scale_anchor_parameters import AnchoredCameraParameters
from depth_anything_ros.pipeline.options import GroundAndObstacleOptions, ScanOptions


@dataclass(frozen=True)
class ScanParameters(ScanOptions):
    """How the scan is published."""

    frame: str = parameter(
        "camera_level",
        "Frame of the scan: where the camera is, level, x ahead. Its transform to the camera's "
        "optical frame is published on /tf_static.",
        static=True,
    )


@dataclass(frozen=True)
class ObstaclesParameters(AnsweringParameters, GroundAndObstacleOptions):
    """Everything that a user can set on obstacles_node."""

    ground: MountParameters = group(MountParameters)
    scan: ScanParameters = group(ScanParameters)
    camera: AnchoredCameraParameters = group(AnchoredCameraParameters)
