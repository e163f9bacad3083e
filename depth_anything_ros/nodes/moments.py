"""When and where pictures were taken, for what steadies their depth."""

from __future__ import annotations

import time

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.camera_stream import Frame
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.pipeline.options import SteadyOptions
from depth_anything_ros.pipeline.steadying import Moment

# A picture waits this long for a transform of tf2 that is late; where that was in vain, none waits
# for a while: depth by optical flow is better than depth that comes late.
_WAIT_S = 0.05
_NEXT_WAIT_S = 1.0


class MomentFinder:
    """Find by tf2 where cameras were in the fixed frame. For one thread."""

    def __init__(self) -> None:
        self._waits_from_s = 0.0

    def find(
        self,
        frame: Frame,
        options: SteadyOptions,
        transforms: TransformExtrinsics | None,
    ) -> Moment | None:
        """Return when a picture was taken, and where, if depth is steadied by that.

        Args:
            frame: of the picture.
            options: None is returned where nothing is to be steadied.
            transforms: None where tf2 is not heard yet.
        """
        if options.method == "off":
            return None
        stamp_ns, epoch, header = frame.stamp_ns, frame.epoch, frame.header
        if options.method != "motion":
            return Moment(stamp_ns, epoch)
        if transforms is None:
            return Moment(stamp_ns, epoch, no_pose="tf2 is heard from now on")
        if stamp_ns < 0:  # which rclpy's Time is not
            return Moment(stamp_ns, epoch, no_pose="the picture's stamp is below 0")
        wait_s = _WAIT_S if time.monotonic() >= self._waits_from_s else 0.0
        try:
            matrix = transforms.find(
                options.fixed_frame,
                header.frame_id,
                header.stamp,
                wait_s,
                ", name another frame in steady.fixed_frame, or set steady.method to flow",
            )
        except DepthAnythingError as error:
            if wait_s:
                self._waits_from_s = time.monotonic() + _NEXT_WAIT_S
            return Moment(stamp_ns, epoch, no_pose=str(error))
        return Moment(stamp_ns, epoch, matrix)
