"""``depth_anything pseudo-label``: let a teacher label pictures that have no depth."""

from __future__ import annotations

import argparse

from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.tools.progress import Progress, say
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
    labeller = PseudoLabeller(teacher, provenance, options.input, options.output)
    missing = len(labeller.missing)
    say(f"{teacher.description}: {missing} of {labeller.total} pictures to label")
    with Progress(missing, "pictures") as progress:
        for _ in labeller.run():
            progress.add(1)
    return 0
