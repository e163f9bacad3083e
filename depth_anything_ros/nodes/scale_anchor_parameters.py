"""The parameters of scale_anchor_node.

config/scale_anchor.yaml and README.md hold the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from depth_anything_ros.core.alignment import METHODS
from depth_anything_ros.core.anchoring import METHODS as LOCAL_METHODS
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.nodes.depth_parameters import DepthImageParameters, RangeParameters
from depth_anything_ros.nodes.parameters import group, parameter
from depth_anything_ros.nodes.range_messages import MOST_POINTS


@dataclass(frozen=True)
class SyncParameters:
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
    max_late_s: float = parameter(
        1.0,
        "A picture whose stamp is before that of the one before it by no more than this came "
        "late; beyond, time has jumped backwards (a bag that loops), and all starts anew.",
        unit="s",
        low=0.0,
        high=60.0,
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


@dataclass(frozen=True)
class AnchorParameters:
    """Which points may anchor."""

    min_m: float = parameter(0.1, "Nearer points are not used.", unit="m", low=0.0, high=1000.0)
    max_m: float = parameter(
        120.0, "Farther points are not used.", unit="m", low=0.01, high=100000.0
    )
    max_count: int = parameter(
        5000, "Of more points, a sample spread over the picture is used.", low=1, high=1_000_000
    )


@dataclass(frozen=True)
class FitParameters:
    """How scale and shift are found."""

    method: str = parameter(
        "log_ransac",
        "Fit of scale and shift to the points.",
        choices=tuple(method for method in METHODS if method != "spline"),
    )
    metric_correction: str = parameter(
        "scale",
        "What a metric depth is corrected by: one factor, or a factor and an offset.",
        choices=("scale", "affine"),
    )
    max_age_s: float = parameter(
        2.0,
        "Without a fit, the last one is held this long; then no depth goes out.",
        unit="s",
        low=0.0,
        high=3600.0,
    )


@dataclass(frozen=True)
class LocalParameters:
    """What is corrected beyond scale and shift."""

    method: str = parameter(
        "kriging",
        "Correct what scale and shift leave at the points around each pixel: by local lines "
        "(lwlr), by these and kriging, or with global not at all.",
        choices=LOCAL_METHODS,
    )
    max_factor: float = parameter(
        3.0, "That changes no depth by more than this factor.", low=1.01, high=100.0
    )


@dataclass(frozen=True)
class AnchoredCameraParameters:
    """Which camera is the picture's."""

    check_frame_id: bool = parameter(
        True,
        "Refuse a CameraInfo, or sparse depth, whose frame_id is another than the picture's; one "
        "without any is taken either way.",
    )


@dataclass(frozen=True)
class AnchoredCloudParameters:
    """How points is made."""

    organized: bool = parameter(
        True,
        "Keep the picture's rows and columns, with NaN where there is no point; otherwise "
        "publish the points alone.",
    )
    stride: int = parameter(
        1, "Take every n-th pixel in both directions.", unit="px", low=1, high=64
    )
    edge_jump: float = parameter(
        0.05,
        "Drop points at depth edges (flying pixels): neighbours whose depths differ by more than "
        "this share of the nearer one; 0 keeps all.",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class AnchoringDiagnosticsParameters:
    """When /diagnostics complains."""

    input_timeout_s: float = parameter(
        2.0, "Without a picture for this long, the status is STALE.", unit="s", low=0.1, high=3600.0
    )
    max_residual: float = parameter(
        0.25,
        "Warn where scale and shift leave half of the points off by more than this share of their "
        "depth.",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class ScaleAnchorParameters:
    """Everything that a user can set on scale_anchor_node."""

    autostart: bool = parameter(
        True, "Configure and activate at start, without a lifecycle manager.", static=True
    )
    input: str = parameter(
        "disparity",
        "Subscribe to disparity/image_rect, of a relative model, to affine_depth/image_rect, or to "
        "depth, the metres of a metric model, to correct them.",
        choices=("disparity", "affine_depth", "depth"),
        static=True,
    )
    sync: SyncParameters = group(SyncParameters)
    extrinsics: ExtrinsicsParameters = group(ExtrinsicsParameters)
    anchors: AnchorParameters = group(AnchorParameters)
    fit: FitParameters = group(FitParameters)
    local: LocalParameters = group(LocalParameters)
    depth: DepthImageParameters = group(DepthImageParameters)
    range: RangeParameters = group(RangeParameters)
    camera: AnchoredCameraParameters = group(AnchoredCameraParameters)
    cloud: AnchoredCloudParameters = group(AnchoredCloudParameters)
    diagnostics: AnchoringDiagnosticsParameters = group(AnchoringDiagnosticsParameters)

    def __post_init__(self) -> None:
        for name in ("anchors", "range"):
            limits = getattr(self, name)
            if limits.min_m >= limits.max_m:
                raise ParameterError(
                    f"{name}.min_m ({limits.min_m:g}) must be below {name}.max_m ({limits.max_m:g})"
                )
        length = math.hypot(*self.extrinsics.rotation_xyzw)
        if abs(length - 1) > 0.01:
            raise ParameterError(
                f"extrinsics.rotation_xyzw has length {length:g}; a quaternion (x, y, z, w) of a "
                "rotation has 1"
            )
