"""The parameters of depth_node. config/depth.yaml and doc/depth_node.md hold the same names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from depth_anything_ros.core.colormap import COLORMAPS
from depth_anything_ros.core.compressed_depth import CompressedDepthOptions
from depth_anything_ros.core.errors import ParameterError, quoted
from depth_anything_ros.core.image_decoding import ImageOptions
from depth_anything_ros.core.options import group, parameter
from depth_anything_ros.pipeline.options import (
    DepthOptions,
    FallbackOptions,
    StampOptions,
)


@dataclass(frozen=True)
class DepthImageParameters:
    """How the depth image is written."""

    encoding: str = parameter(
        "32FC1",
        "Encoding of depth/image_rect: metres as float (NaN unknown, +Inf beyond range), or "
        "millimetres as 16-bit integer (0 unknown or beyond range).",
        choices=("32FC1", "16UC1"),
    )


@dataclass(frozen=True)
class CameraParameters(FallbackOptions):
    """What to do about the camera."""

    check_frame_id: bool = parameter(
        True,
        "Refuse a CameraInfo whose frame_id is another than the picture's; one without any is "
        "taken either way.",
    )


@dataclass(frozen=True)
class PreviewParameters:
    """How depth/image_color is painted."""

    colormap: str = parameter(
        "inferno", "Colours of depth/image_color, near is bright.", choices=tuple(COLORMAPS)
    )


@dataclass(frozen=True)
class DiagnosticsParameters:
    """When /diagnostics complains."""

    input_timeout_s: float = parameter(
        2.0, "Without a picture for this long, the status is STALE.", unit="s", low=0.1, high=3600.0
    )


@dataclass(frozen=True)
class AnsweringParameters:
    """What a user can set on every node that answers images."""

    autostart: bool = parameter(
        True, "Configure and activate at start, without a lifecycle manager.", static=True
    )
    sync: StampOptions = group(StampOptions)
    diagnostics: DiagnosticsParameters = group(DiagnosticsParameters)


@dataclass(frozen=True)
class RigSyncParameters(StampOptions):
    """Which pictures belong together, and to one run of time."""

    max_offset_s: float = parameter(
        0.02,
        "An any-view model answers pictures of all cameras together whose stamps are no further "
        "apart than this; keep it below half of the cameras' period.",
        unit="s",
        low=0.0,
        high=10.0,
    )


@dataclass(frozen=True)
class RigParameters:
    """Where the cameras are."""

    frame: str = parameter(
        "",
        "An any-view model takes from tf2 where each camera is in this frame, at its picture's "
        "stamp; empty is the first camera's. A fixed frame (odom) knows how the robot moved "
        "between the stamps.",
    )


# A token of a ROS name.
_CAMERA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class DepthParameters(AnsweringParameters, DepthOptions):
    """Everything that a user can set on depth_node."""

    model: str = parameter(
        "tiny",
        "Name of a model of the zoo (doc/models.md), or hf: and a repository or folder of "
        "transformers.",
        static=True,
    )
    weights: str = parameter(
        "",
        "Checkpoint: a path, a zoo name or a hub id (org/name). Empty takes the model's own: of "
        "this package for tiny, else the official ones; 'random' is for tests of the network.",
        static=True,
    )
    download: bool = parameter(
        False, "Fetch weights that are not on this machine from the hub.", static=True
    )
    device: str = parameter(
        "auto",
        "Where the network runs: auto, cpu, cuda, cuda:N or mps; with OpenVINO also GPU, GPU.N or "
        "NPU of Intel.",
        static=True,
    )
    engine: str = parameter(
        "auto",
        "What runs the network; auto takes the best for the device and the model, by a table or as "
        "timed by depth_anything benchmark model --choose, if it answers as torch does in fp32.",
        choices=("auto", "torch", "openvino", "onnxruntime", "tensorrt"),
        static=True,
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the network; auto takes 16 bits where the device computes them natively. "
        "int8 needs an engine that quantises (openvino).",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
        static=True,
    )
    compile: bool = parameter(
        False,
        "Have the engine torch compile the network, which takes a minute or more when the node is "
        "configured; on a CPU it gained nothing where it was measured.",
        static=True,
    )
    calibration: str = parameter(
        "",
        "For precision int8: a folder of pictures, or a video, of this camera, by which the "
        "network is quantised; empty takes pictures of the simulator.",
        static=True,
    )
    input_size: int = parameter(
        0,
        "Length that the picture is resized to for the network: of its shorter side, or what "
        "`depth_anything models NAME` says; 0 takes the model's own. Smaller is faster and "
        "coarser.",
        unit="px",
        low=0,
        high=4096,
        static=True,
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "Names of several cameras that this node serves with one model: each has its topics in "
        "and out below its name (front/image, front/points). Empty is one camera, without a name.",
        static=True,
    )
    image_transport: str = parameter(
        "raw",
        "Subscribe to image (sensor_msgs/Image) or image/compressed (CompressedImage).",
        choices=("raw", "compressed"),
        static=True,
    )
    overlap: bool = parameter(
        False,
        "Publish an answer in a second thread while the network is at the next picture, which "
        "pays where a GPU or spare cores run the network; an answer waits for one at most.",
        static=True,
    )
    image: ImageOptions = group(ImageOptions)
    depth: DepthImageParameters = group(DepthImageParameters)
    compressed_depth: CompressedDepthOptions = group(CompressedDepthOptions)
    camera: CameraParameters = group(CameraParameters)
    sync: RigSyncParameters = group(RigSyncParameters)
    rig: RigParameters = group(RigParameters)
    preview: PreviewParameters = group(PreviewParameters)

    def __post_init__(self) -> None:
        check_camera_names(self.cameras)


def check_camera_names(names: tuple[str, ...]) -> None:
    """Refuse names of cameras that cannot begin topics of their own (ParameterError)."""
    for name in names:
        if not _CAMERA_NAME.fullmatch(name):
            raise ParameterError(
                f"cameras has the name {quoted(name)}, which cannot be part of a topic's: use "
                "letters, digits and _, no digit first"
            )
    (name, count) = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise ParameterError(
            f"cameras has the name {quoted(name)} {count} times; give each its own"
        )
