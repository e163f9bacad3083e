"""From messages to what Rerun shows: entity path = topic, timeline = stamp, frames = tf2's."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import rerun as rr
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.core.camera_lookup import CameraLookup, frame_name
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import AffineDepthMap, DisparityMap
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, printable
from depth_anything_ros.core.image_decoding import ImageDecoder
from depth_anything_ros.core.poses import rigid_matrix
from depth_anything_ros.core.range_messages import (
    cloud_colours,
    decode_depth,
    decode_relative,
    points_of,
)
from depth_anything_ros.nodes.camera_stream import FIRST_CAMERA_INFO_S, stamp_of
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.nodes.image_reader import is_rectified_topic
from depth_anything_ros.nodes.rerun_layout import LATENCY, RATE, STATUS
from depth_anything_ros.nodes.view_parameters import ViewParameters
from depth_anything_ros.nodes.view_topics import ShownTopic

TIMELINE = "stamp"
_LEVELS = {
    DiagnosticStatus.OK: rr.TextLogLevel.INFO,
    DiagnosticStatus.WARN: rr.TextLogLevel.WARN,
    DiagnosticStatus.ERROR: rr.TextLogLevel.ERROR,
    DiagnosticStatus.STALE: rr.TextLogLevel.WARN,
}
# What is drawn over time of a status, by its keys.
_DRAWN = {"rate (Hz)": RATE, "latency p50 (ms)": LATENCY}
_RELATIVE = {kind.name: kind for kind in (DisparityMap, AffineDepthMap)}
_NUMBER = re.compile(r"\d+(\.\d+)?")
# Nobody looks at more; names may be made up without end.
_MOST_STATUSES = 200
_RANGE_RADIUS, _POINT_RADIUS = rr.Radius.ui_points(1.8), rr.Radius.ui_points(1.2)
# A frame without a name is none for Rerun.
_UNNAMED = "unnamed"


class RerunScene:
    """Show messages; a single thread does so, and others tell of cameras.

    Args:
        recording: to log to.
        parameters: returns those of the node now.
        extrinsics: asks tf2.
        warn: called with a cause and a sentence about what is not as it should be.

    Attributes:
        frame: that stands still in space; "" until a picture has come, where none was asked for.
        sizes: width and height of the pictures that have come, by entity.
    """

    def __init__(
        self,
        recording: rr.RecordingStream,
        parameters: Callable[[], ViewParameters],
        extrinsics: TransformExtrinsics,
        warn: Callable[[str, str], None],
    ) -> None:
        self._recording, self._parameters = recording, parameters
        self._extrinsics, self._warn = extrinsics, warn
        self.frame, self._picture_frame = parameters().fixed_frame, ""
        self.sizes: dict[str, tuple[int, int]] = {}
        self._cameras: dict[str, CameraLookup] = defaultdict(CameraLookup)
        self._lock = threading.Lock()
        self._waited: set[str] = set()
        self._decoders: dict[str, ImageDecoder] = defaultdict(ImageDecoder)
        # What was logged last and stays until it changes, by entity.
        self._standing: dict[str, object] = {}
        self._said: dict[str, tuple[bytes, str]] = {}

    def know_camera(self, topic: str, info: CameraInfo) -> None:
        """Take a CameraInfo, for the pictures that come after it."""
        self._camera(topic).update(info)

    def _camera(self, topic: str) -> CameraLookup:
        with self._lock:
            return self._cameras[topic]

    def show(self, entity: str, info_topic: str, shown: ShownTopic, message: Any) -> None:  # noqa: ANN401
        """Show a message.

        Args:
            entity: its topic's resolved name.
            info_topic: that of its camera.
            shown: how.
            message: of that type.

        Raises:
            DepthAnythingError: where it cannot be read.
        """
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(stamp_of(message), "ns"))
        if shown.how == "diagnostics":
            self._show_diagnostics(entity, message)
        elif shown.how in ("cloud", "ranges"):
            self._show_points(entity, shown.how == "ranges", message)
        else:
            self._show_image(entity, info_topic, shown.how, message)

    # Pictures -------------------------------------------------------------------------------

    def _show_image(
        self, entity: str, info_topic: str, how: str, message: Image | CompressedImage
    ) -> None:
        p = self._parameters()
        frame = frame_name(message.header.frame_id) or _UNNAMED
        image: rr.AsComponents
        if how == "depth":
            depth_m = decode_depth(message)
            shape, image = depth_m.shape, _depth_image(depth_m, p.max_range_m)
        else:
            rgb = self._rgb(entity, how, message)
            shape, image = rgb.shape, rr.Image(rgb).compress(p.jpeg_quality)
        self._place_camera(entity, info_topic, frame, shape)
        self._recording.log(entity, image)
        self._locate(frame, message)

    def _rgb(self, entity: str, how: str, message: Image | CompressedImage) -> NDArray[np.uint8]:
        if how == "picture":
            return self._decoders[entity].decode(message)
        return colorize(_RELATIVE[how](decode_relative(message)).nearness())

    def _place_camera(
        self, entity: str, info_topic: str, frame: str, shape: tuple[int, ...]
    ) -> None:
        """Say by which pinhole an image is seen; its plane is a frame of its own."""
        plane = f"{info_topic} of {frame}"
        self._log_if_new(entity, rr.CoordinateFrame(plane), plane)
        self._picture_frame = self._picture_frame or frame
        self.frame = self.frame or frame
        height, width = shape[:2]
        self.sizes[entity] = (width, height)
        lookup = self._camera(info_topic)
        if info_topic not in self._waited:
            self._waited.add(info_topic)
            lookup.wait_for_first(FIRST_CAMERA_INFO_S)
        is_rectified = is_rectified_topic(entity)
        try:
            camera = lookup.match(frame, width, height, True, is_rectified).camera
        except CameraError as error:
            self._warn(f"{error.reason} {entity}", f"{info_topic}: {error}; {entity} has no place")
            return
        K = (camera.rectified() if is_rectified else camera).K
        pinhole = rr.Pinhole(
            image_from_camera=np.reshape(K, (3, 3)),
            resolution=(width, height),
            camera_xyz=rr.ViewCoordinates.RDF,
            parent_frame=frame,
            child_frame=plane,
        )
        self._log_if_new(info_topic, pinhole, (K, width, height, plane))

    # Points ---------------------------------------------------------------------------------

    def _show_points(self, entity: str, are_ranges: bool, message: Any) -> None:  # noqa: ANN401
        p = self._parameters()
        points = points_of(message)
        chosen = np.flatnonzero(np.isfinite(points).all(axis=1))
        if len(chosen) > p.max_points:
            chosen = chosen[np.linspace(0, len(chosen) - 1, p.max_points).astype(np.int64)]
        points = points[chosen].astype(np.float32)
        colours = None if are_ranges else cloud_colours(message)
        if colours is None:
            distances = np.linalg.norm(points, axis=1).astype(np.float32)
            painted = colorize(distances[None], "turbo", (0.0, p.max_range_m))[0]
        else:
            painted = colours[chosen]
        frame = frame_name(message.header.frame_id) or _UNNAMED
        self._log_if_new(entity, rr.CoordinateFrame(frame), frame)
        radii = _RANGE_RADIUS if are_ranges else _POINT_RADIUS
        self._recording.log(entity, rr.Points3D(points, colors=painted, radii=radii))
        self._locate(frame, message, are_ranges)

    # Places ---------------------------------------------------------------------------------

    def _locate(self, frame: str, message: Any, is_sensor: bool = False) -> None:  # noqa: ANN401
        """Say where a frame was at the stamp of a message."""
        p = self._parameters()
        is_given = is_sensor and p.extrinsics.source == "parameters"
        parent = self._picture_frame if is_given else self.frame
        if frame == parent or not parent:
            return
        try:
            if is_given:
                matrix = rigid_matrix(p.extrinsics.translation_m, p.extrinsics.rotation_xyzw)
            else:
                stamp, wait_s = message.header.stamp, p.extrinsics.timeout_s
                instead = ", or set extrinsics.source or fixed_frame"
                matrix = self._extrinsics.find(parent, frame, stamp, wait_s, instead)
        except DepthAnythingError as error:
            self._warn(f"{error.reason} {frame}", str(error))
            return
        transform = rr.Transform3D(
            translation=matrix[:3, 3],
            mat3x3=matrix[:3, :3],
            parent_frame=parent,
            child_frame=frame,
        )
        self._recording.log(rr.new_entity_path(["tf", frame]), transform)

    def _log_if_new(self, entity: str, what: rr.AsComponents, key: object) -> None:
        """Log what holds at any time; it is never dropped from a viewer's memory."""
        if self._standing.get(entity) != key:
            self._standing[entity] = key
            self._recording.log(entity, what, static=True)

    # Diagnostics ----------------------------------------------------------------------------

    def _show_diagnostics(self, entity: str, message: DiagnosticArray) -> None:
        for status in message.status:
            name = printable(status.name, 200)
            if name not in self._said and len(self._said) >= _MOST_STATUSES:
                continue

            def path(kind: str, name: str = name) -> str:
                return entity + rr.new_entity_path([kind, name])

            text = printable(status.message, 500)
            said = status.level, _NUMBER.sub("#", text)
            if self._said.get(name) != said:
                self._said[name] = said
                level = _LEVELS.get(status.level, rr.TextLogLevel.ERROR)
                said_now = rr.TextLog(f"{name}: {text or 'OK'}", level=level)
                self._recording.log(path(STATUS), said_now)
            for pair in status.values:
                if pair.key in _DRAWN and _NUMBER.fullmatch(pair.value):
                    drawn = path(_DRAWN[pair.key])
                    line = rr.SeriesLines(names=name.rpartition("/")[2].partition(":")[0])
                    self._log_if_new(drawn, line, name)
                    self._recording.log(drawn, rr.Scalars(float(pair.value)))


def _depth_image(depth_m: NDArray[np.float32], max_range_m: float) -> rr.DepthImage:
    """Return metres for Rerun: what is unknown becomes its 0; +Inf is drawn as far, in no cloud."""
    known = np.nan_to_num(depth_m, nan=0.0, posinf=np.inf)
    return rr.DepthImage(known, meter=1.0, colormap="turbo", depth_range=(0.0, max_range_m))
