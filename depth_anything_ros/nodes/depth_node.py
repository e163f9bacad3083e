"""depth_node: camera pictures in, depth (or disparity), camera information and clouds out."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, printable
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.answering_node import (
    EXPECTED_DROPS,
    FAILURE,
    SUCCESS,
    Answer,
    AnsweringNode,
    autostart,
    drop,
    dropped_for,
)
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.depth_pipeline import DepthPipeline, View
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.nodes.health import ERROR, OK, WARN, Health
from depth_anything_ros.nodes.inference import infer_apart, infer_together, infer_within_memory
from depth_anything_ros.nodes.loaded_model import LoadedModel, load_model
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    cloud_message,
    depth_message,
    image_message,
)
from depth_anything_ros.nodes.output_grid import halved, output_size
from depth_anything_ros.nodes.picture_stream import Frame, PictureStream, stamp_of
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.synchronised_sets import SynchronisedSets
from depth_anything_ros.nodes.transitions import Work

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator

OUTPUTS: dict[str, dict[str, type]] = {
    "metric": {"depth/image_rect": Image, "points": PointCloud2},
    "relative": {"disparity/image_rect": Image},
    "affine_depth": {"affine_depth/image_rect": Image},
}
COMMON_OUTPUTS: dict[str, type] = {"depth/camera_info": CameraInfo, "depth/image_color": Image}
# A picture waits this long for a transform of tf2 that is late.
_TRANSFORM_WAIT_S = 0.1
# Beyond, a picture's stamp is of another clock than the node's.
_LONGEST_TRANSPORT_S = 10.0
# Parameters that are arguments of load_estimator by the same name.
_LOADING = (
    "model",
    "weights",
    "device",
    "engine",
    "precision",
    "input_size",
    "download",
    "calibration",
)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A picture that was decoded.

    Attributes:
        frame: that it came as.
        view: on the grid to publish.
        T_rig_camera: float64 (4, 4); None where nobody asks.
        wanted: outputs of its camera that somebody subscribed to.
        times: of the stages of its way.
    """

    frame: Frame
    view: View
    T_rig_camera: NDArray[np.float64] | None
    wanted: set[str]
    times: StageTimes


