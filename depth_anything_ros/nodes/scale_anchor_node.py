"""scale_anchor_node: disparity and a few ranges in, depth in metres and clouds out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.camera_lookup import frame_name
from depth_anything_ros.core.depth import ESTIMATES, Kind
from depth_anything_ros.core.errors import DepthAnythingError, quoted
from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.core.range_messages import (
    check_size,
    decode_depth,
    decode_relative,
    sparse_depth_points,
)
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.answering_node import Answering, AnsweringNode, autostart
from depth_anything_ros.nodes.camera_stream import CameraStream, Frame
from depth_anything_ros.nodes.health import Health
from depth_anything_ros.nodes.moments import MomentFinder
from depth_anything_ros.nodes.mount import find_mount
from depth_anything_ros.nodes.outputs import Style
from depth_anything_ros.nodes.range_inputs import RangeInputs, RangeMessage
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters
from depth_anything_ros.nodes.status import (
    EXPECTED_DROPS,
    OK,
    WARN,
    Said,
    Status,
)
from depth_anything_ros.pipeline.anchor import NO_POINTS, AnchorPipeline, AnchorReport
from depth_anything_ros.pipeline.ground import CameraMount
from depth_anything_ros.pipeline.steadying import Moment

OUTPUTS = (
    "depth/image_rect",
    "confidence/image",
    "depth/camera_info",
    "points",
    "depth/image_rect/compressedDepth",
)


class PredictionInput(NamedTuple):
    """What may be anchored: the topic, the kind of model that gives it, and what reads it."""

    topic: str
    kind: Kind
    model: str
    decode: Callable[[Image], NDArray[np.float32]]


# By the parameter input.
INPUTS = {
    "disparity": PredictionInput(
        "disparity/image_rect", "relative", "a relative model", decode_relative
    ),
    "affine_depth": PredictionInput(
        "affine_depth/image_rect", "affine_depth", "a model of affine depth", decode_relative
    ),
    "depth": PredictionInput("depth", "metric", "a metric model", decode_depth),
}
# Drops of images without a fit, which the state explains, and of those that are no fault.
_EXPLAINED_DROPS = EXPECTED_DROPS | {"no_ranges", "no_transform", "bad_ranges", "no_fit"}


class ScaleAnchorNode(AnsweringNode[ScaleAnchorParameters]):
    """Find the scale and shift of every prediction by the ranges of its time, or say why not.

    The subscriptions only keep what comes; one worker thread pairs, fits and publishes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("scale_anchor_node", ScaleAnchorParameters, "anchoring", **kwargs)
        self._ranges: RangeInputs | None = None
        self._moments = MomentFinder()
        self._report: AnchorReport | None = None
        self._unused = ""
        self._status = Status(self, "anchoring", lambda: self.streams, self._judged, self._facts)

    # Lifecycle ------------------------------------------------------------------------------

    def _load(self) -> Sequence[str]:
        return OUTPUTS

    def _needs_transforms(self) -> bool:
        p = self.parameters
        by_ground = p.ground.use != "off" and not p.ground.camera_height_m
        return p.extrinsics.source == "tf" or by_ground or p.steady.method == "motion"

    def _start(self) -> Answering:
        p, source = self.parameters, INPUTS[self.parameters.input]
        self._ranges = RangeInputs(self, p.sync, self._on_range_jump)
        answer = partial(self._answer, AnchorPipeline(p), source)
        return Answering(answer, Image, lambda stream: stream.resolved(source.topic))

    def _stop(self) -> None:
        if self._ranges is not None:
            self._ranges.destroy()
            self._ranges = None
        self._report, self._unused = None, ""

    def _on_range_jump(self, topic: str, stamp_ns: int) -> None:
        """Start anew where ranges are back before the images are; else these came first."""
        if any(self.intake.is_jump(stream.late_ns(stamp_ns)) for stream in self.streams):
            self.intake.restart_time(f"the stamps on {topic}")

    def _restart(self, streams: Sequence[CameraStream] | None) -> None:
        super()._restart(streams)
        # Where only images have jumped: one odd stamp, or the ranges will tell by their own.
        if self._ranges is not None and streams is None:
            self._ranges.forget()

    # From predictions to depth in metres ----------------------------------------------------

    def _answer(
        self, pipeline: AnchorPipeline, source: PredictionInput, frames: Sequence[Frame]
    ) -> None:
        """Anchor predictions one by one; called by the worker."""
        for frame in frames:
            with frame.counted():
                self._anchor(pipeline, source, frame)
                frame.answered()

    def _anchor(self, pipeline: AnchorPipeline, source: PredictionInput, frame: Frame) -> None:
        p = pipeline.options = self.parameters
        wanted = frame.stream.outputs.wanted()
        check_size(frame.message, p.sync.max_points)
        values = source.decode(frame.message)
        camera = frame.stream.camera_of_depth(frame, not p.camera.check_frame_id)
        points, problem = self._points(frame, camera, p)
        prediction = ESTIMATES[source.kind](values, camera)
        mount, moment = self._mount(frame, p), Moment(frame.stamp_ns, frame.epoch)
        if wanted:
            moment = self._moments.find(frame, p.steady, self._transforms) or moment
        answer, report = pipeline.anchor(prediction, points, moment, mount)
        if problem is not None and not report.used:
            report = replace(report, reason=str(problem))
        self._report, self._unused = report, str(problem or "")
        if answer is None:
            reason = problem.reason if problem is not None else "no_fit"
            raise DepthAnythingError(report.reason, reason)
        frame.stream.steadiness.add(p.steady.method, answer.steadying)
        style = Style(p.depth.encoding, compressed=p.compressed_depth)
        frame.stream.outputs.publish(frame.header, answer, wanted, style, StageTimes())

    def _points(
        self, frame: Frame, camera: Camera, p: ScaleAnchorParameters
    ) -> tuple[NDArray[np.floating], DepthAnythingError | None]:
        """Return the points (N, 3) of an image's time in its frame, and what kept others out."""
        assert self._ranges is not None  # from activation until the worker has ended
        problem = None
        parts: list[NDArray[np.floating]] = [NO_POINTS]
        found = self._ranges.at(frame.stamp_ns, p.sync.max_offset_s, p.sync.wait_s)
        if not found:
            problem = DepthAnythingError(self._ranges.why_none(frame.stamp_ns), "no_ranges")
        for ranges in found:
            try:
                parts.append(self._in_camera(ranges, frame.header, camera, p))
            except DepthAnythingError as error:
                topic = self.resolve_topic_name(ranges.topic)
                late = error.reason == "no_transform"
                problem = DepthAnythingError(
                    f"{topic}: {error}", error.reason if late else "bad_ranges"
                )
                cause = f"{problem.reason} of {ranges.topic}"  # each topic has faults of its own
                frame.stream.say_fault(cause, f"ranges not used: {problem}")
        return np.concatenate(parts), problem

    def _in_camera(
        self, ranges: RangeMessage, header: Header, camera: Camera, p: ScaleAnchorParameters
    ) -> NDArray[np.floating]:
        """Return the points (N, 3) of a message in the frame of the picture, at its stamp."""
        if ranges.topic == "sparse_depth":
            if p.camera.check_frame_id:
                _check_frame(ranges.frame_id, header.frame_id)
            return sparse_depth_points(ranges.readable(), camera, ranges.max_points)
        e = p.extrinsics
        if e.source == "parameters":
            matrix = rigid_matrix(e.translation_m, e.rotation_xyzw)
        else:
            assert self._transforms is not None  # from activation until the worker has ended
            matrix = self._transforms.find(
                header.frame_id,
                ranges.frame_id,
                header.stamp,
                e.timeout_s,
                ", or set extrinsics.source to parameters",
            )
        return transformed(ranges.points, matrix)

    def _mount(self, frame: Frame, p: ScaleAnchorParameters) -> CameraMount | None:
        """Return where the camera is on the robot, where the ground is to anchor."""
        if p.ground.use == "off":
            return None
        try:
            return find_mount(p.ground, self._transforms, frame.header, p.extrinsics.timeout_s)
        except DepthAnythingError as error:
            frame.stream.say_fault("no_transform of the ground", f"the ground anchors not: {error}")
            return None

    # Diagnostics ----------------------------------------------------------------------------

    def _facts(self) -> dict[str, str]:
        report = self._report or AnchorReport("waiting", "no picture yet")
        return {**report.values(), "ranges not used": self._unused}

    def _judged(self, stream: CameraStream, health: Health) -> Said:
        """Return the level and the sentence that say how the node does by a camera."""
        p, report = self.parameters, self._report
        ask = f"is depth_node running, with {INPUTS[p.input].model}, the topic remapped?"
        level, text = self.faults_of(stream, health, ask, _EXPLAINED_DROPS)
        if text:
            return level, text
        if report is None:
            return OK, "the first picture is on its way"
        unsteady = stream.steadiness.problem()
        if stream.problem or unsteady:
            return WARN, stream.problem or unsteady
        if report.status == "anchored":
            return OK, f"anchored by {report.used} points at {health.rate_hz:.1f} Hz"
        said = f"{report.status}: {report.reason}"
        if report.ground.startswith("not used"):
            said += f"; ground {report.ground}"
        if report.status == "waiting":
            return WARN, f"no depth goes out, {said}"
        return WARN if report.status == "degraded" else OK, said


def _check_frame(sparse: str, picture: str) -> None:
    one, other = frame_name(sparse), frame_name(picture)
    if one != other and one and other:  # without a name it contradicts nothing
        raise DepthAnythingError(
            f"sparse depth in the frame {quoted(sparse)} is not of the picture's frame "
            f"{quoted(picture)}: register it to the camera, or set camera.check_frame_id to false"
        )


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(ScaleAnchorNode, args, start=autostart)


if __name__ == "__main__":
    raise SystemExit(main())
