"""The answers to the pictures of one bag, in files each of which is a work of its own."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from depth_anything_ros import __version__
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import (
    DepthAnythingError,
    ModelError,
    ParameterError,
    first_line,
)
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.pipeline.anchor import AnchorPipeline
from depth_anything_ros.pipeline.answer import Answer
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.image import RectifiedImage
from depth_anything_ros.pipeline.options import (
    AnchoringOptions,
    CloudOptions,
    ColouredCloudOptions,
    DepthOptions,
    OutputOptions,
    SteadyOptions,
)
from depth_anything_ros.pipeline.steadying import Moment, Steadier
from depth_anything_ros.tools.bag_pictures import BagPicture, PictureReader, PointFinder
from depth_anything_ros.tools.bag_reading import Bag, CameraTopics, Contents
from depth_anything_ros.tools.bag_writing import (
    AnswerMessages,
    AnswerStyle,
    BagFile,
    Maps,
    Parts,
)
from depth_anything_ros.tools.progress import Progress, say

# The options that what is written depends on.
_ASKED = (
    "weights",
    "rectify",
    "output_size",
    "encoding",
    "batch",
    "images_per_file",
    "only_depth",
    "no_points",
    "dense",
    "lidar",
    "max_offset",
    "namespace",
    "steady",
    "fixed_frame",
)


@dataclass
class Facts:
    """What became of pictures.

    Attributes:
        answered: how many.
        skipped: how many not, by reason.
        anchored: how many by the state of their scale.
        steadied: how many by how that went.
        memory: of each anchor pipeline, by its camera's topic.
    """

    answered: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    anchored: Counter[str] = field(default_factory=Counter)
    steadied: Counter[str] = field(default_factory=Counter)
    memory: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add those of another file, as they were noted."""
        self.answered += other["answered"]
        self.skipped.update(other["skipped"])
        self.anchored.update(other["anchored"])
        self.steadied.update(other["steadied"])

    @classmethod
    def of(cls, notes: Iterable[Mapping[str, Any]]) -> Facts:
        """Return those of all files of a bag."""
        facts = cls()
        for note in notes:
            facts.add(note)
        return facts

    def lines(self) -> list[str]:
        """Say it in words."""
        lines = [f"{self.answered} pictures answered"]
        lines += [f"{count} {status}" for status, count in sorted(self.anchored.items())]
        lines += [f"{count} {how}" for how, count in sorted(self.steadied.items())]
        return lines + [f"{n} left out: {reason}" for reason, n in sorted(self.skipped.items())]


