"""view_node: picture, depth, cloud, LiDAR and diagnostics in Rerun: a browser, a window, a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage

from depth_anything_ros.core.errors import DepthAnythingError, first_line, printable, trace
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.nodes.following_subscription import FollowingSubscription
from depth_anything_ros.nodes.guarded_services import guard_services
from depth_anything_ros.nodes.health import FaultLog, HealthMonitor
from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.parameters import START_ANEW, DeclaredParameters
from depth_anything_ros.nodes.running import forward_logs, run_node
from depth_anything_ros.nodes.steady_time import steady_timer
from depth_anything_ros.nodes.view_parameters import ViewParameters
from depth_anything_ros.nodes.view_topics import OF_A_CAMERA, OF_THE_ROBOT, ShownTopic
from depth_anything_ros.nodes.workers import Worker

# How often it looks who publishes.
_FOLLOW_S = 0.5
# As many nodes may say how they are at once.
_STATUSES_DEPTH = 50
# Drops that are the design at work, not a fault.
_EXPECTED_DROPS = ("max_rate", "newer_message")


class Pace:
    """When a message is due, such that no more than a rate are.

    By when the last was due and not by when it came, or a topic of about that rate would lose half
    of its messages.
    """

    def __init__(self) -> None:
        self._due_s = float("-inf")

    def is_due(self, rate_hz: float, now: float) -> bool:
        """Say whether to take a message that comes now, in s of a clock that never goes back."""
        period_s = 1.0 / rate_hz
        if now < self._due_s:
            return False
        self._due_s = max(self._due_s, now - period_s) + period_s
        return True


class TopicView:
    """One topic that may be shown: subscribed to when somebody publishes it.

    Args:
        node: to subscribe with.
        shown: how.
        prefix: of its camera's topics.

    Attributes:
        entity: its resolved name.
        camera_topic: that of its camera; "" where it needs none.
        pace: of its messages.
        counts: of these: shown, or dropped by reason.
    """

    def __init__(self, node: ViewNode, shown: ShownTopic, prefix: str) -> None:
        self.shown, self._node = shown, node
        self._type = shown.message_type
        self.entity = str(node.resolve_topic_name(f"{prefix}{shown.name}"))
        if shown.how == "picture" and node.parameters.image_transport == "compressed":
            self._type, self.entity = CompressedImage, f"{self.entity}/compressed"
        info = shown.camera_info
        self.camera_topic = str(node.resolve_topic_name(f"{prefix}{info}")) if info else ""
        self.counts: Counter[str] = Counter()
        self.pace = Pace()
        self._subscription: FollowingSubscription | None = None

    def follow(self) -> bool:
        """Subscribe where somebody publishes; say whether that is new."""
        if self._subscription is not None:
            self._subscription.adapt()
            return False
        if not self._node.count_publishers(self.entity):
            return False
        take = partial(self._node.take, self)
        depth = _STATUSES_DEPTH if self.has_many_senders else 1
        self._subscription = FollowingSubscription(self._node, self._type, self.entity, take, depth)
        return True

    @property
    def has_many_senders(self) -> bool:
        """Whether many nodes publish on it, none of whose messages replaces another's."""
        return self.shown.how == "diagnostics"

    @property
    def is_there(self) -> bool:
        """Whether it is subscribed to."""
        return self._subscription is not None


