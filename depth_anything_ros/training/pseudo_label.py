"""Labels of a teacher for pictures without any: the second stage of Depth Anything's data engine.

A teacher that was trained on exact synthetic depth labels real pictures; a student learns from
those under strong changes (Depth Anything V1, arXiv 2401.10891, 3.2; V2, arXiv 2406.09414, 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import claim_folder, link_or_copy
from depth_anything_ros.core.frames import read_picture
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.training.samples import (
    camera_of_picture,
    find_calibration,
    picture_paths,
    write_labels,
)

PROVENANCE = "provenance.json"
# What a kind of answer is among labels.
_LABELS = {"metric": "depth_m", "relative": "disparity"}


@dataclass(frozen=True)
class Provenance:
    """Who made the labels of a folder.

    Attributes:
        teacher: zoo name of the model.
        kind: ``metric`` labels are depth in metres, ``relative`` ones disparity.
        weights: as the user named them.
        sha256: of the file of weights; "" for random ones.
        input_size: shorter side of the teacher's input, pixels.
    """

    teacher: str
    kind: str
    weights: str
    sha256: str
    input_size: int


class PseudoLabeller:
    """Write a teacher's labels beside links to the pictures, as ``FolderSource`` reads them.

    A picture gets its place in the output after its labels, so that what is there is whole: a run
    that was stopped goes on with the first picture that is missing.

    Args:
        teacher: that labels.
        provenance: of the labels, written into the output.
        pictures: folder of pictures; for a metric teacher each with a camera file (or one
            calib.json for all), since depth in metres needs the focal length.
        output: folder of the labels, made if absent.

    Attributes:
        total: number of pictures.
        missing: those that have no label yet.

    Raises:
        SourceError: where there are no pictures, or the output has labels of another teacher.
    """

    def __init__(
        self, teacher: DepthEstimator, provenance: Provenance, pictures: Path, output: Path
    ) -> None:
        self.teacher, self.output = teacher, output
        paths = picture_paths(pictures)
        if output.resolve() == pictures.resolve():
            raise SourceError(
                f"the labels would lie among the pictures of {pictures}; choose another output"
            )
        output.mkdir(parents=True, exist_ok=True)
        claim_folder(output / PROVENANCE, asdict(provenance), "labels")
        self.total = len(paths)
        self.missing = tuple(path for path in paths if not (output / path.name).exists())

    def run(self) -> Iterator[Path]:
        """Label what is missing; yield each picture when its label is written.

        Raises:
            SourceError: where a picture cannot be read, or has no camera and needs one.
        """
        for path in self.missing:
            rgb = np.ascontiguousarray(read_picture(path)[..., ::-1])
            camera = camera_of_picture(path, find_calibration(path), rgb.shape[1], rgb.shape[0])
            if camera is None and self.teacher.card.kind == "metric":
                raise SourceError(
                    f"depth in metres of {path} needs its camera; write {path.stem}.json or "
                    f"calib.json with width, height and K beside it, or take a relative teacher"
                )
            self._label(path, rgb, camera)
            yield path

    def _label(self, path: Path, rgb: NDArray[np.uint8], camera: Camera | None) -> None:
        answer = self.teacher.infer(rgb, camera)
        label = _LABELS.get(answer.kind)
        if label is None:
            raise SourceError(
                f"{self.teacher.card.name} gives affine depth, which is no label: take a teacher "
                "of metres or of disparity"
            )
        write_labels(self.output, path.stem, camera=camera, **{label: answer.values})
        link_or_copy(path, self.output / path.name)
