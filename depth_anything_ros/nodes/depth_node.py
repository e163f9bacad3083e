"""depth_node: camera pictures in, depth (or disparity), camera information and clouds out."""

from __future__ import annotations

import functools
import gc
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.colormap import colorize, nearness
from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, ModelError
from depth_anything_ros.nodes.camera_lookup import CameraLookup
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.depth_pipeline import DepthPipeline, View
from depth_anything_ros.nodes.health import (
    ERROR,
    OK,
    STALE,
    WARN,
    Health,
    HealthMonitor,
    diagnostic_array,
    diagnostic_status,
    health_values,
)
from depth_anything_ros.nodes.image_subscription import ImageSubscription
from depth_anything_ros.nodes.mailbox import Mailbox
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    cloud_message,
    decode_compressed,
    decode_image,
    depth_message,
    image_message,
)
from depth_anything_ros.nodes.parameters import DeclaredParameters
from depth_anything_ros.nodes.qos import NEWEST, OUTPUT
from depth_anything_ros.nodes.running import forward_logs, run_node

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
OUTPUTS: dict[str, dict[str, type]] = {
    "metric": {"depth/image_rect": Image, "points": PointCloud2},
    "relative": {"disparity/image_rect": Image},
}
COMMON_OUTPUTS: dict[str, type] = {"depth/camera_info": CameraInfo, "depth/image_color": Image}
# Drops that are the design at work, not a fault.
EXPECTED_DROPS = frozenset({"newer_frame", "no_subscriber", "deactivated"})
# A driver publishes CameraInfo just after its Image: let the first picture wait that long.
FIRST_CAMERA_INFO_S = 0.25
# No stamp is earlier.
BEFORE_ALL_NS = -(1 << 63)
# How often the node looks who publishes pictures, and who wants its answers.
LOOK_AROUND_S = 0.5


Transition = Callable[["DepthNode", LifecycleState], TransitionCallbackReturn]


def _logged(transition: Transition) -> Transition:
    """Log what a transition raises: rclpy turns it into ERROR without a word."""

    @functools.wraps(transition)
    def run(node: DepthNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__} failed: {error}")
            raise

    return run


