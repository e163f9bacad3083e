"""What view_node shows: its topics, and how each is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, LaserScan, PointCloud2, Range

How = Literal["picture", "depth", "disparity", "affine_depth", "cloud", "ranges", "diagnostics"]


@dataclass(frozen=True)
class ShownTopic:
    """A topic that can be shown.

    Attributes:
        name: relative, to be remapped; of a robot with several cameras, after the camera's.
        message_type: of its messages.
        how: they are shown.
        camera_info: the topic of its camera; "" where it needs none.
    """

    name: str
    message_type: type
    how: How
    camera_info: str = ""


OF_A_CAMERA = (
    ShownTopic("image", Image, "picture", "camera_info"),
    ShownTopic("depth/image_rect", Image, "depth", "depth/camera_info"),
    ShownTopic("disparity/image_rect", Image, "disparity", "depth/camera_info"),
    ShownTopic("affine_depth/image_rect", Image, "affine_depth", "depth/camera_info"),
    ShownTopic("points", PointCloud2, "cloud"),
)
OF_THE_ROBOT = (
    ShownTopic("anchored/depth/image_rect", Image, "depth", "anchored/depth/camera_info"),
    ShownTopic("anchored/points", PointCloud2, "cloud"),
    ShownTopic("lidar/points", PointCloud2, "ranges"),
    ShownTopic("scan", LaserScan, "ranges"),
    ShownTopic("range", Range, "ranges"),
    ShownTopic("/diagnostics", DiagnosticArray, "diagnostics"),
)
NAMES = tuple(shown.name for shown in (*OF_A_CAMERA, *OF_THE_ROBOT))
