"""Where the camera is on its robot: by parameters, or by tf2."""

from __future__ import annotations

from dataclasses import dataclass

from std_msgs.msg import Header

from depth_anything_ros.core.options import parameter
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.pipeline.ground import CameraMount
from depth_anything_ros.pipeline.options import GroundOptions


@dataclass(frozen=True)
class MountParameters(GroundOptions):
    """Where the ground is."""

    frame: str = parameter(
        "base_footprint",
        "Frame on the ground, z upwards, from which tf2 knows the camera's height.",
        static=True,
    )


def find_mount(
    ground: MountParameters,
    transforms: TransformExtrinsics | None,
    header: Header,
    timeout_s: float,
) -> CameraMount:
    """Return where the camera of a picture is on its robot.

    Args:
        ground: the camera's height, or from which frame tf2 knows it.
        transforms: asked where no height is given.
        header: of the picture.
        timeout_s: a transform that is late is waited for so long.

    Raises:
        DepthAnythingError: with the reason ``no_transform``.
    """
    if ground.camera_height_m:
        return CameraMount.pitched(ground.camera_height_m, ground.camera_pitch_deg)
    assert transforms is not None  # made where there is no height
    instead = ", or set ground.camera_height_m"
    found = transforms.find(ground.frame, header.frame_id, header.stamp, timeout_s, instead)
    return CameraMount.on_base(found)
