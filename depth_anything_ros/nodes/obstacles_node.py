"""obstacles_node: depth in metres in; obstacles, ground and a planar scan out, for navigation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from tf2_ros import StaticTransformBroadcaster

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.obstacles import level_axes
from depth_anything_ros.core.range_messages import decode_depth
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.answering_node import Answering, AnsweringNode, autostart
from depth_anything_ros.nodes.camera_stream import CameraStream, Frame
from depth_anything_ros.nodes.health import Health
from depth_anything_ros.nodes.messages import transform_message
from depth_anything_ros.nodes.mount import find_mount
from depth_anything_ros.nodes.obstacles_parameters import ObstaclesParameters
from depth_anything_ros.nodes.outputs import Style
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.status import (
    EXPECTED_DROPS,
    OK,
    WARN,
    Said,
    Status,
)
from depth_anything_ros.pipeline.answer import Answer
from depth_anything_ros.pipeline.ground import CameraMount
from depth_anything_ros.pipeline.obstacles import ObstaclePipeline, Surroundings

OUTPUTS = ("obstacles", "ground/points", "scan")
INPUT = "depth"
# A depth image waits this long for a transform of tf2 that is late.
_TRANSFORM_WAIT_S = 0.1


class ObstaclesNode(AnsweringNode[ObstaclesParameters]):
    """Tell what stands on the ground in every depth image, or say why not."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("obstacles_node", ObstaclesParameters, "obstacles", **kwargs)
        self._broadcaster = StaticTransformBroadcaster(self)
        self._level: tuple[str, CameraMount] | None = None
        self._seen: Surroundings | None = None
        self._status = Status(self, "obstacles", lambda: self.streams, self._judged, self._facts)

    # Lifecycle ------------------------------------------------------------------------------

    def _load(self) -> Sequence[str]:
        return OUTPUTS

    def _needs_transforms(self) -> bool:
        return not self.parameters.ground.camera_height_m

    def _start(self) -> Answering:
        answer = partial(self._answer, ObstaclePipeline(self.parameters))
        return Answering(answer, Image, lambda stream: stream.resolved(INPUT))

    def _stop(self) -> None:
        self._level = self._seen = None

    # From depth to obstacles ----------------------------------------------------------------

    def _answer(self, pipeline: ObstaclePipeline, frames: Sequence[Frame]) -> None:
        """Look at depth images one by one; called by the worker."""
        pipeline.options = self.parameters
        for frame in frames:
            with frame.counted():
                self._look(pipeline, frame)
                frame.answered()

    def _look(self, pipeline: ObstaclePipeline, frame: Frame) -> None:
        p, wanted = self.parameters, frame.stream.outputs.wanted()
        if not wanted:
            return
        camera = frame.stream.camera_of_depth(frame, not p.camera.check_frame_id)
        depth = DepthMap(decode_depth(frame.message), camera)
        try:
            mount = find_mount(p.ground, self._transforms, frame.header, _TRANSFORM_WAIT_S)
        except DepthAnythingError as error:
            frame.stream.problem = str(error)
            raise
        if "scan" in wanted:
            self._tell_where_level_is(frame, mount)
        found = pipeline.look(depth, mount, frame.stamp_ns, frame.epoch, "ground/points" in wanted)
        self._seen = found
        answer = Answer((camera.width, camera.height), camera, depth, surroundings=found)
        style = Style(scan_frame_id=p.scan.frame)
        frame.stream.outputs.publish(frame.header, answer, wanted, style, StageTimes())

    def _tell_where_level_is(self, frame: Frame, mount: CameraMount) -> None:
        """Publish the frame of the scan, where it is new or the camera leans otherwise."""
        frame_id, told = frame.header.frame_id, self._level
        if told is not None and told[0] == frame_id and told[1].up @ mount.up > 1 - 1e-9:
            return
        up, ahead, left = level_axes(mount.up)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack((ahead, left, up), axis=1)
        header, child = frame.header, self.parameters.scan.frame
        self._broadcaster.sendTransform(transform_message(header.stamp, frame_id, child, matrix))
        self._level = (frame_id, mount)

    # Diagnostics ----------------------------------------------------------------------------

    def _facts(self) -> dict[str, str]:
        seen = self._seen
        if seen is None:
            return {"ground": "no picture yet"}
        return {
            "ground": seen.ground,
            "points of obstacles": str(len(seen.obstacles.points)),
            "nearest obstacle (m)": f"{np.nanmin(seen.scan.ranges_m, initial=np.inf):.2f}",
        }

    def _judged(self, stream: CameraStream, health: Health) -> Said:
        """Return the level and the sentence that say how the node does."""
        ask = (
            "is depth_node (or scale_anchor_node) running, with a metric model, the topic remapped?"
        )
        level, text = self.faults_of(stream, health, ask, EXPECTED_DROPS)
        if text:
            return level, text
        if stream.problem:
            return WARN, stream.problem
        if self._seen is None:
            return OK, "the first picture is on its way"
        return OK, f"ground {self._seen.ground}; at {health.rate_hz:.1f} Hz"


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(ObstaclesNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
