"""What nodes that answer pictures have in common: a life cycle, a worker and diagnostics."""

from __future__ import annotations

import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.camera_lookup import CameraLookup
from depth_anything_ros.nodes.health import (
    ERROR,
    OK,
    STALE,
    Health,
    HealthMonitor,
    diagnostic_array,
    diagnostic_status,
    health_values,
)
from depth_anything_ros.nodes.image_subscription import ImageSubscription
from depth_anything_ros.nodes.mailbox import Mailbox
from depth_anything_ros.nodes.parameters import DeclaredParameters
from depth_anything_ros.nodes.qos import NEWEST, OUTPUT
from depth_anything_ros.nodes.running import forward_logs

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# Drops that are the design at work, not a fault.
EXPECTED_DROPS = frozenset({"newer_frame", "no_subscriber", "deactivated"})
# No stamp is earlier.
BEFORE_ALL_NS = -(1 << 63)
# CameraInfo comes just after its picture: let the first picture wait that long.
FIRST_CAMERA_INFO_S = 0.25
# How often a node looks who publishes pictures, and who wants its answers.
LOOK_AROUND_S = 0.5

Parameters = TypeVar("Parameters")
# Takes a picture's message and the epoch: how often time has jumped backwards before it came.
Answer = Callable[[Any, int], None]
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """Log what a transition raises: rclpy turns it into ERROR without a word."""

    @functools.wraps(transition)
    def run(node: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__} failed: {error}")
            raise

    return run


