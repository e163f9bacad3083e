"""The parameters of scale_anchor_node.

config/scale_anchor.yaml and doc/scale_anchor_node.md hold the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from depth_anything_ros.core.compressed_depth import CompressedDepthOptions
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.options import group, parameter
from depth_anything_ros.core.range_messages import MOST_POINTS
from depth_anything_ros.nodes.depth_parameters import (
    AnsweringParameters,
    DepthImageParameters,
    DiagnosticsParameters,
)
from depth_anything_ros.nodes.mount import MountParameters
from depth_anything_ros.pipeline.options import (
    AnchoringOptions,
    GroundAnchorOptions,
    ResidualOptions,
    StampOptions,
)


@dataclass(frozen=True)
class RangeSyncParameters(StampOptions):
    """Which ranges belong to a picture."""

    max_offset_s: float = parameter(
        0.05,
        "Pair a picture with the nearest ranges of each topic, up to this difference of stamps.",
        unit="s",
        low=0.0,
        high=60.0,
    )
    wait_s: float = parameter(
        0.1,
        "Let a picture wait this long for ranges that, at the pace of their sensor, are due.",
        unit="s",
        low=0.0,
        high=10.0,
    )
    history_s: float = parameter(
        3.0,
        "Keep ranges this long, for pictures that a model answers late.",
        unit="s",
        low=0.1,
        high=600.0,
        static=True,
    )
    history_mb: int = parameter(
        512,
        "Keep no more of each topic than this; what came first goes first.",
        unit="MB",
        low=1,
        high=1_000_000,
        static=True,
    )
    max_points: int = parameter(
        MOST_POINTS,
        "Do not use a message of more points, beams or pixels than this.",
        low=1,
        high=1_000_000_000,
        static=True,
    )


@dataclass(frozen=True)
class ExtrinsicsParameters:
    """Where the range sensors are."""

    source: str = parameter(
        "tf",
        "Take the transform of each message's frame to the picture's from tf2, or that of all "
        "messages from the two parameters below, whatever their frames.",
        choices=("tf", "parameters"),
        static=True,
    )
    translation_m: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0), "The sensor's place in the camera's optical frame: x, y, z.", unit="m"
    )
    rotation_xyzw: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0, 1.0),
        "Quaternion x, y, z, w that turns the sensor's axes into those of the optical frame.",
    )
    timeout_s: float = parameter(
        0.1,
        "Let a picture wait this long for a transform of tf2 that is late.",
        unit="s",
        low=0.0,
        high=10.0,
    )

    def __post_init__(self) -> None:
        length = math.hypot(*self.rotation_xyzw)
        if abs(length - 1) > 0.01:
            raise ParameterError(
                f"extrinsics.rotation_xyzw has length {length:g}; a quaternion (x, y, z, w) of a "
                "rotation has 1"
            )


@dataclass(frozen=True)
class GroundParameters(GroundAnchorOptions, MountParameters):
    """When the ground anchors, and where it is."""


@dataclass(frozen=True)
class AnchoredCameraParameters:
    """Which camera is the picture's."""

    check_frame_id: bool = parameter(
        True,
        "Refuse a CameraInfo, or sparse depth, whose frame_id is another than the picture's; one "
        "without any is taken either way.",
    )


@dataclass(frozen=True)
class AnchoringDiagnosticsParameters(DiagnosticsParameters, ResidualOptions):
    """When /diagnostics complains."""


@dataclass(frozen=True)
class ScaleAnchorParameters(AnsweringParameters, AnchoringOptions):
    """Everything that a user can set on scale_anchor_node."""

    input: str = parameter(
        "disparity",
        "Subscribe to disparity/image_rect, of a relative model, to affine_depth/image_rect, or to "
        "depth, the metres of a metric model, to correct them.",
        choices=("disparity", "affine_depth", "depth"),
        static=True,
    )
    sync: RangeSyncParameters = group(RangeSyncParameters)
    extrinsics: ExtrinsicsParameters = group(ExtrinsicsParameters)
    ground: GroundParameters = group(GroundParameters)
    depth: DepthImageParameters = group(DepthImageParameters)
    compressed_depth: CompressedDepthOptions = group(CompressedDepthOptions)
    camera: AnchoredCameraParameters = group(AnchoredCameraParameters)
    diagnostics: AnchoringDiagnosticsParameters = group(AnchoringDiagnosticsParameters)
