"""Find the camera that belongs to a picture among the CameraInfo messages that came."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sensor_msgs.msg import CameraInfo

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.errors import CameraError

# Different cameras or sizes on one topic are a mistake or a switch: a few are plenty.
_KEPT = 8


class CameraLookup:
    """Keep the newest CameraInfo of each frame_id and size, and answer with the one that fits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int, int], Camera | CameraError] = OrderedDict()
        self._any_came = threading.Event()

    def update(self, info: CameraInfo) -> None:
        """Take a CameraInfo; one that makes no camera is kept as the reason why."""
        found: Camera | CameraError
        try:
            found = Camera.from_info(info)
            key = (found.frame_id, found.width, found.height)
        except CameraError as error:
            found, key = error.anew(), (info.header.frame_id, *_picture_size(info))
        with self._lock:
            self._known[key] = found
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._any_came.set()

    def wait_for_first(self, timeout_s: float) -> None:
        """Wait until any CameraInfo has come, or the time is over."""
        self._any_came.wait(timeout_s)

    def find(self, frame_id: str, width: int, height: int) -> Camera:
        """Return the camera of a picture, scaled to its size.

        Raises:
            CameraError: where there is none; the reason is ``no_camera_info``,
                ``camera_frame_id``, ``camera_size`` or what the matching CameraInfo lacks.
        """
        with self._lock:
            known = list(reversed(self._known.items()))
        if not known:
            raise CameraError("no CameraInfo has come yet", reason="no_camera_info")
        same_frame = [(key, camera) for key, camera in known if key[0] == frame_id]
        if not same_frame:
            frames = ", ".join(sorted({repr(key[0]) for key, _ in known}))
            raise CameraError(
                f"the picture's frame_id is {frame_id!r} and CameraInfo's is {frames}",
                reason="camera_frame_id",
            )
        for (_, info_width, info_height), camera in same_frame:
            sized = info_width > 0 and info_height > 0
            if sized and not same_aspect((info_width, info_height), (width, height)):
                continue
            if isinstance(camera, CameraError):
                raise camera.anew()
            return camera.scaled(width, height)
        sizes = ", ".join(f"{key[1]}x{key[2]}" for key, _ in same_frame)
        raise CameraError(
            f"the picture is {width}x{height} and CameraInfo is for {sizes}, of another aspect",
            reason="camera_size",
        )

    def clear(self) -> None:
        """Forget every CameraInfo."""
        with self._lock:
            self._known.clear()
        self._any_came.clear()


def _picture_size(info: CameraInfo) -> tuple[int, int]:
    """Return the size of the pictures of a CameraInfo that makes no camera."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)