class AnsweringNode(LifecycleNode, Generic[Parameters]):
    """Answer every picture of a topic, or say why not.

    The subscription puts the newest picture in a mailbox; one worker thread answers and publishes.
    A child loads what it needs, says what answers a picture, subscribes, and judges how it does.

    Args:
        name: of the node.
        parameters: the dataclass of its parameters.
        task: what the node does, in a word, for the name of its status.
    """

    def __init__(
        self,
        name: str,
        parameters: type[Parameters],
        task: str,
        **kwargs: Any,  # noqa: ANN401 - rclpy's own arguments
    ) -> None:
        super().__init__(name, **kwargs)
        forward_logs(self)
        self._task = task
        self._active = False
        self._declared = DeclaredParameters(self, parameters, lambda: self._active)
        self._health = HealthMonitor()
        self._lookup = CameraLookup()
        self._said: set[str] = set()
        self._served: set[str] = set()
        self._clock_jumps = 0
        self._last_stamp_ns = BEFORE_ALL_NS
        self._outputs: dict[str, Any] = {}
        self._images: ImageSubscription | None = None
        self._info_subscription: Any = None
        self._mailbox: Mailbox[tuple[Any, float, int]] = Mailbox()
        self._worker: threading.Thread | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._timer = self.create_timer(1.0, self._publish_diagnostics)
        # Not of the node's clock: simulated time may stand still.
        self._look_timer = self.create_timer(
            LOOK_AROUND_S, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        self._jump_handle = self.get_clock().create_jump_callback(
            backwards, post_callback=lambda _: self._restart_time("the clock")
        )

    @property
    def parameters(self) -> Parameters:
        """The parameters as they are now."""
        return self._declared.values

    # For a child to fill in -----------------------------------------------------------------

    def _load(self) -> TransitionCallbackReturn:
        """Make what answering takes, the publishers included."""
        raise NotImplementedError

    def _is_current(self) -> bool:
        """Say whether what was loaded is still what the parameters ask for."""
        return True

    def _prepare(self) -> Answer:
        """Return what the worker calls with each picture; it publishes, or raises why not."""
        raise NotImplementedError

    def _image_topic(self) -> str:
        """Return the resolved name of the topic of the pictures."""
        raise NotImplementedError

    def _subscribe(self) -> None:
        """Subscribe to pictures (``_images``) and to what goes with them beside camera_info."""
        raise NotImplementedError

    def _unsubscribe(self) -> None:
        """Undo what ``_subscribe`` did, were it half, but for the pictures."""

    def _forget(self) -> None:
        """Drop what was kept of a time that has jumped away."""

    def _hardware(self) -> str:
        """Return what the status names as the hardware."""
        return ""

    def _facts(self) -> dict[str, str]:
        """Return the key-value pairs of the status that are the child's own."""
        raise NotImplementedError

    def _judge(self, health: Health) -> tuple[bytes, str]:
        """Return the level and the sentence that say how the node does."""
        raise NotImplementedError

    # Lifecycle ------------------------------------------------------------------------------

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load what answering takes and make the publishers."""
        return self._load()

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe; load anew what was changed while inactive."""
        if not self._is_current() and self._load() != SUCCESS:
            return FAILURE
        super().on_activate(state)
        self._said.clear()
        self._served = set()
        self._health.restart()
        self._last_stamp_ns = BEFORE_ALL_NS
        self._mailbox = Mailbox()
        self._worker = threading.Thread(
            target=self._work,
            args=(self._mailbox, self._prepare()),
            name=f"{self._task}_worker",
            daemon=True,
        )
        self._worker.start()
        self._info_subscription = self.create_subscription(
            CameraInfo,
            "camera_info",
            self._lookup.update,
            NEWEST,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._subscribe()
        self._active = True
        self.get_logger().info(f"waiting for pictures on {self._image_topic()}")
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and join the worker, and unsubscribe."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what was loaded, and the publishers."""
        self._unload()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._stop()
        self._unload()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, so that the node can be configured again."""
        self._stop()
        self._unload()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker before the node goes."""
        self._stop()
        super().destroy_node()

    def _make_outputs(self, types: dict[str, type]) -> None:
        for name, message_type in types.items():
            self._outputs[name] = self.create_lifecycle_publisher(
                message_type,
                name,
                OUTPUT,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    def _unload(self) -> None:
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = {}

    def _stop(self) -> None:
        self._active = False
        if self._images is not None:
            self._images.destroy()
            self._images = None
        if self._info_subscription is not None:
            self.destroy_subscription(self._info_subscription)
            self._info_subscription = None
        if self._mailbox.discard():
            self._health.dropped("deactivated")
        self._mailbox.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        self._unsubscribe()
        self._lookup.clear()

    # Input ----------------------------------------------------------------------------------

    def _on_image(self, message: Any) -> None:  # noqa: ANN401 - any message with a header
        stamp_ns = stamp_of(message)
        if stamp_ns < self._last_stamp_ns:
            self._restart_time("the pictures' stamps")
        since = self._health.received()
        self._last_stamp_ns = stamp_ns
        if not self._wanted():
            self._health.dropped("no_subscriber")
        elif self._mailbox.put((message, since, self._clock_jumps)):
            self._health.dropped("newer_frame")

    def _restart_time(self, what: str) -> None:
        """Start anew after a backward jump (a bag that loops, a simulation that is reset)."""
        self._clock_jumps += 1
        self._last_stamp_ns = BEFORE_ALL_NS
        if self._mailbox.discard():
            self._health.dropped("clock_jump")
        self._health.restart()
        self._forget()
        self._say_once("clock_jump", f"{what} jumped backwards; going on from there")

    def _wanted(self) -> set[str]:
        return {name for name, out in self._outputs.items() if out.get_subscription_count()}

    # Worker ---------------------------------------------------------------------------------

    def _work(self, mailbox: Mailbox[tuple[Any, float, int]], answer: Answer) -> None:
        item = mailbox.take()
        if item is not None:
            self._lookup.wait_for_first(FIRST_CAMERA_INFO_S)
        while item is not None:
            message, since, epoch = item
            try:
                answer(message, epoch)
                self._health.answered(since)
            except DepthAnythingError as error:
                self._health.dropped(error.reason)
                self._say_once(error.reason, f"{self._image_topic()}: picture dropped: {error}")
            except Exception:  # out of memory, a lost device, or a bug: go on
                if not self.context.ok():
                    return  # shut down while publishing
                self._health.dropped("inference")
                self._say_once("inference", f"picture dropped: {traceback.format_exc()}")
            item = mailbox.take()

    # Diagnostics ----------------------------------------------------------------------------

    def _say_once(self, cause: str, text: str) -> None:
        """Warn of a cause once an activation; diagnostics go on counting."""
        if cause not in self._said:
            self._said.add(cause)
            self.get_logger().warning(text)

    def _look_around(self) -> None:
        if self._images is None:
            return
        self._images.adapt()
        wanted = self._wanted()
        if wanted != self._served:
            self._served = wanted
            names = ", ".join(sorted(wanted))
            self.get_logger().info(
                f"publishing {names}" if names else "idle: nobody subscribes to an output"
            )

    def _publish_diagnostics(self) -> None:
        health = self._health.look()
        level, message = self._judge(health)
        values = {
            **self._facts(),
            "clock jumps": str(self._clock_jumps),
            **health_values(health),
        }
        name = f"{self.get_fully_qualified_name().lstrip('/')}: {self._task}"
        status = diagnostic_status(level, name, message, self._hardware(), values)
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(stamp, status))

    def _judge_running(self, health: Health, timeout_s: float, ask: str) -> tuple[bytes, str]:
        """Return the level and the sentence where nothing can be answered, else OK and "".

        Args:
            health: of now.
            timeout_s: without a picture for this long, the input is stale.
            ask: what to ask oneself where no picture has come at all.
        """
        if not self._active:
            return OK, "inactive" if self._outputs else "not configured"
        if self._worker is None or not self._worker.is_alive():
            return ERROR, "the worker has died, which is a bug: see the log; reactivate the node"
        topic = self._image_topic()
        if health.input_age_s is None:
            return STALE, f"no picture yet on {topic}: {ask}"
        if health.input_age_s > timeout_s:
            return STALE, f"no picture on {topic} for {health.input_age_s:.1f} s"
        return OK, ""


def stamp_of(message: Any) -> int:  # noqa: ANN401 - any message with a header
    """Return a message's stamp in ns; not by rclpy's Time, which refuses a negative one."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def autostart(node: AnsweringNode[Any]) -> None:
    """Configure and activate a node, unless its parameter autostart is off."""
    if not node.parameters.autostart:
        return
    if node.trigger_configure() == SUCCESS:
        node.trigger_activate()
    else:
        node.get_logger().error(
            "not started: mend what the line above says and configure the node again "
            "(ros2 lifecycle set), or stop it with Ctrl-C"
        )
