"""scale_anchor_node: disparity and a few ranges in, depth in metres and clouds out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, quoted
from depth_anything_ros.core.projection import transformed
from depth_anything_ros.nodes.anchor_pipeline import (
    NO_POINTS,
    AnchorPipeline,
    AnchorReport,
    report_values,
)
from depth_anything_ros.nodes.answering_node import (
    EXPECTED_DROPS,
    SUCCESS,
    Answer,
    AnsweringNode,
    autostart,
    dropped_for,
)
from depth_anything_ros.nodes.camera_lookup import frame_name
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics, rigid_matrix
from depth_anything_ros.nodes.health import ERROR, OK, WARN, Health
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    cloud_message,
    depth_message,
    image_message,
)
from depth_anything_ros.nodes.picture_stream import Frame, PictureStream, stamp_of
from depth_anything_ros.nodes.range_inputs import RangeInputs, RangeMessage
from depth_anything_ros.nodes.range_messages import (
    check_size,
    decode_depth,
    decode_relative,
    sparse_depth_points,
)
from depth_anything_ros.nodes.running import run_node
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters

OUTPUTS: dict[str, type] = {
    "depth/image_rect": Image,
    "depth/camera_info": CameraInfo,
    "points": PointCloud2,
    "confidence/image": Image,
}
# The topic of the pictures, by the parameter input.
INPUTS = {
    "disparity": "disparity/image_rect",
    "affine_depth": "affine_depth/image_rect",
    "depth": "depth",
}
# The model that gives such pictures.
MODELS = {
    "disparity": "a relative model",
    "affine_depth": "a model of affine depth",
    "depth": "a metric model",
}
# Drops of pictures without a fit, which the state explains.
WAITING_DROPS = frozenset({"no_ranges", "no_transform", "bad_ranges", "no_fit"})


class ScaleAnchorNode(AnsweringNode[ScaleAnchorParameters]):
    """Find the scale and shift of every picture by the ranges of its time, or say why not.

    The subscriptions only keep what comes; one worker thread pairs, fits and publishes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - rclpy's own arguments
        super().__init__("scale_anchor_node", ScaleAnchorParameters, "anchoring", **kwargs)
        self._ranges: RangeInputs | None = None
        self._transforms: TransformExtrinsics | None = None
        self._report: AnchorReport | None = None
        self._unused = ""

    # Lifecycle ------------------------------------------------------------------------------

    def _load(self) -> TransitionCallbackReturn:
        self._unload()
        self._make_outputs(OUTPUTS)
        return SUCCESS

    def _image_source(self, stream: PictureStream) -> tuple[type, str]:
        return Image, stream.resolved(INPUTS[self.parameters.input])

    def _max_late_s(self) -> float:
        return self.parameters.sync.max_late_s

    def _subscribe(self) -> None:
        p = self.parameters
        if p.extrinsics.source == "tf":
            self._transforms = TransformExtrinsics(self)
        self._ranges = RangeInputs(self, p.sync, self._on_range_jump)

    def _unsubscribe(self) -> None:
        for part in (self._ranges, self._transforms):
            if part is not None:
                part.destroy()
        self._ranges = self._transforms = None
        self._report, self._unused = None, ""

    def _on_range_jump(self, topic: str, stamp_ns: int) -> None:
        """Start anew where ranges are back before the pictures are; else these came first."""
        if any(self._is_jump(stream.late_ns(stamp_ns)) for stream in self._streams):
            self._restart_time(f"the stamps on {topic}")

    def _forget(self, streams: Sequence[PictureStream] | None) -> None:
        if self._transforms is not None:
            self._transforms.forget()
        # Where only pictures have jumped: one odd stamp, or the ranges will tell by their own.
        if self._ranges is not None and streams is None:
            self._ranges.forget()

    # Worker ---------------------------------------------------------------------------------

    def _prepare(self) -> Answer:
        pipeline = AnchorPipeline(self.parameters.input)  # type: ignore[arg-type]  # its choices
        return partial(self._answer_each, partial(self._answer, pipeline))

    def _answer(self, pipeline: AnchorPipeline, frame: Frame) -> None:
        p, stream, message = self.parameters, frame.stream, frame.message
        wanted = stream.wanted()
        check_size(message, p.sync.max_points)
        decode = decode_depth if p.input == "depth" else decode_relative
        prediction = decode(message)
        camera = self._camera(stream, message)
        points, problem = self._points(stream, message, camera, p)
        stamp_ns = stamp_of(message)
        result, report = pipeline.anchor(prediction, camera, points, stamp_ns, frame.epoch, p)
        if problem is not None and not report.used:
            report = replace(report, reason=str(problem))
        self._report, self._unused = report, str(problem or "")
        if result is None:
            reason = problem.reason if problem is not None else "no_fit"
            raise DepthAnythingError(report.reason, reason)
        depth = DepthMap(result.depth_m, camera).limited(p.range.min_m, p.range.max_m)
        self._publish(stream, message.header, depth, result.confidence, wanted)
        if "points" in wanted:
            cloud = pipeline.cloud(depth, camera, p.cloud)
            stream.outputs["points"].publish(cloud_message(message.header, cloud))

    def _camera(self, stream: PictureStream, message: Image) -> Camera:
        any_frame = not self.parameters.camera.check_frame_id
        frame_id, size = message.header.frame_id, (message.width, message.height)
        try:
            # As it came: by K and D, whatever P and R would make of it.
            return stream.camera_of(frame_id, *size, any_frame).as_taken()
        except CameraError as error:
            topic = stream.resolved("camera_info")
            raise CameraError(f"{topic}: {error}", error.reason) from error

    def _points(
        self, stream: PictureStream, message: Image, camera: Camera, p: ScaleAnchorParameters
    ) -> tuple[NDArray[np.floating], DepthAnythingError | None]:
        """Return the points (N, 3) of a picture's time in its frame, and what kept others out."""
        assert self._ranges is not None  # from activation until the worker has ended
        stamp_ns, problem = stamp_of(message), None
        parts: list[NDArray[np.floating]] = [NO_POINTS]
        found = self._ranges.at(stamp_ns, p.sync.max_offset_s, p.sync.wait_s)
        if not found:
            problem = DepthAnythingError(self._ranges.why_none(stamp_ns), "no_ranges")
        for ranges in found:
            try:
                parts.append(self._in_camera(ranges, message.header, camera, p))
            except DepthAnythingError as error:
                topic = self.resolve_topic_name(ranges.topic)
                late = error.reason == "no_transform"
                problem = DepthAnythingError(
                    f"{topic}: {error}", error.reason if late else "bad_ranges"
                )
                cause = f"{problem.reason} of {ranges.topic}"  # each topic has faults of its own
                stream.say_fault(cause, f"ranges not used: {problem}")
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
        if self._transforms is None:
            matrix = rigid_matrix(e.translation_m, e.rotation_xyzw)
        else:
            matrix = self._transforms.find(
                header.frame_id, ranges.frame_id, header.stamp, e.timeout_s
            )
        return transformed(ranges.points, matrix)

    def _publish(
        self,
        stream: PictureStream,
        header: Header,
        depth: DepthMap,
        confidence: NDArray[np.float32],
        wanted: set[str],
    ) -> None:
        outputs = stream.outputs
        if "depth/image_rect" in wanted:
            image = depth_message(header, depth, self.parameters.depth.encoding)
            outputs["depth/image_rect"].publish(image)
        if "confidence/image" in wanted:
            outputs["confidence/image"].publish(image_message(header, confidence, "32FC1"))
        if "depth/camera_info" in wanted:
            size = (depth.depth_m.shape[1], depth.depth_m.shape[0])
            info = camera_info_message(header, depth.camera, size)
            outputs["depth/camera_info"].publish(info)

    # Diagnostics ----------------------------------------------------------------------------

    def _look_around(self) -> None:
        super()._look_around()
        if self._ranges is not None:
            self._ranges.adapt()

    def _facts(self) -> dict[str, str]:
        report = self._report or AnchorReport("waiting", "no picture yet")
        return {**report_values(report), "ranges not used": self._unused}

    def _judge(self, stream: PictureStream, health: Health) -> tuple[bytes, str]:
        p, report = self.parameters, self._report
        ask = f"is depth_node running, with {MODELS[p.input]}, the topic remapped?"
        level, text = self._judge_running(stream, health, p.diagnostics.input_timeout_s, ask)
        if text:
            return level, text
        explained = EXPECTED_DROPS | WAITING_DROPS
        faults = {r: n for r, n in health.new_drops.items() if r not in explained}
        if faults:
            return ERROR if "inference" in faults else WARN, dropped_for(stream, faults)
        if not stream.wanted():
            return OK, "idle: nobody subscribes to an output"
        if report is None:
            return OK, "the first picture is on its way"
        if stream.problem:
            return WARN, stream.problem
        if report.status == "anchored":
            return OK, f"anchored by {report.used} points at {health.rate_hz:.1f} Hz"
        said = f"{report.status}: {report.reason}"
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
