"""``depth_anything pseudo-label``: let a teacher label pictures that have no depth."""

from __future__ import annotations

import argparse
import math

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.training.panorama_label import PanoramaLabeller, PanoramaOptions
from depth_anything_ros.training.pseudo_label import Provenance, PseudoLabeller


def run(options: argparse.Namespace) -> int:
    """Label what is missing; return the exit status."""
    teacher = DepthEstimator(
        options.model,
        options.weights,
        options.device,
        input_size=options.input_size,
        download=options.download,
    )
    path = resolve_weights(options.weights, teacher.card)
    provenance = Provenance(
        teacher.card.name,
        teacher.card.kind,
        options.weights,
        "" if path is None else sha256_of(path),
        teacher.input_size,
    )
    if options.panoramas:
        return _label_panoramas(teacher, provenance, options)
    of_panoramas = {"--views": "views", "--camera-height": "camera_height"}
    given = [flag for flag, name in of_panoramas.items() if getattr(options, name) is not None]
    given += ["--level-ground"] if options.level_ground else []
    if given:
        raise SourceError(f"{', '.join(given)}: only with --panoramas")
    labeller = PseudoLabeller(teacher, provenance, options.input, options.output)
    missing = len(labeller.missing)
    say(f"{teacher.description}: {missing} of {labeller.total} pictures to label")
    with Progress(missing, "pictures") as progress:
        for _ in labeller.run():
            progress.add(1)
    return 0


def _label_panoramas(
    teacher: DepthEstimator, provenance: Provenance, options: argparse.Namespace
) -> int:
    how = PanoramaOptions(
        **{
            name: value
            for name, value in (
                ("views", options.views),
                ("camera_height_m", options.camera_height),
            )
            if value is not None
        },
        level_ground=options.level_ground,
    )
    labeller = PanoramaLabeller(teacher, provenance, options.input, options.output, how)
    missing = len(labeller.missing)
    say(f"{teacher.description}: {missing} of {labeller.total} panoramas to label")
    with Progress(missing, "panoramas") as progress:
        for one in labeller.run():
            progress.add(1)
            ground = "no ground" if math.isnan(one.height_m) else f"{one.height_m:.2f} m high"
            say(f"{one.path.name}: scales of its views differ by {one.spread:.0%}, {ground}")
    return 0
