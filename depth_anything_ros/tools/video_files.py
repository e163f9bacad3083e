"""Video files by PyAV, of the extra ``video``: frames with their exact times, in and out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import DepthAnythingError, ImageError, SourceError, first_line
from depth_anything_ros.core.files import is_utf8
from depth_anything_ros.core.orientation import upright
from depth_anything_ros.core.picture_files import MAX_FILE_MEGAPIXELS, check_size
from depth_anything_ros.core.programs import how_to_install

_LOG = logging.getLogger(__name__)
# The orientation, as of EXIF, of frames that are to be turned by so many degrees to the left.
_ORIENTATIONS = {0: 1, 90: 8, 180: 3, 270: 6}
_SLOWEST = Fraction(25)  # frames a second, where a file says nothing of its rate
# x264 makes other bytes with other numbers of threads: so they are the same on every machine.
_THREADS = 4
_QUALITY = {"crf": "18", "preset": "medium"}
_PLAYED_AT_ONCE = {"movflags": "faststart"}  # while a browser still loads it
_BT709, _LIMITED_RANGE = 1, 1


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise DepthAnythingError(f"videos need PyAV; run: {how_to_install('video')}") from error
    module: ModuleType = av
    return module


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame of a video, which is decoded and not converted yet.

    Attributes:
        index: from 0.
        stamp: its time since the first frame, in units of the video's ``time_base``.
        duration: how long it is shown, in the same; 0 where the file does not say.
    """

    index: int
    stamp: int
    duration: int
    _decoded: Any
    _orientation: int

    def rgb(self) -> NDArray[np.uint8]:
        """Return the pixels as they stand upright, uint8 (height, width, 3)."""
        pixels = self._decoded.to_ndarray(format="rgb24")
        return np.asarray(upright(pixels, self._orientation), np.uint8)


class VideoFile:
    """The frames of a video file; each iteration starts from the first.

    Args:
        path: of the file.

    Attributes:
        width: as stored, pixels.
        height: likewise.
        orientation: that the container asks to be shown in, as of EXIF.
        time_base: of the stamps, seconds.
        rate: frames a second, in the mean.
        count: of the frames, as the file says or its packets tell.

    Raises:
        SourceError: where it cannot be read, or is no video.
        DepthAnythingError: where PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = _av()
        if not is_utf8(path):
            raise SourceError(f"cannot read the video {path}: its name is no UTF-8; rename it")
        first = next(iter(self._decoded()), None)
        if first is None:
            raise SourceError(f"cannot read the video {path}: no frame of it can be decoded")
        self.width, self.height = first.width, first.height
        try:
            check_size(self.width, self.height, MAX_FILE_MEGAPIXELS)
        except ImageError as error:
            raise SourceError(f"{path}: {error}") from error
        self.orientation = _ORIENTATIONS.get(round(first.rotation / 90) * 90 % 360, 1)
        with self._opened() as container:
            stream = container.streams.video[0]
            self.time_base = Fraction(stream.time_base)
            self.rate = Fraction(stream.average_rate or stream.guessed_rate or _SLOWEST)
            self.count = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the frames stand upright."""
        size = (self.width, self.height)
        return size[::-1] if self.orientation >= 5 else size

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the frames in the order in which they are shown.

        Raises:
            SourceError: on a frame of another size than the first.
        """
        first, last = None, -1
        step = max(1, round(1 / (self.rate * self.time_base)))
        for index, frame in enumerate(self._decoded()):
            if (frame.width, frame.height) != (self.width, self.height):
                raise SourceError(
                    f"{self.path} changes its size from {self.width}x{self.height} to "
                    f"{frame.width}x{frame.height} at frame {index}; cut it there"
                )
            stamp = last + step if frame.pts is None else frame.pts
            first = stamp if first is None else first
            last = max(stamp, last + 1) if index else stamp  # of streams that were joined
            yield VideoFrame(index, last - first, frame.duration or 0, frame, self.orientation)

    def _opened(self) -> Any:  # noqa: ANN401 - a container of PyAV
        try:
            container = self._library.open(str(self.path))
        except (OSError, ValueError) as error:  # PyAV's errors are among these
            raise SourceError(f"cannot read the video {self.path}: {_why(error)}") from error
        if not container.streams.video:
            container.close()
            raise SourceError(f"cannot read the video {self.path}: there is no video in it")
        return container

    def _decoded(self) -> Iterator[Any]:
        """Yield decoded frames; packets that are broken are left out, and counted in the log."""
        lost = 0
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                for packet in container.demux(stream):
                    try:
                        yield from packet.decode()
                    except self._library.error.InvalidDataError:
                        lost += 1
            except self._library.error.FFmpegError as error:
                _LOG.warning("%s ends early: %s", self.path, _why(error))
        if lost:
            _LOG.warning("%s: %d packets are broken, and their frames left out", self.path, lost)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or first_line(error))


class VideoWriter:
    """Write frames as H.264 in MP4, each at its own time.

    Colours are BT.709, sides even: one more row or column is the last one again.

    Args:
        path: to write; its suffix may be any.
        size: width and height of the frames.
        time_base: of the stamps, seconds.
        rate: frames a second, in the mean.

    Raises:
        OSError: where it cannot be written.
        DepthAnythingError: where PyAV is not installed.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], time_base: Fraction, rate: Fraction
    ) -> None:
        self._library = _av()
        self._size = size
        self._step = max(1, round(1 / (rate * time_base)))
        self._durations: dict[int, int] = {}
        self._container = self._library.open(str(path), "w", format="mp4", options=_PLAYED_AT_ONCE)
        stream = self._container.add_stream("libx264", rate=rate, options=_QUALITY)
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count, context.max_b_frames = _THREADS, 0
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        context.time_base = stream.time_base = self._time_base = time_base
        self._stream = stream

    def add(self, rgb: NDArray[np.uint8], stamp: int, duration: int = 0) -> None:
        """Add a frame.

        Args:
            rgb: uint8 (height, width, 3).
            stamp: after that of the one before, in units of the time base.
            duration: in the same; 0 is that of the mean rate.
        """
        height, width = rgb.shape[:2]
        if height % 2 or width % 2:
            right, below = width % 2, height % 2
            padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
            rgb = np.asarray(padded, np.uint8)
        frame = self._library.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = stamp, self._time_base
        self._durations[stamp] = duration or self._step
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, self._step)
            self._container.mux(packet)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the file; of a failure, it is left as it is."""
        try:
            if kind is None:
                self._mux(self._stream.encode())
        finally:
            self._container.close()
