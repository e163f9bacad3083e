"""The parameters of view_node. config/view.yaml and doc/view_node.md hold the same names."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.errors import ParameterError, quoted
from depth_anything_ros.core.options import group, parameter
from depth_anything_ros.nodes.depth_parameters import check_camera_names
from depth_anything_ros.nodes.scale_anchor_parameters import ExtrinsicsParameters
from depth_anything_ros.nodes.view_topics import NAMES


@dataclass(frozen=True)
class ViewerParameters:
    """Where Rerun shows, and what that may take."""

    address: str = parameter(
        "127.0.0.1",
        "Address that the viewer's ports are bound to; 0.0.0.0 lets everybody in the network look.",
        static=True,
    )
    web_port: int = parameter(9090, "Of the page, with show: web.", low=1, high=65_535, static=True)
    data_port: int = parameter(
        9876, "That the viewer takes its data by.", low=1, high=65_535, static=True
    )
    memory_mb: int = parameter(
        1024,
        "The viewer keeps no more than this; what came first goes first.",
        unit="MB",
        low=16,
        high=1_000_000,
        static=True,
    )


@dataclass(frozen=True)
class ViewParameters:
    """Everything that a user can set on view_node."""

    show: str = parameter(
        "web",
        "Show in a browser, by a page on this machine; in Rerun's own window; or later: write all "
        "to a file.",
        choices=("web", "window", "file"),
        static=True,
    )
    file: str = parameter(
        "", "With show: file, the .rrd file to write; it must not exist yet.", static=True
    )
    topics: tuple[str, ...] = parameter(
        NAMES,
        "Which topics to show, of these; what is not asked for, depth_node does not compute.",
        static=True,
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "Names of the cameras, as depth_node has them; empty is one camera, without a name.",
        static=True,
    )
    image_transport: str = parameter(
        "raw",
        "Subscribe to image (sensor_msgs/Image) or image/compressed (CompressedImage).",
        choices=("raw", "compressed"),
        static=True,
    )
    fixed_frame: str = parameter(
        "",
        "Frame that stands still in the view in space, such as odom, by tf2; empty is the first "
        "picture's.",
        static=True,
    )
    max_rate_hz: float = parameter(
        5.0, "Show no more messages of a topic in a second.", unit="Hz", low=0.01, high=1000.0
    )
    max_points: int = parameter(
        50_000, "Of a cloud of more, so many are shown.", low=1, high=10_000_000
    )
    jpeg_quality: int = parameter(80, "Pictures are compressed; 100 is the best.", low=1, high=100)
    max_range_m: float = parameter(
        10.0,
        "Depth and ranges have their colours from 0 to this.",
        unit="m",
        low=0.01,
        high=100_000.0,
    )
    viewer: ViewerParameters = group(ViewerParameters)
    extrinsics: ExtrinsicsParameters = group(ExtrinsicsParameters)

    def __post_init__(self) -> None:
        check_camera_names(self.cameras)
        unknown = [name for name in self.topics if name not in NAMES]
        if unknown or not self.topics:
            raise ParameterError(
                f"topics has {', '.join(map(quoted, unknown)) or 'nothing'}; known are "
                f"{', '.join(NAMES)}"
            )
        if (self.show == "file") != bool(self.file):
            raise ParameterError(
                f"show is {self.show} and file is {quoted(self.file)}: a file goes with show: file"
            )
        if self.viewer.web_port == self.viewer.data_port:
            raise ParameterError(
                f"viewer.web_port and viewer.data_port are both {self.viewer.web_port}; give each "
                "its own"
            )
