"""depth_node: camera pictures in, depth (or disparity), camera information and clouds out."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.colormap import colorize, nearness
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap, Estimate
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, ModelError
from depth_anything_ros.nodes.answering_node import (
    EXPECTED_DROPS,
    FAILURE,
    SUCCESS,
    Answer,
    AnsweringNode,
    autostart,
)
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.depth_pipeline import DepthPipeline, View
from depth_anything_ros.nodes.health import ERROR, OK, WARN, Health
from depth_anything_ros.nodes.image_subscription import ImageSubscription
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    cloud_message,
    decode_compressed,
    decode_image,
    depth_message,
    image_message,
)
from depth_anything_ros.nodes.running import run_node

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator

OUTPUTS: dict[str, dict[str, type]] = {
    "metric": {"depth/image_rect": Image, "points": PointCloud2},
    "relative": {"disparity/image_rect": Image},
    "affine_depth": {"affine_depth/image_rect": Image},
}
COMMON_OUTPUTS: dict[str, type] = {"depth/camera_info": CameraInfo, "depth/image_color": Image}


class DepthNode(AnsweringNode[DepthParameters]):
    """Answer every picture with depth, or say why not.

    The subscription puts the newest picture in a mailbox; one worker thread infers and publishes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("depth_node", DepthParameters, "depth", **kwargs)
        self._camera_problem = ""
        self._load_problem = ""
        self._estimator: DepthEstimator | None = None
        self._loaded: tuple[Any, ...] = ()

    # Lifecycle ------------------------------------------------------------------------------

    def _is_current(self) -> bool:
        return self._loaded == self._model_parameters()

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
        self._make_outputs({**OUTPUTS[kind], **COMMON_OUTPUTS})
        self.get_logger().info(f"loaded {self._estimator.description}")
        if kind != "metric":
            what = "disparity" if kind == "relative" else "depth"
            self.get_logger().info(
                f"this model gives {what} without scale: no depth in metres and no cloud"
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
        super()._unload()
        self._estimator = None
        self._loaded = ()
        gc.collect()  # the weights' memory now, not at some later collection

    def _image_topic(self) -> str:
        topic = str(self.resolve_topic_name("image"))
        return f"{topic}/compressed" if self.parameters.image_transport == "compressed" else topic

    def _subscribe(self) -> None:
        compressed = self.parameters.image_transport == "compressed"
        message_type = CompressedImage if compressed else Image
        self._images = ImageSubscription(self, message_type, self._image_topic(), self._on_image)

    def _unsubscribe(self) -> None:
        self._camera_problem = ""

    # Worker ---------------------------------------------------------------------------------

    def _prepare(self) -> Answer:
        assert self._estimator is not None  # on_configure succeeded, or we would not be here
        pipeline = DepthPipeline(self._estimator, _is_rectified_topic(self._image_topic()))
        return partial(self._answer, pipeline)

    def _answer(
        self, pipeline: DepthPipeline, message: Image | CompressedImage, _epoch: int
    ) -> None:
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
        result: Estimate,
        view: View,
        pipeline: DepthPipeline,
        wanted: set[str],
    ) -> None:
        parameters = self.parameters
        if "disparity/image_rect" in wanted and isinstance(result, DisparityMap):
            image = image_message(header, result.disparity, "32FC1")
            self._outputs["disparity/image_rect"].publish(image)
        if "affine_depth/image_rect" in wanted and isinstance(result, AffineDepthMap):
            image = image_message(header, result.depth, "32FC1")
            self._outputs["affine_depth/image_rect"].publish(image)
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

    def _hardware(self) -> str:
        return str(self._estimator.device) if self._estimator else ""

    def _facts(self) -> dict[str, str]:
        return {"model": self._estimator.description if self._estimator else "none"}

    def _judge(self, health: Health) -> tuple[bytes, str]:
        """Return the level and the sentence that say how the node does."""
        if self._load_problem:
            return ERROR, self._load_problem
        ask = "is the camera running, the topic remapped?"
        timeout_s = self.parameters.diagnostics.input_timeout_s
        level, text = self._judge_running(health, timeout_s, ask)
        if text:
            return level, text
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


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(DepthNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