def file_starts(times: Sequence[int], count: int) -> list[int | None]:
    """Return where the files of a bag begin, by the time of recording; None is its beginning.

    Args:
        times: of its pictures, ns, rising.
        count: of pictures in a file.
    """
    later = sorted(set(times[count::count]))
    return [None, *(time for time in later if time > times[0])]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A picture on its way through the model."""

    time_ns: int
    picture: BagPicture
    image: RectifiedImage


class Job:
    """All pictures of a bag, in files of so many pictures.

    Each file begins at the time of recording of a picture and ends before the next one begins, and
    is made by what lies between them and by the memory of the file before alone: so a run that goes
    on writes what one that was not interrupted writes.

    Args:
        bag: open.
        cameras: of it.
        contents: of it.
        estimator: the model.
        options: of the verb.

    Attributes:
        bag: as given, and so are contents and options.
        cameras: by the topic of their pictures.
        pipeline: answers pictures.
        anchoring: what is asked of their scale.
        messages: makes messages of answers.
        reader: of pictures.
        types: of the topics that are written, by name.
        starts: of each file, by the time of recording, ns; None is the beginning of the bag.
    """

    def __init__(
        self,
        bag: Bag,
        cameras: Sequence[CameraTopics],
        contents: Contents,
        estimator: DepthEstimator,
        options: argparse.Namespace,
    ) -> None:
        self.bag, self.contents, self.options = bag, contents, options
        self.cameras = {camera.image: camera for camera in cameras}
        self.pipeline = DepthPipeline(estimator, _depth_options(options))
        steady = SteadyOptions(options.steady, fixed_frame=options.fixed_frame)
        self.anchoring = AnchoringOptions(
            cloud=CloudOptions(organized=not options.dense), steady=steady
        )
        style = AnswerStyle(options.encoding, points=not options.no_points)
        self.messages = AnswerMessages(style)
        self.reader = PictureReader(bag, contents, options.rectify)
        kind = "metric" if options.lidar else estimator.card.kind
        names = style.topics(kind)
        self.types = {
            self.topic(camera, name): type_name
            for camera in cameras
            for name, type_name in names.items()
        }
        self._check_new(len(names))
        self.starts = file_starts(contents.times, options.images_per_file)

    def made_of(self) -> dict[str, Any]:
        """Return all that the answers depend on, as plain values."""
        estimator = self.pipeline.estimator
        counts = {c.topic: c.msgcount for c in self.bag.connections}
        return {
            "bag": str(self.bag.path.resolve()),
            "messages": dict(sorted(counts.items())),
            "cameras": {c.image: c.info for c in self.cameras.values()},
            "model": estimator.description,
            **{name: getattr(self.options, name) for name in _ASKED},
        }

    def topic(self, camera: CameraTopics, name: str) -> str:
        """Return where an answer to a camera's pictures is written, by its name."""
        prefix = self.options.namespace.strip("/")
        return f"{f'/{prefix}' if prefix else ''}{camera.namespace}/{name}"

    def _check_new(self, names: int) -> None:
        """Refuse topics that would be mixed with the bag's own, or with each other."""
        if len(self.types) < len(self.cameras) * names:
            raise ParameterError(
                f"several of {', '.join(self.cameras)} have one namespace, so that their depth "
                "would have one topic: choose one with --image"
            )
        taken = sorted({c.topic for c in self.bag.connections} & self.types.keys())
        if taken and not self.options.only_depth:
            raise ParameterError(
                f"the bag has {', '.join(taken)} already: write to other topics with --namespace "
                "NAME, or leave the bag's own out with --only-depth"
            )

    def write(self, parts: Parts) -> None:
        """Write the files that are not there yet."""
        noted = [parts.done(number) for number in range(len(self.starts))]
        done = sum(one["answered"] + sum(one["skipped"].values()) for one in noted if one)
        if done:
            say(f"going on: {done} of {len(self.contents.times)} pictures are done")
        memory: dict[str, Any] = {}
        with Progress(len(self.contents.times) - done, "pictures") as progress:
            for number, made in enumerate(noted):
                memory = (made or self.write_file(parts, number, memory, progress))["memory"]

    def write_file(
        self, parts: Parts, number: int, memory: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """Write one file, and return what was noted of it.

        Args:
            parts: that the file is one of.
            number: of the file.
            memory: of the anchor pipelines after the file before.
            progress: counts pictures.
        """
        span = self.starts[number], [*self.starts[1:], None][number]
        is_steadied = self.options.steady != "off"
        maps = parts.kept(number - 1) if is_steadied else {}
        answering = self._write_file(parts.file(number), span, memory, maps, progress)
        if is_steadied:
            parts.keep(number, answering.maps())
        made = vars(answering.facts())
        parts.finish(number, made)
        parts.drop(number - 1)
        return made

    def _write_file(
        self,
        folder: Path,
        span: tuple[int | None, int | None],
        memory: Mapping[str, Any],
        maps: Maps,
        progress: Progress,
    ) -> _Answering:
        note = {"depth_anything_ros": f"{__version__}, {self.pipeline.estimator.card.name}"}
        original = None if self.options.only_depth else self.bag
        file = BagFile(folder, original, self.types, self.messages, note)
        points = PointFinder(
            self.bag,
            self.options.lidar,
            self.contents.transforms,
            span[0],
            self.options.max_offset,
        )
        answering = _Answering(self, file, points, memory, maps, progress)
        messages = self.bag.messages(None, *span)
        with file, closing(messages):  # type: ignore[type-var]  # a generator
            for connection, time_ns, data in messages:
                if original is not None:
                    file.copy(connection, time_ns, data)
                camera = self.cameras.get(connection.topic)
                if camera is not None:
                    answering.add(camera, time_ns, connection, data)
            answering.flush()
        return answering


class _Answering:
    """Answer the pictures of one file, some of them together.

    Args:
        job: that the file is of.
        file: takes the answers.
        points: of the time of a picture.
        memory: of the anchor pipelines, by camera.
        maps: of their steadiers, or of those of the pipeline.
        progress: counts.
    """

    def __init__(
        self,
        job: Job,
        file: BagFile,
        points: PointFinder,
        memory: Mapping[str, Any],
        maps: Maps,
        progress: Progress,
    ) -> None:
        self._job, self._file, self._points, self._progress = job, file, points, progress
        self._facts = Facts()
        self._waiting: list[_Waiting] = []
        self._anchors: dict[str, AnchorPipeline] = {}
        job.pipeline.steadiers.clear()
        for camera in job.cameras:
            pipeline = self._anchors[camera] = AnchorPipeline(job.anchoring)
            if camera in memory:
                pipeline.remember(memory[camera])
            if camera in maps:
                self._steadier(camera).remember(maps[camera])

    def _steadier(self, camera: str) -> Steadier:
        """Return what steadies the depth of a camera: metres where they are anchored."""
        if self._job.options.lidar:
            return self._anchors[camera].steadier
        return self._job.pipeline.steadiers[camera]

    def add(self, camera: CameraTopics, time_ns: int, connection: Any, data: bytes) -> None:  # noqa: ANN401
        """Take a message of a camera."""
        job = self._job
        try:
            picture = job.reader.read(camera, job.bag.read(connection, data))
            if picture.problem is not None and job.pipeline.drops_uncalibrated:
                raise picture.problem
            image = job.pipeline.prepare(
                picture.rgb, picture.camera, camera.image, camera.is_rectified
            )
        except DepthAnythingError as error:
            self._skip(camera, error)
            return
        self._waiting.append(_Waiting(time_ns, picture, image))
        if len(self._waiting) >= job.options.batch:
            self.flush()

    def flush(self) -> None:
        """Answer those that wait."""
        waiting, self._waiting = self._waiting, []
        estimates = self._job.pipeline.predict([one.image for one in waiting])
        for one, estimate in zip(waiting, estimates, strict=True):
            if isinstance(estimate, ModelError) and estimate.reason == "out_of_memory":
                raise estimate  # which is so of all that follow
            try:
                answer = self._answer(one, estimate)
            except DepthAnythingError as error:
                self._skip(one.picture.topics, error)
                continue
            self._write(one, answer)

    def _answer(self, one: _Waiting, estimate: Estimate | Exception) -> Answer:
        if isinstance(estimate, Exception):
            raise estimate
        job, moment = self._job, self._moment(one)
        if job.options.lidar:
            answer = self._anchored(one, job.pipeline.finish(one.image, estimate), moment)
        else:
            answer = job.pipeline.finish(one.image, estimate, moment)
        report = answer.steadying
        if report is not None:
            self._facts.steadied[" by ".join(filter(None, (report.status, report.method)))] += 1
        return answer

    def _moment(self, one: _Waiting) -> Moment:
        """Return when a picture was taken, and where, if its depth is steadied by that."""
        job, picture = self._job, one.picture
        if job.options.steady != "motion":
            return Moment(picture.stamp_ns)
        fixed, frame = job.options.fixed_frame, picture.header.frame_id
        try:
            T = job.contents.transforms.find(fixed, frame, picture.stamp_ns)
        except DepthAnythingError as error:
            job.reader.say_once(picture.topics.image, "pose", f"not steadied by motion: {error}")
            return Moment(picture.stamp_ns, no_pose=str(error))
        return Moment(picture.stamp_ns, 0, T)

    def _anchored(self, one: _Waiting, answer: Answer, moment: Moment) -> Answer:
        picture, camera = one.picture, answer.camera
        if picture.camera is None or camera is None or answer.estimate is None:
            raise picture.problem or DepthAnythingError("its camera is not known", "uncalibrated")
        points, problem = self._points.points(picture, camera)
        pipeline = self._anchors[picture.topics.image]
        turned, rgb = moment.turned(one.image.turn), one.image.rgb
        found, report = pipeline.anchor(answer.estimate, points, turned, rgb=rgb)
        self._facts.anchored[report.status] += 1
        if problem is not None:
            self._job.reader.say_once(picture.topics.image, problem.reason, str(problem))
        if found is None:
            raise problem or DepthAnythingError(report.reason, "no_fit")
        return replace(found, back_project=answer.back_project)  # which knows the colours

    def _write(self, one: _Waiting, answer: Answer) -> None:
        for name, message in self._job.messages.of(one.picture.header, answer):
            topic = self._job.topic(one.picture.topics, name)
            self._file.add(topic, one.time_ns, message)
        self._facts.answered += 1
        self._progress.add(1)

    def _skip(self, camera: CameraTopics, error: DepthAnythingError) -> None:
        self._facts.skipped[error.reason] += 1
        self._job.reader.say_once(camera.image, error.reason, f"left out: {first_line(error)}")
        self._progress.add(1)

    def maps(self) -> Maps:
        """Return what the steadiers remember, by camera."""
        return {camera: self._steadier(camera).memory() for camera in self._anchors}

    def facts(self) -> Facts:
        """Return what became of the pictures."""
        memory = {camera: pipeline.memory() for camera, pipeline in self._anchors.items()}
        self._facts.memory = memory if self._job.options.lidar else {}
        return self._facts


def _depth_options(options: argparse.Namespace) -> DepthOptions:
    return DepthOptions(
        rectify=options.rectify,
        output=OutputOptions(options.output_size),
        cloud=ColouredCloudOptions(organized=not options.dense),
        steady=SteadyOptions(options.steady, fixed_frame=options.fixed_frame),
    )
