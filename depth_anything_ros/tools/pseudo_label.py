"""``depth_anything pseudo-label``: let a teacher label pictures that have no depth."""

from __future__ import annotations

import argparse
import math
from dataclasses import fields

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.training.panorama_label import PanoramaLabeller, PanoramaOptions
from depth_anything_ros.training.pseudo_label import Provenance, PseudoLabeller

_OF_PANORAMAS = tuple(field.name for field in fields(PanoramaOptions))


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
    how = {name: getattr(options, name) for name in _OF_PANORAMAS}
    given = {name: value for name, value in how.items() if value is not None and value is not False}
    if options.panoramas:
        return _label_panoramas(
            PanoramaLabeller(
                teacher, provenance, options.input, options.output, PanoramaOptions(**given)
            )
        )
    if given:
        flags = ", ".join(f"--{name.removesuffix('_m').replace('_', '-')}" for name in given)
        raise SourceError(f"{flags}: only with --panoramas")
    labeller = PseudoLabeller(teacher, provenance, options.input, options.output)
    missing = len(labeller.missing)
    say(f"{teacher.description}: {missing} of {labeller.total} pictures to label")
    with Progress(missing, "pictures") as progress:
        for _ in labeller.run():
            progress.add(1)
    return 0


def _label_panoramas(labeller: PanoramaLabeller) -> int:
    missing = len(labeller.missing)
    say(f"{labeller.teacher.description}: {missing} of {labeller.total} panoramas to label")
    with Progress(missing, "panoramas") as progress:
        for one in labeller.run():
            progress.add(1)
            ground = "no ground" if math.isnan(one.height_m) else f"{one.height_m:.2f} m high"
            say(f"{one.path.name}: scales of its views differ by {one.spread:.0%}, {ground}")
    return 0
