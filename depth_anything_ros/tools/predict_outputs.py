"""What ``depth_anything predict`` writes of an answer, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.cloud_files import write_cloud
from depth_anything_ros.core.colormap import colorize
from depth_anything_ros.core.depth import ESTIMATES, Estimate, Kind
from depth_anything_ros.core.depth_files import (
    DepthPicture,
    npy_bytes,
    png_bytes,
    sidecar,
    write_exr,
)
from depth_anything_ros.core.errors import CameraError, DepthAnythingError, ParameterError
from depth_anything_ros.core.files import atomically, write_atomically
from depth_anything_ros.core.panels import beside
from depth_anything_ros.pipeline.answer import Answer
from depth_anything_ros.tools.options import check_known
from depth_anything_ros.tools.parsers import CLOUDS, OUTPUTS

# Of what a video becomes a video again, and a picture a picture.
PAINTED = ("color", "side_by_side")


class OutputError(DepthAnythingError):
    """A file that cannot be written, after which no other is tried: the disk is full, as a rule."""

    reason = "output"


@dataclass(frozen=True)
class Layout:
    """Which files the answers to a picture are.

    Attributes:
        folder: of all.
        outputs: that are wanted, of ``OUTPUTS``.
        kind: of the model, whose word for its values is in the names.
    """

    folder: Path
    outputs: tuple[str, ...]
    kind: Kind

    def path(self, place: Path, output: str, is_video: bool = False) -> Path:
        """Return the file of an output; ``place`` is without a suffix."""
        name = ESTIMATES[self.kind].name
        endings = {"depth_png": f"_{name}.png", "npy": f"_{name}.npy", "exr": f"_{name}.exr"}
        suffix = "mp4" if is_video else "png"
        endings |= {painted: f"_{painted}.{suffix}" for painted in PAINTED}
        return self._named(place, endings.get(output, f".{output}"))

    def said(self, place: Path) -> Path:
        """Return the JSON that says what the others mean, which is written last."""
        return self._named(place, ".json")

    def _named(self, place: Path, ending: str) -> Path:
        return self.folder / place.with_name(f"{place.name}{ending}")

    def files(self, place: Path) -> list[Path]:
        """Return all files that are wanted of a picture, the last one last."""
        return [*(self.path(place, output) for output in self.outputs), self.said(place)]

    def all_files(self, place: Path) -> list[Path]:
        """Return all files that any run may have written of a picture or a video."""
        kinds = [Layout(self.folder, tuple(OUTPUTS), kind) for kind in ESTIMATES]
        files = [file for layout in kinds for file in layout.files(place)]
        files += [self.path(place, painted, is_video=True) for painted in PAINTED]
        return files + sorted((self.folder / frames_folder(place)).glob("[0-9]*"))


def frames_folder(place: Path) -> Path:
    """Return where the files of a video's frames lie, as the video itself."""
    return place.with_name(f"{place.name}_frames")


def is_done(files: list[Path], source: Path) -> bool:
    """Say whether there are all files, none of them older than what they were made of.

    Files are whole where they are there at all (``core.files.atomically``).
    """
    try:
        since = source.stat().st_mtime_ns
        return all(file.stat().st_mtime_ns >= since for file in files)
    except OSError:
        return False


@dataclass(frozen=True)
class Writer:
    """Write what is wanted of an answer.

    Attributes:
        layout: of the files.
        colormap: of ``core.colormap``.
        made_by: plain values that every JSON has: the model, and what it was asked.
    """

    layout: Layout
    colormap: str
    made_by: Mapping[str, Any]

    def painted(
        self, output: str, rgb: NDArray[np.uint8], painting: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Return an output of ``PAINTED``, uint8 (height, width, 3), RGB."""
        return painting if output == "color" else beside(rgb, painting)

    def painting(
        self, estimate: Estimate, limits: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """Paint an estimate, near in the last colour, between these limits of nearness."""
        return colorize(estimate.nearness(), self.colormap, limits)

    def write(
        self, place: Path, answer: Answer, rgb: NDArray[np.uint8], facts: Mapping[str, Any]
    ) -> None:
        """Write the files of one picture, the JSON last.

        Args:
            place: of the files, without a suffix.
            answer: with an estimate.
            rgb: uint8 (height, width, 3), on the answer's grid.
            facts: plain values for the JSON, beside ``made_by``.

        Raises:
            OutputError: naming a file that cannot be written.
            CameraError: where a cloud is wanted and the camera is not known.
        """
        estimate, png = answer.estimate, None
        assert estimate is not None
        self.layout.said(place).parent.mkdir(parents=True, exist_ok=True)
        outputs = self.layout.outputs
        painting = self.painting(estimate) if set(PAINTED) & set(outputs) else rgb
        for output in outputs:
            path = self.layout.path(place, output)
            if output in PAINTED:
                data = png_bytes(self.painted(output, rgb, painting))
                write_atomically(path, data, OutputError)
            elif output == "depth_png":
                picture = DepthPicture.of(estimate)
                png = (path.name, picture)
                write_atomically(path, picture.png(), OutputError)
            elif output == "npy":
                write_atomically(path, npy_bytes(estimate), OutputError)
            elif output == "exr":
                with atomically(path, OutputError) as partial:
                    write_exr(partial, estimate)
            else:
                self._write_cloud(path, answer)
        text = sidecar(estimate, answer.camera, {**facts, **self.made_by}, png)
        write_atomically(self.layout.said(place), text, OutputError)

    def _write_cloud(self, path: Path, answer: Answer) -> None:
        cloud = answer.cloud()
        if cloud is None:
            raise CameraError(
                "a cloud needs the camera, which nothing says: give --camera or --hfov"
            )
        write_cloud(path, cloud, f"depth_anything_ros: {self.made_by['model']}", OutputError)


def parse_outputs(text: str, kind: Kind, model: str) -> tuple[str, ...]:
    """Return the outputs of a list with commas, in the order of ``OUTPUTS``.

    Args:
        text: the list.
        kind: of the model's answers.
        model: its name, for the message.

    Raises:
        ParameterError: on one that there is not, or that such a model does not give.
    """
    names = [name.strip() for name in text.split(",")]
    check_known("output", names, tuple(OUTPUTS))
    clouds = [name for name in names if name in CLOUDS]
    if clouds and kind != "metric":
        raise ParameterError(
            f"{clouds[0]} is a cloud, which needs metres, and {model} gives "
            f"{ESTIMATES[kind].name.replace('_', ' ')}; choose a metric model (depth_anything "
            f"models), or another output"
        )
    return tuple(name for name in OUTPUTS if name in names)
