"""depth_node: camera images in, depth (or disparity), camera information and clouds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import DepthAnythingError, printable
from depth_anything_ros.nodes.answering_node import Answering, AnsweringNode, autostart
from depth_anything_ros.nodes.camera_stream import CameraStream, Frame
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.health import Health
from depth_anything_ros.nodes.image_reader import ImageReader
from depth_anything_ros.nodes.intake import OneByOne, SynchronisedRig
from depth_anything_ros.nodes.model_slot import ModelSlot
from depth_anything_ros.nodes.moments import MomentFinder
from depth_anything_ros.nodes.outputs import Style, outputs_of
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.status import (
    ERROR,
    EXPECTED_DROPS,
    OK,
    WARN,
    Said,
    Status,
    dropped_for,
)
from depth_anything_ros.nodes.transitions import Work
from depth_anything_ros.pipeline.image import RectifiedImage
from depth_anything_ros.pipeline.steadying import Moment

if TYPE_CHECKING:
    from depth_anything_ros.models import DepthEstimator
    from depth_anything_ros.pipeline.depth import DepthPipeline

# An image waits this long for a transform of tf2 that is late.
_TRANSFORM_WAIT_S = 0.1
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
_SERIOUS_DROPS = frozenset({"non_finite", "inference", "out_of_memory"})
_GIVES = {
    "relative": "this model gives disparity without scale: no depth in metres and no cloud",
    "affine_depth": "this model gives depth without scale: no depth in metres and no cloud",
}


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame that was decoded.

    Attributes:
        frame: as it came.
        image: what the network is given, and the grid that is published.
        T_rig_camera: float64 (4, 4); None where nobody asks.
        wanted: outputs of its camera that somebody subscribed to.
    """

    frame: Frame
    image: RectifiedImage
    T_rig_camera: NDArray[np.float64] | None
    wanted: set[str]


class _Found(NamedTuple):
    """What the model says of an image, or raised for it, and when and where that was taken."""

    estimate: Estimate | Exception | None
    moment: Moment | None


_NOT_ASKED = _Found(None, None)


