"""sim_node: a robot that drives through a simulated place, with camera, LiDAR and the truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from depth_anything_ros.nodes.messages import transform_message
from depth_anything_ros.nodes.outlet import Audience
from depth_anything_ros.nodes.playback import Playback, fixed_parameters
from depth_anything_ros.nodes.qos import create_output
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.sim_parameters import SimParameters

if TYPE_CHECKING:
    from depth_anything_ros.nodes.sim_drive import Tick

# REP 105, and REP 103 for the optical frame.
ODOM, BASE, CAMERA, LIDAR = "odom", "base_link", "camera_optical_frame", "lidar"
TOPICS: dict[str, type] = {
    "image": Image,
    "camera_info": CameraInfo,
    "ground_truth/depth": Image,
    "lidar/points": PointCloud2,
}
PROGRESS_S = 5.0


class SimNode(Node):
    """Render a drive, then publish it."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("sim_node", **kwargs)
        p = self.parameters = fixed_parameters(self, SimParameters)
        self._step = self._played = 0
        self._outputs = {name: create_output(self, kind, name) for name, kind in TOPICS.items()}
        self._mounts = StaticTransformBroadcaster(self)
        self._poses = TransformBroadcaster(self)
        # Not at the top: torch takes seconds, in which the node should be there and stoppable.
        from depth_anything_ros.nodes.sim_drive import RenderedDrive

        self._drive = RenderedDrive(p, CAMERA, LIDAR)
        self._send_mounts()
        self._asked_at = self._said_at = time.monotonic()
        self.get_logger().info(
            f"rendering {p.frames} pictures of the {p.place} {p.seed} ahead, on "
            f"{self._drive.device}; it drives when all are there"
        )
        outputs = list(self._outputs.values())
        seen = [self._outputs[name] for name in ("image", "camera_info")]
        audience, tick_hz = Audience(seen, p.wait_for_subscribers), self._drive.schedule.tick_hz
        self.playback = Playback(
            self, tick_hz, outputs, audience, self._play_next, self._is_rendered
        )

    def destroy_node(self) -> None:
        """Stop rendering before the node goes."""
        drive = getattr(self, "_drive", None)
        if drive is not None:
            drive.stop()
        super().destroy_node()

    def _send_mounts(self) -> None:
        stamp, drive = self.get_clock().now().to_msg(), self._drive.robot.drive
        self._mounts.sendTransform(
            [
                transform_message(stamp, BASE, CAMERA, drive.T_base_camera),
                transform_message(stamp, BASE, LIDAR, drive.T_base_lidar),
            ]
        )

    def _is_rendered(self) -> bool:
        """Say whether all is rendered, and every few seconds how far it is."""
        now = time.monotonic()
        if not self._drive.is_ready and now - self._said_at > PROGRESS_S:
            self._said_at = now
            done = self._drive.pictures_ready
            self.get_logger().info(f"rendered {done} of {self.parameters.frames}")
        return self._drive.is_ready

    def _play_next(self) -> bool:
        """Publish one moment."""
        if not self._step:
            self._say_start()
        moment = self._drive.moment(self._step)
        if "image" in moment.messages and self._played == (self.parameters.count or -1):
            self.get_logger().info(f"drove for {self._played} pictures")
            return False
        self._publish(moment)
        self._step += 1
        return True

    def _say_start(self) -> None:
        took_s, schedule = time.monotonic() - self._asked_at, self._drive.schedule
        pattern = self._drive.pattern
        sweeps = f", {pattern.name} at {schedule.lidar_rate_hz:g} Hz" if pattern else ""
        self.get_logger().info(
            f"rendered in {took_s:.0f} s; driving there and back: pictures at "
            f"{self.parameters.rate_hz:g} Hz on {self.resolve_topic_name('image')}{sweeps}"
        )

    def _publish(self, moment: Tick) -> None:
        stamp = self.get_clock().now().to_msg()
        self._poses.sendTransform(transform_message(stamp, ODOM, BASE, moment.T_odom_base))
        for topic, message in moment.messages.items():
            message.header.stamp = stamp
            self._outputs[topic].publish(message)
        self._played += "image" in moment.messages


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until the last picture was published."""
    return run_node(SimNode, args, until=lambda node: node.playback.finished)


if __name__ == "__main__":
    raise SystemExit(main())
