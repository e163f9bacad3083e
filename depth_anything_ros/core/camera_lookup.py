"""Find the camera that belongs to a picture among the CameraInfo messages that came."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.camera import Camera, same_aspect
from depth_anything_ros.core.errors import CameraError, quoted
from depth_anything_ros.core.sensor import Sensor

# Different cameras or sizes on one topic are a mistake or a switch: a few are plenty.
_KEPT = 8
_Size = tuple[int, int]
# A picture's frame and size, or of which frame a CameraInfo is and for which size.
_Key = tuple[str, int, int]


@dataclass(frozen=True)
class Remark:
    """What is odd about a camera that is used all the same.

    Attributes:
        cause: a short stable word.
        text: a sentence, with what to do.
        is_doubt: depth may be wrong by it, so that diagnostics warn as long as it lasts.
    """

    cause: str
    text: str
    is_doubt: bool = False


@dataclass(frozen=True)
class Match:
    """The camera of a picture, at its size, and what is odd about it."""

    camera: Camera
    remarks: tuple[Remark, ...] = ()


class CameraLookup:
    """Keep the newest CameraInfo of each frame_id and size, and answer with the one that fits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._any_came = threading.Event()

    def update(self, info: Any) -> None:  # noqa: ANN401 - any object with its fields
        """Take a CameraInfo; one that makes no camera is kept as the reason why."""
        known = _known(info)
        key = (frame_name(info.header.frame_id), *known.sizes[0])
        with self._lock:
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._any_came.set()

    def wait_for_first(self, timeout_s: float) -> None:
        """Wait until any CameraInfo has come, or the time is over."""
        self._any_came.wait(timeout_s)

    def match(
        self,
        frame_id: str,
        width: int,
        height: int,
        any_frame: bool = False,
        is_rectified: bool = False,
    ) -> Match:
        """Find the camera of a picture.

        A CameraInfo of the picture's frame_id comes first. One without contradicts nothing, nor
        does any where the picture has none.

        Args:
            frame_id: of the picture.
            width: of the picture, in pixels.
            height: of the picture, in pixels.
            any_frame: take a CameraInfo of another frame_id where none is of the picture's.
            is_rectified: P is the picture's camera, so that a lens of an unknown model is none.

        Raises:
            CameraError: where there is none; the reason is ``no_camera_info``,
                ``camera_frame_id``, ``camera_size`` or what the matching CameraInfo lacks.
        """
        with self._lock:
            known = list(reversed(self._known.items()))
        if not known:
            raise CameraError("no CameraInfo has come yet", reason="no_camera_info")
        candidates, remark = _of_frame(known, frame_name(frame_id), any_frame)
        for candidate in candidates:
            match = candidate.match(width, height, is_rectified)
            if match is not None:
                return Match(match.camera, (*((remark,) if remark else ()), *match.remarks))
        sizes = ", ".join("{}x{}".format(*candidate.sizes[0]) for candidate in candidates)
        raise CameraError(
            f"the picture is {width}x{height} and CameraInfo is for {sizes}, of another aspect",
            reason="camera_size",
        )

    def clear(self) -> None:
        """Forget every CameraInfo."""
        with self._lock:
            self._known.clear()
        self._any_came.clear()


@dataclass(frozen=True)
class _Known:
    """A CameraInfo.

    Attributes:
        sizes: of the picture that it means, and of its sensor.
        sensor: what it says, or why that is no camera.
        remarks: what is odd whatever the picture.
        rectified: what it says of rectified pictures, where it is only the lens that is not known.
    """

    sizes: tuple[_Size, ...]
    sensor: Sensor | CameraError
    remarks: tuple[Remark, ...] = ()
    rectified: _Known | None = None

    def match(self, width: int, height: int, is_rectified: bool) -> Match | None:
        """Return the camera of a picture of this size; None where it cannot be.

        Raises:
            CameraError: where it could, if it were a camera.
        """
        if is_rectified and self.rectified is not None:
            return self.rectified.match(width, height, is_rectified)
        if isinstance(self.sensor, CameraError):
            sized = [size for size in self.sizes if all(size)]
            if sized and not any(same_aspect(size, (width, height)) for size in sized):
                return None
            raise self.sensor.anew()
        shown = self.sensor.camera_of(width, height)
        if shown is None:
            return None
        cause = "roi" if shown.is_sure else "roi_unsure"
        remark = Remark(cause, shown.remark, is_doubt=not shown.is_sure)
        return Match(shown.camera, (*((remark,) if shown.remark else ()), *self.remarks))


def frame_name(frame_id: str) -> str:
    """Return a frame_id without the slash of ROS 1, which tf2 leaves out, too."""
    return frame_id.removeprefix("/")


def _known(info: Any, has_lens: bool = True) -> _Known:  # noqa: ANN401
    try:
        sensor = Sensor.from_info(info, has_lens)
    except CameraError as error:
        rectified = _known(info, False) if error.reason == "distortion_model" else None
        sizes = (_picture_size(info), (info.width, info.height))
        return _Known(sizes, error, rectified=rectified)
    own = sensor.own
    return _Known(((own.width, own.height),), sensor, _doubts(sensor.full))


def _doubts(camera: Camera) -> tuple[Remark, ...]:
    """Say what of K, and of P where that is another camera, no camera has."""
    rectified = camera.rectified()
    named = [("K", camera), ("P", rectified)] if rectified.K != camera.K else [("K", camera)]
    said = [(name, one.doubts()) for name, one in named]
    told = "; ".join(f"by {name}, {doubts}" for name, doubts in said if doubts)
    if not told:
        return ()
    text = (
        f"this is hardly a camera: {told}; depth and clouds may be wrong by as much: are K and P "
        "in pixels, and of pictures of CameraInfo's width and height?"
    )
    return (Remark("implausible_camera", text, is_doubt=True),)


def _of_frame(
    known: Iterable[tuple[_Key, _Known]], frame_id: str, any_frame: bool
) -> tuple[list[_Known], Remark | None]:
    """Return what may be of a picture's frame, the newest first, and what is odd about that.

    Raises:
        CameraError: (``camera_frame_id``) where nothing is.
    """
    by_frame: dict[str, list[_Known]] = {}
    for (frame, *_), one in known:
        by_frame.setdefault(frame, []).append(one)
    if frame_id in by_frame:
        return by_frame[frame_id], None
    others = [one for of_frame in by_frame.values() for one in of_frame]
    frames = ", ".join(sorted(map(quoted, by_frame)))
    if not frame_id:
        text = f"the picture has no frame_id, and CameraInfo's is {frames}: it is taken for its own"
        return others, Remark("frame_id_taken", f"{text}; set the frame_id in the driver")
    if "" in by_frame:
        text = f"CameraInfo has no frame_id: it is taken to be the picture's, {quoted(frame_id)}"
        return by_frame[""], Remark("frame_id_taken", f"{text}; set the frame_id in the driver")
    differs = f"the picture's frame_id is {quoted(frame_id)} and CameraInfo's is {frames}"
    if any_frame:
        return others, Remark("frame_id_taken", f"{differs}: taken for one, as asked")
    raise CameraError(
        f"{differs}; give both the same in the driver, or set camera.check_frame_id to false",
        reason="camera_frame_id",
    )


def _picture_size(info: Any) -> _Size:  # noqa: ANN401
    """Return the size of the pictures of a CameraInfo that makes no camera."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)