class ViewNode(Node):
    """Subscribe to what is published of what can be shown, and show it."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("view_node", **kwargs)
        forward_logs(self)
        self._declared = DeclaredParameters(self, ViewParameters, lambda: True, START_ANEW)
        guard_services(self, self._declared.as_declared)
        try:
            from depth_anything_ros.nodes import rerun_layout, rerun_scene, rerun_viewer
        except ImportError as error:
            raise DepthAnythingError(
                f"view_node needs what is not installed ({error}); run: {how_to_install('view')}"
            ) from error
        self._layout, self._timeline = rerun_layout.layout, rerun_scene.TIMELINE
        self._faults = FaultLog(lambda text: self.get_logger().warning(text))
        self._health = HealthMonitor()
        self._extrinsics = TransformExtrinsics(self)
        self._worker: Worker[tuple[TopicView, float, Any]] = Worker("view")
        self._topics, self._infos = self._views(), dict[str, FollowingSubscription]()
        self._viewer = rerun_viewer.Viewer(self.parameters)
        self._scene = rerun_scene.RerunScene(
            self._viewer.recording, lambda: self.parameters, self._extrinsics, self._warn
        )
        self._laid_out: tuple[object, ...] = ()
        self._outlet = Outlet(self, self.create_publisher(DiagnosticArray, "/diagnostics", 1))
        self._timers = [
            steady_timer(self, _FOLLOW_S, self._follow),
            steady_timer(self, 1.0, self._publish_status),
        ]
        self._worker.start(self._show)
        verb = "writing" if self.parameters.show == "file" else "look at"
        self.get_logger().info(f"{verb} {self._viewer.where}")

    @property
    def parameters(self) -> ViewParameters:
        """The newest parameters."""
        return self._declared.values

    @property
    def finished(self) -> bool:
        """Whether the viewer is gone."""
        return self._viewer.has_ended

    def _views(self) -> list[TopicView]:
        p = self.parameters
        prefixes = [f"{name}/" for name in p.cameras] or [""]
        listed = [(shown, prefix) for prefix in prefixes for shown in OF_A_CAMERA]
        listed += [(shown, "") for shown in OF_THE_ROBOT]
        return [
            TopicView(self, shown, prefix) for shown, prefix in listed if shown.name in p.topics
        ]

    def destroy_node(self) -> None:
        """Show what has come, and end the viewer, before the node goes."""
        worker, viewer = getattr(self, "_worker", None), getattr(self, "_viewer", None)
        if worker is not None:
            self._show(worker.stop())
        if viewer is not None:
            viewer.close()
        super().destroy_node()

    # In -------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Subscribe to what is published by now, and lay out what is shown."""
        for view in self._topics:
            if view.follow():
                self.get_logger().info(f"showing {view.entity}")
            topic = view.camera_topic
            if topic in self._infos:
                self._infos[topic].adapt()
            elif topic and view.is_there:
                know = partial(self._scene.know_camera, topic)
                self._infos[topic] = FollowingSubscription(self, CameraInfo, topic, know)
        self._lay_out()

    def _lay_out(self) -> None:
        shown = {view.entity: view.shown for view in self._topics if view.is_there}
        frame, sizes = self._scene.frame, self._scene.sizes.copy()
        if shown and (shown, sizes, frame) != self._laid_out:
            self._laid_out = (shown, sizes, frame)
            is_upright = bool(self.parameters.fixed_frame)
            blueprint = self._layout(shown, sizes, frame, is_upright, self._timeline)
            self._viewer.recording.send_blueprint(blueprint)

    def take(self, view: TopicView, message: Any) -> None:  # noqa: ANN401 - of the topic's type
        """Keep a message for the worker, if it is due."""
        since = self._health.received()
        sender = view.entity
        if view.has_many_senders:
            sender += "".join(status.name for status in message.status[:1])
        elif not view.pace.is_due(self.parameters.max_rate_hz, time.monotonic()):
            self._drop(view, "max_rate")
            return
        waiting = self._worker.put(sender, (view, since, message))
        if waiting is not None:
            self._drop(view, "newer_message")

    def _drop(self, view: TopicView, reason: str) -> None:
        view.counts[reason] += 1
        self._health.dropped(reason)

    # Out ------------------------------------------------------------------------------------

    def _show(self, items: list[tuple[TopicView, float, Any]]) -> None:
        """Show what waits; called by the worker."""
        for view, since, message in items:
            try:
                self._scene.show(view.entity, view.camera_topic, view.shown, message)
            except DepthAnythingError as error:
                self._drop_for(view, error.reason, str(error), str(error))
            except Exception as error:  # of Rerun, or a bug: go on
                self._drop_for(view, "failed", first_line(error), trace())
            else:
                view.counts["shown"] += 1
                self._health.answered(since)
        try:
            # Or a viewer that hangs would fill this process's memory.
            self._viewer.flush()
        except DepthAnythingError as error:
            self._warn(error.reason, str(error))

    def _drop_for(self, view: TopicView, reason: str, why: str, told: str) -> None:
        self._drop(view, reason)
        self._faults.say(f"{view.entity} {reason}", f"{view.entity}: not shown: {told}", why)

    def _warn(self, cause: str, text: str) -> None:
        self._faults.say(cause, printable(text))

    def _publish_status(self) -> None:
        health = self._health.look()
        wrong = {k: n for k, n in health.new_drops.items() if k not in _EXPECTED_DROPS}
        status = DiagnosticStatus(level=DiagnosticStatus.OK)
        status.name = f"{self.get_fully_qualified_name().lstrip('/')}: view"
        status.message = f"{health.rate_hz:.1f} messages shown per second"
        if wrong:
            listed = ", ".join(f"{count} {reason}" for reason, count in sorted(wrong.items()))
            status.level, status.message = DiagnosticStatus.WARN, f"messages not shown: {listed}"
        values = health.values()
        values["messages shown per second"] = values.pop("rate (Hz)")  # of all topics
        for view in self._topics:
            if view.counts:
                counted = sorted(view.counts.copy().items())
                values[view.entity] = ", ".join(f"{reason} {count}" for reason, count in counted)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._outlet.publish(array)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is stopped or its viewer is closed."""
    return run_node(ViewNode, args, until=lambda node: node.finished)


if __name__ == "__main__":
    raise SystemExit(main())
