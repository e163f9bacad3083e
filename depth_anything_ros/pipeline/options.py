"""What may be chosen of the ways to depth, in groups; a node's parameters contain them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.alignment import METHODS
from depth_anything_ros.core.anchoring import METHODS as LOCAL_METHODS
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.options import group, parameter

# A coarser grid shows nothing.
SHORTEST_SIDE = 16


def check_order(name: str, limits: Any) -> None:  # noqa: ANN401 - anything with min_m and max_m
    """Raise ParameterError where a group's least is not below its most."""
    if limits.min_m >= limits.max_m:
        raise ParameterError(
            f"{name}.min_m ({limits.min_m:g}) must be below {name}.max_m ({limits.max_m:g})"
        )


@dataclass(frozen=True)
class OutputOptions:
    """On which grid answers are published."""

    size: str = parameter(
        "image",
        "Grid of depth, depth/camera_info and points: image, the picture's pixels; network, those "
        "of the network's input; or a number, the pixels of the shorter side. It is never finer "
        "than the picture.",
        whole_numbers=True,
    )

    def __post_init__(self) -> None:
        is_number = self.size.isascii() and self.size.isdigit() and len(self.size) <= 9
        is_long_enough = is_number and int(self.size) >= SHORTEST_SIDE
        if self.size not in ("image", "network") and not is_long_enough:
            raise ParameterError(
                f"output.size is {self.size[:40]!r}; it must be image, network, or the pixels of "
                f"the shorter side, {SHORTEST_SIDE} or more"
            )


@dataclass(frozen=True)
class RangeOptions:
    """Which depths count."""

    min_m: float = parameter(
        0.0, "Nearer depth becomes NaN (unknown).", unit="m", low=0.0, high=1000.0
    )
    max_m: float = parameter(
        1000.0, "Farther depth becomes +Inf (beyond range).", unit="m", low=0.001, high=100000.0
    )
    far_points: str = parameter(
        "drop",
        "What is beyond range has no point in the cloud (drop), or one at max_m on its ray (clip), "
        "so that a costmap clears up to there.",
        choices=("drop", "clip"),
    )

    @property
    def far_m(self) -> float | None:
        """Where points beyond range are put; None drops them."""
        return self.max_m if self.far_points == "clip" else None

    def __post_init__(self) -> None:
        check_order("range", self)


@dataclass(frozen=True)
class CloudOptions:
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
class ColouredCloudOptions(CloudOptions):
    """How points is made of an image."""

    color: bool = parameter(True, "Give each point the colour of its pixel (field rgb).")


@dataclass(frozen=True)
class FallbackOptions:
    """What to do about a camera that is not known."""

    fallback_hfov_deg: float = parameter(
        0.0,
        "Without a usable CameraInfo, assume a pinhole of this horizontal field of view; 0 "
        "assumes nothing and publishes no cloud, and no depth from a model that needs the focal "
        "length.",
        unit="deg",
        low=0.0,
        high=179.0,
    )


@dataclass(frozen=True)
class SteadyOptions:
    """How answers are steadied over time."""

    method: str = parameter(
        "off",
        "Steady depth over time, so that it neither flickers nor jumps in scale: by the pictures' "
        "optical flow (flow), by the camera's poses of tf2 (motion), which is better and faster "
        "where they are right, or not at all (off).",
        choices=("off", "flow", "motion"),
    )
    memory_s: float = parameter(
        1.0,
        "How long it remembers while the camera moves: a mean over about this time. After a gap of "
        "this it begins anew.",
        unit="s",
        low=0.05,
        high=60.0,
    )
    max_change: float = parameter(
        0.15,
        "A pixel whose depth differs by more than this share from what is remembered is taken as "
        "it comes; where a model's answers differ more than that anyway, by more than they do.",
        low=0.01,
        high=1.0,
    )
    fixed_frame: str = parameter(
        "odom", "Frame of tf2 in which the world stands still; motion moves the camera in it."
    )


@dataclass(frozen=True)
class DepthOptions:
    """From an image to its depth and cloud."""

    rectify: str = parameter(
        "auto",
        "Undistort the picture before the network: auto where its CameraInfo has distortion "
        "(never for a topic named image_rect*), always also where only R or P say so; already is "
        "for pictures that come rectified, whose camera is P; never keeps the picture's own grid "
        "and lens.",
        choices=("auto", "never", "always", "already"),
    )
    output: OutputOptions = group(OutputOptions)
    range: RangeOptions = group(RangeOptions)
    cloud: ColouredCloudOptions = group(ColouredCloudOptions)
    camera: FallbackOptions = group(FallbackOptions)
    steady: SteadyOptions = group(SteadyOptions)