class DepthNode(AnsweringNode[DepthParameters]):
    """Answer every image with depth, or say why not.

    One worker thread infers all images that wait, each the newest of its camera, and publishes, or
    leaves publishing to a second thread and goes on. An any-view model is given the images of
    several cameras that were taken together, and where the cameras are.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("depth_node", DepthParameters, "depth", **kwargs)
        self._model = ModelSlot(self._make_estimator, self.get_logger())
        self._moments = MomentFinder()
        model = self._model
        self._status = Status(
            self, "depth", lambda: self.streams, self._judged, model.facts, model.device
        )

    # Lifecycle ------------------------------------------------------------------------------

    def _camera_names(self) -> Sequence[str]:
        return self.parameters.cameras or ("",)

    def _wanted_model(self) -> tuple[dict[str, Any], int]:
        """Return the arguments of load_estimator, and how many cameras there are."""
        p, cameras = self.parameters, len(self._camera_names())
        given = {name: getattr(p, name) for name in _LOADING}
        return {**given, "compiles": p.compile, "together": cameras > 1}, cameras

    def _is_current(self) -> bool:
        names = [stream.name for stream in self.streams]
        return self._model.is_of(*self._wanted_model()) and names == list(self._camera_names())

    def _slow_part(self) -> Work:
        # What is asked for now: parameters may change while it loads, and activation sees that.
        return self._model.loading(*self._wanted_model())

    def _make_estimator(self, **arguments: Any) -> DepthEstimator:  # noqa: ANN401 - its own
        # Not at the top: torch takes seconds, in which the node should be there and stoppable.
        from depth_anything_ros.engines.loading import load_estimator

        return load_estimator(**arguments)

    def _load(self) -> Sequence[str] | None:
        pipeline = self._model.take(*self._wanted_model())
        if pipeline is None:
            return None
        self.get_logger().info(f"loaded {printable(pipeline.estimator.description)}")
        if pipeline.is_rig:
            self.get_logger().info("it answers all cameras together, in metres by their poses")
        elif pipeline.kind in _GIVES:
            self.get_logger().info(_GIVES[pipeline.kind])
        return outputs_of(pipeline.kind)

    def _unload(self) -> None:
        self._model.release()

    def _needs_transforms(self) -> bool:
        pipeline = self._model.pipeline
        is_rig = pipeline is not None and pipeline.is_rig
        return is_rig or self.parameters.steady.method == "motion"

    def _start(self) -> Answering:
        pipeline, p = self._model.pipeline, self.parameters
        assert pipeline is not None  # on_configure succeeded, or we would not be here
        pipeline.steadiers.clear()
        strategy = OneByOne()
        if pipeline.is_rig:
            strategy = SynchronisedRig(
                self.streams,
                lambda: self.parameters.sync.max_offset_s,
                lambda: self.parameters.diagnostics.input_timeout_s,
            )
        compressed = p.image_transport == "compressed"
        return Answering(
            partial(self._answer, pipeline, ImageReader(pipeline)),
            CompressedImage if compressed else Image,
            lambda stream: stream.resolved("image") + ("/compressed" if compressed else ""),
            strategy,
            p.overlap,
        )

    # From images to answers -----------------------------------------------------------------

    def _answer(
        self, pipeline: DepthPipeline, reader: ImageReader, frames: Sequence[Frame]
    ) -> None:
        """Answer the images of any cameras; called by the worker."""
        p = pipeline.options = self.parameters
        rig_frame = p.rig.frame or frames[0].header.frame_id
        seen = []
        for frame in frames:
            with frame.counted():
                image = reader.read(frame, p)
                pose = self._pose(frame, rig_frame) if pipeline.is_rig else None
                seen.append(_Seen(frame, image, pose, _wanted(frame.stream, p)))
        asked = [one for one in seen if one.wanted - {"depth/camera_info"}]
        poses = None
        if asked and pipeline.is_rig:
            asked = seen
            poses = [one.T_rig_camera for one in asked if one.T_rig_camera is not None]
        estimates = pipeline.predict([one.image for one in asked], poses)
        # Not before: meanwhile tf2 may have heard what it did not know yet.
        moments = [self._moments.find(one.frame, p.steady, self._transforms) for one in asked]
        found = dict(zip(asked, map(_Found, estimates, moments), strict=True))
        style = Style(p.depth.encoding, p.preview.colormap, p.compressed_depth)
        self.deliver(partial(_publish, pipeline, seen, found, style))

    def _pose(self, frame: Frame, rig_frame: str) -> NDArray[np.float64]:
        """Return where a camera was, float64 (4, 4), T_rig_camera.

        Raises:
            DepthAnythingError: with the reason ``no_transform``.
        """
        assert self._transforms is not None  # from activation until the worker has ended
        header = frame.header
        if header.frame_id == rig_frame:  # whether tf2 knows it or not
            return np.eye(4)
        try:
            return self._transforms.find(
                rig_frame, header.frame_id, header.stamp, _TRANSFORM_WAIT_S
            )
        except DepthAnythingError as error:
            frame.stream.problem = str(error)
            raise

    # Diagnostics ----------------------------------------------------------------------------

    def _judged(self, stream: CameraStream, health: Health) -> Said:
        """Return the level and the sentence that say how the node does by a camera."""
        if self._model.problem:
            return ERROR, self._model.problem
        ask = "is the camera running, the topic remapped?"
        level, text = self.state_of(stream, health, ask)
        if text:
            return level, text
        faults = {r: n for r, n in health.new_drops.items() if r not in EXPECTED_DROPS}
        if health.rate_hz or len(faults) > 1:  # faster than the others; or there is a worse one
            faults.pop("unsynchronised", None)
        if faults:
            said = dropped_for(stream, faults)
            if "unsynchronised" in faults:
                within = f"sync.max_offset_s ({self.parameters.sync.max_offset_s:g} s)"
                said = f"{said}; no other camera's stamps within {within}"
            return ERROR if faults.keys() & _SERIOUS_DROPS else WARN, said
        if shortage := self._model.shortage():
            return ERROR, shortage
        if not self.intake.strategy.is_wanted(stream):
            return OK, "idle: nobody subscribes to an output"
        unsteady = stream.steadiness.problem()
        said = "; ".join(filter(None, [stream.problem, *stream.doubts.values(), unsteady]))
        return (WARN, said) if said else (OK, f"depth at {health.rate_hz:.1f} Hz")


def _wanted(stream: CameraStream, p: DepthParameters) -> set[str]:
    """Return the outputs of a camera that somebody subscribes to and that there may be."""
    wanted, confidence = stream.outputs.wanted(), "confidence/image"
    if p.steady.method == "off" and confidence in wanted:
        wanted.remove(confidence)
        topic = stream.resolved(confidence)
        stream.say_once(confidence, f"nothing goes out on {topic} while steady.method is off")
    return wanted


def _publish(
    pipeline: DepthPipeline, seen: Sequence[_Seen], found: Mapping[_Seen, _Found], style: Style
) -> None:
    """Publish what was found; called by the worker, or by the thread that publishes."""
    for one in seen:
        with one.frame.counted():
            estimate, moment = found.get(one, _NOT_ASKED)
            if isinstance(estimate, Exception):
                raise estimate
            answer, times = pipeline.finish(one.image, estimate, moment), one.image.times
            stream = one.frame.stream
            stream.steadiness.add(pipeline.options.steady.method, answer.steadying)
            stream.outputs.publish(one.frame.header, answer, one.wanted, style, times)
            one.frame.answered(times)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(DepthNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
