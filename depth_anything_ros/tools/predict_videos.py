"""Videos through the pipeline: depth in colours as videos again, all else as files of each frame.

Twice through: first a few frames that are spread over the video say which range the colours have,
one for all frames, so that nothing flickers that does not move.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.depth_files import sidecar
from depth_anything_ros.core.exif import Exif
from depth_anything_ros.core.files import atomically, write_atomically
from depth_anything_ros.core.panels import color_limits
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.image import RectifiedImage
from depth_anything_ros.pipeline.steadying import Moment
from depth_anything_ros.tools.predict_inputs import Input
from depth_anything_ros.tools.predict_outputs import (
    PAINTED,
    Layout,
    OutputError,
    Writer,
    frames_folder,
    is_done,
)
from depth_anything_ros.tools.predict_pictures import Asked, Outcome, problem_of
from depth_anything_ros.tools.video_files import VideoFile, VideoFrame, VideoWriter

# Frames by which the range of the colours is chosen.
SAMPLED = 32
# Frames that wait to be painted and written.
_MOST_BEHIND = 4


class _Answered(NamedTuple):
    frame: VideoFrame
    image: RectifiedImage
    estimate: Estimate


def answer_video(
    asked: Asked,
    pipeline: DepthPipeline,
    writer: Writer,
    item: Input,
    done: Callable[[int, int], None] = lambda _count, _of: None,
) -> Outcome:
    """Answer a video.

    Args:
        asked: what is wanted of it.
        pipeline: that answers.
        writer: of the answers.
        item: the video.
        done: is told how many frames are on their way, and of how many.

    Raises:
        OutputError: where a file cannot be written.
    """
    try:
        video = VideoFile(item.path)
        size, exif = (video.width, video.height), Exif(video.orientation)
        camera, camera_from = asked.cameras.of(*size, exif)
        _Run(asked, pipeline, writer, item, video, camera, camera_from).write(done)
    except Exception as error:  # `problem_of` raises what is not the video's
        return Outcome(item.name, problem_of(item, error))
    return Outcome(item.name, camera_from=camera_from)


@dataclass
class _Run:
    """One video on its way."""

    asked: Asked
    pipeline: DepthPipeline
    writer: Writer
    item: Input
    video: VideoFile
    camera: Camera | None
    camera_from: str

    def __post_init__(self) -> None:
        layout = self.asked.layout
        self.painted = [name for name in PAINTED if name in layout.outputs]
        steady = self.asked.steady
        self.said = {"camera_from": self.camera_from} | (
            {"steady": steady} if steady != "off" else {}
        )
        self.pipeline.steadiers.clear()  # of the video before
        self.frames = replace(
            self.writer, layout=replace(layout, outputs=frame_outputs(layout.outputs))
        )

    def write(self, done: Callable[[int, int], None]) -> None:
        """Write the videos, the files of the frames, and last the JSON of all."""
        said = self.asked.layout.said(self.item.place)
        said.parent.mkdir(parents=True, exist_ok=True)
        limits = self._limits() if self.painted else None
        last: Future[Estimate] | None = None
        count, behind = 0, deque[Future[Estimate]]()
        done(0, self.video.count)
        with ExitStack() as stack:
            videos = _Videos(stack, self.asked.layout, self.item.place, self.painted, self.video)
            pool = stack.enter_context(ThreadPoolExecutor(1))  # an encoder takes them in order
            for answered in self._answered(self.video):
                last = pool.submit(self._finish, answered, limits, videos)
                behind.append(last)
                if len(behind) > _MOST_BEHIND:
                    behind.popleft().result()
                count += 1
                done(count, max(count, self.video.count))
            for future in behind:
                future.result()
        assert last is not None  # a video without a frame is none
        facts = {"source": self.item.name, **self.said, "frames": count}
        facts |= {"rate": str(self.video.rate), "colors_of_nearness": limits}
        estimate = last.result()
        text = sidecar(estimate, estimate.camera, {**facts, **self.writer.made_by})
        write_atomically(said, text, OutputError)

    def _limits(self) -> tuple[float, float]:
        """Return the range of nearness that all frames are painted in."""
        step = -(-self.video.count // SAMPLED)
        sampled = self._answered(islice(self.video, 0, None, max(1, step)))
        parts = [self.pipeline.finish(image, estimate).estimate for _, image, estimate in sampled]
        values = [part.nearness()[::4, ::4].ravel() for part in parts if part is not None]
        return color_limits(np.concatenate(values))

    def _answered(self, frames: Iterable[VideoFrame]) -> Iterator[_Answered]:
        """Ask the network for frames, so many together."""
        left = iter(frames)
        while some := list(islice(left, self.asked.batch)):
            images = [self.pipeline.prepare(frame.rgb(), self.camera) for frame in some]
            estimates = self.pipeline.predict(images)
            for frame, image, estimate in zip(some, images, estimates, strict=True):
                if isinstance(estimate, Exception):
                    raise estimate
                yield _Answered(frame, image, estimate)

    def _finish(
        self, answered: _Answered, limits: tuple[float, float] | None, videos: _Videos
    ) -> Estimate:
        frame, image, estimate = answered
        time_s = frame.stamp * self.video.time_base
        answer = self.pipeline.finish(image, estimate, Moment(round(time_s * 10**9)))
        rgb = image.published_rgb()
        assert answer.estimate is not None
        if self.painted:
            painting = self.writer.painting(answer.estimate, limits)
            for output in self.painted:
                videos.add(output, self.writer.painted(output, rgb, painting), frame)
        if self.frames.layout.outputs:
            facts: dict[str, Any] = {"source": f"{self.item.name}#{frame.index}", **self.said}
            facts |= {"time_s": float(time_s)}
            place = frames_folder(self.item.place) / f"{frame.index:06d}"
            self.frames.write(place, answer, rgb, facts)
        return answer.estimate


class _Videos:
    """The videos that are being written, each made when its first frame comes.

    Args:
        stack: that ends them: a failure leaves nothing.
        layout: of the files.
        place: of the video.
        outputs: that become videos.
        source: whose rate and times they have.
    """

    def __init__(
        self, stack: ExitStack, layout: Layout, place: Path, outputs: list[str], source: VideoFile
    ) -> None:
        self._stack, self._source = stack, source
        self._partial = {
            output: stack.enter_context(
                atomically(layout.path(place, output, is_video=True), OutputError)
            )
            for output in outputs
        }
        self._writers: dict[str, VideoWriter] = {}

    def add(self, output: str, rgb: NDArray[np.uint8], frame: VideoFrame) -> None:
        """Add a frame to the video of an output."""
        if output not in self._writers:
            size = (rgb.shape[1], rgb.shape[0])
            rate: Fraction = self._source.rate
            writer = VideoWriter(self._partial[output], size, self._source.time_base, rate)
            self._writers[output] = self._stack.enter_context(writer)
        self._writers[output].add(rgb, frame.stamp, frame.duration)


def frame_outputs(outputs: Iterable[str]) -> tuple[str, ...]:
    """Return those outputs that a video has of each of its frames."""
    return tuple(output for output in outputs if output not in PAINTED)


def is_video_done(layout: Layout, item: Input) -> bool:
    """Say whether all files of a video are there, and not older than it."""
    said = layout.said(item.place)
    painted = [name for name in layout.outputs if name in PAINTED]
    files = [layout.path(item.place, name, is_video=True) for name in painted]
    if not is_done([*files, said], item.path):
        return False
    frames = replace(layout, outputs=frame_outputs(layout.outputs))
    if not frames.outputs:
        return True
    try:
        count = int(json.loads(said.read_bytes())["frames"])
    except (ValueError, LookupError, TypeError):  # of another program
        return False
    # They are written in order.
    return is_done(frames.files(frames_folder(item.place) / f"{count - 1:06d}"), item.path)