@dataclass(frozen=True)
class StampOptions:
    """Which stamps are of one run of time."""

    max_late_s: float = parameter(
        1.0,
        "A picture whose stamp is before that of the one before it by no more than this came "
        "late; beyond, time has jumped backwards (a bag that loops), and all starts anew.",
        unit="s",
        low=0.0,
        high=60.0,
    )


@dataclass(frozen=True)
class PointOptions:
    """Which points may anchor."""

    min_m: float = parameter(0.1, "Nearer points are not used.", unit="m", low=0.0, high=1000.0)
    max_m: float = parameter(
        120.0, "Farther points are not used.", unit="m", low=0.01, high=100000.0
    )
    max_count: int = parameter(
        5000, "Of more points, a sample spread over the picture is used.", low=1, high=1_000_000
    )

    def __post_init__(self) -> None:
        check_order("anchors", self)


@dataclass(frozen=True)
class FitOptions:
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
class CorrectionOptions:
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
class GroundOptions:
    """Where the ground is, and what counts as such."""

    camera_height_m: float = parameter(
        0.0,
        "Height of the camera above the ground; 0 takes it, and how the camera leans, from tf2.",
        unit="m",
        low=0.0,
        high=1000.0,
        static=True,
    )
    camera_pitch_deg: float = parameter(
        0.0,
        "How far the camera looks down, where its height is given.",
        unit="deg",
        low=-90.0,
        high=90.0,
    )
    max_tilt_deg: float = parameter(
        8.0, "More than this off level is no ground.", unit="deg", low=0.1, high=44.0
    )


@dataclass(frozen=True)
class GroundAnchorOptions(GroundOptions):
    """When the ground that the robot stands on anchors."""

    use: str = parameter(
        "off",
        "Let the ground that is seen give the scale, by the height of the camera above it: "
        "fallback where no range anchors, or together with the ranges. It has to be flat and "
        "level, or it is not used.",
        choices=("off", "fallback", "together"),
        static=True,
    )
    min_confidence: float = parameter(0.3, "Less sure ground does not anchor.", low=0.0, high=1.0)


@dataclass(frozen=True)
class ObstacleOptions:
    """What is an obstacle."""

    min_height_m: float = parameter(
        0.1, "Lower things are driven over.", unit="m", low=0.0, high=10.0
    )
    max_height_m: float = parameter(
        2.0, "Higher things are driven under.", unit="m", low=0.01, high=100.0
    )
    relative_margin: float = parameter(
        0.03,
        "Added to min_height_m with each metre of distance: what an error of the ground's lean "
        "lifts it by.",
        low=0.0,
        high=0.5,
    )
    max_m: float = parameter(
        8.0, "Farther things are not looked at.", unit="m", low=0.1, high=1000.0
    )
    voxel_m: float = parameter(
        0.1,
        "One point is published of each cube of this size; 0 publishes all.",
        unit="m",
        low=0.0,
        high=10.0,
    )
    edge_jump: float = parameter(
        0.05,
        "Drop pixels on the far side of depth edges, by this share of depth; 0 keeps all.",
        low=0.0,
        high=10.0,
    )
    stride: int = parameter(
        2, "Look at every n-th pixel in both directions.", unit="px", low=1, high=64
    )

    def __post_init__(self) -> None:
        if self.min_height_m >= self.max_height_m:
            raise ParameterError(
                f"obstacles.min_height_m ({self.min_height_m:g}) must be below "
                f"obstacles.max_height_m ({self.max_height_m:g})"
            )


@dataclass(frozen=True)
class ScanOptions:
    """How the scan is made."""

    step_deg: float = parameter(
        0.5, "From one bearing to the next.", unit="deg", low=0.05, high=10.0
    )


@dataclass(frozen=True)
class GroundAndObstacleOptions:
    """From depth in metres to the ground and what stands on it."""

    ground: GroundOptions = group(GroundOptions)
    obstacles: ObstacleOptions = group(ObstacleOptions)
    scan: ScanOptions = group(ScanOptions)


@dataclass(frozen=True)
class ResidualOptions:
    """When the points contradict the prediction."""

    max_residual: float = parameter(
        0.25,
        "Warn where scale and shift leave half of the points off by more than this share of their "
        "depth.",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class AnchoringOptions:
    """From a prediction and points to depth in metres and its cloud."""

    sync: StampOptions = group(StampOptions)
    anchors: PointOptions = group(PointOptions)
    fit: FitOptions = group(FitOptions)
    local: CorrectionOptions = group(CorrectionOptions)
    ground: GroundAnchorOptions = group(GroundAnchorOptions)
    range: RangeOptions = group(RangeOptions)
    cloud: CloudOptions = group(CloudOptions)
    steady: SteadyOptions = group(SteadyOptions)
    diagnostics: ResidualOptions = group(ResidualOptions)