class DepthNode(AnsweringNode[DepthParameters]):
    """Answer every picture with depth, or say why not.

    Subscriptions put the newest picture of each camera in a mailbox; one worker thread infers all
    that wait and publishes, or leaves publishing to a second thread and goes on. An any-view model
    is given the pictures of several cameras that were taken together, and where the cameras are.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("depth_node", DepthParameters, "depth", **kwargs)
        self._load_problem = ""
        self._made: LoadedModel | str | None = None
        self._is_rig = False
        self._sets: SynchronisedSets[Frame] = SynchronisedSets()
        self._silent: set[str] = set()
        self._transforms: TransformExtrinsics | None = None
        self._estimator: DepthEstimator | None = None
        self._full_size = 0
        self._loaded: Mapping[str, Any] = {}

    # Lifecycle ------------------------------------------------------------------------------

    def _cameras(self) -> Sequence[str]:
        return self.parameters.cameras or ("",)

    def _is_current(self) -> bool:
        cameras = [stream.name for stream in self._streams]
        return self._loaded == self._model_parameters() and cameras == list(self._cameras())

    def _model_parameters(self) -> dict[str, Any]:
        """Return the arguments of load_estimator."""
        p = self.parameters
        given = {name: getattr(p, name) for name in _LOADING}
        return {**given, "compiles": p.compile, "together": len(self._cameras()) > 1}

    def _slow_part(self) -> Work:
        # What is asked for now: parameters may change while it loads, and activation sees that.
        wanted, cameras = self._model_parameters(), len(self._cameras())
        self._load_problem, self._made = "", None
        self.get_logger().info(f"loading {printable(wanted['model'], 200)}")

        def load() -> None:
            self._made = load_model(self._make_estimator, wanted, cameras, self.get_logger())

        return load

    def _load(self) -> TransitionCallbackReturn:
        if self._made is None:  # nobody has done the slow part in a thread
            self._unload()
            self._slow_part()()
        made, self._made = self._made, None
        if not isinstance(made, LoadedModel):
            self._load_problem = made or "loading was interrupted"
            gc.collect()  # what it had loaded by then
            return FAILURE
        self._estimator, self._full_size = made.estimator, made.full_size
        self._loaded, self._is_rig = made.wanted, made.is_rig
        kind = "metric" if made.is_rig else made.estimator.card.kind
        self._make_outputs({**OUTPUTS[kind], **COMMON_OUTPUTS})
        self.get_logger().info(f"loaded {printable(made.estimator.description)}")
        self._say_what_it_gives(kind)
        return SUCCESS

    def _say_what_it_gives(self, kind: str) -> None:
        if self._is_rig:
            self.get_logger().info("it answers all cameras together, in metres by their poses")
        elif kind != "metric":
            what = "disparity" if kind == "relative" else "depth"
            self.get_logger().info(
                f"this model gives {what} without scale: no depth in metres and no cloud"
            )

    def _make_estimator(self, **arguments: Any) -> DepthEstimator:  # noqa: ANN401 - its own
        # Not at the top: torch takes seconds, in which the node should be there and stoppable.
        from depth_anything_ros.engines.loading import load_estimator

        return load_estimator(**arguments)

    def _unload(self) -> None:
        super()._unload()
        self._estimator = None
        self._loaded = {}
        gc.collect()  # the weights' memory now, not at some later collection

    def _image_source(self, stream: PictureStream) -> tuple[type, str]:
        topic = stream.resolved("image")
        if self.parameters.image_transport == "compressed":
            return CompressedImage, f"{topic}/compressed"
        return Image, topic

    def _subscribe(self) -> None:
        if self._is_rig:
            self._transforms = TransformExtrinsics(self, instead="")

    def _unsubscribe(self) -> None:
        for stream in self._streams:
            drop(self._sets.clear(stream.name), "deactivated")
        self._silent = set()
        if self._transforms is not None:
            self._transforms.destroy()
            self._transforms = None

    # Input: with an any-view model, the pictures of several cameras wait for each other ------

    def _max_late_s(self) -> float:
        return self.parameters.sync.max_late_s

    def _slot(self, stream: PictureStream) -> str:
        return "" if self._is_rig else super()._slot(stream)

    def _is_wanted(self, stream: PictureStream) -> bool:
        if self._is_rig:  # each picture helps the others
            return any(one.wanted() for one in self._streams)
        return super()._is_wanted(stream)

    def _gather(self, frame: Frame) -> Sequence[Frame]:
        if not self._is_rig:
            return super()._gather(frame)
        p, name = self.parameters, frame.stream.name
        self._silent.discard(name)
        awaited = [one.name for one in self._streams if one.name not in self._silent]
        max_offset_ns = round(p.sync.max_offset_s * 1e9)
        stamp_ns = stamp_of(frame.message)
        found, left_out = self._sets.add(name, stamp_ns, frame, awaited, max_offset_ns)
        drop(left_out, "unsynchronised")
        if left_out and not found:  # waited in vain: not for the silent any more, if two are left
            timeout_s = p.diagnostics.input_timeout_s
            alive = {one.name for one in self._streams if one.health.is_alive(timeout_s)}
            self._silent = {one.name for one in self._streams} - alive if len(alive) > 1 else set()
        return found

    def _forget(self, streams: Sequence[PictureStream] | None) -> None:
        for stream in self._streams if streams is None else streams:
            drop(self._sets.clear(stream.name), "clock_jump")
        if self._transforms is not None:
            self._transforms.forget()

    # Worker ---------------------------------------------------------------------------------

    def _overlaps(self) -> bool:
        return self.parameters.overlap

    def _prepare(self) -> Answer:
        assert self._estimator is not None  # on_configure succeeded, or we would not be here
        pipelines = {
            stream.name: DepthPipeline(_is_rectified_topic(self._image_source(stream)[1]))
            for stream in self._streams
        }
        return partial(self._answer, self._estimator, pipelines)

    def _answer(
        self,
        estimator: DepthEstimator,
        pipelines: Mapping[str, DepthPipeline],
        frames: Sequence[Frame],
    ) -> None:
        rig_frame = self.parameters.rig.frame or frames[0].message.header.frame_id
        needs_camera = estimator.card.focal_scaled or self._is_rig
        seen = []
        for frame in frames:
            with self._counted(frame):
                times, pipeline = _times_before(frame), pipelines[frame.stream.name]
                view = self._view(estimator, pipeline, frame, needs_camera, times)
                pose = self._pose(frame, rig_frame) if self._is_rig else None
                seen.append(_Seen(frame, view, pose, frame.stream.wanted(), times))
        answers = self._infer(estimator, seen)
        self._deliver(partial(self._publish_all, pipelines, seen, answers))

    def _publish_all(
        self,
        pipelines: Mapping[str, DepthPipeline],
        seen: Sequence[_Seen],
        answers: Mapping[_Seen, Estimate | Exception],
    ) -> None:
        for one in seen:
            with self._counted(one.frame):
                self._publish(pipelines[one.frame.stream.name], one, answers.get(one))
                one.frame.stream.health.answered(one.frame.since, one.times)

    def _infer(
        self, estimator: DepthEstimator, seen: Sequence[_Seen]
    ) -> dict[_Seen, Estimate | Exception]:
        """Return the answers to the pictures of which more than the camera is wanted."""
        asked = [one for one in seen if one.wanted - {"depth/camera_info"}]
        if asked and self._is_rig:
            poses = [one.T_rig_camera for one in seen if one.T_rig_camera is not None]
            ask = partial(infer_together, estimator, [one.view for one in seen], poses)
            asked = list(seen)
        else:
            ask = partial(infer_apart, estimator, [one.view for one in asked])
        estimator.times.taken()
        answers = infer_within_memory(estimator, ask)
        stages = estimator.times.taken()
        for one in asked:  # of all together
            for stage, seconds in stages.items():
                one.times.add(stage, seconds)
        return dict(zip(asked, answers, strict=True))

    def _view(
        self,
        estimator: DepthEstimator,
        pipeline: DepthPipeline,
        frame: Frame,
        needs_camera: bool,
        times: StageTimes,
    ) -> View:
        """Return the picture and the grid to publish; on its own, without a cloud, if need be.

        Raises:
            ImageError: where it cannot be decoded.
            CameraError: where the camera cannot be used and is needed.
        """
        stream, message = frame.stream, frame.message
        with times.of("decode"):
            rgb = pipeline.decoder.decode(message, self.parameters.image)
        stream.doubts = pipeline.decoder.doubts
        for cause, text in stream.doubts.items():
            stream.say_once(cause, f"{stream.image_topic}: {text}")
        frame_id, (height, width) = message.header.frame_id, rgb.shape[:2]
        p = self.parameters
        size = output_size(p.output.size, (width, height), estimator)
        if size is not None:
            with times.of("shrink"):
                rgb = halved(rgb, size, estimator.network_size(width, height))
        try:
            any_frame, rectified = not p.camera.check_frame_id, pipeline.is_rectified(p.rectify)
            camera = stream.camera_of(frame_id, width, height, any_frame, rectified)
            camera = camera.scaled(rgb.shape[1], rgb.shape[0])
            with times.of("rectify"):
                view = pipeline.view(rgb, camera, p.rectify)
        except CameraError as error:
            hfov = p.camera.fallback_hfov_deg
            shown = (rgb.shape[1], rgb.shape[0])
            assumed = Camera.from_hfov(*shown, hfov, frame_id) if hfov > 0 else None
            dropped = assumed is None and needs_camera
            instead = f"a pinhole of {hfov:g} deg is assumed" if assumed else "no cloud goes out"
            instead = self._why_no_metres() if dropped else instead
            stream.problem = f"{error}; {instead}"
            problem = f"{stream.resolved('camera_info')}: {stream.problem}"
            if dropped:
                raise CameraError(problem, error.reason) from error
            stream.say_fault(error.reason, problem)
            return View(rgb, assumed, size=size)
        stream.tell_once(f"{stream.image_topic}: each picture is {view.treatment}")
        return replace(view, size=size)

    def _pose(self, frame: Frame, rig_frame: str) -> NDArray[np.float64]:
        """Return where a camera was, float64 (4, 4), T_rig_camera.

        Raises:
            DepthAnythingError: with the reason ``no_transform``.
        """
        assert self._transforms is not None  # from activation until the worker has ended
        header = frame.message.header
        if header.frame_id == rig_frame:  # whether tf2 knows it or not
            return np.eye(4)
        try:
            return self._transforms.find(
                rig_frame, header.frame_id, header.stamp, _TRANSFORM_WAIT_S
            )
        except DepthAnythingError as error:
            frame.stream.problem = str(error)
            raise

    def _why_no_metres(self) -> str:
        return (
            f"{self.parameters.model} needs the focal length, so no depth goes out: mend that, "
            f"set camera.fallback_hfov_deg, or choose the model tiny_relative"
        )

    def _publish(
        self, pipeline: DepthPipeline, seen: _Seen, answer: Estimate | Exception | None
    ) -> None:
        if isinstance(answer, Exception):
            raise answer
        header, view = seen.frame.message.header, seen.view
        if answer is not None:
            with seen.times.of("post"):
                result = pipeline.finished(answer, view, self.parameters)
            self._publish_result(pipeline, seen, result)
        if "depth/camera_info" in seen.wanted:
            info = camera_info_message(header, view.published_camera, view.published_size)
            self._send(seen, "depth/camera_info", info)

    def _publish_result(self, pipeline: DepthPipeline, seen: _Seen, result: Estimate) -> None:
        parameters, wanted, times = self.parameters, seen.wanted, seen.times
        header, outgoing = seen.frame.message.header, pipeline.depth_out
        topic = f"{result.name}/image_rect"
        if topic in wanted:
            with times.of("depth"):
                image = depth_message(header, result, parameters.depth.encoding, outgoing)
            self._send(seen, topic, image)
        if "depth/image_color" in wanted:
            with times.of("preview"):
                painted = colorize(result.nearness(), parameters.preview.colormap)
                image = image_message(header, painted, "rgb8")
            self._send(seen, "depth/image_color", image)
        depth = result.metric
        if "points" in wanted and depth is not None:
            with times.of("cloud"):
                cloud = pipeline.cloud(depth, seen.view, parameters.cloud)
                message = cloud and cloud_message(header, cloud, pipeline.cloud_out)
            if message is not None:
                self._send(seen, "points", message)

    def _send(self, seen: _Seen, output: str, message: Any) -> None:  # noqa: ANN401 - any message
        with seen.times.of("publish"):
            seen.frame.stream.outputs[output].publish(message)

    # Diagnostics ----------------------------------------------------------------------------

    def _hardware(self) -> str:
        return str(self._estimator.device) if self._estimator else ""

    def _facts(self) -> dict[str, str]:
        if self._estimator is None:
            return {"model": "none"}
        engine = self._estimator.engine
        return {
            "model": self._estimator.description,
            "engine": f"{engine.name} {engine.precision}",
            "why this engine": engine.why or "asked for, or the only one",
            "input size (px)": str(self._estimator.input_size),
        }

    def _judge(self, stream: PictureStream, health: Health) -> tuple[bytes, str]:
        if self._load_problem:
            return ERROR, self._load_problem
        p = self.parameters
        ask = "is the camera running, the topic remapped?"
        level, text = self._judge_running(stream, health, p.diagnostics.input_timeout_s, ask)
        if text:
            return level, text
        faults = {r: n for r, n in health.new_drops.items() if r not in EXPECTED_DROPS}
        if health.rate_hz or len(faults) > 1:  # faster than the others; or there is a worse one
            faults.pop("unsynchronised", None)
        if faults:
            serious = faults.keys() & {"non_finite", "inference", "out_of_memory"}
            said = dropped_for(stream, faults)
            if "unsynchronised" in faults:
                within = f"sync.max_offset_s ({p.sync.max_offset_s:g} s)"
                said = f"{said}; no other camera's stamps within {within}"
            return ERROR if serious else WARN, said
        if self._estimator and self._estimator.input_size < self._full_size:
            return ERROR, (
                f"out of memory on {self._hardware()}: the input size is "
                f"{self._estimator.input_size} instead of {self._full_size}; set input_size to it "
                "or choose a smaller model"
            )
        if not self._is_wanted(stream):
            return OK, "idle: nobody subscribes to an output"
        said = "; ".join(filter(None, [stream.problem, *stream.doubts.values()]))
        if said:
            return WARN, said
        return OK, f"depth at {health.rate_hz:.1f} Hz"


def _times_before(frame: Frame) -> StageTimes:
    """Return how long a picture travelled and waited; not the former where the clocks differ."""
    times = StageTimes()
    if 0 <= frame.age_s < _LONGEST_TRANSPORT_S:
        times.add("transport", frame.age_s)
    times.add("wait", time.monotonic() - frame.since)
    return times


def _is_rectified_topic(topic: str) -> bool:
    """Say whether a topic's name follows the convention of image_proc for rectified pictures."""
    base = topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    return base.startswith("image_rect")


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(DepthNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
