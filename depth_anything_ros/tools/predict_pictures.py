"""Pictures through the pipeline, in batches, read ahead and written behind the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import DepthAnythingError, printable
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.image import RectifiedImage
from depth_anything_ros.pipeline.options import DepthOptions, OutputOptions, SteadyOptions
from depth_anything_ros.tools.predict_inputs import CameraChoice, Input, ReadPicture, read_input
from depth_anything_ros.tools.predict_outputs import Layout, OutputError, Writer, is_done

# Batches that wait to be written: each holds its pictures and estimates.
_MOST_BEHIND = 2

# Inputs that the network is given together, always the same ones: how many they are may change the
# last bits of an answer.
Batch = tuple[Input, ...]


@dataclass(frozen=True)
class Asked:
    """All that decides what is written, of plain values: it goes to other processes as it is.

    Attributes:
        model: as of ``load_estimator``, and so are the six below.
        weights: see there.
        download: see there.
        device: see there.
        engine: see there.
        precision: see there.
        input_size: see there.
        weights_sha256: of the file of weights; "" of random ones.
        output_size: as of ``OutputOptions``.
        cameras: of the inputs.
        layout: of the files.
        colormap: of ``core.colormap``.
        batch: inputs that the network is given together.
        steady: how the depth of videos is steadied, as of ``SteadyOptions``.
    """

    model: str
    weights: str
    download: bool
    device: str
    engine: str
    precision: str
    input_size: int
    weights_sha256: str
    output_size: str
    cameras: CameraChoice
    layout: Layout
    colormap: str
    batch: int
    steady: str = "off"

    def pipeline(self) -> DepthPipeline:
        """Load the model."""
        estimator = load_estimator(
            self.model,
            self.weights,
            self.device,
            self.engine,
            self.precision,
            self.input_size,
            self.download,
        )
        return DepthPipeline(estimator, self.options)

    @property
    def options(self) -> DepthOptions:
        """What is asked of the pipeline."""
        return DepthOptions(
            output=OutputOptions(self.output_size), steady=SteadyOptions(self.steady)
        )

    def writer(self, pipeline: DepthPipeline) -> Writer:
        """Return what writes the answers of this pipeline."""
        estimator = pipeline.estimator
        made_by = {
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "input_size": estimator.input_size,
            "engine": f"{estimator.engine.name} {estimator.engine.precision}",
        }
        return Writer(self.layout, self.colormap, made_by)


class Outcome(NamedTuple):
    """What became of an input.

    Attributes:
        name: of the input.
        problem: why there is no answer, naming the file; "" where there is one.
        camera_from: what said its camera.
    """

    name: str
    problem: str = ""
    camera_from: str = ""


@dataclass
class PicturePredictor:
    """Answer pictures.

    Attributes:
        asked: what is wanted of them.
        pipeline: that answers.
        writer: of the answers.
    """

    asked: Asked
    pipeline: DepthPipeline
    writer: Writer

    def run(self, batches: Iterable[Batch]) -> Iterator[Outcome]:
        """Answer batches, and yield what became of each input that was not done already.

        Raises:
            OutputError: where a file cannot be written.
        """
        behind: deque[list[tuple[Input, Future[str]]]] = deque()
        with ThreadPoolExecutor(_threads()) as pool:
            for read in _read_ahead(pool, batches, self.asked.cameras):
                behind.append(self._answered(pool, read))
                if len(behind) > _MOST_BEHIND:
                    yield from _outcomes(behind.popleft())
            while behind:
                yield from _outcomes(behind.popleft())

    def _answered(
        self, pool: ThreadPoolExecutor, read: Sequence[tuple[Input, Future[ReadPicture]]]
    ) -> list[tuple[Input, Future[str]]]:
        """Ask the network for a batch, and begin to write what is not done."""
        futures: list[tuple[Input, Future[str]]] = []
        images: list[tuple[Input, ReadPicture, RectifiedImage]] = []
        for item, reading in read:
            try:
                picture = reading.result()
                images.append((item, picture, self.pipeline.prepare(picture.rgb, picture.camera)))
            except Exception as error:  # `_outcomes` looks at it
                futures.append((item, _failed(error)))
        estimates = self.pipeline.predict([image for _, _, image in images])
        for (item, picture, image), estimate in zip(images, estimates, strict=True):
            if isinstance(estimate, Exception):
                futures.append((item, _failed(estimate)))
            elif not is_done(self.asked.layout.files(item.place), item.path):
                futures.append((item, pool.submit(self._write, item, picture, image, estimate)))
        return futures

    def _write(
        self, item: Input, picture: ReadPicture, image: RectifiedImage, estimate: Estimate
    ) -> str:
        answer = self.pipeline.finish(image, estimate)
        facts = {"source": item.name, "camera_from": picture.camera_from}
        self.writer.write(item.place, answer, image.published_rgb(), facts)
        return picture.camera_from


def _threads() -> int:
    return min(8, max(2, os.cpu_count() or 2))


def _read_ahead(
    pool: ThreadPoolExecutor, batches: Iterable[Batch], cameras: CameraChoice
) -> Iterator[list[tuple[Input, Future[ReadPicture]]]]:
    """Yield each batch while the next one is being read."""
    ahead = None
    for batch in batches:
        reading = [(item, pool.submit(read_input, item.path, cameras)) for item in batch]
        if ahead is not None:
            yield ahead
        ahead = reading
    if ahead is not None:
        yield ahead


def _failed(error: BaseException) -> Future[str]:
    future: Future[str] = Future()
    future.set_exception(error)
    return future


def _outcomes(written: Sequence[tuple[Input, Future[str]]]) -> Iterator[Outcome]:
    for item, future in written:
        error = future.exception()
        if error is None:
            yield Outcome(item.name, camera_from=future.result())
        else:
            yield Outcome(item.name, problem_of(item, error))


def problem_of(item: Input, error: BaseException) -> str:
    """Say what was wrong with an input, and which; raise what is wrong with more than that."""
    if isinstance(error, DepthAnythingError) and not isinstance(error, OutputError):
        said = str(error)
        return said if printable(item.path) in said else f"{item.path}: {said}"
    if isinstance(error, Exception) and is_short_of_memory(error):
        return f"{item.path}: {SHORT_OF_MEMORY}"
    raise error