class DepthNode(LifecycleNode):
    """Answer every picture with depth, or say why not.

    The subscription puts the newest picture in a mailbox; one worker thread infers and publishes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("depth_node", **kwargs)
        forward_logs(self)
        self._active = False
        self._declared = DeclaredParameters(self, DepthParameters, lambda: self._active)
        self._health = HealthMonitor()
        self._lookup = CameraLookup()
        self._said: set[str] = set()
        self._served: set[str] = set()
        self._clock_jumps = 0
        self._last_stamp_ns = BEFORE_ALL_NS
        self._camera_problem = ""
        self._load_problem = ""
        self._estimator: DepthEstimator | None = None
        self._loaded: tuple[Any, ...] = ()
        self._outputs: dict[str, Any] = {}
        self._image_subscription: ImageSubscription | None = None
        self._info_subscription: Any = None
        self._mailbox: Mailbox[tuple[Image | CompressedImage, float]] = Mailbox()
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
    def parameters(self) -> DepthParameters:
        """The parameters as they are now."""
        return self._declared.values

    # Lifecycle ------------------------------------------------------------------------------

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers that it can serve."""
        return self._load()

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker; reload a model that was changed while inactive."""
        if self._loaded != self._model_parameters() and self._load() != SUCCESS:
            return FAILURE
        assert self._estimator is not None  # on_configure succeeded, or we would not be here
        super().on_activate(state)
        self._said.clear()
        self._served = set()
        self._health.restart()
        self._last_stamp_ns = BEFORE_ALL_NS
        self._mailbox = Mailbox()
        topic = self._image_topic()
        pipeline = DepthPipeline(self._estimator, _is_rectified_topic(topic))
        self._worker = threading.Thread(
            target=self._work, args=(self._mailbox, pipeline), name="depth_worker", daemon=True
        )
        self._worker.start()
        self._subscribe(topic)
        self._active = True
        self.get_logger().info(f"waiting for pictures on {topic}")
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and join the worker, and unsubscribe."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the model and the publishers."""
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

    def _model_parameters(self) -> tuple[Any, ...]:
        p = self.parameters
        return (p.model, p.weights, p.device, p.precision, p.input_size, p.download)

    def _load(self) -> TransitionCallbackReturn:
        self._unload()
        wanted = self._model_parameters()
        self.get_logger().info(f"loading {self.parameters.model}")
        try:
            # Not at the top: torch takes seconds, in which the node should be there and stoppable.
            from depth_anything_ros.models import DepthEstimator

            self._estimator = DepthEstimator(*wanted)
            self._warm_up(self._estimator)
        except Exception as error:  # rclpy would swallow it: say it, whatever it is
            self._unload()
            missing = isinstance(error, ImportError)
            remedy = "; install what the README names beside rosdep's packages" if missing else ""
            self._load_problem = f"cannot load the model: {error}{remedy}"
            expected = isinstance(error, (DepthAnythingError, ImportError, OSError))
            trace = "" if expected else f"\n{traceback.format_exc()}"
            self.get_logger().error(f"{self._load_problem}{trace}")
            return FAILURE
        self._load_problem = ""
        self._loaded = wanted
        kind = self._estimator.card.kind
        for name, message_type in {**OUTPUTS[kind], **COMMON_OUTPUTS}.items():
            self._outputs[name] = self.create_lifecycle_publisher(
                message_type,
                name,
                OUTPUT,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        self.get_logger().info(f"loaded {self._estimator.description}")
        if kind == "relative":
            self.get_logger().info(
                "a relative model gives disparity without scale: no depth in metres and no cloud"
            )
        return SUCCESS

    def _warm_up(self, estimator: DepthEstimator) -> None:
        """Infer once, so that no picture waits for what a first inference sets up."""
        try:
            camera = Camera.from_hfov(640, 480, 90.0)  # any: some models cannot do without
            estimator.infer(np.zeros((480, 640, 3), np.uint8), camera)
        except ModelError as error:  # weights that answer NaN: pictures may fare better
            self.get_logger().warning(f"the first inference, of a black picture: {error}")

    def _unload(self) -> None:
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = {}
        self._estimator = None
        self._loaded = ()
        gc.collect()  # the weights' memory now, not at some later collection

    def _image_topic(self) -> str:
        topic = str(self.resolve_topic_name("image"))
        return f"{topic}/compressed" if self.parameters.image_transport == "compressed" else topic

    def _subscribe(self, topic: str) -> None:
        compressed = self.parameters.image_transport == "compressed"
        message_type = CompressedImage if compressed else Image
        self._info_subscription = self.create_subscription(
            CameraInfo,
            "camera_info",
            self._lookup.update,
            NEWEST,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._image_subscription = ImageSubscription(self, message_type, topic, self._on_image)

    def _stop(self) -> None:
        self._active = False
        if self._image_subscription is not None:
            self._image_subscription.destroy()
            self.destroy_subscription(self._info_subscription)
            self._image_subscription = None
        if self._mailbox.discard():
            self._health.dropped("deactivated")
        self._mailbox.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        self._lookup.clear()
        self._camera_problem = ""

    # Input ----------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp = message.header.stamp  # not by rclpy's Time, which refuses a negative one
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        if stamp_ns < self._last_stamp_ns:
            self._restart_time("the pictures' stamps")
        since = self._health.received()
        self._last_stamp_ns = stamp_ns
        if not self._wanted():
            self._health.dropped("no_subscriber")
        elif self._mailbox.put((message, since)):
            self._health.dropped("newer_frame")

    def _restart_time(self, what: str) -> None:
        """Start anew after a backward jump (a bag that loops, a simulation that is reset)."""
        self._clock_jumps += 1
        self._last_stamp_ns = BEFORE_ALL_NS
        if self._mailbox.discard():
            self._health.dropped("clock_jump")
        self._health.restart()
        self._say_once("clock_jump", f"{what} jumped backwards; going on from there")

    def _wanted(self) -> set[str]:
        return {name for name, out in self._outputs.items() if out.get_subscription_count()}

    # Worker ---------------------------------------------------------------------------------

    def _work(
        self, mailbox: Mailbox[tuple[Image | CompressedImage, float]], pipeline: DepthPipeline
    ) -> None:
        item = mailbox.take()
        if item is not None:
            self._lookup.wait_for_first(FIRST_CAMERA_INFO_S)
        while item is not None:
            message, since = item
            try:
                self._answer(message, pipeline)
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

    def _answer(self, message: Image | CompressedImage, pipeline: DepthPipeline) -> None:
        parameters, wanted, header = self.parameters, self._wanted(), message.header
        decode = decode_image if isinstance(message, Image) else decode_compressed
        rgb = decode(message)
        view = self._view(pipeline, rgb, header.frame_id, parameters.rectify)
        if wanted - {"depth/camera_info"}:
            result = pipeline.infer(view, parameters)
            self._publish_result(header, result, view, pipeline, wanted)
        if "depth/camera_info" in wanted:
            size = (rgb.shape[1], rgb.shape[0])
            info = camera_info_message(header, view.camera, size)
            self._outputs["depth/camera_info"].publish(info)

    def _view(
        self, pipeline: DepthPipeline, rgb: NDArray[np.uint8], frame_id: str, rectify: str
    ) -> View:
        """Return the picture on the grid to publish; on its own, without a cloud, if need be.

        Raises:
            CameraError: where the camera cannot be used and the model needs it.
        """
        height, width = rgb.shape[:2]
        try:
            view = pipeline.view(rgb, self._lookup.find(frame_id, width, height), rectify)
        except CameraError as error:
            hfov = self.parameters.camera.fallback_hfov_deg
            camera = Camera.from_hfov(width, height, hfov, frame_id) if hfov > 0 else None
            dropped = camera is None and pipeline.needs_camera
            instead = f"a pinhole of {hfov:g} deg is assumed" if camera else "no cloud goes out"
            instead = self._why_no_metres() if dropped else instead
            self._camera_problem = f"{error}; {instead}"
            problem = f"{self.resolve_topic_name('camera_info')}: {self._camera_problem}"
            if dropped:
                raise CameraError(problem, error.reason) from error
            self._say_once(error.reason, problem)
            return View(rgb, camera)
        self._camera_problem = ""
        return view

    def _why_no_metres(self) -> str:
        return (
            f"{self.parameters.model} needs the focal length, so no depth goes out: mend that, "
            f"set camera.fallback_hfov_deg, or choose the model tiny_relative"
        )

    def _publish_result(
        self,
        header: Any,  # noqa: ANN401 - std_msgs/Header
        result: DepthMap | DisparityMap,
        view: View,
        pipeline: DepthPipeline,
        wanted: set[str],
    ) -> None:
        parameters = self.parameters
        if "disparity/image_rect" in wanted and isinstance(result, DisparityMap):
            image = image_message(header, result.disparity, "32FC1")
            self._outputs["disparity/image_rect"].publish(image)
        if "depth/image_rect" in wanted and isinstance(result, DepthMap):
            image = depth_message(header, result, parameters.depth.encoding)
            self._outputs["depth/image_rect"].publish(image)
        if "depth/image_color" in wanted:
            painted = colorize(nearness(result), parameters.preview.colormap)
            self._outputs["depth/image_color"].publish(image_message(header, painted, "rgb8"))
        if "points" in wanted and isinstance(result, DepthMap):
            cloud = pipeline.cloud(result, view, parameters.cloud)
            if cloud is not None:
                self._outputs["points"].publish(cloud_message(header, cloud))

    # Diagnostics ----------------------------------------------------------------------------

    def _say_once(self, cause: str, text: str) -> None:
        """Warn of a cause once an activation; diagnostics go on counting."""
        if cause not in self._said:
            self._said.add(cause)
            self.get_logger().warning(text)

    def _look_around(self) -> None:
        if self._image_subscription is None:
            return
        self._image_subscription.adapt()
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
        estimator = self._estimator
        values = {
            "model": estimator.description if estimator else "none",
            "clock jumps": str(self._clock_jumps),
            **health_values(health),
        }
        name = f"{self.get_fully_qualified_name().lstrip('/')}: depth"
        hardware = str(estimator.device) if estimator else ""
        status = diagnostic_status(level, name, message, hardware, values)
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(stamp, status))

    def _judge(self, health: Health) -> tuple[bytes, str]:
        """Return the level and the sentence that say how the node does."""
        if self._load_problem:
            return ERROR, self._load_problem
        if not self._active:
            return OK, "inactive" if self._estimator else "not configured"
        if self._worker is None or not self._worker.is_alive():
            return ERROR, "the worker has died, which is a bug: see the log; reactivate the node"
        topic = self._image_topic()
        if health.input_age_s is None:
            return STALE, f"no picture yet on {topic}: is the camera running, the topic remapped?"
        if health.input_age_s > self.parameters.diagnostics.input_timeout_s:
            return STALE, f"no picture on {topic} for {health.input_age_s:.1f} s"
        faults = {r: n for r, n in health.new_drops.items() if r not in EXPECTED_DROPS}
        if faults:
            listed = ", ".join(f"{n} {reason}" for reason, n in sorted(faults.items()))
            serious = faults.keys() & {"non_finite", "inference"}
            problem = f"; {self._camera_problem}" if self._camera_problem else ""
            return ERROR if serious else WARN, f"pictures dropped: {listed}{problem}"
        if not self._wanted():
            return OK, "idle: nobody subscribes to an output"
        if self._camera_problem:
            return WARN, self._camera_problem
        return OK, f"depth at {health.rate_hz:.1f} Hz"


def _is_rectified_topic(topic: str) -> bool:
    """Say whether a topic's name follows the convention of image_proc for rectified pictures."""
    base = topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    return base.startswith("image_rect")


def autostart(node: DepthNode) -> None:
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


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(DepthNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
